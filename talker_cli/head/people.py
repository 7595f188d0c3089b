"""Eight people made of one head: shape parameters, the smooth warp that applies them, colours and hair."""

from dataclasses import dataclass, field

import numpy as np

from talker_cli.head.field import Field
from talker_cli.head.hair import Hair
from talker_cli.head.paint import Look
from talker_cli.head.skin import mouth_line
from talker_cli.head.surface import EYE_CENTER, bump, smoothstep


@dataclass(frozen=True)
class Shape:
    """How a person's head differs from the template.

    Args:
        size: scale of the whole head, 1 = template.
        face_width: breadth added at the cheekbones, mm on each side.
        jaw_width: breadth added at the angles of the jaw, mm on each side.
        face_length: length added below the nose, mm at the chin.
        chin_width: breadth added to the chin, mm on each side.
        chin_forward: projection of the chin, mm.
        nose_width: breadth added at the wings, mm on each side.
        nose_forward: projection of the tip, mm.
        nose_bridge: height of the bridge, mm.
        nose_length: lowering of the tip, mm.
        brow_forward: projection of the brow ridge, mm.
        brow_height: raising of the brows, mm.
        eye_spacing: distance of each eye from the middle, mm added.
        eye_height: height of the eyes, mm added.
        cheeks: fullness of the cheeks, mm.
        cheekbones: projection of the cheekbones, mm.
        lips: fullness of the lips, share added.
        mouth_width: width of the mouth, share added.
        forehead: fullness of the forehead, mm forwards.
        neck: thickness of the neck, share added.
        age: folds beside nose and mouth, loose jaw line, hollow eyes: 0 young … 1 about 70.
        smile: share of a smile in the face at rest.
    """

    size: float = 1.0
    face_width: float = 0.0
    jaw_width: float = 0.0
    face_length: float = 0.0
    chin_width: float = 0.0
    chin_forward: float = 0.0
    nose_width: float = 0.0
    nose_forward: float = 0.0
    nose_bridge: float = 0.0
    nose_length: float = 0.0
    brow_forward: float = 0.0
    brow_height: float = 0.0
    eye_spacing: float = 0.0
    eye_height: float = 0.0
    cheeks: float = 0.0
    cheekbones: float = 0.0
    lips: float = 0.0
    mouth_width: float = 0.0
    forehead: float = 0.0
    neck: float = 0.0
    age: float = 0.0
    smile: float = 0.0


@dataclass(frozen=True)
class Person:
    """A stand-in: a VOCASET subject's name over one of our own heads."""

    name: str
    about: str
    shape: Shape = field(default_factory=Shape)
    look: Look = field(default_factory=Look)
    hair: Hair = field(default_factory=Hair)


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
    fold = (
        bump((x - (17.0 + 0.42 * np.maximum(-44.0 - y, 0.0))) / 3.6, 1.0)
        * smoothstep(-36.0, -46.0, y)
        * smoothstep(-76.0, -64.0, y)
        * f.front
    )
    pouch = bump(np.sqrt((x - 40.0) ** 2 + (y + 86.0) ** 2 + (z - 54.0) ** 2), 16.0)
    hollow = _gauss(f, 33.0, -17.0, 13.0, 6.0)
    jowl = bump(np.sqrt((x - 38.0) ** 2 + (y + 64.0) ** 2 + (z - 66.0) ** 2), 14.0)
    out += s.age * f.vectors(1.5 * pouch + 0.8 * jowl, -3.0 * pouch - 1.0 * jowl, -2.0 * fold - 1.6 * hollow + 0.8 * jowl)
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
    # what sits inside the face moves as a whole
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


def _about(text: str) -> str:
    return f"stand-in: {text}; a built-in style and head under a VOCASET subject's name, not that person"


