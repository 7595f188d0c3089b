"""Metrics of curves over time, RATE samples a second: correlation, timing, speed, blinks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks, welch

from talker_cli.evaluate.face_measures import RATE

LAG = 0.3  # seconds within which the best lag is sought
SMOOTHING = 2 / 30  # seconds: MTM's Gaussian has a deviation of two frames at 30 fps
WARP = 1.0  # seconds by which MTM's warping may move an instant
OPEN_LIDS = 90  # percentile of a clip's lid height that counts as open
BLINK, HALF = 0.7, 0.5  # of the open height: under the first a blink begins, over the second it stops half-way
STILL = 1e-6  # a curve whose range is smaller does not move: mm, or degrees
BLINK_SECONDS = (0.04, 0.6)  # longer ones are closed eyes


def lagged(truth: np.ndarray, made: np.ndarray) -> tuple[float, float, float]:
    """Return Pearson's r at lag 0, the largest r within 0.3 s, and its lag in seconds: positive where `made` comes later.

    A prediction that does not move has r = 0 and no lag; a truth that does not move gives NaN.
    """
    if np.ptp(truth) < STILL:
        return np.nan, np.nan, np.nan
    if np.ptp(made) < STILL:
        return 0.0, 0.0, np.nan
    shifts = range(-round(LAG * RATE), round(LAG * RATE) + 1)
    found = {}
    for shift in shifts:
        early, late = max(0, -shift), max(0, shift)
        if len(truth) - early - late > 1:
            found[shift] = pearson(truth[early : len(truth) - late], made[late : len(made) - early])
    best = max(found, key=lambda shift: found[shift])
    return found[0], found[best], best / RATE


def pearson(one: np.ndarray, other: np.ndarray) -> float:
    """Return Pearson's r of two arrays (N,); 0 where one is constant."""
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt(np.square(one).sum() * np.square(other).sum()))
    return float(one @ other) / size if size > 1e-9 else 0.0


def power_edge(values: np.ndarray) -> float:
    """Return the frequency, Hz, under which 95 % of a curve's power between 0.3 and 12 Hz lies; NaN where it does not move."""
    if np.ptp(values) < STILL:
        return float("nan")
    frequency, power = welch(values - values.mean(), RATE, nperseg=min(len(values), int(4 * RATE)))
    inside = (frequency > 0.3) & (frequency <= 12.0)
    total = np.cumsum(power[inside])
    return float(frequency[inside][np.searchsorted(total, 0.95 * total[-1])]) if len(total) else float("nan")


@dataclass(frozen=True)
class Blink:
    """A blink: when it begins and how long it lasts, seconds, and the least height of the lids as a share of the open one."""

    start: float
    seconds: float
    least: float


def blinks(lids: np.ndarray) -> list[Blink]:
    """Return the blinks of a clip's lid heights (T,): falls under 0.7 of the open height, the clip's 90th percentile."""
    share = lids / np.percentile(lids, OPEN_LIDS)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], share < BLINK, [False]]).astype(int)))
    found = [Blink(first / RATE, (end - first) / RATE, float(share[first:end].min())) for first, end in edges.reshape(-1, 2)]
    return [blink for blink in found if BLINK_SECONDS[0] <= blink.seconds <= BLINK_SECONDS[1]]


def lip_error(truth: np.ndarray, made: np.ndarray) -> float:
    """Return the mean over frames of the largest distance over the lips' points, offsets (T, P, 3) (Imitator's LVE)."""
    return float(np.linalg.norm(made - truth, axis=-1).max(-1).mean())


def mean_and_best_error(truth: np.ndarray, samples: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the lip error of the samples' mean, and the least of the samples' (mean estimate and coverage error).

    Yang et al. 2024 (CVPR, probabilistic speech-driven 3D facial motion synthesis), as ProbTalk3D computes them.
    """
    return lip_error(truth, np.mean(samples, 0)), min(lip_error(truth, made) for made in samples)


def lip_speed(lips: np.ndarray) -> float:
    """Return the lips' intensity, mm/s: root mean square over time of the points' (T, P, 3) mean speed (arXiv 2503.20308)."""
    speed = np.linalg.norm(np.diff(lips, axis=0), axis=-1).mean(-1) * RATE
    return float(np.sqrt(np.square(speed).mean()))


def temporal_misalignment(truth: np.ndarray, made: np.ndarray) -> float:
    """Return the mean temporal misalignment of two lip distances (T,), ms; NaN where no extremum is matched.

    Both are smoothed and aligned by dynamic time warping of their derivatives. A maximum that meets a maximum on the path, or
    a minimum a minimum, and that lies between the neighbouring extrema of the one it meets, counts with the distance in time
    (MTM, Chae-Yeon et al. 2025, arXiv 2503.20308). The warping moves nothing by more than a second.
    """
    if min(np.ptp(truth), np.ptp(made)) < STILL:
        return float("nan")
    one, other = (gaussian_filter1d(values, SMOOTHING * RATE) for values in (truth, made))
    kinds = [_extrema(values) for values in (one, other)]
    turns = np.flatnonzero(kinds[0])
    delays = []
    for here, there in warping_path(_derivative(one), _derivative(other), round(WARP * RATE)):
        if kinds[0][here] and kinds[0][here] == kinds[1][there]:
            place = int(np.searchsorted(turns, here))
            before = turns[place - 1] if place > 0 else 0
            after = turns[place + 1] if place + 1 < len(turns) else len(one) - 1
            if before <= there <= after:
                delays.append(abs(there - here))
    return 1e3 * float(np.mean(delays)) / RATE if delays else float("nan")


def _derivative(values: np.ndarray) -> np.ndarray:
    return np.diff(values, prepend=values[0])


def _extrema(values: np.ndarray) -> np.ndarray:
    """Return (T,) 1 at maxima, -1 at minima, 0 elsewhere."""
    kinds = np.zeros(len(values), int)
    kinds[find_peaks(values)[0]] = 1
    kinds[find_peaks(-values)[0]] = -1
    return kinds


def warping_path(one: np.ndarray, other: np.ndarray, reach: int) -> list[tuple[int, int]]:
    """Return the pairs of indices that dynamic time warping aligns in two curves of one length T, no more than `reach` apart.

    The cost of a pair is its absolute difference. A row of the table holds only what lies within reach, at j - i + reach:
    `D_j = c_j + min(m_j, D_(j-1))`, m the less of the two from the row before, is a running minimum of m minus summed costs.
    """
    count, width = len(one), 2 * reach + 1
    table = np.full((count, width), np.inf)
    came = np.full(width, np.inf)
    came[reach] = 0.0
    for i in range(count):
        low, high = max(0, reach - i), min(width, count - i + reach)
        cost = np.abs(one[i] - other[i - reach + low : i - reach + high])
        summed = np.cumsum(cost)
        table[i, low:high] = summed + np.minimum.accumulate(came[low:high] - (summed - cost))
        came = np.minimum(table[i], np.append(table[i, 1:], np.inf))
    path, i, k = [], count - 1, reach
    while i > 0 or k > reach:
        path.append((i, i + k - reach))
        ways = (
            table[i - 1, k] if i else np.inf,  # both
            table[i - 1, k + 1] if i and k + 1 < width else np.inf,  # the first alone
            table[i, k - 1] if k else np.inf,  # the second alone
        )
        step = int(np.argmin(ways))
        i, k = (i - 1, k) if step == 0 else (i - 1, k + 1) if step == 1 else (i, k - 1)
    return [*path, (0, 0)][::-1]
