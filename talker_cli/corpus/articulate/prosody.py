"""Pitch and loudness of a recording, 100 times a second, by autocorrelation."""

from dataclasses import dataclass

import numpy as np

from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.identity.vad import strongest_lag

RATE = 100  # values a second
WINDOW = 640  # samples, 40 ms
LOWEST, HIGHEST = 65.0, 400.0  # hertz
VOICED = 0.45  # normalised autocorrelation from which a window counts as voiced


@dataclass(frozen=True)
class Prosody:
    """Pitch and loudness against the recording's own level.

    Args:
        level: (N,) decibels above the recording's median level of speech, at least -40.
        pitch: (N,) semitones above the recording's median pitch; 0 where unvoiced.
        voiced: (N,) bool, voiced instants.
        hertz: Median pitch; 0 where nothing is voiced.
    """

    level: np.ndarray
    pitch: np.ndarray
    voiced: np.ndarray
    hertz: float = 0.0

    def level_at(self, start: float, end: float) -> float:
        """Return the mean level from `start` to `end`, decibels."""
        return float(self._part(self.level, start, end).mean())

    def pitch_at(self, start: float, end: float) -> float:
        """Return the mean pitch of the voiced part from `start` to `end`, semitones; 0 if there is none."""
        voiced = self._part(self.voiced, start, end)
        return float(self._part(self.pitch, start, end)[voiced].mean()) if voiced.any() else 0.0

    def _part(self, track: np.ndarray, start: float, end: float) -> np.ndarray:
        first = min(max(0, int(start * RATE)), len(track) - 1)
        return track[first : max(first + 1, int(end * RATE))]


def measure_prosody(speech: np.ndarray) -> Prosody:
    """Measure pitch and loudness of (S,) speech at 16 kHz, int16 or float."""
    samples = speech.astype(np.float32) / (32768.0 if speech.dtype == np.int16 else 1.0)
    hop = SAMPLE_RATE // RATE
    count = max(1, len(samples) // hop)
    padded = np.concatenate([np.zeros(WINDOW // 2, np.float32), samples, np.zeros(WINDOW, np.float32)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: count * hop : hop]
    level = np.empty(count)
    frequency = np.zeros(count)
    clarity = np.zeros(count)
    low, high = int(SAMPLE_RATE / HIGHEST), int(SAMPLE_RATE / LOWEST)
    taper = np.hanning(WINDOW).astype(np.float32)
    window_correlation = _autocorrelation(taper[None])[0, : high + 1]
    for first in range(0, count, 2000):  # in blocks: a long recording's spectra would not fit
        block = frames[first : first + 2000]
        energy = np.square(block).mean(-1)
        level[first : first + len(block)] = 10.0 * np.log10(energy + 1e-9)
        correlation = _autocorrelation((block - block.mean(-1, keepdims=True)) * taper)[:, : high + 1]
        lag, clarity[first : first + len(block)] = strongest_lag(correlation, window_correlation, low)
        frequency[first : first + len(block)] = SAMPLE_RATE / lag
    loud = level > np.percentile(level, 95) - 25.0
    level = np.maximum(level - np.median(level[loud]), -40.0)
    voiced = (clarity > VOICED) & (level > -18.0)
    pitch = np.zeros(count)
    hertz = float(np.median(frequency[voiced])) if voiced.any() else 0.0
    if voiced.any():
        pitch[voiced] = 12.0 * np.log2(frequency[voiced] / hertz)
        pitch = np.clip(pitch, -8.0, 8.0)
    return Prosody(_smooth(level, 3), pitch, voiced, hertz)


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(frames, 2 * WINDOW, axis=-1)
    return np.asarray(np.fft.irfft(spectrum * spectrum.conj(), axis=-1)[:, :WINDOW])


def _smooth(track: np.ndarray, width: int) -> np.ndarray:
    kernel = np.hanning(2 * width + 1)
    return np.convolve(np.pad(track, width, mode="edge"), kernel / kernel.sum(), "valid")
