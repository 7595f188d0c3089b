"""Speech of the synthetic voices of flite, festival and espeak-ng, with each program's own phones and times."""

import re
import tempfile
import wave
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.corpus.align.alignment import cover
from talker_cli.corpus.align.phonetics import PHONES
from talker_cli.corpus.align.programs import run_program
from talker_cli.corpus.speech.espeak import speak_with_espeak
from talker_cli.corpus.speech.festival import speak_with_festival
from talker_cli.corpus.speech.recordings import Utterance
from talker_cli.corpus.speech.voices import SyntheticVoice
from talker_cli.errors import MachineError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import SILENCE, Phones

# Float speech at 16 kHz, and (phone, start, end) in seconds.
Synthesis = tuple[np.ndarray, list[tuple[str, float, float]]]

EDGE = 0.15  # seconds of silence added before and after
LONGEST_CLOSURE = 0.08  # seconds
NATURAL_RATE = 165.0  # words a minute of the voices of flite and festival at a stretch of 1


@dataclass(frozen=True)
class VoiceShard:
    """Texts of one synthetic voice, synthesised in turn until they last `seconds`."""

    voice: SyntheticVoice
    texts: tuple[str, ...]
    seconds: float

    def plan(self) -> Any:
        """Return voice, texts and seconds."""
        return [asdict(self.voice), list(self.texts), self.seconds]

    def read(self) -> Iterator[Utterance]:
        """Synthesise the texts.

        Raises:
            MachineError: The synthesiser is not installed.
        """
        spoken = 0.0
        for index, text in enumerate(self.texts):
            if spoken >= self.seconds:
                return
            speech, phones = synthesise(self.voice, text)
            item = Utterance(
                f"{self.voice.name}/{index:03d}", self.voice.name, self.voice.language, False, text, speech, "en-us",
                self.voice.program, self.voice.licence, phones,
            )  # fmt: skip
            spoken += item.seconds
            yield item


def synthesise(voice: SyntheticVoice, text: str) -> tuple[np.ndarray, Phones]:
    """Return (S,) int16 speech at 16 kHz with short silences before and after, and the synthesiser's own phones and times.

    Raises:
        MachineError: The synthesiser is not installed.
    """
    samples, spoken = SYNTHESISERS[voice.program](voice, text)
    samples *= voice.level / max(1e-6, float(np.abs(samples).max()))
    # Synthesisers' silences are all zeros; faint noise keeps their log energy finite, as in a recording.
    edge = np.zeros(int(EDGE * SAMPLE_RATE), np.float32)
    padded = np.concatenate([edge, samples, edge])
    padded += np.random.default_rng(len(text)).normal(0.0, 1e-4, len(padded)).astype(np.float32)
    speech = np.asarray(np.clip(padded * 32767.0, -32768, 32767).astype(np.int16))
    segments = [(phone, start + EDGE, end + EDGE) for phone, start, end in spoken if phone != SILENCE]
    if voice.program == "espeak-ng":
        segments = _with_closures(segments, speech)
    return speech, cover(segments, len(speech) / SAMPLE_RATE)


def _flite(voice: SyntheticVoice, text: str) -> Synthesis:
    """Synthesise with flite: -psdur prints each segment with its end."""
    stretch = NATURAL_RATE / voice.rate
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        options = ["-voice", voice.voice, "--setf", f"duration_stretch={stretch:.3f}", "-psdur", "-t", text, "-o", str(path)]
        output = run_program(["flite", *options], "flite").decode(errors="replace")
        if not path.is_file():
            raise MachineError(f"flite wrote no sound with the voice {voice.voice}; expected one of flite -lv")
        with wave.open(str(path), "rb") as file:
            samples, rate = np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()
    segments: list[tuple[str, float, float]] = []
    at = 0.0
    for name, end in re.findall(r"([a-z]+):([0-9]+(?:\.[0-9]+)?)", output):
        phone = {"ax": "AH", "pau": SILENCE}.get(name, name.upper())
        segments.append((phone if phone in PHONES else SILENCE, at, float(end)))
        at = float(end)
    return resample(samples, rate), segments


def _festival(voice: SyntheticVoice, text: str) -> Synthesis:
    samples, rate, segments = speak_with_festival(voice.voice, voice.language, NATURAL_RATE / voice.rate, text)
    return resample(samples, rate), segments


def _espeak(voice: SyntheticVoice, text: str) -> Synthesis:
    speech = speak_with_espeak(voice.voice, voice.pitch, voice.rate, text)
    ends = [start for _, start in speech.starts[1:]] + [len(speech.samples) / speech.sample_rate]
    segments = [(phone or SILENCE, start, end) for (phone, start), end in zip(speech.starts, ends, strict=True)]
    return resample(speech.samples, speech.sample_rate), segments


SYNTHESISERS: dict[str, Callable[[SyntheticVoice, str], Synthesis]] = {
    "flite": _flite,
    "festival": _festival,
    "espeak-ng": _espeak,
}


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return int16 samples of any rate as (S,) float32 at 16 kHz, by cutting or padding their spectrum.

    scipy.signal.resample does the same but for the Nyquist bin; it would change the bytes of every corpus.
    """
    speech = samples.astype(np.float64) / 32768.0
    if rate == SAMPLE_RATE:
        return speech.astype(np.float32)
    count = round(len(speech) * SAMPLE_RATE / rate)
    spectrum = np.fft.rfft(speech)[: count // 2 + 1]
    return np.asarray(np.fft.irfft(spectrum, count) * (count / len(speech))).astype(np.float32)


def _with_closures(segments: list[tuple[str, float, float]], speech: np.ndarray) -> list[tuple[str, float, float]]:
    """Move the start of stops to that of their closure: espeak-ng times a voiceless stop at its burst."""
    hop = int(0.005 * SAMPLE_RATE)
    level = np.sqrt(np.square(speech[: len(speech) // hop * hop].astype(np.float64).reshape(-1, hop)).mean(-1))
    quiet = level < 0.04 * np.percentile(level, 95)
    moved: list[tuple[str, float, float]] = []
    for phone, start, end in segments:
        if phone in ("P", "T", "K", "CH", "B", "D", "G", "JH"):
            earliest = max(start - LONGEST_CLOSURE, moved[-1][1] + 0.03 if moved else 0.0)
            at = start
            while at - 0.005 >= earliest and quiet[int((at - 0.005) / 0.005)]:
                at -= 0.005
            start = at
            if moved and moved[-1][2] > start:
                moved[-1] = (moved[-1][0], moved[-1][1], start)
        moved.append((phone, start, end))
    return moved
