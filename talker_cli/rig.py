"""A rig: a template mesh and a linear motion basis, `vertices = template + sum_k coefficients[k] * basis[k]`.

Arrays are float32 in metres, +y up, +z out of the face, +x the subject's left.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from talker_cli.formats.files import ArrayFile, write_arrays
from talker_cli.formats.schema import FrameRate, Schema, Text

# ARFaceAnchor.BlendShapeLocation, in the order of Apple's documentation: eyes, jaw and mouth, brows, cheeks, nose, tongue.
ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight",
    "eyeWideRight",
    "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip


@dataclass(frozen=True)
class Rig:
    """A template mesh, the basis that moves it, and the vertex sets of the metrics.

    Args:
        template: (V, 3) float32, neutral face, metres.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        basis: (K, V, 3) float32, offsets of one unit of each coefficient, metres.
        names: K coefficient names.
        regions: Name -> (V,) bool; LVE is measured on `lips`, FDD on `upper_face`.
        lip_pairs: (P, 2) int32, upper and lower inner-lip vertices that meet when the mouth closes.
        fps: Frames a second of the motion that this rig was made for.
        colors: (V, 3) uint8 sRGB, or None.
    """

    template: np.ndarray
    faces: np.ndarray
    basis: np.ndarray
    names: tuple[str, ...]
    regions: dict[str, np.ndarray]
    lip_pairs: np.ndarray
    fps: float
    colors: np.ndarray | None = None

    def offsets(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the (T, V, 3) float32 displacements, metres, of (T, K) coefficients."""
        flat = self.basis.reshape(len(self.names), -1)
        return (coefficients.astype(np.float32, copy=False) @ flat).reshape(len(coefficients), -1, 3)

    def decode(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the (T, V, 3) float32 vertices, metres, of (T, K) coefficients."""
        vertices = self.offsets(coefficients)
        vertices += self.template
        return vertices

    def gram(self, vertex_weights: np.ndarray) -> np.ndarray:
        """Return G (K, K) with `c @ G @ c = sum_v w_v |offset_v(c)|^2`, square metres, for (V,) weights."""
        weighted = self.basis * np.sqrt(vertex_weights.astype(np.float64))[None, :, None]
        flat = weighted.reshape(len(self.names), -1)
        return np.asarray(flat @ flat.T)

    def lip_gap_rows(self) -> np.ndarray:
        """Return (P, K): metres of vertical opening at each lip pair for one unit of each coefficient."""
        upper, lower = self.lip_pairs.T
        return np.asarray((self.basis[:, upper, 1] - self.basis[:, lower, 1]).T)

    def upper_face_names(self) -> tuple[str, ...]:
        """Return the coefficients that move the upper face or the eyes further, per vertex, than the lips."""
        squares = np.square(self.basis).sum(-1)  # (K, V)
        means = {name: squares[:, where].mean(-1) for name, where in self.regions.items() if where.any()}
        upper = np.maximum(means["upper_face"], means.get("eyes", 0.0))
        return tuple(name for name, moves in zip(self.names, upper > means["lips"], strict=True) if moves)


@dataclass(frozen=True)
class Identity:
    """An identity of a model: its name, neutral face (V, 3) in metres, colours (V, 3) uint8, and a line of description."""

    name: str
    template: np.ndarray
    colors: np.ndarray | None = None
    about: str = ""


@dataclass(frozen=True)
class RigFile:
    """A rig together with the identities that share its topology and basis."""

    rig: Rig
    identities: dict[str, Identity] = field(default_factory=dict)

    def rig_of(self, identity: str) -> Rig:
        """Return the rig with an identity's template and colours in place of the neutral ones."""
        own = self.identities[identity]
        return replace(self.rig, template=own.template, colors=own.colors)


class RigHeader(Schema):
    """Metadata that places a rig's arrays."""

    names: tuple[Text, ...] = Field(min_length=1)
    fps: FrameRate
    regions: tuple[Text, ...]


class IdentityHeader(Schema):
    """Metadata of an identity in a rig file."""

    name: Text = Field(min_length=1)
    about: Text


class RigFileHeader(RigHeader):
    """Metadata of a rig file."""

    identities: tuple[IdentityHeader, ...]


def save_rig(path: Path, content: RigFile) -> None:
    """Write a rig and its identities as one safetensors file, atomically."""
    write_arrays(path, *pack_rig(content))


def pack_rig(content: RigFile) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return a rig file's arrays and metadata."""
    rig = content.rig
    arrays, header = pack_arrays(rig)
    for identity in content.identities.values():
        arrays[f"identity/{identity.name}/template"] = identity.template
        if identity.colors is not None:
            arrays[f"identity/{identity.name}/colors"] = identity.colors
    identities = [{"name": identity.name, "about": identity.about} for identity in content.identities.values()]
    return arrays, {"kind": "rig", **header, "identities": identities}


def pack_arrays(rig: Rig) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of a rig and the metadata that places them.

    A shape of a face moves a part of it: of the built-in head's offsets, 91 % are zero. The file holds `basis`, the N offsets
    that are not zero, and `basis_moved`, K·V bits that place them.
    """
    moved = (rig.basis != 0).any(-1)
    arrays = {
        "template": rig.template, "faces": rig.faces, "lip_pairs": rig.lip_pairs, "basis": rig.basis[moved],
        "basis_moved": np.packbits(moved),
    }  # fmt: skip
    arrays |= {f"region/{name}": mask for name, mask in rig.regions.items()}
    if rig.colors is not None:
        arrays["colors"] = rig.colors
    return arrays, {"names": list(rig.names), "fps": rig.fps, "regions": sorted(rig.regions)}


def unpack_arrays(file: ArrayFile, header: RigHeader) -> Rig:
    """Return the rig in a file.

    Raises:
        TalkerError: an array is missing, of another type or shape, not finite, or names vertices that the template lacks.
    """
    template = file.array("template", "F32", (None, 3))
    count = len(template)
    faces, lip_pairs = file.array("faces", "I32", (None, 3)), file.array("lip_pairs", "I32", (None, 2))
    for name, indices in (("faces", faces), ("lip_pairs", lip_pairs)):
        if indices.size and not 0 <= indices.min() <= indices.max() < count:
            raise file.error(f"{file.path} is damaged ({name} name vertices beyond the {count} of the template); {file.remedy}")
    bits = file.array("basis_moved", "U8", (-(-len(header.names) * count // 8),))
    moved = np.unpackbits(bits, count=len(header.names) * count).astype(bool).reshape(-1, count)
    basis = np.zeros((*moved.shape, 3), np.float32)
    basis[moved] = file.array("basis", "F32", (int(moved.sum()), 3))
    return Rig(
        template=template,
        faces=faces,
        basis=basis,
        names=header.names,
        regions={name: file.array(f"region/{name}", "BOOL", (count,)) for name in header.regions},
        lip_pairs=lip_pairs,
        fps=header.fps,
        colors=file.array("colors", "U8", (count, 3)) if "colors" in file.names else None,
    )


def load_rig(path: Path) -> RigFile:
    """Read a rig and its identities.

    Raises:
        ModelError: the file is missing, damaged, or of another kind.
    """
    file = ArrayFile(path, "rig file")
    header = file.header(RigFileHeader, "rig")
    rig = unpack_arrays(file, header)
    identities = {}
    for entry in header.identities:
        key = f"identity/{entry.name}/colors"
        template = file.array(f"identity/{entry.name}/template", "F32", rig.template.shape)
        colors = file.array(key, "U8", rig.template.shape) if key in file.names else rig.colors
        identities[entry.name] = Identity(entry.name, template, colors, entry.about)
    return RigFile(rig, identities)
