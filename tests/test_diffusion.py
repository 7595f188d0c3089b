"""The diffusion process against closed forms: if one of these fails, samples are wrong however long a model is trained."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from talker_cli.model.diffusion import add_noise, alpha_sigma, ddim_step, distillation_target, v_from_x0_eps, x0_from_v
from talker_cli.model.noise import frame_noise
from talker_cli.model.sampling import Sampler, uniform_timesteps

SHAPE = (2, 30, 5)


def gaussian(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_schedule_preserves_variance_and_ends_in_pure_noise() -> None:
    alpha, sigma = alpha_sigma(torch.linspace(0, 1, 257, dtype=torch.float64))
    assert torch.allclose(alpha**2 + sigma**2, torch.ones(257, dtype=torch.float64), atol=1e-15)
    assert (alpha.diff() < 0).all()
    assert alpha[0] == 1 and abs(alpha[-1]) < 1e-15


def test_x0_to_v_to_x0_round_trip() -> None:
    x0, eps = gaussian(0), gaussian(1)
    for t in (1 / 256, 0.3, 0.99, 1.0):
        alpha, sigma = alpha_sigma(torch.tensor(t, dtype=torch.float64))
        x_t = add_noise(x0, eps, torch.full((2,), t, dtype=torch.float64))
        v = v_from_x0_eps(x0, eps, alpha, sigma)
        assert torch.allclose(x0_from_v(x_t, v, alpha, sigma), x0, atol=1e-12)


def sample(sampler: Sampler, predict_x0, noise) -> np.ndarray:
    """Return x0 after all steps."""
    x = noise(0)
    for index, t in enumerate(sampler.timesteps):
        x0 = predict_x0(torch.from_numpy(x), t).numpy()
        x = sampler.step(index, x, x0, lambda index=index: noise(index + 1))
    return x


@pytest.mark.parametrize("ancestral", [False, True])
@pytest.mark.parametrize("steps", [1, 8, 256])
def test_perfect_denoiser_is_returned_exactly(ancestral: bool, steps: int) -> None:
    x0 = gaussian(2)
    made = sample(Sampler(uniform_timesteps(steps), ancestral), lambda x, t: x0, lambda index: gaussian(index).numpy())
    assert np.array_equal(made, x0.numpy())


def gaussian_denoiser(spread: float):
    """The exact posterior mean of x0 for data N(0, spread^2): E[x0 | x_t] = x_t alpha s^2 / (alpha^2 s^2 + sigma^2)."""

    def predict(x: torch.Tensor, t: torch.Tensor | float) -> torch.Tensor:
        time = torch.as_tensor(t, dtype=torch.float64)
        alpha, sigma = alpha_sigma(time.reshape(-1, 1, 1) if time.ndim else time)
        return x * alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)

    return predict


@pytest.mark.parametrize(("ancestral", "tolerance"), [(False, 0.01), (True, 0.02)])
def test_sampler_gives_the_distribution_of_the_data(ancestral: bool, tolerance: float) -> None:
    """With the exact denoiser of Gaussian data of std 0.3, 256 steps give samples of that std."""
    noise = lambda index: np.random.default_rng(index).standard_normal((1, 400, 100))  # noqa: E731
    samples = sample(Sampler(uniform_timesteps(256), ancestral), gaussian_denoiser(0.3), noise)
    assert abs(float(samples.std()) / 0.3 - 1) < tolerance
    assert abs(float(samples.mean())) < 0.01


@pytest.mark.parametrize("count", [128, 8, 1])
def test_one_step_to_the_target_lands_where_two_teacher_steps_land(count: int) -> None:
    """The definition of progressive distillation: DDIM through the target equals the teacher's two half steps."""
    predict = gaussian_denoiser(0.7)
    x_t = gaussian(3)
    for index in (1, max(1, count // 2), count):
        t = torch.full((2,), index / count, dtype=torch.float64)
        wide = t[:, None, None]
        half = 0.5 / count
        middle = ddim_step(x_t, predict(x_t, t), wide, wide - half)
        end = ddim_step(middle, predict(middle, t - half), wide - half, (wide - 2 * half).clamp(min=0))
        target = distillation_target(predict, x_t, t, 1 / count)
        assert torch.allclose(ddim_step(x_t, target, wide, (wide - 1 / count).clamp(min=0)), end, atol=1e-12)


def test_noise_is_a_function_of_seed_and_frame() -> None:
    """Chunked generation can only equal whole generation if a frame's noise does not depend on the chunk."""
    whole = frame_noise(3, 300, 7, 0)
    assert np.array_equal(frame_noise(3, 100, 7, 0, start=130), whole[:, 130:230])
    assert not np.array_equal(frame_noise(4, 300, 7, 0), whole)
    assert not np.array_equal(frame_noise(3, 300, 7, 1), whole)


def test_noise_is_normal_and_the_same_on_every_machine() -> None:
    """Breaks if a seed means another motion on another machine or in another version, or if the numbers are not normal."""
    noise = frame_noise(20, 20_000, 52, 3)
    assert noise.dtype == np.float32 and noise.shape == (1, 20_000, 52)
    assert kstest(noise.ravel()[:200_000], "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(noise[0].T) - np.eye(52)).max() < 0.04
    assert np.abs(np.corrcoef(noise[0, 1:].ravel(), noise[0, :-1].ravel())[0, 1]) < 0.01
    # Philox 4x64-10 by its own definition, in whole numbers; then Box and Muller's formula.
    words = philox(counter=[4 * 14 + 1, 0, 0, 0], key=[7, 2])
    first, second = ((word >> 11) / 2**53 for word in words[:2])
    radius = math.sqrt(-2 * math.log1p(-first))
    expected = [radius * math.cos(2 * math.pi * second), radius * math.sin(2 * math.pi * second)]
    assert frame_noise(7, 1, 55, 2, start=4)[0, 0, :2] == pytest.approx(expected, abs=1e-6)


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Return the four numbers of Philox 4x64 with ten rounds (Salmon et al. 2011, figure 1)."""
    x, (k0, k1) = list(counter), key
    mask = 2**64 - 1
    for _ in range(10):
        first, second = x[0] * 0xD2E7470EE14C6C93, x[2] * 0xCA5A826395121157
        x = [(second >> 64) ^ x[1] ^ k0, second & mask, (first >> 64) ^ x[3] ^ k1, first & mask]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
    return x
