"""The user's own character: a .glb with ARKit-named morph targets, as a rig that a motion's coefficients drive."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.avatar.drive import Drive
from talker_cli.avatar.table import Table
from talker_cli.errors import InputError
from talker_cli.render.character import Character, read_glb
from talker_cli.render.materials import GLOSS, SurfaceMaterial
from talker_cli.rig import ARKIT_NAMES, Rig, face_names

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
        rig: Its mesh, with the motion's coefficients as names, then its own controls that are none of them, as visemes, then
            the head's rotation where the motion has it.
        surface: Colours and finish of its surface.
        missing: Names of the motion's coefficients that move nothing.
        drive: How ARKit's coefficients drive it.
    """

    rig: Rig
    surface: SurfaceMaterial
    missing: tuple[str, ...]
    drive: Drive

    def coefficients(self, motion: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """Return the (T, K) coefficients of the rig for a motion's (T, N), which have the names it was read for."""
        if self.rig.names == names and not self.drive.solved:
            return motion
        arkit = np.zeros((len(motion), len(ARKIT_NAMES)), np.float32)
        found = np.zeros((len(motion), len(self.rig.names)), np.float32)
        for place, name in enumerate(names):
            if name in ARKIT_NAMES:
                arkit[:, ARKIT_NAMES.index(name)] = motion[:, place]
            elif name in self.rig.names:
                found[:, self.rig.names.index(name)] = motion[:, place]
        labels = [control.label for control in self.drive.controls]
        found[:, [self.rig.names.index(label) for label in labels]] = self.drive.values(arkit)
        return found


def read_avatar(path: Path, names: tuple[str, ...], fps: float, table: Table | None = None) -> Avatar:
    """Read a character.

    Args:
        path: A .glb or .vrm.
        names: Names of the motion's coefficients.
        fps: Frame rate of the motion.
        table: Names of shapes, None for the built-in ones.

    Raises:
        InputError: the file cannot be read, or has no morph target of a known name.
    """
    character = read_glb(path, table)
    targets = character.targets
    if not targets or not set(names) & set(ARKIT_NAMES):
        found = ", ".join(character.target_names) or "none"
        raise InputError(f"{path} has the morph targets {found[:160]}; expected ARKit's names, as jawOpen, or visemes; rename "
                         "them in it, or give a map", field="map")  # fmt: skip
    none = np.zeros_like(character.vertices)
    shown = (*face_names(names), *(control.label for control in character.drive.controls if control.label not in names))
    # A coefficient is the whole weight of its shape: the weight that the file gives it at rest is taken back.
    rig = Rig(
        template=character.vertices - character.weighted,
        faces=character.faces,
        basis=np.stack([targets.get(name, none) for name in shown]),
        names=shown,
        regions={"lips": _lips(targets, character)},
        lip_pairs=np.zeros((0, 2), np.int32),
        fps=fps,
        colors=character.colors,
    )
    if len(face_names(names)) < len(names) and rig.regions["lips"].any():
        rig = rig.with_head()
    surface = SurfaceMaterial(
        faces=rig.faces,
        colors=character.tints.astype(np.float32) / 255,
        gloss=_gloss(character),
        normal_of=character.normal_of,
        uvs=character.uvs if len(character.textures) > 1 else None,
        textures=tuple(character.textures),
    )
    return Avatar(rig, surface, tuple(name for name in names if name in character.drive.missing), character.drive)


def _lips(targets: dict[str, np.ndarray], character: Character) -> np.ndarray:
    """Return (V,) bool, the vertices that the first lip shape there is moves most; none where there is no such shape."""
    visemes = [character.drive.controls[number].label for number in character.drive.solved]
    for name in (*LIP_SHAPES, *visemes):
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
