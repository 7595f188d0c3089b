"""What every command shares: the options that recur, the error boundary, notes and progress on stderr."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Literal, ParamSpec, TextIO, TypeVar

import typer

from talker_cli.errors import InputError, TalkerError

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_MODEL = "talker-base"
MISTAKE = 2  # exit code of what the user can mend
INTERRUPTED = 130  # as shells report Ctrl-C


def complete_identity(incomplete: str) -> list[str]:
    """Return the names that begin so, of the built-in model and of the user's library: for shells."""
    from talker_cli.formats.files import ArrayFile
    from talker_cli.identity.library import Library
    from talker_cli.model.folder import model_folder

    rig = ArrayFile(model_folder(DEFAULT_MODEL) / "rig.safetensors", "rig file")
    names = [entry["name"] for entry in rig.metadata["identities"]] + list(Library(None).names())
    return [name for name in names if name.startswith(incomplete)]


IdentityOption = Annotated[
    str,
    typer.Option(
        "--identity",
        "-i",
        help="Who speaks: a name or its beginning, a file, auto, or anna:0.7,bert:0.3.",
        autocompletion=complete_identity,
    ),
]
LibraryOption = Annotated[
    Path | None, typer.Option("--library", help="The folder of enrolled identities; your own by default.", show_default=False)
]
ModelOption = Annotated[str, typer.Option("--model", help="A built-in model's name, or a folder with weights.")]
OutputFolderOption = Annotated[Path, typer.Option("--output", "-o", help="The folder to write.", show_default=False)]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of the noise: the same seed gives the same motion.")]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where the network runs.")]

OnProgress = Callable[[int, int | None], None]  # (done, of how many if that is known)


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command end with one line on stderr: exit code 2 for a user's mistake, 130 for Ctrl-C."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except TalkerError as error:
            option = f" (--{error.field.replace('_', '-')})" if error.field else ""
            note(" ".join(str(error).split()) + option)
            raise typer.Exit(MISTAKE) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read the results has enough: the command line ends quietly
                raise
            place = error.filename or "a file"
            if error.errno == errno.ENAMETOOLONG:
                note(f"{place}: a name of more than the 255 bytes that file systems allow; give a shorter one")
            else:
                note(f"cannot read or write {place}: {error.strerror or error}; check that it is there and its permissions")
            raise typer.Exit(MISTAKE) from error
        except KeyboardInterrupt as error:
            note("interrupted; nothing was left half-written")
            raise typer.Exit(INTERRUPTED) from error

    return run


def note(text: str) -> None:
    """Write one line for the user to stderr, so that pipes carry results alone."""
    typer.echo(_printable(f"talker: {text}", sys.stderr), err=True)


def result(text: object) -> None:
    """Write one line of results to stdout."""
    typer.echo(_printable(str(text), sys.stdout))


def _printable(text: str, stream: TextIO) -> str:
    """Return what the stream's encoding can show: file names need not be UTF-8, nor terminals."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


@contextmanager
def progress(what: str, unit: str) -> Iterator[OnProgress]:
    """Yield a callback (done, total) that keeps a bar with rate and time left on stderr; silent where no one looks."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, rate="")

        def advance(done: int, total: int | None) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f} {unit}/s" if speed else "")

        yield advance


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height in pixels of `512x512`.

    Raises:
        InputError: it is not two even numbers from 16 to 4096.
    """
    width, _, height = text.lower().partition("x")
    if width.isascii() and height.isascii() and width.isdigit() and height.isdigit():
        size = int(width), int(height)
        if all(16 <= side <= 4096 and side % 2 == 0 for side in size):
            return size
    raise InputError(f"found --size {text}; expected WIDTHxHEIGHT, even numbers from 16 to 4096, for example 512x512")


def same_file(one: Path, other: Path) -> bool:
    """Say whether two paths lead to one existing file."""
    return one.exists() and other.exists() and one.samefile(other)
