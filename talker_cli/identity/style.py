"""The style of a voice: speech -> windows as long as a training crop -> their mean style (S,)."""

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.identity.resolve import on_sphere
from talker_cli.identity.vad import detect_speech
from talker_cli.model.mel import log_mel
from talker_cli.model.runner import NetworkRunner

WINDOW_FRAMES = 128  # the longest crop of training
BATCH_WINDOWS = 32


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
    return on_sphere(window_styles(runner, speech).mean(0))


def window_styles(runner: NetworkRunner, speech: np.ndarray) -> np.ndarray:
    """Return the styles (N, S) of N equal windows of speech (S,), each about as long as a crop of training."""
    config = runner.config
    frames = max(1, int(len(speech) * config.fps / SAMPLE_RATE))
    count = max(1, round(frames / WINDOW_FRAMES))
    length = frames // count  # frames of each window
    samples = max(1, int(length * SAMPLE_RATE / config.fps))
    windows = speech[: count * samples].reshape(count, -1) if count > 1 else speech[None]
    batches = (windows[start : start + BATCH_WINDOWS] for start in range(0, count, BATCH_WINDOWS))
    return np.concatenate([
        runner.read_styles(np.stack([log_mel(window, length, config) for window in batch])) for batch in batches
    ])  # fmt: skip
