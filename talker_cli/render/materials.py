"""Surface of a mesh: colour, gloss, softness and sheen at each vertex."""

from dataclasses import dataclass

import numpy as np

from talker_cli.render.aperture import Aperture, aperture_of
from talker_cli.rig import ARKIT_NAMES, Rig

DEFAULT_COLOR = (0.80, 0.63, 0.55)  # sRGB, of a mesh without colours
GLOSS = {"lips": 0.42, "gums": 0.40, "tongue": 0.45, "teeth": 0.65, "eyes": 1.0}  # by region; skin is 0
SOFT = {"gums": 0.8, "tongue": 0.9, "teeth": 0.8, "eyes": 0.25, "hair": 0.15}  # by region; skin is 1
SHEEN = {"lips": 1.0, "gums": 0.6, "tongue": 0.5, "teeth": 0.2, "eyes": 0.0, "hair": 0.2}  # by region; skin is about 1
GRAIN = 0.022  # wavelength of the skin's oiliness, in the mesh's size
UNEVEN = 0.35  # largest change of the skin's sheen
PAINTED_LIGHT = "glint"  # region of highlights painted into the eyes; not drawn, because the shader reflects a window


@dataclass(frozen=True)
class SurfaceMaterial:
    """A mesh's faces and surface, without positions.

    Args:
        faces: (F, 3) int, counter-clockwise seen from outside.
        colors: (V, 3) float32, sRGB in 0…1.
        gloss: (V,) float32, 0 for skin … 1 for a wet eye.
        closed: Whether no face is ever seen from behind; then back faces are not drawn: a third less work.
        normal_of: (V,) int, equal for vertices that share a normal, as the two sides of a texture's seam; None if none do.
        soft: (V,) float32, subsurface scattering, 0 for cloth … 1 for skin.
        sheen: (V,) float32, strength of skin's broad highlight, about 1.
        uvs: (V, 3) float32, texture coordinates 0…1, rows downwards, and the texture's number; None without textures.
        textures: (H, W, 4) uint8 each, sRGB and coverage; they are multiplied with the colours.
        aperture: Opening of a mouth whose inside is lit through it; None of other meshes.
    """

    faces: np.ndarray
    colors: np.ndarray
    gloss: np.ndarray
    closed: bool = False
    normal_of: np.ndarray | None = None
    soft: np.ndarray | float = 1.0
    sheen: np.ndarray | float = 1.0
    uvs: np.ndarray | None = None
    textures: tuple[np.ndarray, ...] = ()
    aperture: Aperture | None = None


def surface_of(rig: Rig) -> SurfaceMaterial:
    """Return the surface of a rig's mesh."""
    # The built-in head's mouth ends in a bag and its eyes lie in sockets; other meshes may be open behind the lips.
    painted = rig.regions.get(PAINTED_LIGHT, np.zeros(len(rig.template), dtype=bool))
    return SurfaceMaterial(
        rig.faces[~painted[rig.faces].any(axis=1)],
        vertex_colors(rig),
        vertex_gloss(rig),
        closed=rig.face_names == ARKIT_NAMES,
        soft=_by_region(rig, SOFT, 1.0),
        sheen=_by_region(rig, SHEEN, 1.0) * uneven(rig.template),
        aperture=aperture_of(rig),
    )


def vertex_colors(rig: Rig) -> np.ndarray:
    """Return (V, 3) float32 sRGB in 0…1."""
    if rig.colors is None:
        return np.tile(np.array(DEFAULT_COLOR, dtype=np.float32), (len(rig.template), 1))
    return rig.colors.astype(np.float32) / 255.0


def vertex_gloss(rig: Rig) -> np.ndarray:
    """Return (V,) float32, 0 for skin … 1 for a wet eye, from the rig's regions."""
    return _by_region(rig, GLOSS, 0.0)


def uneven(vertices: np.ndarray) -> np.ndarray:
    """Return the (V,) float32 oiliness of skin, about 1, at (V, 3) rest positions: a sum of three waves."""
    size = float(np.ptp(vertices, axis=0).max()) or 1.0
    x, y, z = (vertices / (GRAIN * size)).T
    waves = (
        np.sin(x + 1.7 * np.sin(0.61 * y)),
        np.sin(1.13 * y + 1.3 * np.sin(0.83 * z)),
        np.sin(0.91 * z + 1.9 * np.sin(0.7 * x)),
    )
    return np.asarray(1 + UNEVEN / 3 * sum(waves), dtype=np.float32)


def _by_region(rig: Rig, values: dict[str, float], otherwise: float) -> np.ndarray:
    found = np.full(len(rig.template), otherwise, dtype=np.float32)
    for region, value in values.items():
        if region in rig.regions:
            found[rig.regions[region]] = value
    return found
