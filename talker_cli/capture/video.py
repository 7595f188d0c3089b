"""Videos as frames (H, W, 3) uint8 at their own rate, placed by their timestamps from the container's zero on."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats import ffmpeg
from talker_cli.formats.audio import check_file

LONGEST_SIDE = 1280  # pixels; more tells the tracker nothing
FASTEST = 120.0  # frames a second
RATES = (10.0, 12.0, 12.5, 15.0, 20.0, 23.976, 24.0, 25.0, 29.97, 30.0, 48.0, 50.0, 59.94, 60.0, 100.0, 120.0)
STILLS = ("png", "mjpeg", "bmp", "gif", "webp", "tiff", "jpeg")
STREAM = re.compile(r"Stream #\d+:\d+.*?: Video: (\w+).*?, (\d+)x(\d+)(.*)")
RATE = re.compile(r"([\d.]+)(k?) (fps|tbr)")
DURATION = re.compile(r"Duration: (\d+):(\d+):([\d.]+)")
TURNED = re.compile(r"rotation of -?(90|270)\.")


@dataclass(frozen=True)
class Video:
    """A video file.

    Args:
        path: The file.
        width: Pixels of a frame as it is read.
        height: Pixels of a frame as it is read.
        fps: Frames a second.
        seconds: Length of the container, 0 where it does not say.
        sounds: Whether there is an audio stream.
    """

    path: Path
    width: int
    height: int
    fps: float
    seconds: float
    sounds: bool


def open_video(path: Path) -> Video:
    """Read a video's header.

    Raises:
        InputError: the file is missing, holds no video, or is a still picture.
    """
    check_file(path)
    command = [ffmpeg.executable(), "-hide_banner", "-nostdin", *ffmpeg.input_arguments(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    text = done.stderr.decode(errors="replace")
    found = STREAM.search(text)
    length = DURATION.search(text)
    if found is None:
        what = "only sound" if "Audio:" in text else f"nothing that can be read ({ffmpeg.last_words(done.stderr)})"
        raise InputError(f"{path} holds {what}; expected a video of one talking person")
    if length is None and found[1] in STILLS:
        raise InputError(f"{path} is a still picture; expected a video of one talking person")
    width, height = int(found[2]), int(found[3])
    if TURNED.search(text):
        width, height = height, width
    rates = {kind: float(number) * (1000 if kilo else 1) for number, kilo, kind in RATE.findall(found[4])}
    rate, clock = rates.get("fps", 0.0), rates.get("tbr", 0.0)
    if min(abs(rate - usual) / usual for usual in RATES) > 0.005 and 1 <= clock <= FASTEST:
        rate = clock  # a variable rate shows as an odd mean beside the rate of its clock
    if not 1 <= rate <= FASTEST:
        raise InputError(f"{path} has {rate:g} frames a second; expected 1 to {FASTEST:g}; convert it")
    shrink = min(1.0, LONGEST_SIDE / max(width, height))
    seconds = sum(float(part) * unit for part, unit in zip(length.groups(), (3600, 60, 1), strict=True)) if length else 0.0
    width, height = (max(2, round(side * shrink / 2) * 2) for side in (width, height))
    return Video(path, width, height, rate, seconds, "Audio:" in text)


def read_frames(video: Video) -> Iterator[np.ndarray]:
    """Yield (H, W, 3) uint8 frames, evenly spaced from the container's zero on: a frame that is missing is its neighbour.

    Raises:
        InputError: no frame can be decoded.
    """
    filters = f"fps={video.fps!r}:start_time=0,scale={video.width}:{video.height}"
    arguments = [*ffmpeg.input_arguments(video.path), "-map", "0:v:0", "-an", "-sn", "-dn", "-vf", filters]
    arguments += ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    size = video.width * video.height * 3
    count = 0
    with tempfile.TemporaryFile() as log:
        process = ffmpeg.start(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log.fileno())
        assert process.stdout is not None
        with process.stdout as stream:
            try:
                while len(data := stream.read(size)) == size:
                    yield np.frombuffer(data, np.uint8).reshape(video.height, video.width, 3)
                    count += 1
            finally:
                process.kill()
                process.wait()
        if not count:
            log.seek(0)
            raise InputError(f"{video.path} has no frame that can be decoded ({ffmpeg.last_words(log.read())}); convert it")
