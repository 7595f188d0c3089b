"""The directions in which captured faces move, from more frames than memory holds.

Two passes over the frames find the leading right singular vectors of X, (N, D), rows the displacements from each person's
template: randomised subspace iteration, then Nystrom's approximation of X'X from the second pass' product (Halko,
Martinsson, Tropp 2011, algorithms 4.4 and 5.5). Memory is that of two (D, R) matrices and a block of rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from talker_cli.data.resume import ResumableParts

PASSES = 2
SEED = 20  # of the random start; fixed, so that the bytes stay the same
CHECKPOINT_VALUES = 200_000_000  # numbers read between two states that a killed run resumes from
NOISE = 1e-7  # of the largest eigenvalue: what lies under it is float32's rounding

Blocks = Callable[[int], Iterator[np.ndarray]]  # sequence number -> blocks (n, D) float32


@dataclass(frozen=True)
class Spectrum:
    """The main directions of a set of displacements.

    Args:
        directions: (D, R) float32, orthonormal columns, the strongest first.
        power: (R,) sum over all frames of the squared coefficient along each direction.
        vertex_power: (V,) sum over all frames of each vertex' squared displacement.
        frames: N.
    """

    directions: np.ndarray
    power: np.ndarray
    vertex_power: np.ndarray
    frames: int

    def rms(self, region: np.ndarray | None = None) -> np.ndarray:
        """Return (R + 1,) the root mean square distance that 0, 1, … R components leave, over a region (V,) bool or all.

        With X'X u = p u, what K components leave on a region is its power minus the sum of p_k |u_k|^2 over the region.
        """
        mask = np.ones(len(self.vertex_power), bool) if region is None else region
        region_power = np.square(self.directions.reshape(len(mask), 3, -1)[mask], dtype=np.float64).sum((0, 1))  # (R,)
        left = self.vertex_power[mask].sum() - np.concatenate([[0.0], np.cumsum(region_power * self.power)])
        return np.asarray(np.sqrt(np.maximum(left, 0.0) / (self.frames * mask.sum())))

    def basis(self, components: int) -> np.ndarray:
        """Return (K, V, 3) float32: the displacement of one standard deviation along each of the first K directions."""
        std = np.sqrt(self.power[:components] / self.frames)
        directions = self.directions[:, :components]
        largest = directions[np.abs(directions).argmax(0), np.arange(components)]
        signed = directions * (np.where(largest < 0, -1.0, 1.0) * std).astype(np.float32)
        return np.ascontiguousarray(signed.T.reshape(components, -1, 3))


def find_directions(
    blocks: Blocks, frames: list[int], width: int, rank: int, work: ResumableParts, on_progress: Callable[[int, int], None]
) -> Spectrum:
    """Return up to `rank` main directions of the rows that `blocks` gives.

    Args:
        blocks: Function that yields the rows of a sequence, a block at a time.
        frames: Number of rows of each sequence.
        width: D, three times the number of vertices.
        rank: Number of directions to find.
        work: Store from which a killed run resumes.
        on_progress: Called with the number of sequences read and their total, over both passes.
    """
    if "directions" not in work:
        rank = min(rank, sum(frames), width)
        start = np.random.default_rng(SEED).standard_normal((width, rank), dtype=np.float32)
        for turn in range(PASSES):
            product, vertex_power = _pass(blocks, frames, start, turn, work, on_progress)
            if turn < PASSES - 1:
                start = np.linalg.qr(product)[0].astype(np.float32)
        directions, power = _nystrom(start, product)
        arrays = {"directions": directions, "power": power, "vertex_power": vertex_power}
        work.save("directions", arrays, {"frames": sum(frames)})
        for turn in range(PASSES):
            work.drop(f"pass-{turn}")
    part = work.load("directions")
    return Spectrum(part.array("directions"), part.array("power"), part.array("vertex_power"), part.metadata["frames"])


def _pass(
    blocks: Blocks,
    frames: list[int],
    start: np.ndarray,
    turn: int,
    work: ResumableParts,
    on_progress: Callable[[int, int], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Return X'X start, (D, R) float64, and each vertex' power (V,)."""
    key, total = f"pass-{turn}", PASSES * len(frames)
    product, power, done, unsaved = np.zeros(start.shape), np.zeros(len(start) // 3), 0, 0
    if key in work:
        state = work.load(key)
        product, power, done = state.array("product"), state.array("power"), state.metadata["sequences"]
    for number in range(done, len(frames)):
        for block in blocks(number):
            product += block.T @ (block @ start)
            power += np.square(block, dtype=np.float64).reshape(len(block), -1, 3).sum((0, 2))
        unsaved += frames[number] * len(start)
        if unsaved > CHECKPOINT_VALUES or number == len(frames) - 1:
            work.save(key, {"product": product, "power": power}, {"sequences": number + 1})
            unsaved = 0
        on_progress(turn * len(frames) + number + 1, total)
    return product, power


def _nystrom(start: np.ndarray, product: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return directions (D, R) float32 and power (R,) of X'X from `product` = X'X start, start orthonormal."""
    core = start.T.astype(np.float64) @ product
    values, vectors = np.linalg.eigh((core + core.T) / 2)
    nonzero = values > NOISE * max(values[-1], np.finfo(float).tiny)
    factor = product @ (vectors[:, nonzero] / np.sqrt(values[nonzero]))  # (D, R), factor factor' is close to X'X
    power, turn = np.linalg.eigh(factor.T @ factor)
    strong = np.flatnonzero(power > NOISE * power[-1])[::-1] if len(power) else np.zeros(0, int)
    directions = factor @ (turn[:, strong] / np.sqrt(power[strong]))
    return directions.astype(np.float32), power[strong]
