"""Synthetic voices: flite and variants of espeak-ng, each reading sentences of its own."""

import re
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.data.articulated.alignment import Phones, cover
from talker_cli.data.articulated.espeak import read_text
from talker_cli.data.articulated.phonetics import PHONES, SILENCE
from talker_cli.data.articulated.recordings import Spoken
from talker_cli.data.prepared import SAMPLE_RATE
from talker_cli.errors import MachineError


@dataclass(frozen=True)
class SyntheticVoice:
    """One voice of a synthesiser.

    Args:
        name: the voice's name in the dataset.
        program: "flite" or "espeak-ng".
        voice: the program's name of it; for espeak-ng "language+variant".
        identity: number of the speaker (see styles.SPEAKERS) whose voice it is.
        pitch: espeak-ng's -p, 0…99.
        rate: words a minute.
        level: peak of the recording, 0…1.
    """

    name: str
    program: str
    voice: str
    identity: int
    pitch: int = 50
    rate: int = 165
    level: float = 0.5


# flite's four voices of people, then espeak-ng's. Rates, pitches and levels follow the identities' voice profiles.
SYNTHETIC_VOICES: tuple[SyntheticVoice, ...] = (
    SyntheticVoice("flite_slt", "flite", "slt", 0, rate=165),
    SyntheticVoice("flite_rms", "flite", "rms", 1, rate=150, level=0.45),
    SyntheticVoice("flite_awb", "flite", "awb", 3, rate=185, level=0.65),
    SyntheticVoice("flite_kal16", "flite", "kal16", 7, rate=165, level=0.55),
    SyntheticVoice("espeak_m1", "espeak-ng", "en-us+m1", 1, 38, 150, 0.42),
    SyntheticVoice("espeak_m3", "espeak-ng", "en+m3", 1, 32, 145, 0.42),
    SyntheticVoice("espeak_boris", "espeak-ng", "en-us+boris", 1, 40, 150, 0.42),
    SyntheticVoice("espeak_denis", "espeak-ng", "en-us+Denis", 1, 36, 155, 0.42),
    SyntheticVoice("espeak_f1", "espeak-ng", "en-us+f1", 0, 42, 155, 0.48),
    SyntheticVoice("espeak_belinda", "espeak-ng", "en+belinda", 0, 45, 150, 0.48),
    SyntheticVoice("espeak_linda", "espeak-ng", "en-us+linda", 0, 46, 160, 0.48),
    SyntheticVoice("espeak_f2", "espeak-ng", "en-us+f2", 2, 55, 170, 0.55),
    SyntheticVoice("espeak_annie", "espeak-ng", "en-us+Annie", 2, 54, 172, 0.55),
    SyntheticVoice("espeak_m2", "espeak-ng", "en-us+m2", 3, 58, 185, 0.7),
    SyntheticVoice("espeak_adam", "espeak-ng", "en-us+adam", 3, 60, 190, 0.7),
    SyntheticVoice("espeak_rob", "espeak-ng", "en-gb-scotland+rob", 3, 56, 185, 0.7),
    SyntheticVoice("espeak_victor", "espeak-ng", "en-us+victor", 3, 60, 180, 0.7),
    SyntheticVoice("espeak_f3", "espeak-ng", "en-us+f3", 4, 66, 180, 0.5),
    SyntheticVoice("espeak_alicia", "espeak-ng", "en-us+Alicia", 4, 62, 178, 0.5),
    SyntheticVoice("espeak_andrea", "espeak-ng", "en+Andrea", 4, 64, 182, 0.5),
    SyntheticVoice("espeak_f5", "espeak-ng", "en-us+f5", 4, 64, 185, 0.5),
    SyntheticVoice("espeak_m4", "espeak-ng", "en-us+m4", 5, 42, 192, 0.35),
    SyntheticVoice("espeak_m7", "espeak-ng", "en+m7", 5, 40, 195, 0.35),
    SyntheticVoice("espeak_alex", "espeak-ng", "en-us+Alex", 5, 44, 190, 0.35),
    SyntheticVoice("espeak_hugo", "espeak-ng", "en-us+Hugo", 5, 42, 190, 0.35),
    SyntheticVoice("espeak_f4", "espeak-ng", "en-us+f4", 6, 40, 140, 0.58),
    SyntheticVoice("espeak_steph", "espeak-ng", "en-us+steph", 6, 42, 138, 0.58),
    SyntheticVoice("espeak_anika", "espeak-ng", "en+anika", 6, 44, 142, 0.58),
    SyntheticVoice("espeak_m5", "espeak-ng", "en-us+m5", 7, 42, 160, 0.58),
    SyntheticVoice("espeak_david", "espeak-ng", "en+david", 7, 38, 158, 0.58),
    SyntheticVoice("espeak_mike", "espeak-ng", "en-us+Mike", 7, 40, 162, 0.58),
)
HELD_OUT_VOICES = frozenset({"flite_slt", "carlo_it"})

