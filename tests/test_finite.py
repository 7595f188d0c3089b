"""Numbers that are not finite, and weights files that do not hold what they say: nothing is written, one line says why."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from test_model import small_network
from tiny import tiny_dataset

from talker_cli.errors import InputError, MachineError, ModelError
from talker_cli.formats.files import ArrayFile, write_arrays
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import Architecture, ModelConfig
from talker_cli.model.header import read_config
from talker_cli.train.distill import DistillConfig, distill
from talker_cli.train.losses import LossWeights
from talker_cli.train.run import check_finite
from talker_cli.train.teacher import TrainConfig, train

NARROW = Architecture(feature_width=12, encoder_dilations=(1,), width=12, denoiser_dilations=(1,))
SHORT = TrainConfig(steps=30, batch_frames=64, warmup=0, save_every=1000, validate_every=1000, model=NARROW)
STAGES = DistillConfig(steps=128, kept_stage_steps=4, batch_frames=64, validation_clips=0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("tiny") / "prepared")


def ignore(progress: object) -> None:
    """Take no notice."""


def test_a_training_that_diverges_stops_and_writes_no_weights(dataset: Path, tmp_path: Path) -> None:
    """Breaks if a loss of NaN ends in a teacher of NaN and exit code 0."""
    with pytest.raises(InputError, match=r"training diverged at step \d+ of 30: the .* is (nan|inf); .* lower learning rate"):
        train(dataset, tmp_path, replace(SHORT, learning_rate=1e12), device="cpu", on_progress=ignore)
    assert not (tmp_path / "teacher.safetensors").exists()


@pytest.mark.slow
def test_a_distillation_that_diverges_stops_and_writes_no_weights(dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path, replace(SHORT, steps=1), device="cpu", on_progress=ignore)
    with pytest.raises(InputError, match=r"diverged at step \d of 4 \(256 to 128 steps\).*state.safetensors|diverged at step"):
        distill(tmp_path, dataset, replace(STAGES, learning_rate=1e30), device="cpu", on_progress=ignore)
    assert not list(tmp_path.glob("student*"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_each_loss_and_the_gradient_are_checked(bad: float, tmp_path: Path) -> None:
    """Breaks if one loss, or the gradient alone, may be NaN without a word; names step, loss and the state to go on from."""
    state = tmp_path / "state.safetensors"
    state.write_bytes(b"")
    check_finite("step 3 of 9", {"diffusion": 1.0, "total": 2.0}, 3.0, state)
    with pytest.raises(InputError, match=rf"step 3 of 9: the loss 'phones' is {bad}.*{state}"):
        check_finite("step 3 of 9", {"diffusion": 1.0, "phones": bad}, 3.0, state)
    with pytest.raises(InputError, match=f"step 3 of 9: the norm of the gradients is {bad}"):
        check_finite("step 3 of 9", {"diffusion": 1.0}, bad, state)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("config", "name"),
    [(SHORT, name) for name in ("learning_rate", "weight_decay", "ema", "dropout", "guidance_scale")]
    + [(STAGES, name) for name in ("learning_rate", "guidance_scale", "ema", "encoder_learning_rate")]
    + [(LossWeights(), name) for name in ("surface", "gap", "velocity", "contrastive")],
)
def test_settings_are_finite(config: Any, name: str, bad: float) -> None:
    with pytest.raises(InputError, match=f"found {name} = {bad}; expected"):
        replace(config, **{name: bad})


def test_distillation_is_refused_on_several_processes(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if N processes under torchrun write one state and one student."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MachineError, match="distillation runs in one process"):
        distill(tmp_path, dataset, STAGES, device="cpu", on_progress=ignore)


def test_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path: Path) -> None:
    network, path = small_network(), tmp_path / "teacher.safetensors"
    save_model(path, network)
    whole = path.read_bytes()
    for bad in (float("nan"), float("inf")):
        network.denoiser.motion_out.bias.data[3] = bad
        with pytest.raises(ModelError, match=r"NaN or infinity in 'denoiser.motion_out.bias'"):
            save_model(path, network)
        assert path.read_bytes() == whole
        arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        write_arrays(tmp_path / "bad.safetensors", arrays, {"kind": "model", "config": network.config.to_json()})
        with pytest.raises(ModelError, match=r"NaN or infinity in 'denoiser.motion_out.bias'"):
            load_model(tmp_path / "bad.safetensors", "teacher")
    student = small_network("student", timesteps=(256, 128))
    student.denoiser.motion_out.bias.data[3] = 70_000.0  # beyond half precision
    with pytest.raises(ModelError, match="NaN or infinity"):
        save_model(tmp_path / "student.safetensors", student)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda tensor: tensor[..., :-1].contiguous(), "is damaged"),
        (lambda tensor: tensor.bfloat16(), "is damaged"),
        (lambda tensor: tensor.double(), "expected float16 or float32"),
        (lambda tensor: tensor.int(), "expected float16 or float32"),
        (lambda tensor: torch.zeros(()), "is damaged"),
        (None, "lacks the array"),
    ],
)
@pytest.mark.parametrize("name", ["mean", "denoiser.blocks.0.conv.taps.weight", "personalizer.table"])
def test_tensors_of_another_shape_or_type_are_refused(tmp_path: Path, name: str, change: Any, found: str) -> None:
    """Breaks if a tensor of one number is broadcast over all coefficients, or if bfloat16 is a traceback."""
    path = tmp_path / "teacher.safetensors"
    save_model(path, small_network())
    state = dict(small_network().state_dict())
    if change is None:
        del state[name]
    else:
        state[name] = change(state[name])
    metadata = {"talker": json.dumps(ArrayFile(path, "model").metadata)}
    save_file(state, path, metadata)
    with pytest.raises(ModelError, match=found):
        load_model(path, "teacher")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*ModelConfig.__dataclass_fields__, "unknown"]), VALUES)
def test_a_config_is_checked_field_by_field(name: str, value: Any) -> None:
    """Breaks if a field of another type, or out of bounds, is an exception of Python's or a model."""
    config = small_network().config
    try:
        changed = ModelConfig.from_json({**config.to_json(), name: value}, "here")
    except ModelError as error:
        assert str(error).startswith("here is damaged (") and "\n" not in str(error)
    else:
        assert ModelConfig.from_json(changed.to_json()) == changed


def test_metadata_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    for metadata in ({}, {"kind": "model"}, {"kind": "model", "config": []}, {"kind": "rig"}, {"kind": "model", "config": {}}):
        write_arrays(path, {"mean": np.zeros(2, np.float32)}, metadata)
        with pytest.raises(ModelError):
            read_config(path, "teacher")


@pytest.mark.slow
def test_the_command_line_names_the_option(dataset: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "talker_cli", "distill", str(tmp_path), str(dataset), "--guidance", "nan"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "--guidance" in done.stderr, done.stderr
