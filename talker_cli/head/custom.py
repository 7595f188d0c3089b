"""Heads of one's own: a person's shape parameters changed by name, and the head written to a file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError, OutputError
from talker_cli.export.glb import head_glb
from talker_cli.formats.files import atomic_path, write_bytes
from talker_cli.head.assemble import TEMPLATE_HAIR, build_head
from talker_cli.head.people import PEOPLE, Person
from talker_cli.head.shape import parameters
from talker_cli.rig import Rig, RigFile, save_rig

SUFFIXES = (".glb", ".npz", ".safetensors")
TEMPLATE = Person("template", "the template: proportions between a man's and a woman's", hair=TEMPLATE_HAIR)


def person_named(name: str | None) -> Person:
    """Return a person by name or its beginning; the template for None.

    Raises:
        InputError: no name fits, or several do.
    """
    if name is None:
        return TEMPLATE
    fitting = [person for person in PEOPLE if name and person.name.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(person.name for person in fitting or PEOPLE)
    raise InputError(f"found the person '{name}'; expected one of {known}, or the unique beginning of one", field="person")


def shaped(person: Person, settings: Sequence[str]) -> Person:
    """Return a person with shape parameters set by `name=value` texts.

    Raises:
        InputError: no such parameter, no number, or one out of range.
    """
    known = {field.name: field for field in parameters()}
    values: dict[str, float] = {}
    for text in settings:
        name, equals, number = text.partition("=")
        if not equals or name not in known:
            raise InputError(f"found {text}; expected NAME=VALUE with NAME one of {', '.join(known)}", field="shape")
        low, high = known[name].metadata["low"], known[name].metadata["high"]
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise InputError(f"found {text}; expected a number from {low:g} to {high:g}; see talker head --list", field="shape")
        values[name] = value
    return replace(person, shape=replace(person.shape, **values)) if values else person


def head_of(person: Person) -> Rig:
    """Return a person's rig: template, colours and the 52 shapes on the built-in head's mesh."""
    return build_head((person,)).rig_of(person.name)


def check_suffix(output: Path) -> None:
    """Refuse an output whose suffix is no format of a head.

    Raises:
        OutputError: the suffix is unknown.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise OutputError(f"found the output {output}; expected a name that ends in {', '.join(SUFFIXES)}", field="output")


def write_head(rig: Rig, name: str, output: Path, copyright: str | None = None) -> None:
    """Write a head with its shapes: `.glb` for other programs, `.npz` for NumPy, `.safetensors` as a rig of talker's.

    Args:
        rig: The head.
        name: Its name.
        output: The file.
        copyright: Owner and licence of a head that is not talker's.

    Raises:
        OutputError: the place cannot be written, or the suffix is unknown.
    """
    check_suffix(output)
    suffix = output.suffix.lower()
    if suffix == ".glb":
        write_bytes(output, head_glb(rig, name=name, copyright=copyright))
    elif suffix == ".npz":
        arrays = {"template": rig.template, "faces": rig.faces, "basis": rig.basis, "names": np.array(rig.names)}
        arrays |= {"lip_pairs": rig.lip_pairs} | {f"region_{region}": mask for region, mask in rig.regions.items()}
        if rig.colors is not None:
            arrays["colors"] = rig.colors
        with atomic_path(output) as temporary, temporary.open("wb") as stream:  # to a name, it would add ".npz" after ".NPZ"
            np.savez_compressed(stream, allow_pickle=False, **arrays)
    else:
        save_rig(output, RigFile(rig))
