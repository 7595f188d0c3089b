"""Whisper as an audio encoder (Radford et al. 2022): speech (S,) at 16 kHz -> outputs of its fourth layer (N, W), 50 a second.

It is the stem, the positions and the first four layers of openai/whisper-base's encoder, frozen, as an ONNX graph that
`tools/convert_whisper.py` made, most of its matrix products in int8. transformers' own takes windows of 30 s and no others.
Output j is about the instant j / 50 s, and normalised: a few have norms far above all others. The level of each window's
spectrogram is taken out, so that soft speech is read like loud.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from talker_cli.errors import ModelError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.files import file_hash
from talker_cli.model.config import WHISPER
from talker_cli.model.folder import weights_folder
from talker_cli.model.frozen import Description, FrozenEncoder
from talker_cli.model.onnx_session import open_graph
from talker_cli.model.phones import PHONES_FILE, PhoneHead

FOLDER = "whisper-base"  # below weights/
ENCODER = "encoder.onnx"
WIDTH, BANDS = 512, 80
FFT, HOP = 400, 160  # samples
BREAK, BREAK_MEL, STEP = 1000.0, 15.0, np.log(6.4) / 27.0  # of Slaney's mel scale: hertz, mel, and of its logarithm
STRIDE = 2 * HOP  # samples an output
CORE, MARGIN = 500, 100  # outputs: 10 s, and 2 s of context on either side
POSITIONS = CORE + 2 * MARGIN  # of Whisper's 1,500
FLOOR = 1e-16  # power: far below any sound, soft speech too
DYNAMICS = 8.0  # decades of power below the level, where the spectrogram is cut off
LEVEL_QUANTILE = 0.98  # of a window's columns: clicks do not set its level
LEVEL = 1.5  # decades of power; what the recordings that Whisper learned from have
# The graph with products in int8, and the one in half precision that it was made of: models that learned by one hear by both.
QUANTISED = {
    "0260d6fd9beebded7aad16435b4d1f137feb5eabcc86b41b58675586e1c66f4e":
        "ddbcc2c613c9259db296fd5496af25aba899654a0f6c0ac148651e3e891e6638",
}  # fmt: skip
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
    hashes = [file_hash(path) for path, _ in files]
    return hashlib.sha256(repr([constants, *(QUANTISED.get(each, each) for each in hashes)]).encode()).hexdigest()


@lru_cache(maxsize=1)
def mel_filters() -> np.ndarray:
    """Return Whisper's mel filter bank (FFT / 2 + 1, BANDS) float32: Slaney's scale and norm, 0 to 8 kHz."""
    edges = _hertz(np.linspace(0.0, _slaney(SAMPLE_RATE / 2), BANDS + 2))
    bins = np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    area = 2.0 / (edges[2:] - edges[:-2])
    return (np.maximum(np.minimum(rising, falling), 0.0) * area).astype(np.float32)


def _slaney(hertz: float) -> float:
    """Return Slaney's mel value of a frequency above 1 kHz: linear below, logarithmic above."""
    return BREAK_MEL + float(np.log(hertz / BREAK)) / STEP


def _hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < BREAK_MEL, mel * BREAK / BREAK_MEL, BREAK * np.exp(STEP * (mel - BREAK_MEL)))


def hann() -> np.ndarray:
    """Return Whisper's window (FFT,) float32."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FFT) / FFT)).astype(np.float32)


def log_mel(speech: np.ndarray) -> np.ndarray:
    """Return Whisper's log-mel spectrogram (BANDS, S / HOP) float32 of a window of speech (S,), its level taken out."""
    columns = len(speech) // HOP
    padded = np.pad(speech, FFT // 2)
    spectrum = np.fft.rfft(padded[HOP * np.arange(columns)[:, None] + np.arange(FFT)] * hann())
    power = (np.square(spectrum.real) + np.square(spectrum.imag)).astype(np.float32)
    return levelled(np.log10(np.maximum(power @ mel_filters(), np.float32(FLOOR))).T)


def levelled(mel: np.ndarray) -> np.ndarray:
    """Return a window's spectrogram (BANDS, columns), decades of power, at the level and in the range that Whisper reads."""
    level = np.quantile(mel.max(0), LEVEL_QUANTILE)
    gain = np.float32(np.clip(LEVEL - level, -LARGEST_CUT, LARGEST_GAIN))
    return np.asarray((np.maximum(mel + gain, np.float32(LEVEL - DYNAMICS)) + np.float32(4.0)) / np.float32(4.0))


class WhisperEncoder(FrozenEncoder):
    """The encoder, loaded, with the phone head of its folder: an output is WIDTH features and P posteriors. In float32.

    Raises:
        ModelError: its weights are damaged.
        MachineError: ONNX Runtime is missing.
    """

    def __init__(self, about: Description) -> None:
        super().__init__(about)
        self._session = open_graph(about.folder / ENCODER, "Whisper's weights; run tools/fetch_whisper.sh")
        self.head = PhoneHead.load(about.folder / PHONES_FILE, WIDTH) if about.phones else None

    def _run(self, speech: np.ndarray) -> np.ndarray:
        samples = len(speech) // STRIDE * STRIDE
        features: np.ndarray = self._session.run(["outputs"], {"mel": log_mel(speech[:samples])[None]})[0][0]
        return features if self.head is None else np.concatenate([features, self.head.posteriors(features)], -1)
