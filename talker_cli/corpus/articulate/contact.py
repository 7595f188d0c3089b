"""Contact of the lips: signals from 0 to 1 that say how far they are sealed at an instant, exactly 1 while they are held."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from talker_cli.corpus.align.phonetics import LABIODENTALS
from talker_cli.metrics import BILABIALS, OPEN_VOWELS, SILENCE, Phones

PAUSE = 0.25  # seconds; in a longer silence the lips rest, sealed
PLATEAU = 0.052  # seconds; shortest seal, so that a frame at 30 fps falls into it
CLOSING = 0.050  # seconds, of lips closing for p b m
OPENING = {"P": 0.075, "B": 0.075, "M": 0.080, "F": 0.060, "V": 0.065, SILENCE: 0.10}  # seconds
LEAD = 0.010  # seconds by which the lips of p b m meet before their sound
LEAD_AFTER_PAUSE = 0.090  # seconds, where silence hides the closure's beginning
SETTLING = 0.030  # seconds from a pause's beginning until the lips rest
RESTING = 0.15  # seconds, of lips coming to rest in a pause
READY = 0.52  # seconds before speech at which the lips part
READY_SHARE = 0.5  # of a pause, at most
# Share of the opening that the lips take away.
APPROACH = {"W": 0.55, "R": 0.27, "TH": 0.60, "DH": 0.60, "F": 0.20, "V": 0.05}
APPROACHING = 0.080  # seconds, of lips that come near each other, and part
SHORTEST_RAMP = 0.034  # seconds, just over a frame at 30 fps
LONGEST_AFTER_PAUSE = 0.130  # seconds from its sound's beginning; what follows is aspiration
RELEASE = {"P": 0.040, "B": 0.027, "M": 0.0}  # seconds before its end at which the lips part
RELEASE_SHARE = 0.5  # of the phone, at most


@dataclass(frozen=True)
class Hold:
    """Lips held from `start` to `end`, closing over `closing` seconds before and opening over `opening` after.

    `depth` is how far they close: 1 seals.
    """

    start: float
    end: float
    closing: float
    opening: float
    depth: float = 1.0


def pauses(phones: Phones) -> list[bool]:
    """Return which phones are pauses: silences longer than PAUSE, or at either end of the recording."""
    last = len(phones) - 1
    return [
        phone == SILENCE and (end - start > PAUSE or index in (0, last)) for index, (phone, start, end) in enumerate(phones)
    ]


def seal_holds(phones: Phones, width: float = 1.0) -> list[Hold]:
    """Return the holds of p b m and of the pauses; adjacent ones are one hold.

    Args:
        phones: Phones that cover the recording.
        width: Width of coarticulation, a factor of the ramps' duration.
    """
    holds: list[Hold] = []
    last = len(phones) - 1

    def ramp(neighbour: int, usual: float) -> float:
        """Return a ramp's duration: shorter beside a short open vowel, which must open too."""
        phone, start, end = phones[min(max(neighbour, 0), last)]
        return min(usual, max(SHORTEST_RAMP, 0.4 * (end - start))) if phone in OPEN_VOWELS else usual

    still = pauses(phones)
    for index, (phone, start, end) in enumerate(phones):
        if phone in BILABIALS:
            released = end - min(RELEASE[phone], RELEASE_SHARE * (end - start))
            met = start - LEAD
            if index and still[index - 1]:
                met, released = start - LEAD_AFTER_PAUSE, min(released, start + LONGEST_AFTER_PAUSE)
            middle, half = (met + released) / 2, max((released - met) / 2, PLATEAU / 2)
            closing, opening = ramp(index - 1, CLOSING * width), ramp(index + 1, OPENING[phone] * width)
            holds.append(Hold(middle - half, middle + half, closing, opening))
        elif still[index]:
            settled = 0.0 if index and phones[index - 1][0] in BILABIALS else min(SETTLING, 0.3 * (end - start))
            holds.append(
                Hold(
                    start + settled if index else start - 1.0,
                    end - min(READY, READY_SHARE * (end - start)) if index < last else end + 1.0,
                    RESTING,
                    OPENING[SILENCE],
                )
            )
    return _fit(holds)


def lip_teeth_holds(phones: Phones, width: float = 1.0) -> list[Hold]:
    """Return the holds of f v, where the lower lip meets the upper teeth."""
    holds = []
    for phone, start, end in phones:
        if phone in LABIODENTALS:
            middle, half = (start + end) / 2, max(0.4 * (end - start), 0.02)
            holds.append(Hold(middle - half, middle + half, CLOSING * width, OPENING[phone] * width))
    return _fit(holds)


def approach_holds(phones: Phones, width: float = 1.0) -> list[Hold]:
    """Return the holds of the phones whose lips all but meet, whatever their neighbours open."""
    holds = []
    for phone, start, end in phones:
        if phone in APPROACH:
            middle, half = (start + end) / 2, 0.25 * (end - start)
            holds.append(Hold(middle - half, middle + half, APPROACHING * width, APPROACHING * width, APPROACH[phone]))
    return _fit(holds)


def signal(holds: Sequence[Hold], times: np.ndarray) -> np.ndarray:
    """Return (N,) how closed the lips are at each instant: a hold's depth in it, smooth to the second derivative everywhere."""
    open_share = np.ones_like(times)
    for hold in holds:
        first, last = np.searchsorted(times, (hold.start - hold.closing, hold.end + hold.opening))
        window = times[first:last]
        rising = ease((window - (hold.start - hold.closing)) / hold.closing)
        falling = ease((hold.end + hold.opening - window) / hold.opening)
        open_share[first:last] *= 1.0 - hold.depth * np.minimum(rising, falling)
    return 1.0 - open_share


def _fit(holds: Sequence[Hold]) -> list[Hold]:
    """Join holds that touch; halve a short time between two among both ramps, so that the lips still part."""
    joined: list[Hold] = []
    for hold in holds:
        if joined and hold.start - joined[-1].end < 0.03:
            before = joined.pop()
            depth = max(before.depth, hold.depth)
            joined.append(Hold(before.start, max(before.end, hold.end), before.closing, hold.opening, depth))
        else:
            joined.append(hold)
    fitted = []
    for index, hold in enumerate(joined):
        closing, opening = hold.closing, hold.opening
        if index:
            closing = min(closing, max(SHORTEST_RAMP, 0.5 * (hold.start - joined[index - 1].end)))
        if index < len(joined) - 1:
            opening = min(opening, max(SHORTEST_RAMP, 0.5 * (joined[index + 1].start - hold.end)))
        fitted.append(Hold(hold.start, hold.end, closing, opening, hold.depth))
    return fitted


def ease(share: np.ndarray) -> np.ndarray:
    """Return 6x^5 - 15x^4 + 10x^3 within 0…1: no jerk at either end (minimum jerk, Flash & Hogan 1985)."""
    x = np.clip(share, 0.0, 1.0)
    return np.asarray(x * x * x * (x * (6.0 * x - 15.0) + 10.0))
