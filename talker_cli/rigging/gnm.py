"""Google's GNM head (Apache-2.0) as a rig: an identity of its model, painted, with eyes, teeth and tongue, and the 52 shapes.

The file is `gnm_head.npz` of github.com/google/GNM, version 3: arrays by name, in metres, +y up, +z out of the face. Its
expressions are principal components without names, so ARKit's shapes are registered and transferred as for any other mesh.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from talker_cli.capture import landmarks as marks
from talker_cli.errors import InputError
from talker_cli.formats.mesh import Mesh, checked
from talker_cli.formats.npy import read_arrays
from talker_cli.head import foreign
from talker_cli.rigging.landmarks import GNM_VERTICES, Points, known_landmarks
from talker_cli.rigging.rigged import Rigged, rig_at
from talker_cli.rigging.source import MM

EXPECTED = "gnm_head.npz of GNM 3"
COPYRIGHT = "Head: GNM, Google LLC, Apache-2.0"
ARRAYS = (
    "template_vertex_positions", "triangles", "vertex_identity_basis", "identity_names", "vertex_groups", "vertex_group_names",
)  # fmt: skip
MEMBER = 0.5  # weight in a group from which on a vertex belongs to it
CORNEA = "eye_exteriors"  # transparent shells before the eyes
PAINT = {
    "mouth_sock": foreign.MOUTH, "gums": foreign.GUM, "teeth": foreign.TOOTH, "tongue": foreign.TASTE,
    "scleras": foreign.WHITE, "irises": foreign.COLOR, "pupils": foreign.BLACK,
}  # fmt: skip
LIP_REDS = ("upper_lip", "lower_lip")
REGIONS = {"teeth": ("teeth",), "gums": ("gums",), "tongue": ("tongue",), "eyes": ("eye_interiors",)}
BROW_WIDTH, LASH_WIDTH = (1.5, 5.0), (0.4, 1.3)  # mm from the line: fully painted, and not at all


def read_gnm(path: Path, settings: Sequence[str] = ()) -> Rigged:
    """Read the head, without the transparent shells before its eyes.

    Args:
        path: `gnm_head.npz`.
        settings: Shapes of identity, as `head_003=1.5`, in standard deviations.

    Raises:
        InputError: the file is missing, damaged or another, or a setting names no shape.
    """
    arrays = read_arrays(path, EXPECTED, ARRAYS)
    rest, groups = _checked(path, arrays)
    for name, value in foreign.identity_of(settings, arrays["identity_names"].tolist()).items():
        rest = rest + np.float32(value) * arrays["vertex_identity_basis"][arrays["identity_names"].tolist().index(name)]
    vertices = MM * rest.astype(np.float64)
    points = known_landmarks(vertices)
    assert points is not None  # the number of vertices is checked
    kept = ~groups[CORNEA]
    faces = arrays["triangles"][kept[arrays["triangles"]].all(1)]
    mesh = checked(
        path, Mesh(rest[kept], (np.cumsum(kept) - 1)[faces].astype(np.int32), _paint(vertices, groups, points)[kept])
    )
    rigged = rig_at(path, mesh, points)
    regions = {name: np.logical_or.reduce([groups[part][kept] for part in parts]) for name, parts in REGIONS.items()}
    return replace(rigged, rig=replace(rigged.rig, regions={**rigged.rig.regions, **regions}))


def _checked(path: Path, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the template's vertices (V, 3) and the groups' members (V,) by name."""
    shapes = {
        "template_vertex_positions": (GNM_VERTICES, 3),
        "triangles": (len(arrays["triangles"]), 3),
        "vertex_identity_basis": (arrays["identity_names"].size, GNM_VERTICES, 3),
        "vertex_groups": (arrays["vertex_group_names"].size, GNM_VERTICES),
    }
    for name, shape in shapes.items():
        found = arrays[name]
        if found.shape != shape or (found.dtype.kind not in "iu" if name == "triangles" else found.dtype.kind != "f"):
            raise InputError(f"{path} holds {name} of the shape {found.shape}, {found.dtype}; expected {shape}, of {EXPECTED}")
    if arrays["triangles"].min() < 0 or arrays["triangles"].max() >= GNM_VERTICES:
        raise InputError(f"{path} has triangles of other vertices than its {GNM_VERTICES}; expected {EXPECTED}")
    groups = dict(zip(arrays["vertex_group_names"].tolist(), arrays["vertex_groups"] > MEMBER, strict=True))
    missing = [name for name in (CORNEA, "skin", "eye_interiors", *LIP_REDS, *PAINT) if name not in groups]
    if missing:
        raise InputError(f"{path} lacks the vertex groups {', '.join(missing)}; expected {EXPECTED}")
    return arrays["template_vertex_positions"].astype(np.float32), groups


def _paint(vertices: np.ndarray, groups: dict[str, np.ndarray], points: Points) -> np.ndarray:
    """Return (V, 3) uint8 sRGB of vertices (V, 3), millimetres: brows and lashes are lines between landmarks."""
    colors = np.tile(np.array(foreign.SKIN, np.float64), (len(vertices), 1))
    for name, color in PAINT.items():
        colors[groups[name]] = color
    skin = groups["skin"] & ~groups["mouth_sock"]
    foreign.mix(colors, foreign.LIPS, 0.9 * (groups[LIP_REDS[0]] | groups[LIP_REDS[1]]) * skin)
    for side in (0, 1):
        above, below = (np.array([points[number] for number in rows[side]]) for rows in (marks.BROW_UPPER, marks.BROW_LOWER))
        foreign.mix(colors, foreign.BROW, 0.85 * foreign.near_line(vertices, (above + below) / 2, BROW_WIDTH) * skin)
        lid = np.array([points[number] for number in marks.LID_UPPER[side]])
        foreign.mix(colors, foreign.LASH, 0.75 * foreign.near_line(vertices, lid, LASH_WIDTH) * skin)
    return np.round(colors).astype(np.uint8)
