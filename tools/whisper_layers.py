"""Stem, positions and first layers of Whisper's encoder as PyTorch modules, of which `convert_whisper.py` makes a graph."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talker_cli.model.whisper import BANDS, POSITIONS, WIDTH

HEADS, LAYERS = 8, 4


class Layer(nn.Module):
    """A pre-norm transformer layer over (B, N, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_attention, self.norm_feed_forward = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, WIDTH)."""
        batch, count, _ = x.shape
        qkv = self.qkv(self.norm_attention(x)).view(batch, count, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])  # (B, HEADS, N, WIDTH / HEADS)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, count, WIDTH))
        return x + self.down(F.gelu(self.up(self.norm_feed_forward(x))))


class WhisperLayers(nn.Module):
    """Log-mel columns (B, BANDS, 2 N) -> the outputs (B, N, WIDTH) of the last layer, each normalised."""

    positions: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.register_buffer("positions", torch.zeros(POSITIONS, WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, mel: Tensor) -> Tensor:
        """Return (B, N, WIDTH)."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return F.layer_norm(x, (WIDTH,))
