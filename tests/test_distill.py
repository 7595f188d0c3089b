"""A student's own audio encoder, and the enhancer of its manner, as a distillation runs them."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Talker
from tiny import IDENTITIES, tiny_dataset, tiny_rig

from talker_cli.data.dataset import Dataset
from talker_cli.errors import InputError
from talker_cli.formats.files import ArrayFile
from talker_cli.model.audio_encoder import CompactEncoder
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import Architecture, ModelConfig
from talker_cli.model.network import FaceDiffusion
from talker_cli.rig import ARKIT_NAMES, Rig
from talker_cli.train.batches import ClipBank
from talker_cli.train.distill import DistillConfig, distill
from talker_cli.train.encoder import feature_deviation, feature_error, teacher_features
from talker_cli.train.enhancer import Enhancer, upper_face_directions
from talker_cli.train.rate import warmed_cosine
from talker_cli.train.run import Progress
from talker_cli.train.teacher import TrainConfig, train

NARROW = Architecture(feature_width=48, encoder_dilations=(1, 2), width=48, denoiser_dilations=(1, 2, 4))
BOTH = DistillConfig(
    steps=64, stage_steps=2, kept_stage_steps=2, batch_frames=128, validation_clips=0, save_every=1, encoder_width=16,
    encoder_steps=3, enhancer=0.05,
)  # fmt: skip


class Stopped(Exception):
    """What a test throws where a run is killed."""


def ignore(progress: Progress) -> None:
    """Take no notice."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("manners") / "prepared", manners=True)


