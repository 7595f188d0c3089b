"""The ffmpeg program that imageio-ffmpeg bundles: where it is, how it is told of a file, what its last words mean."""

import subprocess
from pathlib import Path

from talker_cli.errors import MachineError

# Raw streams carry no header to tell them by; ffmpeg has to be told what they are.
RAW_FORMATS = {".g722": "g722"}


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
    """Return the arguments that make ffmpeg read `path`, and no other file or address, whatever the name looks like."""
    raw = RAW_FORMATS.get(Path(path).suffix.lower())
    forced = ["-f", raw] if raw else []
    return ["-protocol_whitelist", "file,pipe", *forced, "-i", f"file:{path}"]


def start(arguments: list[str], *, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    """Start ffmpeg on `arguments`, away from the terminal's Ctrl-C, so that its reader or writer ends it.

    Raises:
        MachineError: it cannot be started.
    """
    command = [executable(), "-hide_banner", "-nostdin", "-loglevel", "error", *arguments]
    try:
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)
    except OSError as error:
        raise MachineError(f"cannot run ffmpeg at {command[0]} ({error.strerror}); reinstall imageio-ffmpeg") from error


def last_words(log: bytes) -> str:
    """Return the last line ffmpeg wrote, shortened, without the address of the part that spoke."""
    lines = [line for line in log.decode(errors="replace").splitlines() if line.strip()]
    text = lines[-1] if lines else "it said nothing"
    if text.startswith("[") and "] " in text:
        text = text.split("] ", 1)[1]
    return text.strip()[:160]
