"""A rig as it is measured: only the vertices that a number needs are decoded, (T, N, 3), and the truth once."""

from dataclasses import replace

import numpy as np

from talker_cli.evaluation.scores import Surface
from talker_cli.rig import Rig


class Face:
    """One identity's rig, and the part of it that must be decoded to measure.

    Args:
        rig: the whole.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        seen = rig.regions["lips"] | rig.regions["upper_face"]
        seen[rig.lip_pairs.ravel()] = True
        self.part = part_of(rig, seen)
        self.lips = part_of(rig, rig.regions["lips"])
        regions = self.part.regions
        pairs = self.part.lip_pairs if len(self.part.lip_pairs) else None
        self.surface = Surface(self.part.template, regions["lips"], regions["upper_face"], pairs)

    def distance(self, one: np.ndarray, other: np.ndarray) -> float:
        """Return the mean distance over all vertices and frames, metres, of two coefficients (T, K)."""
        frames = min(len(one), len(other))
        offsets = self.rig.offsets(one[:frames] - other[:frames])
        return float(np.sqrt(np.einsum("tvi,tvi->tv", offsets, offsets)).mean(dtype=np.float64))


def part_of(rig: Rig, mask: np.ndarray) -> Rig:
    """Return the rig of a part of the vertices (V,) bool, without faces; lip pairs that are not whole in it are left out."""
    place = np.cumsum(mask) - 1
    return replace(
        rig,
        template=rig.template[mask],
        faces=rig.faces[:0],
        basis=np.ascontiguousarray(rig.basis[:, mask]),
        regions={name: region[mask] for name, region in rig.regions.items()},
        lip_pairs=place[rig.lip_pairs[mask[rig.lip_pairs].all(1)]],
        colors=None,
    )
