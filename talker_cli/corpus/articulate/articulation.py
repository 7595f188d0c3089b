"""Articulation: phones with times -> coefficients of the 52 ARKit shapes and the head's rotation, for one style.

Tracks of targets are blended by dominance functions (Cohen & Massaro 1993), whose numbers are fitted to captured speech
(`targets.csv`), sharpened to be as fast as life; jaw and lips have their own style axes (Edwards et al. 2016); the lips'
contact is exact. Motion is
computed on a grid of 120 instants a second and sampled at the frames' instants, so that it does not depend on the frame rate.
"""

from dataclasses import dataclass

import numpy as np

from talker_cli.corpus.align.phonetics import VOWELS
from talker_cli.corpus.articulate.contact import approach_holds, lip_teeth_holds, pauses, seal_holds, signal
from talker_cli.corpus.articulate.emotion import express
from talker_cli.corpus.articulate.head_motion import move_head
from talker_cli.corpus.articulate.noise import generator, slow_noise
from talker_cli.corpus.articulate.prosody import Prosody
from talker_cli.corpus.articulate.styles import Style
from talker_cli.corpus.articulate.targets import ARTICULATORS, READY, REST, SETTLING, TRACKS, Targets, fitted, places
from talker_cli.corpus.articulate.upper_face import move_upper_face
from talker_cli.data.emotions import Spans
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import BILABIALS, SILENCE, Phones
from talker_cli.rig import ARKIT_NAMES, HEAD_NAMES

GRID = 120.0  # instants a second
CORE = 0.28  # share of a phone's duration, on either side of its centre, with full dominance
SMOOTHING = 0.012  # seconds, sigma of the last smoothing
TUCK = 0.85  # share of the lower lip's and the jaw's opening that f v take away
POWER = 1.6  # of the distance, in the dominance
LOUDNESS = 0.22  # of the logarithm of a vowel's size, a bel (10 dB) over the recording's median
READY_CORE = 0.12  # seconds from a pause's edges to the cores of coming to rest and of getting ready
CHUNK = 480  # grid instants blended at once
LAG = 4  # grid instants between those of a second difference: a thirtieth of a second
# How far the second difference is taken from the jaw and from what moves the corners of the mouth: weighted means of targets
# are slower than what they are fitted to. Chosen on 44 validation sentences of GRID's speaker 1, by frequency alone.
SHARP_JAW, SHARP_CORNERS = 0.6, 1.4
CORNERS = ("mouthSmile", "mouthStretch", "mouthDimple", "mouthFrown", "mouthPucker", "mouthFunnel")
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
    phones, seconds = assimilated(phones), samples / SAMPLE_RATE
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
    targets = fitted()
    tracks = blend(place_cores(phones, prosody, style, key, targets), times, style.width, targets)
    tracks["jaw"] = sharpened(tracks["jaw"], SHARP_JAW)
    noise = {name: slow_noise(generator(key, name), times, hertz) for name, hertz in SLOW.items()}
    curves = compose(tracks, contact(phones, times, style), style, noise)
    # Where lips are sealed a shape that opens them is 0, and stays so: its second difference is not negative there.
    corners = {name: sharpened(curve, SHARP_CORNERS) for name, curve in curves.items() if name.startswith(CORNERS)}
    return curves | {name: np.maximum(curve, 0.0) for name, curve in corners.items()}


def assimilated(phones: Phones) -> Phones:
    """Return the phones with m for n before p b m: lips that close for the next sound are closed already."""
    following = [*(phone for phone, _, _ in phones[1:]), SILENCE]
    return tuple(
        ("M" if phone == "N" and after in BILABIALS else phone, start, end)
        for (phone, start, end), after in zip(phones, following, strict=True)
    )


@dataclass(frozen=True)
class Contact:
    """How far lips are sealed, near each other, the lower one under the teeth, and how far one speaks: (N,) each, 0…1."""

    sealed: np.ndarray
    near: np.ndarray
    tucked: np.ndarray
    speaking: np.ndarray


def contact(phones: Phones, times: np.ndarray, style: Style) -> Contact:
    """Return the contact of the lips at each instant."""
    sealed = signal(seal_holds(phones, style.width), times)
    near = signal(approach_holds(phones, style.width), times)
    return Contact(sealed, near, signal(lip_teeth_holds(phones, style.width), times), _activity(phones, times))


