"""Speaker adaptation of aligned phones: models of one voice's own sounds, estimated from the general aligner's phones.

A Gaussian for each third of a phone, over cepstra and their deltas every 5 ms, and Viterbi training (Juang & Rabiner 1990).
The general aligner's acoustic model is English; these models are of the voice, its language and its room.

What it gives, by benchmarks/alignment.py against the own times of eight synthetic voices, 24 sentences each: the median
error of a phone's start falls from 9.0 to 7.6 ms, and 80 % -> 86 % begin within 20 ms; the share of bilabials within 50 ms
stays as it is. The shipped weights learned from these phones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from talker_cli.corpus.align.alignment import cover
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import SILENCE, Phones

HOP = 80  # samples, 5 ms
WINDOW = 400
FFT = 512
BANDS, CEPSTRA = 26, 13
PARTS = 3  # states of a phone; a silence has one
ROUNDS = 2  # rounds of estimation and alignment
PRIOR_FRAMES = 3.0  # weight of all sounds' Gaussian in each sound's, so that rare sounds have one
ACOUSTIC_SCALE = 0.3  # neighbouring frames are correlated: their likelihoods count less than independent ones
REACH = 0.06  # seconds a phone may move at either end: unbounded, phones collapse where text and sound differ
LEAST_VARIANCE = 0.1  # smallest variance, as a share of that of all sounds


def realign(recordings: Sequence[tuple[np.ndarray, Phones]]) -> list[Phones]:
    """Align the phones of a voice's recordings again, by models of its own sounds; pauses may vanish.

    Args:
        recordings: Speech (S,) int16 at 16 kHz and the phones of each recording of the voice.
    """
    features = [cepstra(speech) for speech, _ in recordings]
    sequences = [[phone for phone, _, _ in phones] for _, phones in recordings]
    sounds = {name: place for place, name in enumerate(sorted({SILENCE, *(name for names in sequences for name in names)}))}
    states = [_states_at(phones, len(frames), sounds) for frames, (_, phones) in zip(features, recordings, strict=True)]
    aligned = [phones for _, phones in recordings]
    for _ in range(ROUNDS):
        model = VoiceModel.estimate(zip(features, states, strict=True), len(sounds) * PARTS)
        for index, (frames, names) in enumerate(zip(features, sequences, strict=True)):
            path = model.path(frames, names, sounds, _allowed(recordings[index][1], len(frames)))
            if path is not None:
                phone, states[index] = path
                aligned[index] = _phones_of(phone, names, len(recordings[index][0]) / SAMPLE_RATE)
    return aligned


def cepstra(speech: np.ndarray) -> np.ndarray:
    """Return (T, 3 CEPSTRA) float32 of (S,) int16 speech: cepstra less their mean over the loud frames, and deltas twice."""
    wave = speech.astype(np.float64) / 32768
    wave = np.append(wave[:1], wave[1:] - 0.97 * wave[:-1])
    count = max(1, len(wave) // HOP)
    padded = np.pad(wave, (WINDOW // 2, WINDOW // 2 + HOP))
    starts = np.arange(count) * HOP + HOP // 2
    power = np.abs(np.fft.rfft(padded[starts[:, None] + np.arange(WINDOW)] * np.hamming(WINDOW), FFT)) ** 2
    values = np.log(power @ _bands() + 1e-8) @ _cosines()
    loud = values[:, 0] >= np.percentile(values[:, 0], 30)
    values -= values[loud].mean(0)
    deltas = _deltas(values)
    return np.concatenate([values, deltas, _deltas(deltas)], 1).astype(np.float32)


@dataclass(frozen=True)
class VoiceModel:
    """Acoustic models of a voice's sounds.

    Args:
        mean, variance: (S, D) mean and variance of each state's frames.
        length: (S,) mean duration of each state, frames.
    """

    mean: np.ndarray
    variance: np.ndarray
    length: np.ndarray

    @classmethod
    def estimate(cls, examples: Iterable[tuple[np.ndarray, np.ndarray]], states: int) -> "VoiceModel":
        """Estimate the models from frames (T, D) and their states (T,)."""
        count, runs = np.zeros(states), np.zeros(states)
        total, squares = 0.0, 0.0
        for frames, at in examples:
            membership = (at[None] == np.arange(states)[:, None]).astype(np.float32)  # (S, T)
            count += membership.sum(1)
            total = total + (membership @ frames).astype(np.float64)
            squares = squares + (membership @ np.square(frames)).astype(np.float64)
            runs += np.bincount(at[np.flatnonzero(np.diff(at, prepend=-1))], minlength=states)
        all_mean = np.sum(total, 0) / count.sum()
        all_variance = np.sum(squares, 0) / count.sum() - all_mean**2
        weight = count[:, None] + PRIOR_FRAMES
        mean = (total + PRIOR_FRAMES * all_mean) / weight
        variance = (squares + PRIOR_FRAMES * (all_variance + all_mean**2)) / weight - mean**2
        length = np.maximum((count + 8.0) / (runs + 2.0), 1.5)
        return cls(mean, np.maximum(variance, LEAST_VARIANCE * all_variance), length)

    def path(
        self, frames: np.ndarray, names: Sequence[str], sounds: dict[str, int], allowed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return each frame's phone (T,), an index into `names`, and state (T,), on the likeliest path; None if there is none.

        Silences may be skipped.

        Args:
            frames: (T, D) features.
            names: Phones of the recording, in order.
            sounds: Index of each sound's model.
            allowed: (T, len(names)) bool, frames that each phone may cover.
        """
        ids = np.concatenate([_states_of(name, sounds) for name in names])  # (N,) states in a row
        silent = [PARTS * place for place, name in enumerate(names) if name == SILENCE]
        # A silence is skipped by a step from the state before its first to the one behind its last.
        after_silence = np.array([place + PARTS for place in silent if 0 < place < len(ids) - PARTS], int)
        log_stay, log_go = np.log1p(-1.0 / self.length[ids]), -np.log(self.length[ids])
        fit = np.where(allowed.repeat(PARTS, 1), ACOUSTIC_SCALE * self._log_likelihood(frames)[:, ids], -np.inf)
        score = np.full(len(ids), -np.inf)
        score[0] = fit[0, 0]
        if names[0] == SILENCE and len(names) > 1:
            score[PARTS] = fit[0, PARTS]
        steps = np.zeros((len(frames), len(ids)), np.int8)  # states between a frame's and its predecessor's
        for index in range(1, len(frames)):
            go = score + log_go
            best = score + log_stay
            entered = np.concatenate([[-np.inf], go[:-1]])
            forward = entered > best
            best, step = np.where(forward, entered, best), forward.astype(np.int8)
            if len(after_silence):
                jump = go[after_silence - PARTS - 1]
                far = jump > best[after_silence]
                best[after_silence[far]], step[after_silence[far]] = jump[far], PARTS + 1
            score, steps[index] = best + fit[index], step
        ends = [len(ids) - 1] + ([len(ids) - 1 - PARTS] if names[-1] == SILENCE and len(names) > 1 else [])
        state = max(ends, key=lambda end: score[end])
        if not np.isfinite(score[state]):
            return None
        path = np.empty(len(frames), int)
        for index in range(len(frames) - 1, -1, -1):
            path[index] = state
            state -= int(steps[index, state])
        return path // PARTS, ids[path]

    def _log_likelihood(self, frames: np.ndarray) -> np.ndarray:
        """Return (T, S) the log likelihood of each state, up to a constant."""
        inverse = 1.0 / self.variance
        shares = np.square(frames) @ inverse.T - 2.0 * frames @ (self.mean * inverse).T
        return np.asarray(-0.5 * (shares + (np.square(self.mean) * inverse + np.log(self.variance)).sum(1)))


