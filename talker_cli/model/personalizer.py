"""Who speaks, and how: audio -> style, the identity table, and the contrastive loss that ties them (2311.16565)."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talker_cli.model.config import ModelConfig

TABLE_NOISE = 0.1
USUAL_SECONDS = 10.0  # of speech
LEAST_LOG_SPREAD = -3.0  # of the prior's deviation
ORDINARY, MOST = 2.0, 3.0  # deviations of a measure that raise no doubt; that are believed


def unit_style(vector: Tensor) -> Tensor:
    """Return `vector` (…, S) scaled to the length sqrt(S), so that every component is about 1: all styles lie on one sphere."""
    return F.normalize(vector, dim=-1) * vector.shape[-1] ** 0.5


class VoiceReader(nn.Module):
    """What the measures of a voice tell of its style: a mean, and how far the style may lie from it.

    The observation `average + direction(x)` of measures x is weighed against the prior, which is the mean and the variance of
    the identity table: `told` = prior variance / (prior variance + spread^2) of it is believed. Little speech and odd measures
    raise the spread, and the style shrinks towards the average.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        count = len(config.voice_measures)
        self.direction = nn.Linear(count, config.style_width, bias=False)
        self.log_spread = nn.Linear(2, config.style_width)
        for parameter in self.parameters():  # a reading begins at the average
            nn.init.zeros_(parameter)
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("std", torch.ones(count))

    def forward(self, measures: Tensor) -> tuple[Tensor, Tensor]:
        """Return the deviation (B, S) of the style from the average, in full, and the share (B, S) of it that is told, 0…1.

        Args:
            measures: (B, M + 1), the config's, and the log of the seconds that they are of.
        """
        with torch.autocast(measures.device.type, enabled=False):
            x = (measures[:, :-1] - self.mean) / self.std
            odd = F.relu(x.abs() - ORDINARY).sum(-1)
            doubt = torch.stack([math.log(USUAL_SECONDS) - measures[:, -1], odd], -1)  # (B, 2)
            spread = self.log_spread(doubt).clamp(min=LEAST_LOG_SPREAD)
            return self.direction(x.clamp(-MOST, MOST)), torch.sigmoid(-2.0 * spread)


class Personalizer(nn.Module):
    """Read a style off speech, by the measures of the voice, and the table of the identities known by name.

    The first models read log-mel columns pooled over time.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.voice = VoiceReader(config) if config.voice_measures else None
        if self.voice is None:
            hidden = 128
            self.stem = nn.Linear(config.mel_bands, hidden)
            self.conv = nn.Conv1d(hidden, hidden, 5, stride=2, padding=2)
            self.out = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.GELU(), nn.Linear(hidden, config.style_width))
        table = torch.randn(len(config.identities), config.style_width)
        # Near one pole of the sphere, where it is flat, rows part along what differs in their motion.
        self.table = nn.Parameter(table if self.voice is None else 1.0 + TABLE_NOISE * table)
        self.log_temperature = nn.Parameter(torch.tensor(2.0))

    def set_voices(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Set the (M,) mean and standard deviation of the measures over voices."""
        assert self.voice is not None
        self.voice.mean.copy_(torch.from_numpy(mean))
        self.voice.std.copy_(torch.from_numpy(std))

    def read(self, sound: Tensor) -> Tensor:
        """Return the style (B, S) of voices, each shrunk towards the average by its uncertainty.

        Args:
            sound: Measures (B, M + 1), see `VoiceReader`; of the first models, log-mel columns (B, columns, bands).
        """
        if self.voice is not None:
            return unit_style(self._average() + torch.mul(*self.voice(sound)))
        x = F.gelu(self.stem(sound))
        x = F.gelu(self.conv(x.transpose(1, 2)))  # (B, hidden, columns / 2)
        pooled = torch.cat([x.mean(-1), (x.var(-1, correction=0) + 1e-4).sqrt()], -1)
        return unit_style(self.out(pooled))

    def told(self, measures: Tensor) -> Tensor:
        """Return the share (B,) of the style that measures (B, M + 1) tell, weighted by the variance of its components."""
        assert self.voice is not None
        variance = self._variance()
        return (self.voice(measures)[1] * variance).sum(-1) / variance.sum()

    def reading_loss(self, measures: Tensor, identity: Tensor) -> Tensor:
        """Return (B,) the negative log likelihood of the table's rows, given measures (B, M + 1) of their voices.

        The rows are fixed: only the reading learns by it. In deviations of the prior, a constant left out.
        """
        assert self.voice is not None
        deviation, told = self.voice(measures)
        return self.row_loss(deviation, told, identity)

    def row_loss(self, deviation: Tensor, told: Tensor, identity: Tensor) -> Tensor:
        """Return `reading_loss` (B,) of what `VoiceReader` makes of the measures."""
        error = self.named(identity).detach() - self._average() - told * deviation
        return 0.5 * (error.square() / self._variance() / (1.0 - told) + torch.log1p(-told)).mean(-1)

    def _average(self) -> Tensor:
        """Return the average style (S,), inside the sphere, as a constant."""
        return unit_style(self.table.detach()).mean(0)

    def _variance(self) -> Tensor:
        """Return the variance (S,) of the table's rows, as a constant."""
        return unit_style(self.table.detach()).var(0, correction=0) + 1e-6

    def named(self, identity: Tensor) -> Tensor:
        """Return the styles (B, S) of identity indices (B,)."""
        return unit_style(self.table[identity])

    def similarity(self, style: Tensor) -> Tensor:
        """Return the cosine similarity (B, N) of styles (B, S) to the table's rows."""
        return F.normalize(style, dim=-1) @ F.normalize(self.table, dim=-1).T

    def contrastive_loss(self, style: Tensor, identity: Tensor) -> Tensor:
        """Return the symmetric InfoNCE loss between styles read off audio (B, S) and the identities (B,) of their speakers.

        CLIP's form with a learned temperature (Radford et al. 2021, figure 3). The identity -> audio direction has as
        many positives as the batch has clips of that identity; their log-probabilities are averaged.
        """
        logits = self.similarity(style) * self.log_temperature.clamp(max=4.6).exp()  # (B, N)
        audio_to_identity = F.cross_entropy(logits, identity)
        positives = F.one_hot(identity, logits.shape[1]).T.float()  # (N, B)
        present = positives.sum(1) > 0
        log_probability = logits.T.log_softmax(-1)  # (N, B)
        per_identity = (positives * log_probability).sum(1) / positives.sum(1).clamp(min=1)
        return 0.5 * (audio_to_identity - per_identity[present].mean())
