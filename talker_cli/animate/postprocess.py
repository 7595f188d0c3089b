"""Changes of a finished motion: coefficients (T, K) in, coefficients (T, K) out."""

from collections.abc import Sequence

import numpy as np

from talker_cli.errors import InputError

# Shapes of expression, not of speech, blinks or gaze.
UPPER_FACE = ("brow", "eyeSquint", "eyeWide", "cheekSquint", "noseSneer")
LONGEST_SMOOTHING = 1000.0  # milliseconds


def with_expression(coefficients: np.ndarray, names: Sequence[str], amount: float) -> np.ndarray:
    """Return coefficients (T, K) with brows, squint, wide eyes and sneer scaled by `amount`; blinks and gaze stay.

    Raises:
        InputError: the amount is not in 0…1, or no name is one of ARKit's upper face.
    """
    if not 0 <= amount <= 1:
        raise InputError(f"found {amount:g}; expected 0 (a still upper face) to 1 (unchanged)", field="expression")
    if amount == 1:
        return coefficients
    upper = np.array([name.startswith(UPPER_FACE) for name in names])
    if not upper.any():
        raise InputError(f"found a model of {names[0]}, …; expected one with ARKit's shapes; leave it out", field="expression")
    return np.where(upper, amount * coefficients, coefficients).astype(np.float32)


def smoothed(coefficients: np.ndarray, milliseconds: float, fps: float) -> np.ndarray:
    """Return coefficients (T, K) smoothed over time by a Gaussian; frames outside count as none.

    Args:
        coefficients: (T, K) at `fps`.
        milliseconds: Standard deviation of the Gaussian, 0…1000; 0 leaves them unchanged.
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
    return (_blurred(coefficients.astype(np.float64), std) / total).astype(np.float32)


def _blurred(values: np.ndarray, std: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d  # a tenth of a second that few motions need

    return np.asarray(gaussian_filter1d(values, std, axis=0, mode="constant", radius=int(np.ceil(3 * std))))
