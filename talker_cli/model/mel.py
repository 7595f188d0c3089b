"""Speech (S,) at 16 kHz -> log-mel columns (T * mels_per_frame, bands) at any frame rate."""

from functools import lru_cache

import numpy as np

from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.model.config import ModelConfig

WINDOW = 400  # samples, 25 ms
FFT = 512  # samples
MEL_FLOOR = 1e-6  # power; speech at full scale lies near 1
MEL_SHIFT, MEL_SCALE = 5.0, 4.0  # fixed, never taken from the file: chunked and whole generation must agree


@lru_cache(maxsize=4)
def mel_filters(bands: int) -> np.ndarray:
    """Return the (FFT / 2 + 1, bands) float32 mel filter bank, 0 to 8 kHz (HTK scale, unnormalised triangles)."""
    edges_mel = np.linspace(0.0, hertz_to_mel(SAMPLE_RATE / 2), bands + 2)
    edges = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    bins = np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0.0).astype(np.float32)


def hertz_to_mel(frequency: float) -> float:
    """Return the HTK mel value of a frequency in hertz."""
    return float(2595.0 * np.log10(1.0 + frequency / 700.0))


@lru_cache(maxsize=1)
def window() -> np.ndarray:
    """Return the (WINDOW,) float32 Hann window, of unit energy."""
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW)
    return (hann / np.sqrt(np.square(hann).sum())).astype(np.float32)


def speech_windows(speech: np.ndarray, frames: int, config: ModelConfig, *, first: int = 0, offset: int = 0) -> np.ndarray:
    """Return the (T * mels_per_frame, WINDOW) samples that columns are made of.

    Column j is centred on (j + 0.5) / mels_per_frame - 0.5 frames, so a frame's columns lie round its instant at any
    frame rate, which a spectrogram with a whole number of samples a hop cannot give.

    Args:
        speech: (S,) float32, -1…1, 16 kHz.
        frames: T, motion frames wanted; speech is taken as silent outside its length.
        config: bands, columns and rate.
        first: the first of these frames; any part of a recording gives the columns that the whole gives.
        offset: the recording's sample that `speech` begins with.
    """
    position = (np.arange(frames * config.mels_per_frame) + 0.5) / config.mels_per_frame - 0.5 + first
    start = np.rint(position * (SAMPLE_RATE / config.fps)).astype(np.int64) - offset - WINDOW // 2
    before = max(0, -int(start[0])) if len(start) else 0
    reach = int(start[-1]) + WINDOW if len(start) else 0
    padded = np.pad(speech, (before, max(0, reach - len(speech))))
    return padded[start[:, None] + before + np.arange(WINDOW)]


def log_mel(speech: np.ndarray, frames: int, config: ModelConfig, *, first: int = 0, offset: int = 0) -> np.ndarray:
    """Return the log-mel spectrogram (T * mels_per_frame, bands) float32, normalised by constants; see `speech_windows`."""
    spectrum = np.fft.rfft(speech_windows(speech, frames, config, first=first, offset=offset) * window(), FFT)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    mel = power.astype(np.float32) @ mel_filters(config.mel_bands)
    return ((np.log(mel + np.float32(MEL_FLOOR)) + np.float32(MEL_SHIFT)) / np.float32(MEL_SCALE)).astype(np.float32)
