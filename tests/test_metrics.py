"""Metrics of motions whose numbers are known by construction, worked out by hand, or taken by loops over every number."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from naive import distance, mean, mean_distance, mouth_gap, movement, std, worst_lip

from talker_cli.data.clip_chart import mouth_gap as chart_gap
from talker_cli.evaluate.report import SURFACE_METRICS, Output, SurfaceErrors, estimates, measure_surface
from talker_cli.metrics import (
    Articulation,
    blendshape_error,
    blendshape_fdd,
    blinks_a_minute,
    diversity,
    fdd,
    lip_gap,
    lip_gap_error,
    lve,
    lve_per_frame,
    mve,
)
from talker_cli.rig import Rig
from talker_cli.train.losses import lip_gap_of

LIPS = np.arange(20) < 6
UPPER = np.arange(20) > 13
UPPER_VERTICES = range(14, 20)
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


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Three sequences of different lengths; predictions shorter, longer and as long."""
    return [(motion(7, 1), motion(5, 2)), (motion(4, 3), motion(9, 4)), (motion(12, 5), motion(12, 6))]


def same(value: float, expected: float) -> None:
    assert value == pytest.approx(expected, rel=1e-12, abs=0)


def test_each_lve_equals_its_naive_form(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Breaks if any published variant is averaged in another order, rooted where it is squared, or over other vertices."""
    template = np.zeros((20, 3))
    errors = [worst_lip(truth, prediction, range(6)) for truth, prediction in pairs]
    assert [len(each) for each in errors] == [5, 4, 12]
    same(lve(pairs, LIPS), mean([error**2 for each in errors for error in each]))
    outputs = [
        Output("s", str(number), "i", "", 0, len(each), measure_surface(*pair, SurfaceErrors(template, LIPS, UPPER)))
        for number, (pair, each) in enumerate(zip(pairs, errors, strict=True))
    ]
    values = {key: estimate.value for key, estimate in estimates(outputs, SURFACE_METRICS).items()}
    same(values["lve_codetalker"], lve(pairs, LIPS))
    same(values["lve_diffspeaker"], mean([mean([error**2 for error in each]) for each in errors]))
    same(values["lve_imitator"], mean([mean(each) for each in errors]) * 1000)


def test_the_other_metrics_equal_their_naive_forms(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    template = motion(1, 9)[0]
    gaps = np.array([[0, 1], [2, 3], [4, 5]])
    for truth, prediction in pairs:
        frames = min(len(truth), len(prediction))
        cut = truth[:frames], prediction[:frames]
        same(mve(truth, prediction), mean(mean_distance(truth, prediction)))
        moved = [movement(each, template, UPPER_VERTICES) for each in cut]
        same(fdd(truth, prediction, template, UPPER), moved[0] - moved[1])
        opened = [[mouth_gap(frame, template, gaps) for frame in each] for each in cut]
        same(
            lip_gap_error(lip_gap(truth, template, gaps), lip_gap(prediction, template, gaps)),
            mean([abs(one - other) for one, other in zip(*opened, strict=True)]),
        )
        coefficients, made = truth[:, :, 0], prediction[:, :, 0]
        same(blendshape_error(coefficients, made), mean([distance(coefficients[t], made[t]) for t in range(frames)]))
        sums = [[math.fsum(value**2 for value in frame) for frame in each[:frames]] for each in (coefficients, made)]
        same(blendshape_fdd(coefficients, made), std(sums[0]) - std(sums[1]))


def test_diversity_equals_its_naive_form() -> None:
    outputs = [motion(6, seed) for seed in (1, 2, 3, 4)]
    between = [mean(mean_distance(one, other)) for one, other in combinations(outputs, 2)]
    assert len(between) == 6
    same(diversity(outputs), mean(between))


def test_values_worked_out_by_hand() -> None:
    """Two sequences of one lip vertex: errors of 3, 4 and 5 mm, and of 1 mm."""
    still = np.zeros((3, 1, 3))
    long, short = still.copy(), still[:1].copy()
    long[:, 0, 0] = 0.003, 0.0, 0.003
    long[:, 0, 1] = 0.0, 0.004, 0.004
    short[0, 0, 2] = 0.001
    everything = np.array([True])
    pairs = [(still, long), (still[:1], short)]
    same(lve(pairs, everything), 1e-6 * (9 + 16 + 25 + 1) / 4)
    same(mve(still, long), 0.004)
    # Squared offsets of 9, 16 and 25 mm2: mean 50/3, std sqrt(((-23/3)**2 + (-2/3)**2 + (25/3)**2) / 3) = sqrt(386)/3.
    same(fdd(long, still, still[0], everything), 1e-6 * math.sqrt(386) / 3)
    same(fdd(still, long, still[0], everything), -1e-6 * math.sqrt(386) / 3)
    # Pairs at distances of 4 (still, long), 8 (still, twice) and 4 (long, twice) millimetres.
    same(diversity([still, long, 2 * long]), 0.016 / 3)
    same(lip_gap_error(np.array([0.001, 0.004]), np.array([0.003, 0.003, 9.0])), 0.0015)
    assert blendshape_error(np.zeros((2, 2)), np.array([[0.3, 0.4], [0.0, 1.0]])) == pytest.approx(0.75, rel=1e-12)
    # Sums of squares of 0.25 and 1: standard deviation 0.375.
    assert blendshape_fdd(np.array([[0.3, 0.4], [0.0, 1.0]]), np.zeros((2, 2))) == pytest.approx(0.375, rel=1e-12)


def test_signs_of_fdd_cancel_over_sequences_and_those_of_its_absolute_value_do_not() -> None:
    """Worked out by hand: differences of +2 and -4 mean -1, their absolute values 3, however long each sequence is."""
    metrics = [metric for metric in SURFACE_METRICS if metric.key in ("fdd", "abs_fdd")]
    outputs = [
        Output("model", name, "someone", "someone", 0, frames, {"fdd": value})
        for name, frames, value in (("lively", 10, 2e-7), ("still", 90, -4e-7))
    ]
    found = estimates(outputs, metrics)
    assert len(metrics) == 2
    same(found["fdd"].value, -1e-7)
    same(found["abs_fdd"].value, 3e-7)


def test_float32_is_measured_in_float64() -> None:
    """Breaks if what is left of two close float32 positions is rounded once more: half a metre off the origin."""
    truth = motion(5).astype(np.float32) + np.float32(0.5)
    prediction = truth + np.float32(1e-4)
    same(lve([(truth, prediction)], LIPS), lve([(truth.astype(np.float64), prediction.astype(np.float64))], LIPS))
    same(mve(truth, prediction), mve(truth.astype(np.float64), prediction.astype(np.float64)))


def test_lip_gap_counts_openings_not_overlaps() -> None:
    vertices = np.zeros((1, 4, 3))
    vertices[0, 0, 1], vertices[0, 2, 1] = 0.004, -0.004
    pairs = np.array([[0, 1], [2, 3]])
    assert lip_gap(vertices, np.zeros((4, 3)), pairs)[0] == pytest.approx(0.002)
    assert lip_gap(vertices, vertices[0], pairs)[0] == 0  # pairs of a scan that are apart at rest
    shut = np.zeros((4, 3))
    shut[0, 1] = 0.003
    assert lip_gap(vertices, shut, pairs)[0] == pytest.approx(0.0005)


def test_the_loss_and_the_metric_mean_one_gap(rig: Rig) -> None:
    """Breaks if lips that touch at rest, with pairs some millimetres apart, are closed for the loss and open for the metric."""
    rng = np.random.default_rng(0)
    template = rig.template.copy()
    template[rig.lip_pairs[:, 0], 1] += rng.uniform(0, 0.008, len(rig.lip_pairs)).astype(np.float32)
    scan = replace(rig, template=template)
    coefficients = rng.uniform(0, 1, (20, len(rig.names))).astype(np.float32)
    by_loss = lip_gap_of(torch.from_numpy(coefficients)[None], torch.from_numpy(scan.lip_gap_rows()).float())[0].numpy()
    by_metric = lip_gap(scan.decode(coefficients), scan.template, scan.lip_pairs)
    assert by_metric.max() > 0.005 and np.abs(by_loss - by_metric).max() < 1e-6
    assert np.abs(chart_gap(scan, coefficients) - by_metric).max() < 1e-6


def test_articulation_of_a_known_mouth() -> None:
    """A mouth that closes for P, opens for AA, and rests in the pause is met everywhere; its mirror image nowhere."""
    phones = [("SIL", 0.0, 0.6), ("P", 0.6, 0.8), ("AA", 0.8, 1.2), ("M", 1.2, 1.4), ("AY", 1.4, 2.0)]
    time = np.arange(60) / 30
    gap = np.where(((time > 0.8) & (time < 1.2)) | (time > 1.4), 0.01, 0.0)
    right, wrong = Articulation.empty(), Articulation.empty()
    right.add(gap, phones, 30)
    wrong.add(0.01 - gap + 1e-9, phones, 30)
    summary = right.summary()
    assert summary["bilabials_closed"] == summary["vowels_open"] == summary["silences_closed"] == summary["auc"] == 1
    assert (summary["bilabials"], summary["vowels"], summary["silences"]) == (2, 2, 1)
    summary = wrong.summary()
    assert summary["auc"] == 0 and summary["silences_closed"] == 0
    assert summary["bilabials_closed"] == 1  # the 50 ms around the phone reach the neighbours, as the definition says


def test_lips_that_meet_at_other_consonants_are_counted() -> None:
    """Breaks if closing everywhere were free: T between vowels parts the lips, T beside M or a pause may leave them closed."""
    phones = [("AA", 0.0, 0.4), ("T", 0.4, 0.6), ("AA", 0.6, 1.0), ("M", 1.0, 1.2), ("N", 1.2, 1.4), ("AA", 1.4, 2)]
    time = np.arange(60) / 30
    for closed_from, expected in ((0.4, 1.0), (1.0, 0.0)):
        counts = Articulation.empty()
        counts.add(np.where((time >= closed_from) & (time < closed_from + 0.2), 0.0, 0.01), phones, 30)
        assert counts.false_closures == [bool(expected)] and counts.summary()["false_closure_rate"] == expected


def test_a_mouth_that_never_opens_has_closed_lips_and_no_vowel() -> None:
    still = Articulation.empty()
    still.add(np.zeros(60), [("P", 0.1, 0.2), ("AA", 0.5, 0.8)], 30)
    assert still.summary()["bilabials_closed"] == 1
    assert still.summary()["vowels_open"] == 0
    assert still.summary()["auc"] == 0.5


def test_a_blink_counts_once_however_long_the_lid_stays_down() -> None:
    lid = np.zeros(90)  # 3 s at 30 fps
    lid[10:13], lid[40:70], lid[80] = (0.6, 1.0, 0.7), 0.9, 0.5
    assert blinks_a_minute(lid, 30.0) == 40.0  # two in three seconds; 0.5 is not over 0.5
    assert blinks_a_minute(np.ones(90), 30.0) == 0.0  # closed throughout: never closes


@pytest.mark.parametrize(
    ("share", "closed", "opened"), [(0.09, True, False), (0.11, False, False), (0.24, False, False), (0.26, False, True)]
)
def test_lips_close_under_a_tenth_and_open_over_a_quarter(share: float, closed: bool, opened: bool) -> None:
    """Breaks if a threshold moves: a gap of a known share of the clip's 95th percentile at a bilabial, T, silence and vowel."""
    phones = [("AA", 0.0, 2.0), ("P", 2.2, 2.4), ("EH", 2.4, 2.6), ("T", 2.6, 2.8), ("EH", 2.8, 3.0), ("SIL", 3.0, 3.6)]
    gap = np.full(120, 0.01 * share)
    gap[:60] = 0.01  # half of the clip, so that the percentile is 10 mm
    counts = Articulation.empty()
    counts.add(gap, phones, 30)
    counts.add(gap, [("AY", 2.5, 3.0)], 30)
    assert counts.bilabials_closed == counts.silences_closed == counts.false_closures == [closed]
    assert counts.vowels_open == [True, opened]
    other = Articulation.empty()
    other.add(gap, phones, 30, closed_share=share + 0.01)
    assert other.bilabials_closed == other.silences_closed == other.false_closures == [True]
