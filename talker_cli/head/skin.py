"""The skin's layout: a grid round the head, rings of quads round the mouth slit and each eye, on the implicit surface."""

import numpy as np

from talker_cli.head.build import HalfMesh
from talker_cli.head.surface import (
    EYE_CENTER,
    EYE_RADIUS,
    MOUTH_HALF_WIDTH,
    MOUTH_Y,
    bump,
    cast,
    front_depth,
    project,
    skin_gradient,
    smoothstep,
)

MOUTH_SPOKES = 28  # edges of half a mouth ring, from the upper middle over the corner to the lower middle
MOUTH_RINGS = 10  # rings from the lip line (0) to the grid; the mouth bag has rings -1 … -6
LIP_BORDER = 4  # the ring at the border of the lips' red
EYE_SPOKES = 32  # edges of an eye ring, from the outer corner over the upper lid
EYE_RINGS = 9
NOSTRIL_RING = 60  # label of a nostril's rim; its lining has the next three
COLLAR_ROW = 3  # grid rows up to here are covered by a shirt
_COLUMN_X = np.array([0, 2.7, 5.6, 8.8, 12.2, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52.5])  # mm at z = 85
_MOUTH_COLUMNS, _EYE_COLUMNS = (0, 10), (4, 14)
_CHIN_Y = np.linspace(-109.5, -84.5, 7)
_FACE_Y = np.concatenate([
    _CHIN_Y[:-1], np.linspace(-84.5, -50.5, 9)[:-1], np.linspace(-50.5, -15.0, 17)[:-1],
    np.linspace(-15.0, 16.0, 7)[:-1], np.linspace(16.0, 64.0, 12),
])  # fmt: skip
_MOUTH_ROWS, _EYE_ROWS = (6, 14), (30, 36)  # of _FACE_Y
_NOSTRIL_COLUMNS, _NOSTRIL_ROWS = (1, 3), (15, 18)
_NOSTRIL = np.array([6.6, -48.5, 97.0])  # mm, the middle of the left one
_NOSTRIL_LONG, _NOSTRIL_ACROSS = np.array([-0.26, 0.13, 0.957]), np.array([0.95, 0.22, 0.22])
_NECK_ROWS, _UNDER_ROWS, _CROWN_ROWS = 8, 6, 10


def mouth_line(x: np.ndarray) -> np.ndarray:
    """Return the height (mm) of the closed mouth's line at x: a soft bow, dipping in the middle and at the corners."""
    u = np.minimum(np.abs(x) / MOUTH_HALF_WIDTH, 1.0)
    return np.asarray(MOUTH_Y - 0.5 * bump(np.abs(x), 6.0) + 0.5 * bump(np.abs(x) - 11.0, 7.0) + 0.5 * u**3)


def eye_angles() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the left eye's lid margin by spoke: longitude, latitude, latitude where lids meet (33 of each, radians)."""
    s = np.linspace(0.0, 2.0, EYE_SPOKES + 1)
    t = np.where(s <= 1, s, 2 - s)  # 0 outer corner, 1 inner corner
    # seen from the front the opening is an almond: heights are functions of the place across it, not of the angle
    across = 0.5 * np.cos(np.pi * t) + 0.5 * (1 - 2 * t)
    longitude = np.degrees(np.arcsin(np.clip(-0.008 + 0.962 * across, -0.972, 0.960)))
    level = 3.5 * (1 - t) - 4.5 * t
    round_ = np.maximum(1 - across**2, 0.0)
    upper = level + 22.5 * round_**0.80 * (1 - 0.10 * across)
    lower = level - 25.0 * round_**0.95 * (1 + 0.12 * across)
    latitude = np.where(s <= 1, upper, lower)
    meeting = level - 11.5 * round_
    return np.radians(longitude), np.radians(latitude), np.radians(meeting)


def on_eye(longitude: np.ndarray, latitude: np.ndarray, radius: np.ndarray | float) -> np.ndarray:
    """Return points (..., 3), mm, at angles (radians) and distance (mm) from the left eye's centre."""
    direction = np.stack([np.sin(longitude) * np.cos(latitude), np.sin(latitude), np.cos(longitude) * np.cos(latitude)], -1)
    return np.asarray(EYE_CENTER + np.asarray(radius)[..., None] * direction)


