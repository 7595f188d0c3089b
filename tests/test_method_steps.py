"""What a training, a distillation and a sampling do at each step: rates, clipping, splits, draws and noise, exactly."""

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import spoken
from test_method import IDENTITIES, NARROW, Affine, batch_of, draw_of, halving_of, network_of, optimal
from tiny import tiny_dataset, tiny_rig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

from talker_cli.animate.animator import Animator
from talker_cli.data.dataset import Dataset
from talker_cli.formats.files import ArrayFile
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.denoiser import DenoiserBlock
from talker_cli.model.diffusion import alpha_sigma
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.noise import frame_noise
from talker_cli.model.sampling import posterior_sample
from talker_cli.model.torch_runner import TorchRunner
from talker_cli.rig import save_rig
from talker_cli.train.batches import UNKNOWN_PHONE, ClipBank, Part
from talker_cli.train.distill import DistillConfig, _Draw, distill
from talker_cli.train.encoder import encoder_losses
from talker_cli.train.losses import LossWeights, Objective, SurfaceMetric
from talker_cli.train.run import Progress
from talker_cli.train.students import student_config
from talker_cli.train.teacher import STYLE_RATE, TrainConfig, Trainer, make_accelerator

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("without_charts")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("steps") / "prepared", manners=True)


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return Dataset(folder)


def trainer_of(dataset: Dataset, **changes: object) -> Trainer:
    config = replace(TrainConfig(steps=2000, batch_frames=64, warmup=2, model=NARROW), **changes)  # type: ignore[arg-type]
    return Trainer(dataset, config, make_accelerator(config, "cpu"), "", None, None)


@dataclass
class Step:
    """What an optimizer is about to do: its rate, that of a second group, its weight decay, the norm of its gradients."""

    rate: float
    second: float
    decay: float
    norm: float


@contextmanager
def optimizer_steps() -> Iterator[list[Step]]:
    """Record every step of torch's optimizers."""
    seen: list[Step] = []

    def look(optimizer: torch.optim.Optimizer, *_: object) -> None:
        group, *others = optimizer.param_groups
        gradients = [each.grad for part in (group, *others) for each in part["params"] if each.grad is not None]
        norm = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients))
        second = others[0]["lr"] if others else group["lr"]
        seen.append(Step(group["lr"], second, group["weight_decay"], norm))

    handle = register_optimizer_step_pre_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


def is_window(crop: np.ndarray, clips: list[np.ndarray]) -> bool:
    """Return whether (T, K) coefficients are T frames in a row of one of the clips, to float16."""
    return any(
        np.abs(clip[start : start + len(crop)] - crop).max() < 1e-3
        for clip in clips
        for start in range(len(clip) - len(crop) + 1)
    )


# Training


def test_the_optimizer_gets_the_rate_the_decay_and_clipped_gradients(dataset: Dataset) -> None:
    """Breaks if warm-up, cosine, weight decay, clipping or the identity table's own rate is set and not used."""
    trainer = trainer_of(dataset, steps=6, warmup=2, learning_rate=2e-3, weight_decay=0.07, max_grad_norm=0.01)
    with optimizer_steps() as seen:
        for step in range(6):
            trainer.step(step)
    cosine = [0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share / 4)) for share in range(4)]
    assert [step.rate for step in seen] == pytest.approx([2e-3 * share for share in (0.5, 1.0, *cosine)])
    assert [step.second for step in seen] == pytest.approx([STYLE_RATE * step.rate for step in seen])
    assert {step.decay for step in seen} == {0.07}
    assert [step.norm for step in seen] == pytest.approx([0.01] * 6, rel=1e-3)


