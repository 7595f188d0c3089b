"""How training shows itself: a bar where someone looks, a line now and then where a log is written."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from talker_cli.cli.options import note

if TYPE_CHECKING:
    from talker_cli.train.run import Progress

LINE_EVERY = 20.0  # seconds, where stderr is no terminal


@contextmanager
def training_progress(on_stop: str) -> Iterator[Callable[["Progress"], None]]:
    """Yield a callback that shows step, loss, rate and time left; on Ctrl-C say `on_stop`."""
    try:
        if sys.stderr.isatty():
            with _bar() as report:
                yield report
        else:
            yield _lines()
    except KeyboardInterrupt:
        note(on_stop)
        raise


@contextmanager
def _bar() -> Iterator[Callable[["Progress"], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    shown = TextColumn("{task.fields[shown]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), shown, TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def report(progress: "Progress") -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bar.add_task(progress.stage, total=progress.steps, shown="")
            task = tasks[progress.stage]
            speed = next(entry.speed for entry in bar.tasks if entry.id == task)
            rate = f"{speed:.2f} steps/s " if speed else ""
            bar.update(task, completed=progress.step, shown=rate + _losses(progress))

        yield report


def _lines() -> Callable[["Progress"], None]:
    """Return a callback that writes a line every LINE_EVERY seconds and at the end of each stage."""
    began: dict[str, tuple[float, int]] = {}
    last = [0.0]

    def report(progress: "Progress") -> None:
        now = time.monotonic()
        start, first = began.setdefault(progress.stage, (now, progress.step))
        if now - last[0] < LINE_EVERY and progress.step < progress.steps:
            return
        last[0] = now
        rate = (progress.step - first) / (now - start) if now > start else 0.0
        left = f"{(progress.steps - progress.step) / rate:.0f} s left, " if rate else ""
        note(f"{progress.stage}: step {progress.step} of {progress.steps}, {rate:.2f} steps/s, {left}{_losses(progress)}")

    return report


def _losses(progress: "Progress") -> str:
    return ", ".join(f"{name} {loss:.4g}" for name, loss in progress.losses.items())
