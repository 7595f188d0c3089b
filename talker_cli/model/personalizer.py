"""Who speaks, and how: audio -> style, the identity table, and the contrastive loss that ties them (2311.16565)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talker_cli.model.config import ModelConfig


def unit_style(vector: Tensor) -> Tensor:
    """Return `vector` (…, S) scaled to the length sqrt(S), so that every component is about 1: all styles lie on one sphere."""
    return F.normalize(vector, dim=-1) * vector.shape[-1] ** 0.5


class Personalizer(nn.Module):
    """Read a style off speech: log-mel columns pooled over time, and the table of the identities known by name."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden = 128
        self.stem = nn.Linear(config.mel_bands, hidden)
        self.conv = nn.Conv1d(hidden, hidden, 5, stride=2, padding=2)
        self.out = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.GELU(), nn.Linear(hidden, config.style_width))
        self.table = nn.Parameter(torch.randn(len(config.identities), config.style_width))
        self.log_temperature = nn.Parameter(torch.tensor(2.0))

    def read(self, mel: Tensor) -> Tensor:
        """Return the style (B, S) of log-mel columns (B, columns, bands)."""
        x = F.gelu(self.stem(mel))
        x = F.gelu(self.conv(x.transpose(1, 2)))  # (B, hidden, columns / 2)
        pooled = torch.cat([x.mean(-1), (x.var(-1, correction=0) + 1e-4).sqrt()], -1)
        return unit_style(self.out(pooled))

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