def test_the_average_has_its_own_decay_once_it_is_warm(dataset: Dataset) -> None:
    """Breaks if the setting is not used: in the first steps of any training the warm-up hides it."""
    trainer = trainer_of(dataset, ema=0.8, learning_rate=0.03)
    before = trainer.average.module.denoiser.motion_out.bias.double().clone()
    trainer.step(1000)
    expected = 0.8 * before + 0.2 * trainer.network.denoiser.motion_out.bias.detach().double()
    assert torch.allclose(trainer.average.module.denoiser.motion_out.bias.double(), expected, atol=1e-7)
    assert (before - expected).abs().max() > 1e-6


def test_weights_and_batches_are_those_of_the_seed_and_the_step(dataset: Dataset) -> None:
    """Breaks if two seeds are one training, or all steps see one batch."""
    zero, again, one = (trainer_of(dataset, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(zero.network.denoiser.motion_in.weight, again.network.denoiser.motion_in.weight)
    assert not torch.equal(zero.network.denoiser.motion_in.weight, one.network.denoiser.motion_in.weight)
    mels = [trainer._draw(step)[0].mel for trainer, step in ((zero, 3), (again, 3), (zero, 4), (one, 3))]
    assert torch.equal(mels[0], mels[1])
    for other in mels[2:]:
        assert mels[0].shape != other.shape or not torch.equal(mels[0], other)
    draws = [trainer._draw(3)[2].noise for trainer in (zero, again)]
    assert torch.equal(*draws)


def test_most_speech_is_augmented_and_some_is_clean(dataset: Dataset) -> None:
    """Breaks if the voices, rooms and microphones that the corpus never had are left out, or clean speech is."""
    trainer = trainer_of(dataset)
    changed = [not torch.equal(batch.mel, mel) for batch, mel, _, _ in map(trainer._draw, range(60))]
    assert 45 <= sum(changed) < 60


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_conditions_are_dropped_at_the_rate_of_the_settings(dataset: Dataset, rate: float) -> None:
    trainer = trainer_of(dataset, condition_dropout=rate)
    draw = trainer._draw(0)[2]
    assert (draw.drop_speech == bool(rate)).all() and (draw.drop_style == bool(rate)).all()


def test_dropout_is_that_of_the_settings(dataset: Dataset) -> None:
    layers = [each for each in trainer_of(dataset, dropout=0.37).network.modules() if isinstance(each, nn.Dropout)]
    assert layers and {layer.p for layer in layers} == {0.37}


def test_what_is_learned_and_normalised_is_the_training_split(dataset: Dataset) -> None:
    """Breaks if a held-out recording is learned from, or statistics are others than the training split's."""
    trainer = trainer_of(dataset)
    clips = [dataset.coefficients(clip.name) for clip in dataset.clips("train")]
    frames = np.concatenate(clips).astype(np.float64)
    assert np.allclose(trainer.network.mean.numpy(), frames.mean(0), atol=1e-4)
    std = np.maximum(frames.std(0), 0.01)  # most of these coefficients never move
    assert np.allclose(trainer.network.std.numpy(), std, atol=1e-4) and (std == 0.01).sum() > 40
    assert sum(map(len, trainer.bank.buckets.values())) == len({clip.recording for clip in dataset.clips("train")})


def test_validation_is_of_held_out_clips_with_both_conditions_and_averaged_weights(dataset: Dataset) -> None:
    """Breaks if the curve that settings are chosen by is that of training clips, of raw weights, or with conditions dropped."""
    trainer = trainer_of(dataset)
    clips = [dataset.coefficients(clip.name) for clip in dataset.clips("validation")]
    for batch, draw in trainer.validation:
        assert not draw.drop_speech.any() and not draw.drop_style.any()
        assert all(is_window(crop, clips) for crop in batch.coefficients.numpy())
    train = [dataset.coefficients(clip.name) for clip in dataset.clips("train")]
    assert not is_window(trainer.validation[0][0].coefficients.numpy()[0], train)
    before = trainer.validate()["validation"]
    with torch.no_grad():
        trainer.network.denoiser.motion_out.bias.add_(1.0)
        assert trainer.validate()["validation"] == before
        trainer.average.module.denoiser.motion_out.bias.add_(1.0)
    assert trainer.validate()["validation"] > 1.1 * before


def test_recordings_are_held_with_their_phones_weights_and_voices(dataset: Dataset) -> None:
    """Breaks if a phone lies at other frames, human speech weighs nothing more, or a held-out person's voice is one we know."""
    known = IDENTITIES[:3]
    bank = ClipBank(dataset, "train", replace(network_of().config, identities=known))
    names = list(dict.fromkeys(clip.recording for clip in dataset.clips("train")))
    entries = [entry for frames in bank.buckets for entry in bank.buckets[frames]]
    assert len(entries) == len(names)
    waiting = [(dataset.recordings[name], dataset.frames(f"{name}-Ada")) for name in names]
    for entry in entries:
        recording, frames = next(each for each in waiting if each[0].voice == entry.voice and each[1] == len(entry.phones))
        waiting.remove((recording, frames))
        assert entry.weight == frames * (2.0 if recording.human else 1.0)
        for frame, phone in enumerate(entry.phones):
            there = [name for name, start, end in recording.phones if start - 1e-9 <= frame / 30 < end - 1e-9]
            assert there == ([] if phone == UNKNOWN_PHONE else [bank.phone_names[phone]]), frame
        # Each recording is voice-matched with one of the four; the fourth is not known.
        matched = [known[row] for row, own, _, _ in entry.motions if own]
        assert matched == [name for number, name in enumerate(known) if entry.voice == f"voice{number}"]


def test_the_contrastive_loss_is_of_clips_in_their_own_voice(dataset: Dataset) -> None:
    """Breaks if a style is read off the voice of somebody else and called this person's."""
    network, batch = network_of(), batch_of()
    matched = torch.tensor([True, False, True, True])
    batch = replace(batch, voice_matched=matched)
    losses = Objective(network, tiny_rig().rig, LossWeights(), 2)(batch, batch.mel, draw_of(), Part.of(batch))
    with torch.no_grad():
        read = network.personalizer.read(batch.mel)
        own = network.personalizer.contrastive_loss(read[matched], batch.identity[matched])
    assert float(losses["contrastive"].detach()) == pytest.approx(float(own), rel=1e-5)


def test_the_phones_loss_is_the_mean_over_the_frames_whose_phone_is_known() -> None:
    network, batch = network_of(), batch_of()
    phones = torch.randint(0, 3, batch.phones.shape, generator=torch.Generator().manual_seed(1))
    phones[:, 2:4] = UNKNOWN_PHONE
    batch = replace(batch, phones=phones)
    objective = Objective(network, tiny_rig().rig, LossWeights(), 3)
    loss = objective(batch, batch.mel, draw_of(), Part.of(batch))["phones"]
    with torch.no_grad():
        logits = objective.phones(network.encoder(batch.mel)).double().log_softmax(-1)
    picked = [-float(logits[b, t, phones[b, t]]) for b in range(4) for t in (0, 1, 4, 5)]
    assert float(loss.detach()) == pytest.approx(np.mean(picked), rel=1e-5)


def test_the_contrastive_temperature_has_an_upper_bound() -> None:
    """Breaks if the learned temperature can grow until one clip is everything."""
    personalizer, who = network_of().personalizer, torch.tensor([0, 1, 2])
    styles = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        at = []
        for value in (4.0, 4.6, 9.0):
            personalizer.log_temperature.fill_(value)
            at.append(float(personalizer.contrastive_loss(styles, who)))
    assert at[1] == at[2] != at[0]


# Distillation


def wild_teacher(folder: Path, **changes: object) -> Path:
    """Write a model folder whose teacher has random weights everywhere: its two steps land far from its one."""
    network = network_of(**changes)
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in network.denoiser.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    folder.mkdir()
    save_rig(folder / "rig.safetensors", tiny_rig())
    save_model(folder / "teacher.safetensors", network)
    return folder


SHORT = DistillConfig(steps=128, kept_stage_steps=4, stage_steps=4, batch_frames=64, validation_clips=0, save_every=1)


def ignore(progress: Progress) -> None:
    """Take no notice."""


@pytest.mark.slow
def test_the_students_optimizer_gets_the_rate_and_clipped_gradients(folder: Path, tmp_path: Path) -> None:
    """Breaks if the rate does not fall over a stage, the encoder's is not warmed up, or gradients are not clipped."""
    model = wild_teacher(tmp_path / "model")
    config = replace(SHORT, learning_rate=2e-3, encoder_width=6, encoder_steps=40, encoder_learning_rate=5e-3)
    with optimizer_steps() as seen:
        distill(model, folder, config, device="cpu", on_progress=ignore)
    rates = [step.rate for step in seen]
    cosine = [0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / 38)) for step in range(38)]
    assert rates[:40] == pytest.approx([5e-3 * share for share in (0.5, 1.0, *cosine)])
    assert rates[40:] == pytest.approx([2e-3 * share for share in (1.0, 0.75, 0.5, 0.25)])
    norms = [step.norm for step in seen]
    assert max(norms) <= 1.001 and norms[40:] == pytest.approx([1.0] * 4, rel=1e-3)


