"""Articulation: phones with times -> coefficients of the 52 ARKit shapes and the head's rotation, for one style.

Tracks of targets are blended by dominance functions (Cohen & Massaro 1993); jaw and lips have their own style axes (Edwards
et al. 2016); the lips' contact is exact: at a seal every opening shape is 0 and mouthClose cancels jawOpen. Motion is
computed on a grid of 120 instants a second and sampled at the frames' instants, so that it does not depend on the frame rate.
"""

import numpy as np

from talker_cli.corpus.align.phonetics import VOWELS
from talker_cli.corpus.articulate.contact import lip_teeth_holds, seal_holds, signal
from talker_cli.corpus.articulate.emotion import express
from talker_cli.corpus.articulate.head_motion import move_head
from talker_cli.corpus.articulate.noise import generator, slow_noise
from talker_cli.corpus.articulate.prosody import Prosody
from talker_cli.corpus.articulate.styles import Style
from talker_cli.corpus.articulate.targets import REACH, TARGETS, TRACKS, Target
from talker_cli.corpus.articulate.upper_face import move_upper_face
from talker_cli.data.emotions import Spans
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import SILENCE, Phones
from talker_cli.rig import ARKIT_NAMES, HEAD_NAMES

GRID = 120.0  # instants a second
CORE = 0.28  # share of a phone's duration, on either side of its centre, with full dominance
SMOOTHING = 0.022  # seconds, sigma of the last smoothing
CHUNK = 480  # grid instants blended at once
FAR = 1.0  # seconds beyond which a phone's dominance is negligible (under 1e-8)

Curves = dict[str, np.ndarray]


def articulate(
    phones: Phones, samples: int, style: Style, prosody: Prosody, key: str, fps: float = 30.0, emotion: Spans = ()
) -> np.ndarray:
    """Return (T, 55) float32 coefficients over ARKIT_NAMES and HEAD_NAMES, T = floor(samples * fps / 16000).

    Frame i is the instant i / fps.

    Args:
        phones: (ARPAbet symbol or "SIL", start, end), seconds, that cover the recording.
        samples: Length of the recording at 16 kHz.
        style: Style of the motion.
        prosody: Pitch and loudness of the recording.
        key: Seed of all randomness, such as "seed|recording|identity".
        fps: Frame rate.
        emotion: Emotions over time.
    """
    seconds = samples / SAMPLE_RATE
    times = np.arange(int(np.ceil(seconds * GRID)) + 2) / GRID
    curves = move_mouth(phones, times, style, prosody, key)
    head = move_head(phones, times, style, prosody, key)
    curves |= move_upper_face(phones, times, style, prosody, curves, key, head, emotion)
    curves = express(curves, emotion, phones, times, style.width, key)
    frames = np.arange(int(samples * fps / SAMPLE_RATE + 1e-9)) / fps
    coefficients = np.zeros((len(frames), len(ARKIT_NAMES) + len(HEAD_NAMES)), np.float32)
    for name, curve in curves.items():
        coefficients[:, ARKIT_NAMES.index(name)] = np.interp(frames, times, np.clip(curve, 0.0, 1.0))
    for axis, curve in enumerate(head.T, len(ARKIT_NAMES)):
        coefficients[:, axis] = np.interp(frames, times, curve)
    return coefficients


