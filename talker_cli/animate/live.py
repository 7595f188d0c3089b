"""Live: sound from a pipe, each frame of motion out as soon as it is final, as JSON lines or as Live Link Face packets."""

import json
import os
import queue
import re
import socket
import struct
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Protocol

import numpy as np

from talker_cli.animate.animator import Animator
from talker_cli.errors import InputError, OutputError
from talker_cli.formats import ffmpeg
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.identity.resolve import StyleCondition
from talker_cli.model.config import COMPACT
from talker_cli.rig import ARKIT_NAMES

READ = 1 << 16  # bytes at a time, at most: a pipe gives what it has
LIVE_CHUNK = 2  # frames that are made at a time
WAV_CODECS = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le", (3, 32): "f32le", (3, 64): "f64le"}
ENDLESS = 0x7FFFFF00  # bytes of sound, or more, that programs write where they do not know
EXTENSIBLE = 0xFFFE  # the codec's number then stands further behind
FOREIGN = (
    b"RF64",
    b"RIFX",
    b"ID3",
    b"OggS",
    b"fLaC",
    b"\xff\xfb",
    b"\x1aE\xdf\xa3",
    b"FORM",
    b".snd",
)  # files that are no raw samples
PAUSE = 0.25  # seconds that a frame is late when its sound is taken to have paused: the pace starts anew from it
ROTATIONS = 9  # of head and eyes, which follow the 52 curves: they stay zero
PACKET_VERSION = 6


@dataclass(frozen=True)
class PcmFormat:
    """How samples lie in a pipe: ffmpeg's name of them, rate in hertz, channels."""

    codec: str
    sample_rate: int
    channels: int

    @property
    def width(self) -> int:
        """Bytes of one instant: a sample of each channel."""
        return int(re.findall(r"\d+", self.codec)[0]) // 8 * self.channels


RAW = PcmFormat("s16le", SAMPLE_RATE, 1)


def read_header(read: Callable[[int], bytes]) -> tuple[PcmFormat, bytes, int | None]:
    """Return how the sound of a pipe lies in it, the bytes that were read to find out and are sound, and how many more are.

    How many is None where the header does not say, or says as much as it can: who writes to a pipe does not know beforehand.

    A WAV header tells; without one it is raw 16-bit samples, mono, 16 kHz.

    Args:
        read: returns exactly as many bytes, fewer only at the end.

    Raises:
        InputError: the pipe is empty, a WAV of an unknown kind, or a file of another format.
    """
    start = read(12)
    if not start:
        raise InputError("found nothing on stdin; expected sound: arecord -f S16_LE -r 16000 | talker animate - --stream -o -")
    if start.startswith(FOREIGN) or start[4:8] == b"ftyp":
        raise InputError(
            "found a file of another format on stdin; expected WAV or raw samples; put ffmpeg -i FILE -f wav - before the pipe"
        )
    if start[:4] != b"RIFF" or start[8:12] != b"WAVE":
        return RAW, start, None
    found: PcmFormat | None = None
    while len(head := read(8)) == 8:
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if name == b"data" and found:
            return found, b"", size if 0 < size < ENDLESS else None
        body = read(size + size % 2)
        if name == b"fmt " and len(body) >= 16:
            codec, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
            if codec == EXTENSIBLE and len(body) >= 26:
                codec = int.from_bytes(body[24:26], "little")
            if (codec, bits) not in WAV_CODECS or not channels or not rate:
                raise InputError(f"found WAV of kind {codec} with {bits} bits on stdin; expected PCM; use arecord -f S16_LE")
            found = PcmFormat(WAV_CODECS[codec, bits], rate, channels)
    raise InputError("found a WAV header without sound on stdin; expected its samples; check what writes to the pipe")


