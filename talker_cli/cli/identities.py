"""The commands enroll and identities. Workers are imported inside them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talker_cli.cli.capture import TrackerOption
from talker_cli.cli.options import (
    DEFAULT_MODEL,
    DeviceOption,
    LibraryOption,
    ModelOption,
    examples,
    guarded,
    note,
    one_thread,
    progress,
    result,
    same_file,
)

if TYPE_CHECKING:
    from talker_cli.enroll.enroller import Enrollment
    from talker_cli.enroll.record import CaptureRecord, EnrollmentRecord
    from talker_cli.identity.file import Enrolled

MAX_LINES = 10  # notes of one kind

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NameArgument = Annotated[str, typer.Argument(help="Full name of an enrolled identity.", show_default=False)]

identities = typer.Typer(
    name="identities", invoke_without_command=True, help="List, show, share, rename and remove identities."
)


@examples("talker enroll clips/ --name my_style")
@guarded
def enroll(
    clips: Annotated[
        Path, typer.Argument(help="Folder with recordings or videos of one person, or one of them.", show_default=False)
    ],
    name: Annotated[str | None, typer.Option("--name", help="Name of the identity.", show_default="the folder's")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Identity file to write (.safetensors), not the library.", show_default=False),
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="Neutral face: the model's mesh, or a .glb with ARKit shapes.", show_default=False)
    ] = None,
    source_fps: Annotated[
        float | None,
        typer.Option(
            "--source-fps", min=1, max=1000, help="Frame rate of motion beside the recordings.", show_default="inferred"
        ),
    ] = None,
    tracker: TrackerOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an identity of the same name.")] = False,
    json_output: JsonOption = False,
    library: LibraryOption = None,
    device: DeviceOption = "auto",
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Make a new identity from recordings of a voice, or videos of a talking person.

    Music, noise and silence are left out. The motion of a video is captured (extra `capture`), and the style is fitted to it
    (extra `train`), as to motion beside a recording: vertices in NAME.npy, or Live Link Face's NAME.csv. If two runs enroll one
    name at once, the first to finish keeps it.
    """
    one_thread()
    from talker_cli.capture.tracker import tracker_file
    from talker_cli.enroll.clips import recordings
    from talker_cli.formats.files import check_writable
    from talker_cli.identity.file import check_name, name_from, save_identity, shared
    from talker_cli.identity.library import Library

    paths = recordings(clips)
    folder = clips if clips.is_dir() else clips.parent
    name = check_name(name) if name is not None else name_from(clips.resolve().name if clips.is_dir() else clips.stem)
    if tracker is not None:
        tracker_file(tracker)
    target = Library(library)
    if output is None:
        target.check(name, replace)
    else:
        check_output(output)
        check_writable(output)
    from talker_cli.enroll.enroller import Enroller
    from talker_cli.enroll.face import read_face

    enroller = Enroller(model, device)
    face = None if template is None else read_face(template, enroller.rigs)
    with progress("reading", "files") as advance:
        enrollment = enroller.enroll(
            folder, paths, name, face=face, source_fps=source_fps, tracker=tracker, on_clip=advance, on_video=advance
        )
    if output is None:
        path = target.save(enrollment.identity, replace)
    else:
        save_identity(output, shared(enrollment.identity))
        path = output
    _print_summary(enrollment)
    about = {"name": name, "path": str(path), **enrollment.record.model_dump(mode="json")}
    result(json.dumps(about, indent=2) if json_output else path)


def check_output(output: Path) -> None:
    """Refuse an output that `--identity` does not take for a file."""
    from talker_cli.errors import InputError
    from talker_cli.identity.file import SUFFIX

    if output.suffix != SUFFIX:
        raise InputError(f"found {output}; expected a name that ends in {SUFFIX}", field="output")


