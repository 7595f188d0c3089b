"""Motion of the upper face: brows at pitch accents, lids, cheeks, and the eyes' own process."""

from functools import partial

import numpy as np

from talker_cli.corpus.align.phonetics import VOWELS
from talker_cli.corpus.articulate.contact import ease
from talker_cli.corpus.articulate.emotion import mood
from talker_cli.corpus.articulate.eyes import RATE, Eyes, EyeStyle, speaking_ticks
from talker_cli.corpus.articulate.noise import generator, slow_noise
from talker_cli.corpus.articulate.prosody import Prosody
from talker_cli.corpus.articulate.styles import Style
from talker_cli.data.emotions import Spans
from talker_cli.metrics import Phones

Curves = dict[str, np.ndarray]


def move_upper_face(
    phones: Phones,
    times: np.ndarray,
    style: Style,
    prosody: Prosody,
    mouth: Curves,
    key: str,
    head: np.ndarray | None = None,
    emotion: Spans = (),
) -> Curves:
    """Return the coefficients (N,) of eyes, brows, cheeks and nose, by ARKit name.

    Args:
        phones: Phones that cover the recording.
        times: (N,) instants, seconds.
        style: Style of the motion.
        prosody: Pitch and loudness of the recording.
        mouth: Coefficients of the mouth, which cheeks and lids follow.
        key: Seed of all randomness.
        head: (N, 3) rotation of the head, radians, against which the eyes turn; None for a still one.
        emotion: Emotions over time, as far as they change the eyes.
    """
    brow_up, brow_down = brows(phones, times, style, prosody, key)
    drift = {name: slow_noise(generator(key, name), times, hertz) for name, hertz in DRIFT.items()}
    smile = 0.5 * (mouth["mouthSmileLeft"] + mouth["mouthSmileRight"])
    opening = mouth["jawOpen"]
    cheek = np.maximum(0.02 + style.cheek * 0.45 * smile + 0.10 * style.squint + 0.008 * drift["cheek"], 0.0)
    squint = np.maximum(style.squint * (0.8 + 0.35 * drift["squint"]) + 0.25 * cheek, 0.0)
    lid = style.lid + 0.012 * drift["lid"]
    side = 1.0 + 0.25 * style.asymmetry + 0.05 * drift["side"]
    wide = np.maximum(-lid, 0.0) + 0.10 * np.maximum(brow_up - 0.15, 0.0)
    sneer = np.maximum(style.sneer * (0.4 + 2.5 * opening), 0.0)
    outer = 0.55 * brow_up + 0.02 * drift["outer"]
    eyes = Eyes(EyeStyle.of(style), int(generator(key, "eyes").integers(2**62)), partial(mood, emotion))
    eyes.advance(speaking_ticks(phones, int(times[-1] * RATE) + 1))
    return eyes.curves(times, np.stack([wide, wide], 1), head) | {
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
    }


DRIFT = {"cheek": 0.3, "squint": 0.12, "lid": 0.2, "side": 0.15, "outer": 0.2}  # hertz


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


def _bump(times: np.ndarray, peak: float, rise: float, fall: float) -> np.ndarray:
    tau = times - peak
    return np.where(tau < 0, ease(1.0 + tau / rise), ease(1.0 - tau / fall))
