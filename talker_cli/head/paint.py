"""Vertex colours of a person: skin with its own variation, lips, brows, hair, eyes, teeth (sRGB)."""

from dataclasses import dataclass

import numpy as np

from talker_cli.head.field import Field
from talker_cli.head.hair import Hair, hairline, strands
from talker_cli.head.skin import COLLAR_ROW, EYE_SPOKES, LIP_BORDER, MOUTH_SPOKES, NOSTRIL_RING
from talker_cli.head.surface import bump, smoothstep

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Look:
    """Colours of a person, sRGB 0 … 255.

    Args:
        skin, lips, hair, brows, iris: Base colours.
        blush: Share of red on cheeks, nose and ears, 0 … 1.
        beard: Share of beard shadow, 0 … 1.
        stubble: Colour of the beard's shadow.
        shirt: Colour of the collar.
        lashes: Darkness of the lid's border and length of the lashes, 0 … 1.
        lines: Shade in the folds of an older face, 0 … 1.
    """

    skin: Color = (222, 178, 152)
    lips: Color = (184, 104, 100)
    hair: Color = (66, 46, 34)
    brows: Color = (74, 54, 42)
    iris: Color = (98, 116, 120)
    blush: float = 0.25
    beard: float = 0.0
    stubble: Color = (96, 84, 80)
    shirt: Color = (70, 78, 92)
    lashes: float = 0.7
    lines: float = 0.0


def _mix(colors: np.ndarray, target: Color | np.ndarray, share: np.ndarray) -> np.ndarray:
    return np.asarray(colors + np.clip(share, 0.0, 1.0)[:, None] * (np.asarray(target, float) - colors))