def compose(tracks: Curves, contact: Contact, style: Style, noise: Curves) -> Curves:
    """Return the coefficients (N,) of jaw, mouth and tongue, by ARKit name, from the tracks (N,) of a style.

    The lips' contact is exact: at a seal every opening shape is 0 and mouthClose cancels jawOpen.
    """
    sealed, tucked, speaking = contact.sealed, contact.tucked, contact.speaking
    swing = style.variation
    size = style.effort * np.exp(0.10 * swing * noise["size"])
    jaw_size = size * style.jaw * np.exp(0.07 * swing * noise["jaw"])
    lip_size = size * style.lips * np.exp(0.07 * swing * noise["lips"])
    round_size = style.rounding * style.effort**0.5 * np.exp(0.08 * swing * noise["round"])
    spread_size = style.spread * style.effort**0.5

    free = (1.0 - sealed) * (1.0 - contact.near) * (1.0 - np.clip(tracks["close"], 0.0, 1.0)) ** 2
    untucked = free * (1.0 - TUCK * tucked)
    jaw = bounded(tracks["jaw"] * jaw_size, 0.33, 0.55)
    lower = bounded(tracks["lower"] * lip_size, 0.50, 0.78) * untucked
    upper = bounded(tracks["upper"] * lip_size * style.upper_lip, 0.50, 0.75) * free
    funnel = bounded(tracks["funnel"] * round_size + style.funnel * speaking, 0.30, 0.58) * free
    # Sealed lips stay protruded between rounded neighbours.
    pucker = bounded(tracks["pucker"] * round_size, 0.45, 0.70) + 0.35 * tracks["funnel"] * round_size * sealed * speaking
    rounded = np.clip(1.0 - 1.6 * pucker - 0.8 * funnel, 0.2, 1.0)
    smile_rest = style.smile * (0.45 + 0.55 * speaking) * np.exp(0.30 * noise["smile"]) * rounded
    smile = bounded(tracks["spread"] * spread_size, 0.60, 0.90) + smile_rest
    stretch = bounded(tracks["stretch"] * spread_size, 0.40, 0.70)
    dimple = bounded(tracks["dimple"] * spread_size, 0.20, 0.40) + 0.12 * smile_rest
    frown = bounded(tracks["frown"], 0.30, 0.60) + style.frown * (0.6 + 0.4 * speaking) * np.exp(0.4 * noise["smile"])
    effort_of_seal = sealed * speaking * style.press * style.effort
    press = 0.16 * effort_of_seal
    side = style.asymmetry * 0.35 + 0.06 * noise["side"]
    jaw_side = 0.03 * side * speaking + tracks["jaw_side"]
    mouth_side = 0.08 * side * speaking + tracks["mouth_side"]
    shrug = np.maximum(tracks["shrug"] * size, 0.0)

    curves: Curves = {
        "jawOpen": jaw,
        "mouthClose": jaw * (1.0 - untucked),
        "jawForward": tracks["forward"] * size + style.jaw_forward * (0.5 + 0.5 * speaking),
        "mouthFunnel": funnel,
        "mouthPucker": pucker,
        "mouthRollLower": tracks["roll_lower"] * (0.6 + 0.4 * style.effort) * tucked + 0.05 * effort_of_seal,
        "mouthRollUpper": np.maximum(tracks["roll_upper"], 0.0) + 0.05 * effort_of_seal,
        "mouthShrugLower": shrug + 0.03 * effort_of_seal,
        "mouthShrugUpper": 0.5 * shrug + 0.02 * effort_of_seal,
        "tongueOut": tracks["tongue"] * size * (1.0 - sealed),
        "cheekPuff": 0.05 * effort_of_seal,
        "jawLeft": np.maximum(jaw_side, 0.0),
        "jawRight": np.maximum(-jaw_side, 0.0),
        "mouthLeft": np.maximum(mouth_side, 0.0),
        "mouthRight": np.maximum(-mouth_side, 0.0),
    }
    stronger = 0.5 * side + tracks["left"]
    both = {
        "mouthLowerDown": lower, "mouthUpperUp": upper, "mouthSmile": smile, "mouthStretch": stretch,
        "mouthDimple": dimple, "mouthFrown": frown, "mouthPress": press,
    }  # fmt: skip
    for name, curve in both.items():
        curves[f"{name}Left"] = curve * (1.0 + stronger)
        curves[f"{name}Right"] = curve * (1.0 - stronger)
    return curves


SLOW = {"size": 0.4, "jaw": 0.6, "lips": 0.6, "round": 0.5, "smile": 0.15, "side": 0.2}  # hertz of slow random changes

# Std of the random changes from sound to sound, added to a phone's targets; SIDES have no target of their own.
VARIATION: dict[str, float] = {"jaw_side": 0.013, "mouth_side": 0.02, "left": 0.08}
SIDES = {"jaw_side": "jaw", "mouth_side": "lips", "left": "spreading"}  # and the articulator whose dominance they share


@dataclass(frozen=True)
class Cores:
    """Cores of the P parts of the phones, in order: a part dominates fully between its core's edges.

    Args:
        rows: (P,) row of the targets.
        centre: (P,) seconds.
        half: (P,) half of its width, seconds.
        gain: (P,) factor of its targets.
        changes: Track to (P,) random changes of its targets.
    """

    rows: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    gain: np.ndarray
    changes: dict[str, np.ndarray]


