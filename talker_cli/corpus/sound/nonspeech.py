"""Sounds in which nobody speaks to the listener, made from random numbers: (S,) float32 at 16 kHz, RMS 0.1.

Every function takes a generator and a length in samples; what it draws (pitch, rate, colour, density) covers a wide range, so
that a model that learns from some of them is tested on others. A crowd needs voices: it is many of them at a distance.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from talker_cli.formats.audio import SAMPLE_RATE

LEVEL = 0.1  # RMS
CROWD = (9, 24)  # voices in a crowd

Random = np.random.Generator
Sound = Callable[[Random, int], np.ndarray]


def _band(sound: np.ndarray, low: float, high: float) -> np.ndarray:
    sos = butter(2, [low, min(high, 0.49 * SAMPLE_RATE)], "bandpass", fs=SAMPLE_RATE, output="sos")
    return sosfilt(sos, sound)


def _slow(rng: Random, samples: int, hertz: float) -> np.ndarray:
    """Return a smooth random curve (S,) between 0 and 1 that changes at about so many hertz."""
    count = max(4, int(samples / SAMPLE_RATE * hertz) + 3)
    return np.interp(np.linspace(0, count - 1, samples), np.arange(count), rng.random(count))


def _level(sound: np.ndarray) -> np.ndarray:
    return (sound * (LEVEL / max(float(np.sqrt(np.square(sound).mean())), 1e-9))).astype(np.float32)


def _events(rng: Random, samples: int, rate: float, event: Callable[[], np.ndarray]) -> np.ndarray:
    """Return a sound (S,) with `rate` events a second at random instants."""
    sound = np.zeros(samples)
    for start in rng.integers(0, samples, rng.poisson(rate * samples / SAMPLE_RATE) + 1):
        piece = event()[: samples - start]
        sound[start : start + len(piece)] += piece
    return sound


def coloured_noise(rng: Random, samples: int) -> np.ndarray:
    """Return noise whose power falls by 0 to 8 dB an octave."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 20.0)
    return _level(np.fft.irfft(spectrum * frequency ** -rng.uniform(0.0, 1.3), samples))


def wind(rng: Random, samples: int) -> np.ndarray:
    """Return gusts of low noise."""
    return _level(_band(coloured_noise(rng, samples), 40, rng.uniform(300, 900)) * (0.1 + _slow(rng, samples, 1.0) ** 2))


def rain(rng: Random, samples: int) -> np.ndarray:
    """Return drops on a surface, over a hiss."""
    drop = [rng.standard_normal(80) * np.exp(-np.arange(80) / rng.uniform(6, 25)) for _ in range(8)]
    drops = _events(rng, samples, rng.uniform(100, 500), lambda: rng.exponential() * drop[rng.integers(8)])
    return _level(_level(drops) + rng.uniform(0.1, 0.8) * _level(_band(rng.standard_normal(samples), 500, 7000)))


def applause(rng: Random, samples: int) -> np.ndarray:
    """Return many people clapping."""

    def clap() -> np.ndarray:
        length = int(rng.uniform(0.004, 0.02) * SAMPLE_RATE)
        burst = rng.standard_normal(4 * length) * np.exp(-np.arange(4 * length) / length)
        return _band(burst, low := rng.uniform(500, 1500), low * rng.uniform(1.5, 4)) * rng.uniform(0.1, 1.0)

    swell = 0.3 + _slow(rng, samples, 0.3)
    return _level(_events(rng, samples, rng.uniform(30, 200), clap) * swell)


def clicks(rng: Random, samples: int) -> np.ndarray:
    """Return keys, knocks and clicks."""
    length = int(rng.uniform(0.002, 0.03) * SAMPLE_RATE)
    low = rng.uniform(150, 2000)
    decay = np.exp(-np.arange(6 * length) / length)
    return _level(
        _events(rng, samples, rng.uniform(0.5, 9), lambda: _band(rng.standard_normal(6 * length) * decay, low, 3 * low))
    )


def hum(rng: Random, samples: int) -> np.ndarray:
    """Return mains hum, with harmonics."""
    base, time = rng.choice([50.0, 60.0, 100.0, 120.0]), np.arange(samples) / SAMPLE_RATE
    fall = rng.uniform(0.3, 1.5)
    parts = [rng.random() / k**fall * np.sin(2 * np.pi * (base * k * time + rng.random())) for k in range(1, 20)]
    return _level(np.sum(parts, 0) + 0.02 * rng.standard_normal(samples))


def engine(rng: Random, samples: int) -> np.ndarray:
    """Return an engine or a fan whose speed wanders."""
    phase = np.cumsum(rng.uniform(25, 140) * (0.8 + 0.5 * _slow(rng, samples, 0.4))) / SAMPLE_RATE
    tone = np.sum([rng.random() / k * np.sin(2 * np.pi * (k * phase + rng.random())) for k in range(1, 25)], 0)
    beat = 0.5 + 0.5 * np.sin(2 * np.pi * phase / 2) ** 2
    return _level(_level(tone) + rng.uniform(0.2, 1.0) * _level(coloured_noise(rng, samples) * beat))


def breath(rng: Random, samples: int) -> np.ndarray:
    """Return breathing."""

    def one() -> np.ndarray:
        length = int(rng.uniform(0.3, 1.3) * SAMPLE_RATE)
        shape = np.hanning(length) ** rng.uniform(0.5, 2)
        return _band(rng.standard_normal(length), rng.uniform(200, 700), rng.uniform(2500, 6500)) * shape

    return _level(_events(rng, samples, rng.uniform(0.3, 0.8), one))


