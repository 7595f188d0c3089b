"""Speech as it comes in, in parts of any length -> the input of a network's audio encoder for any frames.

Log-mel columns for the compact encoder. For the others, outputs that a frozen encoder gives at a rate of its own: it has looked
at the whole window that it was given, so windows lie at fixed places of the recording. The outputs that are kept are in their
middle, `core` of them, and up to `margin` more on either side. What comes of it depends on the recording alone, whatever the
parts in which it is read, and memory stays bounded.
"""

import sys
from typing import Protocol

import numpy as np

from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.model.config import ModelConfig
from talker_cli.model.frozen import FrozenEncoder
from talker_cli.model.mel import WINDOW, log_mel

LIVE_CORE, LIVE_BEFORE, LIVE_AFTER = 4, 100, 8  # outputs of 20 ms: 80 ms at a time, 2 s of the past, 160 ms to come


class SpeechFrontend(Protocol):
    """Converts speech, as it comes in, to the input of the network's encoder for any frames."""

    def push(self, speech: np.ndarray) -> None:
        """Append (S,) float32 speech."""

    def finish(self) -> None:
        """End the speech."""

    def ready(self) -> int:
        """Return the number of frames whose input is complete."""

    def inputs(self, first: int, end: int) -> np.ndarray:
        """Return the encoder's input for frames first … end - 1, a batch of one."""

    def forget(self, before: int) -> None:
        """Drop the data that only frames before frame `before` need."""


class MelFrontend:
    """Log-mel columns, for the compact encoder.

    Args:
        config: Model configuration: bands, columns, frame rate.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._frame = SAMPLE_RATE / config.fps  # samples
        self.speech, self._offset = np.zeros(0, np.float32), 0

    def push(self, speech: np.ndarray) -> None:
        """Append (S,) float32 speech."""
        self.speech = np.concatenate([self.speech, speech])

    def finish(self) -> None:
        """End the speech: silence follows."""

    def ready(self) -> int:
        """Return the number of frames whose columns lie in the speech so far."""
        samples = self._offset + len(self.speech)
        return max(0, int((samples - WINDOW // 2 - 1) / self._frame + 0.5 + 0.5 / self._config.mels_per_frame))

    def inputs(self, first: int, end: int) -> np.ndarray:
        """Return the log-mel columns (1, T * mels_per_frame, bands) of frames first … end - 1."""
        return log_mel(self.speech, end - first, self._config, first=first, offset=self._offset)[None]

    def forget(self, before: int) -> None:
        """Drop the samples that only frames before frame `before` need."""
        count = int((before - 0.5) * self._frame) - WINDOW - self._offset
        if count > 0:
            self.speech, self._offset = self.speech[count:].copy(), self._offset + count


class OutputFrontend:
    """The outputs of a frozen encoder, interpolated at the instants of frames.

    Args:
        encoder: Loaded encoder.
        fps: Frames a second.
        known: (T, P) posteriors of phones whose times are known, in place of the encoder's own; the last holds beyond the end.
        live: Whether outputs are wanted soon: LIVE_CORE at a time, from LIVE_BEFORE of the past and LIVE_AFTER to come.
    """

    def __init__(self, encoder: FrozenEncoder, fps: float, known: np.ndarray | None = None, *, live: bool = False) -> None:
        about = encoder.about
        self._core, self._before, self._after = (
            (LIVE_CORE, LIVE_BEFORE, LIVE_AFTER) if live else (about.core, about.margin, about.margin)
        )
        self._known = known
        self._encoder, self._about, self._fps = encoder, encoder.about, fps
        self._speech, self._offset = np.zeros(0, np.float32), 0
        self._outputs, self._first = np.zeros((0, encoder.about.width), np.float32), 0
        self._over = False

    def push(self, speech: np.ndarray) -> None:
        """Append (S,) float32 speech."""
        about = self._about
        self._speech = np.concatenate([self._speech, speech])
        reach = self._core + self._after
        while len(self._speech) + self._offset >= (self._end + reach - 1) * about.stride + about.field:
            self._run(self._end + self._core, self._end + reach)

    def finish(self) -> None:
        """End the speech."""
        about = self._about
        total = about.outputs(len(self._speech) + self._offset)
        while self._end < total:
            self._run(min(self._end + self._core, total), min(self._end + self._core + self._after, total))
        self._over = True

    def ready(self) -> int:
        """Return the number of frames with outputs on both sides; once the speech has ended, all that there ever will be."""
        if self._over:
            return sys.maxsize
        last = (self._end - 1) * self._about.stride + self._about.centre
        return max(0, int(np.ceil(last * self._fps / SAMPLE_RATE)))

    def inputs(self, first: int, end: int) -> np.ndarray:
        """Return the features (1, T, W) of frames first … end - 1; beyond the first and the last output they stay the same."""
        place = np.clip(self._about.position(np.arange(first, end), self._fps) - self._first, 0, len(self._outputs) - 1)
        below = place.astype(np.int64)
        above = np.minimum(below + 1, len(self._outputs) - 1)
        share = (place - below).astype(np.float32)[:, None]
        features = self._outputs[below] + share * (self._outputs[above] - self._outputs[below])
        if self._known is not None:
            rows = np.clip(np.arange(first, end), 0, len(self._known) - 1)
            features = np.concatenate([features[:, : -self._known.shape[1]], self._known[rows]], -1)
        return features[None]

    def forget(self, before: int) -> None:
        """Drop what only frames before frame `before` need."""
        keep = int(self._about.position(before, self._fps)) - 1 - self._first
        if 0 < keep < len(self._outputs):
            self._outputs, self._first = self._outputs[keep:].copy(), self._first + keep

    @property
    def _end(self) -> int:
        return self._first + len(self._outputs)

    def _run(self, end: int, reach: int) -> None:
        """Make the outputs up to `end`, from speech up to what output `reach` - 1 sees."""
        about, done = self._about, self._end
        first = max(0, done - self._before)
        window = self._speech[first * about.stride - self._offset : (reach - 1) * about.stride + about.field - self._offset]
        outputs = self._encoder.window(window)[done - first : end - first]
        self._outputs = np.concatenate([self._outputs, outputs])
        start = max(0, end - self._before) * about.stride  # of the next window
        self._speech, self._offset = self._speech[start - self._offset :], start


def recording_features(encoder: FrozenEncoder, speech: np.ndarray, frames: int, fps: float) -> np.ndarray:
    """Return the features (T, W) float32 of frames 0 … T - 1 of a recording (S,); frames beyond its end have the last one's."""
    frontend = OutputFrontend(encoder, fps)
    frontend.push(speech)
    frontend.finish()
    return frontend.inputs(0, frames)[0]
