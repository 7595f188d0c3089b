"""Parts of the operating system that differ by platform: locks of files, the end of child processes, peak memory.

Linux and macOS have `fcntl` and `resource`; Windows has neither. There, temporary files carry no lock, because Windows renames
no file that is open, and count as abandoned after a day.
"""

import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from talker_cli.errors import MachineError


def _module(name: str) -> ModuleType | None:
    with suppress(ImportError):
        return importlib.import_module(name)
    return None


_fcntl, _resource = _module("fcntl"), _module("resource")

ABANDONED = 86_400.0  # seconds without a change, where files have no locks
PDEATHSIG = 1  # prctl's number
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in one of getrusage's ru_maxrss


def hold(path: Path) -> int:
    """Open and lock a file or folder; return the handle, whose closing ends the lock, or -1 where there are no such locks."""
    if _fcntl is None:
        return -1
    handle = os.open(path, os.O_RDONLY)
    with suppress(OSError):  # not every file system has locks; there, nothing counts as abandoned either
        _fcntl.flock(handle, _fcntl.LOCK_EX)
    return handle


@contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Yield whether no process holds a file or folder; it stays locked inside the block."""
    if _fcntl is None:
        yield time.time() - path.stat().st_mtime > ABANDONED
        return
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        try:
            _fcntl.flock(handle, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Wait until no other process is in this block for the same folder: files that belong together are renamed together."""
    if _fcntl is None:
        import filelock

        name = sha256(str(folder.resolve()).encode()).hexdigest()[:24]
        with filelock.FileLock(Path(tempfile.gettempdir()) / f"talker-{name}.lock"):
            yield
        return
    handle = hold(folder)
    try:
        yield
    finally:
        os.close(handle)


def end_with_parent() -> Callable[[], None] | None:
    """Return what a child process calls so that Linux kills it when the thread that started it ends; None elsewhere.

    It is looked up before any fork: a child must not import or allocate.
    """
    if sys.platform != "linux":
        return None
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    return None if prctl is None else lambda: prctl(PDEATHSIG, signal.SIGKILL)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the block ends; Windows cannot, and there they come at once."""
    if sys.platform == "win32" or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def fork_context() -> Any:  # a ForkContext: Windows lacks the type too
    """Return the context whose processes are copies of this one; a new Python for each would import numpy again.

    Raises:
        MachineError: the platform has no such processes.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        raise MachineError(f"found no fork on {sys.platform}; the articulated corpus needs it; make it on Linux or macOS")
    return multiprocessing.get_context("fork")


def peak_memory() -> int:
    """Return the peak resident memory of this process, bytes."""
    if _resource is not None:
        return int(_resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss) * MAXRSS_UNIT
    import psutil

    memory = psutil.Process().memory_info()
    return int(getattr(memory, "peak_wset", memory.rss))
