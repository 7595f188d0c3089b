"""Live animation: sound from a pipe, each frame out as soon as it is final, as JSON lines or over UDP (see `udp`)."""

import json
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, Protocol

import numpy as np

from talker_cli.animate.animator import Animator
from talker_cli.animate.postprocess import scaled
from talker_cli.data.emotions import Spans
from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE, Report, decode, decode_wav
from talker_cli.formats.level import Level
from talker_cli.formats.wav import SIGNATURE, ByteSource, is_wav
from talker_cli.identity.resolve import StyleCondition
from talker_cli.model.config import COMPACT, WHISPER
from talker_cli.rig import ARKIT_NAMES, face_names

LIVE_CHUNK = 2  # frames made at a time
SNIFFED = 4096  # bytes looked at before they may pass for raw samples: 128 ms
# What other formats begin with: (offset, bytes, ffmpeg's demuxer, or None where it has to seek).
FORMATS: tuple[tuple[int, bytes, str | None], ...] = (
    (0, b"OggS", "ogg"), (0, b"fLaC", "flac"), (0, b"ID3", "mp3"), (0, b"\x1aE\xdf\xa3", "matroska"), (0, b"FORM", "aiff"),
    (0, b".snd", "au"), (0, b"#!AMR", "amr"), (0, b"caff", "caf"), (0, b"ADIF", "aac"), (0, b"FLV", "flv"),
    (4, b"ftyp", None), (4, b"moov", None), (4, b"mdat", None), (0, b"RIF", None), (0, b"0&\xb2u", None), (0, b"riff", None),
)  # fmt: skip
# Bit rates (kbit/s) of MPEG-1 and MPEG-2 layer III by their number.
MP3_RATES = (
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
MP3_SAMPLE_RATES = (44_100, 48_000, 32_000)
# Raw samples of speech are neither this loud (RMS) nor this unlike their neighbours (correlation): compressed bytes are both.
NOISE_LEVEL, NOISE_CORRELATION = 0.35, 0.3


def format_of(start: bytes) -> str | None:
    """Return ffmpeg's demuxer for a stream that begins with `start`, or None for raw 16-bit samples, mono, 16 kHz.

    Raises:
        InputError: it begins with nothing, a format that cannot be decoded from a pipe, text, or what cannot be raw samples.
    """
    if not start:
        raise InputError("found nothing on stdin; expected sound; pipe a recorder into it, such as arecord -f S16_LE -r 16000")
    for offset, magic, demuxer in FORMATS:
        if start[offset:].startswith(magic):
            if demuxer is None:
                raise InputError(
                    "found a format on stdin that has to be a file; expected WAV, MP3, Ogg, FLAC or raw samples; "
                    "put ffmpeg -i FILE -f wav - before the pipe"
                )
            return demuxer
    for demuxer, length in (("mp3", _mp3_frame(start)), ("aac", _adts_frame(start))):
        following = start[length : length + 2] if length else b""
        if len(following) == 2 and following[0] == 0xFF and following[1] & 0xFE == start[1] & 0xFE:
            return demuxer
    problem = None
    if len(start) >= 16 and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        problem = "text: " + " ".join(start[:60].decode("ascii").split())
    else:
        samples = np.frombuffer(start, "<i2", len(start) // 2) / 32768.0
        if len(samples) >= 256 and samples.std() > NOISE_LEVEL and _correlation(samples) < NOISE_CORRELATION:
            problem = "bytes that are no 16-bit samples of speech"
    if problem:
        raise InputError(
            f"found {problem} on stdin; expected WAV, MP3, Ogg, FLAC or raw samples (16-bit, 16 kHz, mono); "
            "put ffmpeg -i FILE -f wav - before the pipe"
        )
    return None


def _mp3_frame(start: bytes) -> int:
    """Return the length in bytes of the MPEG layer III frame that `start` begins with, 0 if there is none."""
    if len(start) < 4 or start[0] != 0xFF or start[1] & 0xE6 != 0xE2 or start[1] & 0x18 == 0x08:
        return 0
    version, rate, sample_rate = start[1] >> 3 & 3, start[2] >> 4, start[2] >> 2 & 3  # version 3, 2, 0: MPEG-1, -2, -2.5
    if rate in (0, 15) or sample_rate == 3:
        return 0
    hertz = MP3_SAMPLE_RATES[sample_rate] // {3: 1, 2: 2, 0: 4}[version]
    per_frame = 144_000 if version == 3 else 72_000
    return per_frame * MP3_RATES[version != 3][rate - 1] // hertz + (start[2] >> 1 & 1)


def _adts_frame(start: bytes) -> int:
    """Return the length in bytes of the ADTS (AAC) frame that `start` begins with, 0 if there is none."""
    if len(start) < 7 or start[0] != 0xFF or start[1] & 0xF6 != 0xF0:
        return 0
    return (start[3] & 3) << 11 | start[4] << 3 | start[5] >> 5


def _correlation(samples: np.ndarray) -> float:
    """Return how alike a sample and one of the next are, 0…1; at odd distances, which halves of 32-bit samples do not share."""
    centred = samples - samples.mean()
    return float(max(abs((centred[lag:] * centred[:-lag]).mean()) for lag in (1, 3, 5)) / np.square(centred).mean())


class Arrivals:
    """Notes when the samples of a live sound came in."""

    def __init__(self) -> None:
        self._known: deque[tuple[int, float]] = deque()  # (samples until then, seconds of the clock)

    def add(self, samples: int, when: float) -> None:
        """Note that by `when` (seconds of the clock) so many samples had arrived, at 16 kHz."""
        self._known.append((samples, when))

    def of(self, seconds: float) -> float:
        """Return when the sound of an instant had arrived, and forget what lies before it."""
        sample = seconds * SAMPLE_RATE
        while len(self._known) > 1 and self._known[0][0] < sample:
            self._known.popleft()
        return self._known[0][1]


class SpeechPipe:
    """Reads a pipe in a thread of its own, so that nothing is lost while frames are made, and notes when what arrived.

    Args:
        descriptor: Descriptor of the pipe.
        on_note: Called at the end with a line for each thing about the sound that the user should know.
    """

    def __init__(self, descriptor: int, on_note: Callable[[str], None] = lambda line: None) -> None:
        self._descriptor = descriptor
        self._report = Report("the sound on stdin", on_note, on_note)
        self._arrivals = Arrivals()

    def parts(self) -> Iterator[np.ndarray]:
        """Yield (S,) float32, 16 kHz, mono, in the parts in which it comes.

        Raises:
            InputError: it is no sound, breaks off, or has samples that are not finite.
            MachineError: ffmpeg is needed and missing.
        """
        arrived: queue.SimpleQueue[tuple[np.ndarray | None, float]] = queue.SimpleQueue()
        failed: list[BaseException] = []

        def listen() -> None:
            try:
                for block in self._decoded():
                    arrived.put((block, time.monotonic()))
            except BaseException as error:
                failed.append(error)
            arrived.put((None, time.monotonic()))

        threading.Thread(target=listen, daemon=True).start()
        samples, over, level = 0, False, Level()
        while not over:
            blocks: list[np.ndarray] = []
            while True:  # all that has come meanwhile
                block, when = arrived.get()
                over = block is None
                if block is not None:
                    blocks.append(block)
                    samples += len(block)
                self._arrivals.add(samples, when)
                if over or arrived.empty():
                    break
            if blocks:
                part = np.concatenate(blocks)
                if not np.isfinite(part).all():
                    raise InputError("found NaN or infinity in the sound on stdin; expected finite samples; check its source")
                level.add(part)
                yield np.clip(part, -1.0, 1.0)
        if failed:
            raise failed[0]
        if (decibels := level.quiet()) is not None:
            self._report.notes.append(f"is quiet: its level is {decibels:.0f} dB; the mouth hardly moves; record it louder")
        self._report.emit()

    def arrival(self, seconds: float) -> float:
        """Return when (seconds of the clock) the sound of an instant had arrived, and forget what lies before it."""
        return self._arrivals.of(seconds)

    def _decoded(self) -> Iterator[np.ndarray]:
        """Yield blocks (S,) at 16 kHz as they come, unchecked."""
        source = ByteSource(self._read)
        start = source.exactly(SIGNATURE)
        if not is_wav(start):
            start += source.exactly(SNIFFED - SIGNATURE)
        source.back(start)
        if is_wav(start):
            yield from decode_wav(source, self._report)
        elif demuxer := format_of(start):
            arguments = [
                "-analyzeduration",
                "0",
                "-probesize",
                str(SNIFFED),
                "-protocol_whitelist",
                "pipe",
                "-f",
                demuxer,
                "-i",
                "pipe:0",
            ]
            yield from decode(arguments, self._report, iter(source.some, b""))
        else:
            rest = b""
            while data := source.some():
                data = rest + data
                rest = data[len(data) // 2 * 2 :]
                yield (np.frombuffer(data, "<i2", len(data) // 2) / 32768.0).astype(np.float32)

    def _read(self, most: int) -> bytes:
        try:
            return os.read(self._descriptor, most)
        except OSError as error:
            raise InputError(
                f"cannot read stdin ({error.strerror}); expected a pipe with sound; check the program before it"
            ) from error


class Sink(Protocol):
    """Receiver of frames."""

    def send(self, frame: int, values: np.ndarray) -> None:
        """Send one frame's (K,) coefficients."""


class JsonLines:
    """JSON lines, one a frame; the first one names the coefficients.

    Args:
        stream: Text stream to write to.
        names: Names of the K coefficients.
        fps: Frames a second.
        about: Further entries of the first line.
    """

    def __init__(self, stream: IO[str], names: tuple[str, ...], fps: float, about: dict[str, object]) -> None:
        self._stream, self._fps = stream, fps
        self._write(head_line(names, fps, about))

    def send(self, frame: int, values: np.ndarray) -> None:
        """Write one line and pass it on at once."""
        self._write(frame_line(frame, values, self._fps))

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def head_line(names: tuple[str, ...], fps: float, about: dict[str, object]) -> str:
    """Return the JSON that comes before the frames: frames a second, names of the K coefficients, and what else is given."""
    return _json({"fps": fps, "names": list(names), **about})


def frame_line(frame: int, values: np.ndarray, fps: float) -> str:
    """Return the JSON of one frame: its number, its time in seconds, its coefficients (K,)."""
    coefficients = [round(value, 5) for value in values.tolist()]
    return _json({"frame": frame, "time": round(frame / fps, 4), "coefficients": coefficients})


def _json(entries: dict[str, object]) -> str:
    return json.dumps(entries, separators=(",", ":"))


class LiveMotion:
    """The motion of one live sound: speech in, finished coefficients out.

    Args:
        animator: Model and sampler.
        identity: Style and offset of the speaker.
        look_ahead: Frames of speech waited for beyond a frame.
        seed: Seed of the noise.
        factors: (K,) factors of the coefficients, see `column_factors`; None for none.
        emotion: Emotions over the time of the sound.
        head: Scale of the head's rotation in `factors`: the eyes turn against it.
    """

    def __init__(
        self,
        animator: Animator,
        identity: StyleCondition,
        *,
        look_ahead: int,
        seed: int,
        factors: np.ndarray | None = None,
        emotion: Spans = (),
        head: float = 1.0,
    ) -> None:
        self._animator, self._identity, self._factors = animator, identity, factors
        self._stream = animator.stream(identity, seed=seed, emotion=emotion, head=head, look_ahead=look_ahead, chunk=LIVE_CHUNK)

    def push(self, speech: np.ndarray) -> np.ndarray:
        """Append (S,) float32 speech at 16 kHz; return the coefficients (T, K), T >= 0, that became final."""
        return self._finished(self._stream.push(speech))

    def finish(self) -> np.ndarray:
        """End the speech; return the coefficients (T, K) of the frames that still waited."""
        return self._finished(self._stream.finish())

    def _finished(self, coefficients: np.ndarray) -> np.ndarray:
        return scaled(self._animator.finished(coefficients, self._identity), self._factors)


def run_live(motion: LiveMotion, fps: float, pipe: SpeechPipe, sink: Sink, on_latency: Callable[[float], None]) -> int:
    """Animate the sound of a pipe until it ends; return the number of frames.

    Args:
        motion: Motion of this sound.
        fps: Frames a second.
        pipe: Source of the sound.
        sink: Receiver of the frames.
        on_latency: Called for each frame with the seconds from its sound to it.
    """
    frame = 0

    def send(coefficients: np.ndarray) -> None:
        nonlocal frame
        for values in coefficients:
            sink.send(frame, values)
            on_latency(time.monotonic() - pipe.arrival(frame / fps))
            frame += 1

    for part in pipe.parts():
        send(motion.push(part))
    send(motion.finish())
    return frame


def check_live(animator: Animator) -> None:
    """Refuse a model that cannot follow sound as it comes in.

    Raises:
        InputError: its audio encoder needs seconds of the sound to come.
    """
    config = animator.config
    if config.audio_encoder not in (COMPACT, WHISPER):
        raise InputError(
            f"found a {config.kind} with the audio encoder {config.audio_encoder}, which needs seconds of the sound to come; "
            "live animation expects a student (talker distill) at its own number of steps",
            field="stream",
        )


def check_arkit(animator: Animator) -> None:
    """Refuse a model whose coefficients no live output over UDP has a place for.

    Raises:
        InputError: they are not the 52 ARKit coefficients.
    """
    if face_names(animator.config.names) != ARKIT_NAMES:
        raise InputError(
            "found a model without ARKit's 52 coefficients; Live Link and VMC hold those; write JSON lines to - instead",
            field="output",
        )
