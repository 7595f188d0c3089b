"""Train a teacher on a prepared dataset: one loop, one process; under torchrun the same program on many."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn

from talker_cli.data.dataset import Dataset
from talker_cli.errors import InputError, MachineError
from talker_cli.formats.files import file_hash
from talker_cli.identity.voice import MEASURES
from talker_cli.model.audio_encoder import DROPOUT
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import COMPACT, Architecture, ModelConfig
from talker_cli.model.device import choose_device, has_bf16
from talker_cli.model.encoders import describe, resolved, verified
from talker_cli.model.folder import model_folder
from talker_cli.model.header import read_config
from talker_cli.model.network import FaceDiffusion
from talker_cli.rig import save_rig
from talker_cli.train.augment import augment_mel
from talker_cli.train.batches import KNOWN_PHONES, Batch, ClipBank, Part
from talker_cli.train.eyes import measured_eyes
from talker_cli.train.features import SOUND_VARIANTS, FeatureCache
from talker_cli.train.losses import Draw, LossWeights, Objective
from talker_cli.train.rate import warmed_cosine
from talker_cli.train.reading import settle_reading
from talker_cli.train.run import Average, OnProgress, Progress, RunFolder, check_finite
from talker_cli.train.settings import tables_of

OnPreview = Callable[[FaceDiffusion, int], None]  # (averaged network, steps done)

STRETCHES = 12  # of each voice, that its style is read off at the end
STYLE_RATE = 4.0  # learning rate of the identity table and of its reading against the rest's: a row is in few crops of a batch

BOUNDS = {
    "steps": (1, math.inf), "batch_frames": (64, math.inf), "learning_rate": (0, math.inf), "warmup": (0, math.inf),
    "weight_decay": (0, math.inf),
    "max_grad_norm": (0, math.inf), "ema": (0, 1), "condition_dropout": (0, 1), "dropout": (0, 1),
    "guidance_scale": (-100, 100), "seed": (0, math.inf), "save_every": (1, math.inf), "validate_every": (1, math.inf),
    "sound_variants": (0, 100), "known_phones": (0, 1),
}  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Args:
        steps: optimiser steps.
        batch_frames: motion frames a batch, over all processes.
        learning_rate: peak of the cosine, after the warm-up.
        warmup: steps of linear warm-up.
        weight_decay: AdamW's.
        max_grad_norm: Largest norm of the gradient.
        ema: decay of the averaged weights that are saved.
        condition_dropout: Probability of dropping the speech, and of dropping the style; both together in half of it.
        dropout: share of the audio encoder's activations that a step leaves out.
        guidance_scale: recorded as the teacher's default at sampling; it does not change the training.
        bf16: compute matrix products in bfloat16, where the device has it.
        seed: of weights, batches, noise.
        start: a model, by name or folder, whose teacher the training goes on from; None begins anew.
        keep_encoder: Whether the audio encoder of `start` stays as it is, so that students whose encoders were taught its
            features go on hearing for the new denoiser.
        save_every: steps between states that a killed run resumes from.
        validate_every: steps between validation losses.
        sound_variants: Copies of every recording, changed in the sound, of which a frozen encoder's features are made.
        known_phones: Share of crops in which an encoder that reads phones is given the true ones.
        loss: how much each loss counts.
        model: the architecture, the audio encoder among it; with `start`, that model's counts.

    Raises:
        InputError: a value is out of bounds.
    """

    steps: int = 8000
    batch_frames: int = 4096
    learning_rate: float = 1.5e-3
    warmup: int = 200
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    ema: float = 0.999
    condition_dropout: float = 0.1
    dropout: float = DROPOUT
    guidance_scale: float = 1.0
    bf16: bool = False
    seed: int = 0
    start: str | None = None
    keep_encoder: bool = False
    save_every: int = 200
    validate_every: int = 500
    sound_variants: int = SOUND_VARIANTS
    known_phones: float = KNOWN_PHONES
    loss: LossWeights = field(default_factory=LossWeights)
    model: Architecture = field(default_factory=Architecture)

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high or not math.isfinite(value):
                bounds = f"{low} or more" if high == math.inf else f"{low} to {high}"
                raise InputError(f"found {name} = {value}; expected {bounds}", field=name)
        if self.keep_encoder and self.start is None:
            raise InputError(
                "found keep_encoder and no model to start from; expected one; give --init-from", field="keep_encoder"
            )


