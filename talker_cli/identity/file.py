"""An enrolled identity as one safetensors file: a style vector, its own face if it has one, and the record of its enrolment."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import IdentityError
from talker_cli.formats.files import ArrayFile, write_arrays
from talker_cli.formats.schema import Schema, Text
from talker_cli.rig import Rig, RigFile, RigHeader, pack_arrays, unpack_arrays

SUFFIX = ".safetensors"
NAME = re.compile(r"[^\W_][\w.\-]{0,99}")
RESERVED = ("auto",)  # --identity gives it another meaning
FORMAT = 1  # of identity files; raised when older versions can no longer read them
MOST_BYTES = 180  # of a name; file systems allow 255 with the suffix


@dataclass(frozen=True)
class IdentityFace:
    """An identity's own face.

    Args:
        template: (V, 3) float32, metres.
        colors: (V, 3) uint8 sRGB, or None for the model's.
        rig: Rig of a mesh other than the model's, whose `template` and `colors` these are; None for the model's mesh.
    """

    template: np.ndarray
    colors: np.ndarray | None = None
    rig: Rig | None = None


@dataclass(frozen=True)
class Enrolled:
    """An identity that was enrolled for a model after its training.

    Args:
        name: Name of the identity.
        style: (S,) float32 style vector.
        model: Key of the model's style space; see `resolve.style_space`.
        base_face: Name of the model's identity whose face it has without a face of its own.
        face: Its own face, or None.
        offset: (K,) float32 added to all coefficients, a resting expression; or None.
        record: Record of the enrolment; see `enroll.record`.
    """

    name: str
    style: np.ndarray
    model: str
    base_face: str
    face: IdentityFace | None = None
    offset: np.ndarray | None = None
    record: dict[str, Any] = field(default_factory=dict)

    def rig(self, base: RigFile) -> Rig:
        """Return the rig that this identity moves.

        Args:
            base: Rig file of the model.

        Raises:
            IdentityError: the face was made for another mesh or other shapes, or the model lacks the identity of its face.
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
        return base.rig.as_person(self.face.template, colors)


def check_name(name: str) -> str:
    """Return `name` if it can be an identity's.

    Raises:
        IdentityError: it is empty, reserved, or holds characters with another meaning in an identity option or a file name.
    """
    if NAME.fullmatch(name[:1] + _without_marks(name[1:])) and name not in RESERVED and not name.endswith(SUFFIX):
        if len(name.encode()) > MOST_BYTES:
            raise IdentityError(f"found the name '{name}'; expected {MOST_BYTES} bytes or fewer; choose a shorter one", "name")
        return name
    raise IdentityError(
        f"found the name '{name}'; expected letters, digits, '_', '-' and '.', a letter or digit first, and not 'auto'; "
        "choose another name",
        "name",
    )


def name_from(text: str) -> str:
    """Return an identity's name from a folder's: `My clips (2)` -> `My_clips_2`.

    Raises:
        IdentityError: it has no usable character.
    """
    return check_name(_in_name(text).strip("_.-")[:100].encode()[:MOST_BYTES].decode(errors="ignore"))


def _in_name(text: str) -> str:
    """Return `text` with one underscore for each run of characters that a name cannot hold."""
    return re.sub("\0+", "_", "".join(each if each in "_.-" or each.isalnum() or _is_mark(each) else "\0" for each in text))


def _without_marks(text: str) -> str:
    """Return `text` without combining marks: vowels of Hindi, accents as macOS writes them."""
    return "".join(each for each in text if not _is_mark(each))


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


class IdentityHeader(Schema):
    """Metadata of an identity file."""

    format: int
    name: Text
    model: Text
    base_face: Text
    rig: RigHeader | None = None
    record: dict[str, Any]


def save_identity(path: Path, identity: Enrolled) -> None:
    """Write an identity, atomically; the same identity gives the same bytes.

    Raises:
        OutputError: the place cannot be written.
    """
    arrays = {"style": identity.style.astype(np.float32)}
    if identity.offset is not None:
        arrays["offset"] = identity.offset.astype(np.float32)
    header: dict[str, Any] = {
        "kind": "identity", "format": FORMAT, "name": identity.name, "model": identity.model, "base_face": identity.base_face,
        "record": identity.record,
    }  # fmt: skip
    face = identity.face
    if face is not None and face.rig is not None:
        own, header["rig"] = pack_arrays(face.rig)
        arrays |= own
    elif face is not None:
        arrays["template"] = face.template.astype(np.float32)
        if face.colors is not None:
            arrays["colors"] = face.colors
    write_arrays(path, arrays, header)


def load_identity(path: Path) -> Enrolled:
    """Read an identity file.

    Raises:
        IdentityError: it is missing, damaged, of another kind, or was written by a later version.
    """
    file = ArrayFile(path, "identity file", IdentityError, "give another, or enrol again")
    header = file.header(IdentityHeader, "identity")
    if header.format > FORMAT:
        raise IdentityError(f"{path} is an identity of format {header.format}; expected {FORMAT}; update talker")
    face = None
    if header.rig is not None:
        rig = unpack_arrays(file, header.rig)
        face = IdentityFace(rig.template, rig.colors, rig)
    elif "template" in file.names:
        template = file.array("template", "F32", (None, 3))
        colors = file.array("colors", "U8", template.shape) if "colors" in file.names else None
        face = IdentityFace(template, colors)
    offset = file.array("offset", "F32", (None,)) if "offset" in file.names else None
    style = file.array("style", "F32", (None,))
    return Enrolled(header.name, style, header.model, header.base_face, face, offset, file.metadata["record"])


def shared(identity: Enrolled) -> Enrolled:
    """Return the identity without the folder of its recordings, which belongs to one machine."""
    return replace(identity, record={**identity.record, "folder": None})


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Return a short hash of arrays as half floats, so that weights stored in half precision hash as the full ones do."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.shape} ".encode() + array.astype(np.float16).tobytes())
    return total.hexdigest()[:16]
