"""The user's own character: a .glb with ARKit-named morph targets, as a rig that a motion's coefficients drive."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError
from talker_cli.render.character import Character, read_glb
from talker_cli.render.materials import GLOSS, SurfaceMaterial
from talker_cli.rig import Rig

# What a piece of the scene is made of, by the words in its names; the first that fits.
MATERIALS = (
    (re.compile(r"lash|brow|hair|beard|cap|hat", re.I), 0.0),
    (re.compile(r"eye(?!lid)|iris|cornea|sclera", re.I), GLOSS["eyes"]),
    (re.compile(r"teeth|tooth", re.I), GLOSS["teeth"]),
    (re.compile(r"tongue", re.I), GLOSS["tongue"]),
)
LIP_SHAPES = ("mouthFunnel", "mouthPucker", "mouthClose", "mouthRollLower", "mouthRollUpper", "jawOpen")
LIP_SHARE = 0.5  # of a lip shape's largest offset: what moves as far is called lips, for the portrait's framing


@dataclass(frozen=True)
class Avatar:
    """A character ready to be driven.

    Args:
        rig: Its mesh, with the motion's coefficients as names; a shape that it lacks moves nothing.
        surface: Colours and finish of its surface.
        missing: Names of the motion's coefficients for which it has no morph target.
    """

    rig: Rig
    surface: SurfaceMaterial
    missing: tuple[str, ...]


def read_avatar(path: Path, names: tuple[str, ...], fps: float) -> Avatar:
    """Read a character.

    Args:
        path: A .glb or .vrm.
        names: Names of the motion's coefficients.
        fps: Frame rate of the motion.

    Raises:
        InputError: the file cannot be read, or has no morph target of an ARKit name.
    """
    character = read_glb(path)
    targets = character.targets
    if not targets.keys() & set(names):
        found = ", ".join(character.target_names) or "none"
        raise InputError(f"{path} has the morph targets {found[:160]}; expected ARKit's names, as jawOpen; rename them in it")
    none = np.zeros_like(character.vertices)
    # A coefficient is the whole weight of its shape: the weight that the file gives it at rest is taken back.
    driven = [offsets for name, offsets in character.weighted.items() if name in names]
    rig = Rig(
        template=character.vertices - sum(driven, none),
        faces=character.faces,
        basis=np.stack([targets.get(name, none) for name in names]),
        names=names,
        regions={"lips": _lips(targets, character)},
        lip_pairs=np.zeros((0, 2), np.int32),
        fps=fps,
        colors=character.colors,
    )
    surface = SurfaceMaterial(
        faces=rig.faces,
        colors=character.tints.astype(np.float32) / 255,
        gloss=_gloss(character),
        normal_of=character.normal_of,
        uvs=character.uvs if len(character.textures) > 1 else None,
        textures=tuple(character.textures),
    )
    return Avatar(rig, surface, tuple(name for name in names if name not in targets))


def _lips(targets: dict[str, np.ndarray], character: Character) -> np.ndarray:
    """Return (V,) bool, the vertices that the first lip shape there is moves most; none where there is no such shape."""
    for name in LIP_SHAPES:
        if name in targets:
            far = np.linalg.norm(targets[name], axis=1)
            if far.max() > 0:
                return np.asarray(far > LIP_SHARE * far.max())
    return np.zeros(len(character.vertices), dtype=bool)


def _gloss(character: Character) -> np.ndarray:
    gloss = np.zeros(len(character.vertices), np.float32)
    for name, place in character.parts:
        gloss[place] = next((value for pattern, value in MATERIALS if pattern.search(name)), 0.0)
    return gloss
