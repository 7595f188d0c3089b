"""The commands about data: preprocess, one for each source, and data info. Imported workers stay inside the commands."""

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from talker_cli.cli.options import (
    OutputFolderOption,
    SeedOption,
    cell,
    examples,
    guarded,
    note,
    progress,
    result,
    show_table,
)
from talker_cli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from talker_cli.data.captures import Captures, Choice
    from talker_cli.data.sequences import OnProgress, Source
    from talker_cli.rig import RigFile

FolderArgument = Annotated[Path, typer.Argument(help="Folder of the source data.", show_default=False)]
FpsOption = Annotated[
    float | None, typer.Option(help="Frame rate of the dataset. [default: every n-th frame, at most 30]", min=1.0, max=240.0)
]
SourceFpsOption = Annotated[
    float | None, typer.Option(help="Frame rate of the source files. [default: read from the files]", min=1.0, max=1000.0)
]
ComponentsOption = Annotated[int | None, typer.Option(help="Number of basis components.", min=1, max=512)]
ErrorOption = Annotated[str | None, typer.Option(help="Largest root mean square error of the basis. [default: 0.1mm]")]
ClipsOption = Annotated[
    Path | None, typer.Option(help="CSV with the columns name,identity and optionally split,text,language.")
]
OnePersonOption = Annotated[str | None, typer.Option(help="Identity of all clips.")]
LicenceOption = Annotated[str | None, typer.Option(help="Licence of the data, recorded in the dataset.")]
ProcessesOption = Annotated[int, typer.Option(help="Number of processes; the result does not depend on it.", min=1)]
TrackerOption = Annotated[
    Path | None,
    typer.Option(
        help="MediaPipe's face_landmarker.task. [default: $TALKER_TRACKER, or the user's data folder]", show_default=False
    ),
]
ERROR = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(?:mm)?")

data_app = typer.Typer(help="Inspect prepared datasets.", no_args_is_help=True)
preprocess_app = typer.Typer(help="Prepare a training dataset from one of these sources.", no_args_is_help=True)


@preprocess_app.command()
@examples("talker preprocess articulated recordings/ --language de -o prepared/")
@guarded
def articulated(
    folder: Annotated[
        Path | None,
        typer.Argument(help="NAME.wav (or flac, mp3, …) beside NAME.txt, or *.trans.txt; without it, this machine's packages."),
    ] = None,
    *,
    output: OutputFolderOption,
    language: Annotated[
        str | None, typer.Option(help="Language of the folder: an espeak-ng voice such as de or pt-br. [default: en]")
    ] = None,
    voice: Annotated[str | None, typer.Option(help="Speaker of all recordings. [default: one speaker a subfolder]")] = None,
    held_out: Annotated[list[str] | None, typer.Option(help="Voice kept for the split test_voice; may be repeated.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the recordings, recorded in the manifest.")] = None,
    seed: SeedOption = 0,
    processes: Annotated[int, typer.Option(help="Number of processes; the result does not depend on it.", min=1)] = 2,
    kokoro: Annotated[
        Path | None, typer.Option(help="Folder of Kokoro-82M from tools/fetch_kokoro.sh: 78 more voices.")
    ] = None,
    speech: Annotated[Path | None, typer.Option(help="Folder of more people from tools/fetch_speech.py.")] = None,
    reuse: Annotated[
        list[Path] | None, typer.Option(help="Prepared corpus of which only the motion is made again; may be repeated.")
    ] = None,
) -> None:
    """Transcribed speech, moved by rules of articulation. The same command resumes a killed run."""
    from talker_cli.corpus.prepare import prepare, prepare_again, prepare_folder

    command = shlex.join(["talker", *sys.argv[1:]])
    given = {"language": language, "voice": voice, "licence": licence} | ({} if reuse else {"held-out": held_out})
    for name, value in given.items():
        if value and folder is None:
            raise InputError(f"found --{name} without a folder; expected a folder of transcribed speech; give one")
    for name, place in {"kokoro": kokoro, "speech": speech}.items():
        if place and folder is not None:
            raise InputError(f"found --{name} with a folder; it is for the built-in corpus; leave one of them out")
    if reuse and (kokoro or speech or folder is not None):
        raise InputError("found --reuse with other speech; it has its speech; leave one of them out")
    with progress("preparing", "parts") as advance:

        def report(stage: str, done: int, total: int) -> None:
            advance(done, total)

        if reuse:
            notes = prepare_again(
                reuse, output, rig=shipped_rig(), held_out=held_out or (), seed=seed, processes=processes, command=command,
                on_progress=report,
            )  # fmt: skip
        elif folder is None:
            notes = prepare(
                output, rig=shipped_rig(), kokoro=kokoro, speech=speech, seed=seed, processes=processes, command=command,
                on_progress=report,
            )  # fmt: skip
        else:
            notes = prepare_folder(
                folder, output, rig=shipped_rig(), language=language, voice=voice, held_out=held_out or (),
                licence=licence, seed=seed, processes=processes, command=command, on_progress=report,
            )  # fmt: skip
    show_notes(notes)
    result(output)