def beeps(rng: Random, samples: int) -> np.ndarray:
    """Return tones of telephones and alarms, or a siren."""
    time = np.arange(samples) / SAMPLE_RATE
    if rng.random() < 0.3:
        sweep = rng.uniform(500, 900) + rng.uniform(100, 400) * np.sin(2 * np.pi * rng.uniform(0.2, 3) * time)
        return _level(np.sin(2 * np.pi * np.cumsum(sweep) / SAMPLE_RATE))
    gate = (time % (period := rng.uniform(0.15, 2.0))) < period * rng.uniform(0.2, 0.7)
    tones = [np.sin(2 * np.pi * hertz * time) for hertz in rng.uniform(300, 2500, rng.integers(1, 4))]
    return _level(np.sum(tones, 0) * gate)


def birds(rng: Random, samples: int) -> np.ndarray:
    """Return chirps."""

    def chirp() -> np.ndarray:
        length = int(rng.uniform(0.05, 0.25) * SAMPLE_RATE)
        glide = np.linspace(rng.uniform(1800, 6000), rng.uniform(1800, 6000), length)
        return np.sin(2 * np.pi * np.cumsum(glide) / SAMPLE_RATE) * np.hanning(length)

    return _level(_events(rng, samples, rng.uniform(1, 6), chirp) + 0.003 * rng.standard_normal(samples))


def _note(rng: Random, hertz: float, seconds: float, harmonics: int, attack: float, decay: float) -> np.ndarray:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    vibrato = 1 + rng.uniform(0, 0.008) * np.sin(2 * np.pi * rng.uniform(4, 7) * time)
    phase = 2 * np.pi * np.cumsum(hertz * vibrato) / SAMPLE_RATE
    tone = np.sum([np.sin(k * phase) / k ** rng.uniform(0.8, 2) for k in range(1, harmonics) if k * hertz < 7800], 0)
    ending = np.clip((seconds - time) / 0.03, 0, 1)
    return np.asarray(tone * np.minimum(time / attack, 1) * np.exp(-time / decay) * ending)


def music(rng: Random, samples: int) -> np.ndarray:
    """Return chords, a melody and a bass on a scale, with or without drums."""
    beat = rng.uniform(0.25, 0.7)  # seconds
    scale = np.array([0, 2, 4, 5, 7, 9, 11] if rng.random() < 0.5 else [0, 2, 3, 5, 7, 8, 10])
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    style = [(int(rng.integers(2, 14)), rng.uniform(0.003, 0.15), rng.uniform(0.15, 3.0)) for _ in range(3)]
    drums, sound = rng.random() < 0.6, np.zeros(samples + 4 * SAMPLE_RATE)

    def add(at: float, piece: np.ndarray, gain: float) -> None:
        start = int(at * SAMPLE_RATE)
        piece = piece[: len(sound) - start]
        sound[start : start + len(piece)] += gain * piece

    for step in range(int(samples / SAMPLE_RATE / beat) + 1):
        at = step * beat
        if step % 4 == 0:
            degree = rng.choice([0, 3, 4, 5])
            for third in (0, 2, 4):
                place = degree + third
                hertz = root * 2 ** ((scale[place % 7] + 12 * (place // 7)) / 12)
                add(at, _note(rng, hertz, 4 * beat, *style[0]), 0.5)
            add(at, _note(rng, root / 2 * 2 ** (scale[degree] / 12), 2 * beat, *style[1]), 0.9)
        if rng.random() < 0.7:
            hertz = root * 2 * 2 ** (rng.choice(scale) / 12)
            add(at, _note(rng, hertz, beat * rng.choice([0.5, 1, 2]), *style[2]), 0.7)
        if drums:
            time = np.arange(int(0.2 * SAMPLE_RATE)) / SAMPLE_RATE
            kick = np.sin(2 * np.pi * 55 * time) * np.exp(-time * 18)
            snare = rng.standard_normal(len(time)) * np.exp(-time * 25)
            add(at, kick if step % 2 == 0 else snare, rng.uniform(0.5, 1.5))
    return _level(sound[:samples])


def room(rng: Random, seconds: float | None = None) -> np.ndarray:
    """Return the response (N,) of a room: the direct sound and an exponential tail; its reverberation time is drawn."""
    time60 = rng.uniform(0.15, 0.9) if seconds is None else seconds
    length = int(time60 * SAMPLE_RATE)
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail[: int(rng.uniform(0.001, 0.01) * SAMPLE_RATE)] = 0.0
    response = tail * (10 ** (-rng.uniform(0, 15) / 20) / np.sqrt(np.square(tail).sum()))
    response[0] = 1.0
    return response


def crowd(rng: Random, samples: int, voices: Sequence[np.ndarray]) -> np.ndarray:
    """Return many people who speak at once, at a distance.

    Args:
        rng: Generator.
        samples: S.
        voices: Recordings (S,) of single speakers, at least one.
    """
    sound = np.zeros(samples)
    for _ in range(rng.integers(*CROWD)):
        voice = voices[int(rng.integers(len(voices)))]
        voice = np.resize(voice / max(float(np.sqrt(np.square(voice).mean())), 1e-6), samples)
        sound += np.roll(voice, rng.integers(samples)) * rng.uniform(0.4, 1.0)
    far = fftconvolve(sound, room(rng, rng.uniform(0.6, 1.6))[1:], "full")[:samples]
    return _level(lfilter([1], [1, -rng.uniform(0.0, 0.6)], far))


SOUNDS: dict[str, Sound] = {
    "coloured noise": coloured_noise, "wind": wind, "rain": rain, "applause": applause, "clicks": clicks, "hum": hum,
    "engine": engine, "breath": breath, "beeps": beeps, "birds": birds, "music": music,
}  # fmt: skip
"""Every sound but a crowd, which needs voices."""
