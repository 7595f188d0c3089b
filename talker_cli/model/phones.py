"""A head that reads phones off a frozen encoder's outputs: (N, W) -> posteriors (N, P), one linear layer and a softmax.

One layer reads voices that it never met; more overfit. A temperature that calibrates its probabilities is part of the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.formats.files import ArrayFile, write_arrays
from talker_cli.formats.schema import Schema
from talker_cli.metrics import Phones

PHONES_FILE = "phones.safetensors"
SMOOTHING = (0.25, 0.5, 0.25)  # over frames, of phones whose times are known: posteriors are no sharper


class _Header(Schema):
    names: tuple[str, ...]


@dataclass(frozen=True)
class PhoneHead:
    """The layer.

    Args:
        names: The P phones: ARPAbet without stress, and SIL for all that is no speech.
        weight: (P, W) float32.
        bias: (P,) float32.
        priors: (P,) float32 share of each phone in what the layer learned from.
    """

    names: tuple[str, ...]
    weight: np.ndarray
    bias: np.ndarray
    priors: np.ndarray

    def posteriors(self, outputs: np.ndarray) -> np.ndarray:
        """Return posteriors (N, P) float32 of outputs (N, W)."""
        logits = outputs @ self.weight.T + self.bias
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        return np.asarray(shares / shares.sum(-1, keepdims=True), np.float32)

    def save(self, path: Path) -> None:
        """Write the head, atomically."""
        arrays = {name: np.asarray(getattr(self, name), np.float32) for name in ("weight", "bias", "priors")}
        write_arrays(path, arrays, {"kind": "phones", "names": self.names})

    @classmethod
    def load(cls, path: Path, width: int) -> "PhoneHead":
        """Read a head for outputs of this width.

        Raises:
            ModelError: the file is damaged.
        """
        file = ArrayFile(path, "phone head")
        names = file.header(_Header, "phones").names
        shapes = {"weight": (len(names), width), "bias": (len(names),), "priors": (len(names),)}
        arrays = {name: file.array(name, shape=shape).astype(np.float32) for name, shape in shapes.items()}
        return cls(names, **arrays)


def known_posteriors(phones: Phones, names: Sequence[str], frames: int, fps: float) -> np.ndarray:
    """Return posteriors (T, P) float32 of phones whose times are known; phones that are not among the names leave a frame zero.

    Args:
        phones: (phone, start, end), seconds.
        names: The P phones.
        frames: T.
        fps: Frames a second.
    """
    index = {name: place for place, name in enumerate(names)}
    rows = np.zeros((frames, len(names)), np.float32)
    for phone, start, end in phones:
        if phone in index:
            rows[int(np.ceil(start * fps)) : int(np.ceil(end * fps)), index[phone]] = 1.0
    return smoothed_rows(rows)


def smoothed_rows(rows: np.ndarray) -> np.ndarray:
    """Return rows (T, P) of zeros and ones as soft at their borders as posteriors are."""
    padded = np.pad(rows, ((1, 1), (0, 0)), mode="edge")
    before, here, after = SMOOTHING
    return before * padded[:-2] + here * padded[1:-1] + after * padded[2:]
