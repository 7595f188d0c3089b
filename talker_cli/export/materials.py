"""A rig's materials, the faces of each, and its shapes' changes of the normals, for other programs' renderers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from talker_cli.formats.mesh import VertexNormals
from talker_cli.render.materials import vertex_colors
from talker_cli.render.stage import srgb_to_linear
from talker_cli.rig import Rig

TURNED = 0.004  # change of a unit normal that is too small to be seen
INNER_MOUTH = ("teeth", "gums", "tongue")
DARKEST = 0.3  # share of its colour that is left at the back of the mouth
MOUTH_DEPTH = (0.010, 0.032)  # metres behind the lips' front: where the dark begins, and where it is darkest


@dataclass(frozen=True)
class Material:
    """A physically based material; its colour comes from the vertices.

    Args:
        name: Name that users see in their program.
        roughness: 0 a mirror … 1 chalk.
        regions: The rig's regions that it covers; the last material takes all other faces.
    """

    name: str
    roughness: float
    regions: tuple[str, ...]


MATERIALS = (
    Material("eyes", 0.12, ("eyes",)),
    Material("teeth", 0.28, ("teeth",)),
    Material("mouth", 0.40, ("gums", "tongue")),
    Material("lips", 0.48, ("lips",)),
    Material("hair", 0.60, ("hair",)),
    Material("skin", 0.72, ()),
)


def material_faces(rig: Rig) -> list[tuple[Material, np.ndarray]]:
    """Return a rig's materials and the (N,) faces of each; every face belongs to exactly one."""
    left = np.ones(len(rig.faces), dtype=bool)
    found = []
    for material in MATERIALS:
        inside = np.zeros(len(rig.template), dtype=bool)
        for region in material.regions:
            if region in rig.regions:
                inside |= rig.regions[region]
        chosen = left & inside[rig.faces].all(axis=1) if material.regions else left
        if chosen.any():
            found.append((material, np.flatnonzero(chosen)))
            left = left & ~chosen
    return found


def moved_normals(rig: Rig) -> tuple[np.ndarray, Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Return the (V, 3) unit normals at rest, and of each shape its (V, 3) offsets and the (V, 3) changes of the normals.

    Changes that cannot be seen are zero.
    """
    normals_of = VertexNormals(rig.faces, len(rig.template))
    rest = normals_of(rig.template)

    def shapes() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for offsets in rig.face.basis:
            changes = normals_of(rig.template + offsets) - rest
            changes[np.abs(changes).max(axis=1) < TURNED] = 0.0
            yield offsets, changes

    return rest, shapes()


def linear_colors(rig: Rig) -> np.ndarray:
    """Return (V, 3) linear reflectance for renderers without shadows: the mouth darkens towards the throat."""
    colors = srgb_to_linear(vertex_colors(rig))
    lips = rig.regions.get("lips")
    if lips is not None and lips.any():
        inside = np.zeros(len(rig.template), dtype=bool)
        for region in INNER_MOUTH:
            if region in rig.regions:
                inside |= rig.regions[region]
        near, far = MOUTH_DEPTH
        depth = np.clip((rig.template[lips, 2].max() - rig.template[inside, 2] - near) / (far - near), 0, 1)
        colors[inside] *= (1 - (1 - DARKEST) * depth)[:, None]
    return colors
