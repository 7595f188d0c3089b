"""What many tests need: speech-like sound, the built-in head, a model that predicts rest, a motion, the command line."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: threads of two test processes on two cores wait for each other

from talker_cli.formats.ffmpeg import executable
from talker_cli.formats.motion import write_motion
from talker_cli.head import build_head
from talker_cli.rig import Rig, RigFile, save_rig

IDENTITY = "FaceTalk_170725_00137_TA"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests marked `gpu` on a machine without one."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


def spoken(seconds: float, sample_rate: int = 16_000) -> np.ndarray:
    """Return (S,) syllables of a buzzing voice, four a second, in -0.5…0.5."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * t + k * k) / k for k in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 4 * t), 0, None) ** 0.5
    sound = buzz * syllables
    return 0.5 * sound / np.abs(sound).max()


def ffmpeg(*arguments: str | Path) -> str:
    """Run ffmpeg, the real one, and return what it wrote on stderr; its failure fails the test."""
    command = [executable(), "-hide_banner", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode()


def streams(path: Path) -> str:
    """Return what ffmpeg says of a file's streams."""
    done = subprocess.run([executable(), "-hide_banner", "-i", str(path)], capture_output=True, check=False)
    return done.stderr.decode()


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hex, by way of nothing that is tested."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def without_hashes(motion: Path) -> None:
    """Take the hashes out of a motion's sidecar, as of one that was written by hand."""
    sidecar = motion.with_suffix(".json")
    about = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({key: value for key, value in about.items() if key != "files"}))


@dataclass
class CommandResult:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def mistake(self) -> str:
        """The one line of a user's mistake; anything else fails the test."""
        lines = self.err.splitlines()
        assert self.code == 2, (self.code, self.err)
        assert len(lines) == 1 and lines[0].startswith("talker: "), self.err
        assert self.out == ""
        return lines[0]


Command = Callable[..., CommandResult]
Talker = Command  # tests not yet renamed


@pytest.fixture
def talker(tmp_path: Path) -> Command:
    """The real command line in a process of its own, in tmp_path."""

    def run(*arguments: str | Path, prefix: Sequence[str] = (), **environment: str) -> CommandResult:
        command = [*prefix, sys.executable, "-m", "talker_cli", *map(str, arguments)]
        root = str(Path(__file__).parents[1])
        env = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **environment}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
        return CommandResult(done.returncode, done.stdout, done.stderr)

    return run


def run_command(*arguments: object) -> CommandResult:
    """Run the real command line in this process: torch is loaded once for all tests."""
    from talker_cli.cli.app import run

    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        code = run([str(argument) for argument in arguments])
    out, err = (stream.buffer.getvalue().decode() for stream in streams)
    return CommandResult(code, out, err)


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The real command line in this process, in tmp_path."""
    monkeypatch.chdir(tmp_path)
    return run_command


@pytest.fixture(scope="module")
def without_charts() -> Iterator[None]:
    """A machine without the extra `plot`: drawing a curve takes longer than a training of a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib", None)
        yield


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """1.21 s of a buzzing voice, 16 kHz mono."""
    path = tmp_path / "speech.wav"
    soundfile.write(path, spoken(1.21), 16_000)
    return path


@pytest.fixture(scope="session")
def head() -> RigFile:
    """The built-in head."""
    return build_head()


@pytest.fixture(scope="session")
def rig(head: RigFile) -> Rig:
    """The built-in head in one person's shape."""
    return head.rig_of(IDENTITY)


@pytest.fixture(scope="session")
def ball() -> Rig:
    """A coloured ball that moves sideways: enough for what concerns cameras and films, and cheap to draw."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 32, endpoint=False), np.linspace(0, np.pi, 17), indexing="ij")
    template = 0.1 * np.stack([np.sin(v) * np.sin(u), np.cos(v), np.sin(v) * np.cos(u)], -1).reshape(-1, 3).astype(np.float32)
    i, j = (index.ravel() for index in np.meshgrid(np.arange(32), np.arange(16), indexing="ij"))
    a, b = i * 17 + j, (i + 1) % 32 * 17 + j
    faces = np.concatenate([np.stack([a, a + 1, b], 1), np.stack([b, a + 1, b + 1], 1)]).astype(np.int32)
    basis = np.zeros((1, len(template), 3), np.float32)
    basis[..., 0] = 0.02
    colors = (255 * (0.3 + 0.6 * (template / 0.2 + 0.5))).astype(np.uint8)
    return Rig(template, faces, basis, ("sideways",), {}, np.zeros((0, 2), np.int32), 30.0, colors)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, head: RigFile) -> Path:
    """A model folder whose student and teacher predict zero: its motion is everybody's neutral face."""
    import torch

    from talker_cli.formats.files import file_hash
    from talker_cli.model.checkpoint import save_model
    from talker_cli.model.config import ModelConfig
    from talker_cli.model.network import FaceDiffusion

    folder = tmp_path_factory.mktemp("model") / "rest"
    folder.mkdir()
    save_rig(folder / "rig.safetensors", head)
    for kind, timesteps in (("teacher", ()), ("student", (256, 224, 192, 160, 128, 96, 64, 32))):
        config = ModelConfig(
            kind=kind, rig=file_hash(folder / "rig.safetensors"), names=head.rig.names, identities=tuple(head.identities),
            fps=head.rig.fps, feature_width=16, encoder_dilations=(1,), style_width=4, width=16, denoiser_dilations=(1,),
            prediction="x0", timesteps=timesteps,
        )  # fmt: skip
        network = FaceDiffusion(config)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()
        save_model(folder / f"{kind}.safetensors", network)
    return folder


@pytest.fixture
def motion(tmp_path: Path, rig: Rig, model: Path, wav: Path) -> Path:
    """36 frames of a mouth that opens and closes, with the sidecar that leads to rig and recording."""
    coefficients = np.zeros((36, len(rig.names)), np.float32)
    coefficients[:, rig.names.index("jawOpen")] = 0.5 * np.sin(np.linspace(0, 6, 36)) ** 2
    path = tmp_path / "face.npy"
    about = {
        "fps": rig.fps,
        "identity": IDENTITY,
        "rig": {"path": str(model / "rig.safetensors"), "sha256": sha256(model / "rig.safetensors")},
        "audio": {"path": str(wav), "sha256": sha256(wav)},
    }
    write_motion(path, rig.decode(coefficients), coefficients, about)
    return path