def test_the_students_average_has_its_own_decay(folder: Path, tmp_path: Path) -> None:
    """Breaks if `ema` is not used, or the average does not move, within a stage."""
    model = wild_teacher(tmp_path / "model")
    config = replace(SHORT, learning_rate=0.03, ema=0.05)

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(model, folder, config, device="cpu", on_progress=stop)
    state = ArrayFile(model / "run-student" / "state.safetensors", "run")
    start = load_model(model / "teacher.safetensors", "teacher").state_dict()
    for key in (name.removeprefix("average/") for name in state.names if name.startswith("average/denoiser.")):
        student = state.array(f"student/{key}")
        assert np.allclose(state.array(f"average/{key}"), 0.05 * start[key].numpy() + 0.95 * student, atol=1e-5), key
    assert np.abs(start["denoiser.motion_out.bias"].numpy() - state.array("student/denoiser.motion_out.bias")).max() > 0.02


def test_a_student_is_distilled_on_the_training_split(folder: Path, tmp_path: Path) -> None:
    """Breaks if held-out recordings are distilled on: here there are none."""
    place = shutil.copytree(folder, tmp_path / "prepared")
    about = json.loads((place / "dataset.json").read_text())
    for recording in about["recordings"]:
        recording["split"] = "train"
    (place / "dataset.json").write_text(json.dumps(about))
    config = replace(SHORT, kept_stage_steps=1, stage_steps=1)
    assert distill(wild_teacher(tmp_path / "model"), place, config, device="cpu", on_progress=ignore).is_file()


