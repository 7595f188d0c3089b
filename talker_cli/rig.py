"""A rig: a template mesh and a linear motion basis, `vertices = template + sum_k coefficients[k] * basis[k]`.

Arrays are float32 in metres, +y up, +z out of the face, +x the subject's left. The last three coefficients may be the head's
rotation, which turns the moved vertices about the base of the skull.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from talker_cli.errors import InputError
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
# Radians; positive looks down, to the subject's left, and tilts to the subject's right shoulder. See `head_matrices`.
HEAD_NAMES: tuple[str, ...] = ("headPitch", "headYaw", "headRoll")

# The neck of a head 0.187 m from lips to crown, in metres; other sizes follow.
LIPS_TO_CROWN = 0.187
NECK_BASE = 0.090  # below the lips: what lies lower keeps still
NECK_TOP = (
    0.043,
    0.28,
)  # below the lips at their front, and higher by so much a metre behind it: above it is skull
LEAST_NECK = 0.060  # below the lips: a mesh that ends higher has no neck, and turns whole
SKULL_BASE = (0.027, 0.118)  # above and behind the lips

SIDE_BY_SIDE = 8  # vertices in a row of a matrix product that turns them


def face_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names without those of the head's rotation."""
    return tuple(name for name in names if name not in HEAD_NAMES)


def head_matrices(angles: np.ndarray) -> np.ndarray:
    """Return the rotations Ry(yaw) Rx(pitch) Rz(roll), (T, 3, 3), of pitch, yaw and roll (T, 3), radians."""
    (sp, sy, sr), (cp, cy, cr) = np.sin(angles).T, np.cos(angles).T
    return np.stack([
        np.stack([cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp], -1),
        np.stack([cp * sr, cp * cr, -sp], -1),
        np.stack([cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp], -1),
    ], 1)  # fmt: skip


def head_angles(turned: np.ndarray) -> np.ndarray:
    """Return (T, 3) pitch, yaw, roll of rotations (T, 3, 3) about their mean: `turned = mean @ head_matrices(angles)`."""
    left, _, right = np.linalg.svd(turned.mean(0))
    mean = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right
    return angles_of(mean.T @ turned)


def angles_of(turned: np.ndarray) -> np.ndarray:
    """Return (T, 3) pitch, yaw, roll of rotations (T, 3, 3): the inverse of `head_matrices`."""
    pitch = np.arcsin(np.clip(-turned[:, 1, 2], -1, 1))
    yaw = np.arctan2(turned[:, 0, 2], turned[:, 2, 2])
    roll = np.arctan2(turned[:, 1, 0], turned[:, 1, 1])
    return np.stack([pitch, yaw, roll], 1)


