"""Recordings of any format as speech: (S,) float32 in -1…1, 16 kHz, mono.

ffmpeg decodes, and resamples, every format: one way for all of them behaves alike for all of them, keeps torch and its
seconds of start-up out, and streams, so that an hour of six channels never lies in memory. The channels are averaged
here, because ffmpeg's own downmix drops the bass channel and raises a mono voice in a stereo file by 3 dB.
"""

import errno
import os
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats import ffmpeg

SAMPLE_RATE = 16_000  # hertz
SHORTEST = 0.1  # seconds
LOUDEST = 4.0  # a float file beyond this holds something else than samples in -1…1
CHUNK_FRAMES = 1 << 16  # read at a time

OnDamage = Callable[[str], None]

AU_HEADER = struct.Struct(">4s5I")  # magic, offset of the data, its size, encoding, sample rate, channels


def load_speech(path: Path, on_damage: OnDamage = lambda line: None) -> np.ndarray:
    """Read the first audio stream of a file as speech, the mean of its channels.

    Args:
        path: the recording.
        on_damage: told, in a line, that parts of it could not be decoded.

    Returns:
        (S,) float32 in -1…1 at 16 kHz.

    Raises:
        InputError: no such file, nothing to hear in it, broken samples, or shorter than 0.1 s.
        MachineError: ffmpeg is missing.
    """
    return np.concatenate(list(read_speech(path, on_damage)))


def load_intact_speech(path: Path) -> np.ndarray:
    """Read a recording as `load_speech` does, and refuse a damaged one: what moves up would fit no motion and no text.

    Raises:
        InputError: as `load_speech`, and where parts cannot be decoded.
        MachineError: ffmpeg is missing.
    """

    def refuse(line: str) -> None:
        raise InputError(f"{line}; expected an intact recording; export it again")

    return load_speech(path, refuse)


def read_speech(path: Path, on_damage: OnDamage = lambda line: None) -> Iterator[np.ndarray]:
    """Yield what `load_speech` returns in parts (S,), so that hours need not lie in memory.

    Args:
        path: the recording.
        on_damage: told, in a line, that parts of it could not be decoded.

    Raises:
        InputError: no such file, nothing to hear in it, broken samples, or, at the end, shorter than 0.1 s.
        MachineError: ffmpeg is missing.
    """
    path = Path(path)
    check_file(path)
    count = 0
    for part in _decode(path, on_damage):
        broken = np.flatnonzero(~np.isfinite(part))
        if broken.size:
            at = (count + broken[0]) / SAMPLE_RATE
            raise InputError(f"{path} holds NaN or infinity, first at {at:.3f} s; expected finite samples; export it again")
        peak = float(np.abs(part).max(initial=0.0))
        if peak > LOUDEST:
            raise InputError(f"{path} holds samples up to {peak:.4g}; expected -1…1; scale it and save it again")
        count += len(part)
        yield np.clip(part, -1.0, 1.0)
    if count < SHORTEST * SAMPLE_RATE:
        seconds = count / SAMPLE_RATE
        raise InputError(f"{path} holds {seconds:.3f} s of sound; expected at least {SHORTEST} s; give a longer recording")


def check_file(path: Path) -> None:
    """Refuse what cannot be a recording before any decoder is asked.

    Raises:
        InputError: no such file, a folder, a pipe or a device, an empty or an unreadable file.
    """
    # os.path says no where nobody may look; pathlib raises.
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder; expected a recording (wav, flac, mp3, m4a, …); give one file")
    # It could be read once, and a recording is read twice: as sound, and for its hash.
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{path} is a pipe or a device; expected a file; save it first, or animate it live with --stream")
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; expected a recording (wav, flac, mp3, m4a, …); check the path") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise  # the command line has a line for it
        raise InputError(f"cannot read {path} ({error.strerror}); expected a readable recording; check its rights") from error
    if empty:
        raise InputError(f"{path} is empty (0 bytes); expected a recording; record or copy it again")


def _decode(path: Path, on_damage: OnDamage) -> Iterator[np.ndarray]:
    """Yield parts (S,) float32, the mean of all channels at 16 kHz, unchecked."""
    # An AU stream is the plainest that still says how many channels it has. The filter is four times longer than
    # ffmpeg's default: at a rate above 16 kHz, what lies over 8 kHz must not fold back into the voice.
    arguments = [*ffmpeg.input_arguments(path), "-map", "0:a:0", "-vn", "-sn", "-dn"]
    arguments += ["-af", f"aresample={SAMPLE_RATE}:filter_size=128:cutoff=0.97", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    with tempfile.TemporaryFile() as log:
        process = ffmpeg.start(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log.fileno())
        assert process.stdout is not None
        with process.stdout as stream:
            try:
                header = stream.read(AU_HEADER.size)
                if len(header) == AU_HEADER.size:
                    yield from _read_au(header, stream)
                    code = process.wait()
            finally:
                process.kill()
                process.wait()
        if len(header) < AU_HEADER.size:
            log.seek(0)
            said = log.read()
            if b"matches no streams" in said:
                raise InputError(f"{path} has no audio stream; expected a recording with sound; give another file")
            words = ffmpeg.last_words(said)
            raise InputError(f"{path} is not a recording that can be read ({words}); expected wav, flac, mp3, m4a, …")
        if code:
            raise InputError(
                f"the decoder of {path} ended before the recording did (code {code}); try again, or convert it to wav"
            )
        log.seek(0)
        if said := log.read():
            on_damage(
                f"{path} is damaged ({ffmpeg.last_words(said)}): what could not be decoded is left out, and the rest moves up"
            )


def _read_au(header: bytes, stream: IO[bytes]) -> Iterator[np.ndarray]:
    """Yield parts (S,) float32, the mean of an AU stream's channels."""
    _, offset, _, _, _, channels = AU_HEADER.unpack(header)
    stream.read(offset - AU_HEADER.size)
    while data := stream.read(CHUNK_FRAMES * channels * 4):
        whole = len(data) // (4 * channels) * channels
        samples = np.frombuffer(data, dtype=">f4", count=whole).reshape(-1, channels)
        yield samples.mean(axis=1, dtype=np.float32)
