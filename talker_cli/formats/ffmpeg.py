"""The ffmpeg program of imageio-ffmpeg: where it is, which files it may open, how it is started and what its log says."""

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from talker_cli.errors import MachineError
from talker_cli.formats.processes import end_with_parent

# Headerless formats, which ffmpeg cannot recognise by their content.
RAW_FORMATS = {".g722": "g722"}

# Formats that hold their sound themselves. Playlists (hls, concat, dash, sdp, imf …) open other files and are left out.
DEMUXERS = (
    "aac ac3 ac4 adp aea aiff aix alp amr amrnb amrwb ape apac aptx asf ast au avi bfstm brstm caf dff dsf dts dtshd dv eac3 "
    "evc f32be f32le flac flv g722 g723_1 g729 gsm gxf hca iamf ilbc ircam lc3 loas lvf lxf matroska,webm mlp mmf mov,mp4,m4a,"
    "3gp,3g2,mj2 mp3 mpc mpc8 mpeg mpegts mxf nistsphere nut ogg oma paf pvf qcp qoa rm rso sbc sds shn sln smjpeg sox "
    "spdif swf tak truehd tta vag voc vqf w64 wav wsd wtv wv xa xwma"
).replace(" ", ",")

_LINKED = end_with_parent()  # also a killed talker leaves no ffmpeg


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
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            pass_fds=pass_fds,
            preexec_fn=_LINKED,
        )
    except OSError as error:
        raise MachineError(f"cannot run ffmpeg at {command[0]} ({error.strerror}); reinstall imageio-ffmpeg") from error


@contextmanager
def running(
    arguments: list[str], feed: Iterable[bytes] | None, log: int, pass_fds: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield ffmpeg with its output on `stdout`; it is ended with the block.

    Args:
        arguments: Its arguments; it reads the feed from `pipe:0` and writes to `pipe:1`.
        feed: Input, written by a thread of its own; an exception of it is raised when the block ends.
        log: Descriptor of the file for its messages.
        pass_fds: Further descriptors to write to.

    Raises:
        MachineError: ffmpeg cannot be started.
    """
    stdin = subprocess.DEVNULL if feed is None else subprocess.PIPE
    process = start(arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=log, pass_fds=pass_fds)
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


@dataclass(frozen=True)
class SideFile:
    """A file that ffmpeg writes while it is read here.

    Args:
        place: Its name in ffmpeg's `tee` output.
        handle: Descriptor to write to, for ffmpeg's messages.
        descriptors: Descriptors to hand to ffmpeg, for it to write to by the file's name.
        read: Reads so many bytes at most, from a byte on.
    """

    place: str
    handle: int
    descriptors: tuple[int, ...]
    read: Callable[[int, int], bytes]

    @property
    def size(self) -> int:
        """The number of bytes so far."""
        return os.fstat(self.handle).st_size


@contextmanager
def side_file() -> Iterator[SideFile]:
    """Yield a file that is gone after the block: without a name where the platform hands descriptors to a child."""
    if hasattr(os, "pread"):  # as everywhere but on Windows; there, a child can be handed no descriptors either
        with tempfile.TemporaryFile() as file:
            handle = file.fileno()
            # The offset is shared with ffmpeg: hence pread.
            yield SideFile(f"pipe:{handle}", handle, (handle,), lambda at, size: os.pread(handle, size, at))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packets"
        with path.open("wb") as written, path.open("rb", buffering=0) as reader:

            def read(at: int, size: int) -> bytes:
                reader.seek(at)
                return reader.read(size)

            quoted = path.as_posix().replace("'", r"'\''")
            yield SideFile(f"'file:{quoted}'", written.fileno(), (), read)


def last_words(log: bytes) -> str:
    """Return the last line ffmpeg wrote, shortened, without the addresses of the parts that wrote it."""
    lines = [line for line in log.decode(errors="replace").splitlines() if line.strip()]
    text = re.sub(r"^(\[[^\]]*\] )+", "", lines[-1]) if lines else "it said nothing"
    return text.strip()[:160]
