"""Recordings of any format as speech: (S,) float32 in -1…1, 16 kHz, mono, the mean of the channels, on the container's clock.

WAV is walked by `wav.py` and decoded by libsndfile; ffmpeg decodes everything else, FLAC and Ogg too: libsndfile 1.2 stops at
damage, and after the first part of a chained Ogg. ffmpeg resamples all of them and streams, so that an hour of six channels
never lies in memory. It writes each packet's time to a second file: where the times leave a gap, there is silence, whether the
sound starts after the image, a recorder paused, or packets are lost. Channels are averaged here, because ffmpeg's downmix
drops the bass channel and raises a mono voice in a stereo file by 3 dB.
"""

import errno
import itertools
import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from talker_cli.errors import InputError, OutputError
from talker_cli.formats import ffmpeg
from talker_cli.formats.level import Level
from talker_cli.formats.wav import SAMPLE_RATES, SIGNATURE, ByteSource, NotPcm, is_wav, read_wav

SAMPLE_RATE = 16_000  # hertz
SHORTEST = 0.1  # seconds
LOUDEST = 4.0  # a float file beyond this does not hold samples in -1…1
PART = 1 << 16  # samples yielded at a time

# The filter is four times longer than ffmpeg's default: content above 8 kHz must not alias into the voice.
RESAMPLE = f"aresample={SAMPLE_RATE}:filter_size=128:cutoff=0.97"

GAP = 0.1  # seconds between two packets' times that count as a gap; less is jitter
LONGEST_SILENCE = 3600.0  # seconds, of all gaps together
MOST_HOURS = 24  # duration in a header; a longer one is not believed
TAIL = 0.25  # seconds by which a recording may be shorter than its header states

KEPT_PARTS = 15  # a minute, kept while the level is measured; a longer beginning is read twice
LOST_IN_MIX = 10.0  # decibels that the mean of the channels may lie under the loudest one

OnNote = Callable[[str], None]


def _ignore(line: str) -> None:
    """Drop a note."""


def load_speech(path: Path, on_note: OnNote = _ignore) -> np.ndarray:
    """Read the first audio stream of a file as speech, the mean of its channels.

    Args:
        path: The recording.
        on_note: Called with a line for each thing about the recording that the user should know.

    Returns:
        (S,) float32 in -1…1 at 16 kHz.

    Raises:
        InputError: no such file, no sound in it, broken samples, or shorter than 0.1 s.
        MachineError: ffmpeg is missing.
    """
    return np.concatenate(list(read_speech(path, on_note)))


def load_intact_speech(path: Path) -> np.ndarray:
    """Read a recording as `load_speech` does, and refuse a damaged one: it would not fit its motion or its text.

    Raises:
        InputError: as `load_speech`, and where a part is lost.
        MachineError: ffmpeg is missing.
    """

    def refuse(line: str) -> None:
        raise InputError(f"{line}; expected an intact recording; export it again")

    return np.concatenate(list(read_speech(path, on_damage=refuse)))


def read_speech(path: Path, on_note: OnNote = _ignore, on_damage: OnNote | None = None) -> Iterator[np.ndarray]:
    """Yield what `load_speech` returns in parts (S,), so that hours need not lie in memory.

    Speech whose loudest parts stay under -50 dB is amplified by a constant factor.

    Args:
        path: The recording.
        on_note: Called with a line for each thing about the recording that the user should know.
        on_damage: Called with a line that says how much of the sound is lost; None is `on_note`.

    Raises:
        InputError: no such file, no sound in it, broken samples, or, at the end, shorter than 0.1 s.
        MachineError: ffmpeg is missing.
    """
    path = Path(path)
    check_file(path)
    report = Report(str(path), on_note, on_damage or on_note)
    count = 0
    for part in _levelled(partial(_checked, path), report):
        count += len(part)
        yield np.clip(part, -1.0, 1.0)
    if count < SHORTEST * SAMPLE_RATE:
        seconds = count / SAMPLE_RATE
        raise InputError(f"{path} holds {seconds:.3f} s of sound; expected at least {SHORTEST} s; give a longer recording")


