"""What the sound of a voice tells of its style: measures of articulation, rate, liveliness and vocal effort, without a text.

Sums over frames of 10 ms stand behind every measure, so that measures of several recordings, or of a part of one, are those of
the added sums. No measure depends on the recording's level.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.identity.vad import close_gaps, strongest_lag

MEASURES: tuple[str, ...] = ("f1_spread", "f2_spread", "rate", "unevenness", "pitch_range", "level_range", "effort")
"""Measures of a voice, in order.

f1_spread, f2_spread: Spread of the first and second formant over voiced frames, log of the std of log hertz: how far the vowels
    lie apart. A longer vocal tract shifts log formants and leaves their spread.
rate: Log of syllables a second, pauses left out.
unevenness: Mean difference of successive times between syllables, as a share of their mean (pairwise variability index).
pitch_range: Log of the pitch's std, semitones.
level_range: Log of the level's std over voiced frames, decibels.
effort: Level from 1 to 4 kHz against that from 100 Hz to 1 kHz, decibels: loud voices have flatter spectra.
"""

HOP = 160  # samples, 10 ms
WINDOW = 512  # samples, 32 ms
FFT = 1024
NYQUIST = 5000.0  # hertz, of the linear prediction: five formants of a tract of 17 cm
ORDER = 11  # of the linear prediction: two poles a formant, one for the tilt
PITCH_LAGS = (40, 246)  # samples, 400 to 65 hertz
VOICED = 0.5  # normalised autocorrelation
LOUD = 18.0  # decibels below the loudest frames that vowels reach
SPEAKING = 30.0  # decibels below them that speech reaches
PAUSE = 15  # frames; longer gaps are pauses
LONGEST = 0.6  # seconds between syllables; a longer time is a pause
DIP = 1.5  # decibels that the level falls between two syllables
BLOCK = 2000  # frames analysed at once
F1, F2 = (200.0, 1100.0), (700.0, 3000.0)  # hertz
OCTAVE = 9.0  # semitones from the median pitch; pitch beyond is an error of an octave
SUMS = 14


@dataclass(frozen=True)
class VoiceSums:
    """Sums over a voice's frames; the sums of two recordings add up.

    Args:
        values: (SUMS,) float64.
    """

    values: np.ndarray

    @classmethod
    def of(cls, speech: np.ndarray) -> "VoiceSums":
        """Measure (S,) speech at 16 kHz, int16 or float."""
        return cls(_sums(speech.astype(np.float32) / (32768.0 if speech.dtype == np.int16 else 1.0)))

    @classmethod
    def total(cls, parts: Iterable["VoiceSums"]) -> "VoiceSums":
        """Return the sums of several recordings together."""
        return cls(np.sum([np.zeros(SUMS), *(part.values for part in parts)], axis=0))

    def reading(self) -> np.ndarray:
        """Return the input of a model's personalizer (M + 1,) float32: the MEASURES and the log of the seconds."""
        return np.append(self.measures(), np.log(max(self.seconds, 0.5))).astype(np.float32)

    @property
    def seconds(self) -> float:
        """Seconds of speech, pauses left out."""
        return float(self.values[0]) * HOP / SAMPLE_RATE

    def measures(self) -> np.ndarray:
        """Return the MEASURES (M,) float64; a voice without a vowel or a second syllable gets those of no spread."""
        frames, nuclei, formants, f1, f1_square, f2, f2_square = self.values[:7]
        voiced, pitch, pitch_square, level_square, effort, gaps, unevenness = self.values[7:]
        return np.array([
            _log_std(formants, f1, f1_square, 0.05), _log_std(formants, f2, f2_square, 0.05),
            np.log(max(nuclei, 1.0) / max(frames * HOP / SAMPLE_RATE, 0.5)), unevenness / max(gaps, 1.0),
            _log_std(voiced, pitch, pitch_square, 0.2), 0.5 * np.log(max(level_square / max(voiced, 1.0), 0.25)),
            effort / max(voiced, 1.0),
        ])  # fmt: skip


def _log_std(count: float, total: float, square: float, least: float) -> float:
    mean = total / max(count, 1.0)
    return float(0.5 * np.log(max(square / max(count, 1.0) - mean * mean, least**2)))


