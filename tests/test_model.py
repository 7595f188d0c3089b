"""The network's parts against direct computation, and its files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import IDENTITIES, tiny_rig

from talker_cli.animate.animator import Animator
from talker_cli.corpus.articulate.eyes import NAMES, WIDE
from talker_cli.errors import ModelError
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import ModelConfig
from talker_cli.model.mel import MEL_SCALE, MEL_SHIFT, log_mel, mel_filters
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.torch_runner import TorchRunner
from talker_cli.rig import ARKIT_NAMES
from talker_cli.train.augment import augment_mel
from talker_cli.train.losses import LossWeights, SurfaceMetric


def small_network(kind: str = "teacher", **changes: object) -> FaceDiffusion:
    """Return a small random network whose every part does something (gates and outputs start at zero otherwise)."""
    config = ModelConfig(
        kind=kind, rig="", names=ARKIT_NAMES, identities=IDENTITIES, feature_width=16, width=16,
        encoder_dilations=(1, 2), denoiser_dilations=(1, 2, 4),
    )  # fmt: skip
    torch.manual_seed(0)
    network = FaceDiffusion(replace(config, **changes))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval().requires_grad_(False)


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.1, size=int(seconds * 16_000)).astype(np.float32)


def test_a_tone_lies_in_its_mel_band_at_its_time() -> None:
    config = small_network().config
    wave = np.zeros(32_000, np.float32)
    wave[16_000:] = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    mel = log_mel(wave, 60, config) * MEL_SCALE - MEL_SHIFT  # (240, 80) log power
    centres = mel_filters(config.mel_bands).argmax(0) * 16_000 / 512
    assert abs(float(centres[mel[200].argmax()]) - 1000) < 60
    loud = mel[:, mel[200].argmax()] > -5
    assert not loud[:118].any() and loud[122:].all()  # column 120 is centred on 0.996 s


def test_mel_of_a_frame_does_not_depend_on_where_the_file_starts() -> None:
    """Whole-file statistics or a drifting hop would make chunked and whole generation differ."""
    config = small_network().config
    wave = speech(3.0)
    whole = log_mel(wave, 90, config)
    later = log_mel(wave[16_000:], 60, config)
    assert np.allclose(whole[4 * 31 :], later[4:], atol=1e-4)


@pytest.mark.parametrize("kind", ["teacher", "student"])
def test_motion_depends_on_nothing_beyond_the_halo(kind: str) -> None:
    network = small_network(kind, timesteps=(256, 128) if kind == "student" else ())
    features = network.encoder
    halo = network.config.encoder_halo + network.config.denoiser_halo
    frames, middle = 4 * halo, 2 * halo
    wave = speech(frames / 30)
    changed = wave.copy()
    border = int((middle + halo + 1) * 16_000 / 30)
    changed[border:] = 0.5
    row = torch.zeros(1, dtype=torch.long)

    def predict(samples: np.ndarray) -> torch.Tensor:
        mel = torch.from_numpy(log_mel(samples, frames, network.config))[None]
        noisy = torch.ones(1, frames, 52)
        return network.predict_x0(noisy, torch.tensor([0.5]), features(mel), network.personalizer.named(row))

    before, after = predict(wave), predict(changed)
    assert torch.equal(before[:, : middle + 1], after[:, : middle + 1])
    assert not torch.allclose(before[:, middle + halo :], after[:, middle + halo :], atol=1e-4)


def test_guidance_is_the_extrapolation_from_unconditional_to_conditional() -> None:
    network = small_network()
    x, t = torch.randn(2, 20, 52), torch.tensor([0.3, 0.9])
    features, style = torch.randn(2, 20, 16), torch.randn(2, 32)
    conditional = network.predict_x0(x, t, features, style)
    absent = network.denoiser.null_speech.expand_as(features), network.denoiser.null_style.expand_as(style)
    unconditional = network.predict_x0(x, t, *absent)
    assert torch.equal(network.guided_x0(x, t, features, style, 1.0), conditional)
    expected = unconditional + 2.5 * (conditional - unconditional)
    assert torch.allclose(network.guided_x0(x, t, features, style, 2.5), expected, atol=1e-4)
    assert torch.allclose(network.guided_x0(x, t, features, style, 2.5, 2.5), expected, atol=1e-4)


def test_speech_and_style_are_guided_apart() -> None:
    """Breaks if a scale pulls the other condition: at 1 and 0 what is left is the style alone, or neither."""
    network = small_network()
    x, t = torch.randn(2, 20, 52), torch.tensor([0.3, 0.9])
    features, style = torch.randn(2, 20, 16), torch.randn(2, 32)
    null_speech, null_style = network.denoiser.null_speech.expand_as(features), network.denoiser.null_style.expand_as(style)
    both = network.predict_x0(x, t, features, style)
    manner = network.predict_x0(x, t, null_speech, style)
    neither = network.predict_x0(x, t, null_speech, null_style)
    for speech_scale, style_scale, expected in (
        (0.0, 1.0, manner),
        (0.0, 0.0, neither),
        (2.5, 1.0, manner + 2.5 * (both - manner)),
        (1.0, 3.0, both + 2.0 * (manner - neither)),
        (2.5, 0.5, neither + 0.5 * (manner - neither) + 2.5 * (both - manner)),
    ):
        assert torch.allclose(network.guided_x0(x, t, features, style, speech_scale, style_scale), expected, atol=1e-4)


def test_contrastive_loss_is_symmetric_infonce() -> None:
    """Against the definition written with loops; two clips of one identity are both its positives."""
    personalizer = small_network().personalizer
    styles, who = torch.randn(5, 32), [0, 2, 2, 3, 0]
    scale = float(personalizer.log_temperature.exp())
    table = torch.nn.functional.normalize(personalizer.table, dim=-1)
    logits = scale * torch.nn.functional.normalize(styles, dim=-1) @ table.T
    forward = -sum(float(logits[clip].log_softmax(0)[row]) for clip, row in enumerate(who)) / 5
    columns = logits.T.log_softmax(-1)
    present = sorted(set(who))
    per_identity = [np.mean([float(columns[row, clip]) for clip in range(5) if who[clip] == row]) for row in present]
    backward = -np.mean(per_identity)
    loss = float(personalizer.contrastive_loss(styles, torch.tensor(who)))
    assert loss == pytest.approx((forward + backward) / 2, rel=1e-5)
    # Styles that lie on their own rows lose less than styles that lie on others'.
    own = float(personalizer.contrastive_loss(personalizer.named(torch.tensor(who)), torch.tensor(who)))
    other = float(personalizer.contrastive_loss(personalizer.named(torch.tensor([1, 1, 1, 1, 1])), torch.tensor(who)))
    assert own < other


def test_surface_metric_is_the_error_of_the_vertices() -> None:
    rig = tiny_rig().rig
    std = np.random.default_rng(0).uniform(0.05, 0.2, 52).astype(np.float32)
    weights = LossWeights(surface=1.0, gap=0.0, coefficient=0.0, velocity=0.0, closed=0.0)
    # A pure surface metric is singular (24 vertices, 52 coefficients), so a trace of the coefficient term stays in.
    metric = SurfaceMetric(rig, std, replace(weights, coefficient=1e-4))
    error = torch.randn(1, 7, 52)
    offsets = rig.offsets((error[0] * torch.from_numpy(std)).numpy()).astype(np.float64)
    vertex_weight = np.where(rig.regions["lips"], LossWeights().lips, 1.0)
    scaled = rig.basis * std[:, None, None]
    trace = (np.square(scaled).sum(-1) * vertex_weight).sum()
    expected = (np.square(offsets).sum(-1) * vertex_weight).sum(-1).mean() / trace
    expected += 1e-4 * float(error.square().mean())
    assert float(metric(error, torch.zeros(1, 7))) == pytest.approx(expected, rel=1e-4)
    # Frames with closed lips count more, frames with open ones as before.
    closer = SurfaceMetric(rig, std, replace(weights, coefficient=1e-4, closed=4.0))
    assert float(closer(error, torch.zeros(1, 7))) == pytest.approx(5 * expected, rel=1e-4)
    assert float(closer(error, torch.full((1, 7), 1.0))) == pytest.approx(expected, rel=1e-4)


def test_augmentation_keeps_shape_and_time_and_repeats_under_a_seed() -> None:
    config = small_network().config
    wave = speech(2.0)
    wave[16_000:] = 0
    mel = torch.from_numpy(log_mel(wave, 60, config)).repeat(16, 1, 1)
    first, again, other = (augment_mel(mel, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == mel.shape and torch.isfinite(first).all()
    # Whatever the room and the noise, the sound stays where it was: louder before 1 s than well after it.
    assert (first[:, 20:110].mean((1, 2)) > first[:, 180:].mean((1, 2))).all()


def test_save_load_save_gives_the_same_bytes(tmp_path: Path) -> None:
    network = small_network()
    save_model(tmp_path / "a.safetensors", network)
    save_model(tmp_path / "b.safetensors", load_model(tmp_path / "a.safetensors", "teacher"))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    with pytest.raises(ModelError, match="holds a teacher; expected a student"):
        load_model(tmp_path / "a.safetensors", "student")


def test_same_seed_same_motion_and_bounds_of_arkit() -> None:
    animator = Animator(TorchRunner(small_network(), torch.device("cpu")), 4)
    wave = speech(1.5)
    first, again, other = (animator.coefficients(wave, "Bert", seed=seed) for seed in (0, 0, 1))
    assert first.shape == (45, 52)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.min() >= 0 and first.max() <= 1


def test_a_regression_sees_no_noise_and_any_sampler_gives_the_same() -> None:
    """Breaks if the model to compare diffusion with gets something of the noise after all."""
    network, wave = small_network(prediction="regression"), speech(1.5)
    whole = Animator(TorchRunner(network, torch.device("cpu")), None).coefficients(wave, "Bert", seed=0)
    for steps, seed in ((1, 0), (1, 5), (4, 6)):
        once = Animator(TorchRunner(network, torch.device("cpu")), steps).coefficients(wave, "Bert", seed=seed)
        network_made = [name not in (*NAMES, *WIDE) for name in network.config.names]  # the eyes have a seed of their own
        assert np.abs(once - whole)[:, network_made].max() < 1e-5
        assert whole[:, network_made].std(0).max() > 0


def test_an_angle_of_the_head_counts_as_a_mean_shape() -> None:
    """Breaks if turns of the head drown the lips in the loss, are not learned, or change what the shapes count."""
    rigs, std = tiny_rig(), np.linspace(0.05, 0.2, 55)
    weights = LossWeights(gap=0.0, velocity=0.0, closed=0.0, coefficient=1e-6)
    still = SurfaceMetric(rigs.rig, std[:52], weights)
    turning = SurfaceMetric(rigs.rig.with_head(), std, weights)
    alone = torch.eye(55)[:, None].expand(55, 2, 55)  # a lasting error of one in each coefficient
    losses = torch.stack([turning(each[None], torch.zeros(1, 2)) for each in alone]) * 55
    faces = torch.stack([still(each[None, :, :52], torch.zeros(1, 2)) for each in alone[:52]]) * 52
    assert torch.allclose(losses[:52], faces, rtol=1e-4) and torch.allclose(losses[52:], faces.mean().expand(3), rtol=1e-3)


def test_a_trembling_head_counts_more_than_trembling_shapes() -> None:
    """Breaks if the change of the head's angles counts at no weight of its own, in a lasting error, or in a shape's change."""
    rig, std = tiny_rig().rig.with_head(), np.linspace(0.05, 0.2, 55)
    plain, weighed = (SurfaceMetric(rig, std, LossWeights(head_velocity=each)) for each in (0.0, 3.0))
    gap = torch.full((1, 4), 0.01)
    for column in (0, 51, 52, 54):
        for moving in (False, True):
            error = torch.zeros(1, 4, 55)
            error[0, :, column] = torch.tensor([1.0, -1.0, 2.0, 0.0]) if moving else 1.0
            added = float(weighed(error, gap) - plain(error, gap))
            expected = LossWeights().velocity * 3.0 * (4 + 9 + 4) / 3 / 55 if moving and column >= 52 else 0.0
            assert added == pytest.approx(expected, rel=1e-4, abs=1e-6), (column, moving)