@dataclass(frozen=True)
class Neck:
    """How a mesh follows the head's rotation.

    Args:
        pivot: (3,) float32, base of the skull, metres.
        weights: (V,) float32, share of the turn that a vertex takes: 1 skull, 0 shoulders.
    """

    pivot: np.ndarray
    weights: np.ndarray

    def turn(self, vertices: np.ndarray, angles: np.ndarray) -> None:
        """Turn vertices (T, V, 3), contiguous float32, in place by pitch, yaw and roll (T, 3), radians, as two joints' skin."""
        change = (np.swapaxes(head_matrices(angles), 1, 2) - np.eye(3)).astype(np.float32)
        # Several vertices are one row, their matrix block-diagonal: BLAS is slow at products of three columns.
        width = 3 * math.gcd(vertices.shape[1], SIDE_BY_SIDE)
        blocks = np.einsum("ij,tab->tiajb", np.eye(width // 3, dtype=np.float32), change).reshape(-1, width, width)
        shifts = np.tile(-self.pivot @ change, width // 3)
        weights = np.repeat(self.weights, 3).reshape(-1, width)
        for frame, block, shift in zip(vertices.reshape(len(vertices), -1, width), blocks, shifts, strict=True):
            moved = frame @ block  # a frame at a time stays in the processor's cache
            moved += shift
            moved *= weights
            frame += moved


def find_neck(template: np.ndarray, lips: np.ndarray) -> Neck:
    """Return the neck of a head or a bust (V, 3), metres, by its size and the place of its lips, (V,) bool."""
    x, mouth = template[lips, :2].mean(0)
    front, crown = template[lips, 2].max(), template[:, 1].max()
    size = max(float(crown - mouth), 1e-6) / LIPS_TO_CROWN
    below, behind = (mouth - template[:, 1]) / size, (front - template[:, 2]) / size
    top = NECK_TOP[0] - NECK_TOP[1] * np.maximum(behind, 0.0)
    share = np.clip((NECK_BASE - below) / np.maximum(NECK_BASE - top, 0.01), 0.0, 1.0)
    weights = share * share * (3.0 - 2.0 * share)
    if below.max() < LEAST_NECK:
        weights = np.ones_like(weights)
    pivot = np.array([x, mouth + SKULL_BASE[0] * size, front - SKULL_BASE[1] * size], np.float32)
    return Neck(pivot, weights.astype(np.float32))


@dataclass(frozen=True)
class Rig:
    """A template mesh, the basis that moves it, and the vertex sets of the metrics.

    Args:
        template: (V, 3) float32, neutral face, metres.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        basis: (K, V, 3) float32, offsets of one unit of each coefficient, metres; zero for the head's rotation.
        names: K coefficient names; HEAD_NAMES are the last three, if there are any.
        regions: Name -> (V,) bool; LVE is measured on `lips`, FDD on `upper_face`.
        lip_pairs: (P, 2) int32, upper and lower inner-lip vertices that meet when the mouth closes.
        fps: Frames a second of the motion that this rig was made for.
        colors: (V, 3) uint8 sRGB, or None.
        neck: How the mesh follows the head's rotation; None where it keeps still.
    """

    template: np.ndarray
    faces: np.ndarray
    basis: np.ndarray
    names: tuple[str, ...]
    regions: dict[str, np.ndarray]
    lip_pairs: np.ndarray
    fps: float
    colors: np.ndarray | None = None
    neck: Neck | None = None

    @cached_property
    def face_names(self) -> tuple[str, ...]:
        """The names of the coefficients that have a shape: all but the head's rotation."""
        return face_names(self.names)

    @property
    def has_head(self) -> bool:
        """Whether the last three coefficients are the head's rotation."""
        return len(self.face_names) < len(self.names)

    @cached_property
    def face(self) -> "Rig":
        """The rig without the head's rotation."""
        count = len(self.face_names)
        return replace(self, names=self.face_names, basis=self.basis[:count], neck=None) if self.has_head else self

    def with_head(self) -> "Rig":
        """Return the rig with the head's rotation as its last three coefficients.

        Raises:
            InputError: its lips are not known.
        """
        if self.has_head:
            return self
        lips = self.regions.get("lips")
        if lips is None or not lips.any():
            raise InputError("found a mesh whose lips are not known; expected a face with the region lips, to turn its head")
        basis = np.concatenate([self.basis, np.zeros((len(HEAD_NAMES), *self.basis.shape[1:]), self.basis.dtype)])
        return replace(self, names=(*self.names, *HEAD_NAMES), basis=basis, neck=find_neck(self.template, lips))

    def as_person(self, template: np.ndarray, colors: np.ndarray | None) -> "Rig":
        """Return the rig with another person's template (V, 3) and colours; the base of the skull goes with its neck."""
        neck = self.neck
        if neck is not None:
            middle = neck.weights * (1.0 - neck.weights) + 1e-6
            shift = np.average(template - self.template, axis=0, weights=middle).astype(np.float32)
            neck = replace(neck, pivot=neck.pivot + shift)
        return replace(self, template=template, colors=colors, neck=neck)

    def matched(self, coefficients: np.ndarray) -> np.ndarray:
        """Return coefficients of the rig's face, with or without the head's rotation, as (T, K): a head at rest is added."""
        count = len(self.face_names)
        if not self.has_head:
            return coefficients[:, :count]
        return coefficients if coefficients.shape[1] > count else np.pad(coefficients, ((0, 0), (0, len(HEAD_NAMES))))

    def offsets(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the (T, V, 3) float32 displacements, metres, of (T, K) coefficients, the head at rest."""
        flat = self.basis.reshape(len(self.names), -1)
        return (coefficients.astype(np.float32, copy=False) @ flat).reshape(len(coefficients), -1, 3)

    @cached_property
    def _face_rows(self) -> np.ndarray:
        """The basis of the face, and below it the template, (K + 1, V * 3): one product gives vertices."""
        rows = np.append(self.basis[: len(self.face_names)], self.template[None], 0)
        return rows.reshape(len(rows), -1)

    def decode(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the (T, V, 3) float32 vertices, metres, of (T, K) coefficients."""
        face, angles = np.split(coefficients.astype(np.float32, copy=False), [len(self.face_names)], axis=1)
        flat = np.append(face, np.ones((len(face), 1), np.float32), 1) @ self._face_rows
        vertices = flat.reshape(len(face), -1, 3)
        if self.neck is not None and angles.any():
            self.neck.turn(vertices, angles)
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
        """Return the coefficients that move the upper face or the eyes further, per vertex, than the lips; and the head's."""
        squares = np.square(self.basis).sum(-1)  # (K, V)
        means = {name: squares[:, where].mean(-1) for name, where in self.regions.items() if where.any()}
        upper = np.maximum(means["upper_face"], means.get("eyes", 0.0))
        upper = upper > means["lips"]
        return tuple(name for name, moves in zip(self.names, upper, strict=True) if moves or name in HEAD_NAMES)


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
        """Return the rig with an identity's template and colours; one without a face of its own has the neutral ones."""
        own = self.identities.get(identity)
        return self.rig if own is None else self.rig.as_person(own.template, own.colors)

    def with_head(self) -> "RigFile":
        """Return the rig file with the head's rotation as the last three coefficients. Errors are those of `Rig.with_head`."""
        return replace(self, rig=self.rig.with_head())


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
    if rig.neck is not None:
        arrays |= {"neck/pivot": rig.neck.pivot, "neck/weights": rig.neck.weights}
    return arrays, {"names": list(rig.names), "fps": rig.fps, "regions": sorted(rig.regions)}


def unpack_arrays(file: ArrayFile, header: RigHeader) -> Rig:
    """Return the rig in a file.

    Raises:
        TalkerError: an array is missing, of another type or shape, not finite, or names vertices that the template lacks; or
            some of the head's rotation are missing or in another place.
    """
    if header.names not in (plain := face_names(header.names), (*plain, *HEAD_NAMES)):
        raise file.error(f"{file.path} is damaged ({', '.join(HEAD_NAMES)} are not its last names); {file.remedy}")
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
        neck=Neck(file.array("neck/pivot", "F32", (3,)), file.array("neck/weights", "F32", (count,)))
        if plain != header.names
        else None,
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