def _sums(speech: np.ndarray) -> np.ndarray:
    count = max(1, (len(speech) - WINDOW) // HOP + 1)
    speech = np.pad(speech, (0, max(0, WINDOW - len(speech))))
    frames = np.lib.stride_tricks.sliding_window_view(speech, WINDOW)[::HOP][:count]
    window = np.hanning(WINDOW).astype(np.float32)
    frequency = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)
    low, high = ((frequency >= first) & (frequency < last) for first, last in ((100.0, 1000.0), (1000.0, 4000.0)))
    taper = np.fft.irfft(np.abs(np.fft.rfft(window, FFT)) ** 2)[: PITCH_LAGS[1]]
    levels, lags, periodic, tilts = [], [], [], []
    for start in range(0, count, BLOCK):
        power = np.abs(np.fft.rfft(frames[start : start + BLOCK] * window, FFT)) ** 2
        lag, clear = strongest_lag(np.fft.irfft(power)[:, : PITCH_LAGS[1]], taper, PITCH_LAGS[0])
        bass, treble = power[:, low].sum(1), power[:, high].sum(1)
        levels.append(10 * np.log10(bass + treble + 1e-7))
        tilts.append(10 * np.log10((treble + 1e-7) / (bass + 1e-7)))
        lags.append(lag)
        periodic.append(clear)
    level, tilt = np.concatenate(levels), np.concatenate(tilts)
    top = float(np.percentile(level, 95))
    loud = level > top - LOUD
    voiced = loud & (np.concatenate(periodic) > VOICED)
    sums = np.zeros(SUMS)
    sums[0] = close_gaps(level > top - SPEAKING, PAUSE).sum()
    nuclei = _nuclei(_smooth(level), voiced)
    sums[1] = len(nuclei)
    if voiced.sum() < 5:
        return sums
    where = np.flatnonzero(voiced)
    formants = _formants(frames, where[::2], window)
    sums[2:7] = len(formants), *np.stack([formants.sum(0), np.square(formants).sum(0)], 1).ravel()
    pitch = 12 * np.log2(SAMPLE_RATE / np.concatenate(lags)[where] / 100.0)
    right = np.abs(pitch - np.median(pitch)) < OCTAVE
    pitch = np.where(right, pitch, np.median(pitch))
    around = level[where] - level[where].mean()
    sums[7:12] = len(where), pitch.sum(), np.square(pitch).sum(), np.square(around).sum(), tilt[where].sum()
    gaps = np.diff(nuclei) * HOP / SAMPLE_RATE
    pairs = np.stack([gaps[:-1], gaps[1:]])[:, (gaps[:-1] < LONGEST) & (gaps[1:] < LONGEST)]
    sums[12:14] = pairs.shape[1], (np.abs(pairs[0] - pairs[1]) / pairs.mean(0)).sum()
    return sums


def _formants(frames: np.ndarray, where: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Return (N, 2) log hertz of the first two formants of the frames in which both are found."""
    frequency = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)
    kept = frequency <= NYQUIST
    emphasis = np.abs(1.0 - 0.95 * np.exp(-1j * np.pi * frequency[kept] / NYQUIST)) ** 2
    found = []
    for start in range(0, len(where), BLOCK):
        power = np.abs(np.fft.rfft(frames[where[start : start + BLOCK]] * window, FFT)[:, kept]) ** 2 * emphasis
        # The inverse transform of half a spectrum is the autocorrelation at twice NYQUIST samples a second.
        roots = np.linalg.eigvals(_companion(_predictor(np.fft.irfft(power)[:, : ORDER + 1])))
        hertz = np.angle(roots) * NYQUIST / np.pi
        width = -np.log(np.abs(roots) + 1e-12) * 2 * NYQUIST / np.pi
        hertz = np.sort(np.where((hertz > 150.0) & (width < 600.0), hertz, np.inf), axis=1)[:, :2]
        inside = (hertz[:, 0] > F1[0]) & (hertz[:, 0] < F1[1]) & (hertz[:, 1] > F2[0]) & (hertz[:, 1] < F2[1])
        found.append(np.log(hertz[inside]))
    return np.concatenate(found) if found else np.zeros((0, 2))


def _predictor(correlation: np.ndarray) -> np.ndarray:
    """Return (N, ORDER) coefficients of the linear prediction, by Levinson's recursion over (N, ORDER + 1) autocorrelations."""
    correlation = correlation * np.array([1.0 + 1e-6, *[1.0] * ORDER])
    error = correlation[:, 0] + 1e-12
    predictor = np.zeros((len(correlation), ORDER))
    for order in range(ORDER):
        known = (predictor[:, :order] * correlation[:, order:0:-1]).sum(1)
        reflection = (correlation[:, order + 1] - known) / error
        predictor[:, :order] -= reflection[:, None] * predictor[:, :order][:, ::-1].copy()
        predictor[:, order] = reflection
        error = error * (1.0 - reflection**2) + 1e-12
    return predictor


def _companion(predictor: np.ndarray) -> np.ndarray:
    """Return (N, ORDER, ORDER) matrices whose eigenvalues are the predictors' poles."""
    matrices = np.zeros((len(predictor), ORDER, ORDER))
    matrices[:, 0] = predictor
    matrices[:, np.arange(1, ORDER), np.arange(ORDER - 1)] = 1.0
    return matrices


def _nuclei(level: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    """Return the frames of the syllables' nuclei: voiced peaks of the level, with a dip of DIP between them."""
    peaks = np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] >= level[2:])) + 1
    nuclei: list[int] = []
    for peak in peaks[voiced[peaks]] if len(peaks) else peaks:
        if nuclei and level[nuclei[-1] : peak + 1].min() > min(level[nuclei[-1]], level[peak]) - DIP:
            if level[peak] > level[nuclei[-1]]:
                nuclei[-1] = int(peak)
        else:
            nuclei.append(int(peak))
    return np.array(nuclei)


def _smooth(level: np.ndarray) -> np.ndarray:
    kernel = np.hanning(9)[1:-1]
    return np.convolve(np.pad(level, 3, mode="edge"), kernel / kernel.sum(), "valid")
