"""The denoiser: noisy coefficients (B, T, K), timestep, speech features and style -> the prediction (B, T, K).

Convolutions over time with a finite receptive field; the step and the style act through adaptive normalisation.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talker_cli.model.audio_encoder import DilatedConv
from talker_cli.model.config import ModelConfig

CONDITION_WIDTH = 96


def timestep_embedding(t: Tensor, width: int) -> Tensor:
    """Return sinusoids (B, width) of the timestep t (B,) in 0…1 (Vaswani et al. 2017, section 3.5, for a unit range)."""
    frequency = torch.exp(torch.linspace(0.0, math.log(500.0), width // 2, device=t.device))
    angle = t.float()[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], -1)


class DenoiserBlock(nn.Module):
    """Residual block: adaptive normalisation, dilated convolution of 3 frames, GELU, gated pointwise layer; (B, T, width)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(CONDITION_WIDTH, 3 * width)
        self.conv = DilatedConv(width, dilation)
        self.out = nn.Linear(width, width)
        # Gates start at zero: the block is the identity and deep stacks train from the first step (Peebles & Xie 2023).
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return (B, T, width) for x (B, T, width) and condition (B, CONDITION_WIDTH)."""
        scale, shift, gate = self.modulation(condition)[:, None].chunk(3, -1)  # (B, 1, width) each
        hidden = self.norm(x) * (1 + scale) + shift
        return x + gate * self.out(F.gelu(self.conv(hidden)))


class Denoiser(nn.Module):
    """Predict x0 or v from noisy coefficients; absent speech or style is a learned vector (classifier-free guidance)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        coefficients = len(config.names)
        self.motion_in = nn.Linear(coefficients, config.width)
        self.speech_in = nn.Linear(config.feature_width, config.width)
        self.speech_mid = nn.Linear(config.feature_width, config.width)
        if config.emotions:
            self.emotion_in = nn.Linear(len(config.emotions), config.width, bias=False)  # no emotion changes nothing
        self.null_speech = nn.Parameter(torch.zeros(config.feature_width))
        self.null_style = nn.Parameter(torch.zeros(config.style_width))
        self.time_mlp = nn.Sequential(nn.Linear(64, CONDITION_WIDTH), nn.GELU(), nn.Linear(CONDITION_WIDTH, CONDITION_WIDTH))
        self.style_in = nn.Linear(config.style_width, CONDITION_WIDTH)
        self.blocks = nn.ModuleList(DenoiserBlock(config.width, dilation) for dilation in config.denoiser_dilations)
        self.norm = nn.LayerNorm(config.width)
        self.motion_out = nn.Linear(config.width, coefficients)
        nn.init.zeros_(self.motion_out.weight)
        nn.init.zeros_(self.motion_out.bias)

    def forward(
        self, noisy: Tensor, t: Tensor, speech_features: Tensor, style: Tensor, emotion: Tensor | None = None
    ) -> Tensor:
        """Return the prediction (B, T, K).

        Args:
            noisy: (B, T, K) normalised coefficients at timestep t.
            t: (B,) timestep in 0…1.
            speech_features: (B, T, D).
            style: (B, S).
            emotion: (B, T, E) strengths in 0…1 of the config's emotions, None for a neutral face.
        """
        condition = F.gelu(self.time_mlp(timestep_embedding(t, 64)) + self.style_in(style))  # (B, CONDITION_WIDTH)
        x = self.motion_in(noisy) + self.speech_in(speech_features)  # (B, T, width)
        if emotion is not None:
            x = x + self.emotion_in(emotion)
        for index, block in enumerate(self.blocks):
            if index == len(self.blocks) // 2:
                x = x + self.speech_mid(speech_features)
            x = block(x, condition)
        return self.motion_out(self.norm(x))
