"""Reading of a motion with its mesh (from the sidecar, a template or an avatar) and its recording."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.avatar.table import Table
from talker_cli.errors import InputError
from talker_cli.formats.audio import check_file
from talker_cli.formats.files import file_hash
from talker_cli.formats.mesh import Mesh, checked, read_mesh
from talker_cli.formats.motion import RELEASE_EVERY, Motion, read_coefficients, read_motion, read_sidecar, release, sidecar_path
from talker_cli.identity.resolve import face_of
from talker_cli.render.avatar import read_avatar
from talker_cli.render.character import read_glb
from talker_cli.render.materials import SurfaceMaterial, surface_of
from talker_cli.rig import Rig, load_rig


@dataclass(frozen=True)
class MotionTrack:
    """A motion and the mesh that it moves.

    Args:
        rig: Rig whose faces, colours and regions are drawn.
        frames: (T, V, 3) vertices, or the (T, K) coefficients that drive the rig.
        fps: Frames a second.
        label: Name beside other motions.
        given: Surface of the rig, if it differs from the one by the rig's regions.
        about: Content of the motion's sidecar.
    """

    rig: Rig
    frames: np.ndarray
    fps: float
    label: str = ""
    given: SurfaceMaterial | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def surface(self) -> SurfaceMaterial:
        """Surface materials of the mesh."""
        return surface_of(self.rig) if self.given is None else self.given

    @property
    def seconds(self) -> float:
        """Duration, the last frame included."""
        return len(self.frames) / self.fps

    def at(self, seconds: float) -> np.ndarray:
        """Return the (V, 3) float32 vertices of an instant, linearly interpolated between two frames."""
        position = min(max(seconds * self.fps, 0.0), len(self.frames) - 1.0)
        index = int(position + 1e-6)
        fraction = position - index
        if index % RELEASE_EVERY == 0:
            release(self.frames)
        frame = np.asarray(self.frames[index], dtype=np.float32)
        if fraction > 1e-4:
            frame = frame + np.float32(fraction) * (np.asarray(self.frames[index + 1], dtype=np.float32) - frame)
        return frame if frame.ndim == 2 else self.rig.decode(frame[None])[0]


def read_track(path: Path, *, template: Path | None = None, fps: float | None = None) -> MotionTrack:
    """Read a motion and the mesh it moves: the template, or the rig that its sidecar names.

    Args:
        path: Place of the motion.
        template: Mesh file to use in place of the sidecar's rig.
        fps: Frames a second of a motion whose sidecar does not state them.

    Raises:
        InputError: the motion or its sidecar cannot be used, no faces or no frame rate are known, or the vertex counts differ.
        ModelError: the rig file is damaged.
    """
    motion = read_motion(path)
    if template is None:
        rig, source = rig_of_motion(path, motion), "its rig"
    else:
        mesh = _read_template(template)
        none = np.zeros((0, len(mesh.vertices), 3), np.float32)
        rig = Rig(mesh.vertices, mesh.faces, none, (), {}, np.zeros((0, 2), np.int32), 0.0, mesh.colors)
        source = f"the template {template}"
    check_motion(motion, rig, source)
    return MotionTrack(rig, motion.vertices, rate_of_motion(path, motion, fps), path.stem, None, motion.about)


def read_driven(
    path: Path, avatar: Path, *, fps: float | None = None, table: Table | None = None
) -> tuple[MotionTrack, tuple[str, ...]]:
    """Read an avatar and the coefficients of a motion that drive it.

    Args:
        path: Place of the motion.
        avatar: Place of the avatar, a .glb or .vrm.
        fps: Frames a second of a motion whose sidecar does not state them.
        table: Names of shapes, None for the built-in ones.

    Returns:
        The track, and the names of the coefficients that the avatar has no shape for.

    Raises:
        InputError: the motion has no coefficients, or the avatar cannot be used.
    """
    motion = read_motion(path)
    if motion.about.get("coefficients") is None:
        raise InputError(f"{path} has no coefficients to drive an avatar; expected a motion that talker animate wrote, with "
                         "its .json; draw its own mesh instead", "avatar")  # fmt: skip
    names = rig_of_motion(path, motion).names
    coefficients = read_coefficients(path, motion, len(names))
    rate = rate_of_motion(path, motion, fps)
    character = read_avatar(avatar, names, rate, table)
    driven = character.coefficients(coefficients, names)
    return MotionTrack(character.rig, driven, rate, avatar.stem, character.surface, motion.about), character.missing


def _read_template(path: Path) -> Mesh:
    if path.suffix.lower() != ".glb":
        return read_mesh(path)
    character = read_glb(path)
    return checked(path, Mesh(character.vertices, character.faces, character.colors))


def rate_of_motion(path: Path, motion: Motion, fps: float | None = None) -> float:
    """Return a motion's frames a second: the sidecar's, or `fps` where it states none.

    Raises:
        InputError: there is neither, or `fps` is no rate.
    """
    rate = motion.about.get("fps", fps)
    if rate is not None and 1 <= rate <= 1000:
        return float(rate)
    what = "states no frame rate" if rate is None else f"has {rate!r} frames a second"
    raise InputError(f"{path} {what}; expected a number from 1 to 1000, usually 25, 30 or 60; give it", "fps")


def labelled(tracks: list[MotionTrack]) -> list[MotionTrack]:
    """Return tracks with labels that differ: labels that several have get a number."""
    names = [track.label for track in tracks]
    return [
        replace(track, label=f"{track.label} ({index + 1})") if names.count(track.label) > 1 else track
        for index, track in enumerate(tracks)
    ]


def check_motion(motion: Motion, rig: Rig, source: str = "its rig") -> None:
    """Refuse a motion of another mesh.

    Raises:
        InputError: the vertex counts differ.
    """
    found, expected = motion.vertices.shape[1], len(rig.template)
    if found != expected:
        raise InputError(f"the motion has {found} vertices; {source} has {expected}; give the mesh it was made for", "template")


def rig_of_motion(path: Path, motion: Motion) -> Rig:
    """Return the rig, in the identity's shape and colours, that the motion at `path` was made for.

    Raises:
        InputError: the sidecar is missing or incomplete, or the rig file is missing or has changed.
        ModelError: the rig file is damaged.
    """
    sidecar, about = sidecar_path(path), motion.about
    if not about:
        raise InputError(f"no {sidecar} beside {path}, so its faces are not known; keep the two files together, "
                         "or give the mesh", "template")  # fmt: skip
    if "rig" not in about:
        raise InputError(
            f'{sidecar} has no "rig"; expected a sidecar that talker wrote; animate again, or give the mesh', "template"
        )
    place = path.parent / about["rig"]["path"]  # an absolute path stays as it is
    if not place.is_file():
        raise InputError(f"no rig at {place}, which {sidecar} names; expected the model's rig.safetensors; animate again")
    if about["rig"].get("sha256") not in (None, file_hash(place)):
        raise InputError(f"the rig at {place} is not the one {path} was made for (its SHA-256 differs); animate again")
    content = load_rig(place)
    return face_of(about, content.with_head() if about.get("head") else content, sidecar)


def at_rest(path: Path, motion: Motion) -> np.ndarray:
    """Return the vertices (T, V, 3) of the motion at `path` with its head at rest.

    Raises:
        InputError: the head turns, and the coefficients or the rig are missing or have changed.
    """
    if not motion.about.get("head"):
        return motion.vertices
    rig = rig_of_motion(path, motion)
    return rig.face.decode(rig.face.matched(read_coefficients(path, motion, len(rig.names))))


def audio_of_motion(path: Path, about: dict[str, Any]) -> Path | None:
    """Return the recording that was animated, or None if the sidecar names none.

    Raises:
        InputError: the recording has moved or changed.
    """
    if "audio" not in about:
        return None
    place, digest = path.parent / about["audio"]["path"], about["audio"].get("sha256")
    if not place.is_file():
        raise InputError(f"no recording at {place}, which {sidecar_path(path)} names; give the recording", "audio")
    check_file(place)
    if digest is not None and file_hash(place) != digest:
        raise InputError(
            f"the recording {place} has changed since it was animated (its SHA-256 differs); give the recording", "audio"
        )
    return place


def recording_of(path: Path) -> Path | None:
    """Return the place of the recording that a motion's sidecar names, if it names one, unchecked."""
    about = read_sidecar(path)
    return path.parent / about["audio"]["path"] if "audio" in about else None
