"""A student's own audio encoder, as a distillation runs it."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Talker, run_command
from tiny import tiny_dataset

from talker_cli.data.dataset import Dataset
from talker_cli.errors import InputError, ModelError
from talker_cli.model.audio_encoder import CompactEncoder
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import Architecture, ModelConfig
from talker_cli.model.network import FaceDiffusion
from talker_cli.train.batches import ClipBank
from talker_cli.train.distill import DistillConfig, distill
from talker_cli.train.encoder import feature_error, feature_std, teacher_features
from talker_cli.train.rate import warmed_cosine
from talker_cli.train.run import Progress
from talker_cli.train.teacher import TrainConfig, train

NARROW = Architecture(feature_width=48, encoder_dilations=(1, 2), width=48, denoiser_dilations=(1, 2, 4))
BOTH = DistillConfig(
    steps=64, stage_steps=2, kept_stage_steps=2, batch_frames=128, validation_clips=0, save_every=1, encoder_width=16,
    encoder_steps=3,
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("without_charts")


class Stopped(Exception):
    """What a test throws where a run is killed."""


def ignore(progress: Progress) -> None:
    """Take no notice."""


def denoiser_of(network: FaceDiffusion) -> torch.Tensor:
    """Return the weights (N,) of a network's denoiser."""
    return torch.cat([value.flatten() for value in network.denoiser.state_dict().values()])


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


@pytest.mark.slow
def test_a_students_encoder_learns_the_teachers_features(dataset: Path, model: Path) -> None:
    """The error of the features on a held-out split falls to a tenth of the untrained encoder's, at a third of its width."""
    config = replace(BOTH, steps=128, encoder_steps=80, batch_frames=256, encoder_learning_rate=4e-3)
    last = []
    path = distill(model, dataset, config, device="cpu", on_progress=lambda progress: last.append(progress))
    student, original = load_model(path, "student"), load_model(model / "teacher.safetensors", "teacher")
    plain = {"temperature": 1.0, "upper_face_temperature": 1.0, "upper_face": (), "encoder_width": None}
    assert replace(student.config, kind="teacher", timesteps=(), **plain) == original.config
    assert {progress.stage: progress.step for progress in last} == {"encoder": 80, "256 to 128 steps": 2}
    assert set(last[0].losses) == {"features", "denoised"}
    assert last[79].losses["denoised"] < 0.5 * last[0].losses["denoised"]

    batch = ClipBank(Dataset(dataset), "test", original.config).batch(512, np.random.default_rng(0), augment=False)
    torch.manual_seed(0)
    with torch.no_grad():
        wanted = teacher_features(original, batch, batch.mel)
        std = feature_std(wanted)
        untrained = feature_error(CompactEncoder(student.config).eval()(batch.mel), wanted, std)
        trained = feature_error(student.encoder(batch.mel), wanted, std)
    assert trained < 0.1 * untrained, (float(trained), float(untrained))
    row = next(csv.DictReader((model / "run-student" / "curve.csv").open()))
    assert row["stage"] == "encoder" and row["step"] == "80"
    assert float(row["validation_features"]) < 0.1 * float(untrained)


@pytest.mark.slow
def test_a_narrower_encoder_makes_a_smaller_student_that_animates_alone(
    dataset: Path, model: Path, wav: Path, invoke: Talker
) -> None:
    """Breaks if the file lacks its encoder, or needs the teacher beside it; --encoder-steps needs an encoder to learn."""
    common = (model, dataset, "--steps", "8", "--stage-steps", "1", "--kept-stage-steps", "1", "--validation-clips", "0")
    small = (*common, "--batch-frames", "64", "--device", "cpu")
    assert "without --encoder-width" in invoke("distill", *small, "--encoder-steps", "1").mistake
    assert invoke("distill", *small).code == 0
    plain = (model / "student.safetensors").stat().st_size
    shutil.rmtree(model / "run-student")
    assert invoke("distill", *small, "--encoder-width", "16", "--encoder-steps", "1").code == 0
    narrow = (model / "student.safetensors").stat().st_size
    saved = sum(parameter.numel() for parameter in load_model(model / "teacher.safetensors", "teacher").encoder.parameters())
    saved -= sum(parameter.numel() for parameter in load_model(model / "student.safetensors", "student").encoder.parameters())
    assert saved > 0 and abs(plain - narrow - 2 * saved) < 1000  # two bytes a number, but for the header
    (model / "teacher.safetensors").unlink()
    out = model / "face.npy"
    assert invoke("animate", wav, "--model", model, "--identity", "Ada", "-o", out, "--device", "cpu").code == 0
    motion = np.load(out)
    assert motion.shape[1:] == (24, 3) and np.isfinite(motion).all()


@pytest.mark.slow
def test_a_stopped_run_with_both_ends_with_the_same_bytes(dataset: Path, model: Path, tmp_path: Path) -> None:
    """Stopped within the encoder's stage, and within a halving."""
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


