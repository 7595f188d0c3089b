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
        length: how far hair hangs below the pupils at the sides and back, mm (0 for short hair).
        nape: height of short hair's border at the nape, mm over the pupils.
        part: depth of a parting in the middle, mm.
        bald: 1 draws the whole shell under the skin.
    """

    front: float = 68.0
    temple: float = 6.0
    volume: float = 9.0
    sides: float = 6.0
    length: float = 0.0
    nape: float = -62.0
    part: float = 0.0
    bald: float = 0.0


def _azimuth() -> np.ndarray:
    # columns are dense where the hairline bends, between the temple and the ear
    return np.radians(np.array([0, 7, 14, 21, 28, 35, 42, 49, 56, 63, 70, 77, 84, 91, 98, 106, 116, 129, 144, 161, 180], float))


def hairline(hair: Hair, azimuth: np.ndarray) -> np.ndarray:
    """Return the height (mm over the pupils) of the hair's border by direction (radians from the front)."""
    back = [-60 - 50 * (hair.nape < -55), hair.nape, hair.nape]
    line = np.interp(
        np.degrees(azimuth),
        [0, 14, 28, 40, 49, 58, 66, 77, 84, 91, 99, 106, 116, 135, 180],
        [-1, 2, 3 + 0.7 * hair.temple, -5 + hair.temple, -20 + hair.temple, -42, -56, -78, -78, -58, -56, -66, -100, 0, 0],
    )
    if hair.length != 0:  # parted: the hairline is a curtain that opens from the middle
        line = np.interp(np.degrees(azimuth), [0, 14, 28, 42, 56, 70, 118], [5, 2, -8, -24, -46, -56, -60])
    return np.where(
        np.degrees(azimuth) < 118, hair.front + line, np.interp(np.degrees(azimuth), [118, 140, 180], [-34, *back[1:]])
    )


def hair_points(hair: Hair) -> np.ndarray:
    """Return (rows, columns, 3) points, mm, of the left half of a head of hair; row 0 is the crown."""
    azimuth = _azimuth()
    line = hairline(hair, azimuth)
    rows = np.linspace(0.0, 1.0, HAIR_ROWS - 1)
    flat = np.stack([np.sin(azimuth), np.zeros_like(azimuth), np.cos(azimuth)], -1)
    radius = 72.0 + 18.0 * np.abs(np.cos(azimuth))
    low = np.arctan2(line - _CENTER[1], radius)
    elevation = np.pi / 2 + (low - np.pi / 2)[None] * rows[:, None]
    direction = flat[None] * np.cos(elevation)[..., None]
    direction[..., 1] = np.sin(elevation)
    rays = direction.reshape(-1, 3)
    skull = cast(_CENTER + 190.0 * rays, -rays, 28).reshape(direction.shape)
    edge = smoothstep(1.0, 0.66, rows)[:, None] ** 0.5
    crown = smoothstep(-0.2, 0.9, np.sin(elevation))
    thick = (hair.sides + (hair.volume - hair.sides) * crown) * edge + 1.0
    lock = np.sin(8.0 * azimuth + 0.8)[None] + 0.5 * np.sin(19.0 * azimuth)[None]
    thick += 0.055 * hair.volume * lock * edge * smoothstep(0.0, 0.4, rows)[:, None]
    thick -= hair.part * bump(azimuth, 0.16)[None] * smoothstep(0.05, 0.3, rows)[:, None] * edge
    points = skull + thick[..., None] * direction
    if hair.length != 0:
        points = _hang(points, hair, azimuth, flat, rows)
    tuck = points[-1] - (5.0 if hair.length == 0 else 16.0) * flat
    points = np.concatenate([points, tuck[None]])
    if hair.bald > 0:
        points = _CENTER + (points - _CENTER) * (1 - 0.25 * hair.bald)
    return points


def _hang(points: np.ndarray, hair: Hair, azimuth: np.ndarray, flat: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the points with the lower rows of sides and back hanging down to `hair.length` mm below the pupils."""
    open_ = smoothstep(np.radians(44), np.radians(60), azimuth)[None]
    start = 0.40
    t = np.clip((rows - start) / (1 - start), 0, 1)[:, None]
    top = np.stack([np.array([np.interp(start, rows, points[:, c, a]) for c in range(points.shape[1])]) for a in range(3)], -1)
    # the curtain's front edge swings back over the cheek and forward again at its tips
    swing = 0.30 * smoothstep(0.0, 0.45, t) - 0.24 * smoothstep(0.55, 1.0, t)
    turned = azimuth[None] + swing * smoothstep(2.0, 0.7, azimuth)[None]
    reach = np.hypot(top[:, 0], top[:, 2] + 6.0)[None]
    side = np.abs(np.sin(turned))
    behind = np.maximum(-np.cos(turned), 0.0)
    wide = (77.0 + 0.9 * hair.sides) * side**2 + (92.0 + hair.sides) * behind**2 + 78.0 * np.maximum(np.cos(turned), 0.0) ** 2
    fall = reach + (np.maximum(reach, wide) - reach) * smoothstep(0.0, 0.34, t)
    fall += 0.35 * hair.sides * np.sin(np.pi * t) + 1.2 * np.sin(9.0 * azimuth)[None] * t
    fall -= 13.0 * smoothstep(0.5, 1.0, t) ** 1.5
    drop = t * (1 + 0.12 * np.sin(np.pi * t))
    longer = 1.0 + 0.05 * np.cos(azimuth)[None]
    height = top[None, :, 1] - drop * (hair.length * longer + top[None, :, 1])
    hanging = np.stack([fall * np.sin(turned), height, -6.0 + fall * np.cos(turned)], -1)
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
