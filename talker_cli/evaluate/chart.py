"""The chart of a report: a panel a metric with a line a system, and the matrix of identities, as a PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.evaluate.captured import CAPTURE, CapturedReport
from talker_cli.evaluate.report import EvaluationReport, Metric, Output
from talker_cli.formats.plot import Interval, chart, draw_dots, draw_intervals, draw_matrix, panels

SHOWN = ("lve", "mve", "fdd", "abs_fdd", "gap_error", "diversity", "bilabials_closed", "vowels_open")
WIDTH = 13.0  # inches
LINE, HEAD = 0.26, 0.9  # inches: a line of a panel, and its title and axis
SHOWN_OF_CAPTURED = (
    "gap_r", "width_r", "jaw_r", "lip_error_mm", "shut_recall", "shut_precision", "first_opening_error_s", "mtm_ms",
    "jaw_f95_hz", "slcc", "blinks_per_minute", "half_blinks_share",
)  # fmt: skip
COMMON = 0.005  # of all phones: rarer ones are not drawn
NOTE = "dot and line: mean and its 95 % interval (bootstrap over sequences); bar: the middle half of the sequences"


def draw_report(report: EvaluationReport, path: Path) -> None:
    """Draw every metric of a report, a line a system (a line an identity if there is one system), and write a PNG.

    Raises:
        MachineError: matplotlib is not installed.
        OutputError: the place cannot be written.
    """
    rows = report.rows
    single = rows[0].get("identities") if len(rows) == 1 else None
    lines = [(name, row) for name, row in single.items()] if single else [(row["system"], row) for row in rows]
    keys = [key for key in SHOWN if any(row.get(key) is not None for _, row in lines)]
    matrix = report.findings.get("lve_matrix")
    height = (len(keys) + 1) // 2 * (HEAD + LINE * len(lines))
    below = HEAD + LINE * len(matrix["identities"]) if matrix else 0.0
    about = (report.about.get(key) for key in ("model", "predictions", "dataset", "truth", "split", "protocol", "condition"))
    title = ", ".join(str(each) for each in about if each)
    with chart(path, WIDTH, height + below + HEAD, f"{title}\n{NOTE}") as figure:
        upper, lower = figure.subfigures(2, 1, height_ratios=(height, below)) if matrix else (figure, None)
        for axes, key in zip(panels(upper, len(keys)), keys, strict=True):
            display = report.display(key, [row.get(key) for _, row in lines])
            draw_intervals(axes, display.heading, _intervals(report, key, lines, display.factor, by_identity=bool(single)))
        if matrix:
            (axes,) = panels(lower, 1)
            values = [
                (name, line)
                for name, line in zip(matrix["identities"], matrix["lve"], strict=True)
                if line != [None] * len(line)
            ]
            display = report.display("lve_codetalker", [value for _, line in values for value in line])
            draw_matrix(
                axes, f"{display.heading} by identity of the clips (lines) and identity asked for (columns)",
                [name for name, _ in values], [name.removeprefix("FaceTalk_").split("_")[0] for name in matrix["identities"]],
                [line for _, line in values], [[display.text(value) for value in line] for _, line in values],
            )  # fmt: skip


def _intervals(
    report: EvaluationReport, key: str, lines: Sequence[tuple[str, dict[str, Any]]], factor: float, *, by_identity: bool
) -> list[Interval]:
    result = []
    for name, row in lines:
        if row.get(key) is None:
            continue
        outputs = [output for output in report.outputs if name == (output.identity if by_identity else output.system)]
        low, high = row["intervals"][key]
        first, third = (factor * float(q) for q in np.quantile(by_sequence(outputs, report.metric(key)), (0.25, 0.75)))
        interval = None if low is None else (low * factor, high * factor)
        result.append(Interval(name, row[key] * factor, interval, (first, third)))
    return result


def by_sequence(outputs: Sequence[Output], metric: Metric) -> np.ndarray:
    """Return a metric's value for each sequence that has it."""
    sums: dict[str, np.ndarray] = {}
    for output in outputs:
        sums[output.sequence] = sums.get(output.sequence, np.zeros(2)) + metric.terms(output)
    return np.array([total[0] / total[1] for total in sums.values() if total[1]])


def draw_captured(report: CapturedReport, path: Path) -> None:
    """Draw a report on captured faces, a line a system, and the mouth gap by phone; write a PNG.

    Raises:
        MachineError: matplotlib is not installed.
        OutputError: the place cannot be written.
    """
    keys = [key for key in SHOWN_OF_CAPTURED if key in report.measured]
    height = (len(keys) + 1) // 2 * (HEAD + LINE * len(report.table))
    phones = report.by_phone()
    total = sum(row["count"] for row in phones.values())
    shown = {phone: row for phone, row in phones.items() if row["count"] >= COMMON * total}
    below = HEAD + LINE * len(shown) if shown else 0.0
    with chart(path, WIDTH, height + below + HEAD, f"{report.about['dataset']}, {report.about['split']}\n{NOTE}") as figure:
        upper, lower = figure.subfigures(2, 1, height_ratios=(height, below)) if shown else (figure, None)
        for axes, key in zip(panels(upper, len(keys)), keys, strict=True):
            lines = []
            for title, row in report.table.items():
                if key in row and np.isfinite(row[key]).all():
                    values = np.array([score.value(key) for score in report.systems[title]])
                    known = values[np.isfinite(values)]
                    half = np.quantile(known, (0.25, 0.75)).tolist() if len(known) else [row[key][0]] * 2
                    lines.append(Interval(title, row[key][0], row[key][1:], (half[0], half[1])))
            draw_intervals(axes, key, lines)
        if shown:
            (axes,) = panels(lower, 1)
            points = {title: [row.get(title) for row in shown.values()] for title in report.table if title != CAPTURE}
            draw_dots(axes, "mouth gap at the middle of each phone, mm", list(shown), {
                "captured": [row["captured"] for row in shown.values()], **points,
            })  # fmt: skip
