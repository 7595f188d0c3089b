"""Checks of this machine: each part that talker needs, its version or problem, and a command that fixes it."""

import importlib.util
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from talker_cli import __version__
from talker_cli.errors import TalkerError
from talker_cli.formats import ffmpeg
from talker_cli.formats.files import ArrayFile, file_hash
from talker_cli.model.config import COMPACT
from talker_cli.model.encoders import verified
from talker_cli.model.folder import main_weights, model_folder
from talker_cli.model.header import read_config
from talker_cli.rig import load_rig

LIBRARIES = (
    "numpy", "scipy", "safetensors", "pydantic", "typer", "rich", "soundfile", "onnxruntime", "imageio-ffmpeg", "pyrender",
    "PyOpenGL", "trimesh", "pillow",
)  # fmt: skip
# Of the extras: a light installation animates without them.
OPTIONAL = {
    "train": ("torch", "torchaudio", "transformers", "accelerate", "onnx", "tomli-w"), "capture": ("mediapipe",),
    "corpus": ("pocketsphinx",), "plot": ("matplotlib",),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Args:
        part: Part of the installation.
        ok: Whether it works.
        found: Version, device or hash; or the problem.
        fix: Command that fixes the problem, empty if there is none.
    """

    part: str
    ok: bool
    found: str
    fix: str = ""


def examine(model: str) -> Iterator[Finding]:
    """Yield a finding for each part that talker needs, the quick ones first.

    Args:
        model: Built-in name or folder.
    """
    yield Finding("talker", True, f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    for library in LIBRARIES:
        yield _examined(library, partial(metadata.version, library), "pip install -c constraints.txt .")
    for extra, libraries in OPTIONAL.items():
        for library in libraries:
            yield _examined(library, partial(_optional, library, extra), "")
    yield _examined("ffmpeg", _ffmpeg, "pip install --force-reinstall imageio-ffmpeg")
    yield _examined("write access", _writable, "cd to a folder of your own, or free some space")
    for file in ("rig", "student", "teacher"):
        yield _examined(f"{model}: {file}", partial(_weights, model, file), "pip install --force-reinstall . in a clone")
    yield _examined(f"{model}: audio encoder", partial(_encoder, model), "pip install --force-reinstall . in a clone")
    yield _examined("OpenGL", _opengl, "apt-get install libegl1 libgl1 libgl1-mesa-dri")
    yield _examined("devices", _devices, "pip install --force-reinstall torch")


def _examined(part: str, check: Callable[[], str], fix: str) -> Finding:
    """Return what `check` finds; any exception of it is the finding."""
    try:
        return Finding(part, True, check())
    except metadata.PackageNotFoundError:
        return Finding(part, False, "not installed", fix)
    except TalkerError as error:
        return Finding(part, False, " ".join(str(error).split()), fix)
    except Exception as error:  # a broken installation fails in any way, and this command reports it
        return Finding(part, False, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", fix)


def _optional(library: str, extra: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return f"not installed; part of pip install 'talker-cli[{extra}]'"


def _ffmpeg() -> str:
    done = subprocess.run([ffmpeg.executable(), "-version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].removeprefix("ffmpeg version ").split(" Copyright")[0]


def _writable() -> str:
    with tempfile.TemporaryFile(dir=".") as stream:
        stream.write(b"talker")
    return (
        f"{Path.cwd()}, {shutil.disk_usage('.').free / 1e9:.0f} GB free (an hour of vertices is 11 GB, of coefficients 22 MB)"
    )


def _weights(model: str, name: str) -> str:
    path = model_folder(model) / f"{name}.safetensors"
    if name == "teacher" and main_weights(path.parent) != path and not path.is_file():
        return "none: this model is its student alone, and --steps full wants another"
    digest = file_hash(path)
    if name == "rig":
        return f"{len(load_rig(path).identities)} identities, {path.stat().st_size / 1e6:.1f} MB, SHA-256 {digest[:16]}…"
    file = ArrayFile(path, f"{name} model")
    rig = file_hash(path.with_name("rig.safetensors"))
    if file.metadata["config"]["rig"] != rig:
        raise TalkerError(f"{path} was made for another rig.safetensors")
    return f"{path.stat().st_size / 1e6:.1f} MB, SHA-256 {digest[:16]}…"


def _encoder(model: str) -> str:
    weights = main_weights(model_folder(model))
    config = read_config(weights, weights.stem)
    return config.audio_encoder if config.audio_encoder == COMPACT else f"{config.audio_encoder}, {verified(config).folder}"


def _opengl() -> str:
    from talker_cli.render import render_frame

    rig = load_rig(model_folder("talker-base") / "rig.safetensors").rig
    image = render_frame(rig.template, rig, size=(64, 64))
    if image.std() < 1:
        raise TalkerError("the image of a face is empty")
    return "renders off screen"


def _devices() -> str:
    if importlib.util.find_spec("torch") is None:
        return f"{os.cpu_count()} CPU cores"
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads; " + (
        f"GPU: {', '.join(gpus)}" if gpus else "no GPU"
    )
