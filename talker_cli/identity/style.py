"""The style of a voice: speech -> what a model's personalizer reads of it -> a style (S,)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from talker_cli.errors import InputError, ModelError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.identity.resolve import on_sphere
from talker_cli.identity.vad import detect_speech
from talker_cli.identity.voice import MEASURES, VoiceSums
from talker_cli.model.mel import log_mel
from talker_cli.model.runner import NetworkRunner

WINDOW_FRAMES = 128  # the longest crop of training
BATCH_WINDOWS = 32


@dataclass(frozen=True)
class Heard:
    """What was heard of a voice in one piece of speech.

    Args:
        sums: Sums behind the measures of the voice.
        windows: (N, S) styles of its windows, of a model that reads log-mel columns.
    """

    sums: VoiceSums
    windows: np.ndarray


@dataclass(frozen=True)
class VoiceStyle:
    """A style read off speech.

    Args:
        style: (S,) float32.
        told: Share of the style that the sound tells, 0…1; the rest is the average voice's. None of a model that does not say.
    """

    style: np.ndarray
    told: float | None


class StyleReader:
    """A network's personalizer, with the front end that it needs.

    Raises:
        ModelError: the network reads other measures than this version takes.
    """

    def __init__(self, runner: NetworkRunner) -> None:
        self._runner = runner
        measures = runner.config.voice_measures
        self._measures = bool(measures)
        if self._measures and measures != MEASURES:
            found, expected = ", ".join(measures), ", ".join(MEASURES)
            raise ModelError(f"found a model that reads {found:.200} of a voice; expected {expected}; train it again")

    def hear(self, speech: np.ndarray) -> Heard:
        """Return what is heard in speech (S,), 16 kHz, without pauses, music and noise."""
        if self._measures:
            return Heard(VoiceSums.of(speech), np.zeros((0, self._runner.config.style_width), np.float32))
        return Heard(VoiceSums.total([]), self._windows(speech))

    def style(self, heard: Sequence[Heard]) -> VoiceStyle:
        """Return the style of all pieces together."""
        if not self._measures:
            return VoiceStyle(on_sphere(np.concatenate([each.windows for each in heard]).mean(0)), None)
        measures = VoiceSums.total(each.sums for each in heard).reading()[None]
        return VoiceStyle(self._runner.read_styles(measures)[0], float(self._runner.told(measures)[0]))

    def _windows(self, speech: np.ndarray) -> np.ndarray:
        """Return the styles (N, S) of N equal windows of speech (S,), each about as long as a crop of training."""
        config = self._runner.config
        frames = max(1, int(len(speech) * config.fps / SAMPLE_RATE))
        count = max(1, round(frames / WINDOW_FRAMES))
        length = frames // count  # frames of each window
        samples = max(1, int(length * SAMPLE_RATE / config.fps))
        windows = speech[: count * samples].reshape(count, -1) if count > 1 else speech[None]
        batches = (windows[start : start + BATCH_WINDOWS] for start in range(0, count, BATCH_WINDOWS))
        return np.concatenate([
            self._runner.read_styles(np.stack([log_mel(window, length, config) for window in batch])) for batch in batches
        ])  # fmt: skip


def style_from_speech(runner: NetworkRunner, sound: np.ndarray) -> np.ndarray:
    """Return the style (S,) of the speech in a recording (S,), 16 kHz.

    Raises:
        InputError: there is no speech in it.
    """
    speech = detect_speech(sound).cut(sound)
    if len(speech) < SAMPLE_RATE / 2:
        raise InputError(
            "found no speech in the recording; expected a voice to encode a style from; choose one", field="identity"
        )
    reader = StyleReader(runner)
    return reader.style([reader.hear(speech)]).style
