"""Log-mel columns (B, T * mels_per_frame, bands), or a frozen encoder's outputs, to speech features (B, T, D), one a frame."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talker_cli.model.config import ModelConfig

STEM_COLUMNS = 4  # of the spectrogram, a frame
DROPOUT = 0.1  # in training alone, of the channels of each block's output


class DilatedConv(nn.Module):
    """Convolution of 3 frames over (B, T, width), zero outside: one matrix product of the gathered taps.

    Twice as fast on a CPU as Conv1d, which wants the channels before the time and so two transpositions.
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.taps = nn.Linear(3 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, width)."""
        frames = x.shape[1]
        padded = F.pad(x, (0, 0, self.dilation, self.dilation))
        shifts = [padded[:, tap * self.dilation : tap * self.dilation + frames] for tap in range(3)]
        return self.taps(torch.cat(shifts, -1))


class ConvBlock(nn.Module):
    """Residual block over time: normalise, dilated convolution of 3 frames, GELU, pointwise layer; (B, T, width)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = DilatedConv(width, dilation)
        self.out = nn.Linear(width, width)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, width)."""
        change = self.out(F.gelu(self.conv(self.norm(x))))
        if self.training:
            # Whole channels: a draw a frame and channel would take a tenth of a training step's time on a CPU.
            change = change * self.drop(x.new_ones(x.shape[0], 1, x.shape[2]))
        return x + change


class SpectrogramStem(nn.Module):
    """Log-mel columns (B, 4 T, bands) to one vector a frame (B, T, width), by convolutions over time and frequency.

    Weights shared along the frequency axis find a formant wherever a vocal tract of another length puts it, so unseen voices
    are read better than by a layer that knows every band apart (Abdel-Hamid et al. 2014).
    """

    # Kernels of an even number of columns, symmetric round the frame's instant, which lies between two columns.
    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        if config.mels_per_frame != STEM_COLUMNS:
            raise ValueError(f"the stem reads {STEM_COLUMNS} columns a frame, not {config.mels_per_frame}")
        self.fine = nn.Conv2d(1, 32, (6, 9), stride=(2, 3), padding=(2, 4))
        self.middle = nn.Conv2d(32, 64, (4, 3), stride=(2, 2), padding=(1, 1))
        self.coarse = nn.Conv2d(64, 96, (3, 3), stride=(1, 2), padding=(1, 1))
        bands = config.mel_bands
        for conv in (self.fine, self.middle, self.coarse):
            bands = (bands + 2 * int(conv.padding[1]) - conv.kernel_size[1]) // conv.stride[1] + 1
        self.norm = nn.LayerNorm(96 * bands)
        self.out = nn.Linear(96 * bands, width)

    def forward(self, mel: Tensor) -> Tensor:
        """Return (B, T, width)."""
        x = mel[:, None].contiguous(memory_format=torch.channels_last)  # (B, 1, 4 T, bands)
        for conv in (self.fine, self.middle, self.coarse):
            x = F.gelu(conv(x))
        return self.out(self.norm(x.permute(0, 2, 3, 1).flatten(2)))  # (B, T, bands' * 96) -> (B, T, width)


class CompactEncoder(nn.Module):
    """Log-mel columns to speech features with a finite receptive field: no attention over, and no statistics of, the file."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.feature_width if config.encoder_width is None else config.encoder_width
        self.stem = SpectrogramStem(config, width)
        self.blocks = nn.ModuleList(ConvBlock(width, dilation) for dilation in config.encoder_dilations)
        # A narrower encoder ends with the features that the denoiser reads all the same.
        self.proj_out = nn.Identity() if width == config.feature_width else nn.Linear(width, config.feature_width)
        self.norm = nn.LayerNorm(config.feature_width)

    def forward(self, mel: Tensor) -> Tensor:
        """Return speech features (B, T, D) of log-mel columns (B, T * mels_per_frame, bands)."""
        x = self.stem(mel)  # (B, T, width)
        for block in self.blocks:
            x = block(x)
        return self.norm(self.proj_out(x))  # (B, T, width) -> (B, T, D)


class PretrainedHead(nn.Module):
    """A pretrained encoder's features to speech features: a layer a frame, and convolutions over time. All that is trained."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(config.pretrained_width)
        self.stem = nn.Linear(config.pretrained_width, config.feature_width)
        self.blocks = nn.ModuleList(ConvBlock(config.feature_width, dilation) for dilation in config.encoder_dilations)
        self.norm = nn.LayerNorm(config.feature_width)

    def forward(self, features: Tensor) -> Tensor:
        """Return speech features (B, T, D) of a pretrained encoder's (B, T, W)."""
        x = self.stem(self.norm_in(features))  # (B, T, D)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
