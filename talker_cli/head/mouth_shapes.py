"""Blendshapes of jaw, lips, cheeks and tongue: (V, 3) offsets in millimetres of one unit, from anatomy."""

import numpy as np

from talker_cli.head.build import PARTS
from talker_cli.head.field import Field
from talker_cli.head.skin import LIP_BORDER, MOUTH_SPOKES, mouth_line
from talker_cli.head.surface import bump, smoothstep

_HINGE = np.array([-14.0, 8.0])  # mm (y, z), the condyles' axis
_JAW_ANGLE = np.radians(24.7)
_JAW_SLIDE = np.array([0.0, -3.0, 5.0])  # mm, down and forward as the jaw opens


def jaw_weight(field: Field) -> np.ndarray:
    """Return (V,) how far each vertex follows the jaw: 1 chin, 0 skull; an ellipse's profile along the lips."""
    y, z = field.y, field.z
    line = -14.0 + np.clip(z - 8.0, 0.0, 78.0) * (-52.5 / 78.0)
    bone = smoothstep(17.0, -17.0, y - line)
    behind = smoothstep(-12.0, 34.0, z)
    under = smoothstep(2.0, 72.0, z)
    low = smoothstep(-72.0, -102.0, y)
    bone *= (behind * (1 - low) + under * low) * smoothstep(-168.0, -116.0, y)
    lips = 0.47 - 0.5 * np.sin(field.angle)
    near = smoothstep(27.0, 3.0, field.away) * field.front
    weight = bone * (1 - near) + lips * near
    inside = field.layout.of("mouth")
    weight[inside] = np.clip(0.5 - 0.75 * np.sin(field.angle[inside]), 0.0, 1.0)
    layout = field.layout
    for part in ("eyeball", "glint", "lash", "brow", "upper_teeth", "ear", "hair"):
        weight[layout.of(part)] = 0.0
    weight[layout.of("lower_teeth")] = 1.0
    tongue = layout.of("tongue")
    weight[tongue] = 0.62 + 0.36 * smoothstep(38.0, 76.0, z[tongue])
    return np.asarray(weight)


def _rotation(field: Field) -> np.ndarray:
    """Return (V, 3) the displacement of the jaw's full turn and slide."""
    y, z = field.y - _HINGE[0], field.z - _HINGE[1]
    c, s = np.cos(_JAW_ANGLE), np.sin(_JAW_ANGLE)
    return field.vectors(0.0, y * (c - 1) - z * s + _JAW_SLIDE[1], z * (c - 1) + y * s + _JAW_SLIDE[2])


def _skin_only(field: Field, offsets: np.ndarray) -> np.ndarray:
    """Return offsets with all parts but skin zeroed, and the mouth bag following the lips."""
    out = np.where(field.layout.of("skin")[:, None], offsets, 0.0)
    return field.carry_bag(out)


def _rolled(field: Field, upper: bool, depth: tuple[float, ...], rise: tuple[float, ...]) -> np.ndarray:
    """Return offsets of one lip that turns inwards, by ring 0 … 9: mm backwards, mm towards the mouth line."""
    ring = np.clip(field.lip_ring, 0, 10)
    share = (field.upper if upper else field.lower) ** 0.8 * (field.lip_ring < 20)
    back = np.interp(ring, np.arange(11), (*depth, 0.0))
    in_ = np.interp(ring, np.arange(11), (*rise, 0.0))
    return field.vectors(0.0, share * in_ * (-1.0 if upper else 1.0), -share * back)


