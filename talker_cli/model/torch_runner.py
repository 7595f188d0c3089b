"""A network that PyTorch runs, on any of its devices."""

from pathlib import Path

import numpy as np
import torch

from talker_cli.metrics import Phones
from talker_cli.model.checkpoint import load_model
from talker_cli.model.config import ModelConfig
from talker_cli.model.device import choose_device
from talker_cli.model.encoders import frontend_of
from talker_cli.model.frontend import SpeechFrontend
from talker_cli.model.network import FaceDiffusion


class TorchRunner:
    """See `NetworkRunner`.

    Args:
        network: Teacher or student.
        device: Device that runs it.
    """

    def __init__(self, network: FaceDiffusion, device: torch.device) -> None:
        self.network = network.to(device)
        self.device = device
        self.config: ModelConfig = network.config
        self.mean, self.std = (buffer.cpu().numpy() for buffer in (network.mean, network.std))

    def frontend(self, phones: Phones | None = None, *, live: bool = False) -> SpeechFrontend:
        """Return what turns speech into the input of the audio encoder."""
        return frontend_of(self.config, str(self.device), phones, live=live)

    @torch.inference_mode()
    def encode(self, inputs: np.ndarray) -> np.ndarray:
        """Return the speech features (1, T, D)."""
        features: np.ndarray = self.network.encoder(self._tensor(inputs)).cpu().numpy()
        return features

    @torch.inference_mode()
    def x0(
        self, x_t: np.ndarray, t: float, features: np.ndarray, style: np.ndarray, guidance: float, style_guidance: float | None,
        emotion: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Return the predicted x0 (1, T, K)."""
        at = torch.full((1,), t, device=self.device)
        x, speech, style_vector = map(self._tensor, (x_t, features, style))
        felt = None if emotion is None else self._tensor(emotion)
        return self.network.guided_x0(x, at, speech, style_vector, guidance, style_guidance, felt).cpu().numpy()

    @torch.inference_mode()
    def read_styles(self, voices: np.ndarray) -> np.ndarray:
        """Return the styles (N, S)."""
        return self.network.personalizer.read(self._tensor(voices)).cpu().numpy()

    @torch.inference_mode()
    def told(self, measures: np.ndarray) -> np.ndarray:
        """Return the shares (N,)."""
        return self.network.personalizer.told(self._tensor(measures)).cpu().numpy()

    @torch.inference_mode()
    def named_style(self, identity: str) -> np.ndarray:
        """Return the style (1, S)."""
        row = torch.tensor([self.config.identities.index(identity)], device=self.device)
        return self.network.personalizer.named(row).cpu().numpy()

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def load_torch_runner(weights: Path, device: str) -> TorchRunner:
    """Load a weights file.

    Raises:
        ModelError: it is missing or damaged.
        MachineError: no such device.
    """
    where = choose_device(device)
    return TorchRunner(load_model(weights, "teacher" if weights.stem == "teacher" else "student"), where)
