"""Motion as the speech comes in: coefficients (T, K) of any length in bounded memory, and of sound that is still being spoken.

Encoder and denoiser look only so far to either side (`ModelConfig.encoder_halo`, `denoiser_halo`), and a frame's noise is a
function of seed and frame. So every denoising step runs over chunks, each step behind the one before by its halo, and any
number of steps over any length gives what the whole at once would give, without a seam. What is kept is the frames that a
later step still looks at: their number grows with the steps, never with the length.

Live, where waiting for all the halos would take seconds, `look_ahead` cuts them short: a frame becomes final when so many
more frames have arrived, as if the speech ended there. What is final at one step stays so at the next ones, and the
frames that follow are continued from it: no seam there either.

After the last step comes a filter over time (`postfilter`), with a halo of its own.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from talker_cli.animate.eyes import EyeMotion
from talker_cli.animate.postfilter import filtered, kernels
from talker_cli.data.emotions import Spans, strengths
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.model.frontend import SpeechFrontend
from talker_cli.model.noise import frame_noise
from talker_cli.model.runner import NetworkRunner
from talker_cli.model.sampling import Sampler

CHUNK_FRAMES = 1024  # new frames a pass through the network, where nobody waits for one

OnFrames = Callable[[int], None]


class Track:
    """Frames of a quantity, (1, frames, W): final ones are appended at the end and dropped at the beginning.

    Behind the final ones lie those that the next pass will replace: the tail.
    """

    def __init__(self, width: int) -> None:
        self.start = 0
        self.final = np.zeros((1, 0, width), np.float32)
        self.tail = self.final

    @property
    def end(self) -> int:
        """Number of frames that have become final."""
        return self.start + self.final.shape[1]

    def put(self, frames: np.ndarray, final: int) -> None:
        """Append `frames` (1, frames, W), of which the first `final` are final."""
        self.final = np.concatenate([self.final, frames[:, :final]], 1)
        self.tail = frames[:, final:]

    def window(self, first: int, end: int) -> np.ndarray:
        """Return frames first … end, final or not, (1, end - first, W)."""
        return np.concatenate([self.final, self.tail], 1)[:, first - self.start : end - self.start]

    def forget(self, before: int) -> np.ndarray:
        """Drop the final frames before frame `before`, and return them."""
        count = max(0, before - self.start)
        dropped, self.final = self.final[:, :count], self.final[:, count:].copy()
        self.start += count
        return dropped


class MotionStream:
    """The coefficients of one recording, part by part.

    Args:
        runner: Teacher or student.
        sampler: Sampler with its steps.
        style: (1, S) style vector of the speaker.
        frontend: Input of the network's encoder.
        eyes: Process of the eyes, put in place of the network's; None keeps those.
        emotion: Emotions over time, of those that the network knows.
        seed: Seed of the noise.
        guidance: Guidance scale, 1 = off.
        style_guidance: Guidance scale of the style alone, None = `guidance`.
        temperature: Std of the noise that sampling starts from, None = the model's default.
        look_ahead: Frames of speech waited for beyond a frame; None waits for the whole receptive field.
        chunk: New frames waited for before the network runs over them.
        on_frames: Called with the number of frames done; a frame that half the steps have passed counts half.
    """

    def __init__(
        self,
        runner: NetworkRunner,
        sampler: Sampler,
        style: np.ndarray,
        frontend: SpeechFrontend,
        *,
        eyes: EyeMotion | None = None,
        emotion: Spans = (),
        seed: int = 0,
        guidance: float = 1.0,
        style_guidance: float | None = None,
        temperature: float | None = None,
        look_ahead: int | None = None,
        chunk: int = CHUNK_FRAMES,
        on_frames: OnFrames | None = None,
    ) -> None:
        self.runner, self.sampler, self.config = runner, sampler, runner.config
        self._style, self._seed, self._guidance, self._style_guidance = style, seed, guidance, style_guidance
        self._look_ahead, self._chunk, self._on_frames = look_ahead, chunk, on_frames
        upper_face = self.config.upper_face_temperature if temperature is None else temperature
        whole = self.config.temperature if temperature is None else temperature
        upper = np.array([name in self.config.upper_face for name in self.config.names])
        self.temperature = np.where(upper, upper_face, whole).astype(np.float32)  # (K,)
        self.eyes, self._spans = eyes, emotion
        self.samples = 0  # of speech so far
        self._frames = 0  # that went into the network
        self._frontend = frontend
        self._features = Track(self.config.feature_width)
        # x after the first step, the second, …; after the last it is the motion.
        self._states = [Track(len(self.config.names)) for _ in sampler.timesteps]
        self.kernels = kernels(self.config, live=look_ahead is not None)
        self._motion = Track(len(self.config.names))

    @property
    def frame_count(self) -> int:
        """Number of frames that the speech so far lasts."""
        return int(self.samples * self.config.fps / SAMPLE_RATE)

    def push(self, speech: np.ndarray) -> np.ndarray:
        """Append (S,) float32 speech at 16 kHz; return the coefficients (T, K), T >= 0, that became final."""
        parts = [np.zeros((0, len(self.config.names)), np.float32)]
        # Live, all speech that arrived during the last pass goes into one.
        frames = self._chunk if self._look_ahead is None else max(self._chunk, CHUNK_FRAMES)
        block = max(1, int(frames * SAMPLE_RATE / self.config.fps))
        for start in range(0, len(speech), block):
            piece = speech[start : start + block]
            self._frontend.push(piece)
            if self.eyes is not None:
                self.eyes.push(piece)
            self.samples += len(piece)
            if self._look_ahead is not None and self._available() - self._frames >= self._chunk:
                parts.append(self._advance(self._available(), last=False))
            # Always the same frames at a time: whatever the parts in which speech comes, the last bit is the same.
            while self._look_ahead is None and self._available() - self._frames >= self._chunk:
                parts.append(self._advance(self._frames + self._chunk, last=False))
        return np.concatenate(parts)

    def finish(self) -> np.ndarray:
        """End the speech; return the coefficients (T, K) of the frames that still waited."""
        self._frontend.finish()
        return self._advance(self.frame_count, last=True)

    def _available(self) -> int:
        """Return the number of frames that the speech so far allows."""
        return min(self._frontend.ready(), self.frame_count)

    def _advance(self, known: int, *, last: bool) -> np.ndarray:
        """Run every stage over all the frames that it can; return the coefficients that became final.

        Args:
            known: Number of frames of speech so far.
            last: Whether the speech has ended.
        """
        self._frames = known
        halo = self.config.encoder_halo
        known = self._run(self._features, halo, known, last, self._encode)
        self._frontend.forget(self._features.end - halo)
        halo = self.config.denoiser_halo
        for index, state in enumerate(self._states):
            known = self._run(state, halo, known, last, partial(self._denoise, index))
            if index:
                self._states[index - 1].forget(state.end - halo)
            if self._on_frames:
                self._on_frames(sum(each.end for each in self._states) // len(self._states))
        self._features.forget(self._states[-1].end - halo)
        motion, halo = self._motion, len(self.kernels) // 2
        self._run(motion, halo, known, last, self._filtered)
        self._states[-1].forget(motion.end - halo)
        coefficients = motion.forget(motion.end)[0] * self.runner.std + self.runner.mean
        if self.eyes is not None:
            self.eyes.apply(coefficients)
        return coefficients

    def _run(self, track: Track, halo: int, known: int, last: bool, make: Callable[[int, int], np.ndarray]) -> int:
        """Make the frames of `track` that `known` frames before it allow; return how many there are now, final or not."""
        done = track.end
        if last:
            end = final = known
        elif self._look_ahead is None:
            end = final = max(done, known - halo)
        else:
            end, final = known, max(done, known - self._look_ahead)
        first = max(0, done - halo)
        if end > done:
            track.put(make(first, known)[:, done - first : end - first], final - done)
        return end

    def _encode(self, first: int, end: int) -> np.ndarray:
        """Return speech features (1, end - first, D) of frames first … end."""
        return self.runner.encode(self._frontend.inputs(first, end))

    def _denoise(self, index: int, first: int, end: int) -> np.ndarray:
        """Return frames first … end of x, (1, end - first, K), after step `index`."""
        x_t = self._states[index - 1].window(first, end) if index else self.temperature * self._noise(0, first, end)
        t, features = self.sampler.timesteps[index], self._features.window(first, end)
        emotion = self._emotion(first, end)
        x0 = self.runner.x0(x_t, t, features, self._style, self._guidance, self._style_guidance, emotion)
        return self.sampler.step(index, x_t, x0, lambda: self._noise(index + 1, first, end))

    def _filtered(self, first: int, end: int) -> np.ndarray:
        """Return frames first … end of the motion, (1, end - first, K), filtered over time."""
        return filtered(self._states[-1].window(first, end)[0], self.kernels)[None]

    def _emotion(self, first: int, end: int) -> np.ndarray | None:
        """Return the emotions' strengths (1, end - first, E) in these frames, None for a neutral face."""
        if not self._spans:
            return None
        return strengths(self._spans, self.config.emotions, np.arange(first, end) / self.config.fps)[None]

    def _noise(self, index: int, first: int, end: int) -> np.ndarray:
        """Return the Gaussian noise (1, end - first, K) that belongs to these frames at this step."""
        return frame_noise(self._seed, end - first, len(self.config.names), index, first)
