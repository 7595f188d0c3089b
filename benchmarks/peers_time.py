"""Seconds that FaceFormer, FaceDiffuser and talker take for the same 10 s of sound, in one run. For a quiet machine.

    git clone https://github.com/EvelynFan/FaceFormer
    git clone https://github.com/uuembodiedsocialai/FaceDiffuser
    python benchmarks/peers_time.py FaceFormer FaceDiffuser [--models talker-base,talker-tiny] [--threads 1,2] [--rounds 5]

The others' own code runs from their clones, as for VOCASET at 30 frames a second, with random weights: time does not depend on
them, and nothing is downloaded. Of transformers they get the version that is installed. FaceDiffuser runs its encoder in each
of its 1,000 steps; its own sampler does PARTIAL of them, and the time is multiplied. Everything goes from samples in memory to
vertices in memory, talker's decoding included: 5,023 vertices theirs, the built-in head ours. All systems take turns, after a
warm-up of each; what takes longer than LONG is measured LONG_ROUNDS times. A process of its own for each number of threads.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

SECONDS, SAMPLE_RATE, FPS = 10, 16_000, 30
VERTICES = 5023
PEOPLE = 8  # of VOCASET's training subjects
STEPS, PARTIAL = 1000, 2  # of FaceDiffuser on VOCASET, and those that are run
LONG, LONG_ROUNDS = 3.0, 3  # seconds
PEER = "FaceFormer, its own code"
Work = Callable[[np.ndarray], object]  # speech (S,) -> motion


def random_encoder(kind: str, base: type) -> Any:
    """Return a class of transformers' models whose `from_pretrained` gives the base architecture with random weights."""
    import transformers

    def from_pretrained(cls: Any, *_: object, **__: object) -> Any:
        # The defaults are wav2vec2-base and hubert-base. Attentions are asked for, which the fused kernel does not give.
        model = cls(getattr(transformers, f"{kind}Config")(attn_implementation="eager" if kind == "Wav2Vec2" else "sdpa"))
        return model.eval()

    return type(base.__name__, (base,), {"from_pretrained": classmethod(from_pretrained)})


