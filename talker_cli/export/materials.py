"""What a mesh consists of, as programs that draw it want to know: materials, and the triangles of each."""

from dataclasses import dataclass

import numpy as np

from talker_cli.render.materials import vertex_colors
from talker_cli.render.stage import srgb_to_linear
from talker_cli.rig import Rig

INNER_MOUTH = ("teeth", "gums", "tongue")
DARKEST = 0.3  # of its colour: what is left at the back of the mouth
MOUTH_DEPTH = (0.010, 0.032)  # metres behind the lips' front: where the dark begins, and where it is darkest


@dataclass(frozen=True)
class Material:
    """A physically based material; its colour comes from the vertices.

    Args:
        name: as users see it in their program.
        roughness: 0 a mirror … 1 chalk.
        regions: of the rig, whose triangles it covers; the last material takes what no region names.
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


def parts(rig: Rig) -> list[tuple[Material, np.ndarray]]:
    """Return the materials that a rig has and the (N,) faces of each; every face belongs to exactly one."""
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


def linear_colors(rig: Rig) -> np.ndarray:
    """Return (V, 3) linear reflectance for programs whose light knows no shadow: the mouth darkens towards the throat."""
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
