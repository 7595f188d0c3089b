"""Motion of the upper face: blinks, brows at pitch accents, lids, cheeks, gaze."""

import numpy as np

from talker_cli.corpus.align.phonetics import VOWELS
from talker_cli.corpus.articulate.contact import ease
from talker_cli.corpus.articulate.noise import generator, slow_noise
from talker_cli.corpus.articulate.prosody import Prosody
from talker_cli.corpus.articulate.styles import Style
from talker_cli.metrics import SILENCE, Phones

Curves = dict[str, np.ndarray]

CLOSING = 0.080  # seconds, of a blink
OPENING = 0.135  # seconds, of a blink
REFRACTORY = 0.45  # seconds, shortest time between two blinks


def move_upper_face(phones: Phones, times: np.ndarray, style: Style, prosody: Prosody, mouth: Curves, key: str) -> Curves:
    """Return the coefficients (N,) of eyes, brows, cheeks and nose, by ARKit name.

    Args:
        phones: Phones that cover the recording.
        times: (N,) instants, seconds.
        style: Style of the motion.
        prosody: Pitch and loudness of the recording.
        mouth: Coefficients of the mouth, which cheeks and lids follow.
        key: Seed of all randomness.
    """
    blink_left, blink_right = blink(phones, times, style, key)
    brow_up, brow_down = brows(phones, times, style, prosody, key)
    gaze_x, gaze_y = gaze(times, style, key)
    drift = {name: slow_noise(generator(key, name), times, hertz) for name, hertz in DRIFT.items()}
    smile = 0.5 * (mouth["mouthSmileLeft"] + mouth["mouthSmileRight"])
    opening = mouth["jawOpen"]
    cheek = np.maximum(0.02 + style.cheek * 0.45 * smile + 0.10 * style.squint + 0.008 * drift["cheek"], 0.0)
    squint = np.maximum(style.squint * (0.8 + 0.35 * drift["squint"]) + 0.25 * cheek, 0.0)
    lid = style.lid + 0.012 * drift["lid"]
    side = 1.0 + 0.25 * style.asymmetry + 0.05 * drift["side"]
    wide = np.maximum(-lid, 0.0) + 0.10 * np.maximum(brow_up - 0.15, 0.0)
    sneer = np.maximum(style.sneer * (0.4 + 2.5 * opening), 0.0)
    lowered = 0.35 * np.maximum(np.maximum(blink_left, blink_right) - 0.15, 0.0)  # the eye turns down a little under the lid
    awake = 1.0 - np.maximum(blink_left, blink_right)
    outer = 0.55 * brow_up + 0.02 * drift["outer"]
    return {
        "eyeBlinkLeft": np.maximum(blink_left, 0.0) + np.maximum(lid, 0.0) * awake,
        "eyeBlinkRight": np.maximum(blink_right, 0.0) + np.maximum(lid, 0.0) * awake,
        "eyeWideLeft": wide * awake,
        "eyeWideRight": wide * awake,
        "eyeSquintLeft": squint * side,
        "eyeSquintRight": squint * (2.0 - side),
        "cheekSquintLeft": cheek * side,
        "cheekSquintRight": cheek * (2.0 - side),
        "noseSneerLeft": sneer * side,
        "noseSneerRight": sneer * (2.0 - side),
        "browInnerUp": brow_up,
        "browOuterUpLeft": np.maximum(outer * side, 0.0),
        "browOuterUpRight": np.maximum(outer * (2.0 - side), 0.0),
        "browDownLeft": brow_down * side,
        "browDownRight": brow_down * (2.0 - side),
        "eyeLookOutLeft": np.maximum(gaze_x, 0.0),
        "eyeLookInRight": np.maximum(gaze_x, 0.0),
        "eyeLookInLeft": np.maximum(-gaze_x, 0.0),
        "eyeLookOutRight": np.maximum(-gaze_x, 0.0),
        "eyeLookUpLeft": np.maximum(gaze_y, 0.0),
        "eyeLookUpRight": np.maximum(gaze_y, 0.0),
        "eyeLookDownLeft": np.maximum(-gaze_y, 0.0) + lowered,
        "eyeLookDownRight": np.maximum(-gaze_y, 0.0) + lowered,
    }


DRIFT = {"cheek": 0.3, "squint": 0.12, "lid": 0.2, "side": 0.15, "outer": 0.2}  # hertz