@preprocess_app.command()
@examples("talker preprocess vocaset VOCASET/ -o prepared/")
@guarded
def vocaset(
    folder: FolderArgument,
    output: OutputFolderOption,
    fps: FpsOption = None,
    components: ComponentsOption = None,
    error: ErrorOption = None,
    template: Annotated[Path | None, typer.Option(help="Template mesh. [default: FLAME_sample.ply in the folder]")] = None,
    regions: Annotated[str | None, typer.Option(help="File of regions. [default: FLAME_masks.pkl in the folder]")] = None,
) -> None:
    """VOCASET as downloaded, or as most repositories convert it; official splits, every second frame."""
    from talker_cli.data.vocaset import open_vocaset

    choice = parse_choice(components, error)
    _captured(open_vocaset(existing(folder), template, region_files(regions)), output, choice, fps)


@preprocess_app.command()
@examples("talker preprocess biwi BIWI/ -o prepared/ --error 0.2mm")
@guarded
def biwi(
    folder: FolderArgument,
    output: OutputFolderOption,
    fps: FpsOption = None,
    components: ComponentsOption = None,
    error: ErrorOption = None,
    template: Annotated[
        Path | None, typer.Option(help="Template mesh. [default: BIWI.ply or the scan of F2 in the folder]")
    ] = None,
    regions: Annotated[
        str | None, typer.Option(help="Files of lip and upper face vertices. [default: regions/lve.txt,regions/fdd.txt]")
    ] = None,
) -> None:
    """BIWI as it was given out (.vl), or as most repositories convert it; official splits, 25 frames a second."""
    from talker_cli.data.biwi import open_biwi

    choice = parse_choice(components, error)
    _captured(open_biwi(existing(folder), template, region_files(regions)), output, choice, fps)


@preprocess_app.command()
@examples("talker preprocess vertices captures/ --template face.ply --source-fps 60 -o prepared/")
@guarded
def vertices(
    folder: FolderArgument,
    output: OutputFolderOption,
    template: Annotated[Path, typer.Option(help="Template mesh of the clips: ply, obj, glb or npz.", show_default=False)],
    source_fps: Annotated[float, typer.Option(help="Frame rate of the clips.", min=1.0, max=1000.0, show_default=False)],
    unit: Annotated[Literal["m", "cm", "mm"], typer.Option(help="Length unit of clips and template.")] = "m",
    fps: FpsOption = None,
    components: ComponentsOption = None,
    error: ErrorOption = None,
    regions: Annotated[
        str | None, typer.Option(help="FLAME_masks.pkl, or lips.txt,upper_face.txt. [default: derived from the motion]")
    ] = None,
    lip_pairs: Annotated[
        Path | None, typer.Option(help="Text file with an upper,lower lip vertex a line. [default: found from the motion]")
    ] = None,
    clips: ClipsOption = None,
    identity: OnePersonOption = None,
    licence: LicenceOption = None,
) -> None:
    """Captures of your own: IDENTITY_NAME.npy, (T, V, 3), beside IDENTITY_NAME.wav."""
    from talker_cli.data.vertices import open_vertices

    choice = parse_choice(components, error)
    captures = open_vertices(
        existing(folder), template=template, source_fps=source_fps, unit=unit, regions=region_files(regions),
        lip_pairs=lip_pairs, table=clips, identity=identity, licence=licence,
    )  # fmt: skip
    _captured(captures, output, choice, fps)


@preprocess_app.command()
@examples("talker preprocess beat beat_english_v0.2.1/ -o prepared/")
@guarded
def beat(
    folder: FolderArgument,
    output: OutputFolderOption,
    fps: FpsOption = None,
    source_fps: SourceFpsOption = None,
    clips: ClipsOption = None,
    identity: OnePersonOption = None,
) -> None:
    """BEAT's ARKit coefficients: SPEAKER/NAME.json beside NAME.wav."""
    from talker_cli.data.beat import open_beat

    _coefficients(open_beat(existing(folder), source_fps=source_fps, table=clips, identity=identity), output, fps)


