"""Voice activity detection: speech, silence and other sound (noise, music), classified over windows of one second.

Speech, unlike a chord or a fan, pauses between syllables, is voiced in part, and changes its spectrum and pitch all the time.
Only 100 to 3800 Hz count, so that telephone and studio recordings are classified alike.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from talker_cli.formats.audio import SAMPLE_RATE

HOP = 160  # samples, 10 ms: one frame
WINDOW = 640  # samples, 40 ms: almost three periods of the lowest pitch
FFT = 2048  # samples: room for an autocorrelation without wrapping
BAND = (100.0, 3800.0)  # hertz
PITCH_LAGS = (40, 229)  # samples, 400 to 70 Hz
PERIODIC = 0.6  # normalised autocorrelation at the pitch above which a frame is voiced
BANDS = 18
BLOCK = 1024  # frames analysed at once: bounds the memory
SECOND = 100  # frames of a window
STRIDE = 25  # frames between windows
CONTEXT = 7  # windows averaged: moments of music resemble speech
CERTAIN = 6.0  # scores are clipped to ±6, so that one window cannot outvote its neighbours
QUIETEST = -60.0  # dBFS: a window that stays below is silent
DYNAMICS = 35.0  # dB below a window's loudest frames that still belong to speech
LONGEST_PAUSE = 0.4  # seconds; longer pauses are left out
SHORTEST = 0.5  # seconds; shorter sound is not classified

# Logistic regression over the features of `_score`, on 4,975 seconds of eleven human and eleven synthetic voices against
# 4,973 of music, tones and noise. That material is not in the repository, and no script derives the weights again.
WEIGHTS = np.array([0.258, 15.505, 0.593, -16.461, -12.053, 0.2])
BIAS = -8.1


def strongest_lag(correlation: np.ndarray, window: np.ndarray, shortest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) the lag of the highest normalised autocorrelation, samples, and (N,) its value, 0…1.

    Args:
        correlation: (N, L) autocorrelation of N windowed frames, by lag.
        window: (L,) autocorrelation of the window, whose decay is divided out.
        shortest: Shortest lag that counts, samples.
    """
    normal = correlation / (correlation[:, :1] + 1e-9) / (window / window[0])
    lag = normal[:, shortest:].argmax(1) + shortest
    return lag, np.take_along_axis(normal, lag[:, None], 1)[:, 0]


@dataclass(frozen=True)
class SpeechSegments:
    """Speech of a recording.

    Args:
        segments: (start, end) of each piece of speech in samples, without long pauses.
        speech: Seconds of speech.
        silence: Seconds of silence.
        other: Seconds of other sound: music, noise.
    """

    segments: tuple[tuple[int, int], ...]
    speech: float
    silence: float
    other: float

    def cut(self, sound: np.ndarray) -> np.ndarray:
        """Return the speech alone, (S,), of the analysed sound."""
        pieces = [sound[start:end] for start, end in self.segments]
        return np.concatenate(pieces) if pieces else sound[:0]


def detect_speech(sound: np.ndarray) -> SpeechSegments:
    """Find the speech in a recording.

    Args:
        sound: (S,) float32 in -1…1, 16 kHz.
    """
    seconds = len(sound) / SAMPLE_RATE
    if seconds < SHORTEST:
        return SpeechSegments((), 0.0, seconds, 0.0)
    frames = _Frames.of(sound)
    count = len(frames.level)
    starts = range(0, max(count - SECOND, 0) + 1, STRIDE)
    raw = [_score(frames, start, min(start + SECOND, count)) for start in starts]
    silent = np.array([score is None for score in raw])
    scores = np.array([0.0 if score is None else np.clip(score, -CERTAIN, CERTAIN) for score in raw])
    kernel = np.ones(min(CONTEXT, len(scores)))
    smooth = np.convolve(scores, kernel, "same")
    # Each frame gets the score of the window centred nearest to it.
    window = np.clip((np.arange(count) - SECOND // 2 + STRIDE // 2) // STRIDE, 0, len(starts) - 1)
    sounding = ~silent[window] & (frames.level > frames.reach(DYNAMICS))
    speaking = sounding & (smooth[window] > 0)
    speech_frames = close_gaps(speaking, round(LONGEST_PAUSE * SAMPLE_RATE / HOP))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], speech_frames, [False]]).astype(np.int8)))
    margin = WINDOW - HOP  # a frame is longer than its hop
    segments = tuple((int(start) * HOP, min(int(end) * HOP + margin, len(sound))) for start, end in edges.reshape(-1, 2))
    speech = float(speech_frames.mean()) * seconds
    other = float((sounding & ~speech_frames).mean()) * seconds
    return SpeechSegments(segments, speech, max(0.0, seconds - speech - other), other)


