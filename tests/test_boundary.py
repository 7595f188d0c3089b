"""The boundary of the command line: Ctrl-C, streams, the environment, the terminal, and whose mistake an error is."""

import errno
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from conftest import Command, CommandResult
from hypothesis import example, given, settings
from hypothesis import strategies as st

from talker_cli.cli.options import cell, examples, guarded, note, parse_size, printable, progress, result
from talker_cli.errors import InputError, ModelError, OutputError, TalkerError
from talker_cli.identity.library import Library
from talker_cli.identity.resolve import IdentityResolver, style_space
from talker_cli.model.folder import model_folder
from talker_cli.rig import load_rig

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
ESCAPE = "\x1b[2Jname\x07\x9b"


def shell(command: str, cwd: Path, **environment: str) -> CommandResult:
    """Run a shell command in which `talker` is the real command line."""
    text = f'talker() {{ "{sys.executable}" -m talker_cli "$@"; }}; {command}'
    done = subprocess.run(
        ["bash", "-c", text], cwd=cwd, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, check=False
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


# Streams


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_stop_the_work(wav: Path, model: Path, tmp_path: Path, closed: str) -> None:
    """Breaks if a service without streams gets a traceback, or a stream's number is given to the motion or to ffmpeg."""
    ran = shell(f"talker animate {wav} --model {model} --device cpu -o a.npy -o a.csv {closed}", tmp_path)
    assert ran.code == 0 and "Traceback" not in ran.err
    assert ran.out == ("" if ">&-" in closed and closed != "2>&-" else "a.npy\na.csv\n")
    assert {path.name for path in tmp_path.glob("a*")} == {"a.npy", "a.json", "a.coefficients.npy", "a.csv"}


@pytest.mark.parametrize("command", ["--version", "--help", "head --list", "animate --help"])
@pytest.mark.slow
def test_a_full_stdout_is_one_line(tmp_path: Path, command: str) -> None:
    """Breaks if results that nobody got pass for written, or end in a traceback."""
    assert "cannot write to the standard output" in shell(f"talker {command} >/dev/full", tmp_path).mistake


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    """Breaks if `talker … | head -1` ends in a traceback."""
    ran = shell("talker head --list | head -1; exit ${PIPESTATUS[0]}", tmp_path)
    assert ran.err == "" and ran.out.startswith("people") and ran.code in (0, 1)


# Ctrl-C


@pytest.mark.parametrize("moment", ["package", "command line", "runtime", "twice"])
@pytest.mark.slow
def test_ctrl_c_at_any_instant_is_one_line(tmp_path: Path, wav: Path, moment: str) -> None:
    """Breaks if Ctrl-C while something is imported, or a second one while the first is handled, is a traceback."""
    module = {"package": "talker_cli.cli.app", "command line": "typer", "runtime": "onnxruntime", "twice": "onnxruntime"}[
        moment
    ]
    times = 2 if moment == "twice" else 1
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}:\n"
        "            sys.meta_path.remove(self)\n"
        f"            for _ in range({times}): os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    command = [sys.executable, "-m", "talker_cli", "animate", str(wav)]
    env = {**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "talker: interrupted; nothing was left half-written\n")


# The environment


@pytest.mark.parametrize("value", ["x", "", "-3", "0", "²", "9" * 5000])
@pytest.mark.slow
def test_nonsense_widths_are_ignored(tmp_path: Path, value: str) -> None:
    """Breaks if a variable that rich or Typer reads can end every command in a traceback."""
    ran = shell("talker head --help", tmp_path, COLUMNS=value, LINES=value, TERMINAL_WIDTH=value)
    assert (ran.code, ran.err) == (0, "") and "Usage: talker head" in ran.out


# The terminal