@preprocess_app.command()
@examples("talker preprocess livelink recordings/ --identity Ada -o prepared/")
@guarded
def livelink(
    folder: FolderArgument,
    output: OutputFolderOption,
    fps: FpsOption = None,
    source_fps: SourceFpsOption = None,
    clips: ClipsOption = None,
    identity: OnePersonOption = None,
    licence: LicenceOption = None,
) -> None:
    """Live Link Face recordings: IDENTITY_NAME.csv beside IDENTITY_NAME.mov, or .wav."""
    from talker_cli.data.livelink import open_livelink

    source = open_livelink(existing(folder), source_fps=source_fps, table=clips, identity=identity, licence=licence)
    _coefficients(source, output, fps)


@preprocess_app.command()
@examples("talker preprocess grid grid/ -o prepared/")
@guarded
def grid(
    folder: FolderArgument,
    output: OutputFolderOption,
    fps: FpsOption = None,
    identity: OnePersonOption = None,
    tracker: TrackerOption = None,
    processes: ProcessesOption = 2,
) -> None:
    """GRID as published: SPEAKER/NAME.mpg and .align; or landmarks of one speaker: landmarks.npz, clips.json and audio/."""
    from talker_cli.capture.grid import LICENCE, open_grid

    if (existing(folder) / "clips.json").exists():
        _coefficients(open_grid(folder, shipped_rig().rig, identity), output, fps)
    else:
        from importlib.util import find_spec

        from talker_cli.corpus.align.refine import english_phones

        align = english_phones if find_spec("pocketsphinx") else None
        if align is None:
            note("phones are not placed: that needs the extra `corpus`: pip install 'talker-cli[corpus]'")
        about = {"name": "GRID", "licence": LICENCE, "identity": identity, "language": "en", "align": align}
        _videos(folder, output, fps, tracker, processes, **about)


@preprocess_app.command()
@examples("talker preprocess video clips/ -o prepared/")
@guarded
def video(
    folder: FolderArgument,
    output: OutputFolderOption,
    fps: FpsOption = None,
    identity: OnePersonOption = None,
    licence: LicenceOption = None,
    tracker: TrackerOption = None,
    processes: ProcessesOption = 2,
) -> None:
    """Videos of talking people with sound, one folder a speaker; needs the extra `capture`."""
    from talker_cli.data.sequences import NOT_STATED

    _videos(existing(folder), output, fps, tracker, processes, licence=licence or NOT_STATED, identity=identity)


@preprocess_app.command()
@examples("talker preprocess join prepared/ captured/ -o all/")
@guarded
def join(
    folders: Annotated[list[Path], typer.Argument(help="Prepared datasets of one head and frame rate.", show_default=False)],
    output: OutputFolderOption,
) -> None:
    """Prepared datasets as one, such as captured faces beside modelled motion."""
    from talker_cli.data.join import join_datasets

    command = shlex.join(["talker", *sys.argv[1:]])
    _run(output, lambda report: join_datasets(folders, output, command=command, on_progress=report))


def _videos(folder: Path, output: Path, fps: float | None, tracker: Path | None, processes: int, **about: Any) -> None:
    """Track videos, prepare them, and remove the landmarks that a killed run would go on from."""
    import shutil

    from talker_cli.capture.tracker import tracker_file
    from talker_cli.capture.videos import open_videos

    work = output / "tracked"
    model = tracker_file(tracker)
    with progress("tracking", "videos") as advance:
        source = open_videos(
            folder, shipped_rig().rig, model, work, processes=processes,
            on_progress=lambda stage, done, total: advance(done, total), **about,
        )  # fmt: skip
    _coefficients(source, output, fps)
    shutil.rmtree(work)


def shipped_rig() -> "RigFile":
    """Return the built-in head."""
    from talker_cli.model.built_in import built_in_head

    return built_in_head()


