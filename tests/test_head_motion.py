"""The corpus' head: statistics as published of free talk, nods that lead accents, rest in silence, size by style."""

from dataclasses import replace

import numpy as np
import pytest

from talker_cli.corpus.align.phonetics import PHONES, VOWELS
from talker_cli.corpus.articulate.head_motion import move_head, phrases
from talker_cli.corpus.articulate.prosody import Prosody
from talker_cli.corpus.articulate.styles import SPEAKERS, Style
from talker_cli.metrics import SILENCE, Phones

FPS = 30
Talk = tuple[Phones, np.ndarray, Prosody]


def talk(number: int) -> Talk:
    """Return about 12 s of phones with pauses, their frames' instants, and pitch and level that lift every third vowel."""
    rng = np.random.default_rng(number)
    consonants = sorted(set(PHONES) - set(VOWELS) - {SILENCE})
    phones, at = [], 0.0
    for phrase in range(4):
        names = [SILENCE] + [str(rng.choice(sorted(VOWELS) if place % 2 else consonants)) for place in range(28)]
        for name in names:
            seconds = (0.2 + 0.5 * phrase) if name == SILENCE else float(rng.uniform(0.05, 0.13))
            phones.append((name, at, at + seconds))
            at += seconds
    phones.append((SILENCE, at, at + 2.0))
    count = int((at + 2.0) * 100) + 1
    pitch, level = np.zeros(count), np.full(count, -2.0)
    for name, start, end in phones:
        span = slice(int(start * 100), int(end * 100) + 1)
        if name == SILENCE:
            level[span] = -40.0
        elif name in VOWELS:
            accent = rng.random() < 0.35
            pitch[span], level[span] = (rng.uniform(2, 5), 4.0) if accent else (rng.normal(-0.5, 1), 0.5)
    voiced = level > -18
    return tuple(phones), np.arange(int((at + 2.0) * FPS)) / FPS, Prosody(level, pitch, voiced, 150.0)


@pytest.fixture(scope="module")
def talks() -> list[Talk]:
    return [talk(number) for number in range(12)]


def degrees(talk: Talk, style: Style, key: str = "k") -> np.ndarray:
    phones, times, prosody = talk
    return np.degrees(move_head(phones, times, style, prosody, f"{key}|{len(times)}"))


def speed(angles: np.ndarray) -> np.ndarray:
    """Return (T,) degrees a second of all three axes together."""
    return np.linalg.norm(np.diff(angles, axis=0, prepend=angles[:1]), axis=1) * FPS


def spoken(talk: Talk) -> np.ndarray:
    phones, times, _ = talk
    return np.any([(times >= start) & (times < end) for start, end in phrases(phones)], axis=0)


def test_deviations_and_speeds_are_those_of_captured_heads(talks: list[Talk]) -> None:
    """Breaks if heads hardly move, or jerk: deviations of 2 to 4 degrees, median speeds of 6 to 28, 95 % under 95 a second."""
    found = []
    for speaker in SPEAKERS:
        angles = [degrees(each, speaker.style) for each in talks]
        std = np.mean([each.std(0) for each in angles], axis=0)
        in_speech = np.concatenate([speed(each)[spoken(one)] for one, each in zip(talks, angles, strict=True)])
        found.append((*std, np.median(in_speech), np.quantile(in_speech, 0.95)))
        assert 4.5 < found[-1][3] < 28 and found[-1][4] < 95, (speaker.name, found[-1])
    pitch, yaw, roll, median, fast = np.mean(found, axis=0)
    assert all(2.0 <= each <= 4.0 for each in (pitch, yaw, roll)), (pitch, yaw, roll)
    assert 6 <= median <= 28 and fast < 95, (median, fast)


def test_the_head_rests_in_silence(talks: list[Talk]) -> None:
    """Breaks if a head keeps nodding, or stays turned away, when nobody speaks."""
    for each in talks:
        angles, times = degrees(each, Style()), each[1]
        late = times > times[-1] - 0.6
        assert np.median(speed(angles)[late]) < 0.35 * np.median(speed(angles)[spoken(each)])
        assert np.abs(angles[late]).max() < 3.5


def test_nods_lead_their_syllables_a_little() -> None:
    """Breaks if nods follow the accents, or come long before: the chin is lowest just before the vowel's middle."""
    phones: list[tuple[str, float, float]] = [(SILENCE, 0.0, 1.0)]
    for _ in range(200):
        for name, seconds in (("T", 0.25), ("AA", 0.2), ("N", 0.5)):
            phones.append((name, phones[-1][2], phones[-1][2] + seconds))
    times = np.arange(int(phones[-1][2] * 100)) / 100
    lifted = np.zeros(len(times) + 1)
    for name, start, end in phones:
        lifted[int(start * 100) : int(end * 100)] = 4.0 * (name == "AA")
    pitch = move_head(tuple(phones), times, Style(), Prosody(lifted, lifted, lifted > 0, 150.0), "k")[:, 0]
    middles = [int((start + end) * 50) for name, start, end in phones if name == "AA"][1:-1]
    mean = np.mean([pitch[middle - 45 : middle + 45] for middle in middles], axis=0)
    assert 0.02 <= (45 - mean.argmax()) / 100 <= 0.12 and np.degrees(np.ptp(mean)) > 1.5


def test_a_style_scales_the_head_and_a_key_draws_it(talks: list[Talk]) -> None:
    """Breaks if the size by style is lost, the same key gives another motion, or another key the same."""
    one = degrees(talks[0], Style())
    assert np.allclose(degrees(talks[0], replace(Style(), head=0.5, brows=0.0, blinks=3.0)), one / 2)
    assert (degrees(talks[0], Style()) == one).all() and np.abs(degrees(talks[0], Style(), "other") - one).max() > 1


def test_phrases_end_at_pauses() -> None:
    """Breaks if a stop's closure of a quarter of a second ends a phrase, or a pause does not."""
    phones = ((SILENCE, 0.0, 0.3), ("AA", 0.3, 0.5), (SILENCE, 0.5, 0.7), ("B", 0.7, 0.8), (SILENCE, 0.8, 1.2), ("B", 1.2, 1.3))
    assert phrases(phones) == [(0.3, 0.8), (1.2, 1.3)]
