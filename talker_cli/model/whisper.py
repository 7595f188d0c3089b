"""Whisper as an audio encoder (Radford et al. 2022): speech (S,) at 16 kHz -> outputs of its fourth layer (N, W), 50 a second.

It is the stem, the positions and the first four layers of openai/whisper-base's encoder, frozen. transformers' own takes
windows of 30 s and no others. Output j is about the instant j / 50 s, and normalised: a few have norms far above all others.
The level of each window's spectrogram is taken out, so that soft speech is read like loud.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talker_cli.errors import ModelError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.files import ArrayFile, file_hash
from talker_cli.model.config import WHISPER
from talker_cli.model.folder import weights_folder
from talker_cli.model.frozen import Description, FrozenEncoder
from talker_cli.model.phones import PHONES_FILE, PhoneHead
from talker_cli.model.torchaudio_functional import functional

FOLDER = "whisper-base"  # below weights/
ENCODER = "encoder.safetensors"
WIDTH, HEADS, LAYERS, BANDS = 512, 8, 4, 80
FFT, HOP = 400, 160  # samples
STRIDE = 2 * HOP  # samples an output
CORE, MARGIN = 500, 100  # outputs: 10 s, and 2 s of context on either side
POSITIONS = CORE + 2 * MARGIN  # of Whisper's 1,500
FLOOR = 1e-16  # power: far below any sound, soft speech too
DYNAMICS = 8.0  # decades of power below the level, where the spectrogram is cut off
LEVEL_QUANTILE = 0.98  # of a window's columns: clicks do not set its level
LEVEL = 1.5  # decades of power; what the recordings that Whisper learned from have
LARGEST_GAIN, LARGEST_CUT = 5.0, 1.0  # decades of power: speech 50 dB softer is read like speech at full level


def describe() -> Description:
    """Return what the encoder is.

    Raises:
        ModelError: its weights are missing or damaged.
    """
    folder = weights_folder(FOLDER)
    if folder is None:
        raise ModelError(f"no weights/{FOLDER}; expected the folder that talker comes with; run tools/fetch_whisper.sh")
    return describe_folder(folder)


def describe_folder(folder: Path) -> Description:
    """Return what the encoder in a folder is; one without a phone head gives features alone.

    Raises:
        ModelError: its weights are missing or damaged.
    """
    files = [path for name in (ENCODER, PHONES_FILE) if (path := folder / name).is_file()]
    if folder / ENCODER not in files:
        raise ModelError(f"no {ENCODER} in {folder}; expected Whisper's weights; run tools/fetch_whisper.sh")
    names = PhoneHead.load(folder / PHONES_FILE, WIDTH).names if folder / PHONES_FILE in files else ()
    digest = _hash(tuple((path, path.stat().st_mtime_ns) for path in files))
    return Description(WHISPER, folder, digest, WIDTH + len(names), STRIDE, STRIDE, 0.0, CORE, MARGIN, phones=names)


@lru_cache(maxsize=2)
def _hash(files: tuple[tuple[Path, int], ...]) -> str:
    """Return the hash of the files, last written then, and of this code's constants."""
    constants = [DYNAMICS, LEVEL_QUANTILE, LEVEL, LARGEST_GAIN, LARGEST_CUT, CORE, MARGIN]
    return hashlib.sha256(repr([constants, *(file_hash(path) for path, _ in files)]).encode()).hexdigest()


@lru_cache(maxsize=1)
def mel_filters() -> Tensor:
    """Return Whisper's mel filter bank (FFT / 2 + 1, BANDS): Slaney's scale and norm, 0 to 8 kHz."""
    filters: Tensor = functional().melscale_fbanks(
        FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, BANDS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    return filters


def log_mel(speech: Tensor) -> Tensor:
    """Return Whisper's log-mel spectrogram (BANDS, S / HOP) of a window of speech (S,), its level taken out."""
    window = torch.hann_window(FFT, device=speech.device)
    spectrum = torch.stft(F.pad(speech, (FFT // 2, FFT // 2)), FFT, HOP, window=window, center=False, return_complex=True)
    power = (spectrum.real.square() + spectrum.imag.square())[:, : len(speech) // HOP]
    mel = (mel_filters().to(power).T @ power).clamp(min=FLOOR).log10()  # (BANDS, columns)
    level = torch.quantile(mel.amax(0), LEVEL_QUANTILE)
    gain = (LEVEL - level).clamp(-LARGEST_CUT, LARGEST_GAIN)
    return (torch.maximum(mel + gain, torch.as_tensor(LEVEL - DYNAMICS)) + 4.0) / 4.0


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


class WhisperEncoder(FrozenEncoder):
    """The encoder, loaded, with the phone head of its folder: an output is WIDTH features and P posteriors. In float32.

    Raises:
        ModelError: its weights are damaged.
    """

    def __init__(self, about: Description, device: torch.device) -> None:
        super().__init__(about)
        self._device = device
        file = ArrayFile(about.folder / ENCODER, "audio encoder")
        with torch.device("meta"):
            layers = WhisperLayers()
        state = {
            name: torch.from_numpy(file.array(name, shape=tuple(tensor.shape)).astype("float32"))
            for name, tensor in layers.state_dict().items()
        }
        layers.load_state_dict(state, strict=True, assign=True)
        self._layers = layers.eval().requires_grad_(False).to(device)
        self.head = PhoneHead.load(about.folder / PHONES_FILE, WIDTH).to(device) if about.phones else None

    @property
    def parameters(self) -> int:
        """The number of its parameters, none of them trained here."""
        return sum(parameter.numel() for parameter in self._layers.parameters())

    @torch.inference_mode()
    def _run(self, speech: np.ndarray) -> np.ndarray:
        samples = len(speech) // STRIDE * STRIDE
        mel = log_mel(torch.from_numpy(speech[:samples]).to(self._device))
        features: Tensor = self._layers(mel[None])[0]
        outputs = features if self.head is None else torch.cat([features, self.head.posteriors(features)], -1)
        return outputs.cpu().numpy()
