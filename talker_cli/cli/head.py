"""The command that makes heads. The work is imported inside, so that help is instant."""

from pathlib import Path
from typing import Annotated

import typer

from talker_cli.cli.options import guarded, note, progress, result


@guarded
def head(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The head to write, by suffix: .glb, .npz or .safetensors (a rig).")
    ] = None,
    person: Annotated[str | None, typer.Option(help="Whose head to begin with: a name, or the beginning of one.")] = None,
    shape: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A shape parameter; give it as often as you like.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the people and the shape parameters.")] = False,
    sheets: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Draw the head's contact sheets there.")] = None,
) -> None:
    """Make a head of your own, with the 52 ARKit shapes: the same mesh for everybody.

    Example: talker head --person mei --shape nose_width=2 --shape age=0.6 -o my_head.glb
    """
    from talker_cli.errors import InputError
    from talker_cli.formats.files import check_writable
    from talker_cli.head.custom import check_suffix, head_of, person_named, shaped, write_head

    if not list_ and output is None and sheets is None:
        raise InputError("nothing to do; expected -o FILE, --list or --sheets FOLDER; for example: talker head -o my_head.glb")
    made = shaped(person_named(person), shape or [])
    if list_:
        _list()
    if output is not None:
        check_suffix(output)
        check_writable(output)
        rig = head_of(made)
        write_head(rig, made.name, output)
        note(f"{made.name}: {len(rig.template)} vertices, {len(rig.faces)} triangles, {len(rig.names)} shapes")
        result(output)
    if sheets is not None:
        from talker_cli.head.sheets import write_sheets

        with progress("drawing", "sheets") as advance:
            places = write_sheets(sheets, advance)
        for place in places:
            result(place)


def _list() -> None:
    from talker_cli.head.people import PEOPLE
    from talker_cli.head.shape import parameters

    width = max(len(person.name) for person in PEOPLE)
    result("people (--person)")
    for person in PEOPLE:
        result(f"  {person.name:<{width}}  {person.about}")
    result("shape parameters (--shape NAME=VALUE): default, range, meaning")
    for field in parameters():
        low, high = field.metadata["low"], field.metadata["high"]
        span = f"{low:g} … {high:g}"
        result(f"  {field.name:<14} {field.default:<4g} {span:<14} {field.metadata['about']}")
