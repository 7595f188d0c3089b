"""What is drawn of a motion: the mesh it moves, by its sidecar, a template or an avatar, and the recording it speaks."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.audio import check_file
from talker_cli.formats.files import file_hash, read_json
from talker_cli.formats.mesh import Mesh, checked, read_mesh
from talker_cli.formats.motion import RELEASE_EVERY, Motion, read_motion, release, sidecar_path
from talker_cli.identity.resolve import face_of
from talker_cli.render.avatar import read_avatar
from talker_cli.render.character import read_glb
from talker_cli.render.materials import SurfaceMaterial, surface_of
from talker_cli.rig import Rig, load_rig


@dataclass(frozen=True)
class MotionTrack:
    """A face that moves: what the camera sees.

    Args:
        rig: whose faces, colours and regions are drawn.
        frames: (T, V, 3) vertices, or the (T, K) coefficients that drive the rig.
        fps: frames a second.
        label: what to call it beside others.
        given: the rig's surface, if it is not what the rig's regions say.
        about: what the motion's sidecar says.
    """

    rig: Rig
    frames: np.ndarray
    fps: float
    label: str = ""
    given: SurfaceMaterial | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def surface(self) -> SurfaceMaterial:
        """What light needs to know of the mesh."""
        return surface_of(self.rig) if self.given is None else self.given

    @property
    def seconds(self) -> float:
        """How long it lasts, its last frame included."""
        return len(self.frames) / self.fps

    def at(self, seconds: float) -> np.ndarray:
        """Return the (V, 3) float32 vertices of an instant, between two frames on the straight line."""
        place = min(max(seconds * self.fps, 0.0), len(self.frames) - 1.0)
        index = int(place + 1e-6)
        share = place - index
        if index % RELEASE_EVERY == 0:
            release(self.frames)
        frame = np.asarray(self.frames[index], dtype=np.float32)
        if share > 1e-4:
            frame = frame + np.float32(share) * (np.asarray(self.frames[index + 1], dtype=np.float32) - frame)
        return frame if frame.ndim == 2 else self.rig.decode(frame[None])[0]


def read_track(path: Path, *, template: Path | None = None, fps: float | None = None) -> MotionTrack:
    """Read a motion and the mesh it moves: the template, or the rig that its sidecar names.

    Args:
        path: the motion.
        template: a mesh file, whatever the sidecar says.
        fps: of a motion that does not say its own.

    Raises:
        InputError: the motion or its sidecar cannot be used, no faces or no frame rate are known, or the vertex counts differ.
        ModelError: the rig file is damaged.
    """
    motion = read_motion(path)
    if template is None:
        rig, of = rig_of_motion(path, motion), "its rig"
    else:
        mesh = _read_template(template)
        none = np.zeros((0, len(mesh.vertices), 3), np.float32)
        rig = Rig(mesh.vertices, mesh.faces, none, (), {}, np.zeros((0, 2), np.int32), 0.0, mesh.colors)
        of = f"the template {template}"
    check_motion(motion, rig, of)
    return MotionTrack(rig, motion.vertices, rate_of_motion(path, motion, fps), path.stem, None, motion.about)


def read_driven(path: Path, avatar: Path, *, fps: float | None = None) -> tuple[MotionTrack, tuple[str, ...]]:
    """Read a character and the coefficients that will drive it, which lie beside a motion.

    Returns:
        the take, and the names of the coefficients that the character has no shape for.

    Raises:
        InputError: the motion has no coefficients, or the character cannot be used.
    """
    motion = read_motion(path)
    if motion.about.get("coefficients") is None:
        raise InputError(f"{path} comes without coefficients, which drive an avatar; expected a motion that talker animate "
                         "wrote, with its .json; leave --avatar out")  # fmt: skip
    names = rig_of_motion(path, motion).names
    curves = coefficients_of_motion(path, motion, len(names))
    rate = rate_of_motion(path, motion, fps)
    character = read_avatar(avatar, names, rate)
    return MotionTrack(character.rig, curves, rate, avatar.stem, character.surface, motion.about), character.missing


def _read_template(path: Path) -> Mesh:
    if path.suffix.lower() != ".glb":
        return read_mesh(path)
    character = read_glb(path)
    return checked(path, Mesh(character.vertices, character.faces, character.colors))


def rate_of_motion(path: Path, motion: Motion, fps: float | None = None) -> float:
    """Return a motion's frames a second: what its sidecar says, or `fps` where that says nothing.

    Raises:
        InputError: neither is a rate.
    """
    said = motion.about.get("fps")
    rate = fps if said is None else said
    if isinstance(rate, int | float) and 0 < rate <= 1000:
        return float(rate)
    what = "does not say its frames a second" if rate is None else f"says {rate!r} frames a second"
    raise InputError(f"{path} {what}; expected a number, 25, 30 or 60 as a rule; give it with --fps")


def labelled(takes: list[MotionTrack]) -> list[MotionTrack]:
    """Return takes whose labels differ: a number is added to those that files share."""
    names = [take.label for take in takes]
    same = {name for name in names if names.count(name) > 1}
    return [
        replace(take, label=f"{take.label} ({index + 1})") if take.label in same else take for index, take in enumerate(takes)
    ]


def check_motion(motion: Motion, rig: Rig, of: str = "its rig") -> None:
    """Refuse a motion of another mesh.

    Raises:
        InputError: the vertex counts differ.
    """
    found, expected = motion.vertices.shape[1], len(rig.template)
    if found != expected:
        raise InputError(f"the motion has {found} vertices; {of} has {expected}; give the mesh it was made for with --template")


def rig_of_motion(path: Path, motion: Motion) -> Rig:
    """Return the rig, in the identity's shape and colours, that the motion at `path` was made for.

    Raises:
        InputError: the sidecar is missing or incomplete, the rig file is gone or another one now.
        ModelError: the rig file is damaged.
    """
    sidecar = sidecar_path(path)
    if not motion.about:
        raise InputError(f"no {sidecar} beside {path}, so its faces are not known; keep the two files together, "
                         "or give the mesh with --template face.ply")  # fmt: skip
    place, digest = _file(motion.about.get("rig"), "rig", sidecar)
    identity = motion.about.get("identity")
    if not place.is_file():
        raise InputError(f"no rig at {place}, which {sidecar} names; expected the model's rig.safetensors; animate again")
    if digest is not None and file_hash(place) != digest:
        raise InputError(f"the rig at {place} is not the one {path} was made for (its SHA-256 differs); animate again")
    content = load_rig(place)
    own = face_of(motion.about, content, sidecar)
    if own is not None:
        return own
    if identity is None:
        return content.rig
    if identity not in content.identities:
        raise InputError(f"{sidecar} names the identity {identity}; {place} holds no such; animate again")
    return content.rig_of(identity)


def coefficients_of_motion(path: Path, motion: Motion, count: int) -> np.ndarray:
    """Return the (T, K) coefficients that lie beside the motion at `path`.

    Args:
        count: K, how many its rig has.

    Raises:
        InputError: the sidecar names none, or they are gone, of another shape, or not finite.
    """
    name = motion.about.get("coefficients")
    if not isinstance(name, str):
        raise InputError(f"{path} says nothing of coefficients in its .json; expected a motion that talker animate wrote")
    place = path.parent / name
    try:
        curves = np.load(place, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"no coefficients at {place} ({error}); expected those of {path}; animate again") from error
    expected = (len(motion.vertices), count)
    if curves.shape != expected or curves.dtype.kind != "f" or not np.isfinite(curves).all():
        raise InputError(f"{place} holds {curves.dtype} {curves.shape}; expected finite floats {expected}; animate again")
    return curves


def audio_of_motion(path: Path, about: dict[str, Any]) -> Path | None:
    """Return the recording that was animated, or None if the sidecar names none.

    Raises:
        InputError: the recording has moved or changed.
    """
    if about.get("audio") is None:
        return None
    place, digest = _file(about["audio"], "audio", sidecar_path(path))
    hint = "give it with --audio FILE"
    if not place.is_file():
        raise InputError(f"the recording {place} is not there any more; expected the one that was animated; {hint}")
    check_file(place)
    if digest is not None and file_hash(place) != digest:
        raise InputError(f"the recording {place} has changed since it was animated (its SHA-256 differs); {hint}")
    return place


def recording_of(path: Path) -> Path | None:
    """Return where the recording lies that a motion's sidecar names, whether it is still the one or not, if it names one."""
    sidecar = sidecar_path(path)
    about = read_json(sidecar) if sidecar.is_file() else None
    entry = about.get("audio") if isinstance(about, dict) else None
    return path.parent / entry["path"] if isinstance(entry, dict) and isinstance(entry.get("path"), str) else None


def _file(entry: Any, key: str, sidecar: Path) -> tuple[Path, str | None]:
    """Return path and SHA-256 of a sidecar's entry {"path": …, "sha256": …}."""
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise InputError(f'{sidecar} has no "{key}" with a path; expected a sidecar that talker wrote; animate again')
    return sidecar.parent / entry["path"], entry.get("sha256")  # an absolute path stays what it is
