"""The diffusion process against closed forms: if one of these fails, samples are wrong however long a model is trained."""

import pytest
import torch

from talker_cli.model.diffusion import (
    Sampler,
    add_noise,
    alpha_sigma,
    ddim_step,
    distillation_target,
    frame_noise,
    uniform_timesteps,
    v_from_x0_eps,
    x0_from_v,
)

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


def sample(sampler: Sampler, predict_x0, noise) -> torch.Tensor:
    """Return x0 after all steps."""
    x = noise(0)
    for index, t in enumerate(sampler.timesteps):
        x = sampler.step(index, x, predict_x0(x, t), lambda index=index: noise(index + 1))
    return x


@pytest.mark.parametrize("ancestral", [False, True])
@pytest.mark.parametrize("steps", [1, 8, 256])
def test_perfect_denoiser_is_returned_exactly(ancestral: bool, steps: int) -> None:
    x0 = gaussian(2)
    assert torch.equal(sample(Sampler(uniform_timesteps(steps), ancestral), lambda x, t: x0, gaussian), x0)


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
    noise = lambda index: torch.randn(1, 400, 100, generator=torch.Generator().manual_seed(index), dtype=torch.float64)  # noqa: E731
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
    assert torch.equal(frame_noise(3, 100, 7, 0, start=130), whole[:, 130:230])
    assert not torch.equal(frame_noise(4, 300, 7, 0), whole)
    assert not torch.equal(frame_noise(3, 300, 7, 1), whole)
    assert abs(float(whole.std()) - 1) < 0.05
