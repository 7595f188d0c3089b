"""Eyeballs, lashes, brows, teeth, tongue and ears, as half meshes in millimetres."""

import numpy as np

from talker_cli.head.build import HalfMesh
from talker_cli.head.skin import EYE_SPOKES
from talker_cli.head.surface import EYE_CENTER, EYE_RADIUS, bump, cast, front_depth, smoothstep

# Angles from the optical axis, degrees: pupil to 9.6, iris to 27, its dark rim to 29, white behind.
EYE_RING_DEGREES = (4.5, 9.2, 10.2, 15.0, 21.0, 25.5, 28.0, 30.0, 37.0, 48.0, 62.0, 80.0, 102.0)
EYE_COLUMNS = 28
TOOTH_COLUMNS = 4
TOOTH_ROWS = 8
TONGUE_COLUMNS = 12
UPPER_WIDTHS = (8.5, 6.6, 7.5, 7.0, 6.8, 10.0, 9.0)  # mm, from the middle outwards
LOWER_WIDTHS = (5.3, 5.8, 6.8, 7.0, 7.0, 10.5, 10.0)
UPPER_EDGE_Y, LOWER_EDGE_Y = -68.0, -67.0  # mm, edges of the incisors in a closed bite


def add_eyes(mesh: HalfMesh) -> None:
    """Add the left eyeball (rings round its optical axis) and the small highlight before it."""
    turn = 2 * np.pi * np.arange(EYE_COLUMNS) / EYE_COLUMNS
    polar = np.radians(np.array(EYE_RING_DEGREES))[:, None]
    direction = np.stack(
        [np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.broadcast_to(np.cos(polar), (len(polar), turn.size))],
        -1,
    )
    ring = np.broadcast_to(np.arange(1, len(polar) + 1)[:, None], direction.shape[:2])
    spoke = np.broadcast_to(np.arange(EYE_COLUMNS)[None], direction.shape[:2])
    pole = mesh.add(EYE_CENTER + np.array([[0.0, 0.0, EYE_RADIUS]]), "eyeball", None, 0, 0)
    grid = mesh.add(EYE_CENTER + EYE_RADIUS * direction, "eyeball", None, ring, spoke)
    grid = np.concatenate([grid, grid[:, :1]], 1)
    mesh.sheet(grid, flip=True)
    first = grid[0]
    mesh.triangles.append(np.stack([np.broadcast_to(pole, EYE_COLUMNS), first[:-1], first[1:]], -1))
    lon, lat, radius = np.radians(10.0), np.radians(13.0), EYE_RADIUS + 0.22
    axis = np.array([np.sin(lon) * np.cos(lat), np.sin(lat), np.cos(lon) * np.cos(lat)])
    right = np.cross([0.0, 1.0, 0.0], axis)
    right /= np.linalg.norm(right)
    up = np.cross(axis, right)
    turn = 2 * np.pi * np.arange(8) / 8
    disc = EYE_CENTER + radius * axis + 0.85 * (np.cos(turn)[:, None] * right + np.sin(turn)[:, None] * up)
    middle = mesh.add(EYE_CENTER + (radius + 0.06) * axis[None], "glint")
    rim = mesh.add(disc, "glint")
    mesh.triangles.append(np.stack([np.broadcast_to(middle, 8), rim, np.roll(rim, -1)], -1))


