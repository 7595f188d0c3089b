"""A style fitted to motion: the diffusion loss as a function of the style vector alone, everything else frozen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talker_cli.animate.animator import Animator
from talker_cli.identity.resolve import StyleCondition, on_sphere
from talker_cli.metrics import lve
from talker_cli.model.config import MAX_TIMESTEP, SAMPLE_RATE
from talker_cli.model.diffusion import add_noise, alpha_sigma
from talker_cli.rig import Rig
from talker_cli.train.losses import LossWeights, SurfaceMetric, lip_gap_of

CROP_FRAMES = 64
CROPS = 16  # a batch
CHECK_CROPS = 32  # that early stopping looks at, always the same with the same noise
LEARNING_RATE = 0.05
MOST_STEPS = 200
CHECK_EVERY = 20  # steps
PATIENCE = 3  # checks without a gain
HELD_OUT = 0.25  # of the frames
LEAST = 15  # frames that a piece of a take has, if the takes have as many
MOST_FRAMES = 3600  # that are learned from: two minutes at 30 frames a second
PAYS = 0.98  # of the lip vertex error that is left when something is worth keeping


@dataclass(frozen=True)
class MotionExample:
    """A recording with its motion: sound (S,) at 16 kHz, and coefficients (T, K) at the model's rate."""

    path: str
    sound: np.ndarray
    coefficients: np.ndarray


@dataclass(frozen=True)
class Fit:
    """What fitting came to.

    Args:
        manner: the style, and the offset if it pays; the one that was read off the voice, if fitting does not pay.
        before, after: lip vertex error (CodeTalker's), square metres, on the frames held out.
        seconds, held_out: of motion that was learned from, and held out.
        steps: of the optimiser to the best style.
    """

    manner: StyleCondition
    before: float
    after: float
    seconds: float
    held_out: float
    steps: int


def fit(animator: Animator, rig: Rig, style: np.ndarray, takes: Sequence[MotionExample]) -> Fit:
    """Fit a style to takes, from the one that was read off the voice.

    Args:
        animator: the model.
        rig: of the model, in any of its faces.
        style: (S,), where to start.
        takes: at least one.
    """
    fps = animator.network.config.fps
    learned, held = _split([_trimmed(take, fps) for take in takes], fps)
    before = _error(animator, rig, StyleCondition(style), held)
    fitted, steps = _descend(animator, rig, style, learned, held)
    best, after = StyleCondition(style), before
    error = _error(animator, rig, StyleCondition(fitted), held)
    if error < PAYS * after:
        best, after = StyleCondition(fitted), error
    # What is left after the style: an expression at rest that no style of the model has.
    shifted = StyleCondition(best.style, _rest(animator, best, learned))
    error = _error(animator, rig, shifted, held)
    if error < PAYS * after:
        best, after = shifted, error
    lengths = [sum(len(take.coefficients) for take in part) / fps for part in (learned, held)]
    return Fit(best, before, after, lengths[0], lengths[1], steps)


def _trimmed(take: MotionExample, fps: float) -> MotionExample:
    """Return the take cut to the shorter of its sound and its motion, and to as much as is learned from in all."""
    frames = min(len(take.coefficients), int(len(take.sound) * fps / SAMPLE_RATE), MOST_FRAMES)
    return MotionExample(take.path, take.sound[: int(np.ceil(frames * SAMPLE_RATE / fps))], take.coefficients[:frames])


