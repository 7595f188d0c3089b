"""The picture of a report: a panel a metric with a line a system, and the matrix of identities, as a PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.evaluate.report import EvaluationReport, Metric, Output
from talker_cli.formats.canvas import FONT, INK, QUIET, Canvas

SHOWN = ("lve", "mve", "fdd", "abs_fdd", "gap_error", "diversity", "bilabials_closed", "vowels_open")
COLUMNS = 2
HEAD = 70  # pixels over the panels
PANEL = (430, 46)  # pixels: width of a panel's axis, and height of all but its lines
LINE, LABELS, MARGIN = 26, 190, 28
GRID, BAR, DOT = "#e3e6ea", "#c9daf0", "#1f5fa8"


@dataclass(frozen=True)
class Line:
    """A line of a panel: its name, the mean with its interval, and the middle half of the sequences; all as shown."""

    name: str
    value: float
    interval: tuple[float, float] | None
    half: tuple[float, float]


def draw_report(report: EvaluationReport, path: Path) -> None:
    """Draw every metric of a report, a line a system (a line an identity if there is one system), and write a PNG.

    Raises:
        OutputError: the place cannot be written.
    """
    rows = report.rows
    single = rows[0].get("identities") if len(rows) == 1 else None
    lines = [(name, row) for name, row in single.items()] if single else [(row["system"], row) for row in rows]
    keys = [key for key in SHOWN if any(key in row for _, row in lines)]
    panels = {key: _panel(report, key, lines, by_identity=bool(single)) for key in keys}
    matrix = report.findings.get("lve_matrix")
    height = PANEL[1] + LINE * len(lines) + MARGIN
    below = (len(keys) + COLUMNS - 1) // COLUMNS * height + HEAD
    width = MARGIN + COLUMNS * (LABELS + PANEL[0] + MARGIN)
    canvas = Canvas(width, below + (_matrix_height(matrix) if matrix else 0))
    note = "dot and line: mean and its 95 % interval (bootstrap over sequences); bar: the middle half of the sequences"
    about = (report.about.get(key) for key in ("model", "predictions", "dataset", "truth", "split", "protocol", "condition"))
    canvas.text(MARGIN, MARGIN - 6, ", ".join(str(each) for each in about if each), size=FONT + 2)
    canvas.text(MARGIN, MARGIN + 14, note, color=QUIET)
    for place, (heading, entries) in enumerate(panels.values()):
        left = MARGIN + place % COLUMNS * (LABELS + PANEL[0] + MARGIN)
        _draw_panel(canvas, left, HEAD + place // COLUMNS * height, heading, entries)
    if matrix:
        _draw_matrix(canvas, below, matrix, report)
    canvas.save(path)


def _panel(
    report: EvaluationReport, key: str, lines: Sequence[tuple[str, dict[str, Any]]], *, by_identity: bool
) -> tuple[str, list[Line]]:
    shown = report.display(key, [row.get(key) for _, row in lines])
    entries = []
    for name, row in lines:
        if row.get(key) is None:
            continue
        chosen = [output for output in report.outputs if name == (output.identity if by_identity else output.system)]
        low, high = row["intervals"][key]
        first, third = (
            float(shown.factor * bound) for bound in np.quantile(by_sequence(chosen, report.metric(key)), (0.25, 0.75))
        )
        interval = None if low is None else (low * shown.factor, high * shown.factor)
        entries.append(Line(name, row[key] * shown.factor, interval, (first, third)))
    return shown.heading, entries


def by_sequence(outputs: Sequence[Output], metric: Metric) -> np.ndarray:
    """Return a metric's value for each sequence that says something of it."""
    sums: dict[str, np.ndarray] = {}
    for output in outputs:
        sums[output.sequence] = sums.get(output.sequence, np.zeros(2)) + metric.terms(output)
    return np.array([total[0] / total[1] for total in sums.values() if total[1]])


def _draw_panel(canvas: Canvas, left: float, top: float, heading: str, lines: Sequence[Line]) -> None:
    axis = left + LABELS
    bounds = [bound for line in lines for bound in (line.value, *line.half, *(line.interval or ()))]
    low, high = min(0.0, *bounds), max(0.0, *bounds)
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    bottom = top + 24 + LINE * len(lines)

    def across(value: float) -> float:
        return axis + (value - low) / (high - low) * PANEL[0]

    canvas.text(axis, top + 8, heading, size=FONT + 1)
    for tick in ticks:
        canvas.box(across(tick) - 0.5, top + 24, across(tick) + 0.5, bottom, "#aab2bb" if tick == 0 else GRID)
        canvas.text(across(tick), bottom + 9, f"{tick:g}", anchor="mm", size=FONT - 2, color=QUIET)
    for place, line in enumerate(lines):
        y = top + 24 + LINE * (place + 0.5)
        canvas.text(axis - 10, y, line.name if len(line.name) < 28 else f"{line.name[:26]}..", anchor="rm")
        canvas.box(across(line.half[0]), y - 6, across(line.half[1]), y + 6, BAR)
        if line.interval:
            canvas.box(across(line.interval[0]), y - 1, across(line.interval[1]), y + 1, DOT)
        canvas.dot(across(line.value), y, 4, DOT)


def _ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers that reach from `low` to `high`."""
    if high <= low:
        return [low, low + 1.0]
    rough = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(float(power * nice) for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough)
    return [round(step * place, 12) for place in range(int(np.floor(low / step)), int(np.ceil(high / step)) + 1)]


CELL = (64, 26)


def _matrix_height(matrix: dict[str, Any]) -> int:
    return 3 * MARGIN + CELL[1] * (len(_measured(matrix)) + 1)


def _measured(matrix: dict[str, Any]) -> list[tuple[str, list[float | None]]]:
    """Return the lines of the identities that have clips."""
    lines = zip(matrix["identities"], matrix["lve"], strict=True)
    return [(name, values) for name, values in lines if any(value is not None for value in values)]


def _draw_matrix(canvas: Canvas, top: float, matrix: dict[str, Any], report: EvaluationReport) -> None:
    """Draw LVE by true identity and identity asked for; darker is worse."""
    lines = _measured(matrix)
    shown = report.display("lve_codetalker", [value for _, values in lines for value in values])
    greatest = max(value for _, values in lines for value in values if value is not None) or 1.0
    left = MARGIN + LABELS + 10
    heading = f"{shown.heading} by identity: whose clips they are (lines), who was asked for (columns)"
    canvas.text(MARGIN, top + 4, heading, size=FONT + 1)
    for column, name in enumerate(matrix["identities"]):
        short = name.removeprefix("FaceTalk_").split("_")[0]
        canvas.text(left + CELL[0] * (column + 0.5), top + MARGIN + 4, short[:9], anchor="mm", size=FONT - 2, color=QUIET)
    for place, (name, values) in enumerate(lines):
        y = top + MARGIN + CELL[1] * (place + 0.5) + 14
        canvas.text(left - 10, y, name if len(name) < 28 else f"{name[:26]}..", anchor="rm")
        for column, value in enumerate(values):
            if value is None:
                continue
            share = value / greatest
            shade = tuple(round(255 - share * (255 - full)) for full in (31, 95, 168))
            x = left + CELL[0] * column
            canvas.box(x + 1, y - CELL[1] / 2 + 1, x + CELL[0] - 1, y + CELL[1] / 2 - 1, "#{:02x}{:02x}{:02x}".format(*shade))
            canvas.text(
                x + CELL[0] / 2, y, shown.text(value), anchor="mm", color="white" if share > 0.55 else INK, size=FONT - 1
            )
