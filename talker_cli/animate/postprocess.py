"""Changes of a finished motion: coefficients (T, K) in, coefficients (T, K) out."""

from collections.abc import Sequence

import numpy as np

from talker_cli.corpus.articulate.eyes import NAMES
from talker_cli.errors import InputError
from talker_cli.rig import HEAD_NAMES

# Shapes of expression, not of speech, blinks or gaze.
UPPER_FACE = ("brow", "eyeSquint", "eyeWide", "cheekSquint", "noseSneer")
MOUTH = ("jaw", "mouth", "cheekPuff", "tongue")
PARTS = ("mouth", "upper")
LARGEST_HEAD = 2.0
LONGEST_SMOOTHING = 1000.0  # milliseconds


def column_factors(
    names: Sequence[str], *, expression: float = 1.0, head: float = 1.0, only: str | None = None
) -> np.ndarray | None:
    """Return the (K,) float32 factors of a motion's columns, None where all are 1.

    Args:
        names: K names of the columns.
        expression: Scale of brows, squint, wide eyes and sneer, 0…1; blinks and gaze stay.
        head: Scale of the head's rotation, 0…2.
        only: "mouth" (jaw, lips, cheeks' puff, tongue), "upper" (all the rest, with the head), or None for the whole.

    Raises:
        InputError: a scale is out of range, there is no such part, or the model has nothing that it applies to.
    """
    if not 0 <= expression <= 1:
        raise InputError(f"found {expression:g}; expected 0 (a still upper face) to 1 (unchanged)", field="expression")
    if not 0 <= head <= LARGEST_HEAD:
        raise InputError(f"found {head:g}; expected 0 (a still head) to {LARGEST_HEAD:g}; 1 is unchanged", field="head")
    if only not in (None, *PARTS):
        raise InputError(f"found {only}; expected {' or '.join(PARTS)}", field="only")
    upper, mouth = (np.array([name.startswith(part) for name in names]) for part in (UPPER_FACE, MOUTH))
    turns = np.isin(names, HEAD_NAMES)
    for field, asked, there in (("expression", expression != 1, upper), ("only", only is not None, mouth)):
        if asked and not there.any():
            raise InputError(f"found a model of {names[0]}, …; expected one with ARKit's shapes; leave it out", field=field)
    if head not in (0, 1) and not turns.any():
        raise InputError(f"found {head:g} for a model whose head keeps still; expected one that moves it", field="head")
    factors = np.where(upper, expression, np.where(turns, head, 1.0))
    if only is not None:
        factors = np.where(mouth == (only == "mouth"), factors, 0.0)
    return None if (factors == 1).all() else factors.astype(np.float32)


def scaled(coefficients: np.ndarray, factors: np.ndarray | None) -> np.ndarray:
    """Return coefficients (T, K) times `column_factors`."""
    return coefficients if factors is None else coefficients * factors + np.float32(0)  # no negative zeros


def smoothed(coefficients: np.ndarray, milliseconds: float, fps: float, names: Sequence[str] = ()) -> np.ndarray:
    """Return coefficients (T, K) smoothed over time by a Gaussian; frames outside count as none.

    Lids and gaze stay: a smoothed blink stops half-way, and a smoothed saccade is a glide.

    Args:
        coefficients: (T, K) at `fps`.
        milliseconds: Standard deviation of the Gaussian, 0…1000; 0 leaves them unchanged.
        names: Names of the K coefficients, for the eyes among them.
        fps: Frames per second.

    Raises:
        InputError: the standard deviation is out of range.
    """
    if not 0 <= milliseconds <= LONGEST_SMOOTHING:
        raise InputError(
            f"found {milliseconds:g}; expected 0 to {LONGEST_SMOOTHING:g} milliseconds, for example 30", field="smooth"
        )
    std = milliseconds / 1000 * fps  # frames
    if std == 0:
        return coefficients
    total = _blurred(np.ones((len(coefficients), 1)), std)
    blurred = (_blurred(coefficients.astype(np.float64), std) / total).astype(np.float32)
    eyes = [column for column, name in enumerate(names) if name in NAMES]
    blurred[:, eyes] = coefficients[:, eyes]
    return blurred


def _blurred(values: np.ndarray, std: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d  # a tenth of a second that few motions need

    return np.asarray(gaussian_filter1d(values, std, axis=0, mode="constant", radius=int(np.ceil(3 * std))))
