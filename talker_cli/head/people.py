"""People: shape, colours and hair of the eight stand-ins that the model animates, and of others."""

from dataclasses import dataclass, field

from talker_cli.head.hair import Hair
from talker_cli.head.paint import Look
from talker_cli.head.shape import Shape


@dataclass(frozen=True)
class Person:
    """A person: a name, a description of one line, and the head's shape, colours and hair."""

    name: str
    about: str
    shape: Shape = field(default_factory=Shape)
    look: Look = field(default_factory=Look)
    hair: Hair = field(default_factory=Hair)


def _about(text: str) -> str:
    return f"stand-in: {text}; a built-in style and head under a VOCASET subject's name, not that person"


# The order is that of the model's identity table.
STAND_INS: tuple[Person, ...] = (
    Person(
        "FaceTalk_170728_03272_TA",
        _about("woman, about 45, oval face"),
        Shape(size=0.96, face_width=-1.0, jaw_width=-2.0, face_length=-1.0, chin_width=0.0, nose_width=-1.2, brow_forward=-2.0,
              nose_forward=-1.0, lips=0.02, neck=-0.14, age=0.5, forehead=1.0),
        Look(skin=(224, 184, 160), lips=(180, 100, 98), hair=(120, 84, 52), brows=(104, 78, 56), iris=(104, 128, 138),
             blush=0.35, lines=0.3),
        Hair(front=70, temple=6, volume=13, sides=8, length=62, part=9, part_at=-24, sweep=1.1, locks=2.6),
    ),
    Person(
        "FaceTalk_170904_00128_TA",
        _about("man, about 30, long face"),
        Shape(size=1.01, face_width=-1.0, jaw_width=3.0, face_length=5.0, chin_width=1.5, nose_forward=1.5, nose_bridge=1.5,
              brow_forward=1.5, eye_spacing=-0.5, larynx=3.0, neck=0.02),
        Look(skin=(214, 164, 132), lips=(168, 100, 92), hair=(44, 32, 27), brows=(40, 30, 26), iris=(92, 66, 44), beard=0.30,
             lashes=0.45),
        Hair(front=70, temple=15, volume=11, sides=4, part=3, part_at=28, sweep=0.9, locks=3.0, quiff=8),
    ),
    Person(
        "FaceTalk_170725_00137_TA",
        _about("woman, about 30, soft oval face"),
        Shape(size=0.95, face_width=-1.5, jaw_width=-2.0, face_length=-5.0, chin_width=0.3, chin_forward=-0.5, nose_width=-1.8,
              nose_forward=-2.0, nose_length=-1.5, nose_bridge=-0.5, brow_forward=-3.0, brow_height=1.5, cheekbones=0.5,
              cheeks=1.0, lips=0.10, mouth_width=-0.05, smile=0.22, neck=-0.20, forehead=2.0, eye_spacing=0.3),
        Look(skin=(232, 188, 162), lips=(194, 102, 104), hair=(76, 46, 32), brows=(84, 58, 44), iris=(88, 112, 84), blush=0.35,
             lashes=0.9),
        Hair(front=74, temple=5, volume=13, sides=9, length=100, part=10, sweep=1.2, locks=2.8, wave=3.2),
    ),
    Person(
        "FaceTalk_170915_00223_TA",
        _about("man, about 60, broad face"),
        Shape(size=1.02, face_width=2.5, jaw_width=5.5, chin_width=2.5, nose_width=1.5, nose_length=2.0, nose_forward=1.0,
              brow_forward=1.5, cheeks=3.0, lips=-0.15, neck=0.12, age=1.0, ears=0.05, larynx=2.0),
        Look(skin=(218, 170, 146), lips=(172, 112, 104), hair=(150, 146, 142), brows=(128, 120, 112), iris=(96, 122, 144),
             blush=0.45, beard=0.15, stubble=(150, 136, 128), lashes=0.3, lines=0.95),
        Hair(front=80, temple=24, volume=6, sides=5, locks=1.8, sweep=0.6, part=1.5, part_at=30),
    ),
    Person(
        "FaceTalk_170811_03274_TA",
        _about("woman, about 25, dark skin, round face"),
        Shape(size=0.96, face_width=1.0, jaw_width=-0.5, face_length=-3.0, chin_width=0.8, nose_width=2.2, nose_bridge=-2.5,
              nose_forward=-2.0, brow_forward=-2.5, cheeks=2.0, cheekbones=1.5, lips=0.32, neck=-0.16, forehead=2.0,
              eye_spacing=1.0),
        Look(skin=(128, 84, 62), lips=(134, 70, 68), hair=(34, 27, 24), brows=(32, 24, 22), iris=(58, 38, 28), blush=0.15,
             lashes=0.9),
        Hair(front=68, temple=6, volume=27, sides=21, nape=-50, curl=4.5, locks=0.6),
    ),
    Person(
        "FaceTalk_170913_03279_TA",
        _about("man, about 25, dark skin, narrow face"),
        Shape(face_width=-2.0, jaw_width=2.0, face_length=1.0, nose_width=2.8, nose_bridge=-2.0, cheekbones=1.5, lips=0.28,
              chin_forward=-1.0, neck=-0.02, eye_spacing=0.8, larynx=3.5),
        Look(skin=(102, 66, 48), lips=(112, 64, 60), hair=(30, 24, 22), brows=(28, 22, 20), iris=(52, 34, 26), blush=0.10,
             beard=0.25, stubble=(52, 38, 32), lashes=0.5),
        Hair(front=66, temple=10, volume=4.5, sides=1.6, curl=0.8, locks=0.4),
    ),
    Person(
        "FaceTalk_170904_03276_TA",
        _about("woman, about 60, fine features"),
        Shape(size=0.95, face_width=-2.5, jaw_width=-2.0, face_length=1.0, chin_width=-0.5, nose_width=-1.5, nose_forward=0.5,
              nose_length=1.0, cheeks=-2.0, cheekbones=1.5, lips=-0.12, neck=-0.18, age=0.9, brow_forward=-1.5),
        Look(skin=(230, 192, 174), lips=(182, 112, 108), hair=(206, 200, 190), brows=(150, 136, 122), iris=(110, 134, 156),
             blush=0.35, lashes=0.6, lines=0.75),
        Hair(front=70, temple=8, volume=15, sides=10, length=20, part=6, part_at=22, sweep=1.1, locks=2.8, wave=2.0),
    ),
    Person(
        "FaceTalk_170912_03278_TA",
        _about("man, about 40, strong jaw, shaven head"),
        Shape(face_width=1.0, jaw_width=5.0, face_length=2.0, chin_width=3.0, chin_forward=2.0, nose_width=0.8,
              brow_forward=2.0, cheekbones=2.0, neck=0.10, eye_spacing=0.5, larynx=3.0, age=0.25),
        Look(skin=(196, 144, 110), lips=(160, 98, 86), hair=(40, 32, 28), brows=(42, 32, 28), iris=(84, 60, 40), blush=0.2,
             beard=0.5, stubble=(70, 56, 50), lashes=0.4, lines=0.25),
        Hair(bald=1.0),
    ),
)  # fmt: skip