def add_lashes(mesh: HalfMesh, eye: np.ndarray) -> np.ndarray:
    """Add the upper lashes of the left eye, a thin dark wedge on the lid's margin; return (3, n) vertex indices."""
    points = np.concatenate(mesh.points)
    spokes = np.arange(1, EYE_SPOKES // 2)
    inner, outer = points[eye[2, spokes]], points[eye[3, spokes]]
    t = np.linspace(0, 1, len(spokes))[:, None]  # 0 at the outer corner
    away = inner - EYE_CENTER
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    length = (3.2 - 1.6 * t) * np.sin(np.pi * np.clip(t * 0.9 + 0.1, 0, 1)) ** 0.6 + 0.15
    tip = outer + length * (0.85 * away + np.array([0.0, 0.28, 0.0]) + (0.5 - t) * np.array([0.55, 0.0, 0.0]))
    base = outer + 0.12 * away
    low = 0.5 * inner + 0.5 * outer + 0.10 * away
    spoke = np.broadcast_to(spokes, (3, len(spokes)))
    ring = np.broadcast_to(np.arange(3)[:, None], (3, len(spokes)))
    index = mesh.add(np.stack([low, tip, base]), "lash", None, ring, spoke)
    mesh.sheet(index, flip=True)
    return index


def brow_points(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return (..., 3) points of the left brow; rows -1 … 1 across it, columns 0 (inner) … 1 (outer end)."""
    x = 10.0 + 39.0 * columns
    y = 18.2 + 6.2 * np.sin(np.pi * np.clip(columns, 0, 1) ** 1.2 * 0.80) - 3.4 * columns**3
    width = (3.4 - 3.1 * smoothstep(0.2, 1.0, columns)) * smoothstep(-0.16, 0.20, columns)
    y = y + width * rows
    shape = x.shape
    z = front_depth(x.ravel(), y.ravel()).reshape(shape)
    # 0.28 to 0.40 mm above the skin: the border fades out in colour and must not sink into the skin.
    return np.stack([x, y, z + 0.40 - 0.12 * rows**2], -1)


def add_brows(mesh: HalfMesh) -> None:
    """Add the left brow: a soft strip laid on the skin, its border sunk in."""
    columns, rows = np.meshgrid(np.linspace(0, 1, 16), np.linspace(-1, 1, 5))
    ring = np.broadcast_to(np.arange(5)[:, None], rows.shape)
    spoke = np.broadcast_to(np.arange(16)[None], rows.shape)
    mesh.sheet(mesh.add(brow_points(rows, columns), "brow", None, ring, spoke))


def _arch(widths: tuple[float, ...], front: float, curve: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the arch's x, z, tooth number and place across the tooth (-1 … 1) by column."""
    x = np.linspace(0, 32, 2000)
    z = front - curve * x**2 - 3.4e-5 * x**4
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    borders = np.concatenate([[0.0], np.cumsum(widths)])
    tooth = np.repeat(np.arange(len(widths)), TOOTH_COLUMNS)
    place = np.tile(np.array([-1.0, -0.62, 0.0, 0.62]), len(widths))
    at = borders[tooth] + (place + 1) / 2 * np.array(widths)[tooth]
    at = np.append(at, borders[-1])
    tooth, place = np.append(tooth, len(widths) - 1), np.append(place, 1.0)
    return np.interp(at, length, x), np.interp(at, length, z), tooth, place


def add_teeth(mesh: HalfMesh) -> None:
    """Add both rows of teeth with their gums: one relief for each row, single teeth rounded, grooves between them."""
    rows = (
        ("upper_teeth", UPPER_WIDTHS, 87.8, 0.0152, UPPER_EDGE_Y,
         (10.3, 9.0, 9.9, 8.4, 8.0, 7.0, 7.0), (0.0, 0.7, -0.2, 0.5, 0.6, 0.6, 0.6), 1.0),
        ("lower_teeth", LOWER_WIDTHS, 85.9, 0.0152, LOWER_EDGE_Y,
         (8.6, 8.8, 9.6, 8.4, 7.6, 7.0, 7.0), (0.2, 0.3, -0.2, 0.5, 0.8, 0.8, 0.8), -1.0),
    )  # fmt: skip
    for part, widths, front, curve, edge_y, crowns, shorter, up in rows:
        x, z, tooth, place = _arch(widths, front, curve)
        slope = 2 * curve * x + 13.6e-5 * x**3
        normal = np.stack([slope, np.zeros_like(x), np.ones_like(x)], -1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        groove = np.abs(place) ** 3
        crown = np.array(crowns)[tooth]
        edge = up * (np.array(shorter)[tooth] + 0.75 * groove)
        thick = np.where(tooth < 3, 2.4, 7.5)
        papilla = 1.6 * np.abs(place) ** 2
        inset = 1.0 * groove
        # (outwards from the arch, height over the edge) by row, from the outer gum over the edge to the inner gum
        profile = (
            (0.2 - 1.2, crown + 7.5),
            (0.75, crown + 0.8 - papilla),
            (0.1 - inset, crown - papilla),
            (0.9 - inset, 0.55 * crown),
            (0.7 - inset, 0.06 * crown + 0.2),
            (-0.5, 0.0 * crown),
            (-thick, 0.5 * crown),
            (-thick - 1.5, crown + 5.0),
        )
        points = []
        for row, (out, height) in enumerate(profile):
            lift = up * height if row in (0, 1, 2, 7) else up * height + edge
            spot = np.stack([x, edge_y + lift, z], -1) + np.broadcast_to(np.asarray(out), x.shape)[:, None] * normal
            points.append(spot)
        grid = np.stack(points)
        seam = np.zeros(grid.shape[:2], bool)
        seam[:, 0] = True
        ring = np.broadcast_to(np.arange(TOOTH_ROWS)[:, None], grid.shape[:2])
        spoke = np.broadcast_to(tooth * 4 + (np.arange(tooth.size) % 4), grid.shape[:2])
        mesh.sheet(mesh.add(grid, part, seam, ring, spoke), flip=up > 0)


def add_tongue(mesh: HalfMesh) -> None:
    """Add the tongue: a flattened tube from its tip behind the lower incisors to the throat."""
    s = np.linspace(0.0, 1.0, 11)[1:, None]
    turn = np.linspace(0.0, np.pi, TONGUE_COLUMNS)[None]
    width = 14.5 * np.sqrt(1 - (1 - np.clip(s / 0.42, 0, 1)) ** 2) + 2.0 * s
    height = 5.2 * np.sqrt(1 - (1 - np.clip(s / 0.3, 0, 1)) ** 2) + 3.0 * s
    center_y = -76.0 + 4.0 * np.sin(np.pi * np.clip(s * 0.8, 0, 1)) - 3.0 * s**3
    groove = 1.6 * bump(turn, 0.4) * smoothstep(0.05, 0.4, s)
    points = np.stack(
        [
            width * np.sin(turn) * (1 - 0.10 * np.maximum(np.cos(turn), 0.0)),
            center_y + height * np.cos(turn) - groove,
            np.broadcast_to(79.5 - 44.0 * s**1.15, (10, TONGUE_COLUMNS)),
        ],
        -1,
    )
    seam = np.zeros(points.shape[:2], bool)
    seam[:, [0, -1]] = True
    ring = np.broadcast_to(np.arange(1, 11)[:, None], seam.shape)
    tip = mesh.add(np.array([[0.0, -75.6, 79.9]]), "tongue", np.array([True]), 0)
    grid = mesh.add(points, "tongue", seam, ring)
    mesh.sheet(grid)
    last = TONGUE_COLUMNS - 1
    mesh.triangles.append(np.stack([np.broadcast_to(tip, last), grid[0, 1:], grid[0, :-1]], -1))


_EAR_COLUMNS = 36
# Rings in shares of the outline's radius: the ear's front, and the last three on its back.
_EAR_SHARES = (0.14, 0.27, 0.38, 0.47, 0.55, 0.62, 0.69, 0.76, 0.83, 0.89, 0.95, 1.0, 0.99, 0.90, 0.62)
_EAR_BACK = {12: -1.6, 13: -3.2, 14: -8.0}  # mm under the outline's rim, by ring


def _ear_relief(share: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Return the height (mm) of the ear's front over its plane at a share of the outline and a direction.

    Directions in degrees: 0 forward (the face), 90 up, 180 back, -90 the lobe.
    """

    def to(center: float, width: float) -> np.ndarray:
        """Return a window of directions round `center`."""
        return bump((np.mod(turn - center + 180.0, 360.0) - 180.0) / width, 1.0)

    upper_back = smoothstep(15.0, 50.0, turn) * smoothstep(270.0, 215.0, turn)  # the helix' way, 15 … 270 degrees
    lobe = to(-85.0, 34.0)
    antihelix = smoothstep(35.0, 85.0, turn) * smoothstep(285.0, 235.0, turn)
    height = -5.4 * smoothstep(0.56, 0.22, share)  # concha
    ridge = 0.60 + 0.05 * to(100.0, 30.0)
    height = height + 3.0 * antihelix * bump((share - ridge) / 0.10, 1.0)
    height = height + 1.6 * to(62.0, 16.0) * bump((share - 0.70) / 0.10, 1.0)  # its front branch
    height = height - 1.6 * upper_back * bump((share - 0.80) / 0.07, 1.0)  # scapha
    height = height + 3.9 * upper_back * bump((share - 0.94) / 0.075, 1.0)  # helix
    height = height + 3.4 * to(12.0, 17.0) * smoothstep(0.16, 0.42, share)  # its root, running into the concha
    height = height + 5.2 * to(-18.0, 17.0) * bump((share - 0.60) / 0.20, 1.0)  # tragus
    height = height + 4.2 * to(-112.0, 22.0) * bump((share - 0.50) / 0.13, 1.0)  # antitragus
    height = height - 2.2 * to(-58.0, 18.0) * bump((share - 0.50) / 0.16, 1.0)  # the notch between them
    height = height + 1.6 * lobe * smoothstep(0.55, 0.80, share) - 0.6 * lobe * smoothstep(0.85, 1.0, share)
    # the front border lies on the head
    return height - 9.0 * to(-8.0, 44.0) * smoothstep(0.70, 1.0, share)


def add_ear(mesh: HalfMesh) -> None:
    """Add the left ear: a relief of helix, antihelix, concha, tragus and lobe in rings round the concha, and its back."""
    n = _EAR_COLUMNS
    turn = 2 * np.pi * np.arange(n) / n  # 0 forward, pi/2 up, pi back
    degrees = np.mod(np.degrees(turn) + 80.0, 360.0) - 80.0  # -80 … 280
    forward, up = np.cos(turn), np.sin(turn)
    outline_a = np.where(forward > 0, 12.0, 19.0) * forward * (1 + 0.16 * up + 0.16 * smoothstep(-0.5, -0.95, up))
    outline_b = np.where(up > 0, 31.0, 29.0) * up
    rim = _ear_relief(np.ones(n), degrees)
    # the ear's plane follows the side of the head
    around = np.array([[0.0, 0, 0], [0, 25, 0], [0, -25, 0], [0, 0, 12], [0, 0, -12]])
    spots = np.array([140.0, -17.0, -6.0]) + around
    head = cast(spots, np.broadcast_to([-1.0, 0.0, 0.0], spots.shape))[:, 0]
    slope_b, slope_a = 0.7 * (head[1] - head[2]) / 50.0, (head[3] - head[4]) / 24.0
    rings = []
    for row, share in enumerate(_EAR_SHARES):
        relief = rim + _EAR_BACK[row] if row in _EAR_BACK else _ear_relief(np.full(n, share), degrees)
        a = outline_a * share + 2.4 * (1 - share)
        b = outline_b * share - 5.0 * (1 - share)
        tilt = 0.18
        y, z = b * np.cos(tilt) + a * np.sin(tilt) * 0.3, a - b * np.sin(tilt)
        x = relief + slope_b * y + slope_a * z + 0.30 * (12.0 - a) + 1.5
        rings.append(np.stack([x, y, z], -1))
    anchor = np.array([head[0], -17.0, -6.0])
    local = np.stack(rings)
    hole = np.mean(local[0], 0) - [1.5, 0.0, 0.0]
    ring = np.broadcast_to(np.arange(1, len(rings) + 1)[:, None], local.shape[:2])
    spoke = np.broadcast_to(np.arange(n)[None], local.shape[:2])
    pole = mesh.add((anchor + hole)[None], "ear", None, 0, 0)
    grid = mesh.add(anchor + local, "ear", None, ring, spoke)
    grid = np.concatenate([grid, grid[:, :1]], 1)
    mesh.sheet(grid)
    mesh.triangles.append(np.stack([np.broadcast_to(pole, n), grid[0, 1:], grid[0, :-1]], -1))
