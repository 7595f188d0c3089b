"""A student's own audio encoder, learned from its teacher's speech features (the idea of 2503.18159; the losses are ours).

The teacher is frozen. What an error of the features does to the motion counts beside the error itself: the denoiser reads some
directions of the features and overlooks others. Where the teacher reads phones, a linear layer must find them in the student's
features too; it is thrown away afterwards.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talker_cli.model.diffusion import add_noise, alpha_sigma
from talker_cli.model.network import FaceDiffusion
from talker_cli.train.batches import Batch
from talker_cli.train.losses import SurfaceMetric

PHONE_WEIGHT = 0.2
SMALLEST_STD = 1e-3  # of a feature; one that never moves is not learned to the last digit


@torch.no_grad()
def teacher_features(teacher: FaceDiffusion, batch: Batch, mel: Tensor | None) -> Tensor:
    """Return the speech features (B, T, D) of the teacher, float32: the target of a student's encoder.

    Args:
        teacher: frozen.
        batch: whose crops they are.
        mel: (B, T * mels_per_frame, bands), the batch's, augmented or not; None where its features stand for it.
    """
    # The target of an augmented recording is a pretrained encoder's output for the clean one.
    return teacher.encoder(batch.encoder_input(mel)).float()


def feature_std(features: Tensor) -> Tensor:
    """Return the standard deviation (D,) of speech features (B, T, D), no smaller than a little."""
    return features.flatten(0, 1).std(0).clamp(min=SMALLEST_STD)


def feature_error(found: Tensor, wanted: Tensor, std: Tensor) -> Tensor:
    """Return the mean squared error of speech features (B, T, D) in units of their variance; 1 is that of their mean.

    Args:
        found: (B, T, D), a student's.
        wanted: (B, T, D), its teacher's.
        std: (D,), see `feature_std`.
    """
    return ((found.float() - wanted) / std).square().mean()


def phone_reader(feature_width: int, phones: int) -> nn.Linear:
    """Return the layer that reads phones off speech features (B, T, D): logits (B, T, P), all alike before it has learned."""
    reader = nn.Linear(feature_width, phones)
    nn.init.zeros_(reader.weight)
    nn.init.zeros_(reader.bias)
    return reader


def phone_error(logits: Tensor, posteriors: Tensor) -> Tensor:
    """Return the mean Kullback-Leibler divergence of phones that are read from posteriors, nats a frame.

    Args:
        logits: (B, T, P).
        posteriors: (B, T, P); rows of zeros, of phones that have no column, count nothing.
    """
    divergence = F.kl_div(logits.float().log_softmax(-1), posteriors.float(), reduction="sum")
    return divergence / posteriors.shape[:-1].numel()


def encoder_losses(
    teacher: FaceDiffusion,
    student: FaceDiffusion,
    batch: Batch,
    mel: Tensor,
    noise: Tensor,
    t: Tensor,
    std: Tensor,
    metric: SurfaceMetric,
    gap: Tensor,
    reader: nn.Linear | None = None,
) -> dict[str, Tensor]:
    """Return the losses of a student's encoder: of the features, of what the teacher's denoiser makes of them, and of phones.

    Args:
        teacher: frozen; gradients pass its denoiser.
        student: with the encoder that learns.
        batch: of B crops.
        mel: (B, T * mels_per_frame, bands), the batch's, augmented or not.
        noise: (B, T, K).
        t: (B,) timesteps in (0, 1].
        std: (D,) of the teacher's features.
        metric: of the surface.
        gap: (B, T) mouth gap of the truth, metres.
        reader: learns with the encoder; for a teacher that reads phones, whose posteriors end the batch's features.
    """
    wanted = teacher_features(teacher, batch, mel)
    found = student.encoder(mel).float()
    style = teacher.personalizer.named(batch.identity)
    x_t = add_noise(teacher.normalise(batch.coefficients), noise, t)
    with torch.no_grad():
        target = teacher.predict_x0(x_t, t, wanted, style, batch.emotion).float()
    predicted = teacher.predict_x0(x_t, t, found, style, batch.emotion).float()
    _, sigma = alpha_sigma(t[:, None, None])  # the error of v, as in the halvings
    losses = {"features": feature_error(found, wanted, std), "denoised": metric((predicted - target) / sigma, gap)}
    if reader is not None:
        posteriors = batch.encoder_input(None)[..., -reader.out_features :]
        losses["phones"] = PHONE_WEIGHT * phone_error(reader(found), posteriors)
    return losses
