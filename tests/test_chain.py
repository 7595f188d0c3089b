"""The whole chain through the real command line: train, kill, resume, distil, evaluate, animate."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import Talker, run_command
from tiny import IDENTITIES, SMALL, tiny_dataset

from talker_cli.rig import load_rig


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny dataset, and a model trained and distilled on it by the command line."""
    folder = tmp_path_factory.mktemp("chain")
    dataset, model = tiny_dataset(folder / "prepared"), folder / "model"
    short = ("--stage-steps", 1, "--kept-stage-steps", 1, "--validation-clips", 1, "--batch-frames", 64, "--device", "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib", None)  # drawing the curves takes longer than both
        assert run_command("train", dataset, "-o", model, "--steps", 4, *SMALL).code == 0
        assert run_command("distill", model, dataset, *short).code == 0
    return dataset, model


@pytest.mark.slow
def test_training_killed_outright_resumes_to_the_same_weights(chain: tuple[Path, Path], tmp_path: Path) -> None:
    """kill -9 before the first state, and at an unknown moment among states that are written all the time; then once more."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    arguments = ("train", chain[0], "--steps", 60, "--save-every", 1, *SMALL)
    run = killed / "run-teacher"
    command = [sys.executable, "-m", "talker_cli", *map(str, arguments), "-o", str(killed)]
    for sign in ("run.toml", "state.safetensors"):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 240
            while not (run / sign).exists() and time.monotonic() < deadline:
                time.sleep(0.005)
            os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
        assert not (killed / "teacher.safetensors").exists()
    for folder in (killed, whole):
        assert run_command(*arguments, "-o", folder).code == 0
    for name in ("teacher.safetensors", "run-teacher/curve.csv", "run-teacher/state.safetensors"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert {path.name for path in run.iterdir()} == {"run.toml", "state.safetensors", "curve.csv", "curve.png"}


@pytest.mark.slow
def test_animate_writes_motion_coefficients_and_where_they_come_from(
    chain: tuple[Path, Path], invoke: Talker, wav: Path, tmp_path: Path
) -> None:
    _, model = chain
    done = invoke("animate", wav, "-o", tmp_path / "a.npy", "--identity", "Ada", "--model", model, "--seed", 3)
    assert done.out.strip() == str(tmp_path / "a.npy")
    assert "student, 8 steps" in done.err and "stand-in" not in done.err
    vertices, coefficients = np.load(tmp_path / "a.npy"), np.load(tmp_path / "a.coefficients.npy")
    about = json.loads((tmp_path / "a.json").read_text())
    rig = load_rig(model / "rig.safetensors").rig_of("Ada")
    assert vertices.dtype == np.float32 and vertices.shape == (len(coefficients), 24, 3)
    assert np.allclose(vertices, rig.decode(coefficients), atol=1e-7)
    assert (about["fps"], about["identity"], about["seed"], about["sampler"]) == (30.0, "Ada", 3, "student, 8 steps")
    invoke("animate", wav, "-o", tmp_path / "b.npy", "--identity", "Ada", "--model", model, "--seed", 3)
    assert (tmp_path / "b.npy").read_bytes() == (tmp_path / "a.npy").read_bytes()


def test_steps_choose_the_sampler(chain: tuple[Path, Path], invoke: Talker, wav: Path, tmp_path: Path) -> None:
    _, model = chain
    for steps, expected in (
        ("4", "teacher, DDIM 4 steps"),
        ("full", "teacher, DDPM 256 steps"),
        ("256", "teacher, DDPM 256 steps"),
    ):
        output = tmp_path / f"{steps}.npy"
        invoke("animate", wav, "-o", output, "-i", "Bert", "--model", model, "--steps", steps)
        assert json.loads(output.with_suffix(".json").read_text())["sampler"] == expected
    assert not np.array_equal(np.load(tmp_path / "4.npy"), np.load(tmp_path / "full.npy"))
    assert np.array_equal(np.load(tmp_path / "256.npy"), np.load(tmp_path / "full.npy"))


def test_evaluate_reports_every_system(chain: tuple[Path, Path], invoke: Talker) -> None:
    dataset, model = chain
    report = json.loads(invoke("evaluate", model, dataset, "--json", "--device", "cpu").out)
    assert [row["system"] for row in report["scores"]] == [
        "truth", "mean face", "loudness", "student, 8 steps", "teacher, DDIM 8 steps", "teacher, DDPM 256 steps",
    ]  # fmt: skip
    assert report["clips"] == 1


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--identity", "Zoe"), "no identity 'Zoe'; expected one of " + ", ".join(IDENTITIES)),
        (("--identity", "FaceTalk"), "fits 2: FaceTalk_1_TA, FaceTalk_2_TA"),
        (("--identity", "Ada", "--steps", "9.5"), "found 9.5; expected 8"),
        (("--identity", "Ada", "--steps", "257"), "found 257; expected 8"),
        (("--identity", "Ada", "--guidance", "2"), "(--guidance)"),
        (("--identity", "Ada", "--style-guidance", "2"), "(--style-guidance)"),
    ],
)
def test_wrong_requests_get_one_line(
    chain: tuple[Path, Path], invoke: Talker, wav: Path, tmp_path: Path, arguments: tuple[str, ...], found: str
) -> None:
    _, model = chain
    done = invoke("animate", wav, "-o", tmp_path / "out.npy", "--model", model, *arguments)
    assert found in done.mistake
    assert list(tmp_path.iterdir()) == [wav]


def test_weights_for_another_rig_are_refused(chain: tuple[Path, Path], invoke: Talker, wav: Path, tmp_path: Path) -> None:
    _, model = chain
    (tmp_path / "student.safetensors").write_bytes((model / "student.safetensors").read_bytes())
    other = bytearray((model / "rig.safetensors").read_bytes())
    other[-1] ^= 1
    (tmp_path / "rig.safetensors").write_bytes(bytes(other))
    done = invoke("animate", wav, "-o", tmp_path / "out.npy", "--model", tmp_path, "-i", "Ada")
    assert "made for another rig.safetensors" in done.mistake
    assert not (tmp_path / "out.npy").exists()
