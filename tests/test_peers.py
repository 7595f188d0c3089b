"""The comparison with other packages: what is fitted for a peer is what makes it best."""

import numpy as np
from peers import FPS, Visemes, fitted, heard

from talker_cli.evaluate.face_measures import RATE


def test_the_fit_finds_the_gaps_and_the_delay_of_visemes() -> None:
    """A peer whose visemes have known gaps and come 0.12 s late gets these gaps and this delay: no better map exists."""
    rng, gaps, delay = np.random.default_rng(0), np.array([9.0, 0.0, 4.0, 2.0, 6.0, 0.0]), 0.12
    truth, made = {}, {}
    for name in ("one", "two"):
        weights = np.repeat(rng.dirichlet(np.full(6, 0.3), 30), 10, axis=0)  # (300, 6)
        late = Visemes(tuple("AIUEOS"), FPS, weights, 1.0)
        truth[name] = late.at(450, RATE, delay) @ gaps
        made[name] = late
    found = fitted("wLipSync", truth, made)
    assert abs(found.delay - delay) < 1e-9
    np.testing.assert_allclose(found.gaps, gaps, atol=1e-5)
    mouth = found.mouth(made["one"], True)
    np.testing.assert_allclose(mouth.gap, made["one"].at(300, FPS, delay) @ gaps, atol=1e-5)


def test_peers_hear_the_same_level_at_their_own_rate() -> None:
    """A peer that hears quiet speech too quietly takes it for silence."""
    tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    tone[:8000] = 0
    for gain in (0.003, 0.9):
        sound = heard((gain * tone).astype(np.float32), 48000)
        assert len(sound) == 48000
        assert abs(20 * np.log10(np.sqrt(np.mean(sound[30000:42000] ** 2))) + 20) < 0.3
