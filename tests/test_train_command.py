"""Training as a researcher runs it: settings as TOML, the curve's picture, previews, TensorBoard, two processes."""

import csv
import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Talker, streams
from PIL import Image
from tiny import SMALL, tiny_dataset

from talker_cli.animate.animator import Animator
from talker_cli.corpus.articulate.eyes import NAMES, WIDE
from talker_cli.data.dataset import Dataset
from talker_cli.errors import InputError
from talker_cli.model.checkpoint import load_model
from talker_cli.model.config import Architecture
from talker_cli.model.device import has_bf16
from talker_cli.model.header import read_config
from talker_cli.model.torch_runner import TorchRunner
from talker_cli.train.run import Progress
from talker_cli.train.settings import changed, format_toml, parse_assignments, tables_of
from talker_cli.train.teacher import TrainConfig, train

NARROW = Architecture(feature_width=32, encoder_dilations=(1, 2), width=48, denoiser_dilations=(1, 2, 4))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("tiny") / "prepared")


def ignore(progress: Progress) -> None:
    """Take no notice."""


def test_every_setting_survives_being_written_and_read() -> None:
    """Breaks if a type of field, or a character, does not come back from TOML as it was."""
    config = TrainConfig(start='a "b"\\\n\x7f\tü', learning_rate=1e-05, bf16=True, model=NARROW)
    tables = tables_of(config, "train")
    assert set(tables) == {"train", "loss", "model"}
    assert sum(len(table) for table in tables.values()) == len(asdict(config)) - 2 + len(asdict(config.loss)) + len(
        asdict(NARROW)
    )
    assert changed(TrainConfig(), "train", tomllib.loads(format_toml(tables)), "here") == config


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("train.stepps=3", "--set: found train.stepps; expected one of steps, batch_frames"),
        ("los.gap=3", "--set: found los.gap; expected one of the tables train, loss, model"),
        ("train.steps=3.5", "found train.steps = 3.5; expected a whole number"),
        ("train.steps=many", "found train.steps = many; expected a whole number"),
        ("train.steps=0", "found steps = 0; expected 1 or more"),
        ("train.bf16=1", "found train.bf16 = 1; expected true or false"),
        ("loss.gap=inf", "found loss.gap = inf; expected a number"),
        ("model.encoder_dilations=[1, 2.5]", "expected whole numbers, as [1, 2, 4]"),
        ("model.encoder_dilations=[]", "found encoder_dilations = (); expected 1 or more"),
        ("model.prediction=eps", "found prediction = eps; expected v or x0"),
        ("steps=3", "expected TABLE.FIELD=VALUE"),
    ],
)
def test_wrong_settings_get_one_line(text: str, found: str) -> None:
    """Breaks if a mistyped setting is silently another run."""
    with pytest.raises(InputError) as caught:
        changed(TrainConfig(), "train", parse_assignments([text], TrainConfig(), "train"), "--set")
    assert found in str(caught.value)


