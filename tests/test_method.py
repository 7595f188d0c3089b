"""The method by exact algebra: losses, guidance, distillation targets and averages on networks whose right answer is known.

The denoisers here are linear functions of what they are given, so that each loss has a closed form, written down once
more in NumPy. Data are Gaussian where a sampler's path is followed: their optimal denoiser is linear, and DDIM multiplies by
known factors.
"""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_dataset, tiny_rig
from torch import Tensor, nn

from talker_cli.formats.files import ArrayFile
from talker_cli.model.checkpoint import load_model
from talker_cli.model.config import Architecture, ModelConfig
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.noise import frame_noise
from talker_cli.model.sampling import posterior_sample
from talker_cli.rig import ARKIT_NAMES, Rig
from talker_cli.train.batches import UNKNOWN_PHONE, Batch, ClipBank, Part
from talker_cli.train.distill import DistillConfig, _Draw, _Halving, distill
from talker_cli.train.losses import Draw, LossWeights, Objective, SurfaceMetric, lip_gap_of
from talker_cli.train.rate import warmed_cosine
from talker_cli.train.run import Average
from talker_cli.train.teacher import TrainConfig, Trainer, make_accelerator, train

NARROW = Architecture(feature_width=12, encoder_dilations=(1,), width=12, denoiser_dilations=(1,))
B, T, K = 4, 6, 52
pytestmark = pytest.mark.usefixtures("without_charts")
IDENTITIES = ("Ada", "Bert", "FaceTalk_1_TA", "FaceTalk_2_TA")


class Affine(nn.Module):
    """A denoiser `a(t) x_t + speech + style`, each part a known number: `seen` if it is there, nothing where it is dropped."""

    def __init__(self, width: int, style: int, factor: Callable[[Tensor], Tensor], speech: float, manner: float) -> None:
        super().__init__()
        self.null_speech, self.null_style = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(style))
        self.factor, self.speech, self.manner = factor, speech, manner
        self.calls: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def forward(self, x_t: Tensor, t: Tensor, features: Tensor, style: Tensor, emotion: Tensor | None = None) -> Tensor:
        self.calls.append((x_t, t, features, style))
        heard = (features != 0).any(-1, keepdim=True).float()  # (B, T, 1)
        known = (style != 0).any(-1)[:, None, None].float()
        return self.factor(t)[:, None, None] * x_t + self.speech * heard + self.manner * known


def network_of(prediction: str = "v", **changes: object) -> FaceDiffusion:
    torch.manual_seed(3)
    config = ModelConfig(
        kind="teacher", rig="", names=ARKIT_NAMES, identities=IDENTITIES, fps=30.0, feature_width=12, encoder_dilations=(1,),
        style_width=4, width=12, denoiser_dilations=(1,), prediction=prediction, **changes,  # type: ignore[arg-type]
    )  # fmt: skip
    network = FaceDiffusion(config)
    network.set_normalisation(np.full(K, 0.1, np.float32), np.linspace(0.05, 0.2, K, dtype=np.float32))
    return network.eval()


def batch_of(matched: bool = True) -> Batch:
    rng = np.random.default_rng(2)
    coefficients = torch.from_numpy(rng.uniform(0, 0.4, (B, T, K)).astype(np.float32))
    coefficients[:, ::2, ARKIT_NAMES.index("jawOpen")] = 0.0  # closed lips in every other frame
    phones = torch.full((B, T), UNKNOWN_PHONE)
    mel = torch.from_numpy(rng.normal(size=(B, T * 4, 80)).astype(np.float32))
    return Batch(mel, coefficients, torch.tensor([0, 1, 2, 3]), torch.full((B,), matched), phones)


def draw_of(**changes: Tensor) -> Draw:
    none = torch.zeros(B, dtype=torch.bool)
    t = torch.tensor([0.15, 0.4, 0.65, 0.95])
    noise = torch.from_numpy(np.random.default_rng(4).normal(size=(B, T, K)).astype(np.float32))
    return replace(Draw(t, noise, none, none, none), **changes)


