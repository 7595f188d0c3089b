"""Hair as one shell of fixed topology: from the crown over the skull to the hairline, and hanging down where it is long."""

from dataclasses import dataclass

import numpy as np

from talker_cli.head.build import HalfMesh
from talker_cli.head.surface import bump, cast, smoothstep

HAIR_COLUMNS, HAIR_ROWS = 21, 19
_CENTER = np.array([0.0, 26.0, -6.0])


@dataclass(frozen=True)
class Hair:
    """How hair is cut.

    Args:
        front: height of the hairline over the pupils in the middle of the forehead, mm.
        temple: how far the hairline draws back at the temples, mm.
        volume: thickness over the crown, mm.
        sides: thickness at the sides, mm.
        length: how far hair hangs below the ears' tops at the sides and back, mm (0 for short hair).
        nape: height of short hair's border at the nape, mm over the pupils.
        bun: size of a knot of hair at the back, mm (0 for none).
        bald: 1 draws the whole shell under the skin.
    """

    front: float = 66.0
    temple: float = 6.0
    volume: float = 9.0
    sides: float = 6.0
    length: float = 0.0
    nape: float = -62.0
    bun: float = 0.0
    bald: float = 0.0


def hair_points(hair: Hair) -> np.ndarray:
    """Return (rows, columns, 3) points, mm, of the left half of a head of hair; row 0 is the crown."""
    azimuth = np.linspace(0.0, np.pi, HAIR_COLUMNS)
    degrees = np.degrees(azimuth)
    # height of the hairline over the pupils, by direction
    line = np.interp(
        degrees,
        [0, 18, 36, 50, 62, 74, 82, 92, 104, 116, 135, 180],
        [0, -1, -4 + 0.5 * hair.temple, -14 + hair.temple, -38, -52, -58, -50, -58, -92, hair.nape - 70, hair.nape - 66],
    )
    line = hair.front + line
    rows = np.linspace(0.0, 1.0, HAIR_ROWS - 1)
    direction_flat = np.stack([np.sin(azimuth), np.zeros_like(azimuth), np.cos(azimuth)], -1)
    radius = 72.0 + 18.0 * np.abs(np.cos(azimuth))
    low = np.arctan2(line - _CENTER[1], radius)
    elevation = np.pi / 2 + (low - np.pi / 2)[None] * rows[:, None]
    direction = direction_flat[None] * np.cos(elevation)[..., None]
    direction[..., 1] = np.sin(elevation)
    flat = direction.reshape(-1, 3)
    skull = cast(_CENTER + 190.0 * flat, -flat, 28).reshape(direction.shape)
    edge = smoothstep(1.0, 0.72, rows)[:, None] ** 0.6
    crown = smoothstep(-0.2, 0.9, np.sin(elevation))
    thick = (hair.sides + (hair.volume - hair.sides) * crown) * edge + 0.9
    thick += 1.0 * np.sin(9 * azimuth)[None] * edge * (hair.volume > 3) * 0.5
    points = skull + thick[..., None] * direction
    if hair.length > 0:
        points = _hang(points, hair, azimuth, direction_flat, rows)
    if hair.bun > 0:
        middle = np.array([0.0, 22.0, -112.0 - 0.2 * hair.bun])
        away = points - middle
        near = bump(np.linalg.norm(away * [1.0, 1.0, 0.6], axis=-1), 1.15 * hair.bun)
        points[..., 2] -= 1.1 * hair.bun * near
    tuck = points[-1] - 5.0 * direction_flat - np.array([0.0, 1.0, 0.0]) * (hair.length > 0)
    if hair.length > 0:
        tuck -= 9.0 * direction_flat
    points = np.concatenate([points, tuck[None]])
    if hair.bald > 0:
        points = _CENTER + (points - _CENTER) * (1 - 0.25 * hair.bald)
    return points


def _hang(points: np.ndarray, hair: Hair, azimuth: np.ndarray, direction_flat: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the points with the lower rows of sides and back hanging straight down, `hair.length` mm from the temples."""
    open_ = smoothstep(np.radians(52), np.radians(74), azimuth)[None]
    start = 0.5
    t = np.clip((rows - start) / (1 - start), 0, 1)[:, None]
    top = np.array([np.interp(start, rows, points[:, c, 1]) for c in range(points.shape[1])])[None]
    wide = np.stack([np.array([np.interp(start, rows, points[:, c, a]) for c in range(points.shape[1])]) for a in (0, 2)], -1)
    swell = hair.sides * np.sin(np.pi * np.clip(t * 0.9, 0, 1)) * 0.9 + 3.0 * t - 10.0 * smoothstep(0.6, 1.0, t)
    reach = np.linalg.norm(wide - np.array([0.0, -6.0]), axis=-1)[None] + swell
    reach = np.maximum(reach, np.where(t > 0.1, 78.0 + 0.35 * hair.sides, 0.0))
    hanging = np.stack(
        [
            reach * direction_flat[None, :, 0],
            np.broadcast_to(top - t * (hair.length + top), reach.shape),
            -6.0 + reach * direction_flat[None, :, 2],
        ],
        -1,
    )
    share = (open_ * (t > 0))[..., None]
    return np.asarray(points * (1 - share) + hanging * share)


def add_hair(mesh: HalfMesh, hair: Hair) -> np.ndarray:
    """Add the left half of the hair; return its (rows, columns) indices (row 0 is one vertex, repeated)."""
    points = hair_points(hair)
    seam = np.zeros(points.shape[:2], bool)
    seam[:, [0, -1]] = True
    ring = np.broadcast_to(np.arange(HAIR_ROWS)[:, None], seam.shape)
    spoke = np.broadcast_to(np.arange(HAIR_COLUMNS)[None], seam.shape)
    pole = mesh.add(points[0, :1], "hair", np.array([True]), 0, 0)
    grid = mesh.add(points[1:], "hair", seam[1:], ring[1:], spoke[1:])
    whole = np.concatenate([np.broadcast_to(pole, (1, HAIR_COLUMNS)), grid])
    mesh.sheet(whole, flip=True)
    return whole
