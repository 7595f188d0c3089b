"""Anthropometric shape parameters of a head, and the smooth warp that applies them to the rest head."""

from dataclasses import Field as DataclassField
from dataclasses import dataclass, field, fields

import numpy as np

from talker_cli.head.field import Field
from talker_cli.head.skin import mouth_line
from talker_cli.head.surface import EYE_CENTER, bump, smoothstep


def _parameter(default: float, low: float, high: float, about: str) -> float:
    """Return a field of `Shape` with its range and its meaning."""
    value: float = field(default=default, metadata={"low": low, "high": high, "about": about})
    return value


@dataclass(frozen=True)
class Shape:
    """A person's differences from the template; each parameter's meaning and range are its field's metadata."""

    size: float = _parameter(1.0, 0.85, 1.12, "scale of the whole head")
    face_width: float = _parameter(0.0, -5, 6, "breadth added at the cheekbones, mm on each side")
    jaw_width: float = _parameter(0.0, -7, 7, "breadth added at the angles of the jaw, mm on each side")
    face_length: float = _parameter(0.0, -9, 9, "length added below the nose, mm at the chin")
    chin_width: float = _parameter(0.0, -4, 5, "breadth added to the chin, mm on each side")
    chin_forward: float = _parameter(0.0, -5, 5, "projection of the chin, mm")
    nose_width: float = _parameter(0.0, -3, 4, "breadth added at the wings, mm on each side")
    nose_forward: float = _parameter(0.0, -4, 5, "projection of the tip, mm")
    nose_bridge: float = _parameter(0.0, -4, 4, "height of the bridge, mm")
    nose_length: float = _parameter(0.0, -4, 4, "lowering of the tip, mm")
    brow_forward: float = _parameter(0.0, -4, 4, "projection of the brow ridge, mm")
    brow_height: float = _parameter(0.0, -3, 4, "raising of the brows, mm")
    eye_spacing: float = _parameter(0.0, -2, 2.5, "distance of each eye from the middle, mm added")
    eye_height: float = _parameter(0.0, -2, 2, "height of the eyes, mm added")
    cheeks: float = _parameter(0.0, -4, 7, "fullness of the cheeks and under the chin, mm")
    cheekbones: float = _parameter(0.0, -3, 5, "projection of the cheekbones, mm")
    lips: float = _parameter(0.0, -0.3, 0.4, "fullness of the lips, share added")
    mouth_width: float = _parameter(0.0, -0.12, 0.12, "width of the mouth, share added")
    forehead: float = _parameter(0.0, -4, 4, "fullness of the forehead, mm forwards")
    neck: float = _parameter(0.0, -0.25, 0.25, "thickness of the neck, share added")
    larynx: float = _parameter(0.0, 0, 6, "projection of the Adam's apple, mm")
    ears: float = _parameter(0.0, -0.15, 0.2, "size of the ears, share added")
    age: float = _parameter(0.0, 0, 1.2, "lines, folds, bags and a loose jaw line: 0 young, 1 about 70")
    smile: float = _parameter(0.0, 0, 0.4, "share of a smile in the face at rest")


def parameters() -> tuple["DataclassField[float]", ...]:
    """Return the shape parameters' fields: name, default, and metadata `low`, `high`, `about`."""
    return fields(Shape)


def _gauss(f: Field, x: float, y: float, width: float, height: float) -> np.ndarray:
    return np.asarray(bump(np.hypot((f.x - x) / width, (f.y - y) / height), 1.0) * f.front)


