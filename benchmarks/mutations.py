"""Change the method on purpose, one place at a time: a test must fail for each.

    .venv/bin/python benchmarks/mutations.py            # all, minutes
    .venv/bin/python benchmarks/mutations.py --only ema

Each change is made in a copy of the package, and the tests of the method run on that copy. A change that no test notices
is printed as SURVIVED, and the exit code is 1.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Cheap ones first: the first that fails ends it.
TESTS = (
    "test_diffusion.py", "test_model.py", "test_method.py", "test_method_steps.py", "test_voice.py", "test_eyes.py",
    "test_emotion.py", "test_training.py", "test_distill.py", "test_shipped.py",
)  # fmt: skip

# name: file, what stands there, what stands there instead
CHANGES: dict[str, tuple[str, str, str]] = {
    "no 1/sigma in the distillation loss": ("train/distill.py", "(predicted - target) / sigma", "(predicted - target)"),
    "guidance at every stage": ("train/distill.py", "self.guidance_scale if stage == 0 else 1.0", "self.guidance_scale"),
    "guidance never baked in": ("train/distill.py", "self.guidance_scale if stage == 0 else 1.0", "1.0"),
    "the student never becomes the teacher": (
        "train/distill.py",
        "teacher.denoiser.load_state_dict(average.module.denoiser.state_dict())",
        "pass",
    ),
    "a stage starts from raw weights": ("train/distill.py", "student.load_state_dict(average.module.state_dict())", "pass"),
    "target is the teacher's first x0": (
        "model/diffusion.py",
        "return (x_end - ratio * x_t) / (alpha_s - ratio * alpha_t)",
        "return predict_x0(x_t, t)",
    ),
    "target of one step instead of two": (
        "model/diffusion.py",
        "x_end = ddim_step(x_middle, predict_x0(x_middle, middle[:, 0, 0]), middle, end)",
        "x_end = ddim_step(x_t, predict_x0(x_t, t), wide, end)",
    ),
    "half the step length": ("train/distill.py", "x_t, t, 1.0 / count", "x_t, t, 0.5 / count"),
    "double the step length": ("train/distill.py", "x_t, t, 1.0 / count", "x_t, t, 2.0 / count"),
    "timesteps of another grid": ("train/distill.py", "% count + 1).float() / count", "% count + 0.5).float() / count"),
    "second half step from the wrong time": (
        "model/diffusion.py",
        "predict_x0(x_middle, middle[:, 0, 0])",
        "predict_x0(x_middle, t)",
    ),
    "speech never dropped": (
        "train/losses.py",
        "torch.where(draw.drop_speech[:, None, None], network.denoiser.null_speech, features)",
        "features",
    ),
    "style never dropped": (
        "train/losses.py",
        "torch.where(draw.drop_style[:, None], network.denoiser.null_style, style)",
        "style",
    ),
    "dropped conditions exchanged": (
        "train/losses.py",
        "torch.where(draw.drop_style[:, None]",
        "torch.where(draw.drop_speech[:, None]",
    ),
    "nothing is ever drawn to be dropped": ("train/losses.py", "((chance[0] < drop) | together)", "(chance[0] < 0 * drop)"),
    "conditions dropped apart only": ("train/losses.py", "together = chance[3] < drop / 2", "together = chance[3] < 0"),
    "no contrastive loss": ("train/losses.py", "if bool(matched.any()):", "if False:"),
    "contrastive weight ignored": ("train/losses.py", "getattr(self.weights, name, 1.0) * loss", "loss"),
    "contrast in one direction": (
        "model/personalizer.py",
        "0.5 * (audio_to_identity - per_identity[present].mean())",
        "audio_to_identity",
    ),
    "temperature not learned": ("model/personalizer.py", "self.log_temperature.clamp", "self.log_temperature.detach().clamp"),
    "style of the wrong identity": (
        "train/losses.py",
        "personalizer.named(batch.identity)",
        "personalizer.named(batch.identity.flip(0))",
    ),
    "style never read off the sound": (
        "train/losses.py",
        "torch.where(draw.use_audio_style[:, None], read,",
        "torch.where(draw.use_audio_style[:, None] & False, read,",
    ),
    "no gap term": (
        "train/losses.py",
        "position = weight * (surface.square().sum(-1) / count + away)",
        "position = weight * (surface.square().sum(-1) / count)",
    ),
    "gap term without velocity": ("train/losses.py", "+ gap.diff(dim=1).square())", ")"),
    "no velocity term": (
        "train/losses.py",
        "+ self.velocity_weight * (velocity + self.head_velocity_weight * turns).mean()",
        "",
    ),
    "closed lips weigh nothing more": (
        "train/losses.py",
        "weight = 1.0 + self.closed_weight /",
        "weight = 1.0 + 0 * self.closed_weight /",
    ),
    "lip vertices weigh nothing more": (
        "train/losses.py",
        "rig.gram(1.0 + (weights.lips - 1.0) *",
        "rig.gram(1.0 + 0 * (weights.lips - 1.0) *",
    ),
    "turns of the head cost nothing on the surface": (
        "train/losses.py",
        "= np.trace(gram) / shapes",
        "= 0 * np.trace(gram) / shapes",
    ),
    "no surface metric": (
        "train/losses.py",
        "metric = weights.surface * gram",
        "metric = weights.surface * np.eye(count) + 0 * gram",
    ),
    "v with the wrong sign": ("model/diffusion.py", "return alpha * eps - sigma * x0", "return sigma * x0 - alpha * eps"),
    "x0 of v with the wrong sign": ("model/diffusion.py", "return alpha * x_t - sigma * v", "return alpha * x_t + sigma * v"),
    "emotions are not trained": ("train/losses.py", "seen, style, batch.emotion)", "seen, style)"),
    "emotions of a crop that was not cut": (
        "train/batches.py",
        "(start + np.arange(frames) * speed) / self._fps",
        "(np.arange(frames) * speed) / self._fps",
    ),
    "blinks that stop half-way": (
        "corpus/articulate/eyes.py",
        "min(blink.depth * share, 1.0)",
        "0.5 * min(blink.depth * share, 1.0)",
    ),
    "eyes that turn with the head": (
        "corpus/articulate/eyes.py",
        "aside - np.degrees(head[:, 1])",
        "aside + np.degrees(head[:, 1])",
    ),
    "another timestep for the denoiser": (
        "train/losses.py",
        "network.model_output(x_t, draw.t,",
        "network.model_output(x_t, 1 - draw.t,",
    ),
    "noise of another timestep": (
        "train/losses.py",
        "add_noise(x0, draw.noise, draw.t)",
        "add_noise(x0, draw.noise, draw.t * 0.9)",
    ),
    "target of x0 for v": (
        "train/losses.py",
        'if network.config.prediction == "v" else x0',
        'if network.config.prediction == "x" else x0',
    ),
    "alpha and sigma exchanged": (
        "model/diffusion.py",
        "return torch.cos(angle), torch.sin(angle)",
        "return torch.sin(angle), torch.cos(angle)",
    ),
    "a linear schedule": ("model/diffusion.py", "return torch.cos(angle), torch.sin(angle)", "return 1 - t, t"),
    "a schedule with an offset": (
        "model/diffusion.py",
        "angle = t * (torch.pi / 2)",
        "angle = (t + 0.008) / 1.008 * (torch.pi / 2)",
    ),
    "DDIM forgets the noise": (
        "model/sampling.py",
        "return alpha_s * x0 + sigma_s * (x_t - alpha_t * x0) / sigma_t",
        "return alpha_s * x0",
    ),
    "DDPM without noise": ("model/sampling.py", "(math.sqrt(variance_ts) * sigma_s / sigma_t) * noise", "0 * noise"),
    "DDPM with the wide variance": (
        "model/sampling.py",
        "(math.sqrt(variance_ts) * sigma_s / sigma_t) * noise",
        "math.sqrt(variance_ts) * noise",
    ),
    "last step returns no x0": ("model/sampling.py", "            return x0\n", "            return x_t\n"),
    "noise ignores the frame": ("model/noise.py", "counter=[start * counts, 0, 0, 0]", "counter=[0, 0, 0, 0]"),
    "noise ignores the step": ("model/noise.py", "key=[seed % 2**64, index]", "key=[seed % 2**64, 0]"),
    "noise ignores the seed": ("model/noise.py", "key=[seed % 2**64, index]", "key=[0, index]"),
    "guidance backwards": (
        "model/network.py",
        "return neither + guidance_scale * (both - neither)",
        "return both + guidance_scale * (neither - both)",
    ),
    "guidance from the style alone": (
        "model/network.py",
        "neither + style_scale * (style_alone - neither)",
        "style_scale * style_alone",
    ),
    "average with another decay": ("train/run.py", "decay = min(self.decay, (1 + step) / (10 + step))", "decay = self.decay"),
    "average never moves": ("train/run.py", "mine.lerp_(theirs.to(mine), 1 - decay)", "pass"),
    "average is the raw weights": ("train/run.py", "mine.lerp_(theirs.to(mine), 1 - decay)", "mine.copy_(theirs)"),
    "average not updated in training": ("train/teacher.py", "self.average.update(self.network, step)", "pass"),
    "raw weights are saved": (
        "train/teacher.py",
        "save_model(path, trainer.average.module)",
        "save_model(path, trainer.network)",
    ),
    "raw student is saved": (
        "train/distill.py",
        "save(student_path(model, count, config.steps), average.module)",
        "save(student_path(model, count, config.steps), original)",
    ),
    "no warm-up": ("train/rate.py", "if step < warmup", "if step < 0"),
    "coefficients not normalised": (
        "model/network.py",
        "return (coefficients - self.mean) / self.std",
        "return coefficients - self.mean",
    ),
    "regression's loss lost": (
        "train/losses.py",
        'losses["regression"] = part.share *',
        'losses["regression"] = 0 * part.share *',
    ),
    "the optimizer never steps": ("train/teacher.py", "        self.optimizer.step()\n", ""),
    "gradients add up over steps": ("train/teacher.py", "        self.optimizer.zero_grad()\n", ""),
    "the student's optimizer never steps": ("train/distill.py", "            optimizer.step()\n", ""),
    "gradients not clipped": ("train/teacher.py", "parameters(), self.config.max_grad_norm)", "parameters(), 1e9)"),
    "learning rate never falls": ("train/teacher.py", 'group["lr"] = group["scale"] * _rate(step, self.config)', "pass"),
    "warm-up of another length": ("train/teacher.py", "config.steps, config.warmup, config", "config.steps, 0, config"),
    "weights do not decay": ("train/teacher.py", "weight_decay=config.weight_decay", "weight_decay=0.0"),
    "the average's decay ignored": ("train/teacher.py", "Average(self.network, config.ema)", "Average(self.network, 0.5)"),
    "condition dropout ignored": ("train/teacher.py", "generator, self.config.condition_dropout)", "generator, 0.0)"),
    "batches ignore the seed": ("train/teacher.py", "default_rng([self.config.seed, step])", "default_rng([0, step])"),
    "one batch for all steps": (
        "train/teacher.py",
        "default_rng([self.config.seed, step])",
        "default_rng([self.config.seed, 0])",
    ),
    "weights ignore the seed": ("train/teacher.py", "torch.manual_seed(config.seed)", "torch.manual_seed(0)"),
    "trained on the validation split": (
        "train/teacher.py",
        'ClipBank(dataset, "train", model_config, cache, ',
        'ClipBank(dataset, "validation", model_config, cache, ',
    ),
    "validated on the training split": (
        "train/teacher.py",
        'ClipBank(dataset, "validation", model_config, cache, with_mel=with_mel)',
        'ClipBank(dataset, "train", model_config, cache, with_mel=with_mel)',
    ),
    "raw weights are validated": (
        "train/teacher.py",
        "= objective.network, self.average.module",
        "= objective.network, objective.network",
    ),
    "validated with dropped conditions": ("train/teacher.py", "manual_seed(index), 0.0)", "manual_seed(index), 0.5)"),
    "normalisation never set": (
        "train/teacher.py",
        "self.network.set_normalisation(*self.bank.coefficient_statistics())",
        "pass",
    ),
    "dropout ignored": ("train/teacher.py", "module.p = config.dropout", "module.p = 0.0"),
    "speech never augmented": (
        "train/teacher.py",
        "if mel is not None and rng.random() < 0.9:",
        "if mel is not None and rng.random() < 0.0:",
    ),
    "the average is not resumed": (
        "train/teacher.py",
        '{"objective": self.objective, "average": self.average.module}',
        '{"objective": self.objective}',
    ),
    "the optimizer is not resumed": ("train/teacher.py", "run.load(self.modules, optimizer)", "run.load(self.modules, None)"),
    "variance for std": (
        "train/batches.py",
        "np.sqrt(np.maximum(square - mean**2, 0.0))",
        "np.maximum(square - mean**2, 0.0)",
    ),
    "still coefficients without a floor": ("train/batches.py", "np.maximum(std, 0.01)", "std"),
    "human speech drawn no more often": ("train/batches.py", "HUMAN_WEIGHT if recording.human else 1.0", "1.0"),
    "held-out people counted as known voices": ("train/batches.py", "own and clip.voice_matched", "clip.voice_matched"),
    "a phone's frames are another's": ("train/batches.py", "int(np.ceil(start * config.fps))", "int(start * config.fps) + 2"),
    "mel at its own speed": ("train/batches.py", "column = (start + column * speed + 0.5)", "column = (start + column + 0.5)"),
    "phones at their own speed": (
        "train/batches.py",
        "entry.phones[np.minimum(np.round(position)",
        "entry.phones[np.minimum((start + np.arange(frames))",
    ),
    "contrast of voices that are not the identity's": (
        "train/losses.py",
        "contrastive_loss(styles[matched], part.identity[matched])",
        "contrastive_loss(styles, part.identity)",
    ),
    "gap of another softness": ("train/losses.py", "GAP_SOFTNESS = 0.002", "GAP_SOFTNESS = 0.02"),
    "gap error not rounded off": ("train/losses.py", "(gap.square() + GAP_ROUNDING**2).sqrt() - GAP_ROUNDING", "gap.abs()"),
    "phones' mean over unknown frames too": ("train/losses.py", "max(1, part.known_phones)", "max(1, phones.numel())"),
    "velocity forgets the surface": ("train/losses.py", "surface.diff(dim=1).square().sum(-1) / count + gap.diff", "gap.diff"),
    "velocity forgets closed lips": ("train/losses.py", "velocity = between * (", "velocity = ("),
    "style read off other people's voices": (
        "train/losses.py",
        "(chance[2] < 0.15).to(device) & batch.voice_matched",
        "(chance[2] < 0.15).to(device)",
    ),
    "one timestep for a whole batch": ("train/losses.py", "torch.arange(size[0]) / size[0])", "torch.zeros(size[0]))"),
    "late timesteps never seen": ("train/losses.py", "spread.clamp(min=1e-3)", "spread.clamp(min=1e-3, max=0.8)"),
    "temperature unbounded": ("model/personalizer.py", "self.log_temperature.clamp(max=4.6)", "self.log_temperature"),
    "styles of another length": (
        "model/personalizer.py",
        "F.normalize(vector, dim=-1) * vector.shape[-1] ** 0.5",
        "F.normalize(vector, dim=-1)",
    ),
    "a style read off sound does not shrink": (
        "model/personalizer.py",
        "torch.mul(*self.voice(sound))",
        "self.voice(sound)[0]",
    ),
    "little speech raises no doubt": (
        "model/personalizer.py",
        "math.log(USUAL_SECONDS) - measures[:, -1]",
        "0 * measures[:, -1]",
    ),
    "odd sound raises no doubt": ("model/personalizer.py", "measures[:, -1], odd]", "measures[:, -1], 0 * odd]"),
    "likelihood without its width": ("model/personalizer.py", " + torch.log1p(-told)", ""),
    "the reading moves the table": ("model/personalizer.py", "self.named(identity).detach() -", "self.named(identity) -"),
    "a reading of every row, whoever speaks": ("train/losses.py", "[batch.voice_matched].sum()", ".sum()"),
    "a voice is read off others": ("train/batches.py", "self._voices[entry.voice]", "next(iter(self._voices.values()))"),
    "similarity not a cosine": ("model/personalizer.py", "F.normalize(style, dim=-1) @", "style @"),
    "the student's rate never falls": ("train/distill.py", "config.learning_rate * (1 - step / total)", "config.learning_rate"),
    "the student's gradients not clipped": (
        "train/distill.py",
        'clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)',
        'clip_grad_norm_(optimizer.param_groups[0]["params"], 1e9)',
    ),
    "a student halved towards features it does not read": (
        "train/distill.py",
        "features = student.encoder(draw.mel).float()",
        "features = teacher_features(teacher, batch, draw.mel)",
    ),
    "the student's average with another decay": ("train/distill.py", "Average(student, config.ema)", "Average(student, 0.0)"),
    "the student's average never updated": ("train/distill.py", "average.update(student, step)", "pass"),
    "the student's encoder without warm-up": ("train/distill.py", "math.ceil(ENCODER_WARMUP * total)", "0"),
    "distilled on the validation split": (
        "train/distill.py",
        'ClipBank(dataset, "train", _by_name(original.config), cache, ',
        'ClipBank(dataset, "validation", _by_name(original.config), cache, ',
    ),
    "distilled on clean speech alone": ("train/distill.py", "if rng.random() < 0.7", "if rng.random() < 0.0"),
    "one draw for all steps of a stage": (
        "train/distill.py",
        "self.config, (stage, step), where)",
        "self.config, (stage, 0), where)",
    ),
    "distillation ignores the seed": ("train/distill.py", "default_rng([config.seed, *place])", "default_rng([0, *place])"),
    "distilled in another's style": (
        "train/distill.py",
        "style = teacher.personalizer.named(batch.identity)",
        "style = teacher.personalizer.named(batch.identity.flip(0))",
    ),
    "the teacher's guidance is not the default": (
        "train/distill.py",
        "scale = original.config.guidance_scale if config.guidance_scale is None",
        "scale = 1.0 if config.guidance_scale is None",
    ),
    "the student is guided twice": ("train/students.py", "timesteps=timesteps, guidance_scale=1.0)", "timesteps=timesteps)"),
    "the student's temperature is not stored": ("train/distill.py", "temperature=config.temperature,", ""),
    "the encoder's error of motion lost": (
        "train/encoder.py",
        "metric((predicted - target) / sigma, gap)",
        "0 * metric((predicted - target) / sigma, gap)",
    ),
    "no 1/sigma in the encoder's loss": (
        "train/encoder.py",
        "metric((predicted - target) / sigma, gap)",
        "metric(predicted - target, gap)",
    ),
    "features' error not in their units": (
        "train/encoder.py",
        "(found.float() - wanted) / std",
        "(found.float() - wanted)",
    ),
    "the encoder learned in another's style": ("train/encoder.py", "named(batch.identity)", "named(batch.identity.flip(0))"),
    "the encoder learned at another timestep": (
        "train/encoder.py",
        "predict_x0(x_t, t, found, style",
        "predict_x0(x_t, 1 - t, found, style",
    ),
    "temperature of sampling ignored": (
        "animate/stream.py",
        "self.temperature * self._noise(0, first, end)",
        "self._noise(0, first, end)",
    ),
    "one temperature for the whole face": (
        "animate/stream.py",
        "np.where(upper, upper_face, whole)",
        "np.where(upper, whole, whole)",
    ),
    "one noise for all steps": ("animate/stream.py", "self._noise(index + 1, first, end)", "self._noise(0, first, end)"),
    "the model's guidance ignored": (
        "animate/animator.py",
        "config.guidance_scale if guidance is None",
        "1.0 if guidance is None",
    ),
    "the sampler begins late": ("model/sampling.py", "(steps - index) / steps for", "(steps - index - 0.5) / steps for"),
    "the denoiser ignores the style": ("model/denoiser.py", " + self.style_in(style))", ")"),
    "the denoiser ignores the timestep": ("model/denoiser.py", "timestep_embedding(t, 64)", "timestep_embedding(0 * t, 64)"),
    "the denoiser reads the speech once": ("model/denoiser.py", "x = x + self.speech_mid(speech_features)", "pass"),
    "blocks without a shift": ("model/denoiser.py", "* (1 + scale) + shift", "* (1 + scale)"),
    "blocks without what came before": ("model/denoiser.py", "return x + gate *", "return gate *"),
}


def survives(name: str | None) -> str | None:
    """Make one change in a copy, or none; return None if no test fails, else the first that does."""
    with tempfile.TemporaryDirectory(prefix="talker-mutation-") as place:
        root = Path(place)
        for folder in ("talker_cli", "tests"):
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        for folder in ("weights", "examples"):
            (root / folder).symlink_to(ROOT / folder)
        if name is not None:
            file, old, new = CHANGES[name]
            path = root / "talker_cli" / file
            text = path.read_text(encoding="utf-8")
            if old not in text:
                raise SystemExit(f"{name}: {file} no longer holds {old!r}; write the change anew")
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
        env = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *(f"tests/{test}" for test in TESTS)]
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return None
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
        return found[1].removeprefix("tests/") if found else done.stdout[-200:]


def main() -> int:
    """Run from the command line; exit code 1 if a change survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="Only changes whose name holds this text.")
    options = parser.parse_args()
    failing = survives(None)
    if failing is not None:
        raise SystemExit(f"{failing} fails without any change; expected all tests to pass")
    survived = 0
    for name in CHANGES:
        if options.only in name:
            test = survives(name)
            survived += test is None
            print(f"{'SURVIVED' if test is None else 'caught'}  {name}: {test or '-'}", flush=True)
    print(f"{survived} of {sum(options.only in name for name in CHANGES)} changes survived")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
