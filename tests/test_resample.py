"""Live sound of other rates at 16 kHz."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talker_cli.formats.resample import RATES, Resampler


def resampled(samples: np.ndarray, rate: int, cuts: list[int]) -> np.ndarray:
    """Return samples at 16 kHz, pushed in the parts between the cuts."""
    converter = Resampler(rate)
    parts = [converter.push(part) for part in np.split(samples.astype(np.float32), sorted(cuts))]
    return np.concatenate([*parts, converter.finish()])


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_stays_where_it_is(rate: int) -> None:
    """Breaks if sound is delayed, gets another pitch or level, or has another length."""
    tones = (300.0, 1_000.0, 3_000.0)
    sound = sum(0.3 * np.sin(2 * np.pi * tone * np.arange(rate // 2) / rate) for tone in tones)
    expected = sum(0.3 * np.sin(2 * np.pi * tone * np.arange(8_000) / 16_000) for tone in tones)
    made = resampled(sound, rate, [])
    assert len(made) == -(-(rate // 2) * 16_000 // rate)
    assert np.abs(made[200:7_800] - expected[200:7_800]).max() < 5e-4


@pytest.mark.parametrize("rate", [each for each in RATES if each > 20_000])
def test_what_16_khz_cannot_hold_is_silent(rate: int) -> None:
    """Breaks if a hiss above 8 kHz turns into a voice's frequencies."""
    for tone in (8_400.0, 9_000.0, 10_500.0):
        made = resampled(np.sin(2 * np.pi * tone * np.arange(rate // 2) / rate), rate, [])
        assert np.abs(made[200:-200]).max() < 3e-3, tone


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RATES), st.integers(0, 5_000), st.lists(st.integers(0, 5_000), max_size=6), st.integers(0, 2**32 - 1))
def test_parts_do_not_matter(rate: int, count: int, cuts: list[int], seed: int) -> None:
    """Breaks if the sound depends on where messages are cut."""
    sound = np.random.default_rng(seed).uniform(-1, 1, count)
    whole = resampled(sound, rate, [])
    assert (resampled(sound, rate, [min(cut, count) for cut in cuts]) == whole).all()
    assert len(whole) == -(-count * 16_000 // rate)
