"""Live sound of usual rates at 16 kHz, as it comes: a windowed sinc, the same for any parts in which the samples come."""

from functools import lru_cache
from math import gcd

import numpy as np

RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)  # hertz
TARGET = 16_000
CROSSINGS = 24  # of the sinc to either side
CUTOFF = 0.94  # of the lower Nyquist frequency: the filter has fallen by 60 dB where the other half would alias
KAISER = 8.0  # shape of the window
BLOCK = 1024  # outputs made at a time: each takes a row of its inputs


@lru_cache(maxsize=len(RATES))
def _phases(rate: int) -> np.ndarray:
    """Return the filters (phases, taps) float32 of a rate, one for each place of an output between two inputs."""
    phases = TARGET // gcd(rate, TARGET)
    width = CUTOFF * min(1.0, TARGET / rate)  # of the pass band, in the input's Nyquist frequencies
    half = _half(rate)
    place = np.arange(-half + 1, half + 1)[None] - np.arange(phases)[:, None] / phases  # (phases, taps), of the inputs
    window = np.i0(KAISER * np.sqrt(np.clip(1 - (place / half) ** 2, 0, None))) / np.i0(KAISER)
    filters = np.sinc(width * place) * window
    return (filters / filters.sum(1, keepdims=True)).astype(np.float32)


def _half(rate: int) -> int:
    """Return the number of inputs to either side that an output looks at."""
    return int(np.ceil(CROSSINGS * max(1.0, rate / TARGET) / CUTOFF))


class Resampler:
    """Converts samples of one sound, part by part, to 16 kHz.

    Args:
        rate: Rate of the samples, hertz, one of `RATES`.
    """

    def __init__(self, rate: int) -> None:
        self._rate, self._half = rate, _half(rate)
        self._samples = np.zeros(self._half - 1, np.float32)  # silence before the sound
        self._first = 1 - self._half  # place of the first of `_samples` in the sound
        self._count, self._made = 0, 0  # samples in and out so far

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Append (S,) float32; return the (N,) float32 at 16 kHz that became known."""
        if self._rate == TARGET:
            return samples
        self._count += len(samples)
        return self._advance(samples, max(0, (self._count - self._half - 1) * TARGET // self._rate + 1))

    def finish(self) -> np.ndarray:
        """End the sound; return the (N,) float32 that still waited: silence follows."""
        if self._rate == TARGET:
            return np.zeros(0, np.float32)
        return self._advance(np.zeros(self._half + 1, np.float32), -(-self._count * TARGET // self._rate))

    def _advance(self, samples: np.ndarray, end: int) -> np.ndarray:
        """Return the outputs up to number `end`."""
        self._samples = np.concatenate([self._samples, samples])
        if end <= self._made:
            return np.zeros(0, np.float32)
        filters = _phases(self._rate)
        step = TARGET // len(filters)  # 16 kHz and the rate in units of their divisor
        windows = np.lib.stride_tricks.sliding_window_view(self._samples, 2 * self._half)
        made = np.empty(end - self._made, np.float32)
        for start in range(0, len(made), BLOCK):
            ticks = np.arange(self._made + start, min(self._made + start + BLOCK, end)) * (self._rate // step)
            rows = windows[ticks // len(filters) + 1 - self._half - self._first]
            made[start : start + BLOCK] = (rows * filters[ticks % len(filters)]).sum(1)
        self._made = end
        gone = end * self._rate // TARGET + 1 - self._half - self._first
        self._samples, self._first = self._samples[gone:].copy(), self._first + gone
        return made
