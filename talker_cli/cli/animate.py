"""The command that animates recordings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from talker_cli.cli.export import AvatarOption, MapOption, OutputsOption, VisemesOption, driven_avatar, write_outputs
from talker_cli.cli.options import (
    DEFAULT_MODEL,
    DeviceOption,
    IdentityOption,
    LibraryOption,
    ModelOption,
    SeedOption,
    examples,
    guarded,
    note,
    one_thread,
    progress,
    result,
)
from talker_cli.model.folder import DEFAULT_IDENTITY

if TYPE_CHECKING:
    from talker_cli.animate.batch import Job
    from talker_cli.animate.talker import Animation

ENGLISH = "en-us"  # language of a text, unless another is given
SOME_FAILED = 1  # exit code if some recordings failed and the others are done

AudioArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help="Recordings (wav, mp3, m4a, mp4, …), folders of recordings, or quoted patterns as 'talks/*.wav'.",
        show_default=False,
    ),
]
ManifestOption = Annotated[
    Path | None,
    typer.Option(help="CSV with the columns audio, identity, output, in place of recordings.", show_default=False),
]
SkipOption = Annotated[bool, typer.Option("--skip-existing", help="Skip recordings whose outputs exist.")]
StepsOption = Annotated[
    str,
    typer.Option(
        help="Denoising steps. 8 uses the distilled student, as does the number of any other student that the model has; "
        "other numbers use the teacher with DDIM, and full its 256-step DDPM sampler."
    ),
]
GuidanceOption = Annotated[
    float | None,
    typer.Option(help="Guidance scale of speech and style; 1 is off. For the teacher only.", show_default="the model's"),
]
StyleGuidanceOption = Annotated[
    float | None, typer.Option(help="Guidance scale of the style. For the teacher only.", show_default="same as --guidance")
]
TemperatureOption = Annotated[
    float | None,
    typer.Option(
        min=0.0, max=2.0, help="Sampling temperature: lower keeps to the most likely motion.", show_default="the model's"
    ),
]
SamplesOption = Annotated[
    int, typer.Option(min=1, max=1000, help="Number of samples of each recording, written to out-1.npy, out-2.npy, …")
]
ScaleOption = Annotated[
    float, typer.Option(help="Scale of the style: 0 is the average style, 1 the identity's, 2 twice as far from the average.")
]
ExpressionOption = Annotated[
    float, typer.Option(help="Scale of the upper face's expression, 0 to 1. Blinks and gaze are not scaled.")
]
HeadOption = Annotated[
    float,
    typer.Option(min=0.0, max=2.0, help="Scale of the head's rotation, 0 to 2. Models without head motion keep it still."),
]
OnlyOption = Annotated[
    Literal["mouth", "upper"] | None,
    typer.Option(help="Part of the face that moves; the rest, and the head with mouth, stays at rest.", show_default="all"),
]
SmoothOption = Annotated[
    float, typer.Option(help="Standard deviation of a smoothing over time, in ms. Lips close less firmly with it.")
]
TextOption = Annotated[
    str | None,
    typer.Option(help="What is said: a file, the text itself, or auto for NAME.txt beside each recording.", show_default=False),
]
LanguageOption = Annotated[
    str | None,
    typer.Option(help="Language of the text: a voice of espeak-ng, such as de or pt-br.", show_default=ENGLISH),
]
EmotionOption = Annotated[
    str | None,
    typer.Option(
        help="Emotions with strengths from 0 to 1, as happy=0.6 or happy=0.4,surprised=0.3; or a .csv time line.",
        show_default="neutral",
    ),
]
StreamOption = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Animate standard input live, to -o - (JSON lines), udp://HOST:PORT (Live Link) or vmc://HOST:PORT (VMC).",
    ),
]
LookAheadOption = Annotated[float, typer.Option(help="Look-ahead of --stream in ms: higher quality, higher latency.")]

Make = Callable[["Job"], "Animation"]


@examples(
    "talker animate speech.wav --identity FaceTalk_170725 -o out.glb -o out.csv",
    "talker animate recordings/ -o 'motions/{name}.glb' --skip-existing",
    "talker animate speech.wav --avatar me.glb -o me_speaks.glb",
    "arecord -f S16_LE -r 16000 | talker animate - --stream -o udp://127.0.0.1:11111",
)
@guarded
def animate(
    audio: AudioArgument = None,
    identity: IdentityOption = DEFAULT_IDENTITY,
    output: OutputsOption = None,
    avatar: AvatarOption = None,
    shape_map: MapOption = None,
    visemes: VisemesOption = None,
    steps: StepsOption = "8",
    seed: SeedOption = 0,
    samples: SamplesOption = 1,
    guidance: GuidanceOption = None,
    style_guidance: StyleGuidanceOption = None,
    temperature: TemperatureOption = None,
    style_scale: ScaleOption = 1.0,
    library: LibraryOption = None,
    expression: ExpressionOption = 1.0,
    head: HeadOption = 1.0,
    only: OnlyOption = None,
    smooth: SmoothOption = 0.0,
    emotion: EmotionOption = None,
    text: TextOption = None,
    language: LanguageOption = None,
    manifest: ManifestOption = None,
    skip_existing: SkipOption = False,
    stream: StreamOption = False,
    look_ahead: LookAheadOption = 300.0,
    device: DeviceOption = "auto",
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Animate a face from recordings of speech.

    One CPU thread is used unless OMP_NUM_THREADS is set. Under torchrun, each process animates its share of the recordings.
    """
    one_thread()
    from talker_cli.errors import InputError

    if stream:
        from talker_cli.cli.live import animate_live

        of_files = {
            "--samples": samples != 1, "--guidance": guidance is not None, "--style-guidance": style_guidance is not None,
            "--temperature": temperature is not None,
            "--expression": expression != 1.0, "--smooth": smooth != 0.0, "--manifest": manifest is not None,
            "--avatar": avatar is not None, "--map": shape_map is not None, "--visemes": visemes is not None,
            "--skip-existing": skip_existing, "--text": text is not None, "--language": language is not None,
        }  # fmt: skip
        for option, given in of_files.items():
            if given:
                raise InputError(f"found {option} with --stream; it applies to recordings only; leave it out")
        animate_live(
            audio or [],
            output or [],
            identity=identity,
            style_scale=style_scale,
            library=library,
            seed=seed,
            head=head,
            only=only,
            look_ahead=look_ahead,
            steps=steps,
            device=device,
            model=model,
            emotion=emotion,
        )
        return
    from talker_cli.animate.batch import barrier, plan_jobs
    from talker_cli.animate.text import AUTO, text_for
    from talker_cli.export.formats import check_rig, check_text, check_visemes

    plan = plan_jobs(
        audio or [], output or [], identity=identity, manifest=manifest, seed=seed, samples=samples, skip_existing=skip_existing
    )
    for line in plan.notes:
        note(line)
    if not plan.jobs:
        barrier()
        return
    if language is not None and text is None:
        raise InputError(f"found the language {language} without a text; expected both; say what is spoken", field="text")
    if plan.many and text not in (None, AUTO):
        raise InputError("found one text for many recordings; expected auto, and NAME.txt beside each", field="text")
    for job in plan.jobs:
        check_text(job.outputs, text is not None)
    if visemes is not None:
        check_visemes([output for job in plan.jobs for output in job.outputs])
    character = driven_avatar(avatar, shape_map, [output for job in plan.jobs for output in job.outputs])
    from talker_cli.animate.talker import Talker
    from talker_cli.data.emotions import check_names, parse_emotions

    spans = () if emotion is None else parse_emotions(emotion)
    talker = Talker.load(model, steps=steps, device=device)
    check_names(spans, talker.animator.config.emotions)
    noted: set[str] = set()

    def note_once(line: str) -> None:
        if line not in noted:
            note(line)
        noted.add(line)

    def make(job: "Job", on_frames: Callable[[int], None] = lambda done: None) -> "Animation":
        person = talker.who(job.identity, style_scale=style_scale, library=library, audio=job.audio)
        check_rig(job.outputs, person.rig, character)
        said = None if text is None else text_for(job.audio, text, note_once)
        check_text(job.outputs, said is not None)
        made = talker.animate(
            job.audio,
            identity=person,
            seed=job.seed,
            guidance=guidance,
            style_guidance=style_guidance,
            temperature=temperature,
            style_scale=style_scale,
            expression=expression,
            head=head,
            only=only,
            smooth=smooth,
            emotion=spans,
            text=said,
            language=language or ENGLISH,
            on_note=note_once,
            on_frames=on_frames,
        )
        return replace(made, avatar=character, visemes=visemes is not None)

    if plan.many:
        failures = _animate_many(plan.jobs, make)
        barrier()
        if failures:
            raise typer.Exit(SOME_FAILED)
        return
    for job in plan.jobs:
        with progress("animating", "frames") as advance:
            made = make(job, lambda done: advance(done, None))
        frames = len(made.coefficients)
        length = frames / made.fps
        note(f"{made.identity}, {made.sampler}: {frames} frames, {length:.1f} s of motion in {made.seconds:.1f} s")
        write_outputs(made, job.outputs)


def _animate_many(jobs: Sequence["Job"], make: Make) -> int:
    """Do every job that can be done, name those that failed, and return their number."""
    from talker_cli.errors import TalkerError
    from talker_cli.export.formats import write_motion_clip

    failures = []
    with progress("animating", "files") as advance:
        for number, job in enumerate(jobs):
            advance(number, len(jobs))
            try:
                job.make_folders()
                job.check()
                made = make(job)
                for output in job.outputs:
                    write_motion_clip(made, output)
            except TalkerError as error:
                failures.append(str(error))
                continue
            for output in job.outputs:
                result(output)
    for line in failures:
        note(line)
    if failures:
        note(f"{len(failures)} of {len(jobs)} failed; the others are written; repeat the command with --skip-existing")
    return len(failures)
