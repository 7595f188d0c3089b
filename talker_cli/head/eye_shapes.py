"""Blendshapes of eyes, lids, brows and nose: (V, 3) offsets in millimetres of one unit, both sides at once."""

import numpy as np

from talker_cli.head.field import Field
from talker_cli.head.skin import EYE_SPOKES, eye_angles
from talker_cli.head.surface import EYE_CENTER, bump, smoothstep

LOOK_DEGREES = {"Up": (0, 22.0), "Down": (0, -26.0), "In": (1, -28.0), "Out": (1, 28.0)}  # about x (up) or y (outwards)


def _look(field: Field, axis: int, degrees: float) -> np.ndarray:
    """Return offsets of eyeballs turned about x (0, up) or y (1, outwards) by degrees, mirror symmetric."""
    ball = field.layout.of("eyeball")
    p = np.stack([field.x, field.y, field.z], -1)[ball] - EYE_CENTER
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    if axis == 0:
        q = np.stack([p[:, 0], c * p[:, 1] + s * p[:, 2], c * p[:, 2] - s * p[:, 1]], -1)
    else:
        q = np.stack([c * p[:, 0] + s * p[:, 2], p[:, 1], c * p[:, 2] - s * p[:, 0]], -1)
    out = np.zeros_like(field.layout.points)
    out[ball] = q - p
    out[ball, 0] *= np.where(field.layout.points[ball, 0] < 0, -1.0, 1.0)
    return out


def _overlap(field: Field) -> np.ndarray:
    """Return offsets that bring the lower lid's margin nearer to the eyeball and the upper's away from it, mirror symmetric.

    Lids that are squeezed beyond the point where they meet then slide over each other, the upper one outside.
    """
    f = field
    spoke, ring = f.layout.spoke, f.lid_ring
    lid = (ring < 20) | f.layout.of("lash")
    at = np.where(f.layout.of("lash"), 1, ring)
    wave = np.abs(np.sin(2 * np.pi * spoke / EYE_SPOKES)) ** 0.5
    inwards = np.interp(at, [-2, -1, 0, 1, 2, 3], [0.0, 0.15, 0.32, 0.60, 0.30, 0.0])
    outwards = np.interp(at, [-2, -1, 0, 1, 2, 3, 4], [0.0, 0.0, 0.15, 0.35, 0.3, 0.2, 0.0])
    amount = np.where(spoke > EYE_SPOKES // 2, -inwards, outwards) * wave * lid
    away = np.stack([f.x, f.y, f.z], -1) - EYE_CENTER
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    return f.vectors(*(amount[:, None] * away).T)


def eye_shapes(field: Field) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return symmetric shapes by ARKit name, and sided ones (both sides' sum) by name without `Left`/`Right`."""
    f = field
    _, latitude, meeting = eye_angles()
    close = meeting - latitude
    rad = np.radians
    skin = f.layout.of("skin") | f.layout.of("brow")
    lids = np.interp(
        np.clip(f.lid_ring, -2, 10), [3, 4, 5, 6, 7], [0.0, 0.06, 0.3, 0.7, 1.0]
    )  # rings that may leave the eyeball
    free = np.where(skin, lids, 0.0) * f.front
    both: dict[str, np.ndarray] = {}
    whole: dict[str, np.ndarray] = {}
    below = f.near(33.0, -19.0, 17.0, 11.0) * free
    above = f.near(33.0, 15.0, 19.0, 9.0) * free
    both["eyeBlink"] = f.turn_lids(close, close) + f.vectors(0.0, -0.8 * above + 0.7 * below, 0.0)
    both["eyeWide"] = f.turn_lids(rad(5.5), rad(-2.5)) + f.vectors(0.0, 1.2 * above, 0.0)
    both["eyeSquint"] = f.turn_lids(rad(-5.0), rad(6.5)) + f.vectors(0.0, 2.2 * below - 0.8 * above, 1.0 * below) + _overlap(f)
    both["eyeLookDown"] = _look(f, *LOOK_DEGREES["Down"]) + f.turn_lids(rad(-13.0), rad(-4.5))
    both["eyeLookUp"] = _look(f, *LOOK_DEGREES["Up"]) + f.turn_lids(rad(4.8), rad(3.0))
    both["eyeLookIn"] = _look(f, *LOOK_DEGREES["In"])
    both["eyeLookOut"] = _look(f, *LOOK_DEGREES["Out"])

    high = smoothstep(-8.0, 10.0, f.y) * smoothstep(68.0, 40.0, f.y) * free
    along_in, along_out = bump(f.x, 25.0), smoothstep(14.0, 44.0, f.x)
    tall = bump((f.y - 21.0) / np.where(f.y > 21.0, 26.0, 14.0), 1.0)
    inner, outer = along_in * tall * high, along_out * tall * high * bump(f.x - 42.0, 24.0)
    strip = tall * high * smoothstep(62.0, 40.0, f.x)
    middle = bump(f.x, 13.0) * tall * high
    whole["browInnerUp"] = f.vectors(0.6 * inner * bump(f.x - 14.0, 10.0), 7.0 * inner, -0.6 * inner)
    both["browOuterUp"] = f.vectors(0.0, 6.5 * outer, -1.0 * outer)
    both["browDown"] = f.vectors(
        -1.8 * strip * bump(f.x - 16.0, 16.0), -(4.8 - 0.035 * f.x) * strip, 0.9 * middle + 0.6 * strip * bump(f.x - 16.0, 16.0)
    )
    cheek = f.near(37.0, -27.0, 18.0, 15.0) * free
    both["cheekSquint"] = f.turn_lids(0.0, rad(4.0)) + f.vectors(0.6 * cheek, 4.0 * cheek, 2.0 * cheek) + _overlap(f)
    wing = f.near(13.0, -38.0, 8.0, 10.0) * free
    side = f.near(17.0, -26.0, 12.0, 14.0) * free
    lip = f.near(14.0, -54.0, 10.0, 6.0) * free
    both["noseSneer"] = f.vectors(0.8 * wing, 2.6 * wing + 1.6 * side + 1.2 * lip, 0.8 * side)
    return whole, both