def test_no_control_character_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Breaks if a file's or an identity's name clears the screen, rings, forges a line or runs backwards."""
    note(f"{ESCAPE}\nsecond line")
    result(Path(f"{ESCAPE}\nb.npy"))
    result("text\nof two lines \u202egnp.exe")
    out, err = capsys.readouterr()
    assert err == "talker: \\x1b[2Jname\\x07\\x9b second line\n"
    assert out == "\\x1b[2Jname\\x07\\x9b\\x0ab.npy\ntext\nof two lines \\u202egnp.exe\n"
    assert cell("[red]x[/red]\x1b") == "\\[red]x\\[/red]\\x1b"


def test_names_of_files_are_escaped_wherever_they_are_named(invoke: Command, tmp_path: Path) -> None:
    """Breaks if a mistake or a wrong option shows a name raw."""
    name = f"a{ESCAPE}.wav"
    (tmp_path / name).write_bytes(b"")
    for command in (
        ("animate", name),
        ("animate", f"--{ESCAPE}"),
        ("export", name, "-o", "x.glb"),
        ("identities", "show", ESCAPE),
    ):
        line = invoke(*command).mistake
        assert "\\x1b[2Jname" in line and not re.search(r"[\x00-\x1f\x7f-\x9f]", line)


@given(st.text())
def test_printable_text_has_no_control_characters(text: str) -> None:
    """Breaks if any text can reach the terminal as more than letters; or if harmless letters are changed."""
    shown = printable(text, sys.stdout)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", shown)
    if text.isprintable():
        assert shown == text


def test_a_bar_shows_any_name(tmp_path: Path) -> None:
    """Breaks if braces or brackets in a name are taken for the bar's own fields and markup."""
    code = (
        "from talker_cli.cli.options import progress\n"
        "with progress('writing {task.nothing} [/red] \\x1b]0;t\\x07', 'frames') as advance:\n"
        "    advance(1, 2)\n"
    )
    main, child = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], env={**ENVIRONMENT, "COLUMNS": "120"}, stderr=child, cwd=tmp_path)
    shown, ends = b"", time.monotonic() + 30
    while process.poll() is None and time.monotonic() < ends:
        if select.select([main], [], [], 0.05)[0]:
            shown += os.read(main, 1 << 16)
    while select.select([main], [], [], 0.05)[0]:
        shown += os.read(main, 1 << 16)
    os.close(child)
    os.close(main)
    assert process.returncode == 0, shown
    assert b"{task.nothing} [/red] \\x1b]0;t\\x07" in shown and b"\x1b]0;t" not in shown


# Whose mistake


