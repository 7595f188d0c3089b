"""The diffusion process: schedule, conversions between predictions, and the steps of samplers as pure functions of x0.

Variance-preserving, x_t = alpha(t) x0 + sigma(t) eps with alpha = cos(pi t / 2), sigma = sin(pi t / 2), t in 0…1 (the
schedule of Salimans & Ho 2022, in continuous time, so that halving the number of steps never touches it).
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


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
    return alpha_s * x0 + sigma_s * (x_t - alpha_t * x0) / sigma_t


def ddpm_step(x_t: Tensor, x0: Tensor, t: float, s: float, noise: Tensor) -> Tensor:
    """Return a sample x_s of the posterior q(x_s | x_t, x0) for s < t (Ho et al. 2020, section 2).

    In terms of alpha and sigma it is Kingma et al. 2021, appendix A.

    Args:
        x_t, x0, noise: (B, T, K).
        t, s: timesteps, t > s > 0.
    """
    alpha_t, sigma_t = alpha_sigma(torch.tensor(t, dtype=torch.float64))
    alpha_s, sigma_s = alpha_sigma(torch.tensor(s, dtype=torch.float64))
    alpha_ts = alpha_t / alpha_s
    variance_ts = sigma_t**2 - alpha_ts**2 * sigma_s**2
    mean = (alpha_ts * sigma_s**2 / sigma_t**2) * x_t + (alpha_s * variance_ts / sigma_t**2) * x0
    return (mean + (variance_ts.sqrt() * sigma_s / sigma_t) * noise).to(x_t.dtype)


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

    def step(self, index: int, x_t: Tensor, x0: Tensor, noise: Callable[[], Tensor]) -> Tensor:
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
            return ddpm_step(x_t, x0, t, s, noise())
        return ddim_step(x_t, x0, torch.tensor(t), torch.tensor(s))


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


def noise_seed(seed: int, recording: str) -> int:
    """Return the seed of a recording's noise: under one seed, two recordings do not blink at the same frames."""
    return zlib.crc32(f"{seed} {recording}".encode())


def frame_noise(seed: int, frames: int, width: int, index: int, start: int = 0) -> Tensor:
    """Return Gaussian noise (1, frames, width) that is a function of (seed, index, frame number) alone.

    Frames are drawn in fixed blocks, so any range of frames gives the same numbers whatever range it is cut from.
    """
    block = 64
    first, last = start // block, (start + frames - 1) // block
    pieces = []
    for number in range(first, last + 1):
        generator = torch.Generator().manual_seed(((seed * 1_000_003 + index) * 1_000_003 + number) % 2**63)
        pieces.append(torch.randn(block, width, generator=generator))
    offset = start - first * block
    return torch.cat(pieces)[None, offset : offset + frames]
