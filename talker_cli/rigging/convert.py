"""Vertices (T, V, 3) of any topology to ARKit's coefficients and back, by a rig of that topology."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from talker_cli.avatar.solve import BATCH_FRAMES, nearest_coefficients
from talker_cli.capture.pose import similarity
from talker_cli.data.livelink import read_csv
from talker_cli.data.sequences import resample_rows
from talker_cli.data.vertices import METRES, check_size
from talker_cli.enroll.face import character_rig
from talker_cli.errors import InputError
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.mesh import Mesh, read_mesh
from talker_cli.formats.motion import read_motion
from talker_cli.render.source import rate_of_motion
from talker_cli.rig import ARKIT_NAMES, Rig, angles_of, find_neck, load_rig
from talker_cli.rigging.rigged import FPS, Rigged, rig_mesh
from talker_cli.rigging.source import MM

MOVING = 1e-4  # metres that a shape moves a vertex of the face, at least
WHOLE = 0.99  # of the head's turn that a vertex takes: less is neck
STILL = 5e-4  # metres that no shape moves a vertex of the skull beyond


@dataclass(frozen=True)
class Errors:
    """Mean distances, mm: of given vertices from those of the coefficients, and of given vertices from rest."""

    face: float
    lips: float
    face_moved: float
    lips_moved: float

    def __str__(self) -> str:
        return (
            f"error {self.face:.2f} mm over the face, which moves {self.face_moved:.2f} mm, "
            f"and {self.lips:.2f} mm at the lips, which move {self.lips_moved:.2f} mm"
        )


def read_metric_mesh(path: Path, unit: str) -> Mesh:
    """Read a face's mesh in a unit of METRES, as metres.

    Raises:
        InputError: it cannot be read, or has no face's size.
    """
    mesh = read_mesh(path)
    check_size(path, mesh, unit)
    return replace(mesh, vertices=mesh.vertices * np.float32(METRES[unit]))


def read_topology(path: Path, unit: str, landmarks: Path | None, tracker: Path | None) -> tuple[Rig, Rigged | None]:
    """Read a template with ARKit's shapes: a rig or a character that has them, or a mesh that gets them, with the errors.

    Raises:
        InputError: it cannot be read, has other shapes, or cannot get them.
    """
    suffix = path.suffix.lower()
    if suffix not in (".safetensors", ".glb", ".vrm"):
        rigged = rig_mesh(path, read_metric_mesh(path, unit), landmarks, tracker)
        return rigged.rig, rigged
    rig = load_rig(path).rig if suffix == ".safetensors" else character_rig(path, ARKIT_NAMES, FPS)
    if rig.face_names != ARKIT_NAMES:
        raise InputError(f"{path} moves {rig.names[0]} …; expected ARKit's shapes", field="template")
    return rig.face, None


def to_curves(path: Path, rig: Rig, unit: str, fps: float | None, *, head: bool) -> tuple[MotionClip, Errors]:
    """Return the curves nearest to vertices, and how far they are off.

    Args:
        path: Motion, (T, V, 3).
        rig: The template with ARKit's shapes.
        unit: Unit of the vertices, a key of METRES.
        fps: Frames a second of a motion that does not state them.
        head: Whether the head turns: its rotation becomes coefficients; else it is taken to keep still.

    Raises:
        InputError: the motion cannot be read, or is of another topology.
    """
    motion = read_motion(path)
    rate = rate_of_motion(path, motion, fps)
    found, expected = motion.vertices.shape[1], len(rig.template)
    if found != expected:
        raise InputError(f"{path} has {found} vertices; expected the template's {expected}; give its own mesh", "template")
    vertices = motion.vertices.astype(np.float32) * np.float32(METRES[unit])
    angles, skull = None, None
    if head:
        rig = rig.with_head()
        assert rig.neck is not None
        skull = rig.neck.weights > WHOLE  # the neck turns less than the head
        vertices, angles = _at_rest(vertices, rig, skull)
    coefficients = nearest_coefficients(vertices, rig, skull).astype(np.float32)
    errors = _errors(vertices, coefficients, rig.face)
    if angles is not None:
        coefficients = np.concatenate([coefficients, angles.astype(np.float32)], axis=1)
    return MotionClip(coefficients, rig, rate, {"identity": path.stem}), errors


def to_vertices(path: Path, rig: Rig, unit: str, fps: float | None) -> MotionClip:
    """Return the motion of a template that Live Link Face's curves make; its vertices are of the unit.

    Args:
        path: The CSV.
        rig: The template with ARKit's shapes.
        unit: Unit of the vertices, a key of METRES.
        fps: Frames a second of the motion; None for those of the file's rows.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        seconds, coefficients = read_csv(path, fps)
    except InputError as error:
        raise InputError(str(error), field="fps" if error.field == "source_fps" else None) from error
    rate = fps or (round(1 / float(np.median(np.diff(seconds)))) if len(seconds) > 1 else FPS)
    times = np.arange(int(seconds[-1] * rate + 1e-6) + 1) / rate
    coefficients = resample_rows(seconds, coefficients, times).astype(np.float32)
    if coefficients.shape[1] > len(ARKIT_NAMES):
        rig = rig.with_head()
    scale = np.float32(1 / METRES[unit])
    neck = None if rig.neck is None else replace(rig.neck, pivot=rig.neck.pivot * scale)
    scaled = replace(rig, template=rig.template * scale, basis=rig.basis * scale, neck=neck)
    return MotionClip(coefficients, scaled, float(rate), {"identity": path.stem})


def _at_rest(vertices: np.ndarray, rig: Rig, skull: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (T, V, 3) without the head's motion, and its pitch, yaw and roll (T, 3), radians, from the template."""
    still = skull & (np.linalg.norm(rig.basis, axis=-1).max(0) < STILL)
    rest, now = rig.template[still].astype(np.float64), vertices[:, still].astype(np.float64)
    _, rotation, _ = similarity(now, rest)  # from where it is to where it was
    back = np.einsum("tij,tvj->tvi", rotation, vertices - now.mean(1)[:, None]) + rest.mean(0)
    return back.astype(np.float32), angles_of(np.swapaxes(rotation, 1, 2))


def _errors(vertices: np.ndarray, coefficients: np.ndarray, rig: Rig) -> Errors:
    face = np.linalg.norm(rig.basis, axis=-1).max(0) > MOVING
    if rig.regions.get("lips", face[:0]).any():
        face &= find_neck(rig.template, rig.regions["lips"]).weights > WHOLE
    lips = rig.regions.get("lips", face)
    sums = np.zeros(4)
    for start in range(0, len(vertices), BATCH_FRAMES):
        rows = slice(start, start + BATCH_FRAMES)
        off = np.linalg.norm(vertices[rows] - rig.decode(coefficients[rows]), axis=-1)
        moved = np.linalg.norm(vertices[rows] - rig.template, axis=-1)
        sums += [
            off[:, face].mean(1).sum(),
            off[:, lips].mean(1).sum(),
            moved[:, face].mean(1).sum(),
            moved[:, lips].mean(1).sum(),
        ]
    return Errors(*(MM * sums / len(vertices)).tolist())
