"""The eyes: whole events at human rates and speeds, the same for any parts, in the corpus' rules and at inference alike."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from test_model import small_network, speech

from talker_cli.animate.animator import Animator
from talker_cli.animate.eyes import TICK, EyeMotion, VoiceActivity, eye_style
from talker_cli.corpus.articulate.articulation import articulate
from talker_cli.corpus.articulate.eyes import DOWN, NAMES, RATE, SACCADE, SIDE, UP, WIDE, Eyes, EyeStyle, blink_shape
from talker_cli.corpus.articulate.prosody import measure_prosody
from talker_cli.corpus.articulate.styles import SPEAKERS, Style
from talker_cli.model.torch_runner import TorchRunner
from talker_cli.rig import ARKIT_NAMES

EYES = [ARKIT_NAMES.index(name) for name in (*NAMES, *WIDE)]


def pattern(talk: float, pause: float, seconds: float, seed: int = 0) -> np.ndarray:
    """Return at which ticks there is speech: phrases of about `talk` seconds with pauses of about `pause`."""
    rng, ticks = np.random.default_rng(seed), np.zeros(int(seconds * RATE), bool)
    at = 0.3
    while at < seconds:
        length = talk * rng.uniform(0.6, 1.4)
        ticks[int(at * RATE) : int((at + length) * RATE)] = True
        at += length + pause * rng.uniform(0.6, 1.4)
    return ticks


def moved(style: EyeStyle, speaking: np.ndarray, seed: int = 0) -> Eyes:
    """Return eyes that have gone through a pattern."""
    eyes = Eyes(style, seed)
    eyes.advance(speaking)
    return eyes


PATTERNS = {
    "fluent": (2.7, 0.6),
    "prompts": (1.0, 0.5),
    "words apart": (0.5, 1.2),
    "no pause": (1e6, 0.0),
    "silence": (0.0, 1e6),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_blinks_come_at_a_human_rate_however_speech_is_spread(name: str) -> None:
    """Breaks if words that stand far apart blink at each gap, if fluent speech never blinks, or if blinks crowd."""
    eyes = moved(EyeStyle(), pattern(*PATTERNS[name], 900.0))
    starts = np.array([blink.start for blink in eyes.blinks])
    assert 12 <= len(starts) / 15 <= 25
    gaps = np.diff(starts)
    assert gaps.min() > 0.4 and 0.35 < gaps.std() / gaps.mean() < 1.0


def test_blinks_gather_at_the_borders_of_phrases() -> None:
    """Breaks if blinks ignore the speech: a border lasts half a second, three in ten of all the time here."""
    speaking = pattern(2.0, 0.6, 900.0)
    ends = np.flatnonzero(speaking[:-1] & ~speaking[1:]) / RATE
    starts = np.array([blink.start for blink in moved(EyeStyle(), speaking).blinks])
    near = [bool(((start - ends > 0) & (start - ends < 0.75)).any()) for start in starts]
    assert np.mean(near) > 0.45


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
def test_every_blink_is_whole(speaker: object) -> None:
    """Breaks if a blink stops before the depth of its style, at any frame rate of motion, or does not open again."""
    style = EyeStyle.of(speaker.style)  # type: ignore[attr-defined]
    eyes = moved(style, pattern(2.0, 0.6, 300.0), 3)
    for fps, share in ((120.0, 0.97), (60.0, 0.93), (30.0, 0.85), (25.0, 0.8)):
        times = np.arange(int(300 * fps)) / fps
        left, right = eyes.closure(times)
        for blink, following in pairwise(eyes.blinks):
            if following.start < blink.end:
                continue
            inside = (times >= blink.start) & (times <= blink.end)
            for lid in (left, right):
                assert share * (style.depth - 0.08) <= lid[inside].max() <= 1.0
        assert left.min() == 0.0


def test_a_blink_closes_faster_than_it_opens_and_lasts_as_long_as_ours() -> None:
    """Breaks if blinks are slow, or symmetrical: lids are down for less than a sixth of a second, up again within .3 s."""
    times = np.arange(0, 0.5, 0.001)
    shape = blink_shape(times)
    peak = int(shape.argmax())
    assert shape[peak] == 1.0 and (np.diff(shape[: peak + 1]) >= 0).all() and (np.diff(shape[peak:]) <= 0).all()
    half = np.flatnonzero(shape > 0.5) / 1000
    assert 0.09 < half[-1] - half[0] < 0.16
    assert 0.05 < times[peak] < 0.1 and shape[times > 0.3].max() == 0.0


def test_saccades_keep_the_main_sequence_and_hold() -> None:
    """Breaks if the gaze drifts, jumps within an instant, or never rests: peak speeds of 20 to 500 degrees a second."""
    eyes = moved(EyeStyle(), pattern(2.0, 0.6, 300.0))
    times = np.arange(0, 300, 0.001)
    gaze = eyes.gaze(times)
    speed = np.linalg.norm(np.diff(gaze, axis=0), axis=1) * 1000
    for before, saccade in pairwise(eyes.saccades):
        length = float(np.hypot(saccade.goal[0] - before.goal[0], saccade.goal[1] - before.goal[1]))
        inside = slice(int(saccade.start * 1000), int((saccade.start + saccade.duration) * 1000) + 2)
        assert saccade.duration == pytest.approx(SACCADE[0] + SACCADE[1] * length)
        if inside.stop < len(speed) and length > 0.5:
            assert speed[inside].max() == pytest.approx(1.875 * length / saccade.duration, rel=0.1)
            assert speed[inside].max() < 550
    assert (speed == 0).mean() > 0.9  # it rests on a point for most of the time
    holds = np.diff([saccade.start for saccade in eyes.saccades])
    assert holds.min() > 0.15 and 0.5 < np.median(holds) < 1.2


def test_eyes_look_aside_where_speech_hesitates_and_rest_on_the_listener() -> None:
    """Breaks if looks aside are as frequent in silence as in speech, or if the eyes never meet the listener's."""
    times = np.arange(0, 900, 0.02)
    away = {}
    for name in ("fluent", "silence"):
        gaze = moved(EyeStyle(), pattern(*PATTERNS[name], 900.0)).gaze(times)
        away[name] = float((np.hypot(*gaze.T) > 3.5).mean())
    assert away["silence"] < 0.1 < away["fluent"] < 0.35