def expected_metric(rig: Rig, std: np.ndarray, weights: LossWeights, error: np.ndarray, gap: np.ndarray) -> float:
    """Return the loss of errors (B, T, K) by its definition, vertex by vertex, in float64."""
    vertex = 1.0 + (weights.lips - 1.0) * rig.regions["lips"]
    basis = rig.basis.astype(np.float64) * std[:, None, None]
    trace = (vertex[None, :, None] * basis**2).sum()
    moved = np.einsum("btk,kvd->btvd", error, basis)
    surface = (vertex[:, None] * moved**2).sum((2, 3)) * (weights.surface * K / trace) + weights.coefficient * (error**2).sum(2)
    upper, lower = rig.lip_pairs.T
    rows = (rig.basis[:, upper, 1] - rig.basis[:, lower, 1]).mean(1).astype(np.float64) * std
    opening = error @ (rows / np.sqrt((rows**2).sum()))
    opening = opening * np.sqrt(weights.gap * (0.5 + 2.0 * 0.002 / (0.002 + gap)))
    weight = 1 + weights.closed / (1 + (gap / 0.001) ** 2)
    position = weight * (surface / K + 0.6 * (np.sqrt(opening**2 + 0.01) - 0.1))
    steps = np.diff(error, axis=1)
    moved = np.einsum("btk,kvd->btvd", steps, basis)
    surface = (vertex[:, None] * moved**2).sum((2, 3)) * (weights.surface * K / trace) + weights.coefficient * (steps**2).sum(2)
    between = (weight[:, 1:] + weight[:, :-1]) / 2
    velocity = between * (surface / K + np.diff(opening, axis=1) ** 2)
    return float(position.mean() + weights.velocity * velocity.mean())


def true_gap(rig: Rig, coefficients: Tensor) -> np.ndarray:
    upper, lower = rig.lip_pairs.T
    rows = rig.basis[:, upper, 1] - rig.basis[:, lower, 1]  # (K, P)
    return np.maximum(coefficients.double().numpy() @ rows.astype(np.float64), 0).mean(-1)


WEIGHTS = (
    LossWeights(), LossWeights(gap=0.0), LossWeights(velocity=0.0), LossWeights(closed=0.0), LossWeights(lips=1.0),
    LossWeights(surface=0.0), LossWeights(coefficient=0.05),
)  # fmt: skip


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_the_metric_is_its_formula(weights: LossWeights) -> None:
    """Breaks if the gap, the velocity, the weight of closed lips, of lip vertices, or the coefficients' own part is lost."""
    rig = tiny_rig().rig
    std = np.linspace(0.05, 0.2, K)
    error = np.random.default_rng(0).normal(size=(B, T, K))
    gap = true_gap(rig, batch_of().coefficients)
    loss = SurfaceMetric(rig, std, weights)(torch.from_numpy(error), torch.from_numpy(gap).float())
    assert float(loss) == pytest.approx(expected_metric(rig, std, weights, error, gap), rel=1e-4)


def test_the_gap_of_coefficients_is_that_of_the_vertices() -> None:
    """Breaks if the loss weighs frames by another opening than the lips have."""
    rig = tiny_rig().rig
    coefficients = batch_of().coefficients
    found = lip_gap_of(coefficients, torch.from_numpy(rig.lip_gap_rows()).float())
    assert np.allclose(found.numpy(), true_gap(rig, coefficients), atol=1e-7)
    assert (found[:, 1::2] > 0.001).any() and (found[:, ::2] < 1e-3).any()


