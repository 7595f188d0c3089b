"""What the commands share: options that recur, the error boundary, results on stdout, notes and progress on stderr."""

import errno
import inspect
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, ParamSpec, TextIO, TypeVar

import typer

from talker_cli.cli.process import INTERRUPTED, INTERRUPTED_TEXT, interruptible
from talker_cli.errors import InputError, OutputError, TalkerError
from talker_cli.model.folder import DEFAULT_MODEL as DEFAULT_MODEL  # for the commands

if TYPE_CHECKING:
    from rich.table import Table

P = ParamSpec("P")
R = TypeVar("R")

MISTAKE = 2  # exit code of a mistake that the user can fix
EXAMPLE_WIDTH = 76  # characters: 80 columns less the margins of the help
# Line and paragraph separators, and the marks that reverse the direction of what follows.
DECEPTIVE = re.compile("[\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def complete_identity(incomplete: str) -> list[str]:
    """Return the identities of the built-in model and of the user's library with this prefix, for a shell to complete."""
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
        help="Identity: a name or its unique prefix, an identity file, auto, or a mix such as anna:0.7,bert:0.3.",
        autocompletion=complete_identity,
    ),
]
LibraryOption = Annotated[
    Path | None, typer.Option("--library", help="Folder of enrolled identities.", show_default="your own")
]
ModelOption = Annotated[str, typer.Option("--model", help="Model: a built-in name, or a folder with weights.")]
OutputFolderOption = Annotated[Path, typer.Option("--output", "-o", help="Folder to write.", show_default=False)]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of the random numbers. Equal seeds give equal results.")]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option("--device", help="Device that runs the network.")]

OnProgress = Callable[[int, int | None], None]  # (done, of how many if that is known)

# What the disk, a name or the permissions of a place are to blame for; any other error number is ours.
OF_PLACES = (
    errno.EACCES, errno.EEXIST, errno.EFBIG, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENODEV,
    errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.ENXIO, errno.EPERM, errno.EROFS,
)  # fmt: skip
FULL = (errno.ENOSPC, errno.EDQUOT)


# What a light installation leaves out, by the extra that brings it.
EXTRAS = {"train": ("torch", "torchaudio", "transformers", "accelerate", "onnx", "tomli_w"), "serve": ("websockets",)}


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command end with one line on stderr: exit code 2 for a user's mistake, 130 for Ctrl-C.

    An OSError is a user's mistake if it concerns a file that the user named, or a full disk. Any other keeps its traceback.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with interruptible():
                return command(*args, **kwargs)
        except TalkerError as error:
            option = f" (--{error.field.replace('_', '-')})" if error.field else ""
            note(f"{error}{option}")
            raise typer.Exit(MISTAKE) from error
        except OSError as error:
            line = _mistake(error, [*args, *kwargs.values()])
            if line is None:
                raise
            note(line)
            raise typer.Exit(MISTAKE) from error
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            extra = next((extra for extra, names in EXTRAS.items() if package in names), None)
            if extra is None:
                raise
            note(f"found no {package}; expected it for this; run: pip install 'talker-cli[{extra}]'")
            raise typer.Exit(MISTAKE) from error
        except KeyboardInterrupt as error:
            note(INTERRUPTED_TEXT)
            raise typer.Exit(INTERRUPTED) from error

    return run


def _mistake(error: OSError, given: Iterable[object]) -> str | None:
    """Return the line for an error that the user can fix, or None for a bug, or for a reader of stdout that has left."""
    if error.errno in FULL:
        return f"cannot write {error.filename or 'the result'}: the disk is full; free some space, or choose another place"
    if error.errno not in OF_PLACES or not isinstance(error.filename, str | bytes):
        return None
    place = Path(os.fsdecode(error.filename))
    if not any(_concerns(place, path) for path in _paths(given)):
        return None
    if error.errno == errno.ENAMETOOLONG:
        return f"{place}: a name of more than the 255 bytes that file systems allow; give a shorter one"
    return f"cannot read or write {place}: {error.strerror}; check that it exists, and its permissions"