def test_the_eyes_turn_against_the_head() -> None:
    """Breaks if a turn of the head takes the gaze with it: what the eye turns in the head undoes what the head turns."""
    eyes = moved(EyeStyle(gaze=0.0), np.ones(500, bool))
    times = np.arange(0, 9, 1 / 30)
    wide = np.zeros((len(times), 2))
    head = np.stack([0.1 * np.sin(times), 0.15 * np.sin(0.7 * times), np.zeros_like(times)], 1)
    rest, turned = eyes.curves(times, wide), eyes.curves(times, wide, head)

    def degrees(curves: dict[str, np.ndarray]) -> np.ndarray:
        closed = np.maximum(*eyes.closure(times))
        left = SIDE * (curves["eyeLookOutLeft"] - curves["eyeLookInLeft"])
        up = UP * curves["eyeLookUpLeft"] - DOWN * (curves["eyeLookDownLeft"] - 0.16 * closed)
        return np.stack([left, up], 1)

    change = degrees(turned) - degrees(rest)
    assert np.abs(change[:, 0] + np.degrees(head[:, 1])).max() < 1e-9  # positive yaw turns to the subject's left
    assert np.abs(change[:, 1] - np.degrees(head[:, 0])).max() < 1e-9  # positive pitch looks down


def test_lids_follow_the_gaze() -> None:
    """Breaks if the upper lid stays where it is when the eye looks down."""
    eyes = moved(EyeStyle(), np.ones(100, bool))
    times, wide = np.array([1.0]), np.zeros((1, 2))
    eyes.blinks = []
    level = eyes.curves(times, wide, np.zeros((1, 3)))
    down = eyes.curves(times, wide, np.array([[-0.25, 0.0, 0.0]]))
    assert down["eyeLookDownLeft"] > level["eyeLookDownLeft"] + 0.4
    assert down["eyeBlinkLeft"] > level["eyeBlinkLeft"] + 0.1