@contextmanager
def playable(path: Path) -> Iterator[Path]:
    """Yield a file whose sound ffmpeg alone reads as `read_speech` does: the recording, or a 16 kHz WAV of what is read.

    A player knows nothing of gaps, joined WAVs or fewer valid bits than stored: its sound would run away from the motion.

    Raises:
        InputError: it is no recording.
        OutputError: the disk is full.
        MachineError: ffmpeg is missing.
    """
    import soundfile

    check_file(path)
    with path.open("rb") as stream:
        head = stream.read(40)
    extensible = head[12:16] == b"fmt " and head[20:22] == b"\xfe\xff"
    misread = is_wav(head[:SIGNATURE]) and extensible and head[34:36] != head[38:40]  # bits stored, bits that are valid
    report = Report(str(path))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "speech.wav"
        try:
            with soundfile.SoundFile(copy, "w", SAMPLE_RATE, 1, "PCM_16") as file:
                for part in _checked(path, report):
                    file.write(np.clip(part, -1.0, 1.0))
        except soundfile.LibsndfileError as error:  # which names no reason
            raise OutputError(f"cannot write the sound of {path} to {folder}: the disk is full; free some space") from error
        yield copy if misread or report.notes or report.damage else path


def check_file(path: Path) -> None:
    """Check that a path can be a recording, before any decoder is started.

    Raises:
        InputError: no such file, a folder, a pipe or a device, an empty or an unreadable file.
    """
    # os.path answers False in folders without permission; pathlib raises.
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder; expected a recording (wav, flac, mp3, m4a, …); give one file")
    # It could be read once, and a recording is read twice: as sound, and for its hash.
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{path} is a pipe or a device; expected a file; save it first, or animate standard input live")
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; expected a recording (wav, flac, mp3, m4a, …); check the path") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(
                f"{str(path)[:40]}…: a name of more than the 255 bytes that file systems allow; shorten it"
            ) from error
        raise InputError(f"cannot read {path} ({error.strerror}); expected a readable recording; check its rights") from error
    if empty:
        raise InputError(f"{path} is empty (0 bytes); expected a recording; record or copy it again")


@dataclass
class Report:
    """Notes on a recording, emitted once when it has been read.

    Args:
        name: Name of the recording in the lines.
        on_note: Called with each line.
        on_damage: Called with a line about lost sound.
    """

    name: str
    on_note: OnNote = _ignore
    on_damage: OnNote = _ignore
    notes: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    energy: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (C,) of the channels, summed
    mixed: float = 0.0  # energy of their mean, summed

    def mix(self, samples: np.ndarray) -> np.ndarray:
        """Return the mean (S,) of the channels (S, C), and note their energy."""
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are refused later, with their place
            mean = samples.mean(axis=1, dtype=np.float32)
        if samples.shape[1] > 1:
            energy = np.square(samples, dtype=np.float64).sum(0)
            same = len(energy) == len(self.energy)
            self.energy = self.energy + energy if same else energy
            self.mixed = (self.mixed if same else 0.0) + float(np.square(mean, dtype=np.float64).sum())
        return mean

    def emit(self) -> None:
        """Emit all lines."""
        for line in self.damage:
            self.on_damage(f"{self.name} {line}")
        if len(self.energy) and self.energy.max() > self.mixed * 10 ** (LOST_IN_MIX / 10):
            lost = 10 * np.log10(self.energy.max() / max(self.mixed, 1e-12 * self.energy.max()))
            self.notes.append(
                f"has {len(self.energy)} channels whose mean is {lost:.0f} dB softer than the loudest of them; "
                "give that one alone as mono, if it holds the voice"
            )
        for line in self.notes:
            self.on_note(f"{self.name} {line}")


def _levelled(read: Callable[[Report], Iterator[np.ndarray]], report: Report) -> Iterator[np.ndarray]:
    """Yield the parts (S,) of a recording, amplified by a constant if all of it is quiet speech."""
    parts, kept = read(report), []
    level = Level()
    for part in parts:  # one or two at a usual level
        kept.append(part)
        level.add(part)
        if level.is_loud or len(kept) > KEPT_PARTS:
            break
    if len(kept) > KEPT_PARTS and not level.is_loud:
        level = Level()
        for part in read(Report(report.name)):
            level.add(part)
            if level.is_loud:
                break
    gain = level.gain(report.notes)
    for part in itertools.chain(kept, parts):
        yield part if gain == 1.0 else part * gain
    report.emit()


def _checked(path: Path, report: Report) -> Iterator[np.ndarray]:
    """Yield parts (PART,), the last one shorter; refuse what is not finite or of another scale."""
    count = 0
    for part in _in_parts(_decoded(path, report)):
        broken = np.flatnonzero(~np.isfinite(part))
        if broken.size:
            at = (count + broken[0]) / SAMPLE_RATE
            raise InputError(f"{path} holds NaN or infinity, first at {at:.3f} s; expected finite samples; export it again")
        peak = float(np.abs(part).max(initial=0.0))
        if peak > LOUDEST:
            raise InputError(f"{path} holds samples up to {peak:.4g}; expected -1…1; scale it and save it again")
        count += len(part)
        yield part