@pytest.mark.parametrize("prediction", ["v", "x0"])
def test_the_diffusion_loss_is_the_error_of_the_prediction(prediction: str) -> None:
    """Breaks if v has another sign, the timestep, the noise or the normalisation of the target is another."""
    network, rig, batch, draw = network_of(prediction), tiny_rig().rig, batch_of(), draw_of()
    toy = network.denoiser = Affine(12, 4, lambda t: 0.3 - t, 0.07, -0.05)  # type: ignore[assignment]
    losses = Objective(network, rig, LossWeights(), 2)(batch, batch.mel, draw, Part.of(batch))
    ((x_t, t, _, style),) = toy.calls
    x0 = ((batch.coefficients - 0.1) / torch.linspace(0.05, 0.2, K)).double().numpy()
    eps, angle = draw.noise.double().numpy(), draw.t.double().numpy()[:, None, None] * math.pi / 2
    noisy = np.cos(angle) * x0 + np.sin(angle) * eps
    assert np.allclose(x_t.numpy(), noisy, atol=1e-5) and torch.equal(t, draw.t)
    table = network.personalizer.table
    own = table / table.norm(dim=1, keepdim=True) * 2.0  # on the sphere of radius sqrt(4)
    assert torch.allclose(style, own, atol=1e-5)  # row b is identity b's
    output = (0.3 - draw.t.double().numpy())[:, None, None] * noisy + 0.02
    target = np.cos(angle) * eps - np.sin(angle) * x0 if prediction == "v" else x0
    expected = expected_metric(
        rig, network.std.double().numpy(), LossWeights(), output - target, true_gap(rig, batch.coefficients)
    )
    assert float(losses["diffusion"]) == pytest.approx(expected, rel=1e-4)


def test_the_regression_loss_is_the_error_of_its_head() -> None:
    """Breaks if the motion read straight off the features is lost from the losses, or compared with something else."""
    network, rig, batch = network_of(), tiny_rig().rig, batch_of()
    objective = Objective(network, rig, LossWeights(), 2)
    with torch.no_grad():
        objective.regression.weight.zero_()
        objective.regression.bias.fill_(0.4)
    losses = objective(batch, batch.mel, draw_of(), Part.of(batch))
    error = 0.4 - ((batch.coefficients - 0.1) / torch.linspace(0.05, 0.2, K)).double().numpy()
    gap = true_gap(rig, batch.coefficients)
    expected = expected_metric(rig, network.std.double().numpy(), LossWeights(), error, gap)
    assert float(losses["regression"].detach()) == pytest.approx(expected, rel=1e-4)


