"""A face of an identity's own: the model's mesh in another shape, or any mesh with ARKit's morph targets."""

from pathlib import Path

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.mesh import Mesh, checked, read_mesh
from talker_cli.identity.file import IdentityFace
from talker_cli.render.avatar import read_avatar
from talker_cli.render.character import read_glb
from talker_cli.render.materials import GLOSS
from talker_cli.rig import ARKIT_NAMES, Rig, RigFile

SIZES = (0.5, 2.0)  # allowed size of a face relative to the model's


def read_face(path: Path, base: RigFile) -> IdentityFace:
    """Read a face for a model's rig.

    Args:
        path: File: .ply, .obj, .npz with the model's vertices in their order, or a .glb with ARKit-named morph targets.
        base: The model's rig file.

    Raises:
        InputError: it is neither.
    """
    rig = base.rig
    if path.suffix.lower() != ".glb":
        return IdentityFace(_same_mesh(path, read_mesh(path), rig))
    character = read_glb(path)
    mesh = checked(path, Mesh(character.vertices, character.faces, character.colors))
    if not character.targets and len(mesh.vertices) == len(rig.template):
        return IdentityFace(_same_mesh(path, mesh, rig), mesh.colors)
    if rig.face_names != ARKIT_NAMES:
        raise InputError(f"the model moves {rig.names[0]} …, not ARKit's shapes; expected its own mesh in {path}")
    own = character_rig(path, rig.names, rig.fps)
    return IdentityFace(own.template, own.colors, own)


def character_rig(path: Path, names: tuple[str, ...], fps: float) -> Rig:
    """Return a character (.glb or .vrm) with ARKit's morph targets as a rig.

    Args:
        path: The file.
        names: Names of the rig's coefficients.
        fps: Frames a second of the motion that it is for.

    Raises:
        InputError: it cannot be read, or has none or visemes alone.
    """
    avatar = read_avatar(path, names, fps)
    if any(control.meaning.mix for control in avatar.drive.controls):
        raise InputError(
            f"{path} has visemes in place of ARKit's shapes; expected those, as jawOpen; give it to render instead"
        )
    gloss = {name: avatar.surface.gloss == np.float32(value) for name, value in GLOSS.items()}
    regions = {name: mask for name, mask in gloss.items() if mask.any()} | avatar.rig.regions
    return Rig(
        avatar.rig.template.astype(np.float32), avatar.rig.faces.astype(np.int32), avatar.rig.basis.astype(np.float32),
        avatar.rig.names, regions, avatar.rig.lip_pairs, avatar.rig.fps, avatar.rig.colors, avatar.rig.neck,
    )  # fmt: skip


def _same_mesh(path: Path, mesh: Mesh, rig: Rig) -> np.ndarray:
    """Return the vertices of a mesh that has the rig's topology."""
    found, expected = len(mesh.vertices), len(rig.template)
    if found != expected:
        raise InputError(
            f"{path} has {found} vertices; expected the model's {expected} in their order, or a .glb with ARKit's shapes"
        )
    if mesh.faces.shape != rig.faces.shape or not np.array_equal(mesh.faces, rig.faces):
        raise InputError(f"{path} has other triangles than the model's mesh; expected the same; export it without changes")
    size = float(np.ptp(mesh.vertices, axis=0).max() / np.ptp(rig.template, axis=0).max())
    if not SIZES[0] < size < SIZES[1]:
        raise InputError(f"{path} is {size:.3g} times as large as the model's head; expected metres; scale it")
    return mesh.vertices.astype(np.float32)
