"""Put the head together: layout, shapes, regions, colours and people, in metres."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from talker_cli.head.build import HalfMesh, Layout, mirrored
from talker_cli.head.eye_shapes import eye_shapes
from talker_cli.head.field import Field, make_field
from talker_cli.head.hair import Hair, add_hair, hair_points
from talker_cli.head.mouth_shapes import mouth_shapes, seal
from talker_cli.head.paint import Look, paint
from talker_cli.head.parts import add_brows, add_ear, add_eyes, add_lashes, add_teeth, add_tongue
from talker_cli.head.people import STAND_INS, Person
from talker_cli.head.shape import warp
from talker_cli.head.skin import EYE_SPOKES, MOUTH_SPOKES, add_skin
from talker_cli.rig import ARKIT_NAMES, Identity, Rig, RigFile

FPS = 30.0
_MILLIMETRE = 1e-3
TEMPLATE_HAIR = Hair(front=70, temple=13, volume=11, sides=4.5, locks=2.8, quiff=7)
_NOISE = 2e-3  # mm; smaller offsets are dropped, so that shapes are local


def _layout() -> tuple[Layout, np.ndarray, np.ndarray]:
    """Return the rest head, its (P, 2) lip pairs, and the hair's (rows, columns) indices on the left half."""
    mesh = HalfMesh()
    index = add_skin(mesh)
    add_eyes(mesh)
    add_lashes(mesh, index["eye"])
    add_brows(mesh)
    add_teeth(mesh)
    add_tongue(mesh)
    add_ear(mesh)
    hair = add_hair(mesh, TEMPLATE_HAIR)
    layout = mirrored(mesh)
    line = index["mouth"][6]
    k = np.arange(MOUTH_SPOKES // 2)
    left = np.stack([line[k], line[MOUTH_SPOKES - k]], -1)
    right = layout.mirror[left[1:]]
    pairs = np.concatenate([right[::-1], left])
    middle = 0.5 * (layout.points[pairs[:, 0]] + layout.points[pairs[:, 1]])
    layout.points[pairs[:, 0]] = middle
    layout.points[pairs[:, 1]] = middle
    return layout, pairs, hair


def rest_head() -> tuple[np.ndarray, Field, np.ndarray]:
    """Return the (P, 2) lip pairs, the labelled rest head in millimetres, and the hair's indices on its left half."""
    layout, pairs, hair = _layout()
    return pairs, make_field(layout), hair


def _basis(field: Field, pairs: np.ndarray) -> np.ndarray:
    """Return (52, V, 3) offsets, mm, in the order of `ARKIT_NAMES`."""
    mirror, flip = field.layout.mirror, np.array([-1.0, 1.0, 1.0])
    shapes: dict[str, np.ndarray] = {}
    for whole, both in (mouth_shapes(field), eye_shapes(field)):
        shapes |= whole
        for name, offsets in both.items():
            on_left = field.layout.points[:, 0] > 0 if name.startswith("eye") else field.left
            left = offsets * on_left[:, None]
            shapes[name + "Left"] = left
            shapes[name + "Right"] = left[mirror] * flip
    for name in ("jaw", "mouth"):
        shapes[name + "Right"] = shapes[name + "Left"][mirror] * flip
    seal(field, shapes, pairs)
    basis = np.stack([shapes[name] for name in ARKIT_NAMES])
    basis[np.abs(basis) < _NOISE] = 0.0
    return basis


def _regions(field: Field) -> dict[str, np.ndarray]:
    layout = field.layout
    lips = (field.lip_ring >= -2) & (field.lip_ring <= 5)
    skin = layout.of("skin") | layout.of("brow") | layout.of("lash")
    upper = skin & (field.y > -14.0) & (field.y < 80.0) & (field.z > 20.0)
    teeth = layout.of("upper_teeth") | layout.of("lower_teeth")
    gums = teeth & ((layout.ring <= 1) | (layout.ring == 7))
    corner = np.abs(layout.spoke - EYE_SPOKES / 2) <= 4  # the inner one, wet as the eyeball
    return {
        "lips": lips,
        "upper_face": upper,
        "eyes": layout.of("eyeball") | layout.of("glint") | (corner & (field.lid_ring < 0)),
        "teeth": teeth & ~gums,
        "gums": gums | layout.of("mouth"),
        "tongue": layout.of("tongue"),
        "hair": layout.of("hair"),
        "glint": layout.of("glint"),  # a highlight in each eye, for programs that mirror nothing in it
    }


def _person(field: Field, hair: np.ndarray, basis: np.ndarray, person: Person) -> Identity:
    """Return a person's template and colours: hair cut on the rest head, then the warp."""
    layout = field.layout
    rest = layout.points.copy()
    for side, index in ((-1.0, layout.mirror[hair]), (1.0, hair)):
        cut = hair_points(person.hair, side)
        cut[:, [0, -1], 0] = 0.0
        rest[index] = cut * [side, 1.0, 1.0]
    mask = layout.of("hair")
    smile = basis[[ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("mouthSmileRight")]].sum(0)
    offsets = warp(field, person.shape) + person.shape.smile * smile
    moved = rest + offsets
    own = _with_hair(field, rest)
    moved[mask] = (rest + warp(own, person.shape))[mask]
    lash = np.flatnonzero(layout.of("lash"))
    tip, base = (lash[layout.ring[lash] == ring] for ring in (1, 2))
    moved[tip] = moved[base] + (0.3 + 0.7 * person.look.lashes) * (moved[tip] - moved[base])
    return Identity(person.name, (moved * _MILLIMETRE).astype(np.float32), paint(field, person.look, person.hair), person.about)


def _with_hair(field: Field, rest: np.ndarray) -> Field:
    """Return the field with another haircut's positions, to warp the hair with the head."""
    return replace(field, x=np.abs(rest[:, 0]), y=rest[:, 1], z=rest[:, 2])


def build_head(people: Iterable[Person] = STAND_INS) -> RigFile:
    """Return the built-in head's rig and people of its topology, the model's own by default; the same arrays on every call."""
    pairs, field, hair = rest_head()
    layout = field.layout
    basis = _basis(field, pairs)
    rig = Rig(
        template=(layout.points * _MILLIMETRE).astype(np.float32),
        faces=layout.faces,
        basis=(basis * _MILLIMETRE).astype(np.float32),
        names=ARKIT_NAMES,
        regions=_regions(field),
        lip_pairs=pairs.astype(np.int32),
        fps=FPS,
        colors=paint(field, Look(), TEMPLATE_HAIR),
    )
    return RigFile(rig, {person.name: _person(field, hair, basis, person) for person in people})
