"""Audio encoders that are not trained: windows of speech (S,) at 16 kHz -> outputs (N, W) at a rate of their own."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.errors import ModelError
from talker_cli.formats.audio import SAMPLE_RATE

KEPT_WINDOWS = 16  # windows whose outputs are kept: one recording is often animated again, as another person


@dataclass(frozen=True)
class Description:
    """What is known of a frozen encoder from its files, without running it.

    Args:
        name: Name in a model's config: "whisper", an absolute folder, or a hub name.
        folder: Folder of its files.
        hash: SHA-256 of all that its outputs depend on.
        width: W of its outputs.
        stride: Number of samples from one output to the next.
        field: Number of samples of the shortest window with an output.
        centre: Sample that output 0 is about.
        core: Number of outputs that are kept of a window.
        margin: Number of outputs on either side that only give context.
        normalise: Whether it wants a window with mean 0 and variance 1.
        phones: Names of the P phones whose posteriors are the last P of the W.
    """

    name: str
    folder: Path
    hash: str
    width: int
    stride: int
    field: int
    centre: float
    core: int
    margin: int
    normalise: bool = False
    phones: tuple[str, ...] = ()

    def outputs(self, samples: int) -> int:
        """Return the number of outputs of so many samples; the shortest speech has one."""
        return max(1, (samples - self.field) // self.stride + 1)

    def position(self, frames: np.ndarray | float, fps: float) -> np.ndarray:
        """Return where the instants of frames lie among the outputs."""
        return (np.asarray(frames, np.float64) * (SAMPLE_RATE / fps) - self.centre) / self.stride


class FrozenEncoder(ABC):
    """A frozen encoder, loaded.

    Args:
        about: Its description.
    """

    def __init__(self, about: Description) -> None:
        self.about = about
        self._windows: dict[bytes, np.ndarray] = {}  # outputs of the last windows, by their sound

    @abstractmethod
    def _run(self, speech: np.ndarray) -> np.ndarray:
        """Return the outputs (N, W) float32 of a window (S,) float32, at least `field` samples long."""

    def window(self, speech: np.ndarray) -> np.ndarray:
        """Return the outputs (N, W) of a window of speech (S,), both float32; what is too short for one is filled with silence.

        Raises:
            ModelError: the outputs are not finite, or not as many as described.
        """
        sound = hashlib.sha256(np.ascontiguousarray(speech, np.float32).data).digest()
        if sound not in self._windows:
            if len(self._windows) == KEPT_WINDOWS:
                del self._windows[next(iter(self._windows))]
            outputs = self._run(np.pad(np.asarray(speech, np.float32), (0, max(0, self.about.field - len(speech)))))
            if len(outputs) != self.about.outputs(len(speech)):
                raise ModelError(
                    f"the audio encoder in {self.about.folder} made {len(outputs)} outputs of {len(speech)} samples; expected "
                    f"{self.about.outputs(len(speech))}, as its convolutions make them; take one without an adapter behind them"
                )
            if not np.isfinite(outputs).all():
                raise ModelError(
                    f"the audio encoder in {self.about.folder} made outputs that are not finite; expected undamaged weights"
                )
            self._windows[sound] = outputs
        return self._windows[sound]
