"""The fit of the articulation to captured speech: exact derivatives, and known numbers found again."""

import fit_articulation as fit
import numpy as np
import pytest
from test_articulated import flat, timed

from talker_cli.corpus.articulate import articulation
from talker_cli.corpus.articulate.articulation import articulate
from talker_cli.corpus.articulate.targets import TRACKS, fitted
from talker_cli.evaluate.face_measures import FaceMeasures
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.head import build_head

SENTENCES = (
    "SIL:.6 B:.08 IH:.07 N:.07 B:.07 L:.06 UW:.1 AE:.06 T:.07 EH:.08 F:.1 T:.08 UW:.1 N:.08 AW:.2 SIL:.6",
    "SIL:.5 S:.1 EH:.08 T:.07 W:.07 AY:.12 T:.08 W:.07 IH:.06 DH:.05 AA:.14 R:.06 IY:.1 SIL:.7",
    "SIL:.7 L:.08 EY:.12 G:.06 R:.06 IY:.1 N:.08 IH:.06 N:.07 K:.07 AY:.14 AA:.1 V:.07 AA:.12 SIL:.5",
)
FPS = 25.0


@pytest.fixture(scope="module")
def clips() -> list[fit.Captured]:
    face = FaceMeasures(build_head().rig)
    found = []
    for text in SENTENCES:
        phones = timed(text)
        frames = int(phones[-1][2] * FPS)
        found.append(fit.Captured(phones, flat(phones), np.zeros((frames, 52), np.float32), FPS, face))
    return found


def test_what_is_fitted_is_what_the_corpus_moves(clips, monkeypatch):
    """Breaks if the fit sees other rules than the corpus has, but for the sharpening, which comes after the fit."""
    monkeypatch.setattr(articulation, "SHARP_JAW", 0.0)
    monkeypatch.setattr(articulation, "SHARP_CORNERS", 0.0)
    for clip, text in zip(clips, SENTENCES, strict=True):
        phones = timed(text)
        motion = articulate(phones, round(phones[-1][2] * SAMPLE_RATE), fit.PLAIN, flat(phones), "any", FPS)
        made = clip.made(fitted())[: len(motion)]
        apart = motion[:, :52].astype(float) @ clip.design.T - made
        assert np.abs(apart[:, :4]).max() < 0.03  # mm: sampled before the contact, not after


def test_derivatives_are_those_of_finite_differences(clips):
    unknowns, rng = fit.Unknowns.by_hand(), np.random.default_rng(0)
    vector = unknowns.start.copy()
    inside = unknowns.part("values")
    vector[inside] = vector[inside].clip(0.05, 0.9) + rng.uniform(0, 0.05, inside.stop)  # bounds have one side only
    for clip in clips:
        _, slopes, which = clip.linearised(unknowns, vector)
        for place in rng.choice(len(which), 60, replace=False):
            step = np.zeros(len(vector))
            step[which[place]] = 1e-5
            above, below = (clip.made(unknowns.targets(vector + sign * step))[clip.compared] for sign in (1, -1))
            assert np.abs((above - below) / 2e-5 - slopes[:, :, place]).max() < 2e-2 * max(
                1.0, np.abs(slopes[:, :, place]).max()
            )


@pytest.mark.slow
def test_known_articulation_is_found_again(clips):
    unknowns, rng = fit.Unknowns.by_hand(), np.random.default_rng(1)
    true = unknowns.start.copy()
    values = unknowns.part("values")
    true[values] = (true[values] * rng.uniform(0.6, 1.4, values.stop)).clip(0.0, 1.0)
    true[unknowns.part("pull")] += rng.normal(0, 0.3, len(true[unknowns.part("pull")]))
    for clip in clips:
        clip.truth = clip.made(unknowns.targets(true))

    def error(vector: np.ndarray) -> float:
        targets = unknowns.targets(vector)
        return float(np.mean([np.abs(clip.truth - clip.made(targets))[clip.compared, 0].mean() for clip in clips]))

    vector, before = unknowns.start, error(unknowns.start)
    for _ in range(2):
        vector = fit.improved(clips, unknowns, vector)
    assert error(vector) < 0.35 * before, (before, error(vector))


def test_rare_phones_take_their_neighbours_corrections():
    unknowns = fit.Unknowns.by_hand()
    vector = unknowns.start.copy()
    jaw = TRACKS.index("jaw")
    place = unknowns.part("values").start + np.arange(len(unknowns.rows) * len(TRACKS)).reshape(len(unknowns.rows), -1)
    for phone, change in (("CH", 0.04), ("JH", 0.08)):
        vector[place[unknowns.rows.index((phone, 0, "other")), jaw]] += change
    counts = np.full(len(unknowns.keys), 1000.0)
    counts[unknowns.keys.index(("SH", 0))] = 0
    found = unknowns.with_neighbours(vector, counts)
    row = place[unknowns.rows.index(("SH", 0, "other")), jaw]
    assert found[row] == pytest.approx(unknowns.start[row] + 0.06)
    untouched = place[unknowns.rows.index(("ZH", 0, "other")), jaw]
    assert found[untouched] == pytest.approx(unknowns.start[untouched])