def _split(takes: list[MotionExample], fps: float) -> tuple[list[MotionExample], list[MotionExample]]:
    """Return what is learned from and what is held out: the last quarter of all frames, through the middle of a take."""
    learned, held = list(takes), list[MotionExample]()
    total = sum(len(take.coefficients) for take in takes)
    wanted = max(min(LEAST, total // 2), round(HELD_OUT * total))
    while wanted > 0:
        take = learned.pop()
        cut = max(0, len(take.coefficients) - wanted)
        if cut < LEAST and learned:  # no scrap to learn from
            cut = 0
        sample = int(np.ceil(cut * SAMPLE_RATE / fps))
        if cut > 0:
            learned.append(MotionExample(take.path, take.sound[:sample], take.coefficients[:cut]))
        held.append(MotionExample(take.path, take.sound[sample:], take.coefficients[cut:]))
        wanted -= len(take.coefficients) - cut
        if wanted < LEAST:  # nor one to hold out
            break
    while len(learned) > 1 and sum(len(take.coefficients) for take in learned) > MOST_FRAMES:
        learned.pop()
    return learned, held


def _error(animator: Animator, rig: Rig, manner: StyleCondition, takes: list[MotionExample]) -> float:
    """Return the lip vertex error, square metres, of what the model makes of the takes' sound."""
    lips = rig.regions["lips"]
    flat = rig.basis[:, lips].reshape(len(rig.names), -1)

    def offsets(coefficients: np.ndarray) -> np.ndarray:
        return np.asarray(coefficients @ flat).reshape(len(coefficients), -1, 3)

    pairs = ((offsets(take.coefficients), offsets(animator.coefficients(take.sound, manner))) for take in takes)
    return lve(pairs, np.ones(int(lips.sum()), dtype=bool))


def _rest(animator: Animator, manner: StyleCondition, takes: list[MotionExample]) -> np.ndarray:
    """Return the (K,) mean of what the model's motion lacks."""
    total, frames = np.zeros(len(animator.network.config.names)), 0
    for take in takes:
        made = animator.coefficients(take.sound, manner)
        count = min(len(made), len(take.coefficients))
        total += (take.coefficients[:count] - made[:count]).sum(0, dtype=np.float64)
        frames += count
    return np.asarray(total / frames, dtype=np.float32)


class _Crops:
    """Crops of takes: speech features (B, T, D) and coefficients (B, T, K)."""

    def __init__(self, animator: Animator, takes: list[MotionExample]) -> None:
        self.length = min(CROP_FRAMES, *(len(take.coefficients) for take in takes))
        self.parts = []
        for take in takes:
            features = animator.speech_features(take.sound, len(take.coefficients))[0]
            self.parts.append((features, torch.from_numpy(take.coefficients).float().to(animator.device)))
        frames_each = np.array([len(take.coefficients) for take in takes], dtype=np.float64)
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
    animator: Animator, rig: Rig, start: np.ndarray, learned: list[MotionExample], held: list[MotionExample]
) -> tuple[np.ndarray, int]:
    """Return the style with the least diffusion loss on what was held out, and the steps to it; a function of its arguments."""
    network, device = animator.network, animator.device
    metric = SurfaceMetric(rig, network.deviation.cpu().numpy(), LossWeights()).to(device)
    gap_rows = torch.from_numpy(rig.lip_gap_rows()).float().to(device)
    style = torch.from_numpy(start.copy()).to(device).requires_grad_(True)
    optimizer = torch.optim.Adam([style], lr=LEARNING_RATE)
    rng = np.random.default_rng(0)
    crops, check = _Crops(animator, learned), _Crops(animator, held).draw(CHECK_CROPS, np.random.default_rng(1))

    def loss(features: Tensor, coefficients: Tensor, seed: int) -> Tensor:
        count = len(features)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(coefficients.shape, generator=generator).to(device)
        t = _timesteps(animator, count, generator).to(device)
        x0 = network.normalise(coefficients)
        predicted = network.predict_x0(add_noise(x0, noise, t), t, features, style.expand(count, -1))
        _, sigma = alpha_sigma(t[:, None, None])
        result: Tensor = metric((predicted - x0) / sigma, lip_gap_of(coefficients, gap_rows))
        return result

    best, best_loss, best_step, failures = start, float("inf"), 0, 0
    for step in range(MOST_STEPS + 1):
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                now = float(loss(*check, seed=0))
            failures = 0 if now < best_loss else failures + 1
            if now < best_loss:
                best, best_loss, best_step = style.detach().cpu().numpy().copy(), now, step
            if failures == PATIENCE or step == MOST_STEPS:
                break
        value = loss(*crops.draw(CROPS, rng), seed=step + 1)
        (style.grad,) = torch.autograd.grad(value, style)
        optimizer.step()
        with torch.no_grad():  # the network knows styles on the sphere alone
            style.copy_(torch.from_numpy(on_sphere(style.cpu().numpy())))
    return best, best_step


def _timesteps(animator: Animator, count: int, generator: torch.Generator) -> Tensor:
    """Return timesteps (B,): a student's own, or spread over all that a teacher knows."""
    own = animator.network.config.timesteps
    if own:
        return torch.tensor(own)[torch.randint(len(own), (count,), generator=generator)] / MAX_TIMESTEP
    return ((torch.arange(count) + torch.rand(count, generator=generator)) / count).clamp(min=0.02)
