"""The commands that make identities and keep them: enroll, identities. Imported workers stay inside them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talker_cli.cli.options import (
    DEFAULT_MODEL,
    DeviceOption,
    LibraryOption,
    ModelOption,
    guarded,
    note,
    progress,
    result,
    same_file,
)

if TYPE_CHECKING:
    from talker_cli.enroll.enroller import Enrolment
    from talker_cli.identity.file import Enrolled

FEW = 10  # clips left out that are named one by one

JsonOption = Annotated[bool, typer.Option("--json", help="Write it as JSON.")]
NameArgument = Annotated[str, typer.Argument(help="An identity's full name.", show_default=False)]

identities = typer.Typer(name="identities", invoke_without_command=True, help="List, share, rename and remove who can speak.")


@guarded
def enroll(
    clips: Annotated[Path, typer.Argument(help="A folder with recordings of one voice, or one recording.", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", help="What to call the identity.", show_default="the folder's")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .safetensors file to share; not the library.", show_default=False)
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="Its own face: the model's mesh, or a .glb with ARKit's shapes.", show_default=False)
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of an identity of the same name.")] = False,
    json_output: JsonOption = False,
    library: LibraryOption = None,
    device: DeviceOption = "auto",
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Make a new identity of recordings of somebody's voice.

    Music, noise and silence are left out. Motion beside a recording counts too: vertices as NAME.npy, or Live Link Face's
    NAME.csv. Of two enrolments under one name at once, the first to finish keeps it.

    Example: talker enroll clips/ --name my_style
    """
    from talker_cli.enroll.clips import recordings
    from talker_cli.formats.files import check_writable
    from talker_cli.identity.file import check_name, name_from, save_identity, shared
    from talker_cli.identity.library import Library

    paths = recordings(clips)
    base = clips if clips.is_dir() else clips.parent
    called = check_name(name) if name is not None else name_from(clips.resolve().name if clips.is_dir() else clips.stem)
    place = Library(library)
    if output is None:
        place.check(called, replace)
    else:
        check_output(output)
        check_writable(output)
    from talker_cli.enroll.enroller import Enroller
    from talker_cli.enroll.face import read_face

    enroller = Enroller(model, device)
    face = None if template is None else read_face(template, enroller.rigs)
    with progress("listening", "files") as advance:
        made = enroller.enroll(base, paths, called, face=face, on_note=note, on_clip=advance)
    if output is None:
        where = place.save(made.person, replace)
    else:
        save_identity(output, shared(made.person))
        where = output
    _tell(made)
    result(json.dumps({"name": called, "path": str(where), **made.person.record}, indent=2) if json_output else where)


def check_output(output: Path) -> None:
    """Refuse an output that `--identity` would not take for a file."""
    from talker_cli.errors import InputError
    from talker_cli.identity.file import SUFFIX

    if output.suffix != SUFFIX:
        raise InputError(f"found the output {output}; expected a name that ends in {SUFFIX}; give another -o")


def _tell(made: "Enrolment") -> None:
    """Say what was heard."""
    collection, found = made.collection, made.spread
    for path, what in collection.notes[:FEW]:
        note(f"{path}: {what}")
    for path, reason in collection.left_out[:FEW]:
        note(f"left out {path}: {reason}")
    if len(collection.left_out) > FEW:
        note(f"left out {len(collection.left_out) - FEW} more")
    if collection.spared:
        note(f"{collection.spared} more files were not needed: half an hour of speech is enough")
    used = len(collection.clips)
    clips = f"{used} clip{'s' * (used != 1)}"
    note(f"{made.person.name}: {clips}, {collection.seconds:.1f} s of speech, {len(collection.left_out)} left out")
    if used > 1:
        note(f"likeness of a clip to all: {found.mean:.2f} on average, least {found.least:.2f} ({found.oddest})")
    note("nearest known: " + ", ".join(f"{name} {similarity:.2f}" for name, similarity in made.nearest))
    fitted = made.person.record.get("fit")
    if fitted:
        note(f"fitted to motion: {fitted['summary']}")
    if found.groups is not None:
        ours, others = found.groups
        note(
            f"warning: the clips sound like two people (similarity {found.apart:.2f}): {len(ours)} clips such as {ours[0]}, "
            f"{len(others)} such as {others[0]}; enrol each folder on its own"
        )
    if made.person.face is None:
        note(f"it has the face of {made.person.base_face}; --template gives it its own")


@identities.callback()
@guarded
def _default(context: typer.Context, library: LibraryOption = None, model: ModelOption = DEFAULT_MODEL) -> None:
    """List whom a model can animate, the enrolled ones too; or show, rename, share and remove those.

    Example: talker identities
    """
    if context.invoked_subcommand is None:
        _list(library, model, False)


@identities.command("list")
@guarded
def list_(library: LibraryOption = None, model: ModelOption = DEFAULT_MODEL, json_output: JsonOption = False) -> None:
    """List whom a model can animate.

    Example: talker identities list --json
    """
    _list(library, model, json_output)


