"""How far each stage of a distillation is from its teacher on a few validation clips: `stages.csv`, and `stages.png`.

All start from the same noise, so the distance to the teacher's deterministic result is what the halvings lost.
How good the students are, `talker evaluate` measures.
"""

import csv
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from talker_cli.animate.animator import Animator
from talker_cli.data.dataset import Dataset
from talker_cli.formats import plot
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.files import write_bytes
from talker_cli.metrics import mve
from talker_cli.model.config import MAX_TIMESTEP
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.noise import noise_seed
from talker_cli.model.torch_runner import TorchRunner

LONGEST = 10.0  # seconds of a clip that are measured


@dataclass(frozen=True)
class StageRow:
    """One network on the validation clips.

    Args:
        steps: Steps of its sampler; MAX_TIMESTEP is the teacher's DDIM.
        distance: Mean vertex distance to the teacher's DDIM result from the same noise, mm.
        seconds: Mean time of a clip, seconds.
    """

    steps: int
    distance: float
    seconds: float


HEADINGS = {"steps": "steps", "distance": "to teacher mm", "seconds": "s a clip"}


def read_rows(path: Path) -> list[StageRow]:
    """Return the rows of a `stages.csv`, most steps first; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        rows = [StageRow(int(row["steps"]), float(row["distance"]), float(row["seconds"])) for row in csv.DictReader(stream)]
    return sorted(rows, key=lambda row: -row.steps)


class StageTable:
    """Rows of a distillation; those of finished stages outlive a kill.

    Args:
        folder: Folder of the run.
        dataset: Dataset whose validation split is measured on; without one, or with `count` 0, there are no rows.
        teacher: The teacher, with the guidance and the temperature that the students get.
        count: Number of clips.
        device: Device to run on.
    """

    def __init__(self, folder: Path, dataset: Dataset, teacher: FaceDiffusion, count: int, device: torch.device) -> None:
        self.path = folder / "stages.csv"
        self._dataset, self._teacher, self._device = dataset, teacher, device
        known, clips = teacher.config.identities, dataset.clips("validation")
        # Spread over the split, which lists an identity's clips together.
        self._clips = [clips[round(place)] for place in np.linspace(0, len(clips) - 1, min(count, len(clips)))]
        # Held-out identities speak in the styles of the known ones, in turn.
        self._identities = [
            clip.identity if clip.identity in known else known[place % len(known)] for place, clip in enumerate(self._clips)
        ]
        self._reference: list[np.ndarray] | None = None

    def measure(self, network: FaceDiffusion, steps: int) -> None:
        """Add the row of a network, in evaluation mode, and the teacher's if it is not there yet."""
        if not self._clips:
            return
        if self._reference is None:
            self._reference, seconds = self._outputs(Animator(TorchRunner(self._teacher, self._device), MAX_TIMESTEP))
            if all(row.steps != MAX_TIMESTEP for row in read_rows(self.path)):
                self._put(StageRow(MAX_TIMESTEP, 0.0, seconds))
        outputs, seconds = self._outputs(Animator(TorchRunner(network, self._device), None))
        decode = self._dataset.rig.rig.decode
        distances = [mve(decode(one), decode(other)) for one, other in zip(self._reference, outputs, strict=True)]
        self._put(StageRow(steps, float(np.mean(distances)) * 1e3, seconds))

    def _outputs(self, animator: Animator) -> tuple[list[np.ndarray], float]:
        """Return the coefficients (T, K) of all clips, and the mean time of one, seconds."""
        outputs, began = [], time.perf_counter()
        for clip, identity in zip(self._clips, self._identities, strict=True):
            speech = self._dataset.speech(clip.recording)[: int(LONGEST * SAMPLE_RATE)]
            outputs.append(animator.coefficients(speech, identity, seed=noise_seed(0, clip.recording)))
        return outputs, (time.perf_counter() - began) / len(outputs)

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
    with plot.chart(path, 9.0, 1.0 + 0.25 * len(rows)) as figure:
        for axes, key in zip(plot.panels(figure, len(keys)), keys, strict=True):
            plot.draw_bars(axes, HEADINGS[key], [str(row.steps) for row in rows], [getattr(row, key) for row in rows])
