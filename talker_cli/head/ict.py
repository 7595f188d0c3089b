"""ICT-FaceKit's light head (MIT) as a rig: 52 ARKit shapes, 100 shapes of identity, painted, with eyes and a tongue that move.

The folder is `FaceXModel` of github.com/ICT-VGL/ICT-FaceKit: Wavefront OBJ files of one topology, in centimetres, whose parts
follow one another (README, "Face Model Topology"). Its eye shapes move lids only, none moves the tongue: both are added.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.mesh import read_mesh
from talker_cli.formats.schema import reading
from talker_cli.head import foreign
from talker_cli.head.surface import smoothstep
from talker_cli.rig import ARKIT_NAMES, Rig

NEUTRAL = "generic_neutral_mesh"
EXPECTED = "ICT-FaceKit's folder FaceXModel"
COPYRIGHT = "Head: ICT-FaceKit, USC Institute for Creative Technologies, MIT"
VERTICES = 26_719
LARGEST = 1 << 26  # bytes of an OBJ file
METRE = 0.01  # of a unit
IDENTITIES = tuple(f"identity{number:03d}" for number in range(100))
ROUNDED = 1e-4  # units, below which a vertex has not moved

FACE, BACK, SOCKETS, GUMS = slice(0, 9409), slice(9409, 11_248), slice(11_248, 14_062), slice(14_062, 16_560)
TONGUE, TEETH, LASHES = slice(16_560, 17_039), slice(17_039, 21_451), slice(25_351, 26_719)
EYES = {"Left": slice(21_451, 22_221), "Right": slice(23_021, 23_791)}  # the outer balls, closed in front
# Without the inner eyeballs, the transparent shells before the eyes, and lashes, which are strips for a texture with gaps.
DRAWN = (FACE, BACK, SOCKETS, GUMS, TONGUE, TEETH, *EYES.values())
# Multi-PIE's landmarks: brows, outer lips from one corner round to the same, the inner lips' upper and lower points.
BROWS = ((268, 493, 1914, 2044, 1401), (3615, 4240, 4114, 2734, 2509))
OUTER_LIPS = (5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841)
SEAM = 0.0015  # metres between vertices of the upper and the lower lip that meet
LIP_REACH = 0.016  # metres from the middle, within which lips are paired
DEGREES = {"Up": (0, -22.0), "Down": (0, 26.0), "In": (1, -28.0), "Out": (1, 28.0)}  # of an eye, about x or y, outwards
PUPIL, IRIS, LIMBUS = 10.5, 24.0, 27.0  # degrees from the eye's axis


def read_ict(folder: Path, settings: Sequence[str] = ()) -> Rig:
    """Read the head.

    Args:
        folder: `FaceXModel`.
        settings: Shapes of identity, as `identity003=1.5`, in standard deviations.

    Raises:
        InputError: a file is missing, damaged or of another topology, or a setting names no shape.
    """
    identity = foreign.identity_of(settings, IDENTITIES)
    mesh = read_mesh(folder / f"{NEUTRAL}.obj")
    if len(mesh.vertices) != VERTICES:
        raise InputError(f"{folder}: the neutral head has {len(mesh.vertices)} vertices; expected {VERTICES}, of {EXPECTED}")
    plain = _vertices(folder, NEUTRAL)
    template = plain + sum((weight * (_vertices(folder, name) - plain) for name, weight in identity.items()), np.zeros(3))
    shapes = {
        name: sum(_vertices(folder, part) - plain for part in _parts(name)) for name in ARKIT_NAMES if name != "tongueOut"
    }
    for side, place in EYES.items():
        for way, (axis, degrees) in DEGREES.items():
            shapes[f"eyeLook{way}{side}"][place] += _turned(
                template[place], axis, degrees * (-1 if axis and side == "Right" else 1)
            )
    shapes["tongueOut"] = _tongue_out(template)
    kept = np.zeros(VERTICES, dtype=bool)
    for place in DRAWN:
        kept[place] = True
    number = np.cumsum(kept) - 1
    lips = _lips(template)
    basis = np.stack([shapes[name][kept] * METRE for name in ARKIT_NAMES]).astype(np.float32)
    middle = template[FACE][:, :].mean(axis=0)
    rest = ((template[kept] - middle) * METRE).astype(np.float32)
    regions = {name: _of(place)[kept] for name, place in (("teeth", TEETH), ("gums", GUMS), ("tongue", TONGUE))}
    regions |= {"lips": lips[kept], "eyes": (_of(EYES["Left"]) | _of(EYES["Right"]))[kept]}
    brow = template[list(BROWS[0] + BROWS[1]), 1].mean()
    eyes = template[EYES["Left"], 1].mean()
    regions["upper_face"] = (_of(FACE) & (template[:, 1] > 2 * eyes - brow))[kept]
    faces = number[mesh.faces[kept[mesh.faces].all(axis=1)]].astype(np.int32)
    return Rig(
        template=rest,
        faces=faces,
        basis=basis,
        names=ARKIT_NAMES,
        regions=regions,
        lip_pairs=_lip_pairs(rest, basis[ARKIT_NAMES.index("jawOpen")], regions["lips"]),
        fps=foreign.FPS,
        colors=_paint(template, lips)[kept],
    )


def _offsets(folder: Path, name: str, neutral: np.ndarray) -> np.ndarray:
    """Return the (VERTICES, 3) offsets of an ARKit shape; what is rounded in its files is none."""
    offsets = np.zeros_like(neutral)
    for part in _parts(name):
        offsets += _vertices(folder, part) - neutral
    offsets[np.abs(offsets).max(axis=1) < ROUNDED] = 0.0
    return offsets


def _parts(name: str) -> list[str]:
    """Return the files of an ARKit shape: sides are _L and _R, and two that ARKit does not divide are divided."""
    if name in ("browInnerUp", "cheekPuff"):
        return [f"{name}_L", f"{name}_R"]
    for side in ("Left", "Right"):
        if name.endswith(side) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            return [f"{name.removesuffix(side)}_{side[0]}"]
    return [name]


def _vertices(folder: Path, name: str) -> np.ndarray:
    """Return the (VERTICES, 3) positions of an OBJ, whose faces are the neutral head's."""
    path = folder / f"{name}.obj"
    with reading(path, EXPECTED):
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} has more than {LARGEST >> 20} MB; expected {EXPECTED}")
        data = b"\n" + path.read_bytes()
        start, last = data.find(b"\nv "), data.rfind(b"\nv ")
        rows = data[start : data.find(b"\n", last + 1)].replace(b"\nv ", b"\n").decode("ascii")
        found = np.fromstring(rows, sep=" ")  # the vertices' lines follow one another
        if found.shape != (3 * VERTICES,) or not np.isfinite(found).all():
            raise InputError(f"{path} has {len(found) // 3} vertices; expected {VERTICES} finite ones, of {EXPECTED}")
        return found.reshape(-1, 3)


