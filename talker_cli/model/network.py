"""The assembled network: audio encoder, personalizer and denoiser, with the coefficients' normalisation."""

import numpy as np
import torch
from torch import Tensor, nn

from talker_cli.model.audio_encoder import CompactEncoder, PretrainedHead
from talker_cli.model.config import COMPACT, ModelConfig
from talker_cli.model.denoiser import Denoiser
from talker_cli.model.diffusion import alpha_sigma, x0_from_v
from talker_cli.model.personalizer import Personalizer


class FaceDiffusion(nn.Module):
    """Speech and style to face motion by denoising coefficients (2311.16565).

    Diffusion runs over normalised coefficients, (c - mean) / std, of the training split.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # Reads log-mel columns, or the features of the pretrained encoder that the config names.
        self.encoder = CompactEncoder(config) if config.audio_encoder == COMPACT else PretrainedHead(config)
        self.personalizer = Personalizer(config)
        self.denoiser = Denoiser(config)
        self.register_buffer("mean", torch.zeros(len(config.names)))
        self.register_buffer("std", torch.ones(len(config.names)))

    def set_normalisation(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Set the (K,) mean and standard deviation of the coefficients."""
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(std))

    def normalise(self, coefficients: Tensor) -> Tensor:
        """Return normalised coefficients of the same shape (…, K)."""
        return (coefficients - self.mean) / self.std

    def predict_x0(
        self, x_t: Tensor, t: Tensor, speech_features: Tensor, style: Tensor, emotion: Tensor | None = None
    ) -> Tensor:
        """Return the predicted clean x0 (B, T, K) at timesteps t (B,)."""
        prediction = self.model_output(x_t, t, speech_features, style, emotion)
        if self.config.prediction != "v":
            return prediction
        alpha, sigma = alpha_sigma(t[:, None, None])
        return x0_from_v(x_t, prediction, alpha, sigma)

    def model_output(
        self, x_t: Tensor, t: Tensor, speech_features: Tensor, style: Tensor, emotion: Tensor | None = None
    ) -> Tensor:
        """Return what the denoiser makes of x_t (B, T, K) at timesteps t (B,): v or x0 (B, T, K), as the config says."""
        if self.config.prediction == "regression":  # whatever the sampler gives, it sees no motion at all
            x_t, t = torch.zeros_like(x_t), torch.ones_like(t)
        return self.denoiser(x_t, t, speech_features, style, emotion)

    def guided_x0(
        self,
        x_t: Tensor,
        t: Tensor,
        speech_features: Tensor,
        style: Tensor,
        guidance_scale: float,
        style_scale: float | None = None,
        emotion: Tensor | None = None,
    ) -> Tensor:
        """Return x0 (B, T, K) with classifier-free guidance (Ho & Salimans 2022): none + scale (both - none).

        With a scale for each condition it goes from neither to the style, and from there to the speech in that style:
        none + style_scale (style - none) + guidance_scale (both - style), composed as in Brooks et al. 2023, equation 3.
        All of them have the emotion, which keeps its strength.

        Args:
            x_t: (B, T, K).
            t: (B,) timesteps.
            speech_features: (B, T, D).
            style: (B, S).
            guidance_scale: of the speech; 1 is off.
            style_scale: of the style; None is that of the speech.
            emotion: (B, T, E), None for a neutral face.
        """
        if style_scale is None:
            style_scale = guidance_scale
        if guidance_scale == style_scale == 1.0:
            return self.predict_x0(x_t, t, speech_features, style, emotion)
        null_speech = self.denoiser.null_speech.expand_as(speech_features)
        null_style = self.denoiser.null_style.expand_as(style)
        conditions = [(speech_features, style), (null_speech, null_style)]
        if guidance_scale != style_scale:  # else the style alone cancels out
            conditions.append((null_speech, style))
        count = len(conditions)
        predicted = self.predict_x0(
            torch.cat([x_t] * count), torch.cat([t] * count),
            torch.cat([speech for speech, _ in conditions]), torch.cat([each for _, each in conditions]),
            None if emotion is None else torch.cat([emotion] * count),
        ).chunk(count)  # fmt: skip
        both, neither = predicted[:2]
        if guidance_scale == style_scale:
            return neither + guidance_scale * (both - neither)
        style_alone = predicted[2]
        return neither + style_scale * (style_alone - neither) + guidance_scale * (both - style_alone)