def test_the_teachers_guidance_is_baked_in_unless_another_is_asked_for(folder: Path, tmp_path: Path) -> None:
    """Breaks if the student of a guided teacher is unguided, or is guided once more when it is sampled."""
    made = {}
    for name, guidance in (("default", None), ("same", 1.8), ("off", 1.0)):
        model = wild_teacher(tmp_path / name, guidance_scale=1.8)
        config = replace(SHORT, kept_stage_steps=1, stage_steps=1, learning_rate=0.03, guidance_scale=guidance)
        made[name] = load_model(distill(model, folder, config, device="cpu", on_progress=ignore), "student")
        assert made[name].config.guidance_scale == 1.0
    weights = {name: network.denoiser.motion_out.weight for name, network in made.items()}
    assert torch.equal(weights["default"], weights["same"]) and not torch.equal(weights["default"], weights["off"])
    teacher = network_of(guidance_scale=1.8).config
    assert student_config(teacher, 4).timesteps == (256, 192, 128, 64)


def test_each_step_of_a_stage_has_its_own_draw(folder: Path, dataset: Dataset) -> None:
    """Breaks if a stage learns one batch by heart, two seeds are one distillation, or all speech is clean."""
    bank = ClipBank(dataset, "train", network_of().config)
    noises = [
        _Draw.at(bank, replace(SHORT, seed=seed), place, CPU).noise
        for seed, place in ((0, (0, 1)), (0, (0, 1)), (0, (0, 2)), (0, (1, 1)), (1, (0, 1)))
    ]
    assert torch.equal(noises[0], noises[1])
    for other in noises[2:]:
        assert noises[0].shape != other.shape or not torch.equal(noises[0], other)
    draws = [_Draw.at(bank, SHORT, (0, step), CPU) for step in range(40)]
    assert 18 <= sum(not torch.equal(draw.mel, draw.batch.mel) for draw in draws) <= 37
    student = Affine(12, 4, optimal, 0.0, 0.0)
    *_, halving = halving_of(folder, 64, (0.2, -0.3), student, 1.0, 1)
    halving.losses(1, 4, 64)
    first, second = (call[0] for call in student.calls[-2:])
    assert first.shape != second.shape or not torch.equal(first, second)
    # Student and teacher speak in the style of the person whose motion it is.
    batch = _Draw.at(halving.bank, halving.config, (1, 4), CPU).batch
    own = halving.teacher.personalizer.named(batch.identity)
    teacher: Affine = halving.teacher.denoiser  # type: ignore[assignment]
    assert all(torch.equal(call[3], own) for call in (student.calls[-1], *teacher.calls[-2:]))