def faceformer(clone: Path) -> Work:
    """Return FaceFormer's `predict`."""
    import torch

    sys.path.insert(0, str(clone))
    import faceformer as theirs
    import wav2vec

    theirs.Wav2Vec2Model = random_encoder("Wav2Vec2", wav2vec.Wav2Vec2Model)
    people = " ".join(map(str, range(PEOPLE)))
    settings = {"dataset": "vocaset", "vertice_dim": 3 * VERTICES, "feature_dim": 64, "period": 30, "device": "cpu"}
    model = theirs.Faceformer(SimpleNamespace(**settings, train_subjects=people)).eval()
    # Since transformers 4.6, which it was written for, the projection has come to return its input too.
    model.audio_encoder.feature_projection.register_forward_hook(lambda module, inputs, outputs: outputs[0])
    template, person = torch.zeros(1, 3 * VERTICES), torch.eye(PEOPLE)[:1]

    def work(speech: np.ndarray) -> object:
        with torch.no_grad():
            motion = model.predict(_normalised(speech), template, person)
        assert motion.shape == (1, int((len(speech) // 320 - 1) / 50 * FPS), 3 * VERTICES), motion.shape
        return motion

    return work


def facediffuser(clone: Path) -> tuple[Work, Work]:
    """Return PARTIAL steps of FaceDiffuser's sampler, and its encoder alone."""
    import torch
    from transformers import HubertModel

    # Their copy of an old transformers' HuBERT does not run beside a new one.
    stand_in = ModuleType("hubert.modeling_hubert")
    stand_in.HubertModel = random_encoder("Hubert", HubertModel)  # type: ignore[attr-defined]
    sys.modules |= {"hubert": ModuleType("hubert"), "hubert.modeling_hubert": stand_in}
    sys.path.insert(0, str(clone))
    import models as theirs
    from diffusion import gaussian_diffusion as gaussian
    from diffusion.respace import SpacedDiffusion

    settings = {"input_fps": 50, "output_fps": FPS, "diff_steps": STEPS, "device": "cpu"}
    people = " ".join(map(str, range(PEOPLE)))
    model = theirs.FaceDiff(
        SimpleNamespace(**settings, train_subjects=people), 3 * VERTICES, latent_dim=256, diffusion_steps=STEPS,
        gru_latent_dim=256,
    ).eval()  # fmt: skip
    diffusion = SpacedDiffusion(
        use_timesteps=range(STEPS), betas=gaussian.get_named_beta_schedule("cosine", STEPS, 1.0),
        model_mean_type=gaussian.ModelMeanType.START_X, model_var_type=gaussian.ModelVarType.FIXED_SMALL,
        loss_type=gaussian.LossType.MSE, rescale_timesteps=False,
    )  # fmt: skip
    template, person = torch.zeros(1, 3 * VERTICES), torch.eye(PEOPLE)[:1]

    def steps(speech: np.ndarray) -> object:
        given = {"cond_embed": _normalised(speech), "one_hot": person, "template": template}
        shape = (1, SECONDS * FPS - 1, 3 * VERTICES)
        return diffusion.p_sample_loop(
            model, shape, clip_denoised=False, model_kwargs=given, skip_timesteps=STEPS - PARTIAL, device="cpu"
        )

    def encoder(speech: np.ndarray) -> object:
        with torch.no_grad():
            return model.audio_encoder(_normalised(speech)).last_hidden_state

    return steps, encoder


def _normalised(speech: np.ndarray) -> Any:
    """Return speech (1, S) as a tensor of mean 0 and variance 1, which both encoders want."""
    import torch

    return torch.from_numpy((speech - speech.mean()) / np.sqrt(speech.var() + 1e-7))[None]


def talker(model: str) -> dict[str, Work]:
    """Return a model's students, by ONNX Runtime and by torch, its teacher's full sampler, and the decoding alone."""
    from talker_cli.animate.animator import Animator
    from talker_cli.model.folder import GRAPH, model_folder, students_of
    from talker_cli.model.onnx_runner import OnnxRunner
    from talker_cli.model.torch_runner import load_torch_runner
    from talker_cli.rig import load_rig

    folder = model_folder(model)
    animators = {}
    for weights in students_of(folder):
        for kind, runner in (
            ("ONNX Runtime", OnnxRunner(weights.with_suffix(GRAPH))),
            ("torch", load_torch_runner(weights, "cpu")),
        ):
            animators[f"{model}, {len(runner.config.timesteps)} steps, {kind}"] = Animator(runner, None)
    if (teacher := folder / "teacher.safetensors").is_file():
        animators[f"{model}, teacher, 256 steps, torch"] = Animator(load_torch_runner(teacher, "cpu"), None)
    identity = next(iter(animators.values())).config.identities[0]
    rig = load_rig(folder / "rig.safetensors").rig_of(identity)
    rest = np.zeros((SECONDS * FPS, len(rig.names)), np.float32)

    def of(animator: Animator) -> Work:
        return lambda speech: rig.decode(animator.coefficients(speech, identity))

    return {title: of(animator) for title, animator in animators.items()} | {
        f"{model}, decoding": lambda speech: rig.decode(rest)
    }


def measure(threads: int, clones: tuple[Path, Path], models: list[str], rounds: int) -> dict[str, float]:
    """Return the median seconds of each system, in this process."""
    import torch

    assert torch.get_num_threads() == threads
    from talker_cli.formats.audio import load_speech
    from talker_cli.model.torchaudio_functional import functional

    functional()  # transformers imports torchaudio, whatever torch that was built for
    speech = load_speech(Path(__file__).parents[1] / "examples" / "speech.wav")[: SECONDS * SAMPLE_RATE]
    steps, encoder = facediffuser(clones[1])
    systems: dict[str, Work] = {PEER: faceformer(clones[0])}
    systems |= {title: work for model in models for title, work in talker(model).items()}
    partial = f"FaceDiffuser, its own code, {STEPS} steps"
    systems |= {partial: steps, "its encoder (HuBERT base) alone, once": encoder}
    volumes = count(1)
    taken: dict[str, list[float]] = {title: [] for title in systems}
    for turn in range(rounds + 1):
        for title, work in systems.items():
            if turn > LONG_ROUNDS and taken[title][0] > LONG:
                continue
            sound = speech * np.float32(1 - 1e-4 * next(volumes))  # a frozen encoder keeps the outputs of what it has just read
            began = time.perf_counter()
            work(sound)
            taken[title].append(time.perf_counter() - began)
    medians = {title: statistics.median(seconds[1:]) for title, seconds in taken.items()}
    return medians | {partial: medians[partial] * STEPS / PARTIAL}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faceformer", type=Path)
    parser.add_argument("facediffuser", type=Path)
    parser.add_argument("--models", default="talker-base,talker-tiny")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    clones = (arguments.faceformer, arguments.facediffuser)
    for clone, name in zip(clones, ("faceformer.py", "models.py"), strict=True):
        if not (clone / name).is_file():
            parser.error(f"no {name} in {clone}; expected a clone of the repository")
    found: dict[int, dict[str, float]] = {}
    load = os.getloadavg()[0]
    for threads in map(int, arguments.threads.split(",")):
        os.environ["OMP_NUM_THREADS"] = str(threads)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found[threads] = pool.submit(measure, threads, clones, arguments.models.split(","), arguments.rounds).result()
    print(f"{SECONDS} s of sound to vertices; medians, in turn; load {load:.1f} at the beginning", end="\n\n")
    headings = [f"s, {threads} thread{'s' * (threads > 1)} | FaceFormer / it" for threads in found]
    print("| | " + " | ".join(headings) + " |\n|---" + "|---" * 2 * len(found) + "|")
    for title in next(iter(found.values())):
        cells = [f"{medians[title]:.3f} | {medians[PEER] / medians[title]:.1f}" for medians in found.values()]
        print(f"| {title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
