"""Clips as items to measure on; models and baselines as systems that make motion for them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from talker_cli.animate.animator import Animator
from talker_cli.data.dataset import Clip
from talker_cli.identity.resolve import StyleSpace
from talker_cli.metrics import Phones


@dataclass(frozen=True)
class Item:
    """A clip to measure on: speech (S,) at 16 kHz, the truth's coefficients (T, K), phones with times in seconds."""

    clip: Clip
    speech: np.ndarray
    truth: np.ndarray
    phones: Phones


Generate = Callable[[Item, str, int], np.ndarray]  # (item, identity asked for, seed) -> coefficients (T, K)


@dataclass(frozen=True)
class System:
    """A source of motion: a model's sampler or a baseline.

    Args:
        title: Name in tables.
        generate: Function that makes the motion.
        animator: The loaded model, or None.
        known: Identities that the model was trained on.
        space: Styles of the model, or None.
        temperature: Temperature of the sampler, as text; empty for a baseline.
    """

    title: str
    generate: Generate
    animator: Animator | None = None
    known: tuple[str, ...] = ()
    space: StyleSpace | None = None
    temperature: str = ""
