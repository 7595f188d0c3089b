"""What a motion's sidecar leads to: the rig it moves and the recording it speaks."""

from pathlib import Path
from typing import Any

from talker_cli.audio import check_file
from talker_cli.errors import InputError
from talker_cli.files import file_hash
from talker_cli.motion import Motion, sidecar_path
from talker_cli.rig import Rig, load_rig


def rig_of_motion(path: Path, motion: Motion) -> Rig:
    """Return the rig, in the identity's shape and colours, that the motion at `path` was made for.

    Raises:
        InputError: the sidecar is missing or incomplete, the rig file is gone or another one now.
        ModelError: the rig file is damaged.
    """
    sidecar = sidecar_path(path)
    if not motion.about:
        raise InputError(f"no {sidecar} beside {path}; expected the .json that says which rig and recording belong to it; "
                         "keep the two files together or animate again")  # fmt: skip
    place, digest = _file(motion.about.get("rig"), "rig", sidecar)
    identity = motion.about.get("identity")
    if not place.is_file():
        raise InputError(f"no rig at {place}, which {sidecar} names; expected the model's rig.safetensors; animate again")
    if digest is not None and file_hash(place) != digest:
        raise InputError(f"the rig at {place} is not the one {path} was made for (its SHA-256 differs); animate again")
    content = load_rig(place)
    if identity is None:
        return content.rig
    if identity not in content.identities:
        raise InputError(f"{sidecar} names the identity {identity}; {place} holds no such; animate again")
    return content.rig_of(identity)


def audio_of_motion(path: Path, motion: Motion) -> Path | None:
    """Return the recording that was animated, or None if the sidecar names none.

    Raises:
        InputError: the recording has moved or changed.
    """
    if motion.about.get("audio") is None:
        return None
    place, digest = _file(motion.about["audio"], "audio", sidecar_path(path))
    hint = f"give it with: talker render {path} --audio FILE"
    if not place.is_file():
        raise InputError(f"the recording {place} is not there any more; expected the one that was animated; {hint}")
    check_file(place)
    if digest is not None and file_hash(place) != digest:
        raise InputError(f"the recording {place} has changed since it was animated (its SHA-256 differs); {hint}")
    return place


def _file(entry: Any, key: str, sidecar: Path) -> tuple[Path, str | None]:
    """Return path and SHA-256 of a sidecar's entry {"path": …, "sha256": …}."""
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise InputError(f'{sidecar} has no "{key}" with a path; expected a sidecar that talker wrote; animate again')
    return sidecar.parent / entry["path"], entry.get("sha256")  # an absolute path stays what it is
