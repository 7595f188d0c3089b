"""The losses: diffusion in the metric of the surface, velocity, contrastive identity, phones read off the speech features."""

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talker_cli.errors import InputError
from talker_cli.model.diffusion import add_noise, alpha_sigma, v_from_x0_eps
from talker_cli.model.network import FaceDiffusion
from talker_cli.rig import Rig
from talker_cli.train.batches import UNKNOWN_PHONE, Batch, Part


@dataclass(frozen=True)
class LossWeights:
    """How much each part of the loss counts.

    A weighted squared error teaches the density tilted by its weight: with `closed`, where the sound leaves open whether it
    was a /p/ or a /t/, the lips rather meet: lips apart at /p b m/ are seen sooner than lips that meet once too often.

    Args:
        surface: vertex error, lips weighted; an angle of the head counts as a mean shape.
        gap: error of the opening at the lip pairs, more where the lips are nearly closed.
        coefficient: error of the normalised coefficients themselves, so that shapes alike on the surface stay apart.
        velocity: the same three on frame-to-frame differences.
        head_velocity: error of the changes of the head's angles from frame to frame, in addition: heads move slowly, so what
            would not be seen of a lip makes a head tremble.
        closed: how much more a frame with closed lips counts, in all of these.
        lips: how much a lip vertex counts against another.
        contrastive: audio to identity.
        reading: Likelihood of the identities' styles, given the measures of their voices.
        phones: cross-entropy of the phones, read off the speech features.
        regression: the motion read straight off the speech features; with `phones`, it teaches the encoder early.
    """

    surface: float = 0.35
    gap: float = 0.35
    coefficient: float = 0.3
    velocity: float = 0.5
    head_velocity: float = 8.0
    closed: float = 4.0
    lips: float = 10.0
    contrastive: float = 0.05
    reading: float = 0.05
    phones: float = 0.3
    regression: float = 0.3

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < math.inf:
                raise InputError(f"found {name} = {value}; expected 0 or more, and finite")


GAP_SOFTNESS = 0.002  # metres: a gap of this size counts half as much as closed lips
GAP_ROUNDING = 0.1  # of the gap's std: smaller errors of it count as squares
CLOSED_GAP = 0.001  # metres: a gap of this size counts half as much more


def lip_gap_of(coefficients: Tensor, gap_rows: Tensor) -> Tensor:
    """Return `metrics.lip_gap` (B, T), metres, of coefficients (B, T, K) and a rig's `lip_gap_rows` (P, K)."""
    return (coefficients.float() @ gap_rows.T).clamp(min=0.0).mean(-1)


class SurfaceMetric(nn.Module):
    """Squared error of normalised coefficients as it shows on the surface: |e|^2 = mean over frames of e M e / K."""

    surface: Tensor
    gap_rows: Tensor

    def __init__(self, rig: Rig, std: np.ndarray, weights: LossWeights) -> None:
        super().__init__()
        count = len(rig.names)
        scale = np.diag(std.astype(np.float64))
        gram = scale @ rig.gram(1.0 + (weights.lips - 1.0) * rig.regions["lips"]) @ scale
        # A turn of the head moves the whole surface and would drown the lips: each of its angles counts as a mean shape.
        shapes = len(rig.face_names)
        gram[range(shapes, count), range(shapes, count)] = np.trace(gram) / shapes
        metric = weights.surface * gram * (count / np.trace(gram)) + weights.coefficient * np.eye(count)
        # A factor with |L e|^2 = e M e: one product instead of a quadratic form a frame.
        self.register_buffer("surface", torch.from_numpy(np.linalg.cholesky(metric)).float())
        rows = rig.lip_gap_rows().mean(0)  # (K,) metres of opening, mean over the pairs
        size = np.sqrt(np.square(rows * std).sum())
        self.register_buffer("gap_rows", torch.from_numpy(rows * std / size).float())
        self.gap_weight = weights.gap
        self.velocity_weight = weights.velocity
        self.head_velocity_weight, self.shapes = weights.head_velocity, shapes
        self.closed_weight = weights.closed

    def forward(self, error: Tensor, truth_gap: Tensor) -> Tensor:
        """Return the loss of normalised errors (B, T, K) in float32, whatever the network computed in.

        Args:
            error: (B, T, K).
            truth_gap: (B, T) mouth gap of the truth, metres.
        """
        with torch.autocast(error.device.type, enabled=False):
            surface = error.float() @ self.surface  # (B, T, K)
            nearness = GAP_SOFTNESS / (GAP_SOFTNESS + truth_gap)  # (B, T), 1 for closed lips
            gap = (error.float() @ self.gap_rows) * (self.gap_weight * (0.5 + 2.0 * nearness)).sqrt()  # (B, T)
            weight = 1.0 + self.closed_weight / (1.0 + (truth_gap / CLOSED_GAP).square())  # (B, T)
            between = 0.5 * (weight[:, 1:] + weight[:, :-1])  # (B, T - 1)
            count = error.shape[-1]
            # Rounded off at the bottom, else linear: the mean of lips that perhaps meet is lips that nearly meet, their median
            # is one or the other.
            away = 0.6 * ((gap.square() + GAP_ROUNDING**2).sqrt() - GAP_ROUNDING)
            position = weight * (surface.square().sum(-1) / count + away)
            velocity = between * (surface.diff(dim=1).square().sum(-1) / count + gap.diff(dim=1).square())
            turns = error[..., self.shapes :].float().diff(dim=1).square().sum(-1) / count
            return position.mean() + self.velocity_weight * (velocity + self.head_velocity_weight * turns).mean()