def _of(place: slice) -> np.ndarray:
    mask = np.zeros(VERTICES, dtype=bool)
    mask[place] = True
    return mask


def _ball(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the centre (3,) of an eyeball, and the direction (3,) of its cornea: least squares over the part behind it."""
    rear = vertices[vertices[:, 2] < vertices[:, 2].max() - 0.8]
    solved = np.linalg.lstsq(np.c_[2 * rear, np.ones(len(rear))], np.square(rear).sum(1), rcond=None)[0]
    away = vertices - solved[:3]
    apex = away[np.linalg.norm(away, axis=1).argmax()]
    return solved[:3], apex / np.linalg.norm(apex)


def _turned(vertices: np.ndarray, axis: int, degrees: float) -> np.ndarray:
    """Return the offsets of an eyeball that turns about x (0, downwards) or y (1, to the subject's left)."""
    centre, _ = _ball(vertices)
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    turn = np.eye(3)
    one, other = ((1, 2), (2, 0))[axis]
    turn[[one, other], [one, other]] = cosine
    turn[one, other], turn[other, one] = -sine, sine
    return np.asarray((vertices - centre) @ turn.T - (vertices - centre))


def _tongue_out(template: np.ndarray) -> np.ndarray:
    """Return the offsets of a tongue that comes out over the lower teeth, the more of it the nearer to its tip."""
    offsets = np.zeros_like(template)
    z = template[TONGUE, 2]
    share = smoothstep(z.max() - 4.2, z.max(), z)
    offsets[TONGUE, 2] = 3.2 * share
    offsets[TONGUE, 1] = 1.1 * smoothstep(0.0, 0.6, share) - 0.7 * share * share
    return offsets


def _lips(template: np.ndarray) -> np.ndarray:
    """Return (VERTICES,) bool, the face's vertices inside the outer lips' outline as seen from the front."""
    outline = template[list(OUTER_LIPS), :2]
    x, y = template[:, 0], template[:, 1]
    inside = np.zeros(VERTICES, dtype=bool)
    for (ax, ay), (bx, by) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        between = (ay > y) != (by > y)
        inside ^= between & (x < (bx - ax) * (y - ay) / (by - ay if by != ay else 1.0) + ax)
    front = template[list(OUTER_LIPS), 2].min() - 0.6
    return np.asarray(inside & _of(FACE) & (template[:, 2] > front))


def _lip_pairs(rest: np.ndarray, jaw: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Return (P, 2) vertices of the upper and the lower lip that touch at rest, and part when the jaw opens."""
    from scipy.spatial import cKDTree

    near = lips & (np.abs(rest[:, 0]) < LIP_REACH)
    far = -jaw[:, 1].min()
    upper, lower = np.flatnonzero(near & (jaw[:, 1] > -0.2 * far)), np.flatnonzero(near & (jaw[:, 1] < -0.6 * far))
    distance, nearest = cKDTree(rest[lower]).query(rest[upper])
    close = distance < SEAM
    pairs = np.stack([upper[close], lower[nearest[close]]], axis=1)
    # Of several that meet one vertex, the nearest; in front, not in the mouth.
    order = np.argsort(distance[close], kind="stable")
    pairs = pairs[order][np.unique(pairs[order][:, 1], return_index=True)[1]]
    if not len(pairs):
        raise InputError(
            f"found a head whose lips do not meet at rest; expected {EXPECTED}, without shapes that open its mouth"
        )
    return pairs.astype(np.int32)


def _paint(template: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Return (VERTICES, 3) uint8 sRGB."""
    colors = np.tile(np.array(foreign.SKIN, np.float64), (VERTICES, 1))
    for place, color in ((SOCKETS, foreign.MOUTH), (GUMS, foreign.GUM), (TONGUE, foreign.TASTE), (TEETH, foreign.TOOTH)):
        colors[place] = color
    inside = 1 - foreign.near_line(template, template[list(OUTER_LIPS)], (0.0, 0.25), closed=True)
    foreign.mix(colors, foreign.LIPS, 0.9 * np.where(lips, inside, 0.0))
    for brow in BROWS:
        foreign.mix(colors, foreign.BROW, 0.85 * foreign.near_line(template, template[list(brow)], (0.15, 0.5)) * _of(FACE))
    from scipy.spatial import cKDTree

    away, _ = cKDTree(template[LASHES]).query(template[FACE])
    foreign.mix(colors[FACE], foreign.LASH, 0.75 * (1 - smoothstep(0.04, 0.13, away)))
    for place in EYES.values():
        centre, axis = _ball(template[place])
        away = template[place] - centre
        angle = np.degrees(np.arccos(np.clip(away @ axis / np.linalg.norm(away, axis=1), -1, 1)))
        ring = np.interp(angle, [PUPIL - 1, PUPIL + 1, IRIS - 5, IRIS, LIMBUS], [0, 1, 1, 0.45, 0.45])
        iris = np.array(foreign.BLACK) + ring[:, None] * (np.array(foreign.COLOR) - np.array(foreign.BLACK))
        colors[place] = iris + smoothstep(IRIS, LIMBUS, angle)[:, None] * (np.array(foreign.WHITE) - iris)
    return np.round(colors).astype(np.uint8)