def _paths(values: Iterable[object]) -> Iterator[Path]:
    """Yield every path among the arguments of a command; text may be one."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _paths(value)
        elif isinstance(value, str | Path) and str(value):
            yield Path(value)


def _concerns(place: Path, given: Path) -> bool:
    """Say whether `place` is the given path, lies in it, leads to it, or is a temporary file beside it."""
    one, other = (Path(os.path.abspath(path)) for path in (place, given))
    if one == other or one in other.parents or other in one.parents:
        return True
    return one.parent == other.parent and one.name.startswith(f".{other.stem}")


def examples(*commands: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Add example commands to the help of a command, each line short enough not to be wrapped.

    Args:
        commands: Command lines as typed in a shell. Long ones are continued on further lines, as a shell reads them.
    """

    def decorate(command: Callable[P, R]) -> Callable[P, R]:
        lines = ["Examples:" if len(commands) > 1 else "Example:", *(line for each in commands for line in _wrapped(each))]
        command.__doc__ = inspect.cleandoc(command.__doc__ or "") + "\n\n\b\n" + "\n".join(lines)
        return command

    return decorate


def _wrapped(command: str) -> list[str]:
    """Return a command line as lines of at most 76 characters, broken before options."""
    lines: list[str] = []
    line = "  "
    for word in re.split(r" (?=-{1,2}[a-zA-Z])| (?=\| )", command):
        if line.strip() and len(line) + len(word) > EXAMPLE_WIDTH:
            lines.append(f"{line}\\")
            line = "    "
        line += f"{word} "
    return [*lines, line.rstrip()]


def one_thread() -> None:
    """Run the network on one CPU thread, unless OMP_NUM_THREADS says otherwise; call it before torch is imported.

    Its layers are small: a second thread saves a quarter of the sampling on an idle machine, and takes several times as long
    beside other work, because the threads wait for each other at every layer.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def note(text: str) -> None:
    """Write one line for the user to stderr, so that pipes carry results alone."""
    with suppress(OSError):  # a stderr that cannot be written to must not stop the work
        typer.echo(printable("talker: " + re.sub(r"\s*[\r\n]+\s*", " ", text), sys.stderr), err=True)


def result(text: object) -> None:
    """Write a result to stdout: a path as one line, text as it is.

    Raises:
        OutputError: stdout cannot be written to, as on a full disk.
    """
    shown = "\n".join(
        printable(line, sys.stdout) for line in ([str(text)] if isinstance(text, Path) else str(text).split("\n"))
    )
    _write(shown + "\n")


def _write(text: str) -> None:
    try:
        typer.echo(text, nl=False)
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader has left: the command line ends quietly
            raise
        raise stdout_problem(error) from error


def stdout_problem(error: OSError) -> OutputError:
    """Return the error of a stdout that cannot be written to, and write no more to it."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - or the buffer would be written again at the end
    return OutputError(f"cannot write to the standard output ({error.strerror}); free some space, or send it elsewhere")


def printable(text: str, stream: TextIO) -> str:
    """Return text that a terminal shows as it is: control characters, and what the stream cannot encode, are escaped.

    Names of files and identities, and messages about them, come from elsewhere: their escape sequences could clear the
    screen or forge a line, and file names need not be UTF-8.
    """
    safe = "".join(f"\\x{ord(sign):02x}" if unicodedata.category(sign) == "Cc" else sign for sign in text)
    safe = DECEPTIVE.sub(lambda match: f"\\u{ord(match[0]):04x}", safe)
    encoding = stream.encoding or "utf-8"
    return safe.encode(encoding, "backslashreplace").decode(encoding)


def cell(text: object) -> str:
    """Return text for a cell of a table: printable, and free of rich's markup."""
    from rich.markup import escape

    return escape(printable(str(text), sys.stdout))


def show_table(table: "Table", width: int) -> None:
    """Write a table to stdout."""
    from rich.console import Console

    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(table)
    _write(captured.get())


@contextmanager
def progress(what: str, unit: str) -> Iterator[OnProgress]:
    """Yield a callback (done, total) that keeps a bar with rate and time left on stderr; silent if it is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(printable(what, sys.stderr), total=None, rate="")

        def advance(done: int, total: int | None) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f} {unit}/s" if speed else "")

        yield advance


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height in pixels of `512x512`.

    Raises:
        InputError: it is not two even numbers from 16 to 4096.
    """
    match = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", text.lower())
    if match:
        size = int(match[1]), int(match[2])
        if all(16 <= side <= 4096 and side % 2 == 0 for side in size):
            return size
    raise InputError(f"found {text}; expected WIDTHxHEIGHT, even numbers from 16 to 4096, for example 512x512", field="size")


def same_file(one: Path, other: Path) -> bool:
    """Say whether two paths lead to one existing file."""
    return one.exists() and other.exists() and one.samefile(other)