@dataclass
class Draw:
    """The random part of a training step: timesteps (B,), noise (B, T, K), masks (B,) of what is dropped or read off audio."""

    t: Tensor
    noise: Tensor
    drop_speech: Tensor
    drop_style: Tensor
    use_audio_style: Tensor

    @classmethod
    def sample(cls, batch: Batch, generator: torch.Generator, drop: float) -> "Draw":
        """Draw for a batch; the generator is the CPU's, so that every device sees the same numbers."""
        size = batch.coefficients.shape
        spread = (torch.rand(1, generator=generator) + torch.arange(size[0]) / size[0]) % 1.0  # stratified: less variance
        chance = torch.rand(4, size[0], generator=generator)
        # Guidance starts from what the network makes of neither condition: apart alone, both would be dropped in 1 % of rows.
        together = chance[3] < drop / 2
        device = batch.coefficients.device
        return cls(
            spread.clamp(min=1e-3).to(device),
            torch.randn(size, generator=generator).to(device),
            ((chance[0] < drop) | together).to(device),
            ((chance[1] < drop) | together).to(device),
            (chance[2] < 0.15).to(device) & batch.voice_matched,
        )

    def to(self, device: torch.device) -> "Draw":
        """Return the draw on `device`."""
        return Draw(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def rows(self, first: int, last: int) -> "Draw":
        """Return what was drawn for rows first … last - 1 of the batch."""
        return Draw(*(getattr(self, name)[first:last] for name in self.__dataclass_fields__))


class Objective(nn.Module):
    """The network with the heads and losses that only training needs; one forward pass returns every loss."""

    def __init__(self, network: FaceDiffusion, rig: Rig, weights: LossWeights, phone_count: int) -> None:
        super().__init__()
        self.network = network
        self.weights = weights
        self.metric = SurfaceMetric(rig, network.std.numpy(), weights)
        width = network.config.feature_width
        self.phones = nn.Linear(width, max(1, phone_count))
        self.regression = nn.Linear(width, len(network.config.names))
        self.register_buffer("raw_gap_rows", torch.from_numpy(rig.lip_gap_rows()).float())

    raw_gap_rows: Tensor

    def forward(self, batch: Batch, mel: Tensor | None, draw: Draw, part: Part) -> dict[str, Tensor]:
        """Return the losses by name, `total` among them: their mean over the processes is the loss of the whole batch.

        Args:
            batch: the process's rows of it.
            mel: the batch's, augmented, if it has any; a pretrained encoder's features are not.
            draw: for these rows.
            part: which rows they are.
        """
        network = self.network
        features = network.encoder(batch.encoder_input(mel))  # (B, T, D)
        x0 = network.normalise(batch.coefficients)
        gap = lip_gap_of(batch.coefficients, self.raw_gap_rows)

        heard = batch.voice_input(mel)
        read = network.personalizer.read(heard)
        style = torch.where(draw.use_audio_style[:, None], read, network.personalizer.named(batch.identity))
        style = torch.where(draw.drop_style[:, None], network.denoiser.null_style, style)
        seen = torch.where(draw.drop_speech[:, None, None], network.denoiser.null_speech, features)

        x_t = add_noise(x0, draw.noise, draw.t)
        prediction = network.model_output(x_t, draw.t, seen, style, batch.emotion)
        alpha, sigma = alpha_sigma(draw.t[:, None, None])
        target = v_from_x0_eps(x0, draw.noise, alpha, sigma) if network.config.prediction == "v" else x0
        losses = {"diffusion": part.share * self.metric(prediction.float() - target, gap)}

        losses["regression"] = part.share * self.metric(self.regression(features).float() - x0, gap)
        losses["phones"] = _phone_loss(self.phones(features).float(), batch.phones, part)
        matched = part.voice_matched
        if bool(matched.any()):  # a style is compared with all others of the batch, those of other processes too
            styles = _gather_rows(read.float(), part)
            losses["contrastive"] = network.personalizer.contrastive_loss(styles[matched], part.identity[matched])
            if batch.measures is not None:
                unlikely = network.personalizer.reading_loss(heard, batch.identity)[batch.voice_matched].sum()
                losses["reading"] = unlikely * (part.processes / matched.sum())
        weighted = {name: getattr(self.weights, name, 1.0) * loss for name, loss in losses.items()}
        losses["total"] = torch.stack(list(weighted.values())).sum()
        return losses


def _phone_loss(logits: Tensor, phones: Tensor, part: Part) -> Tensor:
    """Return the cross-entropy over the frames whose phone is known; 0 where a dataset knows none."""
    loss = F.cross_entropy(logits.flatten(0, 1), phones.flatten(), ignore_index=UNKNOWN_PHONE, reduction="sum")
    return loss * (part.processes / max(1, part.known_phones))


def _gather_rows(rows: Tensor, part: Part) -> Tensor:
    """Return the whole batch's rows (B, S) of the part's own.

    A gradient flows into the own rows alone, as many times as there are processes: the mean over the processes, which is
    what data-parallel training takes, is then the gradient of the whole.
    """
    if part.processes == 1:
        return rows
    own = rows.detach()
    whole = own.new_zeros(len(part.identity), *own.shape[1:])
    whole[part.first : part.last] = own
    torch.distributed.all_reduce(whole)
    return torch.cat([whole[: part.first], own + part.processes * (rows - own), whole[part.last :]])
