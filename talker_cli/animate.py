"""Speech to motion: load a model, pick the identity, sample."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from talker_cli.audio import load_speech
from talker_cli.errors import InputError, ModelError
from talker_cli.export.performance import Performance
from talker_cli.files import file_hash
from talker_cli.identities import Cast, Chosen, Manner, style_space
from talker_cli.library import Library
from talker_cli.model.audio_encoder import log_mel
from talker_cli.model.checkpoint import load_model
from talker_cli.model.config import MAX_TIMESTEP, SAMPLE_RATE
from talker_cli.model.device import choose_device
from talker_cli.model.diffusion import OnStep, frame_noise, sample_ddim, sample_ddpm, uniform_timesteps
from talker_cli.model.folder import model_folder
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.reading import read_style
from talker_cli.rig import ARKIT_NAMES, Rig, load_rig


@dataclass(frozen=True)
class Animated:
    """A performance, and how it was made."""

    performance: Performance
    sampler: str
    seconds: float


def parse_steps(steps: str) -> int | None:
    """Return the number of steps that `--steps` names, or None for the teacher's full sampler.

    Raises:
        InputError: it is neither "full" nor a number from 1 to 256.
    """
    if steps == "full":
        return None
    if not steps.isascii() or not steps.isdigit() or not 1 <= int(steps) <= MAX_TIMESTEP:
        raise InputError(f"found --steps {steps}; expected 8 (the student), a number from 1 to {MAX_TIMESTEP}, or full")
    return None if int(steps) == MAX_TIMESTEP else int(steps)


class Animator:
    """A loaded model, ready to animate speech.

    Args:
        network: teacher or student.
        steps: DDIM steps for a teacher, or None for its full ancestral sampler; a student has its own.
        device: where to run.
    """

    def __init__(self, network: FaceDiffusion, steps: int | None, device: torch.device) -> None:
        self.network = network.to(device)
        self.steps = steps
        self.device = device

    @property
    def sampler(self) -> str:
        """Say which network and sampler run."""
        config = self.network.config
        if config.kind == "student":
            return f"student, {len(config.timesteps)} steps"
        return f"teacher, DDPM {MAX_TIMESTEP} steps" if self.steps is None else f"teacher, DDIM {self.steps} steps"

    @torch.inference_mode()
    def coefficients(
        self,
        speech: np.ndarray,
        identity: str | Manner,
        *,
        seed: int = 0,
        guidance: float | None = None,
        on_step: OnStep | None = None,
    ) -> np.ndarray:
        """Return the motion of speech as coefficients (T, K), T = floor(S * fps / 16000).

        Args:
            speech: (S,) float32, 16 kHz.
            identity: full name of a row of the identity table, or the manner of anybody else.
            seed: of the noise; the same seed gives the same motion.
            guidance: scale, 1 = off; None takes the model's default.
            on_step: called after each denoising step.

        Raises:
            InputError: the speech is shorter than a frame, or a student is asked for guidance of its own.
        """
        network, config = self.network, self.network.config
        frames = int(len(speech) * config.fps / SAMPLE_RATE)
        if frames < 1:
            raise InputError(f"found {len(speech) / SAMPLE_RATE:.3f} s of speech; expected at least one frame of motion")
        if config.kind == "student" and guidance is not None:
            raise InputError("found --guidance with the student, which has its own baked in; add --steps full or a number")
        scale = config.guidance_scale if guidance is None else guidance
        mel = log_mel(torch.from_numpy(speech)[None].to(self.device), frames, config)
        features = network.encoder(mel)  # (1, T, D)
        style = self._style(identity)  # (1, S)

        def predict_x0(x_t: Tensor, t: float) -> Tensor:
            return network.guided_x0(x_t, torch.full((1,), t, device=self.device), features, style, scale)

        def noise(index: int) -> Tensor:
            deviation = config.noise_scale if index == 0 else 1.0
            return deviation * frame_noise(seed, frames, len(config.names), index).to(self.device)

        if config.kind == "student":
            x0 = sample_ddim(predict_x0, noise, [step / MAX_TIMESTEP for step in config.timesteps], on_step)
        elif self.steps is None:
            x0 = sample_ddpm(predict_x0, noise, uniform_timesteps(MAX_TIMESTEP), on_step)
        else:
            x0 = sample_ddim(predict_x0, noise, uniform_timesteps(self.steps), on_step)
        coefficients = network.denormalise(x0)[0].cpu().numpy()
        if isinstance(identity, Manner) and identity.offset is not None:
            coefficients = coefficients + identity.offset
        # ARKit's shapes are defined from 0 to 1; other bases have no bounds.
        return np.clip(coefficients, 0.0, 1.0) if config.names == ARKIT_NAMES else coefficients

    def _style(self, identity: str | Manner) -> Tensor:
        if isinstance(identity, Manner):
            return torch.from_numpy(identity.style)[None].to(self.device)
        row = torch.tensor([self.network.config.identities.index(identity)], device=self.device)
        return self.network.personalizer.named(row)


def load_animator(folder: Path, steps: str, device: str) -> Animator:
    """Load what `--steps` asks for: the student for its own number of steps, else the teacher.

    Raises:
        ModelError: the weights are missing, damaged, or not made for the folder's rig.
        InputError: `steps` is no number of steps.
        MachineError: no such device.
    """
    wanted = parse_steps(steps)
    where = choose_device(device)
    student_path = folder / "student.safetensors"
    network = None
    if wanted is not None and (student_path.is_file() or steps == "8"):
        student = load_model(student_path, "student")
        network = student if len(student.config.timesteps) == wanted else None
    if network is None:
        network = load_model(folder / "teacher.safetensors", "teacher")
    if network.config.rig != file_hash(folder / "rig.safetensors"):
        raise ModelError(f"the weights in {folder} were made for another rig.safetensors; expected the one they came with")
    return Animator(network, wanted, where)


def animate_file(
    audio: Path,
    *,
    identity: str,
    model: str = "talker-base",
    steps: str = "8",
    seed: int = 0,
    guidance: float | None = None,
    style_scale: float = 1.0,
    library: Path | None = None,
    device: str = "auto",
    check_rig: Callable[[Rig], None] = lambda rig: None,
    on_note: Callable[[str], None],
    on_step: OnStep | None = None,
) -> Animated:
    """Animate a recording; what comes back can be written in any format.

    Args:
        audio: any recording that ffmpeg reads.
        identity: name or the beginning of one, identity file, "auto", or a mix; see `Cast.resolve`.
        model: built-in name or folder.
        steps: "8" for the student, another number for the teacher with that many DDIM steps, "full" for its full sampler.
        seed: of the noise.
        guidance: scale for the teacher, None for its default.
        style_scale: 1 = the identity's style, 0 = the average, 2 = twice as far from it.
        library: the folder of enrolled identities, None for the user's own.
        device: "auto", "cpu" or "cuda".
        check_rig: called with the identity's rig before any work goes into moving it.
        on_note: called with a line the user should read.
        on_step: called after each denoising step.

    Raises:
        TalkerError: of every kind; each says what was found, what was expected and what to do.
    """
    started = time.perf_counter()
    folder = model_folder(model)
    rigs = load_rig(folder / "rig.safetensors")
    animator = load_animator(folder, steps, device)
    speech = load_speech(audio)
    space = style_space(folder)
    cast = Cast(rigs, space, Library(library), style_scale, lambda: read_style(animator.network, speech, animator.device))
    chosen = cast.resolve(identity)
    check_rig(chosen.rig)
    for line in chosen.notes:
        on_note(line)
    coefficients = animator.coefficients(speech, chosen.manner, seed=seed, guidance=guidance, on_step=on_step)
    about = {**_about(animator, folder, audio, chosen, seed, guidance), "style_scale": style_scale}
    performance = Performance(coefficients, chosen.rig, animator.network.config.fps, about, audio)
    return Animated(performance, animator.sampler, time.perf_counter() - started)


def _about(
    animator: Animator, folder: Path, audio: Path, chosen: Chosen, seed: int, guidance: float | None
) -> dict[str, object]:
    """Return the sidecar: everything needed to make the motion again, and to render it."""
    config = animator.network.config
    return {
        "fps": config.fps,
        "identity": chosen.name,
        "face": chosen.face,
        "rig": {"path": str((folder / "rig.safetensors").resolve()), "sha256": config.rig},
        "audio": {"path": str(audio.resolve()), "sha256": file_hash(audio)},
        "model": {"path": str(folder.resolve()), "sha256": file_hash(folder / f"{config.kind}.safetensors")},
        "sampler": animator.sampler,
        "seed": seed,
        "guidance_scale": config.guidance_scale if guidance is None else guidance,
    }
