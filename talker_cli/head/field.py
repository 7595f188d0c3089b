"""Coordinates of the rest head's vertices relative to mouth, jaw and eyes, of which the shapes are functions."""

from dataclasses import dataclass

import numpy as np

from talker_cli.head.build import Layout
from talker_cli.head.skin import EYE_SPOKES, MOUTH_SPOKES, canthus_offset, mouth_line
from talker_cli.head.surface import EYE_CENTER, MOUTH_HALF_WIDTH, bump, smoothstep

# Share of the lips' motion that the mouth bag's rings -6 … -1 follow: all at the lips, none at the throat.
_BAG_FOLLOWS = np.array([0.0, 0.06, 0.22, 0.5, 0.86, 0.97])
# Share of the lid margin's turn that the lids' rings -2 … 8 follow: all on the eyeball, none on the socket's rim.
_LID_FOLLOWS = np.array([0.8, 1.0, 1.0, 1.0, 0.79, 0.54, 0.26, 0.12, 0.04, 0.0, 0.0])


@dataclass(frozen=True)
class Field:
    """Per-vertex coordinates (V,), millimetres and radians, on both halves alike (`x` is |x|, `sign` its sign).

    Args:
        layout: the rest head.
        x, y, z: distance from the middle, height, depth.
        sign: sign of x (0 on the seam).
        angle: elliptic angle round the mouth slit: pi/2 upper middle, 0 corner, -pi/2 lower middle.
        away: distance from the lip line seen from the front.
        front: 1 on the face, 0 behind.
        lip_ring: ring of the mouth's layout (99 elsewhere).
        lid_ring: ring of the eye's layout (99 elsewhere).
        left: weight of the left side, 0 … 1; that of a vertex and of its mirror image sum to 1.
    """

    layout: Layout
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    sign: np.ndarray
    angle: np.ndarray
    away: np.ndarray
    front: np.ndarray
    lip_ring: np.ndarray
    lid_ring: np.ndarray
    left: np.ndarray

    @property
    def upper(self) -> np.ndarray:
        """1 at the middle of the upper lip, falling to 0 at the corners and below."""
        return np.asarray(np.maximum(np.sin(self.angle), 0.0))

    @property
    def lower(self) -> np.ndarray:
        """1 at the middle of the lower lip, falling to 0 at the corners and above."""
        return np.asarray(np.maximum(-np.sin(self.angle), 0.0))

    @property
    def corner(self) -> np.ndarray:
        """1 at the corners of the mouth, falling to 0 in the middle (|x| over half the width on the lip line)."""
        return np.asarray(np.cos(self.angle))

    @property
    def furrows(self) -> np.ndarray:
        """1 in the wrinkles of the forehead and of the eyes' outer corners, along the layout's rows and rings."""
        row = self.layout.spoke
        on_grid = self.layout.of("skin") & (self.layout.ring == -99)
        brow = (row % 2 == 0) * smoothstep(26.0, 32.0, self.y) * smoothstep(60.0, 52.0, self.y) * smoothstep(46.0, 30.0, self.x)
        outer = np.minimum(row, EYE_SPOKES - row)  # spokes from the outer corner
        ring = self.lid_ring
        foot = (row % 2 == 0) * np.interp(outer, [4, 7], [1.0, 0.0]) * np.interp(ring, [4, 5, 7, 9], [0.0, 1.0, 1.0, 0.0])
        return np.asarray(np.where(on_grid, brow, np.where(ring < 20, foot, 0.0)) * self.front)

    @property
    def bags(self) -> np.ndarray:
        """Positive on the bags under the eyes, negative in the grooves below them."""
        spoke = self.layout.spoke
        under = np.sin(np.pi * np.clip((spoke - EYE_SPOKES / 2) / (EYE_SPOKES / 2), 0.0, 1.0))
        swell = np.interp(self.lid_ring, [3, 4, 5, 6, 7, 8, 9], [0.0, 0.4, 1.0, 0.5, -0.8, -0.4, 0.0])
        return np.asarray(np.where(self.lid_ring < 20, swell * under, 0.0))

    @property
    def fold(self) -> np.ndarray:
        """1 in the folds from the nose's wings past the corners of the mouth."""
        line = 16.5 + 0.44 * np.maximum(-43.0 - self.y, 0.0)
        ends = smoothstep(-36.0, -45.0, self.y) * smoothstep(-78.0, -64.0, self.y)
        return np.asarray(bump(self.x - line, 3.8) * ends * self.front)

    def near_mouth(self, width: float) -> np.ndarray:
        """Return the (V,) Gaussian of the distance from the lip line, on the face only, that ends at 2.3 widths."""
        return np.asarray(bump(self.away, width) * smoothstep(2.3 * width, 1.5 * width, self.away) * self.front)

    def near(self, x: float, y: float, width: float, height: float | None = None) -> np.ndarray:
        """Return the (V,) Gaussian round a point (and its mirror image) seen from the front, on the face, to 2.3 widths."""
        tall = width if height is None else height
        away = np.hypot((self.x - x) / width, (self.y - y) / tall)
        return np.asarray(bump(away, 1.0) * smoothstep(2.3, 1.5, away) * self.front)

    def vectors(self, x: np.ndarray | float = 0.0, y: np.ndarray | float = 0.0, z: np.ndarray | float = 0.0) -> np.ndarray:
        """Return (V, 3) offsets from components, x positive outwards (mirror symmetric)."""
        zero = np.zeros_like(self.x)
        return np.stack([self.sign * (x + zero), y + zero, z + zero], -1)

    def slide(self, outwards: np.ndarray) -> np.ndarray:
        """Return the (V,) change of depth, mm, of skin that slides outwards along the dental arch."""
        slope = np.clip(0.034 * (self.x + 0.5 * outwards), 0.0, 1.25)
        return np.asarray(-slope * outwards)

    def carry_bag(self, offsets: np.ndarray, rigid: np.ndarray | None = None) -> np.ndarray:
        """Return offsets in which the mouth bag follows the lip line, turning into `rigid` (V, 3) offsets in its depth."""
        out = offsets.copy()
        for side in (1, -1):
            inside = self.layout.of("mouth") & (self.layout.side != -side)
            line = (self.lip_ring == 0) & (self.layout.side != -side)
            by_spoke = np.zeros((MOUTH_SPOKES + 1, 3))
            by_spoke[self.layout.spoke[line]] = offsets[line]
            follow = _BAG_FOLLOWS[self.lip_ring[inside] + 6][:, None]
            out[inside] = follow * by_spoke[self.layout.spoke[inside]]
            if rigid is not None:
                out[inside] += (1 - follow) * rigid[inside]
        return out

    def turn_lids(self, upper: np.ndarray | float, lower: np.ndarray | float) -> np.ndarray:
        """Return (V, 3) offsets of lids and lashes that turn over the eyeball.

        Args:
            upper: (33,) or scalar change of latitude of the lid margin by spoke (0 … 16 used), radians.
            lower: the same for the lower lid (spokes 16 … 32 used).
        """
        layout = self.layout
        half = EYE_SPOKES // 2
        spoke = np.arange(EYE_SPOKES + 1)
        wave = np.abs(np.sin(np.pi * spoke / half))
        turn = np.where(spoke <= half, np.asarray(upper) * np.ones(1), np.asarray(lower) * np.ones(1))
        if np.ndim(upper) == 0:
            turn = np.where(spoke <= half, turn * wave**0.7, turn)
        if np.ndim(lower) == 0:
            turn = np.where(spoke > half, turn * wave**0.7, turn)
        out = np.zeros_like(layout.points)
        lid = (self.lid_ring < 20) | layout.of("lash")
        follow = np.where(layout.of("lash"), 1.0, _LID_FOLLOWS[np.clip(self.lid_ring, -2, 8) + 2])[lid]
        at = layout.spoke[lid]
        ring = np.where(layout.of("lash"), 0, np.clip(self.lid_ring, -2, 0))[lid]
        bases = canthus_offset(np.array([-2, -1, 0]))[ring + 2, at]
        rest = np.stack([self.x, self.y, self.z], -1)[lid] - bases
        moved = turn_about_eye(rest, follow * turn[at])
        out[lid] = moved - rest
        out[:, 0] *= self.sign
        return out