def test_ancestral_noise_has_the_posterior_deviation() -> None:
    """Breaks if DDPM draws with another variance than q(x_s | x_t, x0)'s, or forgets to."""
    zero, one = torch.zeros(1, 1, 1, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
    for t, s in ((1.0, 0.5), (0.75, 0.7), (0.3, 0.05)):
        (a, b), (c, d) = ((math.cos(x * math.pi / 2), math.sin(x * math.pi / 2)) for x in (t, s))
        std = math.sqrt(b**2 - (a / c) ** 2 * d**2) * d / b
        assert float(posterior_sample(zero, zero, t, s, one)) == pytest.approx(std, rel=1e-9)


def test_each_block_of_frames_has_noise_of_its_own() -> None:
    """Breaks if a motion's noise repeats itself every 64 frames, steps or recordings."""
    noise = frame_noise(3, 256, 5, 0)[0]
    blocks = [*np.split(noise, 4), frame_noise(3, 64, 5, 1)[0], frame_noise(4, 64, 5, 0)[0]]
    for one in range(len(blocks)):
        for other in range(one):
            assert abs(np.corrcoef(blocks[one].flatten(), blocks[other].flatten())[0, 1]) < 0.25


def test_what_is_dropped_is_not_seen() -> None:
    """Breaks if a condition is never dropped, the two are exchanged, or another row's is dropped."""
    network, batch = network_of(), batch_of()
    toy = network.denoiser = Affine(12, 4, lambda t: t, 0.0, 0.0)  # type: ignore[assignment]
    first, last = torch.tensor([True, False, False, True]), torch.tensor([False, False, True, True])
    draw = draw_of(drop_speech=first, drop_style=last)
    Objective(network, tiny_rig().rig, LossWeights(), 2)(batch, batch.mel, draw, Part.of(batch))
    ((_, _, features, style),) = toy.calls
    assert (features == 0).all(-1).all(-1).tolist() == first.tolist()
    assert (style == 0).all(-1).tolist() == last.tolist()


def test_a_style_is_read_off_the_sound_where_the_draw_says_so() -> None:
    """Breaks if the styles read off audio never reach the denoiser, or replace the named ones everywhere."""
    network, batch = network_of(), batch_of()
    toy = network.denoiser = Affine(12, 4, lambda t: t, 0.0, 0.0)  # type: ignore[assignment]
    which = torch.tensor([False, True, False, False])
    Objective(network, tiny_rig().rig, LossWeights(), 2)(batch, batch.mel, draw_of(use_audio_style=which), Part.of(batch))
    style = toy.calls[0][3]
    named, heard = network.personalizer.named(batch.identity), network.personalizer.read(batch.mel)
    assert torch.equal(style[~which], named[~which]) and torch.equal(style[which], heard[which])
    assert not torch.allclose(named[which], heard[which])


def test_the_draw_drops_as_often_as_it_says() -> None:
    """Breaks if conditions are dropped never, always, together only, or apart only; rates within 5 standard deviations."""
    count, rate = 40_000, 0.1
    batch = replace(batch_of(), coefficients=torch.zeros(count, 1, 1), voice_matched=torch.arange(count) % 2 == 0)
    draw = Draw.sample(batch, torch.Generator().manual_seed(0), rate)
    speech, style, heard = draw.drop_speech.float(), draw.drop_style.float(), draw.use_audio_style
    for dropped in (speech, style):
        assert rate - 0.01 < dropped.mean() < 0.17
    both = (speech * style).mean()
    assert 0.045 < both < 0.08  # the branch that guidance starts from: 5 % together, and by chance
    assert not heard[1::2].any() and 0.1 < heard[::2].float().mean() < 0.2
    t = draw.t.sort().values
    assert t[0] >= 1e-3 and t[-1] <= 1 and (t - torch.arange(count) / count).abs().max() < 2 / count + 1e-3  # stratified
    assert abs(draw.noise.mean()) < 0.025 and abs(draw.noise.std() - 1) < 0.02
    nothing = Draw.sample(batch, torch.Generator().manual_seed(0), 0.0)
    assert not nothing.drop_speech.any() and not nothing.drop_style.any()


def test_the_total_is_the_weighted_sum() -> None:
    """Breaks if the contrastive loss, or another part, is lost or weighs something else."""
    network, batch = network_of(), batch_of()
    batch = replace(batch, phones=torch.randint(0, 2, (B, T), generator=torch.Generator().manual_seed(1)))
    weights = LossWeights(contrastive=0.7, phones=0.2, regression=0.4)
    losses = Objective(network, tiny_rig().rig, weights, 2)(batch, batch.mel, draw_of(), Part.of(batch))
    assert set(losses) == {"diffusion", "regression", "phones", "contrastive", "total"}
    style = network.personalizer.read(batch.mel)
    expected = network.personalizer.contrastive_loss(style, batch.identity)
    assert float(losses["contrastive"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    total = losses["diffusion"] + 0.7 * losses["contrastive"] + 0.2 * losses["phones"] + 0.4 * losses["regression"]
    assert float(losses["total"]) == pytest.approx(float(total), rel=1e-6)
    losses["total"].backward()
    for parameter in (network.personalizer.log_temperature, network.personalizer.table, network.personalizer.stem.weight):
        assert parameter.grad is not None and parameter.grad.abs().max() > 0
    unmatched = replace(batch, voice_matched=torch.zeros(B, dtype=torch.bool))
    assert "contrastive" not in Objective(network, tiny_rig().rig, weights, 2)(
        unmatched, batch.mel, draw_of(), Part.of(unmatched)
    )


# --- distillation -------------------------------------------------------------------------------------------------------------


def optimal(t: Tensor, spread: float = 0.7) -> Tensor:
    """Return k with E[x0 | x_t] = k x_t for data N(0, spread^2)."""
    angle = t * math.pi / 2
    alpha, sigma = angle.cos(), angle.sin()
    return alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)


def v_factor(k: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the factor of x_t in v for a factor k of x_t in x0: x0 = alpha x - sigma v."""
    return lambda t: ((t * math.pi / 2).cos() - k(t)) / (t * math.pi / 2).sin()


def landing(x: np.ndarray, t: float, s: float, x0: np.ndarray) -> np.ndarray:
    """Return where one DDIM step from t to s lands."""
    a, b, c, d = math.cos(t * math.pi / 2), math.sin(t * math.pi / 2), math.cos(s * math.pi / 2), math.sin(s * math.pi / 2)
    return c * x0 + d * (x - a * x0) / b


def halving_of(
    dataset: Path, count: int, teacher_offset: tuple[float, float], student: Affine, guidance: float, stage: int
) -> tuple[float, list[np.ndarray], np.ndarray, np.ndarray, np.ndarray, _Halving]:
    """Run one loss of the halving to `count` steps; return the loss, the draw's x_t, t and gap, and the halving."""
    teacher, pupil = network_of(), network_of()
    speech, manner = teacher_offset
    # v = (alpha x - x0) / sigma, so a constant in x0 is a constant / -sigma in v: the toy takes it as x0 directly
    teacher.config = replace(teacher.config, prediction="x0")
    pupil.config = replace(pupil.config, prediction="x0")
    teacher.denoiser = Affine(12, 4, optimal, speech, manner)  # type: ignore[assignment]
    pupil.denoiser = student  # type: ignore[assignment]
    rig = tiny_rig().rig
    bank = ClipBank(DatasetOf.get(dataset), "train", teacher.config)
    config = DistillConfig(batch_frames=256, seed=5)
    metric = SurfaceMetric(rig, teacher.std.numpy(), LossWeights())
    rows = torch.from_numpy(rig.lip_gap_rows()).float()
    halving = _Halving(teacher, pupil, bank, metric, rows, config, guidance)
    loss = sum(float(value) for value in halving.losses(stage, 3, count).values())
    batch = _Draw.at(bank, config, (stage, 3), torch.device("cpu")).batch
    x_t, t, _, _ = student.calls[-1]
    return (
        loss,
        x_t.double().numpy(),
        t.double().numpy(),
        true_gap(rig, batch.coefficients),
        teacher.std.double().numpy(),
        halving,
    )


class DatasetOf:
    """The tiny dataset, opened once."""

    @staticmethod
    def get(folder: Path):  # type: ignore[no-untyped-def]
        from talker_cli.data.dataset import Dataset

        return Dataset(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("method") / "prepared")


@pytest.mark.parametrize(("count", "stage", "guidance"), [(128, 0, 1.0), (128, 0, 1.8), (64, 1, 1.8), (8, 4, 1.8), (1, 7, 1.0)])
def test_one_step_of_the_student_lands_where_two_of_the_teacher_land(
    dataset: Path, count: int, stage: int, guidance: float
) -> None:
    """Breaks if the target is the teacher's own x0, the step is half or double, guidance is baked in never or at every stage,
    the loss is not weighted by 1 / sigma, or the student is asked at another timestep.

    A student that is off by a constant in x0 has the loss of that constant over sigma, and no other.
    """
    speech, manner, off = 0.2, -0.35, 0.03
    strength = guidance if stage == 0 else 1.0  # guidance belongs to the first stage alone
    asked: list[Tensor] = []

    def target(x: np.ndarray, t: float) -> np.ndarray:
        """Return the x0 whose single step from t lands where two steps of the guided teacher do."""
        half, end = t - 0.5 / count, max(t - 1.0 / count, 0.0)
        constant = strength * (speech + manner)

        def x0(value: np.ndarray, when: float) -> np.ndarray:
            return float(optimal(torch.tensor(when, dtype=torch.float64))) * value + constant

        middle = landing(x, t, half, x0(x, t))
        landed = landing(middle, half, end, x0(middle, half))
        a, b, c, d = (
            math.cos(t * math.pi / 2),
            math.sin(t * math.pi / 2),
            math.cos(end * math.pi / 2),
            math.sin(end * math.pi / 2),
        )
        return (landed - d / b * x) / (c - d / b * a)

    class Exact(Affine):
        def forward(self, x_t: Tensor, t: Tensor, features: Tensor, style: Tensor, emotion: Tensor | None = None) -> Tensor:
            self.calls.append((x_t, t, features, style))
            asked.append(t)
            rows = [target(x.double().numpy(), float(when)) for x, when in zip(x_t, t.double(), strict=True)]
            return torch.from_numpy(np.stack(rows) + self.speech).float()

    exact = Exact(12, 4, optimal, 0.0, 0.0)
    loss, *_ = halving_of(dataset, count, (speech, manner), exact, guidance, stage)
    assert loss < 1e-6
    steps = asked[0].double().numpy() * count
    assert np.allclose(steps, np.round(steps), atol=1e-4) and steps.min() >= 1 and steps.max() <= count
    assert len(set(np.round(steps))) >= min(count, len(steps)) // 2  # spread over the student's own timesteps

    wrong = Exact(12, 4, optimal, off, 0.0)
    loss, _, t, gap, std, _ = halving_of(dataset, count, (speech, manner), wrong, guidance, stage)
    sigma = np.sin(t * math.pi / 2)[:, None, None]
    error = np.broadcast_to(off / sigma, (len(t), gap.shape[1], K))
    assert loss == pytest.approx(expected_metric(tiny_rig().rig, std, LossWeights(), error, gap), rel=2e-3)


@pytest.mark.slow
def test_a_distilled_gaussian_lands_where_the_teacher_does(dataset: Path) -> None:
    """Breaks if descending the loss leads elsewhere: the student of two steps has one factor a timestep, and its best is known.

    Two steps of the fitted student take noise to where four of the teacher take it.
    """
    count, values = 2, nn.Parameter(torch.zeros(2))

    class Two(Affine):
        def forward(self, x_t: Tensor, t: Tensor, features: Tensor, style: Tensor, emotion: Tensor | None = None) -> Tensor:
            self.calls.append((x_t, t, features, style))
            return values[(t * count).round().long() - 1][:, None, None] * x_t

    *_, halving = halving_of(dataset, count, (0.0, 0.0), Two(12, 4, optimal, 0.0, 0.0), 1.0, 6)
    optimizer = torch.optim.Adam([values], 0.05)
    for step in range(150):
        optimizer.zero_grad()
        torch.stack(list(halving.losses(6, step % 5, count).values())).sum().backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / 150)
        optimizer.step()
    x = np.ones(1)
    for t in (1.0, 0.75, 0.5, 0.25):
        x = landing(x, t, t - 0.25, float(optimal(torch.tensor(t, dtype=torch.float64))) * x)
    y = np.ones(1)
    for t, factor in ((1.0, float(values[1].detach())), (0.5, float(values[0].detach()))):
        y = landing(y, t, t - 0.5, factor * y)
    assert float(y[0]) == pytest.approx(float(x[0]), abs=2e-3)
    half = math.sin(math.pi / 4) * np.ones(1)  # where x0 = 0 leads from t = 1 to t = 1/2
    one = landing(half, 0.5, 0.0, float(optimal(torch.tensor(0.5))) * half)
    assert abs(float(one[0]) - float(x[0])) > 0.02  # the teacher's own two steps lie elsewhere


@pytest.fixture(scope="module")
def taught(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a small teacher of a few steps."""
    folder = tmp_path_factory.mktemp("taught") / "model"
    config = TrainConfig(steps=6, batch_frames=64, warmup=1, validate_every=100, save_every=100, model=NARROW)
    train(dataset, folder, config, device="cpu", on_progress=lambda progress: None)
    return folder


def test_each_stage_starts_from_the_average_of_the_one_before(dataset: Path, taught: Path, tmp_path: Path) -> None:
    """Breaks if the student never becomes the teacher, or a stage starts from, or saves, weights that were not averaged."""
    model = tmp_path / "model"
    shutil.copytree(taught, model)
    original = load_model(model / "teacher.safetensors", "teacher")
    config = DistillConfig(steps=128, kept_stage_steps=3, learning_rate=0.03, batch_frames=64, validation_clips=0, save_every=1)
    path = distill(model, dataset, config, device="cpu", on_progress=lambda progress: None)
    state = ArrayFile(model / "run-student" / "state.safetensors", "run")
    short = {
        name: {key.split("/", 1)[1]: state.array(key) for key in state.names if key.startswith(f"{name}/denoiser.")}
        for name in ("teacher", "student", "average")
    }
    assert short["teacher"] and short["teacher"].keys() == short["average"].keys() == short["student"].keys()
    moved = 0.0
    for key, value in short["average"].items():
        assert (short["teacher"][key] == value).all() and (short["student"][key] == value).all(), key
        first = original.state_dict()[key].numpy()
        moved = max(moved, float(np.abs(value - first).max()))
    assert moved > 0.01  # or nothing was learned, and all of this says nothing
    saved = load_model(path, "student").state_dict()
    for key, value in short["average"].items():
        assert np.allclose(saved[key].numpy(), value, atol=1e-3, rtol=1e-3), key


def test_students_on_the_way_are_saved_as_they_were_learned(dataset: Path, taught: Path, tmp_path: Path) -> None:
    """Breaks if a kept student's file holds the teacher, or the student of another stage."""
    model = tmp_path / "model"
    shutil.copytree(taught, model)
    config = DistillConfig(steps=4, stage_steps=1, kept_stage_steps=1, learning_rate=0.03, batch_frames=64, validation_clips=0)
    distill(model, dataset, config, device="cpu", on_progress=lambda progress: None)
    weights = [
        load_model(model / name, kind).denoiser.time_mlp[0].weight
        for name, kind in (
            ("teacher.safetensors", "teacher"),
            ("student.safetensors", "student"),
            ("student-4.safetensors", "student"),
        )
    ]
    for one in range(3):
        for other in range(one):
            assert (weights[one] - weights[other]).abs().max() > 1e-3


def test_the_average_follows_its_recurrence() -> None:
    """Breaks if the decay is another, never warmed up, or applied to the weights instead of the average."""
    module, decay = nn.Linear(1, 1, bias=False), 0.9
    average = Average(module, decay)
    expected = float(module.weight.detach())
    for step in range(120):
        with torch.no_grad():
            module.weight.fill_(math.sin(step))
        average.update(module, step)
        kept = min(decay, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * math.sin(step)
        assert float(average.module.weight) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert float(module.weight.detach()) == pytest.approx(math.sin(119), rel=1e-5)


def test_a_training_saves_its_average(dataset: Path, tmp_path: Path) -> None:
    """Breaks if the raw weights are saved, or the average is not updated every step: its recurrence over the real steps."""
    config = TrainConfig(
        steps=4, batch_frames=64, warmup=1, validate_every=100, save_every=1, ema=0.8, learning_rate=0.03, model=NARROW
    )
    trainer = Trainer(DatasetOf.get(dataset), config, make_accelerator(config, "cpu"), "", None, None)
    expected = trainer.network.denoiser.time_mlp[0].weight.detach().double().clone()
    for step in range(4):
        trainer.step(step)
        kept = min(0.8, (1 + step) / (10 + step))
        assert all(each.grad is None or not each.grad.any() for each in trainer.objective.parameters())  # or gradients add up
        expected = kept * expected + (1 - kept) * trainer.network.denoiser.time_mlp[0].weight.detach().double()
    assert torch.allclose(trainer.average.module.denoiser.time_mlp[0].weight.double(), expected, atol=1e-6)
    folder = tmp_path / "model"
    train(dataset, folder, config, device="cpu", on_progress=lambda progress: None)
    saved = load_model(folder / "teacher.safetensors", "teacher").state_dict()
    state = ArrayFile(folder / "run-teacher" / "state.safetensors", "run")
    differing = 0
    for key, value in saved.items():
        mean = state.array(f"average/{key}")
        assert np.allclose(value.numpy(), mean, atol=1e-3, rtol=1e-3), key
        differing += not np.allclose(state.array(f"objective/network.{key}"), mean, atol=2e-3, rtol=2e-3)
    assert differing  # or the raw weights would pass for their average


def test_the_learning_rate_is_a_warmed_cosine() -> None:
    """Breaks if it warms up otherwise, or does not fall to a hundredth along a cosine."""
    for step in range(100):
        expected = 1e-3 * (step + 1) / 20 if step < 20 else None
        if expected is None:
            expected = 1e-3 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 20) / 80)))
        assert warmed_cosine(step, 100, 20, 1e-3) == pytest.approx(expected, rel=0.06, abs=1e-6), step
