"""The chart of a run's losses: one panel a loss, on a logarithmic scale, over training and validation split."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from talker_cli.formats import plot

VALIDATION = "validation"


def draw_curve(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the losses of a curve's rows over their steps and write a PNG.

    Args:
        rows: Rows with `stage`, `step` and losses by name; "validation" is the validation loss of "diffusion",
            "validation_x" that of "x". Stages follow each other, and each counts its own steps from 1.
        path: The PNG.

    Raises:
        MachineError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    steps = _steps(rows)
    names = dict.fromkeys(
        name for row in rows for name in row if name not in ("stage", "step") and not name.startswith(VALIDATION)
    )
    with plot.chart(path, 9.0, 0.3 + 2.5 * max(1, -(-len(names) // 2))) as figure:
        for axes, name in zip(plot.panels(figure, len(names)), names, strict=True):
            validation = VALIDATION if name == "diffusion" else f"{VALIDATION}_{name}"
            lines = {"training": _points(rows, steps, name), "validation": _points(rows, steps, validation)}
            plot.draw_lines(axes, name, lines, log=True)


def _steps(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the step of each row, counted through the stages before its own."""
    steps, before, last, stage = [], 0.0, 0.0, None
    for row in rows:
        if row["stage"] != stage:
            before, stage = last, row["stage"]
        last = before + float(row["step"])
        steps.append(last)
    return steps


def _points(rows: Sequence[Mapping[str, Any]], steps: Sequence[float], name: str) -> list[tuple[float, float]]:
    """Return (step, loss) of the rows that have the loss."""
    return [(step, float(row[name])) for step, row in zip(steps, rows, strict=True) if row.get(name) not in (None, "")]
