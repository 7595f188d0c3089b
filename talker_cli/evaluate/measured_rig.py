"""A rig reduced to the vertices that metrics need, (T, N, 3)."""

from dataclasses import replace

import numpy as np

from talker_cli.data.dataset import Dataset
from talker_cli.errors import InputError
from talker_cli.evaluate.protocols import Protocol
from talker_cli.evaluate.report import SurfaceErrors
from talker_cli.rig import Rig, RigFile


class MeasuredRig:
    """One identity's rig, and the part of it that metrics need.

    Args:
        rig: The whole rig, whose head is measured at rest.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig = rig.face
        used = rig.regions["lips"] | rig.regions["upper_face"]
        used[rig.lip_pairs.ravel()] = True
        self.part = part_of(rig, used)
        self.lips = part_of(rig, rig.regions["lips"])
        regions = self.part.regions
        pairs = self.part.lip_pairs if len(self.part.lip_pairs) else None
        self.surface = SurfaceErrors(self.part.template, regions["lips"], regions["upper_face"], pairs)

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


def rigs_in_unit(dataset: Dataset, protocol: Protocol | None) -> RigFile:
    """Return a dataset's rigs in the unit that a protocol's figures are published in, metres without one.

    A dataset of normalised meshes is prepared in metres, and notes how many of them make the published unit.

    Raises:
        InputError: the protocol's unit is another, and the dataset does not note it.
    """
    rigs = dataset.rig
    if protocol is None or protocol.unit == "m":
        return rigs
    unit = dataset.info.notes.get("unit")
    if not isinstance(unit, dict) or not isinstance(unit.get("metres"), float):
        raise InputError(
            f"found no note of the published unit in {dataset.folder}; expected it for {protocol.name}; "
            "prepare BIWI again with: talker preprocess biwi"
        )
    factor = np.float32(1 / unit["metres"])
    rig = replace(rigs.rig, template=rigs.rig.template * factor, basis=rigs.rig.basis * factor)
    people = {name: replace(person, template=person.template * factor) for name, person in rigs.identities.items()}
    return RigFile(rig, people)
