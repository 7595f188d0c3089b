"""A second look at a voice's phones, with models of its own sounds, estimated where a general aligner placed them.

A Gaussian for each third of a phone, over cepstra and their slopes every 5 ms, and Viterbi training (Juang & Rabiner 1990).
It knows one voice in its language and its room; the general aligner knows all of English and of other languages nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from talker_cli.corpus.align.alignment import cover
from talker_cli.data.dataset import SAMPLE_RATE
from talker_cli.metrics import SILENCE, Phones

HOP = 80  # samples, 5 ms
WINDOW = 400
FFT = 512
BANDS, CEPSTRA = 26, 13
PARTS = 3  # of a phone; a silence has one sound
ROUNDS = 2  # of estimating and placing
PRIOR_FRAMES = 3.0  # of all sounds together, that each sound's Gaussian begins with
ACOUSTIC_SCALE = 0.3  # neighbouring frames say much the same
REACH = 0.06  # seconds a phone may move at either end: where text and sound differ, free phones gather in one place
LEAST_VARIANCE = 0.1  # of that of all sounds


def place_again(recordings: Sequence[tuple[np.ndarray, Phones]]) -> list[Phones]:
    """Return the phones of a voice's recordings, in their order, with times that its own sounds suggest; a pause may vanish.

    Args:
        recordings: speech (S,) int16 at 16 kHz and its phones.
    """
    heard = [cepstra(speech) for speech, _ in recordings]
    sequences = [[phone for phone, _, _ in phones] for _, phones in recordings]
    sounds = {name: place for place, name in enumerate(sorted({SILENCE, *(name for names in sequences for name in names)}))}
    states = [_states_at(phones, len(frames), sounds) for frames, (_, phones) in zip(heard, recordings, strict=True)]
    placed = [phones for _, phones in recordings]
    for _ in range(ROUNDS):
        model = VoiceModel.estimate(zip(heard, states, strict=True), len(sounds) * PARTS)
        for index, (frames, names) in enumerate(zip(heard, sequences, strict=True)):
            path = model.path(frames, names, sounds, _allowed(recordings[index][1], len(frames)))
            if path is not None:
                phone, states[index] = path
                placed[index] = _phones_of(phone, names, len(recordings[index][0]) / SAMPLE_RATE)
    return placed


def cepstra(speech: np.ndarray) -> np.ndarray:
    """Return (T, 3 CEPSTRA) float32 of (S,) int16 speech: cepstra less their mean over what is loud, slopes twice."""
    wave = speech.astype(np.float64) / 32768
    wave = np.append(wave[:1], wave[1:] - 0.97 * wave[:-1])
    count = max(1, len(wave) // HOP)
    padded = np.pad(wave, (WINDOW // 2, WINDOW // 2 + HOP))
    starts = np.arange(count) * HOP + HOP // 2
    power = np.abs(np.fft.rfft(padded[starts[:, None] + np.arange(WINDOW)] * np.hamming(WINDOW), FFT)) ** 2
    values = np.log(power @ _bands() + 1e-8) @ _cosines()
    loud = values[:, 0] >= np.percentile(values[:, 0], 30)
    values -= values[loud].mean(0)
    slopes = _slopes(values)
    return np.concatenate([values, slopes, _slopes(slopes)], 1).astype(np.float32)


@dataclass(frozen=True)
class VoiceModel:
    """The sounds of a voice.

    Args:
        mean, variance: (S, D) of each state's frames.
        length: (S,) mean frames in a state.
    """

    mean: np.ndarray
    variance: np.ndarray
    length: np.ndarray

    @classmethod
    def estimate(cls, examples: Iterable[tuple[np.ndarray, np.ndarray]], states: int) -> "VoiceModel":
        """Estimate from frames (T, D) and the states (T,) that they are in."""
        count, runs = np.zeros(states), np.zeros(states)
        total, squares = 0.0, 0.0
        for frames, at in examples:
            belongs = (at[None] == np.arange(states)[:, None]).astype(np.float32)  # (S, T)
            count += belongs.sum(1)
            total = total + (belongs @ frames).astype(np.float64)
            squares = squares + (belongs @ np.square(frames)).astype(np.float64)
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
        """Return the likeliest phone's index (T,) in `names`, and state (T,), of frames (T, D); None if there is no way.

        A silence may be passed over.

        Args:
            allowed: (T, len(names)) bool, where each phone may be.
        """
        ids = np.concatenate([_states_of(name, sounds) for name in names])  # (N,) states in a row
        silent = [PARTS * place for place, name in enumerate(names) if name == SILENCE]
        # Over a silence goes who comes from the state before its first and enters the one behind its last.
        over = np.array([place + PARTS for place in silent if 0 < place < len(ids) - PARTS], int)
        log_stay, log_go = np.log1p(-1.0 / self.length[ids]), -np.log(self.length[ids])
        fit = np.where(allowed.repeat(PARTS, 1), ACOUSTIC_SCALE * self._log_likelihood(frames)[:, ids], -np.inf)
        score = np.full(len(ids), -np.inf)
        score[0] = fit[0, 0]
        if names[0] == SILENCE and len(names) > 1:
            score[PARTS] = fit[0, PARTS]
        steps = np.zeros((len(frames), len(ids)), np.int8)  # how many states back a frame's predecessor was
        for index in range(1, len(frames)):
            go = score + log_go
            best = score + log_stay
            come = np.concatenate([[-np.inf], go[:-1]])
            taken = come > best
            best, step = np.where(taken, come, best), taken.astype(np.int8)
            if len(over):
                jump = go[over - PARTS - 1]
                far = jump > best[over]
                best[over[far]], step[over[far]] = jump[far], PARTS + 1
            score, steps[index] = best + fit[index], step
        ends = [len(ids) - 1] + ([len(ids) - 1 - PARTS] if names[-1] == SILENCE and len(names) > 1 else [])
        state = max(ends, key=lambda end: score[end])
        if not np.isfinite(score[state]):
            return None
        way = np.empty(len(frames), int)
        for index in range(len(frames) - 1, -1, -1):
            way[index] = state
            state -= int(steps[index, state])
        return way // PARTS, ids[way]

    def _log_likelihood(self, frames: np.ndarray) -> np.ndarray:
        """Return (T, S), but for a constant."""
        inverse = 1.0 / self.variance
        shares = np.square(frames) @ inverse.T - 2.0 * frames @ (self.mean * inverse).T
        return np.asarray(-0.5 * (shares + (np.square(self.mean) * inverse + np.log(self.variance)).sum(1)))


def _allowed(phones: Phones, count: int) -> np.ndarray:
    """Return (count, len(phones)) bool: at which frames each phone may be."""
    middle = (np.arange(count) + 0.5)[:, None] * HOP / SAMPLE_RATE
    start, end = (np.array([phone[side] for phone in phones]) for side in (1, 2))
    return np.asarray((middle > start - REACH) & (middle < end + REACH))


def _states_of(name: str, sounds: dict[str, int]) -> np.ndarray:
    """Return the PARTS states of a phone; a silence is in the same one all the time."""
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
    """Return the phones whose indices are given for each frame (T,)."""
    edges = np.flatnonzero(np.diff(phone, prepend=-1, append=-1))
    step = HOP / SAMPLE_RATE
    segments = [(names[phone[first]], float(first * step), float(last * step)) for first, last in pairwise(edges)]
    name, start, _ = segments[-1]
    return cover([*segments[:-1], (name, start, duration)], duration)


def _bands() -> np.ndarray:
    """Return (FFT / 2 + 1, BANDS): triangles on the mel scale from 60 to 7,800 Hz."""
    low, high = 2595.0 * np.log10(1.0 + np.array([60.0, 7800.0]) / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(low, high, BANDS + 2) / 2595.0) - 1.0)
    bins = np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1)[:, None]
    rise, fall = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0.0, np.minimum(rise, fall)))


def _cosines() -> np.ndarray:
    """Return (BANDS, CEPSTRA) of the discrete cosine transform."""
    angles = np.pi * (np.arange(BANDS)[:, None] + 0.5) * np.arange(CEPSTRA)[None] / BANDS
    return np.cos(angles) * np.sqrt(2.0 / BANDS)


def _slopes(values: np.ndarray) -> np.ndarray:
    """Return the change (T, D) of values (T, D) over 20 ms on either side."""
    padded = np.pad(values, ((4, 4), (0, 0)), "edge")
    return np.asarray(padded[8:] - padded[:-8] + 0.5 * (padded[6:-2] - padded[2:-6]))