def train(
    dataset_folder: Path,
    output: Path,
    config: TrainConfig,
    *,
    device: str = "auto",
    log_with: str | None = None,
    preview_every: int = 0,
    on_preview: OnPreview = lambda network, step: None,
    on_progress: OnProgress,
) -> Path:
    """Train a teacher and write `rig.safetensors` and `teacher.safetensors` to `output`; a started run is resumed.

    Args:
        dataset_folder: a prepared dataset.
        output: model folder; the run's own files lie in `output/run-teacher`.
        config: how to train.
        device: "auto", "cpu", "cuda" or "mps".
        log_with: "tensorboard" writes every step's losses for it, too.
        preview_every: steps between calls of `on_preview`; 0 is never.
        on_preview: shown the averaged network now and then; it changes nothing of it.
        on_progress: called after every step.

    Returns:
        The teacher's file.

    Raises:
        InputError: the dataset cannot be trained on, or `output` holds another run.
        ModelError: the audio encoder, or the teacher to start from, cannot be used.
        MachineError: no such device, or what `log_with` names is not installed.
    """
    dataset = Dataset(dataset_folder)
    config = with_architecture(config)
    if log_with is not None and find_spec(log_with) is None:
        raise MachineError(f"{log_with} is not installed; --log-with needs it; run: pip install 'talker-cli[{log_with}]'")
    encoder = None if config.model.audio_encoder == COMPACT else describe(config.model.audio_encoder)
    output.mkdir(parents=True, exist_ok=True)
    contents = {"dataset": dataset.content()} | ({} if encoder is None else {"audio encoder": encoder.hash})
    run = RunFolder(output / "run-teacher", {"dataset": str(dataset_folder), **tables_of(config, "train")}, contents)
    accelerator = make_accelerator(config, device, log_with, run.folder)
    rig_path = output / "rig.safetensors"
    if accelerator.is_main_process:
        faces = {name: face for name, face in dataset.rig.identities.items() if name in dataset.trained}
        save_rig(rig_path, replace(dataset.rig, identities=faces))
    accelerator.wait_for_everyone()
    cache = None if encoder is None else FeatureCache(dataset, encoder, accelerator.device, config.sound_variants)
    if cache is not None:
        cache.fill(on_progress, accelerator.process_index, accelerator.num_processes)
        accelerator.wait_for_everyone()
    trainer = Trainer(dataset, config, accelerator, file_hash(rig_path), run, cache)
    accelerator.init_trackers("tensorboard", init_kwargs={log_with: {"purge_step": trainer.first + 1}} if log_with else {})

    smoothed = trainer.smoothed
    for step in range(trainer.first, config.steps):
        losses = trainer.step(step)
        for name, loss in losses.items():
            smoothed[name] = 0.98 * smoothed.get(name, loss) + 0.02 * loss
        done = step + 1
        if not accelerator.is_main_process:
            continue
        accelerator.log({**losses, "learning_rate": _rate(step, config)}, step=done)
        if trainer.validation and (done % config.validate_every == 0 or done == config.steps):
            scores = trainer.validate()
            run.log({"stage": "teacher", "step": done, **_rounded(smoothed), **_rounded(scores)})
            accelerator.log(scores, step=done)
            smoothed["validation"] = scores["validation"]
        if done % config.save_every == 0 or done == config.steps:
            run.save(done, trainer.modules, trainer.optimizer.optimizer, {"smoothed": smoothed})
        if preview_every and (done % preview_every == 0 or done == config.steps):
            on_preview(trainer.average.module, done)
        on_progress(Progress(done, config.steps, dict(smoothed), "teacher"))

    path = output / "teacher.safetensors"
    if accelerator.is_main_process:
        trainer.settle()
        save_model(path, trainer.average.module)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return path


def with_architecture(config: TrainConfig) -> TrainConfig:
    """Return the config with the architecture that counts: that of the model to start from, if there is one.

    A pretrained encoder's folder is named as it is found from everywhere.

    Raises:
        InputError: another one is asked for, or there is no such audio encoder.
        ModelError: there is no teacher to start from, or its pretrained encoder is gone or another by now.
    """
    config = replace(config, model=replace(config.model, audio_encoder=resolved(config.model.audio_encoder)))
    if config.start is None:
        return config
    teacher = read_config(model_folder(config.start) / "teacher.safetensors", "teacher")
    if teacher.audio_encoder != COMPACT:
        verified(teacher)
    found = Architecture.of(teacher)
    if config.model not in (found, Architecture()):
        names = [name for name, value in asdict(config.model).items() if value != getattr(found, name)]
        raise InputError(
            f"found other {', '.join(names)} than those of {config.start}; leave them out, or start from new weights",
            field="init_from",
        )
    return replace(config, model=found)


