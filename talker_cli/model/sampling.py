"""Samplers: how noise becomes motion, step by step, as pure functions of x0. Arrays of NumPy or tensors, all the same.

x_t = alpha(t) x0 + sigma(t) eps with alpha = cos(pi t / 2), sigma = sin(pi t / 2), t in 0…1; see `diffusion`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


def along(x_t: Any, x0: Any, alpha_t: Any, sigma_t: Any, alpha_s: Any, sigma_s: Any) -> Any:
    """Return x_s along the deterministic path through x0 (Song et al. 2021, equation 12 with eta 0)."""
    return alpha_s * x0 + sigma_s * (x_t - alpha_t * x0) / sigma_t


def posterior_sample(x_t: Any, x0: Any, t: float, s: float, noise: Any) -> Any:
    """Return a sample x_s of the posterior q(x_s | x_t, x0) for s < t (Ho et al. 2020, section 2).

    In terms of alpha and sigma it is Kingma et al. 2021, appendix A.

    Args:
        x_t, x0, noise: (B, T, K).
        t, s: timesteps, t > s > 0.
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = _alpha_sigma(t), _alpha_sigma(s)
    alpha_ts = alpha_t / alpha_s
    variance_ts = sigma_t**2 - alpha_ts**2 * sigma_s**2
    mean = (alpha_ts * sigma_s**2 / sigma_t**2) * x_t + (alpha_s * variance_ts / sigma_t**2) * x0
    return mean + (math.sqrt(variance_ts) * sigma_s / sigma_t) * noise


def _alpha_sigma(t: float) -> tuple[float, float]:
    return math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)


def uniform_timesteps(steps: int) -> tuple[float, ...]:
    """Return `steps` descending timesteps 1, 1 - 1/steps, …, 1/steps; a sampler goes on from the last one to 0."""
    return tuple((steps - index) / steps for index in range(steps))


@dataclass(frozen=True)
class Sampler:
    """How noise becomes x0, step by step: who calls decides in which order steps and parts of the motion are done.

    Args:
        timesteps: descending, in (0, 1]; after the last one comes 0.
        ancestral: noise is drawn at each step (DDPM, Ho et al. 2020) or at the first alone (DDIM, Song et al. 2021).
    """

    timesteps: tuple[float, ...]
    ancestral: bool = False

    def step(self, index: int, x_t: np.ndarray, x0: np.ndarray, noise: Callable[[], np.ndarray]) -> np.ndarray:
        """Return x at the timestep that follows timestep `index`; x0 itself after the last one.

        Args:
            index: of the timestep that x_t is at.
            x_t: (B, T, K).
            x0: (B, T, K), predicted from x_t.
            noise: gives Gaussian noise (B, T, K), if this step needs some.
        """
        if index + 1 == len(self.timesteps):
            return x0
        t, s = self.timesteps[index : index + 2]
        if self.ancestral:
            return np.asarray(posterior_sample(x_t, x0, t, s, noise()))
        return np.asarray(along(x_t, x0, *_alpha_sigma(t), *_alpha_sigma(s)))
