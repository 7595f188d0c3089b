"""Hair as one shell of fixed topology: from the crown over the skull to the hairline, and hanging down where it is long.

Columns run from the crown outwards, as strands do. Locks are a relief across the columns with sharp valleys; their tips make
the hairline ragged. Directions are signed, so that a parting may lie on one side: the cut need not be symmetric.
"""

from dataclasses import dataclass

import numpy as np

from talker_cli.head.build import HalfMesh
from talker_cli.head.surface import bump, cast, smoothstep

HAIR_COLUMNS, HAIR_ROWS = 49, 27
_CENTER = np.array([0.0, 26.0, -6.0])
_LOCKS = 26  # round the head


@dataclass(frozen=True)
class Hair:
    """Parameters of a haircut.

    Args:
        front: Height of the hairline over the pupils in the middle of the forehead, mm.
        temple: Recession of the hairline at the temples, mm.
        volume: Thickness over the crown, mm.
        sides: Thickness at the sides, mm.
        length: Length below the pupils at the sides and back, mm (0 for short hair).
        nape: Height of short hair's border at the nape, mm over the pupils.
        part: Depth of a parting, mm.
        part_at: Direction of the parting, degrees to the subject's left.
        sweep: Turn of the locks away from the parting on their way to the hairline, radians.
        locks: Depth of the grooves between locks, mm.
        curl: Depth of curls, mm.
        wave: Depth of waves in hanging hair, mm.
        quiff: Height of the hair over the forehead, mm.
        bald: 1 hides the whole shell under the skin.
    """

    front: float = 68.0
    temple: float = 6.0
    volume: float = 9.0
    sides: float = 6.0
    length: float = 0.0
    nape: float = -62.0
    part: float = 0.0
    part_at: float = 0.0
    sweep: float = 0.0
    locks: float = 2.2
    curl: float = 0.0
    wave: float = 0.0
    quiff: float = 0.0
    bald: float = 0.0


def _azimuth() -> np.ndarray:
    # columns are dense where the hairline bends, between the temple and the ear
    degrees = np.concatenate([np.linspace(0, 35, 11), np.linspace(35, 118, 26)[1:], np.linspace(118, 180, 14)[1:]])
    return np.asarray(np.radians(degrees))