def warp(f: Field, s: Shape) -> np.ndarray:
    """Return (V, 3) offsets, mm, of a shape: close to a translation round each eye and to a scaling round the mouth."""
    layout = f.layout
    x, y, z = f.x, f.y, f.z
    head = smoothstep(-160.0, -100.0, y)
    face = smoothstep(-20.0, 40.0, z)
    lateral = np.minimum(x / 62.0, 1.15)
    out = f.vectors()
    # breadth
    high = smoothstep(-60.0, -18.0, y) * head
    low = (1 - smoothstep(-66.0, -28.0, y)) * head
    wide = (s.face_width * high + s.jaw_width * low) * lateral**1.5
    chin = smoothstep(-82.0, -98.0, y) * smoothstep(-135.0, -112.0, y) * face
    wide = wide + s.chin_width * chin * np.clip(x / 18.0, 0, 1.3) * bump(x - 16.0, 22.0)
    out += f.vectors(wide)
    # length and chin
    drop = s.face_length * smoothstep(-46.0, -112.0, y) * smoothstep(-10.0, 50.0, z)
    drop = drop + s.face_length * 0.5 * smoothstep(-60.0, -112.0, y) * (1 - smoothstep(-10.0, 50.0, z)) * smoothstep(
        -190, -120, y
    )
    out += f.vectors(0.0, -drop, s.chin_forward * chin * bump(x, 30.0))
    # nose
    nose = _gauss(f, 0.0, -38.0, 17.0, 13.0)
    wings = _gauss(f, 12.0, -40.0, 9.0, 9.0)
    bridge = _gauss(f, 0.0, -10.0, 9.0, 20.0)
    out += f.vectors(
        s.nose_width * (wings + 0.06 * np.minimum(x, 12.0) * nose),
        -s.nose_length * nose,
        s.nose_forward * nose + s.nose_bridge * bridge,
    )
    # brows, forehead, cheeks
    brow = bump((y - 16.0) / 9.0, 1.0) * smoothstep(62.0, 40.0, x) * f.front
    dome = bump((y - 48.0) / 26.0, 1.0) * bump(x, 46.0) * f.front
    out += f.vectors(0.0, s.brow_height * bump((y - 22.0) / 9.0, 1.0) * f.front, s.brow_forward * brow + s.forehead * dome)
    bone = _gauss(f, 50.0, -20.0, 17.0, 13.0)
    full = bump(np.sqrt((x - 46.0) ** 2 + (y + 58.0) ** 2 + (z - 52.0) ** 2), 27.0)
    under = bump(np.sqrt((x - 12.0) ** 2 + (y + 112.0) ** 2 + (z - 45.0) ** 2), 30.0)
    out += f.vectors(
        0.7 * s.cheekbones * bone + 0.8 * s.cheeks * full,
        -0.8 * np.maximum(s.cheeks, 0) * under,
        0.7 * s.cheekbones * bone + 0.5 * s.cheeks * full,
    )
    # age
    pouch = bump(np.sqrt((x - 40.0) ** 2 + (y + 86.0) ** 2 + (z - 54.0) ** 2), 16.0)
    hollow = _gauss(f, 33.0, -17.0, 13.0, 6.0)
    jowl = bump(np.sqrt((x - 38.0) ** 2 + (y + 64.0) ** 2 + (z - 66.0) ** 2), 14.0)
    beside = bump((x - 24.0 - 0.44 * np.maximum(-43.0 - y, 0.0)) / 5.0, 1.0) * smoothstep(-38.0, -48.0, y)
    beside = beside * smoothstep(-76.0, -62.0, y) * f.front
    corner = bump(np.hypot((x - 27.5) / 3.2, (y + 76.0) / 8.0), 1.0) * f.front
    depth = -2.2 * f.fold - 1.6 * hollow + 0.8 * jowl + 1.0 * beside - 1.2 * corner - 0.6 * f.furrows + 1.3 * f.bags
    out += s.age * f.vectors(1.5 * pouch + 0.8 * jowl, -3.0 * pouch - 1.0 * jowl - 0.8 * beside, depth)
    ear = layout.of("ear")
    larger = s.ears + 0.06 * s.age
    out[ear] += larger * f.vectors(0.4 * (x - 66.0), y + 6.0, 0.7 * (z + 4.0))[ear]
    out += f.vectors(0.0, 0.0, s.larynx * bump(np.hypot((x - 0.0) / 10.0, (y + 133.0) / 11.0), 1.0) * smoothstep(-20.0, 5.0, z))
    # mouth: a scaling about the mouth line and the middle
    relative = np.where(f.lip_ring <= 0, 0.0, y - mouth_line(x))
    around = bump(f.away, 24.0) * f.front
    inside = layout.of("mouth")
    mouth_x = s.mouth_width * x * np.where(inside, 1.0, around)
    ring = np.where(f.lip_ring < 20, np.interp(f.lip_ring, [0, 2, 4, 8, 9], [0, 0.9, 1.0, 0.2, 0.0]), 0.0)
    out += f.vectors(
        mouth_x,
        s.lips * relative * np.where(f.lip_ring < 20, ring, 0.0),
        9.0 * s.lips * ring * np.abs(np.sin(f.angle)) * (f.lip_ring <= 5),
    )
    # The inside of the mouth moves as a whole.
    at_mouth = -s.face_length * float(smoothstep(-46.0, -112.0, np.array(-66.5)))
    for part in ("mouth", "upper_teeth", "lower_teeth", "tongue"):
        mask = layout.of(part)
        out[mask] = f.vectors(s.mouth_width * x * 0.6 * (part != "mouth") + mouth_x * (part == "mouth"), at_mouth)[mask]
    lip_line = (f.lip_ring >= 0) & (f.lip_ring <= 5)
    near = np.where(lip_line, 1.0, np.interp(f.lip_ring, [5, 9], [1.0, 0.0]) * (f.lip_ring < 20))
    out[:, 1] += near * (at_mouth - (-drop))
    eye = bump(np.hypot(x - EYE_CENTER[0], y - EYE_CENTER[1]), 21.0) * f.front
    out += f.vectors(s.eye_spacing * eye, s.eye_height * eye)
    # neck, then size
    column = smoothstep(-96.0, -122.0, y) * smoothstep(-190.0, -150.0, y) * smoothstep(70.0, 30.0, z) + 0.0 * x
    out += f.vectors(s.neck * x * column, 0.0, s.neck * (z + 34.0) * column)
    rest = np.stack([f.sign * x, y, z], -1)
    out = (rest + out) * s.size - rest
    # eyeballs and lids keep their size, so that the shared blink still closes: a translation, easing out over the rings
    lids = np.interp(np.clip(f.lid_ring, -2, 12), [4, 6, 9], [0.0, 0.5, 1.0])
    lids[layout.of("eyeball") | layout.of("glint") | layout.of("lash")] = 0.0
    moved = (EYE_CENTER + np.array([s.eye_spacing, s.eye_height, 0.0])) * s.size - EYE_CENTER
    return np.asarray(lids[:, None] * out + (1 - lids[:, None]) * f.vectors(moved[0], moved[1], moved[2]))