def test_parts_of_any_length_give_what_the_whole_gives() -> None:
    """Breaks if an event depends on where the sound or the motion was cut, or on sound that comes later."""
    rng = np.random.default_rng(4)
    wave = speech(40.0) * np.repeat(rng.random(20) < 0.7, 32_000).astype(np.float32)
    names, fps = ARKIT_NAMES, 30.0
    whole = np.zeros((1200, 52), np.float32)
    once = EyeMotion(names, fps, EyeStyle(), 9)
    once.push(wave)
    once.apply(whole)
    assert whole[:, EYES].std(0).max() > 0.05 and np.abs(np.delete(whole, EYES, 1)).max() == 0
    parted, motion, heard, made = np.zeros_like(whole), EyeMotion(names, fps, EyeStyle(), 9), 0, 0
    while made < 1200:
        size = int(rng.integers(1, 9000))
        motion.push(wave[heard : heard + size])
        heard = min(heard + size, len(wave))
        ready = 1200 if heard == len(wave) else min(int(heard * fps / 16_000), 1200)
        motion.apply(parted[made:ready])
        made = ready
    assert np.array_equal(parted, whole)


def test_voice_activity_says_where_speech_is() -> None:
    """Breaks if faint noise counts as speech, or speech after a loud word does not."""
    rng = np.random.default_rng(0)
    noise = 0.001 * rng.normal(size=5 * 16_000).astype(np.float32)
    wave = noise.copy()
    wave[16_000:32_000] += 0.2 * rng.normal(size=16_000).astype(np.float32)
    wave[48_000:64_000] += 0.05 * rng.normal(size=16_000).astype(np.float32)
    found = VoiceActivity().push(wave).reshape(5, RATE)
    assert TICK * RATE == 16_000
    assert found[1].all() and found[3].all() and not found[2].any() and not found[4].any() and not found[0].any()


def test_the_same_eyes_live_and_of_a_file() -> None:
    """Breaks if live motion has other eyes than that of a file, or if the network's own eyes come through."""
    animator = Animator(TorchRunner(small_network(), torch.device("cpu")), 2)
    wave = speech(12.0)
    whole = animator.coefficients(wave, "Ada", seed=6)
    stream = animator.stream("Ada", seed=6, look_ahead=6, chunk=2)
    made = []
    for start in range(0, len(wave) + 1600, 1600):
        part = stream.push(wave[start : start + 1600]) if start < len(wave) else stream.finish()
        made.append(animator.finished(part, "Ada"))
    own = [ARKIT_NAMES.index(name) for name in NAMES]
    assert np.array_equal(np.concatenate(made)[:, own], whole[:, own])
    eyes = EyeMotion(
        ARKIT_NAMES,
        30.0,
        eye_style(animator.config, animator._table, animator.runner.named_style("Ada")[0]),
        6,
    )
    eyes.push(wave)
    expected = whole.copy()
    eyes.apply(expected)
    assert np.array_equal(expected[:, own], whole[:, own])


def test_a_style_has_the_eyes_of_its_identity_and_the_average_those_of_all() -> None:
    """Breaks if identities lose their blink rates, or a style between two has neither's."""
    names = tuple(speaker.name for speaker in SPEAKERS)
    network = small_network(identities=names)
    table = network.personalizer.named(torch.arange(len(names))).detach().numpy()
    found = [eye_style(network.config, table, row) for row in table]
    for style, speaker in zip(found, SPEAKERS, strict=True):
        assert style.blinks == pytest.approx(speaker.style.blinks, abs=0.2)
        assert style.depth == pytest.approx(speaker.style.blink_depth, abs=0.01)
    mean = eye_style(network.config, table, table.mean(0))
    assert mean.blinks == pytest.approx(np.mean([speaker.style.blinks for speaker in SPEAKERS]), abs=0.2)
    assert eye_style(network.config, table, 9 * table[0]).blinks <= 50


def test_the_rules_move_the_eyes_by_the_same_process() -> None:
    """Breaks if the corpus draws eyes of its own: blinks of the rules are whole, at the style's rate."""
    phones = tuple(
        phone
        for second in range(0, 120, 2)
        for phone in (("AA", float(second), second + 1.3), ("SIL", second + 1.3, second + 2.0))
    )
    samples = 120 * 16_000
    motion = articulate(phones, samples, Style(), measure_prosody(np.zeros(samples, np.float32)), "k", 60.0)
    lid = motion[:, ARKIT_NAMES.index("eyeBlinkLeft")]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (lid > 0.3).astype(int), [0]])))
    peaks = [lid[first:last].max() for first, last in edges.reshape(-1, 2)]
    assert 24 <= len(peaks) <= 50 and min(peaks) > 0.75
