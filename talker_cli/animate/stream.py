"""Motion as the speech comes in: coefficients (T, K) of any length in bounded memory, and of sound that is still being spoken.

Encoder and denoiser look only so far to either side (`ModelConfig.encoder_halo`, `denoiser_halo`), and a frame's noise is a
function of seed and frame. So every denoising step runs over chunks, each step behind the one before by its halo, and any
number of steps over any length gives what the whole at once would give, without a seam. What is kept is the frames that a
later step still looks at: their number grows with the steps, never with the length.

Live, where waiting for all the halos would take seconds, `look_ahead` cuts them short: a frame becomes final when so many
more frames have been heard, as if the speech ended there. What is final at one step stays so at the next ones, and the
frames that follow are continued from it: no seam there either.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from talker_cli.model.audio_encoder import WINDOW, log_mel
from talker_cli.model.config import SAMPLE_RATE, ModelConfig
from talker_cli.model.diffusion import Sampler, frame_noise
from talker_cli.model.network import FaceDiffusion

CHUNK_FRAMES = 1024  # worth a pass through the network, where nobody waits for a frame

OnFrames = Callable[[int], None]


class Track:
    """Frames of something, (1, frames, W): the final ones grow at the end and are forgotten at the beginning.

    Behind the final ones lie those that the next pass will replace: the tail.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.start = 0
        self.final = torch.zeros(1, 0, width, device=device)
        self.tail = self.final

    @property
    def end(self) -> int:
        """How many frames have become final."""
        return self.start + self.final.shape[1]

    def put(self, frames: Tensor, final: int) -> None:
        """Go on with `frames` (1, frames, W), of which the first `final` are so."""
        self.final = torch.cat([self.final, frames[:, :final]], 1)
        self.tail = frames[:, final:]

    def window(self, first: int, end: int) -> Tensor:
        """Return frames first … end, final or not, (1, end - first, W)."""
        return torch.cat([self.final, self.tail], 1)[:, first - self.start : end - self.start]

    def forget(self, before: int) -> Tensor:
        """Drop the final frames before frame `before`, and return them."""
        count = max(0, before - self.start)
        dropped, self.final = self.final[:, :count], self.final[:, count:].clone()
        self.start += count
        return dropped


class SpeechFrontend(Protocol):
    """What makes of the speech what the network's encoder reads, for any frames, as the speech comes in."""

    def push(self, speech: np.ndarray) -> None:
        """Hear more (S,) float32."""

    def finish(self) -> None:
        """Hear that there is no more."""

    def ready(self) -> int:
        """Return how many frames it can tell all about."""

    def inputs(self, first: int, end: int) -> Tensor:
        """Return what the encoder reads for frames first … end - 1, a batch of one."""

    def forget(self, before: int) -> None:
        """Drop what only frames before frame `before` need."""


