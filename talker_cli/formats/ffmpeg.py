"""The ffmpeg program of imageio-ffmpeg: where it is, which files it may open, how it is started and what its log says."""

import ctypes
import re
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from talker_cli.errors import MachineError

# Headerless formats, which ffmpeg cannot recognise by their content.
RAW_FORMATS = {".g722": "g722"}

# Formats that hold their sound themselves. Playlists (hls, concat, dash, sdp, imf …) open other files and are left out.
DEMUXERS = (
    "aac ac3 ac4 adp aea aiff aix alp amr amrnb amrwb ape apac aptx asf ast au avi bfstm brstm caf dff dsf dts dtshd dv eac3 "
    "evc f32be f32le flac flv g722 g723_1 g729 gsm gxf hca iamf ilbc ircam lc3 loas lvf lxf matroska,webm mlp mmf mov,mp4,m4a,"
    "3gp,3g2,mj2 mp3 mpc mpc8 mpeg mpegts mxf nistsphere nut ogg oma paf pvf qcp qoa rm rso sbc sds shn sln smjpeg sox "
    "spdif swf tak truehd tta vag voc vqf w64 wav wsd wtv wv xa xwma"
).replace(" ", ",")

PDEATHSIG = 1  # prctl's number


def executable() -> str:
    """Return the path of ffmpeg.

    Raises:
        MachineError: there is none.
    """
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise MachineError("found no ffmpeg program; expected the one in imageio-ffmpeg; pip install imageio-ffmpeg") from error


def input_arguments(path: Path) -> list[str]:
    """Return the arguments that make ffmpeg read `path`, and no other file or address, whatever its name or content is."""
    raw = RAW_FORMATS.get(Path(path).suffix.lower())
    forced = ["-f", raw] if raw else []
    return ["-protocol_whitelist", "file,pipe", "-format_whitelist", DEMUXERS, *forced, "-i", f"file:{path}"]


def start(
    arguments: list[str], *, stdin: int, stdout: int, stderr: int, pass_fds: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start ffmpeg on `arguments`, out of the terminal's Ctrl-C; on Linux it ends with the thread that started it.

    Raises:
        MachineError: it cannot be started.
    """
    command = [executable(), "-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", *arguments]
    try:
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True, pass_fds=pass_fds, preexec_fn=_DIE
        )
    except OSError as error:
        raise MachineError(f"cannot run ffmpeg at {command[0]} ({error.strerror}); reinstall imageio-ffmpeg") from error


@contextmanager
def running(
    arguments: list[str], feed: Iterable[bytes] | None, log: IO[bytes], pass_fds: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield ffmpeg with its output on `stdout`; it is ended with the block.

    Args:
        arguments: Its arguments; it reads the feed from `pipe:0` and writes to `pipe:1`.
        feed: Input, written by a thread of its own; an exception of it is raised when the block ends.
        log: File for its messages.
        pass_fds: Further descriptors to write to.

    Raises:
        MachineError: ffmpeg cannot be started.
    """
    stdin = subprocess.DEVNULL if feed is None else subprocess.PIPE
    process = start(arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=log.fileno(), pass_fds=pass_fds)
    failed: list[BaseException] = []

    def write(data: Iterable[bytes], stream: IO[bytes]) -> None:
        try:
            with suppress(BrokenPipeError), stream:  # it has ended, which its exit code tells
                for block in data:
                    stream.write(block)
                    stream.flush()
        except BaseException as error:
            failed.append(error)

    writer = None
    if feed is not None:
        assert process.stdin is not None
        writer = threading.Thread(target=write, args=(feed, process.stdin), daemon=True)
        writer.start()
    assert process.stdout is not None
    try:
        with process.stdout:
            yield process
        if writer is not None:
            writer.join()
        if failed:
            raise failed[0]
    finally:
        process.kill()
        process.wait()


def last_words(log: bytes) -> str:
    """Return the last line ffmpeg wrote, shortened, without the addresses of the parts that wrote it."""
    lines = [line for line in log.decode(errors="replace").splitlines() if line.strip()]
    text = re.sub(r"^(\[[^\]]*\] )+", "", lines[-1]) if lines else "it said nothing"
    return text.strip()[:160]


def _die_with_parent() -> None:
    """Ask Linux, in the child, to kill it when the thread that started it ends: also a killed talker leaves no ffmpeg."""
    assert _PRCTL is not None
    _PRCTL(PDEATHSIG, signal.SIGKILL)


# Looked up before any fork: the child must not import or allocate.
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)
_DIE = None if _PRCTL is None else _die_with_parent