def paint(field: Field, look: Look, hair: Hair) -> np.ndarray:
    """Return (V, 3) uint8 sRGB colours."""
    f, layout = field, field.layout
    skin = np.asarray(look.skin, float)
    colors = np.broadcast_to(skin, (len(f.x), 3)).copy()
    red = skin * [1.0, 0.74, 0.70]
    dark = skin * [0.78, 0.68, 0.66]
    on_skin = layout.of("skin") | layout.of("ear")
    cheek = bump(np.hypot((f.x - 43.0) / 19.0, (f.y + 31.0) / 16.0), 1.0) * f.front
    tip = bump(np.hypot(f.x / 12.0, (f.y + 37.0) / 9.0), 1.0) * smoothstep(90.0, 104.0, f.z)
    colors = _mix(colors, red, 0.55 * look.blush * (cheek + 0.8 * tip + 0.6 * layout.of("ear")))
    colors = _mix(colors, skin * [1.0, 0.985, 0.93] + [6, 5, 2], 0.5 * smoothstep(14.0, 50.0, f.y))
    # Darker: thin skin round the eyes, the inside of the nostrils, the shade under the lower lip and the jaw.
    near_eye = bump(np.hypot((f.x - 30.0) / 19.0, (f.y + 4.0) / 11.0), 1.0) * f.front
    colors = _mix(colors, skin * [0.90, 0.80, 0.79], 0.55 * near_eye)
    nostril = np.interp(layout.ring, NOSTRIL_RING + np.arange(-1, 5), [0, 0.5, 1, 1, 1, 0]) * layout.of("skin")
    colors = _mix(colors, skin * [0.27, 0.17, 0.16], nostril)
    colors = _mix(colors, dark, 0.35 * smoothstep(-104.0, -118.0, f.y) * smoothstep(95.0, 60.0, f.z))
    beard_area = (
        smoothstep(-32.0, -64.0, f.y - 0.5 * np.maximum(f.x - 28, 0))
        * smoothstep(-134.0, -108.0, f.y)
        * smoothstep(4.0, 26.0, f.z)
    )
    beard_area *= 1 - 0.75 * bump(np.hypot((f.x - 34.0) / 12, (f.y + 56) / 11), 1.0)
    colors = _mix(colors, look.stubble, look.beard * beard_area * on_skin)
    over = f.y - hairline(hair, np.arctan2(layout.points[:, 0], f.z + 6.0))
    # Short hair thins out over forehead and temples; at the nape the faces are too wide for it.
    scalp = (
        np.where(f.z > 0, smoothstep(-9.0, 7.0, over), smoothstep(3.0, 19.0, over))
        * (1.0 - 0.72 * hair.bald)
        * smoothstep(-75.0, -55.0, f.y)
        * layout.of("skin")
    )
    colors = _mix(colors, 0.25 * skin + 0.75 * np.asarray(look.hair), 0.9 * scalp)

    corner = bump(np.hypot((f.x - 27.5) / 3.0, (f.y + 75.0) / 8.0), 1.0)
    frown = bump(f.x - 5.5, 2.2) * bump(f.y - 20.0, 6.0)
    lines = 0.8 * f.fold + 0.5 * corner + 0.6 * np.maximum(-f.bags, 0.0) + 0.55 * f.furrows + 0.4 * frown
    colors = _mix(colors, skin * [0.76, 0.64, 0.61], look.lines * f.front * lines)
    colors = _mix(colors, skin * [0.90, 0.76, 0.74], 0.5 * look.lines * np.maximum(f.bags, 0.0))

    collar = layout.of("skin") & (layout.ring == -99) & (layout.spoke <= COLLAR_ROW)
    colors = _mix(colors, look.shirt, collar)

    ring, spoke = layout.ring, layout.spoke
    mouth = f.lip_ring
    red_share = np.interp(mouth, [-1, 0, LIP_BORDER - 1, LIP_BORDER, LIP_BORDER + 1], [1.0, 1.0, 1.0, 0.62, 0.0]) * (mouth < 20)
    edge = np.interp(np.abs(spoke - MOUTH_SPOKES / 2), [0, 1.5], [0.35, 1.0])
    lips = np.asarray(look.lips, float)
    colors = _mix(colors, lips, red_share * edge)
    colors = _mix(colors, lips * [0.62, 0.50, 0.52], 0.75 * ((mouth == 0) | (mouth == -1)))
    bag = layout.of("mouth")
    depth = np.interp(mouth, [-6, -5, -3, -1], [0.0, 0.45, 0.9, 1.0])[:, None]
    inside = np.array([84.0, 24.0, 26.0]) * (1 - depth) + np.array([206.0, 104.0, 100.0]) * depth
    colors[bag] = inside[bag]

    lid = f.lid_ring
    upper = (spoke > 0) & (spoke < EYE_SPOKES // 2)
    colors = _mix(colors, skin * [0.93, 0.66, 0.62], 0.7 * (lid == 0))
    from_inner = np.abs(spoke - EYE_SPOKES / 2)  # lashes thin out towards the inner corner, and the lid's border shows there
    rooted = smoothstep(2.0, 7.5, from_inner)
    colors = _mix(colors, (26, 18, 16), 0.85 * look.lashes * rooted * np.where(upper, 1.0, 0.35) * (lid == 1))
    # the caruncle: the pink corner of the eye, which never lies in the dark
    colors = _mix(colors, (232, 150, 138), 0.8 * smoothstep(4.0, 1.0, from_inner) * (lid <= 1) * (lid >= -2))
    colors = _mix(colors, (214, 132, 124), 0.9 * (lid < 0))
    colors = _mix(colors, skin * [0.72, 0.60, 0.58], 0.55 * ((lid == 4) & upper))

    # hairs lean outwards: the brow begins with few, is thickest before its middle, and runs out
    hairs = np.interp(spoke, [0, 1, 2, 4, 9, 13, 15], [0.0, 0.30, 0.62, 0.90, 0.95, 0.70, 0.15])
    hairs = (
        hairs * (1 + 0.10 * np.sin(2.3 * spoke + 1.9 * ring)) * np.interp(ring, [0, 1, 2, 3, 4], [0.06, 0.88, 1.0, 0.80, 0.06])
    )
    colors = _mix(colors, look.brows, hairs * layout.of("brow"))
    lash = layout.of("lash")
    tone = (1 - look.lashes) * skin * 0.38 + look.lashes * np.array([18.0, 12.0, 11.0])
    colors[lash] = tone + (0.9 * smoothstep(7.5, 2.0, from_inner))[lash, None] * (skin * 0.66 - tone)
    colors = _eyes(colors, field, look)
    colors = _mouth(colors, field)
    on_hair = layout.of("hair")
    strand, scalp_seen = strands(hair, spoke[on_hair], ring[on_hair], layout.side[on_hair])
    strand = np.asarray(look.hair, float) * strand[:, None] + np.maximum(26.0 * (strand[:, None] - 0.72), 0.0)
    colors[on_hair] = _mix(strand, 0.8 * skin, 0.55 * scalp_seen)
    return np.asarray(np.clip(np.round(colors), 0, 255).astype(np.uint8))


def _eyes(colors: np.ndarray, field: Field, look: Look) -> np.ndarray:
    layout = field.layout
    iris = np.asarray(look.iris, float)
    table = np.array([
        (6, 6, 7), (6, 6, 7), (6, 6, 7), iris * 0.62, iris * 1.12, iris * 1.05, iris * 0.85, iris * 0.40,
        (190, 185, 183), (214, 210, 208), (216, 210, 207), (210, 194, 190), (200, 160, 154), (180, 110, 106),
    ])  # fmt: skip
    ball = layout.of("eyeball")
    colors[ball] = table[layout.ring[ball]]
    strand = 1 + 0.10 * np.sin(7.0 * layout.spoke)
    iris_ring = ball & (layout.ring >= 3) & (layout.ring <= 6)
    colors[iris_ring] *= strand[iris_ring, None]
    shade = 1 - 0.36 * smoothstep(1.0, 6.0, field.y)  # the upper lid's shadow
    colors[ball] *= shade[ball, None]
    colors[layout.of("glint")] = (255, 255, 255)
    return colors


def _mouth(colors: np.ndarray, field: Field) -> np.ndarray:
    layout = field.layout
    for part in ("upper_teeth", "lower_teeth"):
        teeth = layout.of(part)
        white = np.array([238.0, 230.0, 214.0])
        shade = 1 - 0.45 * smoothstep(8.0, 30.0, field.x)
        groove = np.where(layout.spoke % 4 == 0, 0.80, 1.0)
        tone = white[None] * (shade * groove)[:, None]
        gum = np.array([176.0, 92.0, 92.0])[None] * shade[:, None]
        is_gum = (layout.ring <= 1) | (layout.ring == 7)
        colors[teeth] = np.where(is_gum[:, None], gum, tone)[teeth]
    tongue = layout.of("tongue")
    tone = np.array([188.0, 92.0, 92.0])[None] * (0.55 + 0.45 * smoothstep(40.0, 74.0, field.z))[:, None]
    colors[tongue] = tone[tongue]
    return colors