@pytest.mark.slow
def test_a_student_of_another_teacher_is_told_of(dataset: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if whoever trains anew animates with the old student and never hears of it."""
    train_it, says = ("train", dataset, "-o", "model", *SMALL, "--steps", 2), "was distilled from another teacher"
    halve = ("--stage-steps", 1, "--kept-stage-steps", 1, "--validation-clips", 0, "--batch-frames", 64, "--device", "cpu")
    assert invoke(*train_it).code == 0 and invoke("distill", "model", dataset, *halve).code == 0
    assert says not in invoke(*train_it).err
    shutil.rmtree(tmp_path / "model" / "run-teacher")
    assert says in invoke(*train_it, "--seed", 1).err


@pytest.mark.slow
def test_a_run_is_repeated_by_its_own_settings(dataset: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if run.toml lacks a setting that the weights depend on, or if --help names other defaults than the program's."""
    arguments = (*SMALL, "--set", "loss.velocity=0.9", "--steps", 3, "--seed", 5)
    invoke("train", dataset, "-o", tmp_path / "one", *arguments, "--set", "model.prediction=x0")
    settings = tmp_path / "one" / "run-teacher" / "run.toml"
    content = tomllib.loads(settings.read_text())
    assert content["dataset"] == str(dataset) and content["train"]["seed"] == 5 and content["loss"]["velocity"] == 0.9
    assert read_config(tmp_path / "one" / "teacher.safetensors", "teacher").prediction == "x0"
    invoke("train", "--config", settings, "-o", tmp_path / "two", "--device", "cpu")
    for name in ("teacher.safetensors", "run-teacher/run.toml", "run-teacher/curve.csv"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes(), name
    refused = invoke("train", "--config", settings, "-o", tmp_path / "two", "--set", "loss.gap=0.1", "--seed", 6).mistake
    assert "holds a run with other settings (loss.gap, train.seed differ)" in refused
    assert "leave one of them out" in invoke("train", "--config", settings, "--seed", 6, "--set", "train.seed=7").mistake
    assert "found no folder to write" in invoke("train", dataset).mistake
    assert "found no dataset" in invoke("train", "-o", tmp_path / "three").mistake
    with Image.open(settings.with_name("curve.png")) as picture:
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 20  # axes, text, and lines in two colours
    shown = invoke("train", "--help").out
    for value in (TrainConfig().steps, TrainConfig().batch_frames, TrainConfig().learning_rate, TrainConfig().save_every):
        assert str(value) in shown


@pytest.mark.slow
def test_bfloat16_is_used_where_the_processor_has_it(dataset: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a processor without bfloat16 takes 15 times as long for it, or if nothing says that float32 was used."""
    arguments = ("train", dataset, *SMALL, "--steps", 2)
    half = invoke(*arguments, "-o", "half", "--bf16").err
    invoke(*arguments, "-o", "full")
    same = (tmp_path / "half" / "teacher.safetensors").read_bytes() == (tmp_path / "full" / "teacher.safetensors").read_bytes()
    says = "this processor has no bfloat16; float32 is used" in half
    assert says == same == (not has_bf16(torch.device("cpu")))


@pytest.mark.slow
def test_two_processes_train_as_one(dataset: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a loss is a mean over a process's part alone, or if a style is told apart from that part's others alone."""
    arguments = (*SMALL, "--steps", 4, "--set", "train.dropout=0.0", "--set", "train.validate_every=1")
    invoke("train", dataset, "-o", tmp_path / "one", *arguments)
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "talker_cli")
    command = [str(each) for each in (*launcher, "train", dataset, "-o", tmp_path / "two", *arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "two" / "teacher.safetensors")]
    curves = [list(csv.DictReader((tmp_path / name / "run-teacher" / "curve.csv").open())) for name in ("one", "two")]
    assert {"diffusion", "regression", "phones", "contrastive", "total"} <= curves[0][0].keys()
    for one, two in zip(*curves, strict=True):
        for name in one.keys() - {"stage"}:
            if not one[name]:  # no clip of a known voice was in a batch yet
                assert not two[name], (one["step"], name)
                continue
            assert float(two[name]) == pytest.approx(float(one[name]), rel=1e-5, abs=2e-5), (one["step"], name)
    networks = [load_model(tmp_path / name / "teacher.safetensors", "teacher") for name in ("one", "two")]
    for (name, one), two in zip(networks[0].state_dict().items(), networks[1].state_dict().values(), strict=True):
        assert torch.allclose(one, two, atol=1e-4), (name, float((one - two).abs().max()))


@pytest.mark.slow
def test_previews_are_films_and_change_nothing(dataset: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if looking at a training changes its weights, or if the film lacks the truth or the sound."""
    for name, more in (("plain", ()), ("shown", ("--preview-every", 2))):
        invoke("train", dataset, "-o", tmp_path / name, *SMALL, "--steps", 3, *more)
    films = sorted((tmp_path / "shown" / "run-teacher" / "previews").iterdir())
    assert [film.name for film in films] == ["step-000002.mp4", "step-000003.mp4"]
    assert "512x256" in streams(films[0]) and "Audio: aac" in streams(films[0])
    assert (tmp_path / "shown" / "teacher.safetensors").read_bytes() == (
        tmp_path / "plain" / "teacher.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_tensorboard_gets_every_step(dataset: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if --log-with writes nothing that TensorBoard reads, or other numbers than the training's."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    invoke("train", dataset, "-o", tmp_path / "logged", *SMALL, "--steps", 3, "--log-with", "tensorboard")
    events = accumulator.EventAccumulator(str(tmp_path / "logged" / "run-teacher" / "tensorboard"))
    events.Reload()
    assert {"diffusion", "total", "learning_rate", "validation"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("total")] == [1, 2, 3]


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="tensorboard is installed")
def test_a_missing_tensorboard_is_one_line(dataset: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a long training would fail at its first step, or log nothing without a word."""
    refused = invoke("train", dataset, "-o", tmp_path / "logged", *SMALL, "--log-with", "tensorboard").mistake
    assert "pip install 'talker-cli[tensorboard]'" in refused
    assert not (tmp_path / "logged").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("prediction", "steps"), [("v", 150), ("x0", 80)])
def test_both_predictions_train_and_sample(dataset: Path, tmp_path: Path, prediction: str, steps: int) -> None:
    """Breaks if a network that predicts x0 is trained towards, or sampled as if it predicted, something else."""
    config = TrainConfig(
        steps=steps, batch_frames=256, warmup=20, learning_rate=4e-3, ema=0.97, condition_dropout=0.0, save_every=1000,
        model=replace(NARROW, prediction=prediction),
    )  # fmt: skip
    network = load_model(train(dataset, tmp_path, config, device="cpu", on_progress=ignore), "teacher")
    data = Dataset(dataset)
    clip = data.clips("validation")[0]
    truth = data.coefficients(clip.name)
    animator = Animator(TorchRunner(network, torch.device("cpu")), 8)
    made = animator.coefficients(data.speech(clip.recording), clip.identity)[: len(truth)]
    own = [name not in (*NAMES, *WIDE) for name in network.config.names]  # the eyes are not the network's
    error = np.sqrt(np.square(made - truth[: len(made)])[:, own].mean())
    rest = np.sqrt(np.square(network.mean.numpy() - truth)[:, own].mean())
    assert error < 0.6 * rest, (error, rest)