def move_mouth(phones: Phones, times: np.ndarray, style: Style, prosody: Prosody, key: str) -> Curves:
    """Return the coefficients (N,) of jaw, mouth and tongue, by ARKit name."""
    tracks = blend(phones, times, style, prosody, key)
    noise = {name: slow_noise(generator(key, name), times, hertz) for name, hertz in SLOW.items()}
    sealed = signal(seal_holds(phones, style.width), times)
    tucked = signal(lip_teeth_holds(phones, style.width), times)
    speaking = _activity(phones, times)

    swing = style.variation
    size = style.effort * np.exp(0.10 * swing * noise["size"])
    jaw_size = size * style.jaw * np.exp(0.07 * swing * noise["jaw"])
    lip_size = size * style.lips * np.exp(0.07 * swing * noise["lips"])
    round_size = style.rounding * style.effort**0.5 * np.exp(0.08 * swing * noise["round"])
    spread_size = style.spread * style.effort**0.5

    jaw = bounded(tracks["jaw"] * jaw_size, 0.27, 0.50)
    free = (1.0 - sealed) * (1.0 - 0.72 * tucked)
    lower = bounded(tracks["lower"] * lip_size, 0.45, 0.72) * free
    upper = bounded(tracks["upper"] * lip_size * style.upper_lip, 0.18, 0.36) * (1.0 - sealed)
    round_rest = style.funnel * speaking
    funnel = bounded(tracks["funnel"] * round_size + round_rest, 0.30, 0.58) * free
    # Sealed lips stay protruded between rounded neighbours.
    pucker = bounded(tracks["pucker"] * round_size, 0.35, 0.62) + 0.35 * tracks["funnel"] * round_size * sealed * speaking
    smile_rest = style.smile * (0.45 + 0.55 * speaking) * np.exp(0.30 * noise["smile"])
    rounded = np.clip(1.0 - 1.6 * pucker - 0.8 * funnel, 0.2, 1.0)
    smile = (tracks["spread"] * 0.80 * spread_size + smile_rest) * rounded
    stretch = tracks["stretch"] * spread_size * rounded
    dimple = (tracks["dimple"] * spread_size + 0.12 * smile_rest + 0.015 * speaking) * rounded
    frown = style.frown * (0.6 + 0.4 * speaking) * np.exp(0.4 * noise["smile"])
    effort_of_seal = sealed * speaking * style.press * style.effort
    press = 0.16 * effort_of_seal + 0.012 * speaking
    side = style.asymmetry * 0.35 + 0.06 * noise["side"]

    curves: Curves = {
        "jawOpen": jaw,
        "mouthClose": jaw * (1.0 - (1.0 - sealed) * (1.0 - 0.72 * tucked)),
        "jawForward": tracks["forward"] * size + style.jaw_forward * (0.5 + 0.5 * speaking),
        "mouthFunnel": funnel,
        "mouthPucker": pucker,
        "mouthRollLower": tracks["roll_lower"] * (0.6 + 0.4 * style.effort) * tucked + 0.05 * effort_of_seal,
        "mouthRollUpper": tracks["roll_upper"] + 0.05 * effort_of_seal,
        "mouthShrugLower": tracks["shrug"] * size + 0.03 * effort_of_seal,
        "mouthShrugUpper": 0.5 * tracks["shrug"] * size + 0.02 * effort_of_seal,
        "tongueOut": tracks["tongue"] * size * (1.0 - sealed) * 0.8,
        "cheekPuff": 0.05 * effort_of_seal,
        "jawLeft": np.maximum(0.03 * side * speaking, 0.0),
        "jawRight": np.maximum(-0.03 * side * speaking, 0.0),
        "mouthLeft": np.maximum(0.08 * side * speaking, 0.0),
        "mouthRight": np.maximum(-0.08 * side * speaking, 0.0),
    }
    both = {
        "mouthLowerDown": lower, "mouthUpperUp": upper, "mouthSmile": smile, "mouthStretch": stretch,
        "mouthDimple": dimple, "mouthFrown": frown, "mouthPress": press,
    }  # fmt: skip
    for name, curve in both.items():
        curves[f"{name}Left"] = curve * (1.0 + 0.5 * side)
        curves[f"{name}Right"] = curve * (1.0 - 0.5 * side)
    return curves


# Gains of whole tracks against the targets' table, set by hand so that means and 95th percentiles agree with captured speech.
# Neither those captures nor a script that derives the gains are in the repository.
TRACK_GAIN = {"pucker": 0.75, "funnel": 0.86, "upper": 0.76, "lower": 0.98}

