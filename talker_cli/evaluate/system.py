"""What is measured, and by what motion is made: a clip as an item, a model or a baseline as a system."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from talker_cli.animate.animator import Animator
from talker_cli.data.dataset import Clip
from talker_cli.metrics import Phones


@dataclass(frozen=True)
class Item:
    """A clip as it is measured: speech (S,) at 16 kHz, the truth's coefficients (T, K), phones with times in seconds."""

    clip: Clip
    speech: np.ndarray
    truth: np.ndarray
    phones: Phones


Generate = Callable[[Item, str, int], np.ndarray]  # (item, identity asked for, seed) -> coefficients (T, K)


@dataclass(frozen=True)
class System:
    """Something that makes motion: what tables call it, how it does it, its network, and the identities that it learned."""

    title: str
    generate: Generate
    animator: Animator | None = None
    known: tuple[str, ...] = ()
