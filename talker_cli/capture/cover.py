"""Whether something covers the mouth: the colours of lips, and of skin beside them, against those of the video's other frames.

The tracker tells nothing of it: it places lips on a hand as on a mouth.
"""

import numpy as np

from talker_cli.capture import landmarks as marks

RINGS = (marks.OUTER_UPPER, marks.OUTER_LOWER, marks.RED_UPPER, marks.RED_LOWER)
LIPS = sorted({number for ring in RINGS for side in ring for number in side})
POINTS = (*LIPS, *marks.AROUND_MOUTH, *marks.SKIN)
# Of the skin's brightness is how far a point may change its colour; of the points is how many may change.
# GRID's twelve videos change up to 0.12 of the points, rendered faces that turn by 38 degrees 0.18; under a rectangle, fingers
# or a microphone drawn over the mouth it is 0.43 and more.
CHANGE, SHARE = 0.15, 0.3
ROUNDS, LEAST = 8, 0.02  # of weighting frames by their own error, and the error under which none counts more


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


def covered(looks: np.ndarray, rotation: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return (T,) bool where the mouth has other colours than those that most frames let expect of a head turned so.

    The colours are a quadratic function of yaw and pitch, fitted by least squares whose weights fall with a frame's error.

    Args:
        looks: (T, N, 3) of `colours`.
        rotation: (T, 3) pitch, yaw and roll, radians.
        seen: (T,) bool; frames without a face are not covered.
    """
    skin = np.median(looks[seen, -len(marks.SKIN) :], 1)  # (T, 3)
    usual = np.median(skin, 0)
    mouth = looks[seen, : -len(marks.SKIN)] * (usual / np.maximum(skin, 1.0))[:, None]  # in the usual light
    mouth = (mouth - np.median(mouth, 0)) / max(float(usual.sum()), 1.0)
    pitch, yaw = 5.0 * rotation[seen, 0], 3.0 * rotation[seen, 1]
    turned = np.stack([np.ones(len(yaw)), yaw, pitch, yaw**2, pitch**2, yaw * pitch], 1)  # (T, 6)
    small = np.diag([0.0, 1, 1, 1, 1, 1])  # holds what a head that hardly turns does not tell
    weight = np.ones(len(turned))
    change = np.abs(mouth).sum(2)
    for _ in range(ROUNDS):
        weighted = (turned * weight[:, None]).T
        fitted = np.linalg.solve(weighted @ turned + small, weighted @ mouth.reshape(len(mouth), -1))
        change = np.abs(mouth - (turned @ fitted).reshape(mouth.shape)).sum(2)
        weight = np.square(LEAST / np.maximum(change.mean(1), LEAST))
    found = np.zeros(len(seen), bool)
    found[seen] = (change > CHANGE).mean(1) > SHARE
    return found
