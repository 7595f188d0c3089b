"""What a model makes of identities: each clip under every name, and the name that its speech is nearest to."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch

from talker_cli.animate.animator import Animator
from talker_cli.data.dataset import SAMPLE_RATE
from talker_cli.evaluate.measured_rig import MeasuredRig
from talker_cli.evaluate.system import Item, System
from talker_cli.metrics import lve_per_frame
from talker_cli.model.audio_encoder import log_mel


class IdentityCheck:
    """What one model does under every identity's name: its LVE against the truth, and how much its motions differ.

    Args:
        system: one with a network.
    """

    def __init__(self, system: System) -> None:
        self.system, self.names = system, system.known
        self._errors: dict[tuple[str, str], list[np.ndarray]] = {}
        self._diversity: list[float] = []
        self._hits: list[bool] = []

    def add(self, face: MeasuredRig, item: Item, made: dict[str, np.ndarray]) -> None:
        """Take in a clip, its identity's face, and the motion (T, K) that was made as each identity."""
        truth, lips = face.lips.decode(item.truth), face.lips.regions["lips"]
        for name, coefficients in made.items():
            errors = lve_per_frame(truth, face.lips.decode(coefficients), lips)
            self._errors.setdefault((item.clip.identity, name), []).append(errors)
        self._diversity.append(float(np.mean([face.distance(*pair) for pair in combinations(made.values(), 2)])))
        if self.system.animator:
            self._hits.append(nearest_identity(self.system.animator, item.speech, self.names) == item.clip.identity)

    def findings(self) -> dict[str, Any]:
        """Return `retrieval`, `wrong_identity`, `lve_matrix` (a row each true identity, a column each asked for), …

        `wrong_identity` takes every clip with the next identity in the table, then the one after, and so on: mean and least.
        """
        shifted = []
        for shift in range(1, len(self.names)):
            given = {name: self.names[(place + shift) % len(self.names)] for place, name in enumerate(self.names)}
            shifted.append(self._lve([pair for pair in self._errors if given[pair[0]] == pair[1]]))
        matrix = [
            [self._lve([(true, given)]) if (true, given) in self._errors else None for given in self.names]
            for true in self.names
        ]
        return {
            "identities_by": self.system.title,
            "retrieval": {"top1": float(np.mean(self._hits)), "chance": 1 / len(self.names)},
            "wrong_identity": {"lve_mean": float(np.mean(shifted)), "lve_least": float(np.min(shifted))},
            "lve_matrix": {"identities": list(self.names), "lve": matrix},
            "identity_diversity": float(np.mean(self._diversity)),
        }

    def _lve(self, pairs: Sequence[tuple[str, str]]) -> float:
        return float(np.concatenate([errors for pair in pairs for errors in self._errors[pair]]).mean())


def nearest_identity(animator: Animator, speech: np.ndarray, known: Sequence[str]) -> str:
    """Return which of the known identities has the style nearest to what the personalizer reads off speech (S,)."""
    network = animator.network
    frames = max(1, int(len(speech) * network.config.fps / SAMPLE_RATE))
    with torch.inference_mode():
        mel = log_mel(torch.from_numpy(speech)[None].to(animator.device), frames, network.config)
        similarity = network.personalizer.similarity(network.personalizer.read(mel))[0]
    return max(known, key=lambda name: float(similarity[network.config.identities.index(name)]))