EDGE = 0.15  # seconds of silence added before and after
LONGEST_CLOSURE = 0.08  # seconds
FLITE_RATE = 165.0  # words a minute of flite's voices at duration_stretch 1


def read_aloud(voice: SyntheticVoice, texts: Sequence[str], seconds: float) -> Iterator[Spoken]:
    """Let a voice read `texts` in turn until it has spoken for `seconds`.

    Raises:
        MachineError: the synthesiser is not installed.
    """
    spoken = 0.0
    for index, text in enumerate(texts):
        if spoken >= seconds:
            return
        speech, phones = synthesise(voice, text)
        item = Spoken(f"{voice.name}/{index:03d}", voice.name, "en", False, text, speech, "en-us", voice.program, phones)
        spoken += item.seconds
        yield item


def synthesise(voice: SyntheticVoice, text: str) -> tuple[np.ndarray, Phones]:
    """Return (S,) int16 speech at 16 kHz with short silences before and after, and the synthesiser's own phones and times.

    Raises:
        MachineError: the synthesiser is not installed.
    """
    samples, starts = _flite(voice, text) if voice.program == "flite" else _espeak(voice, text)
    samples *= voice.level / max(1e-6, float(np.abs(samples).max()))
    # Synthesisers are silent to the last bit; a breath of noise keeps the silence's log energy finite, as in a room.
    edge = np.zeros(int(EDGE * SAMPLE_RATE), np.float32)
    padded = np.concatenate([edge, samples, edge])
    padded += np.random.default_rng(len(text)).normal(0.0, 1e-4, len(padded)).astype(np.float32)
    speech = np.asarray(np.clip(padded * 32767.0, -32768, 32767).astype(np.int16))
    ends = [start for _, start in starts[1:]] + [len(samples) / SAMPLE_RATE]
    segments = [(phone, start + EDGE, end + EDGE) for (phone, start), end in zip(starts, ends, strict=True) if phone != SILENCE]
    if voice.program == "espeak-ng":
        segments = _with_closures(segments, speech)
    return speech, cover(segments, len(speech) / SAMPLE_RATE)


def _flite(voice: SyntheticVoice, text: str) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """Speak with flite; return float speech and (phone, start in seconds): -psdur prints each segment with its end."""
    stretch = FLITE_RATE / voice.rate
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        options = ["-voice", voice.voice, "--setf", f"duration_stretch={stretch:.3f}", "-psdur", "-t", text, "-o", str(path)]
        run = subprocess.run([flite_program(), *options], check=True, capture_output=True, text=True)
        with wave.open(str(path), "rb") as file:
            samples, rate = np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()
    starts: list[tuple[str, float]] = []
    at = 0.0
    for name, end in re.findall(r"([a-z]+):([0-9.]+)", run.stdout):
        phone = {"ax": "AH", "pau": SILENCE}.get(name, name.upper())
        starts.append((phone if phone in PHONES else SILENCE, at))
        at = float(end)
    return resample(samples, rate), starts


def _espeak(voice: SyntheticVoice, text: str) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """Speak with espeak-ng; return float speech and (phone, start in seconds)."""
    reading = read_text(voice.voice, voice.pitch, voice.rate, text)
    return resample(reading.samples, reading.sample_rate), [(phone or SILENCE, start) for phone, start in reading.starts]


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return int16 samples of any rate as (S,) float32 at 16 kHz, by cutting or padding their spectrum."""
    speech = samples.astype(np.float64) / 32768.0
    if rate == SAMPLE_RATE:
        return speech.astype(np.float32)
    count = round(len(speech) * SAMPLE_RATE / rate)
    spectrum = np.fft.rfft(speech)[: count // 2 + 1]
    return np.asarray(np.fft.irfft(spectrum, count) * (count / len(speech))).astype(np.float32)


def _with_closures(segments: list[tuple[str, float, float]], speech: np.ndarray) -> list[tuple[str, float, float]]:
    """Let stops begin with the silence before them: espeak-ng names a voiceless stop at its burst, after its closure."""
    hop = int(0.005 * SAMPLE_RATE)
    level = np.sqrt(np.square(speech[: len(speech) // hop * hop].astype(np.float64).reshape(-1, hop)).mean(-1))
    quiet = level < 0.04 * np.percentile(level, 95)
    mended: list[tuple[str, float, float]] = []
    for phone, start, end in segments:
        if phone in ("P", "T", "K", "CH", "B", "D", "G", "JH"):
            earliest = max(start - LONGEST_CLOSURE, mended[-1][1] + 0.03 if mended else 0.0)
            at = start
            while at - 0.005 >= earliest and quiet[int((at - 0.005) / 0.005)]:
                at -= 0.005
            start = at
            if mended and mended[-1][2] > start:
                mended[-1] = (mended[-1][0], mended[-1][1], start)
        mended.append((phone, start, end))
    return mended


def flite_program() -> str:
    """Return flite's path.

    Raises:
        MachineError: flite is not installed.
    """
    path = shutil.which("flite")
    if path is None:
        raise MachineError("flite was not found; the corpus needs it for synthetic voices; run: apt-get install flite")
    return path
