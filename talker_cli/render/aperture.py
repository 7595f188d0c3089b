"""Light that enters the mouth: little through rounded lips, all of it through a wide open mouth."""

from dataclasses import dataclass

import numpy as np

from talker_cli.rig import Rig

INSIDE = ("teeth", "gums", "tongue")  # regions lit through the lips
WIDE = 0.12  # area of an opening that lets all light in, in squares of the closed mouth's width: about that of "ee"
LEAST = 0.25  # share of the light in a mouth that is about to close


@dataclass(frozen=True)
class Aperture:
    """A mouth's opening and what lies behind it.

    Args:
        pairs: (P, 2) vertices of the inner lips, upper and lower, from corner to corner.
        inside: (V,) bool, the vertices lit through the opening.
        width: Length of the mouth's line at rest, in the mesh's unit.
    """

    pairs: np.ndarray
    inside: np.ndarray
    width: float

    def share(self, vertices: np.ndarray) -> float:
        """Return the share, 0…1, of the light that (V, 3) vertices let in."""
        upper, lower = vertices[self.pairs[:, 0]], vertices[self.pairs[:, 1]]
        gap = np.linalg.norm(upper - lower, axis=1)  # (P,)
        step = np.linalg.norm(np.diff((upper + lower) / 2, axis=0), axis=1)
        area = float((step * (gap[1:] + gap[:-1]) / 2).sum())
        narrow = float(step.sum()) / self.width  # rounded lips stand before the teeth like a tube, and shade them
        open_ = min(area * narrow**2 / (WIDE * self.width**2), 1.0)
        return LEAST + (1 - LEAST) * open_ * open_ * (3 - 2 * open_)


def aperture_of(rig: Rig) -> Aperture | None:
    """Return the opening of a rig's mouth; None if the rig has no inside of the mouth or no lip pairs."""
    inside = np.zeros(len(rig.template), dtype=bool)
    for region in INSIDE:
        if region in rig.regions:
            inside |= rig.regions[region]
    if len(rig.lip_pairs) < 2 or not inside.any():
        return None
    line = rig.template[rig.lip_pairs].mean(axis=1)  # (P, 3)
    return Aperture(rig.lip_pairs, inside, max(float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum()), 1e-9))
