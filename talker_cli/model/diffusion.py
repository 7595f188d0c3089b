"""The diffusion process in training: schedule, conversions between predictions, and the target of distillation.

Variance-preserving, x_t = alpha(t) x0 + sigma(t) eps with alpha = cos(pi t / 2), sigma = sin(pi t / 2), t in 0…1 (the
schedule of Salimans & Ho 2022, in continuous time, so that halving the number of steps never touches it).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from talker_cli.model.sampling import along


def alpha_sigma(t: Tensor) -> tuple[Tensor, Tensor]:
    """Return alpha and sigma of timesteps t in 0…1."""
    angle = t * (torch.pi / 2)
    return torch.cos(angle), torch.sin(angle)


def x0_from_v(x_t: Tensor, v: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Return x0 = alpha x_t - sigma v (Salimans & Ho 2022, appendix D)."""
    return alpha * x_t - sigma * v


def v_from_x0_eps(x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Return v = alpha eps - sigma x0."""
    return alpha * eps - sigma * x0


def add_noise(x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Return x_t of x0 (B, T, K) and noise of the same shape at timesteps t (B,)."""
    alpha, sigma = alpha_sigma(t[:, None, None])
    return alpha * x0 + sigma * eps


def ddim_step(x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Return x_s for s < t along the deterministic path through x0 (Song et al. 2021, equation 12 with eta 0).

    Args:
        x_t: (B, T, K).
        x0: (B, T, K), predicted.
        t, s: timesteps that broadcast against x_t; t > 0.
    """
    alpha_t, sigma_t = alpha_sigma(t)
    alpha_s, sigma_s = alpha_sigma(s)
    x_s: Tensor = along(x_t, x0, alpha_t, sigma_t, alpha_s, sigma_s)
    return x_s


def distillation_target(predict_x0: Callable[[Tensor, Tensor], Tensor], x_t: Tensor, t: Tensor, step: float) -> Tensor:
    """Return the x0 that takes one DDIM step t -> t - step to where the teacher's two half steps land.

    Salimans & Ho 2022, algorithm 2 and appendix G.

    Args:
        predict_x0: the teacher, (x_t, t (B,)) -> x0.
        x_t: (B, T, K).
        t: (B,) timesteps, each at least `step`.
        step: length of the student's step.
    """
    wide = t[:, None, None]
    middle = wide - step / 2
    # Rounding must not turn the last step's 0 into a tiny negative time.
    end = (wide - step).clamp(min=0.0)
    x_middle = ddim_step(x_t, predict_x0(x_t, t), wide, middle)
    x_end = ddim_step(x_middle, predict_x0(x_middle, middle[:, 0, 0]), middle, end)
    alpha_t, sigma_t = alpha_sigma(wide)
    alpha_s, sigma_s = alpha_sigma(end)
    ratio = sigma_s / sigma_t
    return (x_end - ratio * x_t) / (alpha_s - ratio * alpha_t)
