"""An enrolled identity as one safetensors file: a style vector, a face if it has one of its own, and how it came about."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import IdentityError, ModelError
from talker_cli.formats.files import ArrayFile, write_arrays
from talker_cli.rig import Rig, RigFile, pack_basis, unpack_basis

SUFFIX = ".safetensors"
NAME = re.compile(r"[^\W_][\w.\-]{0,99}")
RESERVED = ("auto",)  # --identity gives it another meaning
FORMAT = 2  # what is written; 1 kept the basis of an identity's own rig whole
MOST_BYTES = 180  # of a name: file systems allow 255 for a file's, and temporary ones are longer


@dataclass(frozen=True)
class IdentityFace:
    """A face of somebody's own.

    Args:
        template: (V, 3) float32, metres.
        colors: (V, 3) uint8 sRGB, or None for the model's.
        rig: a whole rig, if the mesh is not the model's; then `template` and `colors` are the rig's.
    """

    template: np.ndarray
    colors: np.ndarray | None = None
    rig: Rig | None = None


@dataclass(frozen=True)
class Enrolled:
    """A person that a model can speak as without having been trained on them.

    Args:
        name: what `--identity` calls it.
        style: (S,) float32.
        model: key of the style space it lies in; see `identities.style_space`.
        base_face: the name of the model's identity whose face it has while it has none of its own.
        face: its own face, or None.
        offset: (K,) float32 added to all coefficients: a resting expression; or None.
        record: how it was enrolled: folder, sources with hashes, seconds, spread, nearest, gain.
    """

    name: str
    style: np.ndarray
    model: str
    base_face: str
    face: IdentityFace | None = None
    offset: np.ndarray | None = None
    record: dict[str, Any] = field(default_factory=dict)

    def rig(self, base: RigFile) -> Rig:
        """Return the rig that this person moves.

        Raises:
            IdentityError: the face was made for another mesh or other shapes, or the model has no such identity to borrow
                one from.
        """
        if self.face is None:
            if self.base_face not in base.identities:
                raise IdentityError(
                    f"identity '{self.name}' uses the face of {self.base_face}, which this model lacks; refit it"
                )
            return base.rig_of(self.base_face)
        if self.face.rig is not None:
            if self.face.rig.names != base.rig.names:
                raise IdentityError(f"identity '{self.name}' has a face with other shapes than this model moves; refit it")
            return self.face.rig
        if self.face.template.shape != base.rig.template.shape:
            found, expected = len(self.face.template), len(base.rig.template)
            raise IdentityError(f"identity '{self.name}' has a face of {found} vertices; the model's have {expected}; refit it")
        colors = base.rig.colors if self.face.colors is None else self.face.colors
        return replace(base.rig, template=self.face.template, colors=colors)


def check_name(name: str) -> str:
    """Return `name` if an identity can be called so.

    Raises:
        IdentityError: it is empty, reserved, or holds what `--identity` or a file name gives another meaning.
    """
    if NAME.fullmatch(name[:1] + _without_marks(name[1:])) and name not in RESERVED and not name.endswith(SUFFIX):
        if len(name.encode()) > MOST_BYTES:
            raise IdentityError(f"found the name '{name}'; expected {MOST_BYTES} bytes or fewer; choose a shorter --name")
        return name
    raise IdentityError(
        f"found the name '{name}'; expected letters, digits, '_', '-' and '.', a letter or digit first, and not 'auto'; "
        "choose another with --name"
    )


def name_from(text: str) -> str:
    """Return an identity's name made of a folder's: `My clips (2)` -> `My_clips_2`.

    Raises:
        IdentityError: nothing of it can be used.
    """
    return check_name(_in_name(text).strip("_.-")[:100].encode()[:MOST_BYTES].decode(errors="ignore"))


def _in_name(text: str) -> str:
    """Return `text` with one underscore for each run of what a name cannot hold."""
    return re.sub("\0+", "_", "".join(sign if sign in "_.-" or sign.isalnum() or _is_mark(sign) else "\0" for sign in text))


def _without_marks(text: str) -> str:
    """Return `text` without the signs that change the letter before them: vowels of Hindi, accents as macOS writes them."""
    return "".join(sign for sign in text if not _is_mark(sign))


def _is_mark(sign: str) -> bool:
    return unicodedata.category(sign).startswith("M")


def save_identity(path: Path, person: Enrolled) -> None:
    """Write an identity, atomically; the same identity gives the same bytes.

    Raises:
        OutputError: the place cannot be written.
    """
    arrays = {"style": person.style.astype(np.float32)}
    if person.offset is not None:
        arrays["offset"] = person.offset.astype(np.float32)
    header: dict[str, Any] = {
        "kind": "identity", "format": FORMAT, "name": person.name, "model": person.model, "base_face": person.base_face,
        "record": person.record,
    }  # fmt: skip
    face = person.face
    if face is not None:
        arrays["template"] = face.template.astype(np.float32)
        if face.colors is not None:
            arrays["colors"] = face.colors
        if face.rig is not None:
            rig = face.rig
            arrays |= {"faces": rig.faces, "lip_pairs": rig.lip_pairs} | pack_basis(rig.basis)
            arrays |= {f"region/{name}": mask for name, mask in rig.regions.items()}
            header["rig"] = {"names": list(rig.names), "fps": rig.fps, "regions": sorted(rig.regions)}
    write_arrays(path, arrays, header)


def load_identity(path: Path) -> Enrolled:
    """Read an identity file.

    Raises:
        IdentityError: it is missing, damaged, holds something else, or was written by a later version.
    """
    try:
        file = ArrayFile(path, "identity")
        header = file.metadata
        if not isinstance(header, dict) or header.get("kind") != "identity":
            found = header.get("kind") if isinstance(header, dict) else type(header).__name__
            raise IdentityError(f"{path} holds a {found}; expected an identity that talker enroll wrote; give another file")
        if header.get("format") not in (1, FORMAT):
            raise IdentityError(f"{path} is an identity of format {header.get('format')}; expected {FORMAT}; update talker")
        return Enrolled(
            header["name"], _finite(file, "style"), header["model"], header["base_face"], _face(file, header),
            _finite(file, "offset") if "offset" in file.names else None, header["record"],
        )  # fmt: skip
    except (ModelError, KeyError, TypeError) as error:
        said = str(error).replace("check the path or --model", "check the name or the path")
        raise IdentityError(said.replace("download or train it again", "enrol again")) from error


def _face(file: ArrayFile, header: dict[str, Any]) -> IdentityFace | None:
    if "template" not in file.names:
        return None
    template = _finite(file, "template")
    colors = file.array("colors") if "colors" in file.names else None
    about = header.get("rig")
    if about is None:
        return IdentityFace(template, colors)
    regions = {name: file.array(f"region/{name}") for name in about["regions"]}
    faces, pairs = file.array("faces"), file.array("lip_pairs")
    basis = unpack_basis(file, len(about["names"]), len(template))
    return IdentityFace(
        template, colors, Rig(template, faces, basis, tuple(about["names"]), regions, pairs, about["fps"], colors)
    )


def _finite(file: ArrayFile, name: str) -> np.ndarray:
    array = file.array(name)
    if not np.isfinite(array).all():
        raise IdentityError(f"{file.path} holds NaN or infinity in '{name}'; expected finite numbers; enrol again")
    return array


def shared(person: Enrolled) -> Enrolled:
    """Return the identity without what belongs to the machine it was made on: the folder of its recordings."""
    return replace(person, record={**person.record, "folder": None})


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Return a short hash of arrays as half floats, so that weights stored in half precision hash as the full ones do."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.shape} ".encode() + array.astype(np.float16).tobytes())
    return total.hexdigest()[:16]
