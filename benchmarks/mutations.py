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
TESTS = ("test_method.py", "test_diffusion.py", "test_model.py")

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
    "no velocity term": ("train/losses.py", "+ self.velocity_weight * velocity.mean()", ""),
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
    "no surface metric": (
        "train/losses.py",
        "metric = weights.surface * gram",
        "metric = weights.surface * np.eye(count) + 0 * gram",
    ),
    "v with the wrong sign": ("model/diffusion.py", "return alpha * eps - sigma * x0", "return sigma * x0 - alpha * eps"),
    "x0 of v with the wrong sign": ("model/diffusion.py", "return alpha * x_t - sigma * v", "return alpha * x_t + sigma * v"),
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
        "model/diffusion.py",
        "return alpha_s * x0 + sigma_s * (x_t - alpha_t * x0) / sigma_t",
        "return alpha_s * x0",
    ),
    "DDPM without noise": ("model/diffusion.py", "(variance_ts.sqrt() * sigma_s / sigma_t) * noise", "0 * noise"),
    "DDPM with the wide variance": (
        "model/diffusion.py",
        "(variance_ts.sqrt() * sigma_s / sigma_t) * noise",
        "variance_ts.sqrt() * noise",
    ),
    "last step returns no x0": ("model/diffusion.py", "            return x0\n", "            return x_t\n"),
    "noise ignores the frame": ("model/diffusion.py", "* 1_000_003 + number)", "* 1_000_003)"),
    "noise ignores the step": ("model/diffusion.py", "(seed * 1_000_003 + index)", "(seed * 1_000_003)"),
    "noise ignores the seed": ("model/diffusion.py", "(seed * 1_000_003 + index)", "index"),
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
        "save_model(student_path(model, count, config.steps), average.module)",
        "save_model(student_path(model, count, config.steps), original)",
    ),
    "no warm-up": ("train/rate.py", "if step < warmup", "if step < 0"),
    "coefficients not normalised": (
        "model/network.py",
        "return (coefficients - self.mean) / self.deviation",
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
}


def survives(name: str) -> str | None:
    """Make one change in a copy; return None if no test fails, else the first that does."""
    file, old, new = CHANGES[name]
    with tempfile.TemporaryDirectory(prefix="talker-mutation-") as place:
        root = Path(place)
        for folder in ("talker_cli", "tests"):
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        (root / "weights").symlink_to(ROOT / "weights")
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
