"""Metrics of motion (T, V, 3) in metres, and of the lips at bilabials, open vowels and silences.

Formulas as published code computes them; each function names it. Frames beyond the shorter of truth and prediction are cut.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

Phones = tuple[tuple[str, float, float], ...]  # (ARPAbet symbol or SILENCE, start, end), seconds

BILABIALS = frozenset({"P", "B", "M"})
OPEN_VOWELS = frozenset({"AA", "AE", "AO", "AW", "AY"})
SILENCE = "SIL"
CLOSING = BILABIALS | {SILENCE, "W", "F", "V"}  # phones that bring the lips together, or may
PARTING = frozenset({"T", "D", "N", "NG", "K", "G", "L", "S", "Z", "SH", "ZH", "CH", "JH", "TH", "DH", "R", "Y", "HH"})
CLOSURE_WINDOW = 0.05  # seconds on either side of a bilabial in which the lips may meet
CLOSED_SHARE = 0.10  # of the clip's 95th percentile of the gap
OPEN_SHARE = 0.25  # likewise
LONG_SILENCE = 0.3  # seconds
MIN_OPENING = 0.0005  # metres: a clip whose gap stays under this has a closed mouth, and shares of it mean nothing


def lve_per_frame(truth: np.ndarray, prediction: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Return (T,) the largest squared distance over the lips of each frame, square metres (CodeTalker's LVE before its mean).

    Args:
        truth, prediction: (T, V, 3), metres.
        lips: (V,) bool.
    """
    frames = min(len(truth), len(prediction))
    return np.asarray(_squared(_difference(truth[:frames, lips], prediction[:frames, lips])).max(-1))


def lve(pairs: Iterable[tuple[np.ndarray, np.ndarray]], lips: np.ndarray) -> float:
    """Return the lip vertex error, square metres, over all frames of all (truth, prediction) pairs together (CodeTalker)."""
    return float(np.concatenate([lve_per_frame(truth, prediction, lips) for truth, prediction in pairs]).mean())


