"""RIFF/WAVE as bytes come, from a file or a pipe: joined files, sizes unknown or wrong, every PCM layout libsndfile decodes.

ffmpeg reads the first of several joined files only, believes a size that is too small, and takes 24 valid bits in 32 for
three bytes a sample. So the chunks are walked here, and libsndfile says what `fmt ` means and decodes the samples.
"""

import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from talker_cli.errors import InputError

READ = 1 << 16  # bytes at a time, at most
UNKNOWN = 0x7FFFFF00  # bytes: programs that write to a pipe put this, or more, or 0, where the size should be
SAMPLE_RATES = (1_000, 768_000)  # hertz
LARGEST_FORMAT = 4096  # bytes of a `fmt ` chunk
WAVE = re.compile(rb"R(?:IFF|F64)....WAVE", re.DOTALL)
SIGNATURE = 12  # bytes
# Of the subtypes that stand alone, a sample after another, bytes a sample.
WIDTHS = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1}

Read = Callable[[int], bytes]  # at least one byte and at most so many; b"" at the end
OnNote = Callable[[str], None]


class NotPcm(InputError):
    """A WAV whose samples are compressed, or whose `fmt ` chunk nobody knows."""


@dataclass(frozen=True)
class PcmFormat:
    """Layout of samples: libsndfile's name of one, rate in hertz, channels."""

    subtype: str
    sample_rate: int
    channels: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one instant: a sample of each channel."""
        return WIDTHS[self.subtype] * self.channels

    def decode(self, data: bytes) -> np.ndarray:
        """Return whole frames as (S, C) float32."""
        import soundfile

        raw = io.BytesIO(data)
        samples, _ = soundfile.read(
            raw, dtype="float32", always_2d=True, format="RAW", endian="LITTLE",
            subtype=self.subtype, samplerate=self.sample_rate, channels=self.channels,
        )  # fmt: skip
        return np.asarray(samples)


class ByteSource:
    """A reader that can take bytes back.

    Args:
        read: Reader of a file or a pipe.
    """

    def __init__(self, read: Read) -> None:
        self._read, self._ahead = read, b""

    def some(self, most: int = READ) -> bytes:
        """Return what is there, 1…`most` bytes, b"" at the end."""
        if not self._ahead:
            return self._read(most)
        data, self._ahead = self._ahead[:most], self._ahead[most:]
        return data

    def exactly(self, count: int) -> bytes:
        """Return `count` bytes, fewer only at the end."""
        data = b""
        while len(data) < count and (more := self.some(count - len(data))):
            data += more
        return data

    def skip(self, count: int) -> int:
        """Pass over `count` bytes; return how many were missing."""
        while count and (data := self.some(min(count, READ))):
            count -= len(data)
        return count

    def back(self, data: bytes) -> None:
        """Take bytes back: the next to be read."""
        self._ahead = data + self._ahead


def is_wav(start: bytes) -> bool:
    """Return whether 12 bytes begin a WAV."""
    return WAVE.match(start) is not None


def read_wav(source: ByteSource, on_note: OnNote, on_damage: OnNote) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (sample rate in hertz, (S, C) float32 samples) of all the WAVs that follow one another.

    Args:
        source: The bytes, the first of a WAV.
        on_note: Called with the predicate of a line that says what the header got wrong.
        on_damage: Called with the predicate of a line that says how much sound is missing.

    Raises:
        NotPcm: the samples are compressed; raised before any is yielded.
        InputError: there are no samples, or their rate is impossible.
    """
    pcm: PcmFormat | None = None
    count = 0
    while is_wav(source.exactly(SIGNATURE)):
        count += 1
        pcm, size64 = None, 0
        while len(chunk := source.exactly(8)) == 8:
            name, size = chunk[:4], int.from_bytes(chunk[4:], "little")
            if name in (b"RIFF", b"RF64"):
                source.back(chunk)
                break
            if name == b"fmt ":
                body = source.exactly(min(size, LARGEST_FORMAT))
                source.skip(size + size % 2 - len(body))
                pcm = _format_of(body)
            elif name == b"ds64":
                body = source.exactly(min(size, LARGEST_FORMAT))
                source.skip(size + size % 2 - len(body))
                size64 = int.from_bytes(body[8:16], "little")
            elif name == b"data":
                if pcm is None:
                    raise NotPcm("has its samples before their format")
                size = size64 if size64 and size == 0xFFFFFFFF else size
                yield from _samples(source, pcm, None if size == 0 or (size >= UNKNOWN and not size64) else size, on_damage)
            elif pcm is not None and not re.fullmatch(rb"[A-Za-z][\w .-]{3}", name):  # no chunk: sound beyond the size
                on_note("holds more sound than its header says; all of it is read")
                source.back(chunk)
                yield from _samples(source, pcm, None, on_damage)
            else:
                source.skip(size + size % 2)
    if pcm is None:
        raise NotPcm("has a WAV header without samples")
    if count > 1:
        on_note(f"holds {count} WAVs one behind the other; all of them are read")


def _format_of(body: bytes) -> PcmFormat:
    """Return what a `fmt ` chunk says, by libsndfile's reading of it."""
    import soundfile

    size = len(body).to_bytes(4, "little")
    head = b"WAVEfmt " + size + body + b"data" + (64).to_bytes(4, "little") + bytes(64)
    try:
        found = soundfile.info(io.BytesIO(b"RIFF" + len(head).to_bytes(4, "little") + head))
    except soundfile.LibsndfileError as error:
        raise NotPcm(f"is a WAV of an unknown kind ({error.error_string})") from error
    width = int.from_bytes(body[12:14], "little")  # the block alignment: bytes of a frame
    pcm = PcmFormat(found.subtype, found.samplerate, found.channels)
    if found.subtype not in WIDTHS or pcm.frame_bytes != width:
        raise NotPcm(f"is a WAV of {found.subtype_info} in {width} bytes a frame; expected PCM")
    low, high = SAMPLE_RATES
    if not low <= pcm.sample_rate <= high:
        raise InputError(f"has a sample rate of {pcm.sample_rate} Hz; expected {low}…{high}; export it again")
    return pcm


def _samples(source: ByteSource, pcm: PcmFormat, size: int | None, on_damage: OnNote) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the samples of a `data` chunk of `size` bytes, or up to the next WAV or the end of all."""
    left = math.inf if size is None else size
    rest, next_wav = b"", None
    while left and not next_wav and (data := source.some(int(min(READ, left)))):
        left -= len(data)
        data = rest + data
        if next_wav := WAVE.search(data):
            source.back(data[next_wav.start() :])
            data = data[: next_wav.start()]
        kept = 0 if next_wav or not left else SIGNATURE - 1  # it may begin in these
        whole = max(0, len(data) - kept) // pcm.frame_bytes * pcm.frame_bytes
        rest = data[whole:]
        if whole:
            yield pcm.sample_rate, pcm.decode(data[:whole])
    if whole := len(rest) // pcm.frame_bytes * pcm.frame_bytes:
        yield pcm.sample_rate, pcm.decode(rest[:whole])
    if 0 < left < math.inf and not next_wav:
        on_damage(f"ends {left / pcm.frame_bytes / pcm.sample_rate:.2f} s before its header says")
    if left == 0 and size and size % 2 and (pad := source.some(1)) not in (b"\0", b""):
        source.back(pad)  # a writer that does not pad
