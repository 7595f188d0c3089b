"""Check of aligned phones by their stops: p, t and k interrupt the sound, whoever speaks and in what language.

A wrong text is aligned somehow too, and its likelihood depends on voice, room and language more than on whether the words are
right. A stop without a dip in level is wrong.
"""

from collections.abc import Sequence

import numpy as np

from talker_cli.corpus.align.refine import HOP, sound_level
from talker_cli.metrics import SILENCE, Phones

VOICELESS_STOPS = frozenset({"P", "T", "K"})
DIP = 10.0  # decibels from both neighbours down to a closure; in noise, half the distance from speech to noise
TOLERANCE = 0.01  # seconds beyond the stop at either end
FEWEST = 2  # stops that a recording is judged by at least
LEAST_SHARE = 0.5  # smallest share of closed stops in a recording, and of such recordings of a voice


def closed_stops(phones: Phones, speech: np.ndarray) -> list[bool]:
    """Return, of each voiceless stop between two sounds, whether the level of (S,) int16 speech dips in it.

    Stops beside a pause, or behind another of them, are skipped: they dip anyway.
    """
    level = sound_level(speech)
    least = min(DIP, 0.5 * float(np.percentile(level, 95) - np.percentile(level, 3)))

    def part(start: float, end: float) -> np.ndarray:
        first = max(0, int(start / HOP))
        return level[first : max(first + 1, int(end / HOP))]

    closed = []
    for before, (phone, start, end), after in zip(phones, phones[1:], phones[2:], strict=False):
        if phone not in VOICELESS_STOPS or before[0] in VOICELESS_STOPS or SILENCE in (before[0], after[0]):
            continue
        left, middle, right = part(before[1], start), part(start - TOLERANCE, end + TOLERANCE), part(end, after[2])
        if len(left) and len(middle) and len(right):
            closed.append(bool(min(left.max(), right.max()) - middle.min() > least))
    return closed


def misplaced(recordings: Sequence[list[bool]]) -> list[bool]:
    """Return, for each of a voice's recordings, whether its text seems wrong: most of its `closed_stops` do not dip.

    A recording with too few stops is judged as most of the voice's recordings are.
    """
    wrong = [None if len(stops) < FEWEST else sum(stops) < LEAST_SHARE * len(stops) for stops in recordings]
    known = [each for each in wrong if each is not None]
    rest = bool(known) and sum(known) > (1.0 - LEAST_SHARE) * len(known)
    return [rest if each is None else each for each in wrong]
