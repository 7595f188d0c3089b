"""Enrolment by sound without PyTorch: the identity that PyTorch gives, and a line where motion would need it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command, ffmpeg
from test_enroll import SPEECH, make_model, write
from test_enroll_fit import smooth
from test_onnx import LIGHT, TRAINING
from tiny import tiny_rig

from talker_cli.enroll.enroller import Enroller
from talker_cli.enroll.record import FitRecord
from talker_cli.errors import ModelError
from talker_cli.export.livelink import write_csv
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.audio import load_speech
from talker_cli.formats.files import ArrayFile, file_hash
from talker_cli.identity.file import Enrolled, load_identity, save_identity
from talker_cli.identity.voice import MEASURES
from talker_cli.model.built_in import built_in_head
from talker_cli.model.checkpoint import save_model
from talker_cli.model.config import COMPACT, WHISPER, ModelConfig
from talker_cli.model.folder import model_folder
from talker_cli.model.graph import export_student
from talker_cli.model.header import read_config
from talker_cli.model.loading import load_runner
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.onnx_runner import OnnxRunner
from talker_cli.model.torch_runner import TorchRunner
from talker_cli.rig import RigFile, save_rig

SHIPPED = model_folder("talker-base")
WITH = "import sys\n"
RUN = f"""
from talker_cli.cli.app import run
codes = [run(line.split()) for line in sys.stdin]
print(codes, [name for name in {TRAINING} if sys.modules.get(name)], file=sys.stderr)
"""


def commands(start: str, folder: Path, *lines: str) -> tuple[str, Sequence[str]]:
    """Run command lines in one new process; return "[exit codes] [training libraries it loaded]", and its other lines."""
    done = subprocess.run(
        [sys.executable, "-c", start + RUN], input="\n".join(lines), cwd=folder, capture_output=True, text=True, check=False
    )
    said = done.stderr.splitlines()
    return said[-1], said[:-1]


def student(folder: Path, head: RigFile, encoder: str = COMPACT) -> Path:
    """Write a model folder with a student of random weights that reads the measures of a voice; a graph of a compact one."""
    folder.mkdir()
    save_rig(folder / "rig.safetensors", head)
    config = ModelConfig(
        "student", file_hash(folder / "rig.safetensors"), head.rig.names, tuple(head.identities), fps=head.rig.fps,
        feature_width=12, encoder_dilations=(1,), width=12, denoiser_dilations=(1,), style_width=8, timesteps=(256,),
        voice_measures=MEASURES, audio_encoder=encoder, pretrained_width=0 if encoder == COMPACT else 16,
        pretrained_hash="" if encoder == COMPACT else "another",
    )  # fmt: skip
    torch.manual_seed(5)
    network = FaceDiffusion(config)
    assert network.personalizer.voice is not None
    with torch.no_grad():
        for parameter in network.personalizer.voice.parameters():
            parameter.normal_(0.0, 0.2)
    save_model(folder / "student.safetensors", network)
    if encoder == COMPACT:
        export_student(folder / "student.safetensors", folder / "student.onnx")
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips of a voice and one of noise."""
    sound = load_speech(SPEECH)
    write(tmp_path / "anna" / "one.wav", sound[:70_000])
    write(tmp_path / "anna" / "more" / "two.wav", sound[70_000:])
    write(tmp_path / "anna" / "noise.wav", np.random.default_rng(0).normal(scale=0.1, size=80_000))
    return tmp_path / "anna"


def numbers(content: object) -> list[float]:
    """Return all numbers in a record, in order."""
    if isinstance(content, dict | list):
        return [number for each in (content.values() if isinstance(content, dict) else content) for number in numbers(each)]
    return [content] if isinstance(content, float) else []


def others(content: object) -> object:
    """Return a record without its numbers."""
    if isinstance(content, dict):
        return {key: others(value) for key, value in content.items()}
    if isinstance(content, list):
        return [others(value) for value in content]
    return None if isinstance(content, float) else content


