"""What each stage of a distillation gives: a row of numbers on a few validation clips, kept as CSV and drawn as PNG.

All rows start from the same noise, so that the distance to the teacher's deterministic result tells what halving lost.
"""

import csv
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from talker_cli.animate.animator import Animator
from talker_cli.data.dataset import Clip, Dataset
from talker_cli.formats import plot
from talker_cli.formats.files import write_bytes
from talker_cli.metrics import diversity, fdd, lve, mve
from talker_cli.model.config import MAX_TIMESTEP, SAMPLE_RATE
from talker_cli.model.diffusion import noise_seed
from talker_cli.model.network import FaceDiffusion

TAKES = 2  # the fewest that have a diversity
LONGEST = 10.0  # seconds of a clip that are measured


@dataclass(frozen=True)
class StageRow:
    """The numbers of one network on the validation clips.

    Args:
        steps: of its sampler; MAX_TIMESTEP is the teacher's DDIM.
        lve: mm^2, CodeTalker's, over all frames together.
        abs_fdd: mm^2, mean over outputs of |FDD|.
        diversity: mm, between takes.
        distance: mm, mean vertex distance to the teacher's DDIM result from the same noise.
        seconds: of computing, mean over outputs.
    """

    steps: int
    lve: float
    abs_fdd: float
    diversity: float
    distance: float
    seconds: float


HEADINGS = {
    "steps": "steps", "lve": "LVE mm^2", "abs_fdd": "|FDD| mm^2", "diversity": "diversity mm",
    "distance": "to teacher mm", "seconds": "s a clip",
}  # fmt: skip


def read_rows(path: Path) -> list[StageRow]:
    """Return the rows of a `stages.csv`, most steps first; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        rows = [
            StageRow(int(row["steps"]), *(float(row[field.name]) for field in fields(StageRow)[1:]))
            for row in csv.DictReader(stream)
        ]
    return sorted(rows, key=lambda row: -row.steps)


class StageTable:
    """Rows of a distillation, in `stages.csv` and `stages.png`; those of finished stages outlive a kill.

    Args:
        folder: of the run.
        dataset: its validation split is measured on; without one, or with `count` 0, there are no rows.
        teacher: with the guidance and the starting noise that the students get.
        count: how many clips.
        device: where to run.
    """

    def __init__(self, folder: Path, dataset: Dataset, teacher: FaceDiffusion, count: int, device: torch.device) -> None:
        self.path = folder / "stages.csv"
        self._dataset, self._teacher, self._device = dataset, teacher, device
        known, clips = teacher.config.identities, dataset.clips("validation")
        # Spread over the split, which lists an identity's clips together.
        self._clips = [clips[round(place)] for place in np.linspace(0, len(clips) - 1, min(count, len(clips)))]
        # People who are held out speak in the manners of those whom the model knows, in turn.
        self._identities = [
            clip.identity if clip.identity in known else known[place % len(known)] for place, clip in enumerate(self._clips)
        ]
        self._reference: list[np.ndarray] | None = None

    def measure(self, network: FaceDiffusion, steps: int) -> None:
        """Add the row of a network, in evaluation mode, and the teacher's if it is not there yet."""
        if not self._clips:
            return
        if self._reference is None:
            outputs, seconds = self._outputs(Animator(self._teacher, MAX_TIMESTEP, self._device))
            self._reference = outputs
            if all(row.steps != MAX_TIMESTEP for row in read_rows(self.path)):
                self._put(self._row(MAX_TIMESTEP, outputs, seconds))
        self._put(self._row(steps, *self._outputs(Animator(network, None, self._device))))

    def _outputs(self, animator: Animator) -> tuple[list[np.ndarray], float]:
        """Return coefficients (T, K) of all clips, take after take of each, and the mean time of one, seconds."""
        outputs, began = [], time.perf_counter()
        for clip, identity in zip(self._clips, self._identities, strict=True):
            speech = self._dataset.speech(clip.recording)[: int(LONGEST * SAMPLE_RATE)]
            seeds = [noise_seed(take, clip.recording) for take in range(TAKES)]
            outputs += [animator.coefficients(speech, identity, seed=seed) for seed in seeds]
        return outputs, (time.perf_counter() - began) / len(outputs)

    def _row(self, steps: int, outputs: list[np.ndarray], seconds: float) -> StageRow:
        assert self._reference is not None
        errors: list[float] = []
        weights, deviations, spreads, distances = [], [], [], []
        for place, clip in enumerate(self._clips):
            at = slice(place * TAKES, (place + 1) * TAKES)
            truth, made, reference = self._decoded(clip, outputs[at], self._reference[at])
            rig = self._dataset.rig.rig
            for one in made:
                errors.append(lve([(truth, one)], rig.regions["lips"]))
                weights.append(min(len(truth), len(one)))
                deviations.append(abs(fdd(truth, one, rig.template, rig.regions["upper_face"])))
            spreads.append(diversity(made))
            distances += [mve(one, other) for one, other in zip(reference, made, strict=True)]
        return StageRow(
            steps,
            lve=float(np.average(errors, weights=weights)) * 1e6,
            abs_fdd=float(np.mean(deviations)) * 1e6,
            diversity=float(np.mean(spreads)) * 1e3,
            distance=float(np.mean(distances)) * 1e3,
            seconds=seconds,
        )

    def _decoded(
        self, clip: Clip, outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Return vertices (T, V, 3) of the truth, of a clip's outputs and of the teacher's, on the rig's own template."""
        rig = self._dataset.rig.rig
        truth = rig.decode(self._dataset.coefficients(clip.name))
        return truth, [rig.decode(each) for each in outputs], [rig.decode(each) for each in reference]

    def _put(self, row: StageRow) -> None:
        rows = sorted([row, *(old for old in read_rows(self.path) if old.steps != row.steps)], key=lambda each: -each.steps)
        lines = [",".join(field.name for field in fields(StageRow))]
        lines += [",".join(f"{value:.6g}" for value in asdict(each).values()) for each in rows]
        write_bytes(self.path, ("\n".join(lines) + "\n").encode())
        if plot.available():
            draw_rows(rows, self.path.with_suffix(".png"))


def draw_rows(rows: Sequence[StageRow], path: Path) -> None:
    """Draw a panel for each number with a bar for each row, and write a PNG."""
    keys = [field.name for field in fields(StageRow)[1:]]
    with plot.chart(path, 9.0, 0.3 + (len(keys) + 1) // 2 * (0.7 + 0.25 * len(rows))) as figure:
        for axes, key in zip(plot.panels(figure, len(keys)), keys, strict=True):
            plot.draw_bars(axes, HEADINGS[key], [str(row.steps) for row in rows], [getattr(row, key) for row in rows])
