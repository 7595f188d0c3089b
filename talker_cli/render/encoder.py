"""Encoding of frames by ffmpeg: H.264 or VP9 with sound, an animated GIF, a PNG or a folder of PNGs, by the file's name."""

import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np

from talker_cli.errors import OutputError, TalkerError
from talker_cli.formats import ffmpeg
from talker_cli.formats.audio import playable
from talker_cli.formats.files import atomic_folder, atomic_path, check_new_folder, check_writable
from talker_cli.formats.processes import signals_held

FINISH_SECONDS = 300.0  # for the encoder's last frames, and to rewrite the file for streaming

# yuv420p at High profile with the index at the front: every browser plays it, and starts before all of it has arrived.
# The colour matrix is named, because players guess it by the image's size, and skin turns greenish.
YUV = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv420p", "-colorspace", "bt709",
       "-color_primaries", "bt709", "-color_trc", "bt709"]  # fmt: skip
H264 = [*YUV, "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-movflags", "+faststart"]
VP9 = [*YUV, "-c:v", "libvpx-vp9", "-crf", "24", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "5", "-row-mt", "1"]
SOUND = {".mp4": ["-c:a", "aac", "-b:a", "160k", "-ar", "48000"], ".webm": ["-c:a", "libopus", "-b:a", "128k", "-ar", "48000"]}
# A short GIF has one palette, for which ffmpeg keeps all frames; a long one has a palette for every frame.
PALETTES = {True: ("diff", ""), False: ("single", ":new=1")}
SHORT = 1200  # frames; of 512x512 each takes about 1 MB of memory
FASTEST_GIF = 50.0  # frames a second: delays are whole hundredths, and players read one hundredth as ten
LAYOUTS = (
    "aformat=channel_layouts=mono|stereo|5.1|7.1"  # channels that AAC and Opus both encode; others are mixed to the nearest
)
FOLDER = ""  # no suffix: a PNG a frame
OUTPUTS: dict[str, list[str]] = {
    ".mp4": H264, ".webm": VP9, ".gif": ["-loop", "0"], ".png": ["-frames:v", "1", "-update", "1"],
    FOLDER: ["-start_number", "0"],
}  # fmt: skip
NUMBERED = "%06d.png"


class Encoder:
    """A running ffmpeg that frames are written to. Made by `encode`."""

    def __init__(self, process: subprocess.Popen[bytes], size: tuple[int, int]) -> None:
        assert process.stdin is not None
        self.stdin = process.stdin
        self._shape = (size[1], size[0], 3)
        self.frames = 0

    def write(self, image: np.ndarray) -> None:
        """Encode one (H, W, 3) uint8 frame."""
        if image.shape != self._shape or image.dtype != np.uint8:
            raise ValueError(f"a frame of {image.shape} {image.dtype}; expected {self._shape} uint8")
        self.stdin.write(np.ascontiguousarray(image).data)
        self.frames += 1


@contextmanager
def encode(output: Path, size: tuple[int, int], fps: float, frames: int, audio: Path | None = None) -> Iterator[Encoder]:
    """Yield an encoder for `frames` frames; the file appears whole when the block ends well, and not at all otherwise.

    The sound starts with the first frame. It plays to its end if it outlasts the frames by less than one, as the recording of
    a motion may, and ends with them if it is longer; a shorter one leaves silence.

    Args:
        output: The file or folder.
        size: Width and height, pixels, both even for a video.
        fps: Frame rate.
        frames: Number of frames.
        audio: Any recording, or None.

    Raises:
        OutputError: the suffix is unknown, the place cannot be written to, or the encoder failed.
        MachineError: there is no ffmpeg.
    """
    kind = kind_of(output)
    arguments = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{size[0]}x{size[1]}", "-framerate", f"{fps:.10g}"]
    arguments += ["-i", "pipe:0"]
    with (
        playable(audio) if audio is not None and kind in SOUND else nullcontext() as sound,
        atomic_folder(output, is_numbered) if kind == FOLDER else atomic_path(output) as temporary,
        tempfile.TemporaryFile() as log,
    ):
        if sound is not None:
            # The sound's own clock starts at zero, as it did when it was animated, whatever its container says.
            arguments += [*ffmpeg.input_arguments(sound), "-map", "0:v:0", "-map", "1:a:0"]
            arguments += ["-af", f"asetpts=N/SR/TB,{LAYOUTS}", *SOUND[kind], "-t", f"{(frames + 1) / fps:.6f}"]
        if kind == ".gif":
            arguments += ["-vf", _gif_filter(fps, frames)]
        arguments += OUTPUTS[kind]
        place = f"{str(temporary).replace('%', '%%')}/{NUMBERED}" if kind == FOLDER else str(temporary)
        command = [*arguments, "-y", f"file:{place}"]
        encoder: Encoder | None = None
        broken: Exception | None = None
        try:
            # Ctrl-C waits until the encoder can be stopped: otherwise it would write its file after this process has ended.
            with signals_held():
                process = ffmpeg.start(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log.fileno())
                encoder = Encoder(process, size)
            try:
                yield encoder
                encoder.stdin.close()
                process.wait(timeout=FINISH_SECONDS)
            except (BrokenPipeError, subprocess.TimeoutExpired) as error:
                broken = error
        finally:
            if encoder is not None:
                process.kill()
                process.wait()
                with suppress(BrokenPipeError):
                    encoder.stdin.close()
        empty = not any(temporary.iterdir()) if kind == FOLDER else temporary.stat().st_size == 0
        if broken is not None or process.returncode != 0 or empty:
            log.seek(0)
            raise _encoder_problem(output, log.read(), process.returncode, encoder.frames) from broken


def _gif_filter(fps: float, frames: int) -> str:
    mode, use = PALETTES[frames <= SHORT]
    thinned = f"fps={FASTEST_GIF:g}," if fps > FASTEST_GIF else ""
    return f"{thinned}split[a][b];[a]palettegen=stats_mode={mode}[p];[b][p]paletteuse=dither=bayer:bayer_scale=4{use}"


def _encoder_problem(output: Path, log: bytes, code: int, frames: int) -> TalkerError:
    too_large = hasattr(signal, "SIGXFSZ") and code == -signal.SIGXFSZ  # a limit on the size of files
    if too_large or b"No space left on device" in log or b"File too large" in log:
        return OutputError(f"cannot write {output}: the disk is full; free some space or choose another place", field="output")
    words = ffmpeg.last_words(log)
    return OutputError(f"cannot write {output}: the encoder stopped at frame {frames} with code {code} ({words})")


def kind_of(output: Path) -> str:
    """Return the suffix that selects the encoder; an empty one means a folder.

    Raises:
        OutputError: the suffix is unknown.
    """
    kind = output.suffix.lower()
    if kind not in OUTPUTS:
        known = ", ".join(suffix for suffix in OUTPUTS if suffix)
        raise OutputError(
            f"cannot write {output}: the suffix is '{kind}'; expected {known}, or none for a folder", field="output"
        )
    return kind


def is_numbered(name: str) -> bool:
    """Say whether a file name is that of an image in a folder, so that a new folder may replace it."""
    return re.fullmatch(r"\d{6,}\.png", name) is not None


def check_place(output: Path) -> None:
    """Refuse an output that cannot be written, before any work.

    Raises:
        OutputError: the suffix is unknown, the folder to write into does not exist or cannot be written, or is not empty.
    """
    if kind_of(output) == FOLDER:
        check_new_folder(output, is_numbered)
    else:
        check_writable(output)
