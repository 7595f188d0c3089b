"""Filters over time of a network's motion, a kernel a coefficient: a steadier head, jaw and lips as fast as in life.

What few steps leave of the noise shows in the head as a tremble that no neck makes: its angles are smoothed. Live, the frames
to come are guesses that every pass makes anew, and smoothing over them trembles itself: there the head comes a little late.
And a network's curves are averages of what could be, slower than any of it: jaw and lips get back the upper end of their
modulation spectrum (Takamichi et al. 2014, "A postfilter to modify the modulation spectrum in HMM-based speech synthesis"), by
a gain that each model holds for each coefficient.
"""

import numpy as np

from talker_cli.model.config import ModelConfig
from talker_cli.rig import HEAD_NAMES

HEAD_STD = 1 / 15  # seconds, of the Gaussian over the head's angles
LAG = 1 / 30  # seconds between the instants of a second difference


def kernels(config: ModelConfig, *, live: bool = False) -> np.ndarray:
    """Return the weights (2 R + 1, K) float32 of a frame's neighbours, for each coefficient.

    Args:
        config: The model's.
        live: Whether the head comes late by HEAD_STD.
    """
    turns = np.isin(config.names, HEAD_NAMES)
    gains = np.array(config.postfilter or np.zeros(len(config.names)))
    lag = max(1, round(LAG * config.fps))
    radius, late = int(np.ceil(2.5 * HEAD_STD * config.fps)), round(HEAD_STD * config.fps) if live else 0
    reach = max((radius + late) * turns.any(), lag * gains.any())
    weights = np.zeros((2 * reach + 1, len(config.names)))
    weights[reach] = 1.0 + 2.0 * gains
    if gains.any():
        weights[[reach - lag, reach + lag]] = -gains
    if turns.any():
        away = np.arange(-reach, reach + 1) + late
        bell = np.exp(-0.5 * np.square(away / (HEAD_STD * config.fps)))
        weights[:, turns] = np.where(np.abs(away) <= radius, bell, 0.0)[:, None]
    return weights.astype(np.float32)


def filtered(motion: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return motion (T, K) float32 filtered by weights (2 R + 1, K); frames outside count as none.

    Weight by weight: a frame's sum has the same order in every window, and so the same last bit.
    """
    frames, reach = len(motion), len(weights) // 2
    padded = np.pad(motion, ((reach, reach), (0, 0)))
    there = np.pad(np.ones((frames, 1), np.float32), ((reach, reach), (0, 0)))
    total, weight = np.zeros_like(motion), np.zeros_like(motion)
    for index, row in enumerate(weights):
        total += row * padded[index : index + frames]
        weight += row * there[index : index + frames]
    return total / weight