PEOPLE: tuple[Person, ...] = (
    Person(
        "FaceTalk_170728_03272_TA",
        _about("woman, about 45, oval face"),
        Shape(
            size=0.96,
            face_width=-1.0,
            jaw_width=-4.0,
            face_length=-1.0,
            chin_width=-1.5,
            nose_width=-1.2,
            brow_forward=-2.0,
            nose_forward=-1.0,
            lips=0.02,
            neck=-0.14,
            age=0.5,
            forehead=1.0,
        ),
        Look(
            lines=0.3,
            skin=(224, 184, 160),
            lips=(180, 100, 98),
            hair=(120, 84, 52),
            brows=(104, 78, 56),
            iris=(104, 128, 138),
            blush=0.35,
        ),
        Hair(front=72, temple=6, volume=15, sides=8, length=70),
    ),
    Person(
        "FaceTalk_170904_00128_TA",
        _about("man, about 30, long face"),
        Shape(
            size=1.01,
            face_width=-1.0,
            jaw_width=1.0,
            face_length=5.0,
            nose_forward=2.0,
            nose_bridge=1.5,
            brow_forward=1.0,
            eye_spacing=-0.5,
        ),
        Look(
            skin=(214, 164, 132),
            lips=(168, 100, 92),
            hair=(38, 28, 24),
            brows=(40, 30, 26),
            iris=(92, 66, 44),
            beard=0.30,
            lashes=0.45,
        ),
        Hair(front=68, temple=12, volume=13, sides=5),
    ),
    Person(
        "FaceTalk_170725_00137_TA",
        _about("woman, about 30, soft oval face"),
        Shape(
            size=0.95,
            face_width=-1.5,
            jaw_width=-5.0,
            face_length=-6.0,
            chin_width=-2.5,
            chin_forward=-0.5,
            nose_width=-2.0,
            nose_forward=-2.0,
            nose_length=-2.0,
            nose_bridge=-0.5,
            brow_forward=-3.0,
            brow_height=1.5,
            cheekbones=0.5,
            cheeks=1.0,
            lips=0.10,
            mouth_width=-0.05,
            smile=0.22,
            neck=-0.20,
            forehead=2.0,
            eye_spacing=0.3,
        ),
        Look(
            skin=(232, 188, 162),
            lips=(194, 102, 104),
            hair=(72, 44, 30),
            brows=(84, 58, 44),
            iris=(88, 112, 84),
            blush=0.35,
            lashes=0.9,
        ),
        Hair(front=74, temple=5, volume=15, sides=9, length=88),
    ),
    Person(
        "FaceTalk_170915_00223_TA",
        _about("man, about 60, broad face"),
        Shape(
            size=1.02,
            face_width=3.0,
            jaw_width=4.0,
            chin_width=2.0,
            nose_width=1.5,
            nose_length=2.0,
            nose_forward=1.0,
            brow_forward=1.5,
            cheeks=3.0,
            lips=-0.15,
            neck=0.10,
            age=1.0,
        ),
        Look(
            lines=0.95,
            skin=(218, 170, 146),
            lips=(172, 112, 104),
            hair=(150, 146, 142),
            brows=(128, 120, 112),
            iris=(96, 122, 144),
            blush=0.45,
            beard=0.15,
            stubble=(150, 136, 128),
            lashes=0.3,
        ),
        Hair(front=78, temple=22, volume=7, sides=5),
    ),
    Person(
        "FaceTalk_170811_03274_TA",
        _about("woman, about 25, dark skin, round face"),
        Shape(
            size=0.96,
            face_width=1.0,
            jaw_width=-3.0,
            face_length=-3.0,
            chin_width=-1.5,
            nose_width=2.2,
            nose_bridge=-2.5,
            nose_forward=-2.0,
            brow_forward=-2.5,
            cheeks=2.0,
            cheekbones=1.5,
            lips=0.32,
            neck=-0.16,
            forehead=2.0,
            eye_spacing=1.0,
        ),
        Look(
            skin=(128, 84, 62),
            lips=(134, 70, 68),
            hair=(24, 19, 18),
            brows=(32, 24, 22),
            iris=(58, 38, 28),
            blush=0.15,
            lashes=0.9,
        ),
        Hair(front=70, temple=6, volume=26, sides=19, nape=-54),
    ),
    Person(
        "FaceTalk_170913_03279_TA",
        _about("man, about 25, dark skin, narrow face"),
        Shape(
            size=1.0,
            face_width=-2.0,
            jaw_width=0.0,
            face_length=1.0,
            nose_width=2.8,
            nose_bridge=-2.0,
            cheekbones=1.5,
            lips=0.28,
            chin_forward=-1.0,
            neck=-0.04,
            eye_spacing=0.8,
        ),
        Look(
            skin=(102, 66, 48),
            lips=(112, 64, 60),
            hair=(22, 18, 17),
            brows=(28, 22, 20),
            iris=(52, 34, 26),
            blush=0.10,
            beard=0.25,
            stubble=(52, 38, 32),
            lashes=0.5,
        ),
        Hair(front=66, temple=8, volume=5, sides=2.5),
    ),
    Person(
        "FaceTalk_170904_03276_TA",
        _about("woman, about 60, fine features"),
        Shape(
            size=0.95,
            face_width=-2.5,
            jaw_width=-4.0,
            face_length=1.0,
            chin_width=-1.0,
            nose_width=-1.5,
            nose_forward=0.5,
            nose_length=1.0,
            cheeks=-2.0,
            cheekbones=1.5,
            lips=-0.12,
            neck=-0.18,
            age=0.9,
            brow_forward=-1.5,
        ),
        Look(
            lines=0.75,
            skin=(230, 192, 174),
            lips=(182, 112, 108),
            hair=(206, 200, 190),
            brows=(150, 136, 122),
            iris=(110, 134, 156),
            blush=0.35,
            lashes=0.6,
        ),
        Hair(front=66, temple=8, volume=16, sides=11, length=24),
    ),
    Person(
        "FaceTalk_170912_03278_TA",
        _about("man, about 40, strong jaw, shaven head"),
        Shape(
            size=1.0,
            face_width=1.0,
            jaw_width=3.0,
            face_length=2.0,
            chin_width=3.0,
            chin_forward=2.0,
            nose_forward=0.0,
            nose_width=0.8,
            brow_forward=2.0,
            cheekbones=2.0,
            neck=0.08,
            eye_spacing=0.5,
        ),
        Look(
            lines=0.25,
            skin=(196, 144, 110),
            lips=(160, 98, 86),
            hair=(40, 32, 28),
            brows=(42, 32, 28),
            iris=(84, 60, 40),
            blush=0.2,
            beard=0.5,
            stubble=(70, 56, 50),
            lashes=0.4,
        ),
        Hair(bald=1.0),
    ),
)
