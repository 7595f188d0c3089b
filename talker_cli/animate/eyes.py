"""The eyes of a motion: whole blinks and saccades in place of what the network makes of them, as the sound comes in."""

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np

from talker_cli.corpus.articulate.eyes import CALM, NAMES, RATE, WIDE, Eyes, EyeStyle, MoodAt
from talker_cli.corpus.articulate.styles import SPEAKERS
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.model.config import ModelConfig
from talker_cli.rig import HEAD_NAMES

TICK = SAMPLE_RATE // RATE  # samples
RANGE = 24.0  # dB below the loudest of late in which there is speech
QUIETEST = -50.0  # dBFS
FALL = 3.0  # dB a second that the loudest of late falls
RIDGE = 1e-3  # of the mean square of the styles: how exactly the known styles are met


class VoiceActivity:
    """Says of each tick whether there is speech, by the sound until then alone."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._loudest = QUIETEST

    def push(self, speech: np.ndarray) -> np.ndarray:
        """Append (S,) float32 speech; return (N,) bool for the ticks that it completes."""
        samples = np.concatenate([self._rest, speech])
        count = len(samples) // TICK
        self._rest = samples[count * TICK :].copy()
        power = np.square(samples[: count * TICK].reshape(count, TICK), dtype=np.float64).mean(1)
        speaking = np.zeros(count, bool)
        for index, level in enumerate((10.0 * np.log10(power + 1e-12)).tolist()):
            self._loudest = max(level, self._loudest - FALL / RATE, QUIETEST)
            speaking[index] = level > max(self._loudest - RANGE, QUIETEST)
        return speaking


class EyeMotion:
    """The eyes of one recording, part by part; the same for any parts.

    Args:
        names: Names of the coefficients; without ARKit's eyes nothing is changed.
        fps: Frames a second.
        style: How the eyes move.
        seed: Seed of all randomness.
        mood: Changes by emotion, as a function of time.
        head: Scale that the head's rotation will get: the eyes turn against it.
    """

    def __init__(
        self, names: Sequence[str], fps: float, style: EyeStyle, seed: int, mood: MoodAt = lambda times: CALM, head: float = 1.0
    ) -> None:
        columns = {name: column for column, name in enumerate(names)}
        self._columns = [columns[name] for name in (*WIDE, *NAMES)] if {*WIDE, *NAMES} <= columns.keys() else []
        self._head = [columns[name] for name in HEAD_NAMES] if columns.keys() >= set(HEAD_NAMES) else []
        self._fps, self._frame, self._head_scale = fps, 0, head
        self._voice, self._eyes = VoiceActivity(), Eyes(style, seed, mood)

    @property
    def style(self) -> EyeStyle | None:
        """How the eyes move; None where the coefficients have no eyes."""
        return self._eyes.style if self._columns else None

    def push(self, speech: np.ndarray) -> None:
        """Append (S,) float32 speech at 16 kHz."""
        if self._columns:
            self._eyes.advance(self._voice.push(speech))

    def apply(self, coefficients: np.ndarray) -> None:
        """Put the eyes into the coefficients (T, K) of the next frames; beyond the speech so far there is silence."""
        first, self._frame = self._frame, self._frame + len(coefficients)
        if not self._columns or not len(coefficients):
            return
        times = np.arange(first, self._frame) / self._fps
        self._eyes.advance(np.zeros(max(0, int(times[-1] * RATE) + 1 - self._eyes.ticks), bool))
        head = self._head_scale * coefficients[:, self._head] if self._head else None
        curves = self._eyes.curves(times, coefficients[:, self._columns[: len(WIDE)]], head)
        self._eyes.forget(float(times[-1]))
        coefficients[:, self._columns] = np.stack([curves[name] for name in (*WIDE, *NAMES)], 1).clip(0.0, 1.0)


def eye_style(config: ModelConfig, styles: np.ndarray, style: np.ndarray) -> EyeStyle:
    """Return how the eyes move in a style (S,): as those of the model's identities do, and between them in proportion.

    Args:
        config: Configuration of the model.
        styles: (N, S) styles of its identities.
        style: (S,).
    """
    named = {speaker.name: EyeStyle.of(speaker.style) for speaker in SPEAKERS}  # of weights without a measurement
    values = np.array(config.eyes or [astuple(named.get(name, EyeStyle())) for name in config.identities])
    table = styles.astype(np.float64)
    centre, mean = table.mean(0), values.mean(0)
    away = table - centre
    gram = away.T @ away
    ridge = RIDGE * max(float(np.trace(gram)) / len(table), 1e-9) * np.eye(len(gram))
    blinks, depth, lid, gaze = (style - centre) @ np.linalg.solve(gram + ridge, away.T @ (values - mean)) + mean
    return EyeStyle(float(blinks), float(depth), float(lid), float(gaze)).bounded()