def _print_summary(enrollment: "Enrollment") -> None:
    """Print which recordings were used, and how alike they are."""
    collection, record = enrollment.collection, enrollment.record
    for path, text in collection.notes[:MAX_LINES]:
        note(f"{path}: {text}")
    for path, reason in collection.skipped[:MAX_LINES]:
        note(f"left out {path}: {reason}")
    if len(collection.skipped) > MAX_LINES:
        note(f"left out {len(collection.skipped) - MAX_LINES} more")
    if collection.unread:
        note(f"{collection.unread} more files were not read: half an hour of speech is enough")
    for path, text in enrollment.notes[:MAX_LINES]:
        note(f"{path}: {text}")
    for error in enrollment.unused_motion[:MAX_LINES]:
        option = f" (--{error.field.replace('_', '-')})" if error.field else ""
        note(f"motion not used: {error}{option}")
    used = len(collection.clips)
    clips = f"{used} clip{'s' * (used != 1)}"
    note(f"{enrollment.identity.name}: {clips}, {collection.seconds:.1f} s of speech, {len(collection.skipped)} left out")
    if used > 1:
        note(f"similarity of each clip to all: {_similarity(record)}")
    if record.told is not None and not record.fit:
        note(f"the sound tells {100 * record.told:.0f} % of the style; the rest is the average voice's")
    note("nearest known: " + ", ".join(f"{name} {similarity:.2f}" for name, similarity in record.nearest))
    if record.captured:
        note(_captured(record.captured))
    if record.fit:
        note(f"fitted to motion: {record.fit.summary}")
    if enrollment.identity.face is None:
        note(f"it has the face of {enrollment.identity.base_face}; --template gives it its own")


def _captured(captured: "CaptureRecord") -> str:
    videos = f"{captured.videos} video{'s' * (captured.videos != 1)}"
    return (
        f"captured {videos}: {captured.seen:.1f} of {captured.seconds:.1f} s seen, lips followed within "
        f"{captured.lip_error_mm:.1f} mm in the mean"
    )


def _similarity(record: "EnrollmentRecord") -> str:
    similarity = record.similarity
    return f"{similarity.mean:.2f} on average, lowest {similarity.lowest:.2f} ({similarity.lowest_clip})"


@identities.callback()
@examples("talker identities", "talker identities --json")
@guarded
def list_identities(
    context: typer.Context,
    voices: Annotated[bool, typer.Option("--voices", help="List the voices that the model learned styles of, too.")] = False,
    library: LibraryOption = None,
    model: ModelOption = DEFAULT_MODEL,
    json_output: JsonOption = False,
) -> None:
    """List the identities of a model and of the library; or show, rename, share and remove enrolled ones."""
    from talker_cli.errors import InputError

    if context.invoked_subcommand is None:
        _list(library, model, voices, json_output)
    elif library is not None or json_output or voices or model != DEFAULT_MODEL:
        raise InputError(f"found options before {context.invoked_subcommand}; expected them after it")


def _list(library: Path | None, model: str, voices: bool, json_output: bool) -> None:
    from talker_cli.errors import IdentityError
    from talker_cli.identity.library import Library
    from talker_cli.identity.resolve import STAND_IN_NOTE, VOICE, style_space
    from talker_cli.model.folder import main_weights, model_folder
    from talker_cli.rig import load_rig

    folder = model_folder(model)
    rows = [(person.name, person.about, True) for person in load_rig(folder / "rig.safetensors").identities.values()]
    stand_ins = any("stand-in" in about for _, about, _ in rows)
    space = style_space(main_weights(folder))
    key, own = space.key, {name for name, _, _ in rows}
    faceless = [name for name in space.names if name not in own]
    if voices:
        rows += [(name, VOICE, True) for name in faceless]
    enrolled = Library(library)
    for name, identity in enrolled.load_all():
        try:
            if isinstance(identity, IdentityError):
                raise identity
            rows.append((name, _line(identity, key), identity.model == key))
        except IdentityError as error:
            rows.append((name, f"damaged: {error}", False))
    if json_output:
        result(json.dumps([{"name": name, "about": about, "usable": usable} for name, about, usable in rows], indent=2))
        return
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, about, _ in rows:
        result(f"{name:<{width}}  {about}")
    if faceless and not voices:
        note(f"voices besides these: {len(faceless)}, each a modelled style without a face of its own; --voices lists them")
    if stand_ins:
        note(STAND_IN_NOTE)


def _line(identity: "Enrolled", key: str) -> str:
    from talker_cli.enroll.record import record_of

    record = record_of(identity)
    fitted = ", fitted to motion" if record.fit else ""
    text = f"enrolled: {record.seconds:.0f} s of speech in {len(record.sources)} clips{fitted}"
    return text if identity.model == key else f"{text}; for another model: talker identities refit {identity.name}"