class Hearing(Affine):
    """An x0 denoiser that is what it hears: `x_t` times a factor, plus the mean of the features, plus that of the style."""

    def forward(self, x_t: Tensor, t: Tensor, features: Tensor, style: Tensor, emotion: Tensor | None = None) -> Tensor:
        self.calls.append((x_t, t, features, style))
        return self.factor(t)[:, None, None] * x_t + features.mean(-1, keepdim=True)


class Heard(nn.Module):
    """An encoder whose features are known numbers."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features

    def forward(self, mel: Tensor) -> Tensor:
        return self.features


def test_the_encoders_losses_are_their_formulas() -> None:
    """Breaks if the error of the features is not in their units, or what it does to the motion is lost, or not over sigma."""
    rig, batch, draw = tiny_rig().rig, batch_of(), draw_of()
    teacher, student = network_of("x0"), network_of("x0")
    wanted = torch.randn(4, 6, 12, generator=torch.Generator().manual_seed(0))
    off = torch.linspace(-0.2, 0.5, 12)
    toy = teacher.denoiser = Hearing(12, 4, lambda t: t, 0.0, 0.0)  # type: ignore[assignment]
    teacher.encoder, student.encoder = Heard(wanted), Heard(wanted + off)  # type: ignore[assignment]
    std = torch.linspace(0.5, 2.0, 12)
    metric = SurfaceMetric(rig, teacher.std.numpy(), LossWeights())
    gap = torch.full((4, 6), 0.004)
    losses = encoder_losses(teacher, student, batch, batch.mel, draw.noise, draw.t, std, metric, gap)
    assert float(losses["features"]) == pytest.approx(float((off / std).square().mean()), rel=1e-5)
    _, sigma = alpha_sigma(draw.t[:, None, None])
    expected = metric((off.mean() / sigma).expand(4, 6, 52), gap)
    assert float(losses["denoised"]) == pytest.approx(float(expected), rel=1e-4)
    own = teacher.personalizer.named(batch.identity)
    assert len(toy.calls) == 2 and all(torch.equal(t, draw.t) and torch.equal(style, own) for _, t, _, style in toy.calls)


# Sampling


def sampled(network: FaceDiffusion, steps: int | None, **options: float) -> np.ndarray:
    """Return the motion (T, K) of half a second, without the bounds of ARKit."""
    network.config = replace(network.config, names=tuple(f"pca_{number:03d}" for number in range(52)))
    return Animator(TorchRunner(network, CPU), steps).coefficients(spoken(0.5).astype(np.float32), "Bert", seed=5, **options)


def test_sampling_starts_from_noise_of_the_temperatures() -> None:
    """Breaks if a temperature is ignored, or the upper face has the lower one's."""
    network = network_of("x0", temperature=0.5, upper_face=("pca_003", "pca_040"), upper_face_temperature=1.25)
    network.denoiser = Affine(12, 4, torch.ones_like, 0.0, 0.0)  # type: ignore[assignment]
    noise = frame_noise(5, 15, 52, 0)[0]
    scale = np.full(52, 0.5, np.float32)
    scale[[3, 40]] = 1.25
    for options, scaled in (({}, noise * scale), ({"temperature": 0.8}, noise * np.float32(0.8))):
        expected = scaled * network.std.numpy() + network.mean.numpy()
        assert np.allclose(sampled(network, 1, **options), expected, atol=1e-5)