def canthus_offset(ring: np.ndarray | int = 0) -> np.ndarray:
    """Return (..., 33, 3) mm by which each spoke of the lids leaves the sphere, to meet the skin at the corners of the eye.

    Spokes that close on each other have the same offset, so that lids still meet; the lining (rings -1, -2) follows less.
    """
    longitude, latitude, _ = eye_angles()
    inner, outer = smoothstep(-0.75, -1.32, longitude), smoothstep(0.75, 1.25, longitude)
    offset = np.stack([1.4 * outer - 2.2 * inner, -0.6 * inner, 1.6 * outer + 3.2 * inner], -1)
    rest = on_eye(longitude, latitude, EYE_RADIUS + 2.2)
    share = smoothstep(0.70, 1.15, np.abs(longitude))[:, None]
    target = project(rest + offset, 4) - rest
    target = 0.5 * (target + target[::-1])
    offset = offset * (1 - share) + target * share
    follow = np.interp(ring, [-2, -1, 0], [-0.15, 0.35, 1.0])
    return np.asarray(np.asarray(follow)[..., None, None] * offset)


def _lids() -> np.ndarray:
    """Return (rings -2 … 5, spokes, 3) explicit rings of the left eye's lids."""
    longitude, latitude, _ = (a[:-1] for a in eye_angles())
    theta = np.pi * np.arange(EYE_SPOKES) / (EYE_SPOKES / 2)
    out_lon, out_lat = np.cos(theta), np.sin(theta)
    offset = canthus_offset()[:-1]
    rings = []
    for ring, degrees, radius in ((-2, 24, 1.15), (-1, 9, 1.1), (0, 0, 0.95), (1, 2.5, 2.2)):
        away = np.radians(degrees)
        # the lining of the inner corner comes forward over the ball: the caruncle
        fold = smoothstep(0.80, 1.0, -out_lon) * (ring == -1)
        here = on_eye(
            longitude + away * out_lon * (1 - 2.2 * fold), latitude + away * out_lat * (1 - fold), EYE_RADIUS + radius
        )
        rings.append(here + canthus_offset(ring)[:-1] * (1 - 0.6 * fold)[:, None])
    lift = np.where(out_lat > 0, 1.0, 0.9)
    # at the inner corner rings step over the skin in short steps towards the nose, not round the eyeball
    sideways = smoothstep(0.45, 0.95, -out_lon)[:, None]
    short = 1.0 - 0.58 * smoothstep(0.2, 0.95, -out_lon)
    for degrees, height in ((8.0, 0.35), (14.0, 0.35), (20.0, -0.9), (26.0, 0.5)):
        away = np.radians(degrees) * lift
        points = project(on_eye(longitude + away * out_lon, latitude + away * out_lat, EYE_RADIUS + 2.4) + offset, 2)
        step = 0.24 * degrees * short
        x, y = rings[3][:, 0] + step * out_lon, rings[3][:, 1] + step * out_lat
        points = points * (1 - sideways) + np.stack([x, y, front_depth(x, y)], -1) * sideways
        points = project(points, 2)
        _, normal = skin_gradient(points)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        upper = smoothstep(0.1, 0.7, out_lat)
        rings.append(points + (height if height > 0.4 or height < 0 else 0.0) * upper[:, None] * normal)
    return np.stack(rings)


