"""Whether something covers the mouth: the colours of lips, and of skin beside them, against those of the video's other frames.

The tracker tells nothing of it: it places lips on a hand as on a mouth.
"""

import numpy as np

from talker_cli.capture import landmarks as marks

RINGS = (marks.OUTER_UPPER, marks.OUTER_LOWER, marks.RED_UPPER, marks.RED_LOWER)
LIPS = sorted({number for ring in RINGS for side in ring for number in side})
POINTS = (*LIPS, *marks.AROUND_MOUTH, *marks.SKIN)
# Of the skin's brightness is how far a point may change its colour; of the points is how many may change.
# GRID's twelve videos change up to 0.07 of the points, rendered faces that turn 0.16, a mouth half covered 0.37 and more.
CHANGE, SHARE = 0.15, 0.25


def colours(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return (N, 3) uint8 colours at N places of the face, each the mean of nine pixels.

    Args:
        frame: (H, W, 3) uint8.
        points: (P, 2) pixels of the landmarks, +x right, +y up.
    """
    high, wide, _ = frame.shape
    x = np.clip(np.round(points[POINTS, 0]).astype(int), 1, wide - 2)
    y = np.clip(np.round(-points[POINTS, 1]).astype(int), 1, high - 2)
    around = np.array([(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)])
    return np.asarray(frame[y + around[:, :1], x + around[:, 1:]].mean(0), np.uint8)


def covered(seen_colours: np.ndarray) -> np.ndarray:
    """Return (T,) bool where the mouth has other colours than in most of the frames, from colours (T, N, 3)."""
    skin = np.median(seen_colours[:, -len(marks.SKIN) :], 1)  # (T, 3)
    usual = np.median(skin, 0)
    mouth = seen_colours[:, : -len(marks.SKIN)] * (usual / np.maximum(skin, 1.0))[:, None]  # in the usual light
    change = np.abs(mouth - np.median(mouth, 0)).sum(2) / max(float(usual.sum()), 1.0)
    return np.asarray((change > CHANGE).mean(1) > SHARE)