def _list(library: Path | None, model: str, json_output: bool) -> None:
    from talker_cli.errors import IdentityError
    from talker_cli.identity.library import Library
    from talker_cli.identity.resolve import STAND_IN_NOTE, style_space
    from talker_cli.model.folder import main_weights, model_folder
    from talker_cli.rig import load_rig

    folder = model_folder(model)
    people = [(person.name, person.about, True) for person in load_rig(folder / "rig.safetensors").identities.values()]
    stand_ins = any("stand-in" in about for _, about, _ in people)
    key = style_space(main_weights(folder)).key
    place = Library(library)
    for name, person in zip(place.names(), place.people(), strict=True):
        if isinstance(person, IdentityError):
            people.append((name, f"damaged: {person}", False))
        else:
            people.append((name, _summary(person, key), person.model == key))
    if json_output:
        result(json.dumps([{"name": name, "about": about, "usable": usable} for name, about, usable in people], indent=2))
        return
    width = max((len(name) for name, _, _ in people), default=0)
    for name, about, _ in people:
        result(f"{name:<{width}}  {about}")
    if stand_ins:
        note(STAND_IN_NOTE)


def _summary(person: "Enrolled", key: str) -> str:
    record = person.record
    fitted = ", fitted to motion" if record.get("fit") else ""
    text = f"enrolled: {record['seconds']:.0f} s of speech in {len(record['sources'])} clips{fitted}"
    return text if person.model == key else f"{text}; for another model: talker identities refit {person.name}"


@identities.command()
@guarded
def show(name: NameArgument, library: LibraryOption = None, json_output: JsonOption = False) -> None:
    """Show how an identity was enrolled.

    Example: talker identities show my_style
    """
    from talker_cli.identity.library import Library

    place = Library(library)
    person = place.load(name)
    path = place.path(name)
    record = person.record
    if json_output:
        about = {
            "name": name,
            "path": str(path),
            "bytes": path.stat().st_size,
            "model": person.model,
            "base_face": person.base_face,
        }
        result(json.dumps({**about, "own_face": person.face is not None, **record}, indent=2))
        return
    rows: dict[str, Any] = {
        "name": name,
        "file": f"{path} ({path.stat().st_size / 1000:.1f} kB)",
        "model": f"styles {person.model}",
        "face": f"that of {person.base_face}" if person.face is None else f"its own, {len(person.face.template)} vertices",
        "speech": f"{record['seconds']:.1f} s in {len(record['sources'])} clips",
        "clips": record.get("folder") or "recorded on another machine",
        "likeness": f"{record['spread']['mean']:.2f} on average, least {record['spread']['least']:.2f} "
        f"({record['spread']['oddest']})",
        "nearest": ", ".join(f"{known} {similarity:.2f}" for known, similarity in record["nearest"]),
    }
    if record.get("fit"):
        rows["fit"] = record["fit"]["summary"]
    for label, value in rows.items():
        result(f"{label:<9} {value}")


@identities.command()
@guarded
def remove(name: NameArgument, library: LibraryOption = None) -> None:
    """Remove an enrolled identity.

    Example: talker identities remove my_style
    """
    from talker_cli.identity.library import Library

    result(Library(library).remove(name))


@identities.command()
@guarded
def rename(
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(help="What to call it from now on.", show_default=False)],
    library: LibraryOption = None,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Give an enrolled identity another name.

    Example: talker identities rename my_style anna
    """
    from talker_cli.identity.library import Library

    _check_new(new_name, model)
    result(Library(library).rename(name, new_name))


def _check_new(name: str, model: str) -> None:
    """Refuse the names of the model's own identities."""
    from talker_cli.identity.resolve import check_new
    from talker_cli.model.folder import model_folder
    from talker_cli.rig import load_rig

    check_new(name, load_rig(model_folder(model) / "rig.safetensors").identities)


@identities.command()
@guarded
def export(
    name: NameArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file.", show_default="NAME.safetensors")] = None,
    library: LibraryOption = None,
) -> None:
    """Write an enrolled identity as a file to share: without the paths of your machine.

    Example: talker identities export my_style -o my_style.safetensors
    """
    from talker_cli.errors import OutputError
    from talker_cli.identity.library import Library

    path = output or Path(f"{name}.safetensors")
    check_output(path)
    kept = Library(library)
    if name in kept.names() and same_file(path, kept.path(name)):
        raise OutputError(f"cannot write {path}: it is the library's own file of {name}; choose another -o")
    kept.export(name, path)
    result(path)


@identities.command("import")
@guarded
def import_(
    file: Annotated[Path, typer.Argument(help="An identity file.", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", help="What to call it here.", show_default="as in the file")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of an identity of the same name.")] = False,
    library: LibraryOption = None,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Take an identity file into the library.

    Example: talker identities import my_style.safetensors
    """
    import dataclasses

    from talker_cli.identity.file import load_identity
    from talker_cli.identity.library import Library

    person = load_identity(file)
    called = name or person.name
    _check_new(called, model)
    result(Library(library).save(dataclasses.replace(person, name=called), replace))


@identities.command()
@guarded
def refit(
    name: NameArgument, library: LibraryOption = None, device: DeviceOption = "auto", model: ModelOption = DEFAULT_MODEL
) -> None:
    """Enrol an identity again from its recordings: for another model, or a later version of talker.

    Example: talker identities refit my_style
    """
    from talker_cli.identity.library import Library

    place = Library(library)
    person = place.load(name)
    place.check(name, replacing=True)
    from talker_cli.enroll.enroller import Enroller
    from talker_cli.enroll.enroller import refit as run

    enroller = Enroller(model, device)
    with progress("listening", "files") as advance:
        made = run(person, enroller, on_note=note, on_clip=advance)
    where = place.save(made.person, replacing=True)
    _tell(made)
    result(where)