def _lips() -> tuple[np.ndarray, np.ndarray]:
    """Return rings 0 … 5 (6, spokes, 3) of the left half of the lips, and (6, spokes, 3) of the bag, inner first."""
    half = MOUTH_SPOKES // 2
    t = np.abs(np.arange(MOUTH_SPOKES + 1) - half) / half  # 1 in the middle, 0 at the corner
    t = 1.0 - t
    upper = np.where(np.arange(MOUTH_SPOKES + 1) <= half, 1.0, -1.0)
    width = MOUTH_HALF_WIDTH
    x = width * (0.5 * t + 0.5 * np.sin(np.pi * t / 2))
    u = x / width
    round_ = np.sqrt(np.maximum(1 - u**2, 0.0))
    high = 6.8 * round_**1.2 + 0.9 * bump(x - 6.0, 4.5) - 0.5 * bump(x, 3.0)
    low = 8.6 * (1 - u**2.6) ** 0.85
    height = np.where(upper > 0, high * round_**0.2, low)
    base_y = mouth_line(x)
    flat = np.where(upper < 0, 0.6 * bump(x, 6.0), 0.0)  # the lower lip's border does not follow the middle's dip
    rings = []
    share = (0.0, 0.15, 0.42, 0.74, 1.0, 1.0)
    bulge_upper = (-1.3, 1.3, 3.0, 3.1, 2.1, 1.0)
    bulge_lower = (-1.3, 1.4, 3.5, 3.2, 1.1, 0.2)
    aside = (0.0, 0.5, 1.0, 1.6, 2.3, 4.2)
    for r in range(6):
        px = x + u**6 * aside[r]
        py = base_y + flat * share[r] + upper * (height * share[r] + (1.9 * round_**0.5 if r == 5 else 0.0))
        bulge = np.where(upper > 0, bulge_upper[r] + 0.6 * (r < 5), bulge_lower[r] + 0.6 * (r == 0)) * round_**0.8
        corner = -0.9 * (1 - round_) * (1 - r / 6)
        rings.append(np.stack([px, py, front_depth(px, py) + bulge + corner], -1))
    line = rings[0]
    bag = []
    # mm behind the line (in the middle, at the corners) and away from it; the lower lip's inside is a shelf for f and v
    depth_upper = ((2.2, 2.0), (4.6, 5.5), (5.8, 8.0), (6.4, 12.4), (15.0, 24.0))
    depth_lower = ((2.6, 2.2), (6.3, 6.3), (7.1, 8.6), (7.4, 12.6), (15.0, 24.0))
    rise_upper, rise_lower = (0.25, 1.3, 5.5, 10.5, 14.0, 13.0), (0.2, 0.5, 4.6, 10.5, 14.0, 13.0)
    wide = (1.0, 1.0, 1.02, 1.10, 1.34, 1.42)  # behind the corners the bag holds the molars
    for n in range(6):
        px = x * wide[n]
        py = line[:, 1] + upper * np.where(upper > 0, rise_upper[n], rise_lower[n]) * round_ ** (1.0 if n < 3 else 0.4)
        behind = [low + (high - low) * u**2 for low, high in (depth_upper[min(n, 4)], depth_lower[min(n, 4)])]
        pz = line[:, 2] - np.where(upper > 0, behind[0], behind[1])
        if n == 5:
            pz = np.full_like(pz, 38.0)
        bag.append(np.stack([px, py, pz], -1))
    return np.stack(rings), np.stack(bag[::-1])


def _grid() -> np.ndarray:
    """Return (rows, columns, 3) first positions of the grid on the skin's left half; the last row is the crown."""
    front = np.arctan(_COLUMN_X / 85.0)
    n = 15
    growth = np.linspace(1.0, 1.9, n)
    azimuth = np.concatenate([front, front[-1] + (np.pi - front[-1]) * np.cumsum(growth) / growth.sum()])
    back_y = np.interp(_FACE_Y, [-109.5, 64.0], [-66.0, 58.0])
    early = np.sin(azimuth / 2)[None]
    late = smoothstep(0.6, 2.8, azimuth)[None]
    low = smoothstep(-86.0, -109.0, _FACE_Y)[:, None]
    share = early * low + late * (1 - low)
    y = _FACE_Y[:, None] * (1 - share) + back_y[:, None] * share
    t = np.arange(1, _CROWN_ROWS + 1)[:, None] / _CROWN_ROWS
    elevation = np.concatenate([np.zeros_like(y), np.broadcast_to(np.pi / 2 * t, (_CROWN_ROWS, azimuth.size))])
    origin_y = np.concatenate([y, y[-1:] + (28.0 - y[-1:]) * np.sqrt(t)])
    direction = np.stack([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], -1)
    origin = np.stack([np.zeros_like(origin_y), origin_y, np.full_like(origin_y, -4.0)], -1)
    head = cast((origin + 190.0 * direction).reshape(-1, 3), -direction.reshape(-1, 3)).reshape(direction.shape)
    # neck: straight rays towards its own axis
    t = np.array([0.0, 0.13, 0.26, 0.385, 0.40, 0.50, 0.65, 0.82, 1.0])[:, None]  # rows 3 and 4 are the collar's border
    share = np.sin(azimuth / 2)[None]
    top = -124.0 + 36.0 * share
    y = -178.0 + (top + 178.0) * t
    axis = np.stack([np.zeros_like(y), y, np.full_like(y, -34.0)], -1)
    flat = np.stack([np.sin(azimuth), np.zeros_like(azimuth), np.cos(azimuth)], -1)
    reach = 54.0 + 110.0 * (1 - t) ** 3  # rays that start outside the shoulders' slope
    start = axis + flat[None] * np.broadcast_to(reach + 60.0, y.shape)[..., None]
    neck = cast(start.reshape(-1, 3), -np.broadcast_to(flat, start.shape).reshape(-1, 3)).reshape(start.shape)
    s = np.linspace(0.0, 1.0, _UNDER_ROWS + 1)[1:-1, None, None]
    under = neck[-1][None] * (1 - s) + head[0][None] * s
    under = project(under.reshape(-1, 3), 4).reshape(under.shape)
    neck[: COLLAR_ROW + 1] += 2.2 * flat[None]  # the shirt's thickness
    return np.concatenate([neck, under, head])