def blink(phones: Phones, times: np.ndarray, style: Style, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the left and right lid (N,): a Poisson process with a refractory time, more likely where a phrase ends."""
    rng = generator(key, "blinks")
    end = float(times[-1])
    moments = []
    at = float(rng.exponential(60.0 / style.blinks))
    while at < end:
        moments.append(at)
        at += REFRACTORY + float(rng.exponential(60.0 / style.blinks / 0.75))
    for phone, start, stop in phones:
        if phone == SILENCE and stop - start > 0.15 and start > 0.3 and rng.random() < min(0.8, 0.025 * style.blinks):
            moments.append(start + float(rng.uniform(0.0, 0.15)))
    left, right = np.zeros_like(times), np.zeros_like(times)
    last = -1.0
    for moment in sorted(moments):
        if moment - last < REFRACTORY:
            continue
        last = moment
        pace = float(np.exp(0.15 * rng.normal()))
        depth = float(np.clip(style.blink_depth + 0.06 * rng.normal(), 0.7, 1.0))
        if rng.random() < 0.08:
            depth *= 0.6  # an incomplete blink
        late = float(rng.normal(0.0, 0.004))
        uneven = float(np.clip(rng.normal(0.0, 0.02), -0.04, 0.04))
        left = np.maximum(left, depth * (1.0 + uneven) * _blink_shape(times - moment, pace))
        right = np.maximum(right, depth * (1.0 - uneven) * _blink_shape(times - moment - late, pace))
    return np.minimum(left, 1.0), np.minimum(right, 1.0)


def brows(phones: Phones, times: np.ndarray, style: Style, prosody: Prosody, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return brows up and down (N,): a rest, a drift, and a rise at pitch accents."""
    rng = generator(key, "brows")
    up = style.brow_rest * (1.0 + 0.3 * slow_noise(generator(key, "brow drift"), times, 0.25)) + 0.02
    down = style.brow_down * (1.0 + 0.4 * slow_noise(generator(key, "brow down"), times, 0.2))
    vowels = [(start, end) for phone, start, end in phones if phone in VOWELS]
    salience = [max(0.0, prosody.pitch_at(a, b)) / 4.0 + max(0.0, prosody.level_at(a, b)) / 12.0 for a, b in vowels]
    last = -1.0
    for index, ((start, end), strength) in enumerate(zip(vowels, salience, strict=True)):
        near = salience[max(0, index - 2) : index + 3]
        if strength < max(near) or strength < 0.45 or start - last < 0.35 or rng.random() > 0.8:
            continue
        last = start
        height = 0.13 * style.brows * min(strength, 1.6) * float(np.exp(0.3 * rng.normal()))
        rise, fall = 0.20 * float(np.exp(0.15 * rng.normal())), 0.38 * float(np.exp(0.2 * rng.normal()))
        bump = _bump(times, (start + end) / 2 - 0.04, rise, fall)
        if rng.random() < 0.15 + style.brow_down:
            down = down + 0.8 * height * bump
        else:
            up = up + height * bump
    return np.clip(up, 0.0, 0.75), np.clip(down, 0.0, 0.5)


def gaze(times: np.ndarray, style: Style, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return gaze to the subject's left and up (N,): small saccades away from the listener and back."""
    rng = generator(key, "gaze")
    x, y = np.zeros_like(times), np.zeros_like(times)
    at, here = 0.0, np.zeros(2)
    while at < float(times[-1]):
        away = rng.random() < 0.35
        goal = rng.normal(size=2) * np.array([0.10, 0.06]) * style.gaze if away else rng.normal(size=2) * 0.015
        share = ease((times - at) / 0.055)
        x, y = x + (goal[0] - here[0]) * share, y + (goal[1] - here[1]) * share
        here = goal
        at += float(rng.uniform(0.3, 0.9) if away else rng.uniform(0.8, 3.0))
    return x, y


def _blink_shape(tau: np.ndarray, pace: float) -> np.ndarray:
    """Return 0…1: closed at tau = 0, closing before, and opening more slowly after."""
    closing, opening, held = CLOSING * pace, OPENING * pace, 0.012 * pace
    return np.where(tau < 0, ease(1.0 + tau / closing), ease(1.0 - np.maximum(tau - held, 0.0) / opening))


def _bump(times: np.ndarray, peak: float, rise: float, fall: float) -> np.ndarray:
    tau = times - peak
    return np.where(tau < 0, ease(1.0 + tau / rise), ease(1.0 - tau / fall))