@pytest.mark.parametrize("kind", ["shipped", "measures"])
def test_both_runners_enroll_the_same_identity(invoke: Command, clips: Path, head: RigFile, tmp_path: Path, kind: str) -> None:
    """Breaks if a voice has another style, face or record by ONNX Runtime than by PyTorch."""
    model = SHIPPED if kind == "shipped" else student(tmp_path / "model", head)
    alone = tmp_path / "alone"  # without a graph, PyTorch runs it
    alone.mkdir()
    for name in ("rig.safetensors", "student.safetensors"):
        (alone / name).symlink_to(model / name)
    made: list[Enrolled] = []
    held = []
    for number, folder in enumerate((model, alone)):
        assert isinstance(Enroller(str(folder), "cpu").runner, (OnnxRunner, TorchRunner)[number])
        path = tmp_path / f"{number}.safetensors"
        ran = invoke("enroll", clips, "--name", "anna", "--model", folder, "--device", "cpu", "-o", path)
        assert ran.code == 0 and "left out noise.wav" in ran.err, ran.err
        made.append(load_identity(path))
        file = ArrayFile(path, "identity")
        held.append(({name: file.array(name).shape for name in file.names}, sorted(file.metadata)))
    one, other = made
    assert held[0] == held[1]
    assert np.abs(one.style - other.style).max() < 5e-6 < np.abs(one.style - one.style.mean()).max()
    assert (one.name, one.model, one.base_face) == (other.name, other.model, other.base_face)
    assert one.face is one.offset is other.face is other.offset is None
    assert others(one.record) == others(other.record)
    assert numbers(one.record) == pytest.approx(numbers(other.record), abs=1.1e-4) and len(numbers(one.record)) >= 8
    measures = read_config(model / "student.safetensors", "student").voice_measures
    assert (one.record["told"] is not None) == bool(measures) and (measures or kind == "shipped")


@pytest.mark.slow
@pytest.mark.parametrize("start", [LIGHT, WITH], ids=["without", "with"])
def test_sound_is_enrolled_without_training_libraries(invoke: Command, clips: Path, tmp_path: Path, start: str) -> None:
    """Breaks if a voice waits for PyTorch, needs it installed, or becomes another where it is not."""
    assert invoke("enroll", clips, "--library", tmp_path / "whole", "--device", "cpu").code == 0
    speech, library = clips / "one.wav", tmp_path / "light"
    last, said = commands(
        start, tmp_path, f"enroll {clips} --library {library}", f"identities refit anna --library {library}",
        f"animate {speech} -i anna --library {library} -o a.csv", f"animate {speech} -i auto --library {library} -o b.csv",
    )  # fmt: skip
    assert last == "[0, 0, 0, 0] []", said
    name = "anna.safetensors"
    assert (library / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()  # the nearest to a voice is its own


@pytest.mark.slow
def test_motion_needs_the_extra_and_a_fit_is_not_given_up(invoke: Command, clips: Path, tmp_path: Path) -> None:
    """Breaks if motion is passed over without a word, or a style that was fitted to it is replaced by one of the sound."""
    library, path = tmp_path / "library", tmp_path / "library" / "anna.safetensors"
    assert invoke("enroll", clips, "--library", library, "--device", "cpu").code == 0
    person = load_identity(path)
    fit = FitRecord(before=2e-5, after=1e-5, seconds=3.0, held_out=1.0, unseen=False, steps=20, offset=False, summary="fitted")
    person.record["fit"] = fit.model_dump(mode="json")
    save_identity(path, person)
    fitted = path.read_bytes()
    rig = built_in_head().rig
    write_csv(MotionClip(smooth(120), rig, rig.fps), clips / "one.csv")
    film = clips / "film.mp4"
    ffmpeg("-i", clips / "more" / "two.wav", "-f", "lavfi", "-i", "color=size=32x32", "-shortest", film)
    last, said = commands(
        LIGHT, tmp_path, f"identities refit anna --library {library}", f"enroll {clips / 'one.wav'} -o a.safetensors",
        f"enroll {film} -o b.safetensors --json",
    )  # fmt: skip
    assert last == "[2, 0, 0] []"
    missing = "found no torch; expected it to fit a style to motion; run: pip install 'talker-cli[{}]'"
    assert f"talker: {missing.format('train')}" in said and path.read_bytes() == fitted
    assert f"talker: motion not used: {missing.format('train')}" in said
    assert f"talker: motion not used: {missing.format('capture,train')}" in said
    for name in "ab":
        record = load_identity(tmp_path / f"{name}.safetensors").record
        assert record.get("fit") is None and record.get("captured") is None
    assert "Traceback" not in json.dumps(said)


def test_a_voice_needs_no_encoder_of_speech(clips: Path, head: RigFile, invoke: Command, tmp_path: Path) -> None:
    """Breaks if a voice cannot be enrolled for a model whose frozen encoder, which no style is read by, is elsewhere."""
    model = student(tmp_path / "model", head, WHISPER)
    with pytest.raises(ModelError, match="was trained with another audio encoder"):
        load_runner(model / "student.safetensors", "cpu")
    ran = invoke("enroll", clips, "--model", model, "--library", tmp_path / "library", "--device", "cpu")
    assert ran.code == 0 and "of the style" in ran.err, ran.err


def test_a_student_of_another_rig_is_refused(clips: Path, head: RigFile, invoke: Command, tmp_path: Path) -> None:
    """Breaks if a voice is enrolled for a model that cannot animate."""
    model = make_model(tmp_path / "model", head, 3)
    (model / "rig.safetensors").unlink()
    save_rig(model / "rig.safetensors", tiny_rig())
    line = invoke("enroll", clips, "--model", model, "--library", tmp_path / "library").mistake
    assert "was made for another rig.safetensors" in line