def existing(folder: Path) -> Path:
    """Return the folder.

    Raises:
        InputError: there is none.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; expected the folder of the source data; check the path")
    return folder


def region_files(text: str | None) -> tuple[Path, ...]:
    """Return the files of `--regions`, none if it was not given."""
    from talker_cli.data.regions import parse_region_option

    return parse_region_option(text) if text is not None else ()


def parse_choice(components: int | None, error: str | None) -> "Choice":
    """Return how good the basis must be.

    Raises:
        InputError: both were given, or the error is no length.
    """
    from talker_cli.data.captures import Choice

    if error is None:
        return Choice(components)
    match = ERROR.fullmatch(error.strip())
    if components is not None:
        raise InputError("found --components and --error; expected one of them: the other follows")
    if match is None or float(match[1]) <= 0:
        raise InputError(f"found --error {error}; expected a length in millimetres, such as 0.1mm")
    return Choice(error=float(match[1]) / 1000)


def _captured(captures: "Captures", output: Path, choice: "Choice", fps: float | None) -> None:
    from talker_cli.data.captures import prepare_captures

    command = shlex.join(["talker", *sys.argv[1:]])
    _run(output, lambda report: prepare_captures(captures, output, choice, fps=fps, command=command, on_progress=report))


def _coefficients(source: "Source", output: Path, fps: float | None) -> None:
    from talker_cli.data.coefficients import prepare_coefficients

    command, rig = shlex.join(["talker", *sys.argv[1:]]), shipped_rig()
    _run(output, lambda report: prepare_coefficients(source, rig, output, fps=fps, command=command, on_progress=report))


def _run(output: Path, work: "Callable[[OnProgress], dict[str, Any]]") -> None:
    """Prepare with a progress bar; then print the notes and the path."""
    try:
        with progress("preparing", "clips") as advance:
            notes = work(lambda stage, done, total: advance(done, total))
    except KeyboardInterrupt:
        note(f"the same command resumes from the finished parts in {output}")
        raise
    show_notes(notes)
    result(output)


def show_notes(notes: "Mapping[str, Any]") -> None:
    """Print the notes of a preparation to stderr."""
    from talker_cli.data.info import note_lines

    for line in note_lines(notes):
        note(line)


@data_app.command()
@examples("talker data info prepared/ --plot clips.png")
@guarded
def info(
    dataset: Annotated[Path, typer.Argument(help="Prepared dataset.", show_default=False)],
    json_output: Annotated[bool, typer.Option("--json", help="Write everything as JSON.")] = False,
    plot: Annotated[Path | None, typer.Option(help="PNG of clips: mouth gap over the spectrogram, with phones.")] = None,
    clips: Annotated[int, typer.Option(help="Number of random clips in the image.", min=1, max=60)] = 6,
    seed: Annotated[int, typer.Option(help="Seed of the random choice of clips.", min=0)] = 0,
) -> None:
    """Show what a prepared dataset holds: clips, hours, identities, splits, errors, licence."""
    import json

    from talker_cli.data.dataset import Dataset
    from talker_cli.data.info import summarise

    opened = Dataset(dataset)
    about = summarise(opened)
    if plot is not None:
        from talker_cli.data.clip_chart import draw_clips

        if plot.suffix.lower() != ".png":
            raise InputError(f"found --plot {plot}; expected a name that ends in .png")
        about["plot"] = {"path": str(plot), "clips": draw_clips(opened, plot, count=clips, seed=seed)}
    if json_output:
        result(json.dumps(about, indent=2))
        return
    _show(about)
    if plot is not None:
        result(plot)


def _show(about: "dict[str, Any]") -> None:
    """Print a summary: facts, then a table of splits and one of identities."""
    from rich.table import Table

    from talker_cli.data.info import error_lines, note_lines

    spoken = (
        f"{about['recorded_hours']:.2f} h of speech ({about['human_hours']:.2f} h human) in {', '.join(about['languages'])}"
    )
    result(f"{about['folder']}: {about['source']}")
    result(f"licence: {about['licence']}")
    result(f"made by: {about['command'] or 'not recorded'}")
    result(f"{about['clips']} clips, {about['hours']:.2f} h of motion at {about['fps']:g} frames a second")
    result(f"{about['recordings']} recordings, {spoken}; {about['with_phones']} with phones")
    regions = ", ".join(f"{name} {count}" for name, count in about["regions"].items())
    result(f"mesh: {about['vertices']} vertices ({regions}; {about['lip_pairs']} lip pairs), {about['faces']} triangles")
    head = ", and the head's rotation" if about["head"] else ""
    result(f"basis: {about['basis']}, {about['components']} components{head}")
    for line in (*error_lines(about["reconstruction_mm"]), *note_lines(about["notes"])):
        result(line)
    splits = Table("split", "clips", "hours", "identities", "voices")
    for name, part in about["splits"].items():
        counts = (str(part["clips"]), f"{part['hours']:.2f}", str(len(part["identities"])), str(part["voices"]))
        splits.add_row(cell(name), *counts)
    people = Table("identity", "clips", "hours", "splits")
    for name, part in about["identities"].items():
        people.add_row(cell(name), str(part["clips"]), f"{part['hours']:.2f}", ", ".join(part["splits"]))
    show_table(splits, 100)
    show_table(people, 100)


@data_app.callback()
def _looks() -> None:
    """Keep `info` a word of the command line while it is the only look."""
