"""`talker head`: heads of one's own. The work is imported inside, so that help is instant."""

from pathlib import Path
from typing import Annotated

import typer

from talker_cli.cli.options import examples, guarded, note, result


@examples(
    "talker head --person mei --shape nose_width=2 --shape age=0.6 -o my_head.glb",
    "talker head --from ICT-FaceKit/FaceXModel --shape identity003=1.5 -o ict.glb",
    "talker head --from gnm_head.npz --shape head_003=1.5 -o gnm.glb",
)
@guarded
def head(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Output: .glb, .npz or .safetensors (a rig).", show_default=False)
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(help="Person to start from: a name, or its beginning. [default: the template]", show_default=False),
    ] = None,
    shape: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Shape parameter; repeatable.")] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Head of another project: ICT-FaceKit's folder FaceXModel, or GNM's gnm_head.npz.",
            show_default=False,
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the people and the shape parameters.")] = False,
) -> None:
    """Make a head with the 52 ARKit shapes; every head of talker's own has the same mesh."""
    from talker_cli.errors import InputError
    from talker_cli.formats.files import check_writable
    from talker_cli.head.custom import check_suffix, head_of, person_named, shaped, write_head

    if source is not None:
        if person is not None or list_ or output is None:
            raise InputError("found --from with --person or --list, or without -o; expected -o, and --shape identity003=1.5")
        _write_foreign(source, shape or [], output)
        return
    if not list_ and output is None:
        raise InputError("nothing to do; expected -o FILE or --list; for example: talker head -o my_head.glb")
    chosen = shaped(person_named(person), shape or [])
    if list_:
        _list()
    if output is not None:
        check_suffix(output)
        check_writable(output)
        rig = head_of(chosen)
        write_head(rig, chosen.name, output)
        note(f"{chosen.name}: {len(rig.template)} vertices, {len(rig.faces)} triangles, {len(rig.names)} shapes")
        result(output)


def _write_foreign(source: Path, shape: list[str], output: Path) -> None:
    from talker_cli.formats.files import check_writable
    from talker_cli.head import ict
    from talker_cli.head.custom import check_suffix, write_head
    from talker_cli.rigging import gnm

    check_suffix(output)
    check_writable(output)
    if source.suffix.lower() == ".npz":
        rigged = gnm.read_gnm(source, shape)
        rig, name, copyright = rigged.rig, "GNM", gnm.COPYRIGHT
        note(rigged.summary)
    else:
        rig, name, copyright = ict.read_ict(source, shape), "ICT", ict.COPYRIGHT
    write_head(rig, name, output, copyright)
    note(f"{copyright}; {len(rig.template)} vertices, {len(rig.faces)} triangles, {len(rig.names)} shapes")
    result(output)


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
