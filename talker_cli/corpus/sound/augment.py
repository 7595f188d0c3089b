"""Speech as other voices, rooms, microphones, lines and neighbours give it: (S,) float32 at 16 kHz -> the same words, changed.

The changes are made in the sound, so that any encoder hears them. The result is a function of the generator's state.
"""

import subprocess
from collections.abc import Sequence

import numpy as np
import torch
from scipy.signal import fftconvolve

from talker_cli.corpus.sound.nonspeech import SOUNDS, crowd, room
from talker_cli.errors import MachineError
from talker_cli.formats import ffmpeg
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.model.torchaudio_functional import functional

SPEED = (0.85, 1.18)
TRACT = (0.84, 1.2)  # factor on all frequencies, of pitch and formants alike
SNR = (0.0, 35.0)  # decibels
GAIN = (-40.0, 6.0)  # decibels
SHARES = {"speed": 0.3, "tract": 0.4, "room": 0.35, "noise": 0.5, "line": 0.25, "gain": 0.5}
# Encoders of ffmpeg with the containers that hold their bytes, the sample rates and the bit rates.
LINES: tuple[tuple[str, str, int, tuple[int, ...]], ...] = (
    ("pcm_mulaw", "wav", 8000, ()), ("pcm_alaw", "wav", 8000, ()), ("g726", "wav", 8000, (24, 32)), ("g722", "wav", 16_000, ()),
    ("libopencore_amrnb", "amr", 8000, (5, 7, 12)), ("libopus", "ogg", 16_000, (8, 12, 24)), ("libopus", "ogg", 8000, (6, 10)),
    ("libmp3lame", "mp3", 16_000, (16, 32, 48)), ("aac", "adts", 16_000, (16, 32)), ("libvorbis", "ogg", 16_000, (24, 48)),
)  # fmt: skip
AMR_RATES = {5: "5.15k", 7: "7.4k", 12: "12.2k"}
HIGHEST_DELAY = 0.1  # seconds that a line may shift the sound, and that are taken back


def augment_speech(speech: np.ndarray, rng: np.random.Generator, voices: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Return changed speech (S',) float32 and the speed at which it is spoken: instant t of the original lies at t / speed.

    Args:
        speech: (S,) float32, -1…1.
        rng: Generator.
        voices: Recordings (S,) of others, for a crowd.

    Raises:
        MachineError: ffmpeg is missing or lacks a codec.
    """
    done = {name: rng.random() < share for name, share in SHARES.items()}
    speed = float(np.round(rng.uniform(*SPEED), 2)) if done["speed"] else 1.0
    sound = changed_tempo(speech, speed) if speed != 1.0 else speech
    if done["tract"]:
        factor = float(np.round(rng.uniform(*TRACT), 2))
        sound = changed_tempo(_resampled(sound, factor), 1.0 / factor)
    if done["room"]:
        sound = fftconvolve(sound, room(rng), "full")[: len(sound)]
    if done["noise"]:
        sound = sound + noise_for(sound, rng, voices)
    if done["line"]:
        sound = through_line(sound, *LINES[rng.integers(len(LINES))], rng)
    if done["gain"]:
        sound = np.clip(sound * 10 ** (rng.uniform(*GAIN) / 20), -1.0, 1.0)
    return sound.astype(np.float32), speed


def noise_for(speech: np.ndarray, rng: np.random.Generator, voices: Sequence[np.ndarray]) -> np.ndarray:
    """Return a sound (S,) to add to speech (S,), softer by a random ratio."""
    names = [*SOUNDS, "crowd"] if voices else [*SOUNDS]
    name = names[rng.integers(len(names))]
    noise = crowd(rng, len(speech), voices) if name == "crowd" else SOUNDS[name](rng, len(speech))
    loud = float(np.sqrt(np.square(speech).mean()))
    ratio = 10 ** (-rng.uniform(*SNR) / 20)
    return np.asarray(noise * (ratio * loud / max(float(np.sqrt(np.square(noise).mean())), 1e-9)))


def _resampled(sound: np.ndarray, factor: float) -> np.ndarray:
    """Return a sound played faster by a factor of two decimals, its pitch with it."""
    if not len(sound):
        return sound
    made: np.ndarray = functional().resample(torch.from_numpy(np.float32(sound)), round(factor * 100), 100).numpy()
    return made


def changed_tempo(sound: np.ndarray, factor: float) -> np.ndarray:
    """Return a sound spoken faster by a factor, at its own pitch."""
    raw = _piped(np.float32(sound).tobytes(), [*RAW, "-i", "pipe:0", "-af", f"atempo={factor:.6f}", *RAW, "pipe:1"])
    made, wanted = np.frombuffer(raw, "<f4"), round(len(sound) / factor)
    return np.pad(made[:wanted], (0, max(0, wanted - len(made))))


def through_line(
    sound: np.ndarray, codec: str, container: str, sample_rate: int, rates: Sequence[int], rng: np.random.Generator
) -> np.ndarray:
    """Return a sound (S,) as it comes out of a codec, in time with what went in.

    Args:
        sound: (S,).
        codec: ffmpeg's name of the encoder.
        container: Format of the bytes in between.
        sample_rate: Of the line.
        rates: Bit rates to choose from, kbit/s; empty where the codec has one.
        rng: Generator.
    """
    rate: list[str] = []
    if rates:
        chosen = rates[int(rng.integers(len(rates)))]
        rate = ["-b:a", AMR_RATES[chosen] if codec == "libopencore_amrnb" else f"{chosen}k"]
    sent = _piped(
        np.float32(sound).tobytes(),
        [*RAW, "-i", "pipe:0", "-ar", str(sample_rate), "-c:a", codec, *rate, "-strict", "-2", "-f", container, "pipe:1"],
    )
    back = np.frombuffer(_piped(sent, ["-f", DEMUXER.get(container, container), "-i", "pipe:0", *RAW, "pipe:1"]), "<f4")
    return _in_time(back, sound)


def _in_time(late: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Return `late` shifted so that it fits `sound` best, and of its length: codecs begin with a delay that some tell."""
    reach = int(HIGHEST_DELAY * SAMPLE_RATE)
    late = np.pad(late, (0, max(0, len(sound) + reach - len(late))))
    fit = fftconvolve(late[: len(sound) + reach], sound[::-1], "full")[len(sound) - 1 : len(sound) - 1 + reach]
    delay = int(np.argmax(fit)) if len(fit) else 0
    return late[delay : delay + len(sound)]


RAW = ["-f", "f32le", "-ar", str(SAMPLE_RATE), "-ac", "1"]
DEMUXER = {"adts": "aac"}


def _piped(data: bytes, arguments: list[str]) -> bytes:
    run = subprocess.run(
        [ffmpeg.executable(), "-v", "error", "-threads", "1", *arguments], input=data, capture_output=True, check=False
    )
    if run.returncode:
        raise MachineError(f"ffmpeg failed ({run.stderr.decode(errors='replace').strip()[:120]}); expected its usual codecs")
    return run.stdout
