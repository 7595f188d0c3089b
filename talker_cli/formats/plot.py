"""Charts, drawn by matplotlib without a display and written as PNG; matplotlib comes with the extra `plot`."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import MachineError
from talker_cli.formats.files import atomic_path

INSTALL = "pip install 'talker-cli[plot]'"
DPI = 100  # pixels an inch
BLUE, ORANGE, PALE, GRAY = "#1f5fa8", "#c4541b", "#c9daf0", "#5b6570"
STYLE = {
    "font.size": 9, "axes.titlesize": 10, "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e3e6ea", "lines.linewidth": 1.3, "legend.frameon": False,
    "legend.fontsize": 8, "text.parse_math": False,
}  # fmt: skip

# matplotlib is an extra, which carries no types; its figures and axes are Any here.
Figure = Any
Axes = Any


def available() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


@contextmanager
def chart(path: Path, width: float, height: float, title: str = "") -> Iterator[Figure]:
    """Give a figure to draw on, and write it as PNG when the block ends.

    Args:
        path: The PNG.
        width: Width of the figure, inches of 100 pixels.
        height: Height of the figure, inches of 100 pixels.
        title: Text over the figure.

    Raises:
        MachineError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    if not available():
        raise MachineError(f"matplotlib is not installed; charts need it; run: {INSTALL}")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no word of font caches
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as PlotFigure

    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks
        figure = PlotFigure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        if title:
            figure.suptitle(title, fontsize=10, x=0.01, ha="left")
        yield figure
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png")


def panels(figure: Figure, count: int, columns: int = 2) -> list[Axes]:
    """Return `count` axes in rows of `columns`."""
    columns = min(columns, max(1, count))
    rows = -(-count // columns)
    return [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def draw_lines(axes: Axes, title: str, lines: Mapping[str, Sequence[tuple[float, float]]], *, log: bool = False) -> None:
    """Draw lines of (x, y) points by their labels, each label with its line's last value.

    Args:
        axes: The panel.
        title: Title of the panel.
        lines: Points of each line, by its label; on a logarithmic scale only positive values are drawn.
        log: Whether the y axis is logarithmic.
    """
    axes.set_title(title)
    for (label, points), color in zip(lines.items(), (BLUE, ORANGE, GRAY), strict=False):
        shown = [point for point in points if point[1] > 0 or not log]
        if shown:
            axes.plot(*zip(*shown, strict=True), color=color, label=f"{label}: {shown[-1][1]:.4g}", marker=".", markevery=[-1])
    if axes.lines:
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")  # the default one writes powers as mathematics, which is off
        axes.legend(loc="upper right")


def draw_bars(axes: Axes, title: str, labels: Sequence[str], values: Sequence[float]) -> None:
    """Draw a horizontal bar for each label from the top down, with its value."""
    axes.set_title(title)
    bars = axes.barh(range(len(values)), values, color=BLUE)
    axes.bar_label(bars, [f"{value:.3g}" for value in values], padding=3, fontsize=8)
    axes.margins(x=0.15)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(False, axis="y")


@dataclass(frozen=True)
class Interval:
    """A row of an interval chart.

    Args:
        name: Label of the row.
        value: Mean.
        interval: Confidence interval of the mean; None if there is none.
        half: First and third quartile.
    """

    name: str
    value: float
    interval: tuple[float, float] | None
    half: tuple[float, float]


def draw_intervals(axes: Axes, title: str, rows: Sequence[Interval]) -> None:
    """Draw a row for each entry: a dot for the mean, a line for its interval, a pale bar for the middle half."""
    axes.set_title(title)
    for place, row in enumerate(rows):
        axes.barh(place, row.half[1] - row.half[0], left=row.half[0], height=0.5, color=PALE)
        if row.interval:
            axes.plot(row.interval, (place, place), color=BLUE)
        axes.plot(row.value, place, "o", color=BLUE, markersize=5)
    axes.axvline(0.0, color="#aab2bb", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [shortened(row.name) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(False, axis="y")


def draw_dots(axes: Axes, title: str, labels: Sequence[str], columns: Mapping[str, Sequence[float | None]]) -> None:
    """Draw a row for each label from the top down with a dot of each column; the first column is a black line."""
    axes.set_title(title)
    for place, (name, values) in enumerate(columns.items()):
        x, y = [value for value in values if value is not None], [row for row, value in enumerate(values) if value is not None]
        style = {"color": "black", "marker": "|", "markersize": 14, "mew": 2.5} if place == 0 else {"marker": "o", "alpha": 0.8}
        axes.plot(x, y, linestyle="none", label=shortened(name), **style)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.legend(loc="lower right")


def draw_matrix(
    axes: Axes,
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]],
) -> None:
    """Draw a matrix of numbers as shaded cells with their texts; None is an empty cell, darker is greater."""
    axes.set_title(title)
    filled = np.array([[np.nan if value is None else value for value in row] for row in values], np.float64)
    greatest = float(np.nanmax(filled)) or 1.0
    axes.imshow(filled, cmap="Blues", vmin=0.0, vmax=greatest, aspect="auto")
    for row, column in np.argwhere(np.isfinite(filled)).tolist():
        color = "white" if filled[row, column] > 0.55 * greatest else "black"
        axes.text(column, row, texts[row][column], ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks(range(len(columns)), [shortened(name, 12) for name in columns])
    axes.set_yticks(range(len(rows)), [shortened(name) for name in rows])
    axes.grid(False)


def shortened(text: str, longest: int = 28) -> str:
    """Return a text of at most `longest` characters, with an ellipsis for what is cut off."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
