"""What a mesh is made of, as far as light cares: a colour and a gloss at each vertex."""

from dataclasses import dataclass

import numpy as np

from talker_cli.rig import ARKIT_NAMES, Rig

DEFAULT_COLOR = (0.80, 0.63, 0.55)  # sRGB, of a mesh that brings no colours
GLOSS = {"lips": 0.30, "gums": 0.20, "tongue": 0.45, "teeth": 0.65, "eyes": 1.0}  # by region; skin is 0


@dataclass(frozen=True)
class Surface:
    """A mesh without its positions.

    Args:
        faces: (F, 3) int, counter-clockwise seen from outside.
        colors: (V, 3) float32, sRGB in 0…1.
        gloss: (V,) float32, 0 for skin … 1 for a wet eye.
        closed: nothing is ever seen from behind, so that back faces need not be drawn: a third less work.
        normal_of: (V,) int, equal for vertices that share a normal, as the two sides of a texture's seam; None if none do.
    """

    faces: np.ndarray
    colors: np.ndarray
    gloss: np.ndarray
    closed: bool = False
    normal_of: np.ndarray | None = None


def surface_of(rig: Rig) -> Surface:
    """Return what light needs to know of a rig's mesh."""
    # The built-in head's mouth ends in a bag and its eyes lie in sockets; other meshes may be open behind the lips.
    return Surface(rig.faces, vertex_colors(rig), vertex_gloss(rig), closed=rig.names == ARKIT_NAMES)


def vertex_colors(rig: Rig) -> np.ndarray:
    """Return (V, 3) float32 sRGB in 0…1."""
    if rig.colors is None:
        return np.tile(np.array(DEFAULT_COLOR, dtype=np.float32), (len(rig.template), 1))
    return rig.colors.astype(np.float32) / 255.0


def vertex_gloss(rig: Rig) -> np.ndarray:
    """Return (V,) float32, 0 for skin … 1 for a wet eye, from the rig's regions."""
    gloss = np.zeros(len(rig.template), dtype=np.float32)
    for region, value in GLOSS.items():
        if region in rig.regions:
            gloss[rig.regions[region]] = value
    return gloss