def test_the_full_sampler_draws_new_noise_at_each_of_its_steps() -> None:
    """Breaks if a step repeats another's noise, or the 256 timesteps are others: against the posterior, step by step."""
    network = network_of("x0")
    network.denoiser = Affine(12, 4, optimal, 0.0, 0.0)  # type: ignore[assignment]
    x = frame_noise(5, 15, 52, 0)
    for index in range(255):
        t, s = (256 - index) / 256, (255 - index) / 256
        x = posterior_sample(x, float(optimal(torch.tensor(t))) * x, t, s, frame_noise(5, 15, 52, index + 1))
    expected = float(optimal(torch.tensor(1 / 256))) * x[0] * network.std.numpy() + network.mean.numpy()
    assert np.allclose(sampled(network, None), expected, atol=2e-4)


@pytest.mark.parametrize(("options", "strength"), [({}, (1.8, 1.8)), ({"guidance": 3.0}, (3.0, 3.0)),
                                                   ({"guidance": 3.0, "style_guidance": 0.5}, (3.0, 0.5))])  # fmt: skip
def test_guidance_is_the_models_unless_another_is_asked_for(options: dict[str, float], strength: tuple[float, float]) -> None:
    network = network_of("x0", guidance_scale=1.8)
    network.denoiser = Affine(12, 4, torch.zeros_like, 0.2, -0.35)  # type: ignore[assignment]
    expected = (strength[0] * 0.2 - strength[1] * 0.35) * network.std.numpy() + network.mean.numpy()
    assert np.allclose(sampled(network, 2, **options), expected, atol=1e-5)


# The denoiser


def test_a_block_is_its_formula() -> None:
    """Breaks if adaptive normalisation loses its scale, shift or gate, or the block what came before it."""
    torch.manual_seed(0)
    block, x, condition = DenoiserBlock(6, 1), torch.randn(2, 5, 6), torch.randn(2, 96)
    nn.init.normal_(block.modulation.weight, std=0.1)
    scale, shift, gate = block.modulation(condition)[:, None].split(6, -1)
    centred = x - x.mean(-1, keepdim=True)
    normal = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    expected = x + gate * block.out(F.gelu(block.conv(normal * (1 + scale) + shift)))
    assert torch.allclose(block(x, condition), expected, atol=1e-5)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("speech", ["speech_in", "speech_mid"])
def test_the_denoiser_sees_motion_timestep_speech_and_style(place: int, speech: str) -> None:
    """Breaks if one of the four does not reach the output, or speech reaches it by one of its two ways alone."""
    denoiser = network_of().denoiser
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
        getattr(denoiser, speech).weight.zero_()  # the other way alone
        given = [torch.randn(2, 5, 52), torch.tensor([0.3, 0.6]), torch.randn(2, 5, 12), torch.randn(2, 4)]
        first = denoiser(*given)
        given[place] = given[place] * 0.9
        assert (denoiser(*given) - first).abs().amax((1, 2)).min() > 1e-3