@identities.command()
@examples("talker identities show my_style")
@guarded
def show(name: NameArgument, library: LibraryOption = None, json_output: JsonOption = False) -> None:
    """Show how an identity was enrolled."""
    from talker_cli.enroll.record import record_of
    from talker_cli.identity.library import Library

    enrolled = Library(library)
    identity = enrolled.load(name)
    path = enrolled.path(name)
    record = record_of(identity)
    if json_output:
        about = {
            "name": name, "path": str(path), "bytes": path.stat().st_size, "model": identity.model,
            "base_face": identity.base_face, "own_face": identity.face is not None,
        }  # fmt: skip
        result(json.dumps({**about, **record.model_dump(mode="json")}, indent=2))
        return
    rows = {
        "name": name,
        "file": f"{path} ({path.stat().st_size / 1000:.1f} kB)",
        "model": f"styles {identity.model}",
        "face": f"that of {identity.base_face}"
        if identity.face is None
        else f"its own, {len(identity.face.template)} vertices",
        "speech": f"{record.seconds:.1f} s in {len(record.sources)} clips",
        "clips": record.folder or "recorded on another machine",
        "similarity": _similarity(record),
        "nearest": ", ".join(f"{known} {similarity:.2f}" for known, similarity in record.nearest),
    }
    if record.told is not None:
        rows["told"] = f"{100 * record.told:.0f} % of the style is told by the sound"
    if record.captured:
        rows["captured"] = _captured(record.captured)
    if record.fit:
        rows["fit"] = record.fit.summary
    for label, value in rows.items():
        result(f"{label:<10} {value}")


@identities.command()
@examples("talker identities remove my_style")
@guarded
def remove(name: NameArgument, library: LibraryOption = None) -> None:
    """Remove an enrolled identity."""
    from talker_cli.identity.library import Library

    result(Library(library).remove(name))


@identities.command()
@examples("talker identities rename my_style anna")
@guarded
def rename(
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(help="New name.", show_default=False)],
    library: LibraryOption = None,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Rename an enrolled identity."""
    from talker_cli.identity.library import Library

    _check_new(new_name, model)
    result(Library(library).rename(name, new_name))


def _check_new(name: str, model: str) -> None:
    """Refuse a name that means one of the model's own identities."""
    from talker_cli.identity.resolve import check_new, style_space
    from talker_cli.model.folder import main_weights, model_folder

    check_new(name, style_space(main_weights(model_folder(model))).names)


@identities.command()
@examples("talker identities export my_style -o my_style.safetensors")
@guarded
def export(
    name: NameArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write.", show_default="NAME.safetensors")
    ] = None,
    library: LibraryOption = None,
) -> None:
    """Write an enrolled identity as a file to share, without paths of your machine."""
    from talker_cli.errors import OutputError
    from talker_cli.identity.library import Library

    path = output or Path(f"{name}.safetensors")
    check_output(path)
    enrolled = Library(library)
    if name in enrolled.names() and same_file(path, enrolled.path(name)):
        raise OutputError(f"cannot write {path}: it is the library's own file of {name}; choose another", field="output")
    enrolled.export(name, path)
    result(path)


@identities.command("import")
@examples("talker identities import my_style.safetensors")
@guarded
def import_(
    file: Annotated[Path, typer.Argument(help="Identity file.", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", help="Name in the library.", show_default="as in the file")] = None,
    tracker: TrackerOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an identity of the same name.")] = False,
    library: LibraryOption = None,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Add an identity file to the library."""
    import dataclasses

    from talker_cli.enroll.record import record_of
    from talker_cli.identity.file import load_identity
    from talker_cli.identity.library import Library

    identity = load_identity(file)
    record_of(identity)
    name = name or identity.name
    _check_new(name, model)
    result(Library(library).save(dataclasses.replace(identity, name=name), replace))


@identities.command()
@examples("talker identities refit my_style")
@guarded
def refit(
    name: NameArgument, library: LibraryOption = None, device: DeviceOption = "auto", model: ModelOption = DEFAULT_MODEL
) -> None:
    """Enroll an identity again from its recordings, for another model or a later version of talker."""
    from talker_cli.identity.library import Library

    enrolled = Library(library)
    identity = enrolled.load(name)
    enrolled.check(name, replacing=True)
    one_thread()
    from talker_cli.enroll.enroller import Enroller
    from talker_cli.enroll.enroller import refit as enroll_again

    enroller = Enroller(model, device)
    with progress("reading", "files") as advance:
        enrollment = enroll_again(identity, enroller, on_note=note, on_clip=advance)
    path = enrolled.save(enrollment.identity, replacing=True)
    _print_summary(enrollment)
    result(path)
