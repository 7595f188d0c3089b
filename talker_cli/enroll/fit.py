"""A style fitted to motion: the diffusion loss as a function of the style vector alone, everything else frozen; by PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talker_cli.animate.animator import Animator
from talker_cli.enroll.motion import MotionExample
from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.identity.resolve import StyleCondition, on_sphere
from talker_cli.metrics import lve
from talker_cli.model.config import MAX_TIMESTEP
from talker_cli.model.diffusion import add_noise, alpha_sigma
from talker_cli.model.torch_runner import TorchRunner
from talker_cli.rig import Rig
from talker_cli.train.losses import LossWeights, SurfaceMetric, lip_gap_of

CROP_FRAMES = 64
CROPS = 16  # in a batch
CHECK_CROPS = 32  # for early stopping, always the same with the same noise
LEARNING_RATE = 0.05
MAX_STEPS = 200
CHECK_EVERY = 20  # steps
PATIENCE = 3  # checks without a gain
CHOICE_SHARE = 0.25  # of the frames that are not for the test: they choose the step and the style
TEST_SHARE = 0.2  # of all frames
MIN_SECONDS_FOR_TEST = 10.0  # of motion; with less, the errors are of the frames that chose
MIN_FRAMES = 15  # of a piece of an example, if the examples have as many
MAX_FRAMES = 3600  # to fit to: two minutes at 30 frames a second
PARTING = 1e-3  # metres by which a unit of a coefficient opens or closes a lip pair: it gets no offset
MAX_RATIO = 0.98  # of the lip vertex error: a change must lower it to this or less


@dataclass(frozen=True)
class Fit:
    """A fitted style and its errors.

    Args:
        condition: Best of the style of the voice, the known ones, the fitted one, and the best of these with an offset.
        before: Lip vertex error (CodeTalker) with the style of the voice, square metres, on the held-out frames.
        after: Lip vertex error with `condition`.
        seconds: Seconds of motion that the style was fitted to.
        held_out: Seconds of motion that the errors were measured on.
        unseen: Whether the choice of `condition` did not use those seconds.
        steps: Optimiser steps to the fitted style.
        fitted: Whether `condition` is not the style of the voice.
    """

    condition: StyleCondition
    before: float
    after: float
    seconds: float
    held_out: float
    unseen: bool
    steps: int
    fitted: bool


def fit(
    animator: Animator, rig: Rig, style: np.ndarray, examples: Sequence[MotionExample], known: Sequence[np.ndarray] = ()
) -> Fit:
    """Fit a style to motion, starting from the nearest of the style of the voice and known ones.

    Args:
        animator: The model.
        rig: The model's rig, with any template.
        style: (S,) the style of the voice.
        examples: At least one.
        known: Other styles (S,) to start from.

    Raises:
        InputError: the loss is not finite.
    """
    fps = animator.config.fps
    learning, choosing, test = _split([_trimmed(example, fps) for example in examples], fps)
    voice = StyleCondition(style)
    starts = [(_error(animator, rig, each, choosing), each) for each in (voice, *map(StyleCondition, known))]
    nearest_error, nearest = min(starts, key=lambda start: start[0])
    fitted, steps = _descend(animator, rig, nearest.style, learning, choosing)
    best, error = (nearest, nearest_error) if nearest_error < MAX_RATIO * starts[0][0] else (voice, starts[0][0])
    for with_offset in (False, True):  # a resting expression may be left that no style of the model has
        condition = StyleCondition(best.style, _rest(animator, rig, best, learning)) if with_offset else StyleCondition(fitted)
        now = _error(animator, rig, condition, choosing)
        if now < MAX_RATIO * error:
            best, error = condition, now
    measured = test or choosing
    before, after = (_error(animator, rig, condition, measured) for condition in (voice, best))
    seconds, held_out = (sum(len(example.coefficients) for example in part) / fps for part in (learning, measured))
    return Fit(best, before, after, seconds, held_out, bool(test), steps, best is not voice)


def _trimmed(example: MotionExample, fps: float) -> MotionExample:
    """Return an example cut to the shorter of its sound and its motion, and to MAX_FRAMES."""
    frames = min(len(example.coefficients), int(len(example.sound) * fps / SAMPLE_RATE), MAX_FRAMES)
    return MotionExample(example.path, example.sound[: int(np.ceil(frames * SAMPLE_RATE / fps))], example.coefficients[:frames])


def _split(examples: list[MotionExample], fps: float) -> tuple[list[MotionExample], list[MotionExample], list[MotionExample]]:
    """Return the examples to learn from, to choose by, and to test on; the last is empty where there is little motion."""
    test: list[MotionExample] = []
    if sum(len(example.coefficients) for example in examples) >= MIN_SECONDS_FOR_TEST * fps:
        examples, test = _cut(examples, TEST_SHARE, fps)
    learning, choosing = _cut(examples, CHOICE_SHARE, fps)
    while len(learning) > 1 and sum(len(example.coefficients) for example in learning) > MAX_FRAMES:
        learning.pop()
    return learning, choosing, test


def _cut(examples: list[MotionExample], share: float, fps: float) -> tuple[list[MotionExample], list[MotionExample]]:
    """Return the examples without the last `share` of all frames, and that share; one example may be cut in two."""
    kept, last = list(examples), list[MotionExample]()
    total = sum(len(example.coefficients) for example in examples)
    wanted = max(min(MIN_FRAMES, total // 2), round(share * total))
    while wanted > 0:
        example = kept.pop()
        cut = max(0, len(example.coefficients) - wanted)
        if cut < MIN_FRAMES and kept:  # too short a piece to learn from
            cut = 0
        sample = int(np.ceil(cut * SAMPLE_RATE / fps))
        if cut > 0:
            kept.append(MotionExample(example.path, example.sound[:sample], example.coefficients[:cut]))
        last.append(MotionExample(example.path, example.sound[sample:], example.coefficients[cut:]))
        wanted -= len(example.coefficients) - cut
        if wanted < MIN_FRAMES:  # too short a piece to hold out
            break
    return kept, last


def _error(animator: Animator, rig: Rig, condition: StyleCondition, examples: list[MotionExample]) -> float:
    """Return the lip vertex error, square metres, of the model's motion for the examples' sound."""
    lips = rig.regions["lips"]
    flat = rig.basis[:, lips].reshape(len(rig.names), -1)

    def offsets(coefficients: np.ndarray) -> np.ndarray:
        return np.asarray(coefficients @ flat).reshape(len(coefficients), -1, 3)

    pairs = ((offsets(example.coefficients), offsets(animator.coefficients(example.sound, condition))) for example in examples)
    return lve(pairs, np.ones(int(lips.sum()), dtype=bool))


def _rest(animator: Animator, rig: Rig, condition: StyleCondition, examples: list[MotionExample]) -> np.ndarray:
    """Return (K,): the examples' coefficients minus the model's, mean over frames; 0 where it would hold closed lips open."""
    total, frames = np.zeros(len(animator.config.names)), 0
    for example in examples:
        predicted = animator.coefficients(example.sound, condition)
        count = min(len(predicted), len(example.coefficients))
        total += (example.coefficients[:count] - predicted[:count]).sum(0, dtype=np.float64)
        frames += count
    parting = np.abs(rig.lip_gap_rows()).max(0) > PARTING
    return np.where(parting, 0.0, total / frames).astype(np.float32)


class _Crops:
    """Random crops of examples: speech features (B, T, D) and coefficients (B, T, K)."""

    def __init__(self, animator: Animator, examples: list[MotionExample], device: torch.device) -> None:
        self.length = min(CROP_FRAMES, *(len(example.coefficients) for example in examples))
        self.parts = []
        for example in examples:
            features = animator.speech_features(example.sound, len(example.coefficients))[0]
            pair = (features, np.asarray(example.coefficients, np.float32))
            self.parts.append(tuple(torch.from_numpy(part).to(device) for part in pair))
        frames_each = np.array([len(example.coefficients) for example in examples], dtype=np.float64)
        self.share = frames_each / frames_each.sum()

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return the features and coefficients of random crops."""
        pairs = []
        for index in rng.choice(len(self.parts), size=count, p=self.share):
            features, coefficients = self.parts[index]
            start = int(rng.integers(0, len(features) - self.length + 1))
            pairs.append((features[start : start + self.length], coefficients[start : start + self.length]))
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])