SLOW = {"size": 0.4, "jaw": 0.6, "lips": 0.6, "round": 0.5, "smile": 0.15, "side": 0.2}  # hertz of slow random changes


def blend(phones: Phones, times: np.ndarray, style: Style, prosody: Prosody, key: str) -> Curves:
    """Return the tracks (N,): at each instant the mean of the phones' targets, weighted by their dominance.

    Dominance of a phone at distance tau from its core: weight * exp(-(tau / reach)^1.6), with a reach before and one after.
    """
    cores = _cores(phones, prosody, style, generator(key, "targets"))
    centre, half, gain = (np.array([core[index] for core in cores]) for index in (1, 2, 3))
    targets = [core[0] for core in cores]
    value = {
        track: np.array([target.values.get(track, 0.0) for target in targets]) * gain * TRACK_GAIN.get(track, 1.0)
        for track in TRACKS
    }
    weight = {track: np.array([target.weight(track) for target in targets]) for track in TRACKS}
    tracks = {track: np.zeros_like(times) for track in TRACKS}
    for first in range(0, len(times), CHUNK):
        window = times[first : first + CHUNK]
        near = np.flatnonzero((centre + half > window[0] - FAR) & (centre - half < window[-1] + FAR))
        if not len(near):
            near = np.array([int(np.abs(centre - window[0]).argmin())])
        tau = window[None, :] - centre[near, None]  # (P, N)
        beyond = np.maximum(np.abs(tau) - half[near, None], 0.0)
        dominance: dict[tuple[float, float], np.ndarray] = {}
        for track in TRACKS:
            reach = REACH[track]
            if reach not in dominance:
                before, after = reach[0] * style.width, reach[1] * style.width
                dominance[reach] = np.exp(-((beyond / np.where(tau < 0, before, after)) ** 1.6)) + 1e-9
            pull = weight[track][near]
            shares = dominance[reach]
            tracks[track][first : first + CHUNK] = ((pull * value[track][near]) @ shares) / (pull @ shares)
    return {track: smooth(curve, SMOOTHING * style.width) for track, curve in tracks.items()}


def _cores(
    phones: Phones, prosody: Prosody, style: Style, rng: np.random.Generator
) -> list[tuple[Target, float, float, float]]:
    """Return (target, centre, half width of its core, gain) of each phone, two of a diphthong."""
    cores = []
    for phone, start, end in phones:
        duration = end - start
        loud = np.clip(prosody.level_at(start, end) / 10.0, -1.0, 0.8) if phone in VOWELS else 0.0
        gain = float(np.exp(0.22 * loud + 0.10 * style.variation * rng.normal())) if phone != SILENCE else 1.0
        parts = TARGETS[phone]
        for target, share in parts:
            reach = CORE * duration / len(parts) if phone != SILENCE else max(0.0, duration / 2 - 0.05)
            cores.append((target, start + share * duration, reach, gain))
    return cores


def _activity(phones: Phones, times: np.ndarray) -> np.ndarray:
    """Return (N,) 1 in speech and 0 in pauses, smooth over a quarter of a second."""
    active = np.zeros_like(times)
    for phone, start, end in phones:
        if phone != SILENCE or end - start < 0.25:
            active[(times >= start) & (times < end)] = 1.0
    return smooth(active, 0.10)


def bounded(curve: np.ndarray, knee: float, limit: float) -> np.ndarray:
    """Return the curve unchanged up to `knee`, then compressed below `limit`: real faces have a range."""
    room = limit - knee
    return np.where(curve > knee, knee + room * np.tanh((curve - knee) / room), np.maximum(curve, 0.0))


def smooth(curve: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth (N,) values on the grid with a Gaussian of `sigma` seconds, the ends held."""
    radius = max(1, int(np.ceil(3.0 * sigma * GRID)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (sigma * GRID)) ** 2)
    return np.convolve(np.pad(curve, radius, mode="edge"), kernel / kernel.sum(), "valid")
