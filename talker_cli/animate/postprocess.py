"""What can be changed in a motion after it was made: coefficients (T, K) in, coefficients (T, K) out."""

from collections.abc import Sequence

import numpy as np

from talker_cli.errors import InputError

# What expresses, as against what speaks, blinks and looks.
UPPER_FACE = ("brow", "eyeSquint", "eyeWide", "cheekSquint", "noseSneer")
LONGEST_SMOOTHING = 1000.0  # milliseconds


def with_expression(coefficients: np.ndarray, names: Sequence[str], amount: float) -> np.ndarray:
    """Return coefficients (T, K) with brows, squint, wide eyes and sneer at `amount` of theirs; blinks and gaze stay.

    Raises:
        InputError: the amount is not in 0…1, or the coefficients are not shapes with names like ARKit's.
    """
    if not 0 <= amount <= 1:
        raise InputError(f"found --expression {amount:g}; expected 0 (a still upper face) to 1 (as it was made)")
    if amount == 1:
        return coefficients
    upper = np.array([name.startswith(UPPER_FACE) for name in names])
    if not upper.any():
        raise InputError(f"found --expression with a model of {names[0]}, …; expected one with ARKit's shapes; leave it out")
    return np.where(upper, amount * coefficients, coefficients).astype(np.float32)


def smoothed(coefficients: np.ndarray, milliseconds: float, fps: float) -> np.ndarray:
    """Return coefficients (T, K) averaged over time by a Gaussian of this deviation; 0 leaves them as they are.

    Raises:
        InputError: it is not in 0…1000.
    """
    if not 0 <= milliseconds <= LONGEST_SMOOTHING:
        raise InputError(f"found --smooth {milliseconds:g}; expected 0 to {LONGEST_SMOOTHING:g} milliseconds, for example 30")
    deviation = milliseconds / 1000 * fps  # frames
    reach = int(np.ceil(3 * deviation))
    if reach == 0:
        return coefficients
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    total = np.zeros((len(coefficients), 1))
    mean = np.zeros(coefficients.shape)
    for shift, weight in zip(range(-reach, reach + 1), weights, strict=True):  # frames outside count as none
        into = slice(max(0, -shift), max(0, len(coefficients) - max(0, shift)))
        source = slice(max(0, shift), max(0, len(coefficients) + min(0, shift)))
        mean[into] += weight * coefficients[source]
        total[into] += weight
    return (mean / total).astype(np.float32)