def raising(error: BaseException) -> Callable[..., None]:
    @guarded
    def command(path: Path, more: list[Path] | None = None) -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("number", "name"),
    [(errno.ENOENT, "given"), (errno.EACCES, "given/below"), (errno.EISDIR, "given"), (errno.EROFS, ".given-1a2b.npy"),
     (errno.ENAMETOOLONG, "given"), (errno.ENOTDIR, "more"), (errno.ENOSPC, None), (errno.EDQUOT, "/anywhere")],
)  # fmt: skip
def test_errors_of_the_users_files_are_one_line(
    number: int, name: str | None, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if a place that the user named, or a full disk, ends in a traceback."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(typer.Exit) as exit_:
        raising(OSError(number, os.strerror(number), name))(Path("given"), more=[Path("more")])
    assert exit_.value.exit_code == 2
    assert re.fullmatch(r"talker: [^\n]+\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "error",
    [
        ChildProcessError(errno.ECHILD, "No child processes"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        FileNotFoundError(errno.ENOENT, "No such file", "flite"),
        PermissionError(errno.EACCES, "Permission denied", str(ROOT / "talker_cli" / "errors.py")),
        OSError(errno.EMFILE, "Too many open files", "given"),
        OSError("no number"),
        ValueError("a bug"),
    ],
)
def test_our_own_errors_keep_their_traceback(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a bug of ours is called the user's mistake."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(type(error)) as caught:
        raising(error)(Path("given"))
    assert caught.value is error


def test_an_error_of_the_library_is_named_by_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Breaks if a message does not say which option is wrong."""
    with pytest.raises(typer.Exit):
        raising(InputError("found nan; expected a finite number", field="style_guidance"))(Path("given"))
    assert capsys.readouterr().err == "talker: found nan; expected a finite number (--style-guidance)\n"


# Options


@given(st.text(st.sampled_from("0123456789xX -+.²"), max_size=12))
def test_a_size_is_two_even_numbers_or_refused(text: str) -> None:
    """Breaks if anything else is taken for a size, or a size is read wrong."""
    try:
        width, height = parse_size(text)
    except InputError:
        return
    assert text.lower() == f"{width}x{height}" or [int(part) for part in text.lower().split("x")] == [width, height]
    assert all(16 <= side <= 4096 and side % 2 == 0 for side in (width, height))


@given(st.integers(8, 2048), st.integers(8, 2048))
def test_every_size_is_read(width: int, height: int) -> None:
    """Breaks if a size in range is refused."""
    assert parse_size(f"{2 * width}x{2 * height}") == (2 * width, 2 * height)


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["--option value", "-o file.npy", "word", "| talker animate -"]), min_size=1, max_size=12))
def test_examples_stay_commands(words: list[str]) -> None:
    """Breaks if a long example is broken where a shell would not go on, or is too wide for a terminal of 80 columns."""

    @examples("talker " + " ".join(words))
    def command() -> None:
        """Do it."""

    assert command.__doc__ is not None
    lines = command.__doc__.split("\b\n")[1].splitlines()[1:]
    assert all(len(line) <= 78 for line in lines)
    assert " ".join(line.strip().removesuffix("\\").strip() for line in lines) == "talker " + " ".join(words)
    assert all(line.endswith(" \\") for line in lines[:-1]) and not lines[-1].endswith("\\")


def test_a_bar_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Breaks if a log file fills with bars."""
    with progress("writing", "frames") as advance:
        advance(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> IdentityResolver:
    folder = model_folder("talker-base")
    library = Library(tmp_path_factory.mktemp("library"))
    return IdentityResolver(load_rig(folder / "rig.safetensors"), style_space(folder / "student.safetensors"), library)


MEMBERS = ("FaceTalk_170725", "FaceTalk_170904_00128", "FaceTalk_170811")
shares = st.one_of(st.floats(1e-6, 1e6).map("{:.6f}".format), st.text(st.sampled_from("0123456789.-+e:n"), max_size=8))


@given(st.lists(st.tuples(st.sampled_from(MEMBERS), shares), min_size=1, max_size=4))
@example([(MEMBERS[0], "9" * 400), (MEMBERS[1], "1")])
@example([(MEMBERS[0], "0"), (MEMBERS[1], "0")])
def test_a_mix_is_a_style_of_the_model_or_refused(resolver: IdentityResolver, members: list[tuple[str, str]]) -> None:
    """Breaks if shares of zero, of infinity or of nothing animate: the style is then not finite, or no style of the model."""
    try:
        mixed = resolver.resolve(",".join(f"{name}:{share}" for name, share in members))
    except TalkerError:
        return
    style = mixed.condition.style
    assert np.isfinite(style).all() and np.linalg.norm(style) == pytest.approx(len(style) ** 0.5, rel=1e-4)


def test_a_mix_is_a_weighted_sum_on_the_sphere(resolver: IdentityResolver) -> None:
    """Breaks if shares count in another proportion than as written, or the face is not the heaviest member's."""
    one, other = (resolver.resolve(name) for name in MEMBERS[:2])
    mixed = resolver.resolve(f"{MEMBERS[0]}:1,{MEMBERS[1]}:3")
    expected = 0.25 * one.condition.style + 0.75 * other.condition.style
    expected *= len(expected) ** 0.5 / np.linalg.norm(expected)
    assert np.allclose(mixed.condition.style, expected, atol=1e-5)
    assert np.array_equal(mixed.rig.template, other.rig.template)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 3000, "/dev/zero"])
def test_settings_that_are_none(invoke: Command, tmp_path: Path, value: str) -> None:
    """Breaks if settings of no end, of endless depth or of endless digits are a hang or a traceback."""
    if value.startswith("/"):
        command = ("--config", value)
    else:
        (tmp_path / "run.toml").write_text(f"seed = {value}")
        assert "run.toml is damaged" in invoke("train", "--config", "run.toml", "-o", "x").mistake
        command = ("--set", f"train.seed={value}")
    assert "expected" in invoke("train", *command, "-o", "x").mistake


def test_an_error_is_one_line_whatever_a_file_holds() -> None:
    """Breaks if a name from a damaged file splits the one line that tells of it."""
    for error in (InputError, ModelError, OutputError):
        told = str(error("found accessors[line\nbreak]\r\n ; expected one", field="x"))
        assert told == "found accessors[line break] ; expected one"