def _border(rows: tuple[int, ...], columns: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the grid round a block of cells, counter-clockwise from its lower inner corner."""
    (bottom, top), (left, right) = rows, columns
    across, up = np.arange(left, right), np.arange(bottom, top)
    row = np.concatenate([np.full(across.size, bottom), up, np.full(across.size, top), up[::-1] + 1])
    column = np.concatenate([across, np.full(up.size, right), across[::-1] + 1, np.full(up.size, left)])
    return row, column


def _nostril() -> np.ndarray:
    """Return (4, 10, 3) rings of the left nostril, mm: on the nose's underside, its rim, and two of its lining."""
    turn = 2 * np.pi * (np.arange(10) - 4.0) / 10
    across, along = np.cos(turn)[:, None] * _NOSTRIL_ACROSS, np.sin(turn)[:, None] * _NOSTRIL_LONG
    rings = [project(_NOSTRIL + 3.6 * across + 5.2 * along, 6), project(_NOSTRIL + 2.5 * across + 3.7 * along, 6)]
    middle = rings[1].mean(0)
    for share, rise in ((0.86, 2.2), (0.6, 5.5)):
        rings.append(middle + share * (rings[1] - middle) + [0.0, rise, -0.25 * rise])
    return np.stack(rings)


def _relax(points: np.ndarray, quads: np.ndarray, free: np.ndarray, seam: np.ndarray, rounds: int) -> np.ndarray:
    edges = np.concatenate([quads[:, [0, 1]], quads[:, [1, 2]], quads[:, [2, 3]], quads[:, [3, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    mirrored = seam[edges[:, 0]] & ~seam[edges[:, 1]]  # a seam vertex has its neighbour's mirror image as neighbour too
    weight = np.where(mirrored, 2.0, 1.0)
    total = np.bincount(edges[:, 0], weight, len(points))
    free = free & (total > 0)
    p = points.copy()
    for _ in range(rounds):
        sums = np.stack([np.bincount(edges[:, 0], weight * p[edges[:, 1], a], len(p)) for a in range(3)], -1)
        mean = sums / np.maximum(total, 1)[:, None]
        moved = 0.5 * p[free] + 0.5 * mean[free]
        p[free] = project(moved, 1)
        p[seam, 0] = 0.0
    return p


def add_skin(mesh: HalfMesh) -> dict[str, np.ndarray]:
    """Add the skin and the mouth bag to a half mesh; return index grids `mouth` (rings, spokes), `bag`, `eye`, `grid`."""
    grid = _grid()
    rows, columns = grid.shape[:2]
    base = _NECK_ROWS + _UNDER_ROWS
    mouth_rows, eye_rows = (tuple(base + row for row in rows_) for rows_ in (_MOUTH_ROWS, _EYE_ROWS))
    nose_rows, nose_columns = tuple(base + row for row in _NOSTRIL_ROWS), _NOSTRIL_COLUMNS
    keep = np.ones((rows, columns), bool)
    keep[mouth_rows[0] + 1 : mouth_rows[1], : _MOUTH_COLUMNS[1]] = False
    keep[eye_rows[0] + 1 : eye_rows[1], _EYE_COLUMNS[0] + 1 : _EYE_COLUMNS[1]] = False
    keep[nose_rows[0] + 1 : nose_rows[1], nose_columns[0] + 1 : nose_columns[1]] = False
    keep[-1, 1:] = False
    border = _border(nose_rows, nose_columns)
    nostril = _nostril()
    grid[border[0], border[1]] = nostril[0]
    index = np.full((rows, columns), -1)
    seam = np.zeros((rows, columns), bool)
    seam[:, [0, -1]] = True
    grid[seam, 0] = 0.0
    row = np.broadcast_to(np.arange(rows)[:, None], keep.shape)
    index[keep] = mesh.add(grid[keep], "skin", seam[keep], -99, row[keep])  # `spoke` is the grid's row here
    index[-1] = index[-1, 0]
    cells = np.ones((rows - 1, columns - 1), bool)
    cells[mouth_rows[0] : mouth_rows[1], : _MOUTH_COLUMNS[1]] = False
    cells[eye_rows[0] : eye_rows[1], _EYE_COLUMNS[0] : _EYE_COLUMNS[1]] = False
    cells[nose_rows[0] : nose_rows[1], nose_columns[0] : nose_columns[1]] = False
    first = len(mesh.quads)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    mesh.quad(a[cells], b[cells], c[cells], d[cells])

    # mouth: perimeter from the upper middle over the corner to the lower middle
    bottom, top = mouth_rows
    side = _MOUTH_COLUMNS[1]
    rim = np.concatenate([index[top, :side], index[top:bottom:-1, side], index[bottom, side::-1]])
    lips, bag = _lips()
    flat = np.concatenate(mesh.points)
    outer = flat[rim]
    t = np.linspace(0, 1, MOUTH_RINGS - 4)[1:-1, None, None] ** 0.9
    between = lips[5] * (1 - t) + outer * t
    between = project(between.reshape(-1, 3), 3).reshape(between.shape)
    all_rings = np.concatenate([bag, lips, between])
    names = np.arange(-6, 0).tolist() + list(range(MOUTH_RINGS))
    ring_label = np.broadcast_to(np.array(names)[:, None], all_rings.shape[:2])
    spoke_label = np.broadcast_to(np.arange(MOUTH_SPOKES + 1)[None], all_rings.shape[:2])
    middle = (spoke_label == 0) | (spoke_label == MOUTH_SPOKES)
    inner = mesh.add(all_rings[:6], "mouth", middle[:6], ring_label[:6], spoke_label[:6])
    outer_rings = mesh.add(all_rings[6:], "skin", middle[6:], ring_label[6:], spoke_label[6:])
    mouth = np.concatenate([inner, outer_rings, rim[None]])
    mesh.sheet(mouth)
    k = np.arange(MOUTH_SPOKES // 2)
    back = mouth[0]
    mesh.quad(back[k + 1], back[k], back[MOUTH_SPOKES - k], back[MOUTH_SPOKES - 1 - k])

    # eye: perimeter from the outer corner over the upper lid
    bottom, top = eye_rows
    left, right = _EYE_COLUMNS
    mid = (bottom + top) // 2
    rim = np.concatenate([
        index[mid:top, right], index[top, right:left:-1], index[top:bottom:-1, left],
        index[bottom, left:right], index[bottom:mid, right],
    ])  # fmt: skip
    lids = _lids()
    outer = flat[rim]
    t = np.linspace(0, 1, EYE_RINGS - 4)[1:-1, None, None]
    between = lids[-1] * (1 - t) + outer * t
    between = project(between.reshape(-1, 3), 3).reshape(between.shape)
    all_rings = np.concatenate([lids, between])
    ring_label = np.broadcast_to(np.arange(-2, EYE_RINGS)[:, None] + 100, all_rings.shape[:2])
    spoke_label = np.broadcast_to(np.arange(EYE_SPOKES)[None], all_rings.shape[:2])
    eye = np.concatenate([mesh.add(all_rings, "skin", None, ring_label, spoke_label), rim[None]])
    mesh.sheet(np.concatenate([eye, eye[:, :1]], 1), flip=True)

    rim = index[border[0], border[1]]
    label = np.broadcast_to(np.arange(NOSTRIL_RING, NOSTRIL_RING + 3)[:, None], nostril[1:].shape[:2])
    rings = np.concatenate([rim[None], mesh.add(nostril[1:], "skin", None, label)])
    mesh.sheet(np.concatenate([rings, rings[:, :1]], 1))
    pole = mesh.add(nostril[-1].mean(0)[None] + [0.0, 1.2, 0.0], "skin", None, NOSTRIL_RING + 3)
    mesh.triangles.append(np.stack([np.broadcast_to(pole, len(rim)), rings[-1], np.roll(rings[-1], -1)], -1))

    points = np.concatenate(mesh.points)
    ring = np.concatenate(mesh.ring)
    part = np.concatenate(mesh.part)
    free = (part == 0) & ~((ring >= -6) & (ring <= 6)) & ~((ring > 90) & (ring <= 106))
    free &= ~((ring >= NOSTRIL_RING) & (ring <= NOSTRIL_RING + 3))
    free[index[: COLLAR_ROW + 2].ravel()] = False
    free[rim] = False
    quads = np.concatenate(mesh.quads[first:])
    seams = np.concatenate(mesh.seam)
    points = _relax(points, quads, free, seams, 10)
    near = np.linalg.norm(points - _NOSTRIL, axis=1) < 22.0  # the wing's vertices come a longer way
    points = _relax(points, quads, free & near, seams, 120)
    cuts = np.cumsum([len(block) for block in mesh.points])[:-1]
    mesh.points = np.split(points, cuts)
    return {"mouth": mouth, "eye": eye, "grid": index}
