"""Acoustic conditions: each changes the speech (S,) at 16 kHz, and the truth where its speed changes."""

import zlib
from collections.abc import Callable

import numpy as np
from scipy.signal import resample

from talker_cli.formats.audio import SAMPLE_RATE

SNR = 10.0  # decibels
TELEPHONE_BAND = (300.0, 3400.0)  # hertz
FASTER = 1.2


def noise_10db(speech: np.ndarray, name: str) -> np.ndarray:
    """Return speech with pink noise 10 dB under its mean power; the noise is a function of the recording's name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    spectrum = np.fft.rfft(rng.standard_normal(len(speech)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1.0))
    noise = np.fft.irfft(spectrum, len(speech))
    power = np.mean(np.square(speech, dtype=np.float64)) * 10 ** (-SNR / 10)
    return (speech + noise * np.sqrt(power / np.mean(noise**2))).astype(np.float32)


def telephone(speech: np.ndarray, name: str) -> np.ndarray:
    """Return speech band-limited to 300-3400 Hz."""
    spectrum = np.fft.rfft(speech)
    frequency = np.fft.rfftfreq(len(speech), 1 / SAMPLE_RATE)
    spectrum[(frequency < TELEPHONE_BAND[0]) | (frequency > TELEPHONE_BAND[1])] = 0
    return np.fft.irfft(spectrum, len(speech)).astype(np.float32)


def faster_20(speech: np.ndarray, name: str) -> np.ndarray:
    """Return speech played 1.2 times as fast and as high, by band-limited resampling."""
    return np.asarray(resample(speech, round(len(speech) / FASTER)), np.float32)


SOUNDS: dict[str, tuple[Callable[[np.ndarray, str], np.ndarray] | None, float]] = {
    "clean": (None, 1.0),
    "noise-10db": (noise_10db, 1.0),
    "telephone": (telephone, 1.0),
    "faster-20": (faster_20, FASTER),
}  # name -> (change of the speech, speed factor)


def faster_motion(coefficients: np.ndarray, factor: float) -> np.ndarray:
    """Return coefficients (T, K) of a motion played `factor` times as fast at the same frame rate, linear in between."""
    if factor == 1:
        return coefficients
    position = np.arange(int((len(coefficients) - 1) / factor) + 1) * factor
    frames = np.arange(len(coefficients))
    return np.stack([np.interp(position, frames, column) for column in coefficients.T], 1).astype(coefficients.dtype)