def _in_parts(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield blocks (S,) of any sizes as parts of PART samples."""
    waiting: list[np.ndarray] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        if count >= PART:
            joined = np.concatenate(waiting)
            whole = count // PART * PART
            yield from joined[:whole].reshape(-1, PART)
            waiting, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(waiting)


def _decoded(path: Path, report: Report) -> Iterator[np.ndarray]:
    """Yield blocks (S,) at 16 kHz, unchecked."""
    try:
        with path.open("rb") as stream:
            source = ByteSource(stream.read)
            start = source.exactly(SIGNATURE)
            if is_wav(start):
                source.back(start)
                yield from decode_wav(source, report)
                return
    except NotPcm:
        pass  # compressed, or damaged where ffmpeg may be more patient
    yield from decode(ffmpeg.input_arguments(path), report)


def decode_wav(source: ByteSource, report: Report) -> Iterator[np.ndarray]:
    """Yield blocks (S,) at 16 kHz of the WAVs of a file or a pipe, as soon as they can be read.

    Raises:
        NotPcm: it is compressed, or not understood; raised before anything is yielded.
        InputError: there are no samples.
    """
    blocks = read_wav(source, report.notes.append, report.damage.append)
    try:
        for rate, group in itertools.groupby(blocks, key=lambda each: each[0]):
            mixed = (report.mix(samples) for _, samples in group)
            yield from mixed if rate == SAMPLE_RATE else _resampled(mixed, rate)
    except InputError as error:
        raise type(error)(f"{report.name} {error}") from error


def _resampled(blocks: Iterator[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """Yield blocks (S,) float32 of another sample rate as blocks (S,) at 16 kHz."""
    arguments = ["-f", "f32le", "-ar", str(sample_rate), "-ac", "1", "-i", "pipe:0", "-af", RESAMPLE]
    arguments += ["-c:a", "pcm_f32le", "-f", "f32le", "-flush_packets", "1", "pipe:1"]
    feed = (block.astype("<f4").tobytes() for block in blocks)
    with tempfile.TemporaryFile() as log, ffmpeg.running(arguments, feed, log.fileno()) as process:
        assert process.stdout is not None
        rest = b""
        while data := os.read(process.stdout.fileno(), PART):
            data = rest + data
            rest = data[len(data) // 4 * 4 :]
            yield np.frombuffer(data, "<f4", len(data) // 4).astype(np.float32)
        if process.wait():
            raise InputError(f"was not resampled to its end (code {process.returncode}); try again")


def decode(source: list[str], report: Report, feed: Iterable[bytes] | None = None) -> Iterator[np.ndarray]:
    """Yield blocks (S,) at 16 kHz of what ffmpeg decodes, with silence where the packets' times leave gaps.

    Args:
        source: Arguments that name the input.
        report: Notes and damage go there.
        feed: Bytes of the input if it is `pipe:0`.

    Raises:
        InputError: it is no recording, has no sound, or the decoder died.
        MachineError: ffmpeg is missing.
    """
    with ffmpeg.side_file() as log, ffmpeg.side_file() as times:
        arguments = ["-loglevel", "level+info", *source, "-map", "0:a:0", "-vn", "-sn", "-dn"]
        arguments += ["-af", RESAMPLE, "-c:a", "pcm_f32le"]
        places = f"[f=framecrc:flush_packets=1]{times.place}|[f=f32le:flush_packets=1]pipe:1"
        started = False
        with ffmpeg.running([*arguments, "-f", "tee", places], feed, log.handle, times.descriptors) as process:
            assert process.stdout is not None
            packets = _Packets(process.stdout, times, report)
            for block in packets.blocks():
                if not started:
                    _check_rate(_read_log(log), report.name)
                    started = True
                yield block
            code = process.wait()
        messages = _read_log(log)
    if not started and (code or not packets.samples):
        if b"matches no streams" in messages:
            raise InputError(f"{report.name} has no audio stream; expected a recording with sound; give another file")
        if code:
            reason = ffmpeg.last_words(_errors(messages).split(b"\n")[0])
            raise InputError(f"{report.name} is not a recording that can be read ({reason}); expected wav, flac, mp3, m4a, …")
    if code:
        raise InputError(
            f"the decoder of {report.name} ended before the recording did (code {code}); try again, or convert it to wav"
        )
    packets.summarise(messages)


class _Packets:
    """Decoded packets on the container's clock: the times are in one file, the samples in another."""

    def __init__(self, stream: IO[bytes], times: ffmpeg.SideFile, report: Report) -> None:
        self._stream, self._times, self._report = stream, times, report
        self._at = 0  # bytes of the times that have been read
        self._rows: deque[tuple[int, int, int]] = deque()  # (time, duration, bytes); 16 kHz
        self._line = b""
        self.samples = 0  # decoded
        self._jumped = False  # over a time that makes no sense
        self._late = 0  # samples of silence before the first packet
        self._gaps: list[tuple[int, int]] = []  # (position, samples of silence)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the mean of the channels, (S,), and the silence between."""
        position = offset = 0
        silence = 0
        while row := self._next():
            time, duration, size = row
            data = self._stream.read(size)
            samples = np.frombuffer(data, "<f4", len(data) // 4).astype(np.float32)
            channels = max(1, size // 4 // max(1, duration))
            late = time + offset - position
            if late < -GAP * SAMPLE_RATE or silence + late > LONGEST_SILENCE * SAMPLE_RATE:
                if late > 0:
                    self._jumped = True
                    self._report.notes.append(f"has times that jump by {late / SAMPLE_RATE:.0f} s; the jump is left out")
                offset = position - time  # a new clock, as in joined files
            elif late >= GAP * SAMPLE_RATE:
                if position == 0:
                    self._late = late
                else:
                    self._gaps.append((position, late))
                silence += late
                position += late
                for start in range(0, late, PART):
                    yield np.zeros(min(PART, late - start), np.float32)
            mean = self._report.mix(samples[: len(samples) // channels * channels].reshape(-1, channels))
            position += len(mean)
            self.samples += len(mean)
            yield mean

    def summarise(self, log: bytes) -> None:
        """Add to the report how much sound is missing, and where."""
        gap = sum(length for _, length in self._gaps) / SAMPLE_RATE
        errors = _errors(log)
        if self._late:
            self._report.notes.append(f"has sound that starts at {self._late / SAMPLE_RATE:.2f} s; before it there is silence")
        if self._gaps:
            first = self._gaps[0][0] / SAMPLE_RATE
            if errors:
                self._report.damage.append(
                    f"is damaged ({ffmpeg.last_words(errors)}): {gap:.2f} s of its sound are lost, "
                    f"the first at {first:.2f} s; they are silent"
                )
            else:
                self._report.notes.append(
                    f"has no sound for {gap:.2f} s in {len(self._gaps)} gaps, the first at {first:.2f} s; they are silent"
                )
        missing = _declared(log) - self._late / SAMPLE_RATE - gap - self.samples / SAMPLE_RATE
        if missing > TAIL and not self._jumped:
            why = f" ({ffmpeg.last_words(errors)})" if errors else ""
            self._report.damage.append(f"is damaged{why}: it ends {missing:.2f} s before its header says")

    def _next(self) -> tuple[int, int, int] | None:
        """Return the next packet's time, duration and size; None at the end."""
        if not self._rows and self._stream.peek(1):  # type: ignore[attr-defined]
            # The time is written before the samples are.
            while data := self._times.read(self._at, PART):
                self._at += len(data)
                *lines, self._line = (self._line + data).split(b"\n")
                rows = (line.split(b",") for line in lines if line and not line.startswith(b"#"))
                self._rows.extend((int(row[2]), int(row[3]), int(row[4])) for row in rows)
        return self._rows.popleft() if self._rows else None


def _read_log(log: ffmpeg.SideFile) -> bytes:
    """Return ffmpeg's messages; of long ones the beginning and the end."""
    size = log.size
    return log.read(0, PART) + (log.read(max(PART, size - PART), PART) if size > PART else b"")


def _errors(log: bytes) -> bytes:
    return b"\n".join(line for line in log.splitlines() if b"[error]" in line or b"[fatal]" in line)


def _check_rate(log: bytes, name: str) -> None:
    """Refuse a sample rate that turns a few bytes into hours."""
    low, high = SAMPLE_RATES
    if (stated := re.search(rb"Audio: [^\n]*?(\d+) Hz", log)) and not low <= int(stated[1]) <= high:
        raise InputError(f"{name} has a sample rate of {int(stated[1])} Hz; expected {low}…{high}; export it again")


def _declared(log: bytes) -> float:
    """Return the duration in seconds in the header of a file with sound alone; 0 if unknown or an estimate."""
    duration = re.search(rb"Duration: (\d+):(\d+):(\d+\.\d+)", log)
    inputs = log.split(b"Stream mapping:")[0].count(b"  Stream #0:")
    if duration is None or inputs != 1 or b"Estimating duration from bitrate" in log:
        return 0.0
    hours, minutes, seconds = map(float, duration.groups())
    return 3600 * hours + 60 * minutes + seconds if hours < MOST_HOURS else 0.0