def mve(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean vertex distance, metres, over frames and vertices (FaceDiffuser)."""
    frames = min(len(truth), len(prediction))
    return float(np.sqrt(_squared(_difference(truth[:frames], prediction[:frames]))).mean())


def dynamics(vertices: np.ndarray, template: np.ndarray, upper_face: np.ndarray) -> float:
    """Return how much the upper face moves, square metres: mean over it of std_t(|m_v|^2), m the offset from the template.

    The standard deviation has ddof 0.
    """
    motion = _difference(vertices[:, upper_face], template[upper_face])
    return float(_squared(motion).std(0).mean())


def fdd(truth: np.ndarray, prediction: np.ndarray, template: np.ndarray, upper_face: np.ndarray) -> float:
    """Return the signed upper-face dynamics deviation of one sequence, square metres (CodeTalker).

    The dynamics of the truth minus those of the prediction; positive where the prediction moves too little.
    """
    frames = min(len(truth), len(prediction))
    return dynamics(truth[:frames], template, upper_face) - dynamics(prediction[:frames], template, upper_face)


def diversity(outputs: Sequence[np.ndarray]) -> float:
    """Return the mean over pairs of outputs for one speech of their mean vertex distance, metres (FaceDiffuser).

    Args:
        outputs: two or more of (T, V, 3): under different conditions, or different seeds.
    """
    return float(np.mean([mve(one, other) for one, other in combinations(outputs, 2)]))


def blendshape_error(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean over frames of |p - g| over coefficients (T, K) (FaceDiffuser: MVE over all, LVE over the mouth's)."""
    frames = min(len(truth), len(prediction))
    return float(np.linalg.norm(_difference(truth[:frames], prediction[:frames]), axis=-1).mean())


def blendshape_fdd(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return std_t of the sum of squares of upper-face coefficients (T, K), truth minus prediction (FaceDiffuser)."""
    frames = min(len(truth), len(prediction))
    one, other = (np.square(each[:frames], dtype=np.float64).sum(-1).std() for each in (truth, prediction))
    return float(one - other)


def lip_gap_error(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean over frames of |gap - true gap|, metres, of two mouth gaps (T,)."""
    frames = min(len(truth), len(prediction))
    return float(np.abs(_difference(truth[:frames], prediction[:frames])).mean())


def _difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return one - other in float64: what is left of two nearly equal float32 arrays has few digits to lose."""
    return np.subtract(one, other, dtype=np.float64)


def _squared(offsets: np.ndarray) -> np.ndarray:
    """Return (T, V) squared lengths of (T, V, 3); several times as fast as a sum over so short an axis."""
    return np.asarray(np.einsum("tvi,tvi->tv", offsets, offsets))


def blinks_a_minute(lid: np.ndarray, fps: float) -> float:
    """Return how often a minute a lid's coefficient (T,), 1 = closed, rises over 0.5."""
    closed = lid > 0.5
    return 60.0 * fps * int((closed[1:] & ~closed[:-1]).sum()) / len(lid)


def lip_gap(vertices: np.ndarray, template: np.ndarray, lip_pairs: np.ndarray) -> np.ndarray:
    """Return the mouth gap (T,), metres: how much wider than at rest the lip pairs are open, mean over the pairs.

    A pair that is as close as at rest, or closer, counts 0: scanned lips that touch at rest have pairs some millimetres apart.
    `train.losses.lip_gap_of` computes the same from coefficients.

    Args:
        vertices: (T, V, 3), metres, +y up.
        template: (V, 3) neutral face.
        lip_pairs: (P, 2) upper and lower inner-lip vertices that meet when the mouth closes.
    """
    upper, lower = lip_pairs.T
    opening = _difference(vertices[:, upper, 1], template[upper, 1]) - _difference(vertices[:, lower, 1], template[lower, 1])
    return np.asarray(np.maximum(opening, 0.0).mean(-1))


@dataclass
class Articulation:
    """Counts of what the lips do at the sounds that show; add clips, then call `summary`.

    A bilabial is closed if the gap falls under 10 % of its clip's 95th percentile within 50 ms of the phone; an open vowel is
    open if the gap passes 25 % inside it; a silence of more than 0.3 s is closed if the median gap in its inner part is under
    10 %. A false closure is a gap under 10 % in the middle of a consonant that parts the lips, with no closing sound beside it.
    The AUC is the probability that the gap in the middle of an open vowel exceeds that in the middle of a bilabial, gaps as
    shares of the clip's 95th percentile.
    """

    bilabials_closed: list[bool]
    vowels_open: list[bool]
    silences_closed: list[bool]
    false_closures: list[bool]
    vowel_gaps: list[float]
    bilabial_gaps: list[float]

    @classmethod
    def empty(cls) -> "Articulation":
        """Return counts of nothing."""
        return cls([], [], [], [], [], [])

    def add(self, gap: np.ndarray, phones: Phones, fps: float, closed_share: float = CLOSED_SHARE) -> None:
        """Count one clip: its mouth gap (T,) in metres, its phones with times in seconds; and which share is closed."""
        reference = float(np.percentile(gap, 95))
        if reference < MIN_OPENING:
            reference = float("inf")  # a mouth that never opens has closed lips and no open vowel
        share = gap / reference

        def between(start: float, end: float) -> np.ndarray:
            first = max(0, int(np.ceil(start * fps - 1e-6)))
            last = min(len(share) - 1, int(np.floor(end * fps + 1e-6)))
            if last < first:  # shorter than a frame: the nearest one
                first = last = min(len(share) - 1, max(0, round((start + end) / 2 * fps)))
            return share[first : last + 1]

        names = [SILENCE, *(symbol for symbol, _, _ in phones), SILENCE]
        for (symbol, start, end), before, after in zip(phones, names, names[2:], strict=False):
            if start * fps > len(share) - 1:
                continue
            middle = between((start + end) / 2, (start + end) / 2)[0]
            if symbol in BILABIALS:
                self.bilabials_closed.append(bool(between(start - CLOSURE_WINDOW, end + CLOSURE_WINDOW).min() < closed_share))
                self.bilabial_gaps.append(float(middle))
            elif symbol in OPEN_VOWELS:
                self.vowels_open.append(bool(between(start, end).max() > OPEN_SHARE))
                self.vowel_gaps.append(float(middle))
            elif symbol in PARTING and not {before, after} & CLOSING:
                self.false_closures.append(bool(middle < closed_share))
            elif symbol == SILENCE and end - start > LONG_SILENCE:
                # The mouth takes 0.1 s to come to rest and opens before the sound begins.
                self.silences_closed.append(bool(np.median(between(start + 0.1, end - 0.1)) < closed_share))

    @classmethod
    def joined(cls, parts: "Iterable[Articulation]") -> "Articulation":
        """Return the counts of all parts together."""
        whole = cls.empty()
        for part in parts:
            for name, values in vars(part).items():
                getattr(whole, name).extend(values)
        return whole

    def summary(self) -> dict[str, float]:
        """Return the shares and how many sounds they are of; NaN where there was none."""
        vowels, bilabials = np.array(self.vowel_gaps), np.array(self.bilabial_gaps)
        auc = float("nan")
        if len(vowels) and len(bilabials):
            auc = float((vowels[:, None] > bilabials).mean() + 0.5 * (vowels[:, None] == bilabials).mean())

        def share(values: list[bool]) -> float:
            return float(np.mean(values)) if values else float("nan")

        return {
            "bilabials_closed": share(self.bilabials_closed),
            "vowels_open": share(self.vowels_open),
            "silences_closed": share(self.silences_closed),
            "false_closure_rate": share(self.false_closures),
            "auc": auc,
            "bilabials": len(self.bilabials_closed),
            "vowels": len(self.vowels_open),
            "silences": len(self.silences_closed),
        }