class MelFrontend:
    """Log-mel columns, for the compact encoder.

    Args:
        config: bands, columns and rate.
        device: where they are wanted.
    """

    def __init__(self, config: ModelConfig, device: torch.device) -> None:
        self._config, self._device = config, device
        self._frame = SAMPLE_RATE / config.fps  # samples
        self.speech, self._offset = np.zeros(0, np.float32), 0

    def push(self, speech: np.ndarray) -> None:
        """Hear more (S,) float32."""
        self.speech = np.concatenate([self.speech, speech])

    def finish(self) -> None:
        """Hear that there is no more: what follows is taken as silent."""

    def ready(self) -> int:
        """Return how many frames have all their columns in what was heard."""
        samples = self._offset + len(self.speech)
        return max(0, int((samples - WINDOW // 2 - 1) / self._frame + 0.5 + 0.5 / self._config.mels_per_frame))

    def inputs(self, first: int, end: int) -> Tensor:
        """Return the log-mel columns (1, T * mels_per_frame, bands) of frames first … end - 1."""
        heard = torch.from_numpy(self.speech)[None].to(self._device)
        return log_mel(heard, end - first, self._config, first=first, offset=self._offset)

    def forget(self, before: int) -> None:
        """Drop the samples that only frames before frame `before` need."""
        count = int((before - 0.5) * self._frame) - WINDOW - self._offset
        if count > 0:
            self.speech, self._offset = self.speech[count:].copy(), self._offset + count


class MotionStream:
    """One recording on its way from speech to coefficients.

    Args:
        network: teacher or student, where it should run.
        sampler: its steps.
        style: (1, S) who speaks, and how.
        ear: hears for the network's encoder.
        seed: of the noise.
        guidance: scale, 1 = off.
        style_guidance: of the style alone; None is `guidance`.
        look_ahead: frames of speech beyond a frame that are waited for; None waits for all that can matter.
        chunk: new frames that are waited for before the network runs over them.
        on_frames: called with how many frames are done; a frame that half the steps have passed counts half.
    """

    def __init__(
        self,
        network: FaceDiffusion,
        sampler: Sampler,
        style: Tensor,
        ear: SpeechFrontend,
        *,
        seed: int = 0,
        guidance: float = 1.0,
        style_guidance: float | None = None,
        look_ahead: int | None = None,
        chunk: int = CHUNK_FRAMES,
        on_frames: OnFrames | None = None,
    ) -> None:
        self.network, self.sampler, self.config = network, sampler, network.config
        self._style, self._seed, self._guidance, self._style_guidance = style, seed, guidance, style_guidance
        self._look_ahead, self._chunk, self._on_frames = look_ahead, chunk, on_frames
        upper = torch.tensor([name in self.config.upper_face for name in self.config.names], device=style.device)
        self._noise_scale = torch.where(upper, self.config.upper_noise_scale, self.config.noise_scale)  # (K,)
        self.samples = 0  # heard so far
        self._frames = 0  # that went into the network
        self._ear = ear
        self._features = Track(self.config.feature_width, style.device)
        # x after the first step, the second, …; after the last it is the motion.
        self._states = [Track(len(self.config.names), style.device) for _ in sampler.timesteps]

    @property
    def frames_heard(self) -> int:
        """How many frames the speech has lasted so far."""
        return int(self.samples * self.config.fps / SAMPLE_RATE)

    def push(self, speech: np.ndarray) -> np.ndarray:
        """Hear (S,) float32 at 16 kHz; return the coefficients (T, K), T >= 0, that became final."""
        made = [np.zeros((0, len(self.config.names)), np.float32)]
        # Live, what came in while nobody listened is done in one go.
        frames = self._chunk if self._look_ahead is None else max(self._chunk, CHUNK_FRAMES)
        block = max(1, int(frames * SAMPLE_RATE / self.config.fps))
        for start in range(0, len(speech), block):
            piece = speech[start : start + block]
            self._ear.push(piece)
            self.samples += len(piece)
            if self._audible() - self._frames >= self._chunk:
                made.append(self._advance(self._audible(), last=False))
        return np.concatenate(made)

    def finish(self) -> np.ndarray:
        """Return the coefficients (T, K) of the frames that still waited: the speech is over."""
        self._ear.finish()
        return self._advance(self.frames_heard, last=True)

    def _audible(self) -> int:
        """Return how many frames can be made of what was heard."""
        return min(self._ear.ready(), self.frames_heard)

    @torch.inference_mode()
    def _advance(self, known: int, *, last: bool) -> np.ndarray:
        """Run every stage over all the frames that it can; return the coefficients that became final.

        Args:
            known: how many frames of speech there are.
            last: there will be no more.
        """
        self._frames = known
        halo = self.config.encoder_halo
        known = self._run(self._features, halo, known, last, self._encode)
        self._ear.forget(self._features.end - halo)
        halo = self.config.denoiser_halo
        for index, state in enumerate(self._states):
            known = self._run(state, halo, known, last, partial(self._denoise, index))
            if index:
                self._states[index - 1].forget(state.end - halo)
            if self._on_frames:
                self._on_frames(sum(each.end for each in self._states) // len(self._states))
        motion = self._states[-1]
        self._features.forget(motion.end - halo)
        return self.network.denormalise(motion.forget(motion.end))[0].cpu().numpy()

    def _run(self, track: Track, halo: int, known: int, last: bool, make: Callable[[int, int], Tensor]) -> int:
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

    def _encode(self, first: int, end: int) -> Tensor:
        """Return speech features (1, end - first, D) of frames first … end."""
        return self.network.encoder(self._ear.inputs(first, end))

    def _denoise(self, index: int, first: int, end: int) -> Tensor:
        """Return frames first … end of x, (1, end - first, K), after step `index`."""
        x_t = self._states[index - 1].window(first, end) if index else self._noise_scale * self._noise(0, first, end)
        t = torch.full((1,), self.sampler.timesteps[index], device=x_t.device)
        features = self._features.window(first, end)
        x0 = self.network.guided_x0(x_t, t, features, self._style, self._guidance, self._style_guidance)
        return self.sampler.step(index, x_t, x0, lambda: self._noise(index + 1, first, end))

    def _noise(self, index: int, first: int, end: int) -> Tensor:
        """Return the Gaussian noise (1, end - first, K) that belongs to these frames at this step."""
        return frame_noise(self._seed, end - first, len(self.config.names), index, first).to(self._style.device)