@dataclass(frozen=True)
class _Frames:
    """A recording in steps of 10 ms: level in dB, periodicity 0…1, pitch in hertz, and (N, BANDS) levels in dB."""

    level: np.ndarray
    periodicity: np.ndarray
    pitch: np.ndarray
    bands: np.ndarray

    @classmethod
    def of(cls, sound: np.ndarray) -> "_Frames":
        count = max(1, (len(sound) - WINDOW) // HOP + 1)
        window = np.hanning(WINDOW).astype(np.float32)
        frequency = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)
        inside = ((frequency > BAND[0]) & (frequency < BAND[1])).astype(np.float32)
        edges = np.geomspace(120.0, 3700.0, BANDS + 1)
        bank = ((frequency[:, None] >= edges[:-1]) & (frequency[:, None] < edges[1:])).astype(np.float32)
        bank /= bank.sum(0)
        first, last = PITCH_LAGS
        taper = np.fft.irfft(np.abs(np.fft.rfft(window, FFT)) ** 2)[:last]
        parts = []
        for start in range(0, count, BLOCK):
            at = (np.arange(start, min(start + BLOCK, count)) * HOP)[:, None] + np.arange(WINDOW)
            power = np.abs(np.fft.rfft(sound[at] * window, FFT)).astype(np.float32) ** 2 * inside
            level = 10 * np.log10(power.sum(1) * (2 / FFT / np.square(window).sum()) + 1e-12)
            lag, periodicity = strongest_lag(np.fft.irfft(power)[:, :last], taper, first)
            parts.append((level, periodicity, SAMPLE_RATE / lag, 10 * np.log10(power @ bank + 1e-9)))
        return cls(*(np.concatenate(part).astype(np.float32) for part in zip(*parts, strict=True)))

    def reach(self, dynamics: float) -> np.ndarray:
        """Return (N,) the level `dynamics` dB below the 95th percentile of the second round each frame."""
        half = SECOND // 2
        rows = [np.percentile(self.level[max(0, at - half) : at + half], 95) for at in range(0, len(self.level), 10)]
        return np.maximum(np.repeat(rows, 10)[: len(self.level)] - dynamics, QUIETEST)


def _score(frames: _Frames, start: int, end: int) -> float | None:
    """Return the log-odds that a window is speech; None if it is silent."""
    level, pitch = frames.level[start:end], frames.pitch[start:end]
    top = float(np.percentile(level, 95))
    if top < QUIETEST:
        return None
    loud = level > top - 30.0
    voiced = (frames.periodicity[start:end] > PERIODIC) & loud
    spectrum = frames.bands[start:end] - frames.bands[start:end].mean(1, keepdims=True)
    total = np.cumsum(np.pad(np.maximum(spectrum, -15.0), ((1, 0), (0, 0))), axis=0)
    smooth = (total[5:] - total[:-5]) / 5  # over 50 ms
    moving = loud[4:][10:]
    change = np.sqrt(np.square(smooth[10:] - smooth[:-10]).mean(1))[moving] if moving.any() else np.zeros(1)
    both = voiced[4:] & voiced[:-4]
    semitones = 12 * np.abs(np.log2(pitch[4:] / pitch[:-4]))
    features = np.array([
        min(top - float(np.percentile(level, 10)), 40.0),  # dB that the level falls within the window
        voiced.mean(),
        change.mean(),  # dB that the relative level of a band changes within 100 ms
        (semitones[both] < 0.25).mean() if both.sum() > 5 else 0.0,  # share of the voiced frames with a steady pitch
        frames.periodicity[start:end][loud].mean() if loud.any() else 0.0,
        np.abs(level[5:] - level[:-5]).clip(max=20.0).mean(),  # dB that the level changes within 50 ms
    ])  # fmt: skip
    return float(features @ WEIGHTS + BIAS)


def close_gaps(mask: np.ndarray, gap: int) -> np.ndarray:
    """Return `mask` with gaps of at most `gap` frames filled."""
    inside = np.flatnonzero(mask)
    closed = mask.copy()
    for before, after in pairwise(inside):
        if 1 < after - before <= gap + 1:
            closed[before:after] = True
    return closed