def place_cores(phones: Phones, prosody: Prosody, style: Style, key: str, targets: Targets) -> Cores:
    """Return the cores of the phones, with the random changes that `key` gives."""
    still, found, last = pauses(phones), [], len(phones) - 1
    for index, ((phone, start, end), place) in enumerate(zip(phones, places(phones), strict=True)):
        seconds, middle = end - start, (start + end) / 2
        if still[index]:
            margin = min(READY_CORE, 0.25 * seconds)
            found.append((targets.row(phone, REST, place), middle, max(0.0, seconds / 2 - 0.05 - 2 * margin), 0.0))
            if index:
                found.append((targets.row(phone, SETTLING, place), start + margin, margin / 2, 0.0))
            if index < last:
                found.append((targets.row(phone, READY, place), end - margin, margin / 2, 0.0))
        elif phone == SILENCE:
            found.append((targets.row(phone, REST, place), middle, max(0.0, seconds / 2 - 0.05), 0.0))
        else:
            level = float(np.clip(prosody.level_at(start, end) / 10.0, -1.0, 0.8)) if phone in VOWELS else 0.0
            parts = targets.parts(phone)
            for part in range(parts):
                row = targets.row(phone, part, place)
                found.append((row, start + targets.share[row] * seconds, CORE * seconds / parts, level))
    columns = np.array(found)
    rows, levels = columns[:, 0].astype(int), columns[:, 3]
    spoken = np.array([targets.rows[row][0] != SILENCE for row in rows])
    drawn = generator(key, "targets").normal(size=(1 + len(VARIATION), len(rows))) * spoken * style.variation
    changes = {track: std * draws for (track, std), draws in zip(VARIATION.items(), drawn[1:], strict=True)}
    gain = np.exp(LOUDNESS * levels + 0.06 * drawn[0])
    return Cores(rows, columns[:, 1] + targets.shift[rows], columns[:, 2], gain, changes)


def blend(cores: Cores, times: np.ndarray, width: float, targets: Targets) -> Curves:
    """Return the tracks (N,): at each instant the mean of the phones' targets, weighted by their dominance."""
    values = {track: targets.values[cores.rows, column] * cores.gain for column, track in enumerate(TRACKS)}
    for track, change in cores.changes.items():
        values[track] = values.get(track, 0.0) + change
    tracks = {track: np.zeros_like(times) for track in values}
    for first in range(0, len(times), CHUNK):
        window = times[first : first + CHUNK]
        near = np.flatnonzero((cores.centre + cores.half > window[0] - FAR) & (cores.centre - cores.half < window[-1] + FAR))
        if not len(near):
            near = np.array([int(np.abs(cores.centre - window[0]).argmin())])
        for articulator, names in ARTICULATORS.items():
            share = shares(cores, near, window, articulator, width, targets)
            for name in (*names, *(side for side in SIDES if SIDES[side] == articulator)):
                tracks[name][first : first + CHUNK] = values[name][near] @ share
    return {track: smooth(curve, SMOOTHING * width) for track, curve in tracks.items()}


def shares(cores: Cores, near: np.ndarray, times: np.ndarray, articulator: str, width: float, targets: Targets) -> np.ndarray:
    """Return (P, N) the share of each of the P cores `near` in an articulator's motion at each instant; they sum to 1.

    Dominance at distance tau from a core's edge: pull * exp(-(tau / reach)^1.6), with a reach before and one after.
    """
    column, rows = list(ARTICULATORS).index(articulator), cores.rows[near]
    tau = times[None, :] - cores.centre[near, None]
    reach = width * np.where(tau < 0, targets.before[rows, column][:, None], targets.after[rows, column][:, None])
    beyond = np.maximum(np.abs(tau) - cores.half[near, None], 0.0)
    dominance = targets.pull[rows, column][:, None] * (np.exp(-((beyond / reach) ** POWER)) + 1e-9)
    return np.asarray(dominance / dominance.sum(0))


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


def sharpened(curve: np.ndarray, gain: float) -> np.ndarray:
    """Return (N,) values on the grid less `gain` of their second difference over LAG, the ends held."""
    padded = np.pad(curve, LAG, mode="edge")
    return curve + gain * (2.0 * curve - padded[: -2 * LAG] - padded[2 * LAG :])


def smooth(curve: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth (N,) values on the grid with a Gaussian of `sigma` seconds, the ends held."""
    radius = max(1, int(np.ceil(3.0 * sigma * GRID)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (sigma * GRID)) ** 2)
    return np.convolve(np.pad(curve, radius, mode="edge"), kernel / kernel.sum(), "valid")
