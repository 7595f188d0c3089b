"""Generation in chunks and live: what it makes must not depend on where the speech was cut, however many steps there are."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from test_model import small_network, speech

from talker_cli.animate.animator import Animator
from talker_cli.animate.stream import MotionStream
from talker_cli.errors import ModelError
from talker_cli.model.config import MAX_TIMESTEP, ModelConfig
from talker_cli.model.frontend import MelFrontend
from talker_cli.model.mel import log_mel
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.noise import frame_noise
from talker_cli.model.sampling import Sampler, uniform_timesteps
from talker_cli.model.torch_runner import TorchRunner
from talker_cli.rig import ARKIT_NAMES, HEAD_NAMES

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
            else [1.0] * len(config.names)
        )
        width = len(config.names)
        x = np.array(scales, np.float32) * frame_noise(seed, frames, width, 0)
        style = torch.from_numpy(STYLE)
        for index, t in enumerate(sampler.timesteps):
            x0 = network.guided_x0(torch.from_numpy(x), torch.full((1,), t), features, style, guidance).numpy()
            x = sampler.step(index, x, x0, lambda index=index: frame_noise(seed, frames, width, index + 1))
        return steady(x[0], config) * network.std.numpy() + network.mean.numpy()


def steady(motion: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Return motion (T, K) whose head's angles are smoothed by scipy's Gaussian of a fifteenth of a second."""
    std = config.fps / 15
    turns = [index for index, name in enumerate(config.names) if name in HEAD_NAMES]
    blurred = [
        gaussian_filter1d(values, std, axis=0, mode="constant", radius=int(np.ceil(2.5 * std)))
        for values in (motion[:, turns].astype(np.float64), np.ones((len(motion), 1)))
    ]
    motion = motion.copy()
    motion[:, turns] = blurred[0] / blurred[1]
    return motion


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


@pytest.mark.parametrize("fps", [30.0, 60.0])
@pytest.mark.parametrize("look_ahead", [None, 6])
def test_the_heads_tremble_goes_and_its_turns_stay(fps: float, look_ahead: int | None) -> None:
    """Breaks if the head trembles, the face is smoothed with it, chunks leave a seam, or live the delay is another."""
    network = small_network(fps=fps, names=(*ARKIT_NAMES, *HEAD_NAMES))
    wave = speech(4.03)
    reach = None if look_ahead is None else network.config.encoder_halo + 8 * network.config.denoiser_halo + 20
    made = np.concatenate(in_parts(stream_of(network, STUDENT, look_ahead=reach, chunk=11), wave, (7_777, 333)))
    whole = at_once(network, STUDENT, wave, 0, 1.0)
    late = 0 if look_ahead is None else round(fps / 15)
    ends = 0 if look_ahead is None else round(fps / 5)  # frames that have fewer neighbours on one side
    assert np.abs(made - whole)[:, :52].max() < 1e-4
    assert np.abs(made[late + ends : len(made) - ends, 52:] - whole[ends : len(whole) - late - ends, 52:]).max() < 1e-4
    stream = stream_of(network, STUDENT, look_ahead=look_ahead, chunk=2)
    steadied = np.concatenate(in_parts(stream, wave, (1600,)))
    stream = stream_of(network, STUDENT, look_ahead=look_ahead, chunk=2)
    stream.kernels = np.ones((1, len(network.config.names)), np.float32)
    raw = np.concatenate(in_parts(stream, wave, (1600,)))
    assert np.abs(raw - steadied)[:, :52].max() == 0
    tremble = [np.abs(np.diff(each[:, 52:], 2, axis=0)).mean() for each in (raw, steadied)]
    assert tremble[1] < 0.2 * tremble[0]
    assert np.abs(steadied[:, 52:].mean(0) - raw[:, 52:].mean(0)).max() < 0.1 * raw[:, 52:].std()


@pytest.mark.parametrize("gains", [[0.1], [0.1] * 53, [-0.1] * 52, [2.5] * 52, [float("nan")] * 52, "0.1"])
def test_a_postfilter_that_cannot_be_is_refused(gains: object) -> None:
    """Breaks if gains of other coefficients, or that blow the motion up, are read from a file."""
    values = small_network(names=ARKIT_NAMES).config.to_json()
    assert ModelConfig.from_json({**values, "postfilter": [0.1] * 52}).postfilter == (0.1,) * 52
    with pytest.raises(ModelError, match="postfilter"):
        ModelConfig.from_json({**values, "postfilter": gains})


@pytest.mark.parametrize(("fps", "lag"), [(25.0, 1), (30.0, 1), (60.0, 2)])
@pytest.mark.parametrize("turns", [False, True])
def test_the_postfilter_sharpens_what_it_should_and_leaves_no_seam(fps: float, lag: int, turns: bool) -> None:
    """Breaks if chunks or the ends of a recording show, another coefficient changes, or the lag is another."""
    names = (*ARKIT_NAMES, *HEAD_NAMES) if turns else ARKIT_NAMES
    gains = tuple({"jawOpen": 0.25, "mouthSmileLeft": 1.5}.get(name, 0.0) for name in names)
    network = small_network(fps=fps, names=names)
    wave = speech(2.03)
    plain = at_once(network, STUDENT, wave, 0, 1.0)
    frames, expected = len(plain), plain.copy()
    for column in (names.index("jawOpen"), names.index("mouthSmileLeft")):
        gain, curve = gains[column], plain[:, column]
        for frame in range(frames):
            near = [curve[other] for other in (frame - lag, frame + lag) if 0 <= other < frames]
            expected[frame, column] = ((1 + 2 * gain) * curve[frame] - gain * sum(near)) / (1 + (2 - len(near)) * gain)
    network.config = replace(network.config, postfilter=gains)
    for chunk, sizes in ((11, (7_777, 333)), (1024, (100_000,))):
        made = np.concatenate(in_parts(stream_of(network, STUDENT, chunk=chunk), wave, sizes))
        assert np.abs(made - expected).max() < 1e-4
    assert np.abs(expected - plain).max() > 0.01


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