def turn_about_eye(points: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return points (n, 3), mm, with their latitude round the left eye's centre changed by (n,) radians."""
    p = points - EYE_CENTER
    radius = np.linalg.norm(p, axis=1)
    latitude = np.arcsin(np.clip(p[:, 1] / radius, -1, 1)) + by
    longitude = np.arctan2(p[:, 0], p[:, 2])
    flat = radius * np.cos(latitude)
    return np.asarray(
        EYE_CENTER + np.stack([flat * np.sin(longitude), radius * np.sin(latitude), flat * np.cos(longitude)], -1)
    )


def make_field(layout: Layout) -> Field:
    """Return the coordinates of a rest head's vertices."""
    x, y, z = np.abs(layout.points[:, 0]), layout.points[:, 1], layout.points[:, 2]
    mouth_ring = (layout.ring >= -6) & (layout.ring < 20) & (layout.of("skin") | layout.of("mouth"))
    lid_ring = (layout.ring > 90) & layout.of("skin")
    relative = y - mouth_line(x)
    below = mouth_ring & (layout.spoke > MOUTH_SPOKES // 2)
    line = mouth_ring & (layout.ring <= 0)
    height = np.where(line, np.where(below, -1e-9, 1e-9), relative)
    flat = np.where(line, np.minimum(x, MOUTH_HALF_WIDTH), x)
    angle = np.imag(np.arccosh((flat + 1j * height) / MOUTH_HALF_WIDTH))
    # The bag's vertices have the angle of the lip line's vertex on their spoke.
    table = np.zeros(MOUTH_SPOKES + 1)
    at_line = mouth_ring & (layout.ring == 0)
    table[layout.spoke[at_line]] = angle[at_line]
    upper_half = np.arange(MOUTH_SPOKES + 1) <= MOUTH_SPOKES // 2
    mean = 0.5 * (np.abs(table) + np.abs(table[::-1]))
    table = np.where(upper_half, mean, -mean)
    table[MOUTH_SPOKES // 2] = 0.0
    angle = np.where(line, table[np.clip(layout.spoke, 0, MOUTH_SPOKES)], angle)
    away = np.where(line, 0.0, np.hypot(np.maximum(x - MOUTH_HALF_WIDTH, 0.0), relative))
    return Field(
        layout=layout,
        x=x,
        y=y,
        z=z,
        sign=np.sign(layout.points[:, 0]),
        angle=angle,
        away=away,
        front=np.where(layout.of("mouth"), 1.0, smoothstep(18.0, 50.0, z)),
        lip_ring=np.where(mouth_ring, layout.ring, 99),
        lid_ring=np.where(lid_ring, layout.ring - 100, 99),
        left=smoothstep(-10.0, 10.0, layout.points[:, 0]),
    )
