"""Whether a text's stops are heard where they were placed: p, t and k silence a voice, whoever speaks and in what language.

A text that is not what was said is placed somehow, and its likelihood says little: it depends on voice, room and language more
than on whether the words are right. A stop that is nowhere near a silence is wrong.
"""

from collections.abc import Sequence

import numpy as np

from talker_cli.corpus.align.refine import HOP, sound_level
from talker_cli.metrics import SILENCE, Phones

VOICELESS_STOPS = frozenset({"P", "T", "K"})
DIP = 10.0  # decibels that a closure lies below both its neighbours; in noise, half of what speech is above it
TOLERANCE = 0.01  # seconds beyond the stop at either end
FEWEST = 2  # stops that can say something of a recording
LEAST_SHARE = 0.5  # of a recording's stops, and of a voice's recordings


def closed_stops(phones: Phones, speech: np.ndarray) -> list[bool]:
    """Return, of each voiceless stop between two sounds, whether the level of (S,) int16 speech dips in it.

    Stops beside a pause, or behind another of them, are passed over: they dip anyway.
    """
    level = sound_level(speech)
    least = min(DIP, 0.5 * float(np.percentile(level, 95) - np.percentile(level, 3)))

    def part(start: float, end: float) -> np.ndarray:
        first = max(0, int(start / HOP))
        return level[first : max(first + 1, int(end / HOP))]

    found = []
    for before, (phone, start, end), after in zip(phones, phones[1:], phones[2:], strict=False):
        if phone not in VOICELESS_STOPS or before[0] in VOICELESS_STOPS or SILENCE in (before[0], after[0]):
            continue
        left, middle, right = part(before[1], start), part(start - TOLERANCE, end + TOLERANCE), part(end, after[2])
        if len(left) and len(middle) and len(right):
            found.append(bool(min(left.max(), right.max()) - middle.min() > least))
    return found


def misplaced(recordings: Sequence[list[bool]]) -> list[bool]:
    """Say of each of a voice's recordings, given its `closed_stops`, whether its text seems not to be what is said.

    Where most stops do not dip, it is not. A recording with too few stops to tell is taken for what most of the voice's are.
    """
    wrong = [None if len(stops) < FEWEST else sum(stops) < LEAST_SHARE * len(stops) for stops in recordings]
    known = [each for each in wrong if each is not None]
    rest = bool(known) and sum(known) > (1.0 - LEAST_SHARE) * len(known)
    return [rest if each is None else each for each in wrong]
