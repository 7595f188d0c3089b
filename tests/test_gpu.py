"""What runs on CUDA gives what the CPU gives. Skipped without a GPU."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from tiny import tiny_dataset

SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"
BOUND = 0.05  # of coefficients in 0…1: convolutions on a GPU round their products to 10 bits

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("steps", ["8", "4"])
def test_a_gpu_animates_as_the_cpu_does(steps: str) -> None:
    """Breaks if student or teacher move another face on a GPU: other noise, other features, half precision by accident."""
    from talker_cli import Talker

    gpu, cpu = (Talker.load(steps=steps, device=device).animate(SPEECH).coefficients for device in ("cuda", "cpu"))
    assert gpu.shape == cpu.shape and np.abs(gpu - cpu).max() < BOUND and np.abs(gpu - cpu).mean() < BOUND / 20


def test_a_gpu_trains(invoke: Command, tmp_path: Path) -> None:
    """Breaks if a step of training mixes devices, or its weights cannot be used on the CPU."""
    dataset = tiny_dataset(tmp_path / "prepared")
    sizes = [part for name in ("width", "feature_width") for part in ("--set", f"model.{name}=32")]
    ran = invoke("train", dataset, "-o", "made", "--steps", 1, "--batch-frames", 64, *sizes, "--device", "cuda")
    assert ran.code == 0, ran.err
    ran = invoke("animate", SPEECH, "-i", "Ada", "--model", "made", "--steps", "2", "--device", "cpu", "-o", "a.npz")
    assert ran.code == 0, ran.err
