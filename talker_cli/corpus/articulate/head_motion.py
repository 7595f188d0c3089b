"""Motion of the head: nods that lead stressed syllables, a posture for each phrase, drift, and rest in silence."""

import numpy as np

from talker_cli.corpus.align.phonetics import VOWELS
from talker_cli.corpus.articulate.contact import ease
from talker_cli.corpus.articulate.noise import generator, slow_noise
from talker_cli.corpus.articulate.prosody import Prosody
from talker_cli.corpus.articulate.styles import Style
from talker_cli.metrics import SILENCE, Phones

AXES = ("pitch", "yaw", "roll")
PAUSE = 0.25  # seconds; a longer silence ends a phrase
LONG_PAUSE = 0.7  # seconds; in a longer one the head comes to rest
REST = 0.15  # share of a posture that is left at rest
HELD = (0.9, 2.2)  # seconds between two postures of a long phrase
POSTURE = (2.6, 4.0, 3.4)  # degrees, std of a phrase's posture
DRIFT, DRIFT_HERTZ = (0.8, 1.1, 0.8), 0.4  # degrees, std
SWAY, SWAY_HERTZ = (0.8, 1.1, 0.9), 1.2  # degrees, std, in speech
STILL = 0.3  # share of the drift in silence
NOD, BEAT = 4.4, 1.6  # degrees at an accent, and at another stressed vowel
LARGEST_NOD = 7.0  # degrees
LEAD = 0.05  # seconds by which a nod is lowest before the middle of its vowel


def phrases(phones: Phones) -> list[tuple[float, float]]:
    """Return the spans of speech between pauses, seconds."""
    spans: list[tuple[float, float]] = []
    for phone, start, end in phones:
        if phone == SILENCE and end - start > PAUSE:
            continue
        if spans and start - spans[-1][1] < 1e-6:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def move_head(phones: Phones, times: np.ndarray, style: Style, prosody: Prosody, key: str) -> np.ndarray:
    """Return pitch, yaw and roll of the head (N, 3), radians; positive looks down, to the left, and tilts to the right.

    Args:
        phones: Phones that cover the recording.
        times: (N,) instants, seconds.
        style: Style of the motion.
        prosody: Pitch and loudness of the recording.
        key: Seed of all randomness.
    """
    spans = phrases(phones)
    speaking = np.zeros_like(times)
    for start, end in spans:
        speaking = np.maximum(speaking, ease((times - start + 0.3) / 0.4) * ease((end + 0.5 - times) / 0.6))
    angles = _postures(spans, times, generator(key, "head postures"))
    calm = STILL + (1.0 - STILL) * speaking
    for axis, name in enumerate(AXES):
        angles[:, axis] += DRIFT[axis] * calm * slow_noise(generator(key, f"head drift {name}"), times, DRIFT_HERTZ)
        angles[:, axis] += SWAY[axis] * speaking * slow_noise(generator(key, f"head sway {name}"), times, SWAY_HERTZ)
    angles += _nods(phones, times, prosody, generator(key, "head nods"))
    return np.radians(style.head * angles)


def _postures(spans: list[tuple[float, float]], times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (N, 3) degrees: a posture at each phrase's start and at times within it, and rest in long pauses."""
    angles, here = np.zeros((len(times), 3)), np.zeros(3)

    def turn(at: float, goal: np.ndarray, seconds: float) -> None:
        nonlocal here
        angles[:] += ease((times - at) / seconds)[:, None] * (goal - here)
        here = goal

    for number, (start, end) in enumerate(spans):
        at = start - float(rng.uniform(0.1, 0.35))
        while True:
            goal = rng.normal(size=3) * POSTURE
            turn(at, goal, 0.45 + 0.06 * float(np.abs(goal - here).max()) * float(rng.uniform(0.8, 1.4)))
            at = max(at, start) + float(rng.uniform(*HELD))
            if at > end - 0.6:
                break
        following = spans[number + 1][0] if number + 1 < len(spans) else np.inf
        if following - end > LONG_PAUSE:
            turn(end + float(rng.uniform(0.0, 0.2)), REST * here, float(rng.uniform(0.8, 1.2)))
    return angles


def _nods(phones: Phones, times: np.ndarray, prosody: Prosody, rng: np.random.Generator) -> np.ndarray:
    """Return (N, 3) degrees: a nod at each accent, a small one at other stressed vowels, each with a little turn and tilt."""
    angles = np.zeros((len(times), 3))
    vowels = [(start, end) for phone, start, end in phones if phone in VOWELS]
    salience = [max(0.0, prosody.pitch_at(a, b)) / 4.0 + max(0.0, prosody.level_at(a, b)) / 12.0 for a, b in vowels]
    last = -1.0
    for index, ((start, end), strength) in enumerate(zip(vowels, salience, strict=True)):
        chance, size, side = float(rng.random()), float(np.exp(0.35 * rng.normal())), rng.normal(size=2)
        rise, fall = 0.22 * float(np.exp(0.15 * rng.normal())), 0.34 * float(np.exp(0.2 * rng.normal()))
        around = salience[max(0, index - 2) : index + 3]
        accent = strength >= max(around) and strength > 0.4
        if strength < 0.15 or start - last < (0.3 if accent else 0.2) or chance > (0.85 if accent else 0.5):
            continue
        last = start
        size = min(size * (NOD * min(strength, 1.4) if accent else BEAT), LARGEST_NOD)
        tau = times - ((start + end) / 2 - LEAD)
        bump = np.where(tau < 0, ease(1.0 + tau / rise), ease(1.0 - tau / fall))
        up = -0.7 if chance < 0.15 else 1.0  # some accents lift the chin
        angles += bump[:, None] * size * np.array([up, 0.35 * side[0], 0.30 * side[1]])
    return angles
