"""Generation in chunks and live: what it makes must not depend on where the speech was cut, however many steps there are."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from test_model import small_network, speech

from talker_cli.animate.animator import Animator
from talker_cli.animate.stream import MotionStream
from talker_cli.model.config import MAX_TIMESTEP
from talker_cli.model.frontend import MelFrontend
from talker_cli.model.mel import log_mel
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.noise import frame_noise
from talker_cli.model.sampling import Sampler, uniform_timesteps
from talker_cli.model.torch_runner import TorchRunner

STYLE = (torch.nn.functional.normalize(torch.arange(32.0)[None] - 9) * 32**0.5).numpy()


def at_once(network: FaceDiffusion, sampler: Sampler, wave: np.ndarray, seed: int, guidance: float) -> np.ndarray:
    """Return the motion of the whole recording in one piece, step after step: the definition."""
    config = network.config
    frames = int(len(wave) * config.fps / 16_000)
    with torch.inference_mode():
        features = network.encoder(torch.from_numpy(log_mel(wave, frames, config))[None])
        scales = (
            [1.5 if name in ("eyeBlinkLeft", "browInnerUp") else 0.9 for name in config.names]
            if config.upper_face
            else [1.0] * 52
        )
        x = np.array(scales, np.float32) * frame_noise(seed, frames, 52, 0)
        style = torch.from_numpy(STYLE)
        for index, t in enumerate(sampler.timesteps):
            x0 = network.guided_x0(torch.from_numpy(x), torch.full((1,), t), features, style, guidance).numpy()
            x = sampler.step(index, x, x0, lambda index=index: frame_noise(seed, frames, 52, index + 1))
        return x[0] * network.std.numpy() + network.mean.numpy()


def frontend(network: FaceDiffusion) -> MelFrontend:
    """Return the input of a network's encoder."""
    return MelFrontend(network.config)


def stream_of(network: FaceDiffusion, sampler: Sampler, mel: MelFrontend | None = None, **options: Any) -> MotionStream:
    """Return a stream of a network on the CPU."""
    return MotionStream(TorchRunner(network, torch.device("cpu")), sampler, STYLE, mel or frontend(network), **options)


def in_parts(stream: MotionStream, wave: np.ndarray, sizes: tuple[int, ...]) -> list[np.ndarray]:
    """Return what a stream gives for each part of the recording; parts have these sizes in turn."""
    made, start = [], 0
    for size in itertools.cycle(sizes):
        if start >= len(wave):
            return [*made, stream.finish()]
        made.append(stream.push(wave[start : start + size]))
        start += size
    raise AssertionError


STUDENT = Sampler(tuple(step / MAX_TIMESTEP for step in (256, 224, 192, 160, 128, 96, 64, 32)))


@pytest.mark.parametrize(
    ("sampler", "guidance", "fps"),
    [
        (STUDENT, 1.0, 30.0),
        (Sampler((1.0,)), 1.0, 25.0),
        (Sampler(uniform_timesteps(5)), 1.7, 30.0),
        (Sampler(uniform_timesteps(16), ancestral=True), 1.3, 60.0),
    ],
    ids=["student", "one step", "guided", "ancestral"],
)
@pytest.mark.parametrize(("chunk", "sizes"), [(50, (65_536,)), (11, (7_777, 333))])
def test_parts_make_what_the_whole_makes(
    sampler: Sampler, guidance: float, fps: float, chunk: int, sizes: tuple[int, ...]
) -> None:
    """Breaks if a frame depends on where chunks end: a seam. Any number of steps, with and without noise in between."""
    network = small_network(fps=fps, temperature=0.9, upper_face_temperature=1.5, upper_face=("eyeBlinkLeft", "browInnerUp"))
    wave = speech(4.03)
    stream = stream_of(network, sampler, seed=5, guidance=guidance, chunk=chunk)
    made = in_parts(stream, wave, sizes)
    whole = at_once(network, sampler, wave, 5, guidance)
    assert np.concatenate(made).shape == whole.shape == (int(4.03 * fps), 52)
    assert np.abs(np.concatenate(made) - whole).max() < 1e-4
    assert np.abs(whole).std() > 0.01


def test_motion_comes_while_the_speech_goes_on_and_memory_does_not_grow() -> None:
    """Breaks if the first frame needs the whole recording, or if memory grows with its length."""
    network = small_network()
    stream = stream_of(network, STUDENT, mel := frontend(network), chunk=20)
    halo = network.config.encoder_halo + 8 * network.config.denoiser_halo
    frames = 0
    for second in range(1, 21):
        frames += len(stream.push(speech(1.0, seed=second)))
        assert frames >= 30 * second - halo - 20 - 1
        held = [stream._features, *stream._states]
        assert all(track.final.shape[1] <= halo + 30 + 20 for track in held)
        assert len(mel.speech) < 16_000 * (halo + 30 + 20) / 30
    assert frames + len(stream.finish()) == 20 * 30


def test_live_frames_come_after_the_look_ahead_and_stay() -> None:
    """Breaks if a frame is late, or if what is sent live differs from what the same speech gives with all of it known."""
    network = small_network()
    wave = speech(3.0)
    stream = stream_of(network, STUDENT, look_ahead=6, chunk=3)
    frames = 0
    for count, start in enumerate(range(0, len(wave), 1600), 1):
        frames += len(stream.push(wave[start : start + 1600]))
        assert frames >= 3 * count - 6 - 3
    assert frames + len(stream.finish()) == 90
    # With a look-ahead of the whole receptive field, live motion is the motion.
    reach = network.config.encoder_halo + 8 * network.config.denoiser_halo
    stream = stream_of(network, STUDENT, look_ahead=reach, chunk=9)
    live = np.concatenate(in_parts(stream, wave, (1600,)))
    assert np.abs(live - at_once(network, STUDENT, wave, 0, 1.0)).max() < 1e-4


def test_progress_counts_frames_and_ends_at_all_of_them() -> None:
    """Breaks if the progress bar goes backwards, or ends before its end."""
    seen: list[int] = []
    animator = Animator(TorchRunner(small_network(), torch.device("cpu")), 4)
    animator.coefficients(speech(2.0), "Ada", on_frames=seen.append)
    assert seen == sorted(seen) and seen[-1] == 60 and seen[0] == 15  # one of four steps is done


def test_the_shortest_speech_is_animated() -> None:
    """Breaks if speech of one frame gives none, or an error."""
    animator = Animator(TorchRunner(small_network(), torch.device("cpu")), 4)
    assert animator.coefficients(speech(0.034), "Ada").shape == (1, 52)
