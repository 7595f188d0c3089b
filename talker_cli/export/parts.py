"""What a mesh consists of, as programs that draw it want to know: materials, and the triangles of each."""

from dataclasses import dataclass

import numpy as np

from talker_cli.rig import Rig


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
