"""The picture of a run's curve: a panel a loss, on a logarithmic scale, in training and on the validation split."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from talker_cli.formats.canvas import FONT, QUIET, Canvas

COLUMNS = 2
PANEL = (400, 190)  # pixels: width and height of a panel's axes
LABELS, MARGIN, HEAD = 56, 24, 44  # pixels left of the axes, between panels, and over the panels
GRID, TRAINING, VALIDATION = "#e3e6ea", "#1f5fa8", "#c4541b"
VALIDATED = "validation"

Points = list[tuple[float, float]]


def draw_curve(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the losses of a curve's rows over their steps and write a PNG.

    Args:
        rows: with `stage`, `step` and losses by name; "validation" is that of "diffusion", "validation_x" that of "x".
            Stages follow each other, each counting its own steps.
        path: the picture.

    Raises:
        OutputError: the place cannot be written.
    """
    places = _places(rows)
    names = [name for row in rows for name in row if name not in ("stage", "step") and not name.startswith(VALIDATED)]
    panels = list(dict.fromkeys(names))
    height = HEAD + PANEL[1] + 2 * MARGIN
    canvas = Canvas(MARGIN + COLUMNS * (LABELS + PANEL[0] + MARGIN), MARGIN + max(1, math.ceil(len(panels) / COLUMNS)) * height)
    for index, name in enumerate(panels):
        validated = VALIDATED if name == "diffusion" else f"{VALIDATED}_{name}"
        lines = [(TRAINING, _points(rows, places, name)), (VALIDATION, _points(rows, places, validated))]
        left = MARGIN + LABELS + index % COLUMNS * (LABELS + PANEL[0] + MARGIN)
        _draw_panel(canvas, left, MARGIN + index // COLUMNS * height, name, [line for line in lines if line[1]])
    canvas.save(path)


def _places(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return each row's step, counted through the stages before its own."""
    places, before, last, stage = [], 0.0, 0.0, None
    for row in rows:
        if row["stage"] != stage:
            before, stage = last, row["stage"]
        last = before + float(row["step"])
        places.append(last)
    return places


def _points(rows: Sequence[Mapping[str, Any]], places: Sequence[float], name: str) -> Points:
    """Return (step, loss) where there is one; the logarithm knows positive ones alone."""
    found = [(place, row.get(name)) for place, row in zip(places, rows, strict=True)]
    return [(place, float(value)) for place, value in found if value not in (None, "") and float(value) > 0]


def _draw_panel(canvas: Canvas, left: float, top: float, name: str, lines: Sequence[tuple[str, Points]]) -> None:
    """Draw the axes and the lines of one loss, with the last value of each."""
    canvas.text(left, top + 8, name, size=FONT + 1)
    for place, (color, points) in enumerate(lines):
        what = VALIDATED if color == VALIDATION else "training"
        text = f"{what}: {points[-1][1]:.4g}"
        canvas.text(left + PANEL[0] - 150 * (len(lines) - 1 - place), top + 8, text, anchor="rm", size=FONT - 1, color=color)
    values = [value for _, points in lines for _, value in points]
    if not values:
        return
    low, high = math.log10(min(values)), math.log10(max(values))
    spread = max(high - low, 0.1)
    low, high = low - 0.05 * spread, high + 0.05 * spread
    end = max(place for _, points in lines for place, _ in points)
    up, bottom = top + HEAD, top + HEAD + PANEL[1]

    def across(step: float) -> float:
        return left + step / end * PANEL[0]

    def over(value: float) -> float:
        return bottom - (math.log10(value) - low) / (high - low) * PANEL[1]

    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        canvas.box(across(share * end) - 0.5, up, across(share * end) + 0.5, bottom, GRID)
        canvas.text(across(share * end), bottom + 11, f"{share * end:.0f}", anchor="mm", size=FONT - 2, color=QUIET)
        level = 10 ** (low + share * (high - low))
        canvas.box(left, over(level) - 0.5, left + PANEL[0], over(level) + 0.5, GRID)
        canvas.text(left - 6, over(level), f"{level:.3g}", anchor="rm", size=FONT - 2, color=QUIET)
    for color, points in lines:
        if len(points) > 1:
            canvas.line([(across(step), over(value)) for step, value in points], color)
        canvas.dot(across(points[-1][0]), over(points[-1][1]), 2.5, color)
