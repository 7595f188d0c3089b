"""A model across identities: each clip animated with every identity, and the identity nearest to its speech."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from talker_cli.errors import InputError
from talker_cli.evaluate.measured_rig import MeasuredRig
from talker_cli.evaluate.system import Item, System
from talker_cli.identity.style import style_from_speech
from talker_cli.metrics import lve_per_frame


class IdentityCheck:
    """LVE of one model with every identity, how much its motions differ, and identity retrieval from speech.

    Args:
        system: One with a network.
    """

    def __init__(self, system: System) -> None:
        self.system, self.names = system, system.known
        self._errors: dict[tuple[str, str], list[np.ndarray]] = {}
        self._diversity: list[float] = []
        self._hits: list[bool] = []

    def add(self, face: MeasuredRig, item: Item, motions: dict[str, np.ndarray]) -> None:
        """Add a clip: its identity's face, and the motion (T, K) made with each identity."""
        truth, lips = face.lips.decode(item.truth), face.lips.regions["lips"]
        for name, coefficients in motions.items():
            errors = lve_per_frame(truth, face.lips.decode(coefficients), lips)
            self._errors.setdefault((item.clip.identity, name), []).append(errors)
        self._diversity.append(float(np.mean([face.distance(*pair) for pair in combinations(motions.values(), 2)])))
        self._hits.append(nearest_identity(self.system, item.speech) == item.clip.identity)

    def findings(self) -> dict[str, Any]:
        """Return `retrieval`, `wrong_identity`, `lve_matrix` (a row a true identity, a column an identity asked for), …

        `wrong_identity`: each clip with the next identity in the table, then the one after, and so on; mean and lowest LVE.
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
            "wrong_identity": {"lve_mean": float(np.mean(shifted)), "lve_lowest": float(np.min(shifted))},
            "lve_matrix": {"identities": list(self.names), "lve": matrix},
            "identity_diversity": float(np.mean(self._diversity)),
        }

    def _lve(self, pairs: Sequence[tuple[str, str]]) -> float:
        return float(np.concatenate([errors for pair in pairs for errors in self._errors[pair]]).mean())


def nearest_identity(system: System, speech: np.ndarray) -> str | None:
    """Return the identity that `animate --identity auto` takes for speech (S,), or None where it finds no speech."""
    if system.animator is None or system.space is None:
        return None
    try:
        style = style_from_speech(system.animator.runner, speech)
    except InputError:
        return None
    return system.space.nearest(style)[0][0]
