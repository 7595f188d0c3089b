"""The learning rate over a training: linear warm-up, then a cosine down to a hundredth of the peak."""

import math

LAST_SHARE = 0.01  # of the peak, at the end


def warmed_cosine(step: int, steps: int, warmup: int, peak: float) -> float:
    """Return the learning rate of a step.

    Args:
        step: from 0.
        steps: of the whole training.
        warmup: steps until the peak.
        peak: the greatest rate.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return peak * (LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * share)))
