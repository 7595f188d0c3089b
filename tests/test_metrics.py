"""Metrics of motions whose numbers are known by construction."""

import numpy as np
import pytest

from talker_cli.metrics import Articulation, fdd, lip_gap, lve, lve_per_frame, mve

LIPS = np.arange(20) < 6
UPPER = np.arange(20) > 13
MILLIMETRE_UP = np.array([0.0, 0.001, 0.0])


def motion(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.01, size=(frames, 20, 3))


def test_a_shift_of_a_millimetre_is_1e_6_square_metres() -> None:
    truth = motion(10)
    assert lve([(truth, truth + MILLIMETRE_UP)], LIPS) == pytest.approx(1e-6, rel=1e-9)
    assert mve(truth, truth + MILLIMETRE_UP) == pytest.approx(1e-3, rel=1e-9)


def test_lve_takes_the_worst_lip_vertex_and_nothing_else() -> None:
    truth = motion(4)
    prediction = truth.copy()
    prediction[:, 2, 0] += 0.003
    prediction[:, 4, 0] += 0.001
    prediction[:, 10] += 1.0  # no lip vertex
    assert np.allclose(lve_per_frame(truth, prediction, LIPS), 9e-6)


def test_lve_weighs_frames_and_cuts_to_the_shorter() -> None:
    truth = motion(30)
    exact, shifted = truth[:10], truth[10:] + 2 * MILLIMETRE_UP
    # 10 frames of error 0 and 20 of 4e-6, all frames together; surplus predicted frames do not count.
    pairs = [(truth[:10], np.concatenate([exact, exact + 1.0])), (truth[10:], shifted)]
    assert lve(pairs, LIPS) == pytest.approx(4e-6 * 20 / 30, rel=1e-9)


def test_fdd_is_zero_for_the_truth_and_signed() -> None:
    template = np.zeros((20, 3))
    truth = motion(50)
    assert fdd(truth, truth, template, UPPER) == 0
    frozen = np.repeat(truth[:1], 50, 0)
    still = fdd(truth, frozen, template, UPPER)
    expected = np.square(truth[:, UPPER]).sum(-1).std(0).mean()
    assert still == pytest.approx(expected, rel=1e-9)
    assert fdd(frozen, truth, template, UPPER) == pytest.approx(-expected, rel=1e-9)


def test_lip_gap_counts_openings_not_overlaps() -> None:
    vertices = np.zeros((1, 4, 3))
    vertices[0, 0, 1], vertices[0, 2, 1] = 0.004, -0.004
    assert lip_gap(vertices, np.array([[0, 1], [2, 3]]))[0] == pytest.approx(0.002)


def test_articulation_of_a_known_mouth() -> None:
    """A mouth that closes for P, opens for AA, and rests in the pause is met everywhere; its mirror image nowhere."""
    phones = [("SIL", 0.0, 0.6), ("P", 0.6, 0.8), ("AA", 0.8, 1.2), ("M", 1.2, 1.4), ("AY", 1.4, 2.0)]
    time = np.arange(60) / 30
    gap = np.where(((time > 0.8) & (time < 1.2)) | (time > 1.4), 0.01, 0.0)
    right, wrong = Articulation.empty(), Articulation.empty()
    right.add(gap, phones, 30)
    wrong.add(0.01 - gap + 1e-9, phones, 30)
    summary = right.summary()
    assert summary["bilabials_closed"] == summary["vowels_open"] == summary["silences_closed"] == summary["ordering"] == 1
    assert (summary["bilabials"], summary["vowels"], summary["silences"]) == (2, 2, 1)
    summary = wrong.summary()
    assert summary["ordering"] == 0 and summary["silences_closed"] == 0
    assert summary["bilabials_closed"] == 1  # the 50 ms around the phone reach the neighbours, as the definition says


def test_a_mouth_that_never_opens_has_closed_lips_and_no_vowel() -> None:
    still = Articulation.empty()
    still.add(np.zeros(60), [("P", 0.1, 0.2), ("AA", 0.5, 0.8)], 30)
    assert still.summary()["bilabials_closed"] == 1
    assert still.summary()["vowels_open"] == 0
    assert still.summary()["ordering"] == 0.5