def _descend(
    animator: Animator, rig: Rig, start: np.ndarray, learning: list[MotionExample], choosing: list[MotionExample]
) -> tuple[np.ndarray, int]:
    """Return the style with the lowest diffusion loss on `choosing`, and the steps to it; deterministic.

    Raises:
        InputError: the loss is not finite.
    """
    runner = animator.runner
    assert isinstance(runner, TorchRunner)  # a style is fitted by gradients
    network, device = runner.network, runner.device
    metric = SurfaceMetric(rig, network.std.cpu().numpy(), LossWeights()).to(device)
    gap_rows = torch.from_numpy(rig.lip_gap_rows()).float().to(device)
    style = torch.from_numpy(start.copy()).to(device).requires_grad_(True)
    optimizer = torch.optim.Adam([style], lr=LEARNING_RATE)
    rng = np.random.default_rng(0)
    crops, check = (
        _Crops(animator, learning, device),
        _Crops(animator, choosing, device).draw(CHECK_CROPS, np.random.default_rng(1)),
    )

    def loss(features: Tensor, coefficients: Tensor, seed: int) -> Tensor:
        count = len(features)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(coefficients.shape, generator=generator).to(device)
        t = _timesteps(animator, count, generator).to(device)
        x0 = network.normalise(coefficients)
        predicted = network.predict_x0(add_noise(x0, noise, t), t, features, style.expand(count, -1))
        _, sigma = alpha_sigma(t[:, None, None])
        result: Tensor = metric((predicted - x0) / sigma, lip_gap_of(coefficients, gap_rows))
        if not torch.isfinite(result):
            names = ", ".join(dict.fromkeys(example.path for example in (*learning, *choosing)))
            raise InputError(
                f"the loss of fitting a style to the motion of {names:.200} is not finite at step {max(seed - 1, 0)}; "
                "expected finite recordings, motion and weights; check them"
            )
        return result

    best, best_loss, best_step, failures = start, float("inf"), 0, 0
    for step in range(MAX_STEPS + 1):
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                now = float(loss(*check, seed=0))
            failures = 0 if now < best_loss else failures + 1
            if now < best_loss:
                best, best_loss, best_step = style.detach().cpu().numpy().copy(), now, step
            if failures == PATIENCE or step == MAX_STEPS:
                break
        value = loss(*crops.draw(CROPS, rng), seed=step + 1)
        (style.grad,) = torch.autograd.grad(value, style)
        optimizer.step()
        with torch.no_grad():  # the network knows styles on the sphere alone
            style.copy_(torch.from_numpy(on_sphere(style.cpu().numpy())))
    return best, best_step


def _timesteps(animator: Animator, count: int, generator: torch.Generator) -> Tensor:
    """Return timesteps (B,): a student's own, or spread evenly over a teacher's range."""
    own = animator.config.timesteps
    if own:
        return torch.tensor(own)[torch.randint(len(own), (count,), generator=generator)] / MAX_TIMESTEP
    return ((torch.arange(count) + torch.rand(count, generator=generator)) / count).clamp(min=0.02)