@pytest.fixture(scope="module")
def teacher(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a small teacher alone."""
    folder = tmp_path_factory.mktemp("teacher") / "model"
    config = TrainConfig(steps=40, batch_frames=256, warmup=5, validate_every=1000, save_every=1000, model=NARROW)
    train(dataset, folder, config, device="cpu", on_progress=ignore)
    shutil.rmtree(folder / "run-teacher")
    return folder


@pytest.fixture
def model(teacher: Path, tmp_path: Path) -> Path:
    """A copy of it to distil."""
    shutil.copytree(teacher, tmp_path / "model")
    return tmp_path / "model"


def test_a_students_encoder_learns_the_teachers_features(dataset: Path, model: Path) -> None:
    """The error of the features on a held-out split falls to a tenth of the untrained encoder's, at a third of its width."""
    config = replace(BOTH, steps=128, encoder_steps=80, batch_frames=256, enhancer=0.0, encoder_learning_rate=4e-3)
    last = []
    path = distill(model, dataset, config, device="cpu", on_progress=lambda progress: last.append(progress))
    student, original = load_model(path, "student"), load_model(model / "teacher.safetensors", "teacher")
    plain = {"noise_scale": 1.0, "upper_noise_scale": 1.0, "upper_face": (), "encoder_width": None}
    assert replace(student.config, kind="teacher", timesteps=(), **plain) == original.config
    assert {progress.stage: progress.step for progress in last} == {"encoder": 80, "256 to 128 steps": 2}
    assert set(last[0].losses) == {"features", "denoised"}
    assert last[79].losses["denoised"] < 0.5 * last[0].losses["denoised"]

    batch = ClipBank(Dataset(dataset), "test", original.config).batch(512, np.random.default_rng(0), augment=False)
    torch.manual_seed(0)
    with torch.no_grad():
        wanted = teacher_features(original, batch, batch.mel)
        deviation = feature_deviation(wanted)
        untrained = feature_error(CompactEncoder(student.config).eval()(batch.mel), wanted, deviation)
        trained = feature_error(student.encoder(batch.mel), wanted, deviation)
    assert trained < 0.1 * untrained, (float(trained), float(untrained))
    row = next(csv.DictReader((model / "run-student" / "curve.csv").open()))
    assert row["stage"] == "encoder" and row["step"] == "80"
    assert float(row["validation_features"]) < 0.1 * float(untrained)


def test_a_narrower_encoder_makes_a_smaller_student_that_animates_alone(
    dataset: Path, model: Path, wav: Path, talker: Talker
) -> None:
    """Breaks if the file lacks its encoder, or needs the teacher beside it; --encoder-steps needs an encoder to learn."""
    common = (model, dataset, "--steps", "8", "--stage-steps", "1", "--kept-stage-steps", "1", "--validation-clips", "0")
    small = (*common, "--batch-frames", "64", "--device", "cpu")
    assert "without --encoder-width" in talker("distill", *small, "--encoder-steps", "1").mistake
    assert talker("distill", *small).code == 0
    plain = (model / "student.safetensors").stat().st_size
    shutil.rmtree(model / "run-student")
    assert talker("distill", *small, "--encoder-width", "16", "--encoder-steps", "1").code == 0
    narrow = (model / "student.safetensors").stat().st_size
    saved = sum(parameter.numel() for parameter in load_model(model / "teacher.safetensors", "teacher").encoder.parameters())
    saved -= sum(parameter.numel() for parameter in load_model(model / "student.safetensors", "student").encoder.parameters())
    assert saved > 0 and abs(plain - narrow - 2 * saved) < 1000  # two bytes a number, but for the header
    (model / "teacher.safetensors").unlink()
    out = model / "face.npy"
    assert talker("animate", wav, "--model", model, "--identity", "Ada", "-o", out, "--device", "cpu").code == 0
    motion = np.load(out)
    assert motion.shape[1:] == (24, 3) and np.isfinite(motion).all()


def test_a_stopped_run_with_both_ends_with_the_same_bytes(dataset: Path, model: Path, tmp_path: Path) -> None:
    """Stopped within the encoder's stage, and within a halving, where the enhancer's reader has its own state."""
    shutil.copytree(model, tmp_path / "whole")
    distill(tmp_path / "whole", dataset, BOTH, device="cpu", on_progress=ignore)
    seen: list[tuple[str, int]] = []

    def kill(progress: Progress) -> None:
        seen.append((progress.stage, progress.step))
        if len(seen) in (2, 4):
            raise Stopped

    for _ in range(2):
        with pytest.raises(Stopped):
            distill(model, dataset, BOTH, device="cpu", on_progress=kill)
    distill(model, dataset, BOTH, device="cpu", on_progress=kill)
    halvings = [("256 to 128 steps", 1), ("256 to 128 steps", 2), ("128 to 64 steps", 1), ("128 to 64 steps", 2)]
    assert seen == [("encoder", 1), ("encoder", 2), ("encoder", 3), *halvings]
    for name in ("student.safetensors", "run-student/state.safetensors"):
        assert (model / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_distillation_killed_outright_resumes_to_the_same_weights(dataset: Path, model: Path, tmp_path: Path) -> None:
    """kill -9 at an unknown moment after the encoder's stage."""
    shutil.copytree(model, tmp_path / "whole")
    arguments = (
        dataset, "--steps", 64, "--stage-steps", 10, "--kept-stage-steps", 10, "--encoder-width", 16, "--encoder-steps", 5,
        "--enhancer", 0.05, "--validation-clips", 0, "--batch-frames", 128, "--device", "cpu",
    )  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def command(folder: Path) -> list[str]:
        return [sys.executable, "-m", "talker_cli", "distill", *map(str, (folder, *arguments))]

    with subprocess.Popen(command(model), stderr=subprocess.DEVNULL, env=environment) as process:
        deadline = time.monotonic() + 240
        while not (model / "run-student" / "state.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    assert not (model / "student.safetensors").exists()
    for folder in (model, tmp_path / "whole"):
        subprocess.run(command(folder), check=True, env=environment, stderr=subprocess.DEVNULL)
    for name in ("student.safetensors", "run-student/state.safetensors"):
        assert (model / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_run_begun_before_there_were_these_options_goes_on(dataset: Path, model: Path) -> None:
    """Its settings, and the number of its stage, and what its state holds, mean what they meant."""
    config = replace(BOTH, encoder_width=None, enhancer=0.0, encoder_steps=7)
    first: list[Progress] = []

    def kill(progress: Progress) -> None:
        first.append(progress)
        if len(first) == 4:
            raise Stopped

    with pytest.raises(Stopped):
        distill(model, dataset, config, device="cpu", on_progress=kill)
    written = tomllib.loads((model / "run-student" / "run.toml").read_text())
    assert set(written) == {
        "dataset", "teacher", "steps", "stage_steps", "kept_stage_steps", "batch_frames", "learning_rate", "noise_scale",
        "upper_noise_scale", "ema",
        "bf16", "seed", "save_every",
    }  # fmt: skip
    state = ArrayFile(model / "run-student" / "state.safetensors", "training state")
    assert state.metadata["stage"] == 1 and {name.split("/")[0] for name in state.names} == {
        "teacher", "student", "average", "optimizer",
    }  # fmt: skip
    assert set(first[0].losses) == {"distillation"}


def test_weights_without_an_own_encoder_keep_their_bytes(teacher: Path, tmp_path: Path) -> None:
    """Breaks if a new field shows in files that do not use it, or if an encoder of the features' own width differs."""
    network = load_model(teacher / "teacher.safetensors", "teacher")
    save_model(tmp_path / "again.safetensors", network)
    assert (tmp_path / "again.safetensors").read_bytes() == (teacher / "teacher.safetensors").read_bytes()
    assert b"encoder_width" not in (teacher / "teacher.safetensors").read_bytes()
    same = FaceDiffusion(replace(network.config, encoder_width=network.config.feature_width))
    same.load_state_dict(network.state_dict())
    narrow = replace(network.config, encoder_width=8)
    assert ModelConfig.from_json(narrow.to_json()) == narrow
    assert FaceDiffusion(narrow).encoder(torch.zeros(1, 4 * 6, 80)).shape == (1, 6, NARROW.feature_width)


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [warmed_cosine(step, 100, 5, 1.0) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0]) and rates[5] == 1.0
    assert sorted(rates[5:], reverse=True) == rates[5:] and rates[-1] < 0.012


@pytest.mark.parametrize("wrong", [{"encoder_width": 0}, {"encoder_steps": 0}, {"enhancer": -0.1}])
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        replace(BOTH, **wrong)  # type: ignore[arg-type]


def test_the_enhancers_reader_learns_to_tell_manners_apart(dataset: Path, model: Path) -> None:
    """From chance to nearly all identities of held-out motion, which says nothing of them but by blinks and brows."""
    config = replace(BOTH, steps=128, kept_stage_steps=200, batch_frames=512, encoder_width=None,
                     learning_rate=5e-3, save_every=1000)  # fmt: skip
    seen: list[dict[str, float]] = []
    distill(model, dataset, config, device="cpu", on_progress=lambda progress: seen.append(progress.losses))
    teacher = load_model(model / "teacher.safetensors", "teacher")
    file = ArrayFile(model / "run-student" / "state.safetensors", "training state")
    arrays = {name.removeprefix("enhancer/"): file.array(name) for name in file.names if name.startswith("enhancer/")}
    reader = Enhancer(arrays["directions"], teacher.config.style_width)
    before = top_1(reader, teacher, dataset)
    reader.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    after = top_1(reader, teacher, dataset)
    assert before < 0.6 and after > 0.95, (before, after)
    assert seen[-1]["enhancer"] < 0.8 * seen[0]["enhancer"]  # the student shows them as its target does
    assert not any("enhancer" in name for name in ArrayFile(model / "student.safetensors", "model").names)


@torch.no_grad()
def top_1(reader: Enhancer, teacher: FaceDiffusion, dataset: Path) -> float:
    """Return the share of crops from the held-out splits whose identity has the style nearest to what is read off them."""
    hits = []
    for split in ("validation", "test"):
        batch = ClipBank(Dataset(dataset), split, teacher.config).batch(2048, np.random.default_rng(1), augment=False)
        style = reader(teacher.normalise(batch.coefficients))
        hits.append((teacher.personalizer.similarity(style).argmax(-1) == batch.identity).float())
    return float(torch.cat(hits).mean())


def test_the_enhancer_teaches_the_student_without_learning_from_it() -> None:
    """Breaks if the reader gets a gradient of the student's motion: the two would agree on marks that nobody sees."""
    torch.manual_seed(0)
    config = ModelConfig("teacher", "", ARKIT_NAMES, IDENTITIES)
    personalizer = FaceDiffusion(config).personalizer.requires_grad_(False)
    reader = Enhancer(upper_face_directions(tiny_rig().rig, np.ones(52, np.float32)), config.style_width)
    predicted, identity = torch.randn(8, 30, 52, requires_grad=True), torch.arange(8) % 4
    shown, own = reader.losses(predicted, predicted, personalizer, identity)
    assert shown.item() == own.item()  # the same reader of the same motion
    shown.backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None and predicted.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in reader.parameters())
    predicted.grad = None
    own.backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is None and all(parameter.grad is not None for parameter in reader.parameters())


def test_the_enhancer_reads_the_upper_face_of_the_head(rig: Rig) -> None:
    """Breaks if it reads the mouth, where speech tells everything and manner little."""
    directions = upper_face_directions(rig, np.ones(len(rig.names), np.float32))
    assert np.allclose(directions.T @ directions, np.eye(directions.shape[1]), atol=1e-5)
    power = dict(zip(rig.names, np.square(directions).sum(1), strict=True))
    upper = sum(value for name, value in power.items() if name.startswith(("brow", "eye", "cheekSquint", "noseSneer")))
    assert upper > 0.95 * sum(power.values()), sorted(power.items(), key=lambda item: -item[1])
    assert all(power[name] > 0.5 for name in ("browInnerUp", "browDownLeft", "eyeBlinkLeft", "eyeBlinkRight"))
    still = replace(rig, regions={**rig.regions, "upper_face": np.zeros(len(rig.template), bool)})
    with pytest.raises(InputError, match="leave out --enhancer"):
        upper_face_directions(still, np.ones(len(rig.names), np.float32))
