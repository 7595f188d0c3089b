"""What sampling needs of a network, whatever runs it: arrays of NumPy in, arrays of NumPy out."""

from typing import Protocol

import numpy as np

from talker_cli.metrics import Phones
from talker_cli.model.config import ModelConfig
from talker_cli.model.frontend import SpeechFrontend


class NetworkRunner(Protocol):
    """A network that is loaded.

    Attributes:
        config: Its configuration.
        mean, std: (K,) float32 of the coefficients that it works on normalised.
    """

    config: ModelConfig
    mean: np.ndarray
    std: np.ndarray

    def frontend(self, phones: Phones | None = None, *, live: bool = False) -> SpeechFrontend:
        """Return what turns speech into the input of the audio encoder; see `encoders.frontend_of`."""

    def encode(self, inputs: np.ndarray) -> np.ndarray:
        """Return the speech features (1, T, D) of the audio encoder's input."""

    def x0(
        self, x_t: np.ndarray, t: float, features: np.ndarray, style: np.ndarray, guidance: float, style_guidance: float | None,
        emotion: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Return the predicted x0 (1, T, K) of x_t (1, T, K) at timestep t; see `FaceDiffusion.guided_x0`."""

    def read_styles(self, voices: np.ndarray) -> np.ndarray:
        """Return the styles (N, S) of the measures (N, M + 1) of N voices; see `Personalizer.read`.

        Of the first models: of log-mel columns (N, columns, bands) of N stretches of speech.
        """

    def told(self, measures: np.ndarray) -> np.ndarray:
        """Return the share (N,) of each style that measures (N, M + 1) tell; see `Personalizer.told`."""

    def named_style(self, identity: str) -> np.ndarray:
        """Return the style (1, S) of one of the network's own identities."""
