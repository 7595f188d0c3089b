"""Emotions as differences of style: what each adds to the shapes, and scales in the motion, at strength 1.

They are applied to finished curves, with the lips' contact known: what opens the lips waits where they are sealed, smiles give
way to rounding, and mouthClose follows jawOpen. So p b m close in every emotion. Offsets are linear in the strength.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from talker_cli.corpus.articulate.contact import lip_teeth_holds, seal_holds, signal
from talker_cli.corpus.articulate.eyes import Mood
from talker_cli.corpus.articulate.noise import generator, slow_noise
from talker_cli.data.emotions import Spans, strengths
from talker_cli.metrics import Phones

Curves = dict[str, np.ndarray]

OPENING = ("jawOpen", "mouthClose", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight")
BROWS = ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")
WAITING = ("jawOpen", "mouthLowerDown", "mouthUpperUp", "mouthFunnel", "mouthShrugUpper")  # offsets that would part sealed lips
WIDENING = ("mouthSmile", "mouthStretch", "mouthDimple")
LIVELY = 0.12  # std of an emotion's strength as it comes and goes, of itself
PULSE = 0.4  # hertz of that


@dataclass(frozen=True)
class Emotion:
    """One emotion at strength 1.

    Args:
        shapes: Offsets by ARKit name; a name without its side means both.
        opening: Factor of the jaw's and the lips' opening.
        brows: Factor of the brows' motion.
        blinks, lid, gaze, down: See `Mood`.
    """

    shapes: Mapping[str, float] = field(default_factory=dict)
    opening: float = 1.0
    brows: float = 1.0
    blinks: float = 1.0
    lid: float = 0.0
    gaze: float = 1.0
    down: float = 0.0


EMOTIONS: dict[str, Emotion] = {
    "happy": Emotion(
        {"mouthSmile": 0.62, "cheekSquint": 0.45, "eyeSquint": 0.16, "mouthDimple": 0.10, "mouthUpperUp": 0.08,
         "browOuterUp": 0.10, "browInnerUp": 0.06},
        opening=1.05, brows=1.2, gaze=0.9,
    ),
    "sad": Emotion(
        {"browInnerUp": 0.60, "browDown": 0.16, "mouthFrown": 0.48, "mouthShrugLower": 0.20, "eyeSquint": 0.08,
         "mouthRollLower": 0.06},
        opening=0.85, brows=0.5, blinks=0.9, lid=0.13, gaze=0.9, down=5.0,
    ),
    "angry": Emotion(
        {"browDown": 1.0, "eyeSquint": 0.38, "eyeWide": 0.12, "noseSneer": 0.42, "mouthPress": 0.30, "mouthFrown": 0.30,
         "mouthStretch": 0.14, "mouthUpperUp": 0.12, "mouthLowerDown": 0.14, "jawForward": 0.18, "mouthRollLower": 0.06},
        opening=1.12, brows=0.1, blinks=0.6, gaze=0.55,
    ),
    "surprised": Emotion(
        {"browInnerUp": 0.90, "browOuterUp": 0.90, "eyeWide": 0.85, "jawOpen": 0.12, "mouthFunnel": 0.05},
        opening=1.10, brows=1.3, blinks=0.6, lid=-0.1, gaze=0.7,
    ),
    "afraid": Emotion(
        {"browInnerUp": 0.95, "browOuterUp": 0.22, "browDown": 0.36, "eyeWide": 0.75, "mouthStretch": 0.48,
         "mouthFrown": 0.18, "mouthLowerDown": 0.10},
        opening=0.92, brows=0.8, blinks=1.5, lid=-0.1, gaze=1.5,
    ),
    "disgusted": Emotion(
        {"noseSneer": 0.95, "mouthUpperUp": 0.24, "browDown": 0.62, "eyeSquint": 0.50, "cheekSquint": 0.34,
         "mouthFrown": 0.42, "mouthShrugLower": 0.22, "mouthPress": 0.06},
        opening=0.90, brows=0.2, blinks=1.1, gaze=1.2, down=2.0,
    ),
    "confident": Emotion(
        {"mouthSmileLeft": 0.42, "mouthSmileRight": 0.20, "mouthDimpleLeft": 0.12, "browDown": 0.22, "browOuterUp": 0.12,
         "eyeSquint": 0.30, "cheekSquintLeft": 0.22, "cheekSquintRight": 0.12, "jawForward": 0.10, "mouthPress": 0.06},
        opening=1.10, brows=0.9, blinks=0.75, gaze=0.4,
    ),
    "bored": Emotion(
        {"mouthFrown": 0.26, "mouthPress": 0.10, "mouthShrugLower": 0.12, "browInnerUp": 0.05, "browDown": 0.08},
        opening=0.72, brows=0.3, blinks=0.8, lid=0.32, gaze=1.5, down=4.0,
    ),
    "playful": Emotion(
        {"mouthSmileLeft": 0.26, "mouthSmileRight": 0.66, "mouthDimpleRight": 0.22, "cheekSquintLeft": 0.22,
         "cheekSquintRight": 0.48, "eyeSquintLeft": 0.06, "eyeSquintRight": 0.36, "browOuterUpLeft": 0.70, "browInnerUp": 0.16,
         "browDownRight": 0.25},
        opening=1.05, brows=1.4, gaze=1.2,
    ),
    "confused": Emotion(
        {"browDownLeft": 0.75, "browInnerUp": 0.22, "browOuterUpRight": 0.90, "eyeSquintLeft": 0.42, "eyeSquintRight": 0.10,
         "mouthLeft": 0.26, "mouthShrugLower": 0.24, "mouthFrown": 0.26, "mouthPress": 0.10, "mouthPucker": 0.06},
        opening=0.92, brows=0.7, blinks=1.2, gaze=1.5,
    ),
}  # fmt: skip
NAMES = tuple(EMOTIONS)


def mood(spans: Spans, times: np.ndarray) -> Mood:
    """Return what emotions change of the eyes at the times (N,), seconds; emotions unknown to EMOTIONS change nothing."""
    amount = strengths(spans, NAMES, times)
    blinks, lid, gaze, down = (
        amount @ np.array([getattr(each, name) - neutral for each in EMOTIONS.values()])
        for name, neutral in (("blinks", 1.0), ("lid", 0.0), ("gaze", 1.0), ("down", 0.0))
    )
    return Mood(np.maximum(1.0 + blinks, 0.3), lid, np.maximum(1.0 + gaze, 0.2), down)


def express(curves: Curves, spans: Spans, phones: Phones, times: np.ndarray, width: float, key: str) -> Curves:
    """Return the curves (N,) of mouth and upper face with the emotions.

    Args:
        curves: Coefficients by ARKit name, eyes moved by `mood` already.
        spans: Emotions.
        phones: Phones that cover the recording.
        times: (N,) instants, seconds.
        width: Width of coarticulation.
        key: Seed of all randomness.
    """
    amount = strengths(spans, NAMES, times)
    sealed = signal(seal_holds(phones, width), times)
    free = (1.0 - sealed) * (1.0 - 0.72 * signal(lip_teeth_holds(phones, width), times))
    pucker, funnel = curves["mouthPucker"], curves["mouthFunnel"]
    spread = np.clip(1.0 - 1.6 * pucker - 0.8 * funnel, 0.2, 1.0)
    changed = dict(curves)
    for name, emotion in EMOTIONS.items():
        strength = amount[:, NAMES.index(name)]
        if not strength.any():
            continue
        alive = strength * (1.0 + LIVELY * slow_noise(generator(key, f"emotion {name}"), times, PULSE))
        for shape in OPENING:
            changed[shape] = changed[shape] * (1.0 + (emotion.opening - 1.0) * strength)
        for shape in BROWS:
            changed[shape] = changed[shape] * (1.0 + (emotion.brows - 1.0) * strength)
        for shape, size in emotion.shapes.items():
            offset = size * alive
            if shape.startswith(WAITING):
                offset = offset * free
            elif shape.startswith(WIDENING):
                offset = offset * spread
            for side in (shape,) if shape in curves else (f"{shape}Left", f"{shape}Right"):
                awake = 1.0 - curves[side.replace("Wide", "Blink")] if shape.startswith("eyeWide") else 1.0
                changed[side] = changed[side] + offset * awake
    return changed


def drawn_emotions(key: str, seconds: float, share: float) -> Spans:
    """Return emotions for a clip, none for all but a `share` of the keys: one or two, constant, coming, or changing half-way.

    Args:
        key: Seed of all randomness, of one clip.
        seconds: Length of the clip.
        share: Share of the clips with emotions.
    """
    rng = generator(key, "emotions")
    if rng.random() >= share:
        return ()
    first, second = (NAMES[index] for index in rng.permutation(len(NAMES))[:2])
    sizes = [round(float(size), 2) for size in rng.uniform(0.25, 1.0, 2)]
    middle, end = round(float(rng.uniform(0.3, 0.7)) * seconds, 3), round(seconds + 1.0, 3)
    kind = rng.random()
    if kind < 0.5:
        return ((0.0, end, first, sizes[0]),)
    if kind < 0.65:  # both at once
        return ((0.0, end, first, round(0.7 * sizes[0], 2)), (0.0, end, second, round(0.7 * sizes[1], 2)))
    if kind < 0.85:
        return ((0.0, middle, first, sizes[0]), (middle, end, second, sizes[1]))
    return ((middle, end, first, sizes[0]),)
