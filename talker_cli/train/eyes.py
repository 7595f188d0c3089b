"""How the identities of a dataset move their eyes, measured on their clips: what the process of the eyes draws them by."""

import numpy as np

from talker_cli.corpus.articulate.eyes import SIDE, EyeStyle
from talker_cli.data.dataset import Dataset

SHUT = 0.4  # of the way from the open lid to the closed one: a blink
LONGEST = 0.6  # seconds of a blink
GAZE_STD = 3.4  # degrees sideways, of the process at gaze 1 in fluent speech
PRIOR = 1.0  # minutes of the average person that little motion is mixed with
NAMES = ("eyeBlinkLeft", "eyeBlinkRight", "eyeLookOutLeft", "eyeLookInLeft")


def measured_eyes(dataset: Dataset) -> tuple[tuple[float, float, float, float], ...]:
    """Return blinks a minute, depth of a blink, place of the lid and size of the looks aside of each trained identity.

    Clips with emotions count for an identity that has no others. Without ARKit's shapes there is nothing to measure: ().
    """
    names = dataset.rig.rig.names
    if not set(NAMES) <= set(names):
        return ()
    columns = [names.index(name) for name in NAMES]
    rows = []
    for identity in dataset.trained:
        clips = [clip for clip in dataset.clips("train") if clip.identity == identity]
        clips = [clip for clip in clips if not clip.emotion] or clips
        rows.append(_measured([dataset.coefficients(clip.name)[:, columns] for clip in clips], dataset.info.fps))
    return tuple(rows)


def _measured(clips: list[np.ndarray], fps: float) -> tuple[float, float, float, float]:
    """Return one identity's values from the rows (T, 4) of NAMES of its clips."""
    usual = EyeStyle()
    open_lid = float(np.median(np.concatenate([clip[:, :2].mean(1) for clip in clips])))
    peaks: list[float] = []
    for clip in clips:
        lid = clip[:, :2].mean(1)
        shut = lid > open_lid + SHUT * (1.0 - open_lid)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], shut, [False]]).astype(int))).reshape(-1, 2)
        peaks += [float(lid[first:last].max()) for first, last in edges if (last - first) / fps < LONGEST]
    minutes = sum(map(len, clips)) / fps / 60.0
    share = minutes / (minutes + PRIOR)
    blinks = (len(peaks) + usual.blinks * PRIOR) / (minutes + PRIOR)
    depth = float(np.median(peaks)) if peaks else usual.depth
    aside = np.concatenate([clip[:, 2] - clip[:, 3] for clip in clips])
    gaze = SIDE * float(aside.std()) / GAZE_STD
    values = (blinks, share * depth + (1 - share) * usual.depth, open_lid, share * gaze + (1 - share) * usual.gaze)
    return tuple(round(value, 4) for value in values)  # type: ignore[return-value]