def make_accelerator(config: TrainConfig, device: str, log_with: str | None = None, folder: Path | None = None) -> Accelerator:
    """Return what runs one process or many, on CPU or GPU.

    Args:
        config: says the precision.
        device: "auto", "cpu", "cuda" or "mps".
        log_with: "tensorboard" or None.
        folder: where it logs to.

    Raises:
        MachineError: no such device.
    """
    where = choose_device(device)
    return Accelerator(
        cpu=where.type == "cpu",
        mixed_precision="bf16" if config.bf16 and has_bf16(where) else "no",
        log_with=log_with,
        project_dir=folder,
        # A batch without a voice-matched clip leaves the contrastive loss's temperature without a gradient.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


class Trainer:
    """A network with all that its training needs; `step` is one step.

    Args:
        dataset: prepared.
        config: with the architecture that counts.
        accelerator: see `make_accelerator`.
        rig: SHA-256 of the rig file that the model goes with.
        run: a folder whose state is gone on from, if it has one.
        cache: the features of the config's pretrained encoder, if it has one.

    Raises:
        InputError: the dataset cannot be trained on, or a batch has fewer crops than there are processes.
    """

    def __init__(
        self, dataset: Dataset, config: TrainConfig, accelerator: Accelerator, rig: str, run: RunFolder | None = None,
        cache: FeatureCache | None = None,
    ) -> None:  # fmt: skip
        self.config, self.accelerator = config, accelerator
        self._state = Path("state.safetensors") if run is None else run.state_path
        torch.manual_seed(config.seed)
        start = None if config.start is None else read_config(model_folder(config.start) / "teacher.safetensors", "teacher")
        model_config = ModelConfig(
            kind="teacher",
            rig=rig,
            names=dataset.rig.rig.names,
            identities=dataset.trained,
            fps=dataset.info.fps,
            guidance_scale=config.guidance_scale,
            emotions=dataset.emotions,
            eyes=measured_eyes(dataset),
            pretrained_hash=cache.encoder.hash if cache else "",
            pretrained_width=cache.encoder.width if cache else 0,
            voice_measures=MEASURES if start is None else start.voice_measures,
            **asdict(config.model),
        )
        with_mel = cache is None or not model_config.voice_measures  # features and measures stand for it
        self.bank = ClipBank(dataset, "train", model_config, cache, config.known_phones, with_mel)
        if self.bank.crops(config.batch_frames) < accelerator.num_processes:
            raise InputError(
                f"found {accelerator.num_processes} processes and batches of {self.bank.crops(config.batch_frames)} crops; "
                "expected a crop for each; raise --batch-frames"
            )
        if config.start is None:
            self.network = FaceDiffusion(model_config)
            self.network.set_normalisation(*self.bank.coefficient_statistics())
            self.network.personalizer.set_voices(*self.bank.voice_statistics())
        else:
            self.network = _teacher_of(model_folder(config.start), model_config)
            self.network.encoder.requires_grad_(not config.keep_encoder)
        for module in self.network.encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = config.dropout
        self.objective = Objective(self.network, dataset.rig.rig, config.loss, len(self.bank.phone_names))
        self.average = Average(self.network, config.ema)
        personalizer = self.network.personalizer
        styles = [personalizer.table, *(personalizer.voice.parameters() if personalizer.voice is not None else ())]
        others = [parameter for parameter in self.objective.parameters() if all(parameter is not style for style in styles)]
        optimizer = torch.optim.AdamW(
            [{"params": others, "scale": 1.0}, {"params": styles, "scale": STYLE_RATE}],
            lr=config.learning_rate, weight_decay=config.weight_decay, fused=True,
        )  # fmt: skip
        self.modules: dict[str, nn.Module] = {"objective": self.objective, "average": self.average.module}
        saved = run.load(self.modules, optimizer) if run is not None else None
        self.first: int = saved["step"] if saved else 0
        self.smoothed: dict[str, float] = saved.get("smoothed", {}) if saved else {}
        self.average.module.to(accelerator.device)
        self._prepared, self.optimizer = accelerator.prepare(self.objective, optimizer)
        held_out = (
            ClipBank(dataset, "validation", model_config, cache, with_mel=with_mel) if dataset.clips("validation") else None
        )
        self.validation = [] if held_out is None else _validation_batches(held_out, config.batch_frames)

    def step(self, step: int) -> dict[str, float]:
        """Do one step; return the losses of the whole batch by name."""
        batch, mel, draw, part = self._draw(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["scale"] * _rate(step, self.config)
        self._prepared.train()
        losses = self._prepared(batch, mel, draw, part)
        self.accelerator.backward(losses["total"])
        norm = self.accelerator.clip_grad_norm_(self._prepared.parameters(), self.config.max_grad_norm)
        reduced = self.accelerator.reduce(torch.stack([loss.detach() for loss in losses.values()]), "mean")
        values = dict(zip(losses, reduced.tolist(), strict=True))
        check_finite(f"step {step + 1} of {self.config.steps}", values, float(norm), self._state)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.network, step)
        return values

    def _draw(self, step: int) -> tuple[Batch, Tensor | None, Draw, Part]:
        """Return this process's rows of a step's batch, their augmented mel and their random draw.

        The whole batch is a function of (seed, step), so that runs resume, and on as many processes as there happen to be.
        """
        accelerator = self.accelerator
        rng = np.random.default_rng([self.config.seed, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        batch = self.bank.batch(self.config.batch_frames, rng, augment=True)
        mel = batch.mel
        if mel is not None and rng.random() < 0.9:  # the clean recording counts too: it is what most users bring
            mel = augment_mel(mel, generator)
        draw = Draw.sample(batch, generator, self.config.condition_dropout)
        # Of dropout, the one thing that depends on the number of processes.
        torch.manual_seed(int(rng.integers(2**62)) + accelerator.process_index)
        batch, draw = batch.to(accelerator.device), draw.to(accelerator.device)
        part = Part.of(batch, accelerator.process_index, accelerator.num_processes)
        rows = part.first, part.last
        mel = None if mel is None else mel.to(accelerator.device)[slice(*rows)]
        return batch.rows(*rows), mel, draw.rows(*rows), part

    def settle(self) -> None:
        """Fit the averaged network's reading of voices to its table, where it reads their measures."""
        personalizer = self.average.module.personalizer
        if personalizer.voice is None:
            return
        measures, identity = self.bank.listenings(STRETCHES, np.random.default_rng(self.config.seed))
        if len(identity):
            device = self.accelerator.device
            settle_reading(personalizer, measures.to(device), identity.to(device))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the validation losses of the averaged weights, without augmentation or dropping."""
        objective, device = self.objective, self.accelerator.device
        original, objective.network = objective.network, self.average.module
        objective.eval()
        found: dict[str, list[float]] = {}
        for batch, draw in self.validation:
            moved = batch.to(device)
            for name, loss in objective(moved, moved.mel, draw.to(device), Part.of(moved)).items():
                found.setdefault("validation" if name == "diffusion" else f"validation_{name}", []).append(loss.item())
        objective.network = original
        return {name: float(np.mean(losses)) for name, losses in found.items()}  # not every batch has every loss


def _teacher_of(folder: Path, config: ModelConfig) -> FaceDiffusion:
    """Return the teacher of a model folder, with its own normalisation and without a postfilter, to train on as `config`.

    Raises:
        InputError: it is for other coefficients, identities or another frame rate than the dataset.
        ModelError: there is no teacher.
    """
    network = load_model(folder / "teacher.safetensors", "teacher")
    found = network.config
    own = {name: getattr(config, name) for name in ("rig", "guidance_scale", "eyes", "postfilter")}
    if replace(found, **own) != config:
        raise InputError(
            f"{folder} is a model of {len(found.names)} coefficients and {len(found.identities)} identities at {found.fps:g} "
            f"fps; expected the dataset's {len(config.names)}, {len(config.identities)} and {config.fps:g}, by the same names; "
            "start from new weights",
            field="init_from",
        )
    network.config = config
    return network.train().requires_grad_(True)


def _validation_batches(bank: ClipBank, frames: int) -> list[tuple[Batch, Draw]]:
    """Return fixed batches and draws to validate on."""
    batches = []
    for index in range(8):
        batch = bank.batch(frames, np.random.default_rng([7, index]), augment=False)
        batches.append((batch, Draw.sample(batch, torch.Generator().manual_seed(index), 0.0)))
    return batches


def _rate(step: int, config: TrainConfig) -> float:
    return warmed_cosine(step, config.steps, config.warmup, config.learning_rate)


def _rounded(losses: dict[str, float]) -> dict[str, float]:
    """Return the losses by name, in the order that a resumed run has them in."""
    return {name: round(losses[name], 5) for name in sorted(losses)}