@pytest.mark.slow
def test_an_encoder_is_taught_to_students_that_are_there(dataset: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if a kept denoiser changes, a stopped run ends otherwise, or an encoder that goes on begins anew."""
    small, further = tmp_path / "small", tmp_path / "further"
    for folder in (small, further):
        shutil.copytree(model, folder)
    distill(model, dataset, replace(BOTH, steps=4, stage_steps=1, kept_stage_steps=1, encoder_width=None), device="cpu",
            on_progress=ignore)  # fmt: skip
    config = replace(BOTH, denoiser_from=str(model))
    (small / "student-2.safetensors").write_bytes(b"of an earlier distillation")

    def kill(progress: Progress) -> None:
        if progress.step == 2:
            raise Stopped

    with pytest.raises(Stopped):
        distill(small, dataset, config, device="cpu", on_progress=kill)
    assert distill(small, dataset, config, device="cpu", on_progress=ignore) == small / "student.safetensors"
    assert [path.name for path in sorted(small.glob("student*"))] == ["student-4.safetensors", "student.safetensors"]
    again = replace(config, encoder_width=None, encoder_from=str(small), encoder_steps=1, encoder_learning_rate=1e-6)
    distill(further, dataset, again, device="cpu", on_progress=ignore)
    for name, steps in (("student.safetensors", 8), ("student-4.safetensors", 4)):
        lender, taught, more = (load_model(folder / name, "student") for folder in (model, small, further))
        assert (len(taught.config.timesteps), taught.config.encoder_width) == (steps, 16)
        for key, value in lender.denoiser.state_dict().items():
            assert torch.equal(taught.denoiser.state_dict()[key], value)
        assert all(torch.allclose(more.encoder.state_dict()[key], value, atol=2e-3)
                   for key, value in taught.encoder.state_dict().items())  # fmt: skip
    (small / "student-4.safetensors").unlink()
    shutil.rmtree(small / "run-student")
    before = (small / "student.safetensors").read_bytes()
    for _ in range(2):  # anew, and a run that has ended
        distill(small, dataset, config, device="cpu", on_progress=ignore)
        assert (small / "student.safetensors").read_bytes() == before
        (small / "student-4.safetensors").unlink()


@pytest.mark.slow
def test_halvings_go_on_below_students_that_are_there(dataset: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if they end otherwise than one distillation does: with an encoder of the students' own and without one."""
    config = replace(BOTH, steps=8, stage_steps=1, kept_stage_steps=2, encoder_steps=1)
    for width in (None, 16):
        whole, first, then, again = (tmp_path / f"{name}-{width}" for name in ("whole", "first", "then", "again"))
        for folder in (whole, first, then, again):
            shutil.copytree(model, folder)
        asked = replace(config, encoder_width=width)
        distill(whole, dataset, replace(asked, steps=2), device="cpu", on_progress=ignore)
        distill(first, dataset, asked, device="cpu", on_progress=ignore)
        seen: list[str] = []

        def kill(progress: Progress, seen: list[str] = seen) -> None:
            seen.append(progress.stage)
            if seen.count("4 to 2 steps") == 1:
                raise Stopped

        further = replace(asked, steps=2, denoiser_from=str(first))
        with pytest.raises(Stopped):
            distill(then, dataset, further, device="cpu", on_progress=kill)
        for folder in (then, again):
            assert distill(folder, dataset, further, device="cpu", on_progress=kill) == folder / "student-2.safetensors"
        assert seen == 2 * (["encoder"] * (width is not None) + ["8 to 4 steps"] * 2 + ["4 to 2 steps"] * 2)
        assert (then / "student.safetensors").read_bytes() == (whole / "student.safetensors").read_bytes()
        assert (then / "student-2.safetensors").read_bytes() == (again / "student-2.safetensors").read_bytes()
        # The students that are there are float16, those of one distillation float32 until they are saved.
        eight, four, goes_on = (
            denoiser_of(load_model(path, "student"))
            for path in (whole / "student.safetensors", whole / "student-4.safetensors", then / "student-4.safetensors")
        )
        assert (goes_on - four).norm() < 0.2 * (four - eight).norm()
        for name in ("student.safetensors", "student-2.safetensors"):  # of a run that has ended
            (then / name).unlink()
        distill(then, dataset, further, device="cpu", on_progress=kill)
        for name in ("student.safetensors", "student-4.safetensors", "student-2.safetensors"):
            assert (then / name).read_bytes() == (again / name).read_bytes(), name


@pytest.mark.slow
def test_a_student_is_halved_as_if_its_teacher_had_its_encoder(dataset: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if targets are made of features that the student does not read."""
    shutil.copytree(model, tmp_path / "same")
    config = replace(BOTH, encoder_width=NARROW.feature_width)
    teacher = load_model(tmp_path / "same" / "teacher.safetensors", "teacher")
    before = denoiser_of(teacher)
    student = load_model(distill(model, dataset, config, device="cpu", on_progress=ignore), "student")
    teacher.encoder.load_state_dict(student.encoder.state_dict())
    save_model(tmp_path / "same" / "teacher.safetensors", teacher)
    without = replace(config, encoder_width=None)
    same = load_model(distill(tmp_path / "same", dataset, without, device="cpu", on_progress=ignore), "student")
    own = denoiser_of(student)
    # The encoder is float16 in the file, float32 in the run that learned it.
    assert (denoiser_of(same) - own).norm() < 0.1 * (own - before).norm()


@pytest.mark.slow
def test_a_students_encoder_learns_phones(dataset: Path, tmp_path: Path) -> None:
    """Breaks if the posteriors are not those of the crop, or if the layer that reads them off does not learn or is kept."""
    folder = tmp_path / "model"
    architecture = replace(NARROW, audio_encoder="whisper")
    short = TrainConfig(steps=1, batch_frames=64, warmup=1, model=architecture)
    train(dataset, folder, short, device="cpu", on_progress=ignore)
    losses: list[dict[str, float]] = []
    config = replace(BOTH, steps=128, stage_steps=1, kept_stage_steps=1, encoder_steps=20, encoder_learning_rate=1e-2)
    path = distill(folder, dataset, config, device="cpu", on_progress=lambda progress: losses.append(progress.losses))
    learned = [each["phones"] for each in losses if "phones" in each]
    last = learned[-2] + (learned[-1] - learned[-2]) / 0.02  # without the smoothing
    assert len(learned) == 20 and last < 0.5 * learned[0], learned
    assert not [name for name in load_model(path, "student").state_dict() if "reader" in name]


@pytest.mark.slow
def test_what_cannot_be_kept_is_refused(dataset: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if a denoiser of another teacher, or an encoder of other features, is taken and makes noise."""
    other = tmp_path / "other"
    config = TrainConfig(steps=1, batch_frames=128, warmup=1, validate_every=1000, save_every=1000, model=NARROW, seed=1)
    train(dataset, other, replace(config, model=replace(NARROW, feature_width=32)), device="cpu", on_progress=ignore)
    shutil.copytree(model, tmp_path / "same")
    for folder in (other, tmp_path / "same"):
        distill(folder, dataset, replace(BOTH, steps=128, encoder_steps=1), device="cpu", on_progress=ignore)
    there = {"denoiser_from": str(tmp_path / "same"), "encoder_width": None}
    for changes, expected in (
        ({"denoiser_from": str(other)}, "no students of the teacher"),
        ({"denoiser_from": str(model)}, "expected another model's"),
        ({**there, "steps": 128}, "students down to 128 steps and nothing to learn"),
        ({"encoder_from": str(other), "encoder_width": None}, "expected a compact one that makes 48 numbers a frame"),
    ):
        with pytest.raises((InputError, ModelError), match=expected):
            distill(model, dataset, replace(BOTH, **changes), device="cpu", on_progress=ignore)


@pytest.mark.slow
def test_a_distillation_killed_outright_resumes_to_the_same_weights(dataset: Path, model: Path, tmp_path: Path) -> None:
    """kill -9 at an unknown moment after the encoder's stage."""
    shutil.copytree(model, tmp_path / "whole")
    arguments = (
        dataset, "--steps", 64, "--stage-steps", 10, "--kept-stage-steps", 10, "--encoder-width", 16, "--encoder-steps", 5,
        "--validation-clips", 0, "--batch-frames", 64, "--device", "cpu",
    )  # fmt: skip
    command = [sys.executable, "-m", "talker_cli", "distill", *map(str, (model, *arguments))]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 240
        while not (model / "run-student" / "state.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    assert not (model / "student.safetensors").exists()
    for folder in (model, tmp_path / "whole"):
        assert run_command("distill", folder, *arguments).code == 0
    for name in ("student.safetensors", "run-student/state.safetensors"):
        assert (model / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.slow
def test_weights_are_saved_again_to_the_same_bytes(teacher: Path, tmp_path: Path) -> None:
    """Breaks if a config or tensor changes in a round trip, or if a narrow encoder's features have another width."""
    network = load_model(teacher / "teacher.safetensors", "teacher")
    save_model(tmp_path / "again.safetensors", network)
    assert (tmp_path / "again.safetensors").read_bytes() == (teacher / "teacher.safetensors").read_bytes()
    same = FaceDiffusion(replace(network.config, encoder_width=network.config.feature_width))
    same.load_state_dict(network.state_dict())
    narrow = replace(network.config, encoder_width=8)
    assert ModelConfig.from_json(narrow.to_json()) == narrow
    assert FaceDiffusion(narrow).encoder(torch.zeros(1, 4 * 6, 80)).shape == (1, 6, NARROW.feature_width)


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [warmed_cosine(step, 100, 5, 1.0) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0]) and rates[5] == 1.0
    assert sorted(rates[5:], reverse=True) == rates[5:] and rates[-1] < 0.012


@pytest.mark.parametrize("wrong", [{"encoder_width": 0}, {"encoder_steps": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        replace(BOTH, **wrong)  # type: ignore[arg-type]