def mouth_shapes(field: Field) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return symmetric shapes by ARKit name, and sided ones (both sides' sum) by name without `Left`/`Right`."""
    f = field
    whole: dict[str, np.ndarray] = {}
    both: dict[str, np.ndarray] = {}
    relative = f.y - mouth_line(f.x)
    on_lips = (f.lip_ring >= 0) & (f.lip_ring <= LIP_BORDER + 1)
    relative = np.where(f.lip_ring <= 0, 0.0, relative)

    weight, turn = jaw_weight(f), _rotation(f)
    rigid = weight[:, None] * turn
    narrow = -3.6 * f.corner**2 * f.near_mouth(20.0)
    hollow = -2.2 * f.near(46.0, -60.0, 17.0, 22.0)
    opened = rigid + np.where(
        f.layout.of("skin")[:, None], f.vectors(narrow + 0.8 * hollow, 0.0, f.slide(narrow) + 0.3 * hollow), 0.0
    )
    whole["jawOpen"] = f.carry_bag(opened, rigid)

    meet = 0.47 - 0.16 * np.abs(np.sin(f.angle))  # where on the jaw's way the lips meet: nearer the upper
    lips = 0.47 - 0.5 * np.sin(f.angle)
    reach = smoothstep(30.0, 6.0, f.away) * f.front
    close = (reach * (meet - lips) * (0.35 + 0.65 * bump(f.away, 22.0)))[:, None] * turn
    close += f.vectors(0.0, 0.0, 3.2 * f.near_mouth(9.0))
    whole["mouthClose"] = _skin_only(
        f, np.where((f.lip_ring == 0)[:, None], (meet - lips)[:, None] * turn + f.vectors(0, 0, 3.2), close)
    )

    narrow = -0.32 * f.x * f.near_mouth(25.0)
    flare = on_lips * np.interp(np.clip(f.lip_ring, 0, 6), range(7), (0, 0.3, 0.8, 1.2, 1.3, 0.8, 0.4))
    up = f.upper * f.near_mouth(17.0) * 3.1 + 0.9 * flare * f.upper
    down = f.lower * f.near_mouth(19.0) * 3.9 + 0.9 * flare * f.lower
    whole["mouthFunnel"] = _skin_only(f, f.vectors(narrow, up - down, f.slide(narrow) + 5.2 * f.near_mouth(15.0) + 1.2 * flare))

    narrow = -0.41 * f.x * f.near_mouth(25.0)
    plump = 0.14 * relative * f.near_mouth(11.0)
    whole["mouthPucker"] = _skin_only(f, f.vectors(narrow, plump, f.slide(narrow) * 0.9 + 6.6 * f.near_mouth(13.0)))

    whole["mouthRollLower"] = _skin_only(
        f,
        _rolled(
            f, False, (4.8, 5.2, 5.0, 4.2, 3.2, 2.4, 1.5, 0.9, 0.4, 0.1), (0.2, 0.9, 2.4, 4.3, 5.3, 4.6, 3.4, 2.2, 1.2, 0.4)
        ),
    )
    whole["mouthRollUpper"] = _skin_only(
        f,
        _rolled(
            f, True, (2.8, 3.2, 3.3, 2.8, 2.1, 1.6, 1.1, 0.7, 0.3, 0.1), (0.2, 0.8, 2.0, 3.5, 4.2, 3.6, 2.6, 1.7, 0.9, 0.3)
        ),
    )

    middle = bump(f.x, 26.0) * f.front
    chin = smoothstep(-112.0, -90.0, f.y) * smoothstep(f_top := -62.0, -72.0, f.y)
    lift = np.where(relative > 0, bump(relative, 11.0), np.maximum(chin, bump(f.away, 12.0))) * middle
    whole["mouthShrugLower"] = _skin_only(
        f, f.vectors(0.0, 3.4 * lift, 2.2 * lift * bump(f.y + 74.0, 11.0) + 1.0 * lift * bump(f.y + 98, 9.0))
    )
    del f_top
    ring_rise = np.interp(np.clip(f.lip_ring, 0, 12), range(13), (0.12, 0.3, 0.6, 0.9, 1.0, 1, 0.9, 0.7, 0.5, 0.25, 0, 0, 0))
    whole["mouthShrugUpper"] = _skin_only(
        f, f.vectors(0.0, 2.8 * ring_rise * f.upper * (f.lip_ring < 20), 2.4 * f.upper * f.near_mouth(9.0))
    )

    # jaw without opening
    whole["jawForward"] = f.carry_bag(weight[:, None] * f.vectors(0.0, 0.0, 6.5), weight[:, None] * f.vectors(0.0, 0.0, 6.5))
    aside = weight[:, None] * np.array([8.0, 0.0, 0.0])
    whole["jawLeft"] = f.carry_bag(aside, aside)
    move = f.near_mouth(23.0) * 8.5
    signed = f.sign * f.x
    depth = -np.clip(0.030 * (signed + 0.5 * move), -1.0, 1.0) * move
    whole["mouthLeft"] = _skin_only(f, np.stack([move, 0.05 * signed * f.near_mouth(18.0), depth], -1))

    # sided
    out = 7.0 * f.corner**2 * f.near_mouth(27.0)
    cheek = f.near(40.0, -38.0, 17.0, 16.0)
    fold = f.near(31.0, -52.0, 9.0, 14.0)
    both["mouthSmile"] = _skin_only(
        f,
        f.vectors(
            out + 1.2 * cheek,
            6.2 * f.corner**3 * f.near_mouth(22.0) + 2.6 * cheek - 0.10 * relative * f.near_mouth(9.0),
            0.9 * f.slide(out) + 2.0 * cheek - 0.7 * fold - 0.8 * f.near_mouth(14.0),
        ),
    )
    out = 1.0 * f.corner**2 * f.near_mouth(22.0)
    both["mouthFrown"] = _skin_only(
        f, f.vectors(out, -5.8 * f.corner**3 * f.near_mouth(20.0), f.slide(out) + 0.8 * f.near(14.0, -94.0, 14.0))
    )
    out = 3.6 * f.corner**3 * f.near_mouth(16.0)
    both["mouthDimple"] = _skin_only(
        f, f.vectors(out, 0.6 * f.corner**3 * f.near_mouth(14.0), f.slide(out) - 2.6 * f.corner**4 * f.near_mouth(8.0))
    )
    out = 8.0 * f.corner**1.6 * f.near_mouth(27.0)
    both["mouthStretch"] = _skin_only(
        f,
        f.vectors(
            out,
            -2.4 * f.corner**3 * f.near_mouth(22.0) - 0.13 * relative * f.near_mouth(10.0),
            0.9 * f.slide(out) - 0.6 * f.near_mouth(12.0),
        ),
    )
    both["mouthPress"] = _skin_only(
        f, f.vectors(0.4 * f.corner**2 * f.near_mouth(15.0), -0.33 * relative * f.near_mouth(11.0), -1.7 * f.near_mouth(7.0))
    )
    drop = f.lower**0.9 * f.near_mouth(19.0) * 9.0
    both["mouthLowerDown"] = _skin_only(f, f.vectors(0.06 * drop, -drop, -0.10 * drop + 0.5 * f.lower * f.near_mouth(6.0)))
    rise = f.upper**0.9 * f.near_mouth(16.0) * 6.0
    fold = f.near(24.0, -44.0, 10.0, 12.0)
    both["mouthUpperUp"] = _skin_only(f, f.vectors(0.3 * fold, rise + 1.6 * fold, 1.0 * fold - 0.06 * rise))
    puff = bump(np.sqrt((f.x - 42.0) ** 2 + (f.y + 57.0) ** 2 + (f.z - 64.0) ** 2), 25.0) * f.front
    whole["cheekPuff"] = _skin_only(f, f.vectors(8.5 * puff, -0.5 * puff, 6.0 * puff + 1.8 * f.near_mouth(12.0)))

    whole["tongueOut"] = _tongue_out(f)
    return whole, both


def _tongue_out(field: Field) -> np.ndarray:
    out = np.zeros_like(field.layout.points)
    tongue = field.layout.part == PARTS.index("tongue")
    z = field.z[tongue]
    share = smoothstep(36.0, 80.0, z)
    out[tongue, 1] = 5.0 * share - 9.0 * smoothstep(58.0, 80.0, z)
    out[tongue, 2] = 38.0 * share**1.2
    out[tongue, 0] = -0.12 * field.sign[tongue] * field.x[tongue] * share
    return out


def seal(field: Field, basis: dict[str, np.ndarray], pairs: np.ndarray) -> None:
    """Make mouthClose the exact inverse of jawOpen on the (P, 2) lip pairs, in place (it is so up to rounding)."""
    upper, lower = pairs.T
    opened, closed = basis["jawOpen"], basis["mouthClose"]
    error = (closed[upper] - closed[lower]) + (opened[upper] - opened[lower])
    closed[upper] -= 0.5 * error
    closed[lower] += 0.5 * error
    assert field.lip_ring[upper].max() == 0 and MOUTH_SPOKES % 2 == 0
