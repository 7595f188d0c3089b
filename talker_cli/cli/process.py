"""The start of the process: signals, standard streams and environment, set before anything that takes time is imported."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # exit code, as shells report Ctrl-C
INTERRUPTED_TEXT = "interrupted; nothing was left half-written"
WIDTHS = ("COLUMNS", "LINES", "TERMINAL_WIDTH")  # read by rich and Typer
WIDEST = 10_000


def begin() -> None:
    """Set up signals, streams and environment."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores Ctrl-C
        signal.signal(signal.SIGINT, _leave)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # ignored under nohup
            signal.signal(number, lambda number, frame: sys.exit(128 + number))  # temporary files are removed
    _open_streams()
    for name in WIDTHS:
        value = os.environ.get(name, "1")
        if not (value.isascii() and value.isdigit() and 0 < int(value[:9]) <= WIDEST):
            del os.environ[name]


def end(code: int) -> int:
    """Return the exit code, which no Ctrl-C can change any more: Python takes a while to end."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code == INTERRUPTED:
        exec("")  # CPython dies of SIGINT if the exception passed through code that was run from text; this resets its mark
    return code


def _open_streams() -> None:
    """Lead closed standard streams to the null device, or the next file to be opened would take their place."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C inside the block; outside it, where nothing has to be cleaned up, the process ends."""
    if signal.getsignal(signal.SIGINT) is not _leave:
        yield
        return
    last = -1.0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 1.0 or last < 0:  # a second Ctrl-C at once must not break off the cleaning up
            last = now
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, f"talker: {INTERRUPTED_TEXT}\n".encode())
    os._exit(INTERRUPTED)
