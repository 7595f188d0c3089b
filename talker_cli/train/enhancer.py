"""The personalizer enhancer: a student's brows, lids and blinks must tell who moves them (2311.16565, section 3.3).

Few steps average over what speech leaves open, and the upper face is mostly that: one person's rare, quick blinks and
another's lively brows drift towards the same mean. A reader learns to tell the identity's style from the upper face that the
teacher aims at, at every level of noise; the student is held to show the same reader as much. The reader never learns from the
student: together they would find marks that a reader sees and nobody else. It is used in training only.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talker_cli.errors import InputError
from talker_cli.model.personalizer import Personalizer, unit_style
from talker_cli.rig import Rig

HIDDEN = 64
REGION_SHARE = 0.99  # of the upper face's motion that the directions read hold


def upper_face_directions(rig: Rig, deviation: np.ndarray) -> np.ndarray:
    """Return (K, U) orthonormal directions of normalised coefficients that move the upper face most.

    Principal directions of the motion of the region's vertices, so that any rig has them: single ARKit shapes belong to the
    upper face or do not, while each component of scanned data moves a little of everything.

    Args:
        rig: with the region `upper_face`.
        deviation: (K,) of the coefficients.

    Raises:
        InputError: nothing moves there.
    """
    scale = np.diag(deviation.astype(np.float64))
    gram = scale @ rig.gram(rig.regions["upper_face"].astype(np.float64)) @ scale
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1].clip(min=0.0), vectors[:, ::-1]  # the most first
    if values[0] <= 0.0:
        raise InputError("found no coefficient that moves the upper face; the enhancer reads it; leave out --enhancer")
    count = int(np.searchsorted(values.cumsum() / values.sum(), REGION_SHARE)) + 1
    return np.asarray(vectors[:, :count], dtype=np.float32)


class Enhancer(nn.Module):
    """Read a style off the motion of the upper face: normalised coefficients (B, T, K), pooled over time, to styles (B, S).

    Args:
        directions: (K, U), see `upper_face_directions`.
        style_width: S.
    """

    directions: Tensor

    def __init__(self, directions: np.ndarray, style_width: int) -> None:
        super().__init__()
        self.register_buffer("directions", torch.from_numpy(directions))
        self.conv = nn.Conv1d(directions.shape[1], HIDDEN, 5, padding=2)
        self.out = nn.Sequential(nn.Linear(2 * HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, style_width))

    def forward(self, x: Tensor) -> Tensor:
        """Return styles (B, S), of length sqrt(S)."""
        with torch.autocast(x.device.type, enabled=False):
            hidden = F.gelu(self.conv((x.float() @ self.directions).transpose(1, 2)))  # (B, HIDDEN, T)
            # What the face rests at, and how much and how suddenly it moves.
            pooled = torch.cat([hidden.mean(-1), (hidden.var(-1, correction=0) + 1e-4).sqrt()], -1)
            return unit_style(self.out(pooled))

    def losses(self, predicted: Tensor, target: Tensor, personalizer: Personalizer, identity: Tensor) -> tuple[Tensor, Tensor]:
        """Return the symmetric InfoNCE losses of the student's motion and of the reader itself, against the identity table.

        Args:
            predicted: (B, T, K) x0 of the student; the first loss has its gradient and none of the reader's.
            target: (B, T, K) x0 that it should predict; the second loss has the reader's gradient.
            personalizer: frozen; holds the table, and the temperature that the teacher learned.
            identity: (B,) rows of the table.
        """
        own = personalizer.contrastive_loss(self(target.detach()), identity)
        fixed = {name: value.detach() for name, value in self.named_parameters()}
        read = torch.func.functional_call(self, fixed, (predicted,))
        return personalizer.contrastive_loss(read, identity), own