@dataclass
class Listener:
    """Reads a pipe in a thread of its own, so that nothing is lost while frames are made, and notes when what arrived.

    Args:
        descriptor: of the pipe.
    """

    descriptor: int
    arrivals: list[tuple[int, float]] = field(default_factory=list)  # (samples until then, seconds of the clock)

    def parts(self) -> Iterator[np.ndarray]:
        """Yield (S,) float32, 16 kHz, mono, in the parts in which it comes.

        Raises:
            InputError: it is no sound.
            MachineError: ffmpeg is needed and missing.
        """
        pcm, rest, size = read_header(self._exactly)
        if pcm == RAW:
            left = size  # what is behind the sound of a WAV tells of its author, and would be noise

            def read() -> bytes:
                nonlocal left
                data = os.read(self.descriptor, READ if left is None else min(READ, left))
                left = None if left is None else left - len(data)
                return data

            yield from self._queued(read, rest, "<i2", 1, 32768.0)
            return
        # ffmpeg goes on reading the pipe behind the header; raw samples make it pass on what it has.
        arguments = ["-f", pcm.codec, "-ar", str(pcm.sample_rate), "-ac", str(pcm.channels)]
        arguments += [] if size is None else ["-t", f"{size // pcm.width / pcm.sample_rate:.6f}"]
        arguments += ["-i", "pipe:0"]
        arguments += ["-af", f"aresample={SAMPLE_RATE}:filter_size=128:cutoff=0.97", "-c:a", "pcm_f32le", "-f", "f32le"]
        process = ffmpeg.start(
            ["-fflags", "nobuffer", *arguments, "-flush_packets", "1", "pipe:1"],
            stdin=self.descriptor,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        output = process.stdout.fileno()
        try:
            yield from self._queued(lambda: os.read(output, READ), b"", "<f4", pcm.channels, 1.0)
        finally:
            process.kill()
            process.wait()

    def _exactly(self, count: int) -> bytes:
        data = b""
        try:
            while len(data) < count and (more := os.read(self.descriptor, count - len(data))):
                data += more
        except OSError as error:
            raise InputError(
                f"cannot read stdin ({error.strerror}); expected a pipe with sound; check what is before it"
            ) from error
        return data

    def _queued(self, read: Callable[[], bytes], rest: bytes, dtype: str, channels: int, scale: float) -> Iterator[np.ndarray]:
        arrived: queue.SimpleQueue[tuple[bytes, float]] = queue.SimpleQueue()
        if rest:
            arrived.put((rest, time.monotonic()))

        failed: list[OSError] = []

        def listen() -> None:
            try:
                while data := read():
                    arrived.put((data, time.monotonic()))
            except OSError as error:
                failed.append(error)
            arrived.put((b"", time.monotonic()))

        threading.Thread(target=listen, daemon=True).start()
        left, samples, over = b"", 0, False
        width = np.dtype(dtype).itemsize * channels
        while not over:
            while True:  # all that has come meanwhile
                data, when = arrived.get()
                over = not data
                left += data
                self.arrivals.append((samples + len(left) // width, when))
                if over or arrived.empty():
                    break
            whole = len(left) // width
            block = np.frombuffer(left, dtype, whole * channels).reshape(whole, channels).mean(1, dtype=np.float32) / scale
            left = left[whole * width :]
            samples += whole
            yield np.clip(np.nan_to_num(block), -1.0, 1.0).astype(np.float32)
        if failed:
            raise InputError(f"the sound on stdin broke off ({failed[0].strerror}); what came before it is out")

    def heard_at(self, seconds: float) -> float:
        """Return when (seconds of the clock) the sound of an instant had arrived, and forget what lies before it."""
        sample = seconds * SAMPLE_RATE
        while len(self.arrivals) > 1 and self.arrivals[0][0] < sample:
            self.arrivals.pop(0)
        return self.arrivals[0][1]


class Sink(Protocol):
    """Where frames go."""

    def send(self, frame: int, values: np.ndarray) -> None:
        """Send one frame's (K,) coefficients."""


class JsonLines:
    """A line of JSON a frame; the first one names what the numbers are.

    Args:
        stream: to write to, as text.
        names: of the K coefficients.
        fps: frames a second.
        about: what else the first line tells.
    """

    def __init__(self, stream: IO[str], names: tuple[str, ...], fps: float, about: dict[str, object]) -> None:
        self._stream, self._fps = stream, fps
        self._write({"fps": fps, "names": list(names), **about})

    def send(self, frame: int, values: np.ndarray) -> None:
        """Write one line and pass it on at once."""
        coefficients = [round(value, 5) for value in values.tolist()]
        self._write({"frame": frame, "time": round(frame / self._fps, 4), "coefficients": coefficients})

    def _write(self, line: dict[str, object]) -> None:
        self._stream.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._stream.flush()


class LiveLink:
    """Packets of Epic's Live Link Face app over UDP, at the motion's pace.

    Args:
        host, port: who listens; Unreal does on 11111.
        name: the subject's, as Unreal lists it.
        fps: frames a second.
    """

    def __init__(self, host: str, port: int, name: str, fps: float) -> None:
        self._fps = fps
        self._name = name.encode()
        self._device = f"${uuid.uuid4()}".encode()  # 37 bytes
        try:
            self._address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "no name of a host"
            raise OutputError(f"found no host {host} ({why}); expected udp:ADDRESS:PORT, as udp:127.0.0.1:11111") from error
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._start: float | None = None

    def send(self, frame: int, values: np.ndarray) -> None:
        """Send one frame's 52 ARKit coefficients when it is due."""
        now = time.monotonic()
        if self._start is None or now > self._start + frame / self._fps + PAUSE:  # the sound began, or went on after a pause
            self._start = now - frame / self._fps
        time.sleep(max(0.0, self._start + frame / self._fps - now))
        try:
            self._socket.sendto(self.packet(frame, values), self._address)
        except OSError as error:
            where = ":".join(map(str, self._address))
            raise OutputError(f"cannot send to {where} ({error.strerror}); expected an address in reach; change -o") from error

    def packet(self, frame: int, values: np.ndarray) -> bytes:
        """Return a packet: version, device, subject, timecode, 52 curves in the order of Apple's list, nine rotations."""
        head = struct.pack("<i", PACKET_VERSION) + self._device + struct.pack("!i", len(self._name)) + self._name
        numbers = [*values.tolist(), *([0.0] * ROTATIONS)]
        return head + struct.pack(f"!ifiiB{len(numbers)}f", frame, 0.0, round(self._fps), 1, len(numbers), *numbers)


def parse_udp(place: str) -> tuple[str, int] | None:
    """Return host and port of `udp://127.0.0.1:11111`, slashes or none; None if it is no such place."""
    found = re.fullmatch(r"udp:/{0,2}([^/:]+):(\d{1,5})", place)
    return (found[1], int(found[2])) if found and int(found[2]) < 1 << 16 else None


def run_live(
    animator: Animator,
    identity: StyleCondition,
    listener: Listener,
    sink: Sink,
    *,
    look_ahead: int,
    seed: int,
    on_latency: Callable[[float], None],
) -> int:
    """Animate what a pipe says until it ends; return how many frames there were.

    Args:
        animator: model and sampler.
        identity: who speaks.
        listener: the pipe.
        sink: where the frames go.
        look_ahead: frames of speech beyond a frame that are waited for.
        seed: of the noise.
        on_latency: called with the seconds from a frame's sound to the frame, for each.
    """
    stream = animator.stream(identity, seed=seed, look_ahead=look_ahead, chunk=LIVE_CHUNK)
    fps = animator.network.config.fps
    done = 0

    def send(made: np.ndarray) -> None:
        nonlocal done
        for values in animator.dressed(made, identity):
            sink.send(done, values)
            on_latency(time.monotonic() - listener.heard_at(done / fps))
            done += 1

    for part in listener.parts():
        send(stream.push(part))
    send(stream.finish())
    return done


def check_live(animator: Animator) -> None:
    """Refuse a model that cannot follow sound as it comes in.

    Raises:
        InputError: it has a pretrained audio encoder.
    """
    config = animator.network.config
    if config.audio_encoder != COMPACT:
        raise InputError(
            f"found --stream with a {config.kind} that hears by {config.audio_encoder}, which has to know seconds of what "
            "follows; expected a student; distil one (talker distill), and leave --steps out"
        )


def check_live_link(animator: Animator) -> None:
    """Refuse a model whose coefficients Live Link Face has no place for.

    Raises:
        InputError: they are not the 52 ARKit curves.
    """
    if animator.network.config.names != ARKIT_NAMES:
        raise InputError("found a model without ARKit's curves; expected them for Live Link packets; use -o - for JSON lines")
