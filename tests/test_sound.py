"""Non-speech and augmentation in the sound: what is promised of them, for every sound, line and change."""

import numpy as np
import pytest
from conftest import spoken

from talker_cli.corpus.sound import augment
from talker_cli.corpus.sound.augment import LINES, augment_speech, changed_tempo, noise_for, through_line
from talker_cli.corpus.sound.nonspeech import LEVEL, SOUNDS, crowd, room

SECOND = 16_000


@pytest.mark.parametrize("name", [*SOUNDS, "crowd"])
@pytest.mark.slow
def test_a_sound_is_what_its_generator_says(name: str) -> None:
    """Breaks if a sound has another length or level, is not finite, or changes between two runs with one seed."""
    voices = [spoken(2.0), spoken(1.3)]

    def made(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return crowd(rng, 3 * SECOND + 7, voices) if name == "crowd" else SOUNDS[name](rng, 3 * SECOND + 7)

    sound = made(1)
    assert sound.shape == (3 * SECOND + 7,) and sound.dtype == np.float32 and np.isfinite(sound).all()
    assert np.sqrt(np.square(sound.astype(float)).mean()) == pytest.approx(LEVEL, rel=1e-3)
    assert np.array_equal(sound, made(1)) and not np.array_equal(sound, made(2))


def test_a_rooms_tail_falls_by_60_db_in_its_reverberation_time() -> None:
    """Breaks if the tail decays at another rate than the time says."""
    tail = room(np.random.default_rng(0), 0.8)[1600:]
    energy = np.square(tail).reshape(-1, 800).mean(1)
    slope = np.polyfit(np.arange(len(energy)) * 0.05, 10 * np.log10(energy), 1)[0]
    assert slope == pytest.approx(-60 / 0.8, rel=0.05)


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line[0]}-{line[2]}")
def test_what_comes_out_of_a_line_is_in_time(line: tuple[str, str, int, tuple[int, ...]]) -> None:
    """Breaks if a codec's delay stays: phones would lie beside their labels."""
    rng = np.random.default_rng(3)
    bursts = np.zeros(2 * SECOND, np.float32)
    for start in (4000, 15_000, 26_000):
        bursts[start : start + 1200] = np.hanning(1200) * np.sin(2 * np.pi * 700 * np.arange(1200) / SECOND) * 0.5
    out = through_line(bursts, *line, rng)
    assert out.shape == bursts.shape
    envelope = np.abs(out[: 2 * SECOND // 400 * 400]).reshape(-1, 400).sum(1)
    original = np.abs(bursts).reshape(-1, 400).sum(1)
    assert np.corrcoef(envelope, original)[0, 1] > 0.95
    for start in (4000, 15_000, 26_000):
        around = np.abs(out[start - 800 : start + 2000])
        centre = (around * np.arange(len(around))).sum() / around.sum() - 800
        assert centre == pytest.approx(600, abs=100)  # 6 ms


def test_tempo_keeps_the_pitch_and_tract_keeps_the_length() -> None:
    """Breaks if a change of the vocal tract changes the length, or a change of the tempo the pitch."""
    time = np.arange(2 * SECOND) / SECOND
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)

    def pitch(sound: np.ndarray) -> float:
        spectrum = np.abs(np.fft.rfft(sound[2000:-2000] * np.hanning(len(sound) - 4000)))
        return float(spectrum.argmax() * SECOND / (len(sound) - 4000))

    fast = changed_tempo(tone, 1.1)
    assert len(fast) == round(len(tone) / 1.1) and pitch(fast) == pytest.approx(440, rel=0.01)
    shifted = changed_tempo(augment._resampled(tone, 1.2), 1 / 1.2)
    assert abs(len(shifted) - len(tone)) <= 2 and pitch(shifted) == pytest.approx(528, rel=0.01)


def test_noise_lies_below_speech_by_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if noise is added at another ratio than the one drawn, and so drowns what is said."""
    speech = spoken(2.0)
    monkeypatch.setattr(augment, "SNR", (12.0, 12.0))
    noise = noise_for(speech, np.random.default_rng(5), [])
    assert 10 * np.log10(np.square(speech).mean() / np.square(noise).mean()) == pytest.approx(12.0, abs=1e-3)


@pytest.mark.slow
def test_augmented_speech_is_repeatable_and_its_speed_is_told() -> None:
    """Breaks if the told speed is not that of the sound: every label after the first second would be late."""
    speech = np.zeros(4 * SECOND, np.float32)
    marks = (SECOND, 3 * SECOND)
    for mark in marks:
        speech[mark : mark + 800] = np.random.default_rng(0).uniform(-0.5, 0.5, 800)
    speeds = set()
    for seed in range(12):
        changed, speed = augment_speech(speech, np.random.default_rng(seed), [])
        again, _ = augment_speech(speech, np.random.default_rng(seed), [])
        assert changed.dtype == np.float32 and np.array_equal(changed, again) and np.abs(changed).max() <= 4.0
        assert len(changed) == pytest.approx(len(speech) / speed, abs=40)
        speeds.add(speed)
    assert 1.0 in speeds and len(speeds) > 2