def _allowed(phones: Phones, count: int) -> np.ndarray:
    """Return (count, len(phones)) bool: the frames that each phone may cover."""
    middle = (np.arange(count) + 0.5)[:, None] * HOP / SAMPLE_RATE
    start, end = (np.array([phone[side] for phone in phones]) for side in (1, 2))
    return np.asarray((middle > start - REACH) & (middle < end + REACH))


def _states_of(name: str, sounds: dict[str, int]) -> np.ndarray:
    """Return the PARTS states of a phone; a silence has one, repeated."""
    return PARTS * sounds[name] + (np.zeros(PARTS, int) if name == SILENCE else np.arange(PARTS))


def _states_at(phones: Phones, count: int, sounds: dict[str, int]) -> np.ndarray:
    """Return the state (T,) of each of `count` frames, a phone's thirds equally long."""
    rate = SAMPLE_RATE / HOP
    states = np.full(count, PARTS * sounds[SILENCE])
    for name, start, end in phones:
        first, last = round(start * rate), min(round(end * rate), count)
        states[first:last] = _states_of(name, sounds)[np.arange(last - first) * PARTS // max(1, last - first)]
    return states


def _phones_of(phone: np.ndarray, names: Sequence[str], duration: float) -> Phones:
    """Return the phones of each frame's index (T,) into `names`."""
    edges = np.flatnonzero(np.diff(phone, prepend=-1, append=-1))
    step = HOP / SAMPLE_RATE
    segments = [(names[phone[first]], float(first * step), float(last * step)) for first, last in pairwise(edges)]
    name, start, _ = segments[-1]
    return cover([*segments[:-1], (name, start, duration)], duration)


def _bands() -> np.ndarray:
    """Return (FFT / 2 + 1, BANDS): triangular filters on the mel scale from 60 to 7,800 Hz."""
    low, high = 2595.0 * np.log10(1.0 + np.array([60.0, 7800.0]) / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(low, high, BANDS + 2) / 2595.0) - 1.0)
    bins = np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1)[:, None]
    rise, fall = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0.0, np.minimum(rise, fall)))


def _cosines() -> np.ndarray:
    """Return (BANDS, CEPSTRA) of the discrete cosine transform."""
    angles = np.pi * (np.arange(BANDS)[:, None] + 0.5) * np.arange(CEPSTRA)[None] / BANDS
    return np.cos(angles) * np.sqrt(2.0 / BANDS)


def _deltas(values: np.ndarray) -> np.ndarray:
    """Return the change (T, D) of values (T, D) over 20 ms on either side."""
    padded = np.pad(values, ((4, 4), (0, 0)), "edge")
    return np.asarray(padded[8:] - padded[:-8] + 0.5 * (padded[6:-2] - padded[2:-6]))
