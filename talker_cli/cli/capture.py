"""`talker capture`: videos of a talking person to coefficients. The work is imported inside, so that help is instant."""

from pathlib import Path
from typing import Annotated

import typer

from talker_cli.cli.export import OutputsOption, write_outputs
from talker_cli.cli.options import DEFAULT_MODEL, IdentityOption, examples, guarded, note, progress, result

TrackerOption = Annotated[
    Path | None,
    typer.Option(
        help="MediaPipe's face_landmarker.task. [default: $TALKER_TRACKER, or the user's data folder]", show_default=False
    ),
]


@examples("talker capture me.mp4 -o me.csv", "talker capture clips/ -o 'csv/{name}.csv'")
@guarded
def capture(
    video: Annotated[list[str], typer.Argument(help="Videos of one talking person, or folders of them.", show_default=False)],
    output: OutputsOption = None,
    identity: IdentityOption = "FaceTalk_170725",
    tracker: TrackerOption = None,
    preview: Annotated[
        Path | None,
        typer.Option(
            help="Video of the landmarks and the captured head side by side: .mp4, .webm or .gif.", show_default=False
        ),
    ] = None,
) -> None:
    """Capture a talking person from video: ARKit coefficients and the head's rotation, at the video's frame rate.

    Needs the extra `capture` of talker-cli. The motion is that of the person in the video; the identity is only the face that
    shows it.
    """
    from talker_cli.animate.batch import plan_jobs
    from talker_cli.capture.clip import capture as capture_video
    from talker_cli.capture.preview import write_preview
    from talker_cli.capture.tracker import tracker_file
    from talker_cli.errors import InputError, OutputError, TalkerError
    from talker_cli.export.motion_clip import MotionClip
    from talker_cli.formats.files import file_hash
    from talker_cli.identity.resolve import resolve_identity
    from talker_cli.model.built_in import built_in_head
    from talker_cli.model.folder import model_folder

    plan = plan_jobs(video, output or [], identity=identity)
    if preview is not None:
        if plan.many and "{name}" not in str(preview):
            raise InputError(f"found one preview {preview} for many videos; expected {{name}} in it", field="preview")
        if preview.suffix.lower() not in (".mp4", ".webm", ".gif"):
            raise OutputError(f"cannot write {preview}; expected .mp4, .webm or .gif", field="preview")
    model = tracker_file(tracker)
    path = model_folder(DEFAULT_MODEL) / "rig.safetensors"
    head = built_in_head()
    name = resolve_identity(identity, tuple(head.identities))
    failures = 0
    for job in plan.jobs:
        try:
            if plan.many:
                job.make_folders()
                job.check()
            with progress(f"capturing {job.audio.name}", "frames") as advance:
                made = capture_video(job.audio, head.rig, model, advance)
        except TalkerError as error:
            if not plan.many:
                raise
            note(str(error))
            failures += 1
            continue
        for line in made.notes:
            note(f"{job.audio.name}: {line}")
        seconds = len(made.coefficients) / made.video.fps
        mean = f"{made.lip_error * 1e3:.1f} mm"
        note(f"{job.audio.name}: {seconds:.1f} s at {made.video.fps:g} fps, lips fitted within {mean} in the mean")
        about = {
            "identity": name,
            "face": {"identity": name},
            "rig": {"path": str(path.resolve()), "sha256": file_hash(path)},
            "head": True,
            "captured": {
                "path": str(job.audio.resolve()), "sha256": file_hash(job.audio), "tracker": file_hash(model),
                "seen": made.seen_ranges(), "lip_error_mm": round(made.lip_error * 1e3, 3),
            },
        }  # fmt: skip
        sound = job.audio if made.video.sounds else None
        if sound is not None:
            about["audio"] = {"path": str(job.audio.resolve()), "sha256": file_hash(job.audio)}
        clip = MotionClip(made.with_head, head.with_head().rig_of(name), made.video.fps, about, sound)
        write_outputs(clip, job.outputs)
        if preview is not None:
            place = Path(str(preview).replace("{name}", job.audio.stem))
            with progress(f"writing {place.name}", "frames") as advance:
                write_preview(made, head.rig_of(name), place, advance)
            result(place)
    if failures:
        note(f"{failures} of {len(plan.jobs)} failed; the others are written")
        raise typer.Exit(1)