def _lock(hair: Hair, azimuth: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the relief of locks, 0 in the valleys … 1, at signed directions and rows (0 crown … 1 hairline)."""
    from_part = azimuth - np.radians(hair.part_at)
    turn = azimuth - hair.sweep * row * np.tanh(2.5 * np.sin(from_part)) * np.cos(0.5 * from_part) ** 2
    place = _LOCKS * turn / (2 * np.pi) + 0.45 * np.sin(5 * azimuth + 1.0) + 0.30 * np.sin(9 * azimuth + 2.0)
    place = place + 0.25 * np.sin(4.0 * row + 3.0 * azimuth)
    return np.asarray(np.abs(np.sin(np.pi * (place + 0.5))) ** 0.55)


def strands(hair: Hair, column: np.ndarray, row: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (n,) brightness of hair, dark in the valleys, and the (n,) share of scalp seen through in the parting.

    Args:
        column, row: (n,) places in the hair's layout.
        side: (n,) +1 for the subject's left half, -1 for the right one.
    """
    signed = np.where(side < 0, -1.0, 1.0) * _azimuth()[column]
    share = row / (HAIR_ROWS - 2)
    fine = np.sin(53.0 * signed + 1.0) * np.sin(87.0 * signed + 3.0 * np.sin(3.0 * share))
    lock = _lock(hair, signed, share)
    tone = 0.80 + 0.26 * (lock - 0.35) * np.minimum(hair.locks / 2.0, 1.2) * smoothstep(0.0, 0.25, share)
    single = (37 * column**2 + 101 * column + np.where(side < 0, 53, 0)) % 17 / 8.0 - 1.0  # no two strands are alike
    tone += (0.09 * single * (hair.curl == 0) + 0.02 * single) * smoothstep(0.05, 0.30, share)
    tone += 0.10 * fine + 0.30 * _curls(signed, share) * min(hair.curl / 2.0, 1.0)
    # the band of light that straight hair shows where it turns towards the sky
    band = bump(share - 0.34 - 0.03 * np.sin(31.0 * signed), 0.11) * (hair.curl == 0)
    tone += (0.34 + 0.16 * fine) * band - 0.10 * smoothstep(0.25, 0.0, share) - 0.12 * (row == HAIR_ROWS - 1)
    parted = bump(signed - np.radians(hair.part_at), 0.05) * smoothstep(0.15, 0.35, share) * min(hair.part / 6.0, 1.0)
    return np.asarray(tone), np.asarray(parted)


def hairline(hair: Hair, azimuth: np.ndarray) -> np.ndarray:
    """Return the height (mm over the pupils) of the hair's border by direction (radians from the front, signed)."""
    degrees = np.abs(np.degrees(azimuth))
    line = np.interp(
        degrees,
        [0, 14, 28, 40, 49, 58, 66, 77, 84, 91, 99, 106, 116, 135, 180],
        [-1, 2, 3 + 0.7 * hair.temple, -5 + hair.temple, -20 + hair.temple, -42, -56, -78, -78, -58, -56, -66, -100, 0, 0],
    )
    line = line * np.where(hair.front > 68, 1 + (hair.front - 68) / 68, 1.0)  # a high forehead leaves the sideburns in place
    if hair.length != 0:  # parted: the hairline is a curtain that opens from the middle
        towards = 0.5 + 0.5 * np.cos(np.minimum(1.5 * np.abs(azimuth), np.pi))
        aside = np.abs(np.degrees(azimuth) - hair.part_at * towards)
        line = np.interp(aside, [0, 8, 16, 28, 42, 56, 70, 118], [8, 1, -10, -27, -46, -58, -62, -60])
    low = np.interp(degrees, [118, 140, 180], [-34, hair.nape, hair.nape])
    return np.where(degrees < 118, hair.front + line, low)


def hair_points(hair: Hair, side: float = 1.0) -> np.ndarray:
    """Return (rows, columns, 3) points, mm, of one half of a head of hair; row 0 is the crown.

    Args:
        side: +1 for the subject's left half, -1 for the right one (whose points still have x >= 0).
    """
    azimuth = _azimuth()
    signed = side * azimuth
    rows = np.linspace(0.0, 1.0, HAIR_ROWS - 1)
    lock = _lock(hair, signed[None], rows[:, None])
    ragged = 1.4 * min(hair.locks, 2.5) * (lock[-1] - 0.6) * smoothstep(1.9, 1.2, azimuth)
    ragged = ragged + (0.0 if hair.length else 1.3) * np.sin(23.0 * signed + 0.7) * np.sin(41.0 * signed)  # single tips
    line = hairline(hair, signed) - ragged
    flat = np.stack([np.sin(azimuth), np.zeros_like(azimuth), np.cos(azimuth)], -1)
    radius = 72.0 + 18.0 * np.abs(np.cos(azimuth))
    low = np.arctan2(line - _CENTER[1], radius)
    elevation = np.pi / 2 + (low - np.pi / 2)[None] * rows[:, None]
    direction = flat[None] * np.cos(elevation)[..., None]
    direction[..., 1] = np.sin(elevation)
    rays = direction.reshape(-1, 3)
    skull = cast(_CENTER + 190.0 * rays, -rays, 28).reshape(direction.shape)
    edge = smoothstep(1.0, 0.62, rows)[:, None] ** (0.75 if hair.length == 0 and hair.curl < 2 else 0.5)
    crown = smoothstep(-0.2, 0.9, np.sin(elevation))
    begun = smoothstep(0.02, 0.30, rows)[:, None]
    thick = (hair.sides + (hair.volume - hair.sides) * crown) * edge + (0.8 if hair.length != 0 else 0.35)
    thick += hair.locks * (lock - 0.7) * begun * (0.35 + 0.65 * edge)
    thick += hair.curl * _curls(signed[None], rows[:, None]) * edge
    forehead = bump(azimuth, 0.8)[None]
    thick += hair.quiff * forehead * bump(rows - 0.80, 0.20)[:, None] * smoothstep(1.02, 0.88, rows)[:, None]
    parted = bump(signed - np.radians(hair.part_at), 0.085)[None] * smoothstep(0.10, 0.35, rows)[:, None]
    thick -= np.minimum(hair.part * parted, np.maximum(thick - 0.6, 0.0)) * (0.4 + 0.6 * edge)
    points = skull + thick[..., None] * direction
    if hair.length != 0:
        points = _hang(points, hair, azimuth, flat, rows, lock)
    tuck = points[-1] - (5.0 if hair.length == 0 else 16.0) * flat
    points = np.concatenate([points, tuck[None]])
    if hair.bald > 0:
        points = _CENTER + (points - _CENTER) * (1 - 0.25 * hair.bald)
    return points


def _curls(azimuth: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the relief of curls, about -1 … 1."""
    along, across = 11.0 * np.pi * row, 20.0 * azimuth
    swirl = np.sin(along + 1.6 * np.sin(0.5 * across + 2.0 * row)) * np.cos(across + 1.4 * np.sin(0.6 * along))
    return np.asarray((0.75 * swirl + 0.35 * np.sin(1.9 * along + 2.0) * np.sin(1.4 * across + 1.0 + 0.0 * row)) * row**0.3)


def _hang(
    points: np.ndarray, hair: Hair, azimuth: np.ndarray, flat: np.ndarray, rows: np.ndarray, lock: np.ndarray
) -> np.ndarray:
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
    fall += 0.35 * hair.sides * np.sin(np.pi * t) + 1.6 * hair.locks * (lock - 0.7) * smoothstep(0.0, 0.3, t)
    fall += hair.wave * np.sin(2 * np.pi * (1.7 * t + 0.10 * np.sin(5.0 * azimuth)[None])) * smoothstep(0.05, 0.5, t)
    fall -= 13.0 * smoothstep(0.5, 1.0, t) ** 1.5
    drop = t * (1 + 0.12 * np.sin(np.pi * t))
    longer = 1.0 + 0.05 * np.cos(azimuth)[None] + 0.10 * (lock[-1] - 0.7)[None] * t
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
