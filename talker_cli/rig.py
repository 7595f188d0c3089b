"""A rig: a template mesh and a linear motion basis, `vertices = template + sum_k coefficients[k] * basis[k]`.

Arrays are float32 in metres, +y up, +z out of the face, +x the subject's left.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import ModelError
from talker_cli.formats.files import ArrayFile, write_arrays

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
    """A template mesh, the basis that moves it, and the vertex sets that metrics are measured on.

    Args:
        template: (V, 3) float32, neutral face, metres.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        basis: (K, V, 3) float32, offsets of one unit of each coefficient, metres.
        names: K coefficient names.
        regions: name -> (V,) bool; `lips` and `upper_face` are what LVE and FDD are measured on.
        lip_pairs: (P, 2) int32, upper and lower inner-lip vertices that meet when the mouth closes.
        fps: frames a second of the motion this rig was made for.
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
        """Return the names of what moves the upper face or the eyes, vertex for vertex, further than the lips."""
        squares = np.square(self.basis).sum(-1)  # (K, V)
        means = {name: squares[:, where].mean(-1) for name, where in self.regions.items() if where.any()}
        upper = np.maximum(means["upper_face"], means.get("eyes", 0.0))
        return tuple(name for name, further in zip(self.names, upper > means["lips"], strict=True) if further)


@dataclass(frozen=True)
class Identity:
    """A person: a name, a neutral face (V, 3) in metres, colours (V, 3) uint8, and one line that says what it is."""

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
        """Return the rig with `identity`'s template and colours in place of the neutral ones."""
        person = self.identities[identity]
        return replace(self.rig, template=person.template, colors=person.colors)


def save_rig(path: Path, content: RigFile) -> None:
    """Write a rig and its identities as one safetensors file, atomically."""
    write_arrays(path, *pack_rig(content))


def pack_rig(content: RigFile) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return a rig file's arrays and metadata."""
    rig = content.rig
    arrays = {"template": rig.template, "faces": rig.faces, "lip_pairs": rig.lip_pairs} | pack_basis(rig.basis)
    arrays |= {f"region/{name}": mask for name, mask in rig.regions.items()}
    if rig.colors is not None:
        arrays["colors"] = rig.colors
    for person in content.identities.values():
        arrays[f"identity/{person.name}/template"] = person.template
        if person.colors is not None:
            arrays[f"identity/{person.name}/colors"] = person.colors
    metadata = {
        "kind": "rig",
        "names": list(rig.names),
        "fps": rig.fps,
        "regions": sorted(rig.regions),
        "identities": [{"name": person.name, "about": person.about} for person in content.identities.values()],
    }
    return arrays, metadata


def pack_basis(basis: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a file keeps of a (K, V, 3) basis: `basis`, the N offsets that are not zero, and `basis_moved`, K·V bits.

    A shape of a face moves a part of it: of the built-in head's offsets, 91 % are zero.
    """
    moved = (basis != 0).any(-1)
    return {"basis": basis[moved], "basis_moved": np.packbits(moved)}


def unpack_basis(file: ArrayFile, names: int, vertices: int) -> np.ndarray:
    """Return the (names, vertices, 3) basis in a file; one that an earlier version kept whole is read as it is.

    Raises:
        ModelError: the file holds less of it, or more.
    """
    stored = file.array("basis")
    if stored.ndim == 3:
        return stored
    bits, count = file.array("basis_moved"), names * vertices
    if len(bits) == -(-count // 8) and stored.shape == (np.unpackbits(bits, count=count).sum(), 3):
        basis = np.zeros((names, vertices, 3), stored.dtype)
        basis[np.unpackbits(bits, count=count).astype(bool).reshape(names, vertices)] = stored
        return basis
    raise ModelError(
        f"{file.path} holds {len(stored)} offsets and {len(bits)} bytes that place them; expected {names} shapes of {vertices} "
        "vertices; download or train it again"
    )


def load_rig(path: Path) -> RigFile:
    """Read a rig and its identities.

    Raises:
        ModelError: the file is missing, damaged, or holds something else.
    """
    file = ArrayFile(path, "rig file")
    header = file.metadata
    colors = file.array("colors") if "colors" in file.names else None
    template = file.array("template")
    rig = Rig(
        template=template,
        faces=file.array("faces"),
        basis=unpack_basis(file, len(header["names"]), len(template)),
        names=tuple(header["names"]),
        regions={name: file.array(f"region/{name}") for name in header["regions"]},
        lip_pairs=file.array("lip_pairs"),
        fps=header["fps"],
        colors=colors,
    )
    identities = {}
    for entry in header["identities"]:
        name = entry["name"]
        key = f"identity/{name}/colors"
        identities[name] = Identity(
            name=name,
            template=file.array(f"identity/{name}/template"),
            colors=file.array(key) if key in file.names else colors,
            about=entry["about"],
        )
    return RigFile(rig, identities)