PEOPLE: tuple[Person, ...] = (
    *STAND_INS,
    Person(
        "ines",
        "woman, about 35, heavy build, full face",
        Shape(size=0.97, face_width=3.0, jaw_width=2.0, face_length=-2.0, chin_width=1.0, nose_width=0.5, nose_forward=-1.5,
              brow_forward=-3.0, brow_height=1.0, cheeks=7.0, lips=0.12, neck=0.20, forehead=1.0),
        Look(skin=(206, 156, 126), lips=(178, 92, 88), hair=(52, 36, 28), brows=(58, 42, 34), iris=(82, 58, 40), blush=0.4,
             lashes=0.85),
        Hair(front=72, temple=6, volume=12, sides=11, length=88, part=8, part_at=-18, sweep=1.1, locks=3.0, wave=5.5),
    ),
    Person(
        "tomas",
        "man, about 22, slight build, red hair",
        Shape(size=0.98, face_width=-2.5, jaw_width=0.0, face_length=-1.0, chin_width=-1.0, nose_width=-0.5, nose_length=-1.5,
              nose_forward=0.5, cheeks=-2.0, cheekbones=0.5, lips=0.02, neck=-0.12, larynx=4.0, brow_forward=-0.5, ears=0.08),
        Look(skin=(238, 196, 174), lips=(192, 116, 108), hair=(150, 76, 38), brows=(140, 86, 56), iris=(104, 132, 110),
             blush=0.5, lashes=0.3),
        Hair(front=64, temple=8, volume=17, sides=8, curl=3.0, locks=1.6, quiff=6),
    ),
    Person(
        "mei",
        "woman, about 28, East Asian, slight build",
        Shape(size=0.94, face_width=1.5, jaw_width=-1.0, face_length=-4.0, chin_width=0.0, nose_width=0.6, nose_bridge=-2.5,
              nose_forward=-2.0, brow_forward=-3.0, brow_height=1.0, cheekbones=1.5, cheeks=1.0, lips=0.06, neck=-0.22,
              forehead=1.5, eye_spacing=1.2),
        Look(skin=(234, 196, 166), lips=(196, 108, 104), hair=(34, 28, 28), brows=(52, 42, 38), iris=(56, 40, 30), blush=0.25,
             lashes=0.6),
        Hair(front=32, temple=0, volume=12, sides=8, nape=-58, locks=2.4),
    ),
    Person(
        "george",
        "man, about 75, lean, bald crown",
        Shape(size=1.0, face_width=-1.5, jaw_width=1.5, face_length=2.5, nose_width=1.2, nose_length=3.0, nose_forward=2.5,
              nose_bridge=1.5, brow_forward=1.0, cheeks=-3.5, cheekbones=2.0, lips=-0.25, neck=-0.06, larynx=4.5, age=1.2,
              ears=0.14),
        Look(skin=(222, 178, 156), lips=(176, 122, 112), hair=(196, 192, 186), brows=(170, 164, 156), iris=(112, 134, 148),
             blush=0.5, lashes=0.2, beard=0.12, stubble=(176, 164, 156), lines=1.0),
        Hair(front=112, temple=30, volume=3, sides=4.5, locks=1.2),
    ),
    Person(
        "arjun",
        "man, about 35, South Asian, solid build, beard",
        Shape(size=1.01, face_width=1.5, jaw_width=4.0, face_length=1.0, chin_width=2.0, nose_width=1.5, nose_forward=2.0,
              nose_bridge=1.5, brow_forward=1.5, cheeks=2.5, lips=0.12, neck=0.12, larynx=2.5),
        Look(skin=(168, 116, 82), lips=(140, 82, 74), hair=(32, 26, 24), brows=(30, 24, 22), iris=(62, 42, 30), blush=0.15,
             beard=0.86, stubble=(36, 28, 25), lashes=0.7),
        Hair(front=64, temple=8, volume=16, sides=5, locks=3.0, part=4, part_at=-30, sweep=1.0, quiff=10),
    ),
    Person(
        "nadia",
        "woman, about 20, tall, athletic, fair",
        Shape(size=0.98, face_width=-0.5, jaw_width=0.5, face_length=2.0, chin_width=0.5, chin_forward=1.0, nose_width=-1.0,
              nose_forward=-0.5, nose_length=-1.0, brow_forward=-1.5, brow_height=0.5, cheekbones=2.5, cheeks=-1.5, lips=0.15,
              mouth_width=0.04, neck=-0.08, forehead=0.5),
        Look(skin=(236, 198, 172), lips=(198, 116, 110), hair=(196, 160, 104), brows=(150, 118, 82), iris=(96, 128, 156),
             blush=0.35, lashes=0.8),
        Hair(front=70, temple=5, volume=14, sides=10, length=104, part=9, part_at=16, sweep=1.2, locks=2.8, wave=5.0),
    ),
)  # fmt: skip
