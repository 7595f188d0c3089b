"""A model that is loaded, and the sampler that was asked for: speech (S,) to coefficients (T, K)."""

from collections.abc import Iterable
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from talker_cli.animate.eyes import EyeMotion, eye_style
from talker_cli.animate.stream import CHUNK_FRAMES, MotionStream, OnFrames
from talker_cli.corpus.articulate.emotion import mood
from talker_cli.corpus.articulate.eyes import NAMES as EYES
from talker_cli.data.emotions import Spans, check_names
from talker_cli.errors import InputError, ModelError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.identity.resolve import StyleCondition
from talker_cli.metrics import Phones
from talker_cli.model.config import MAX_TIMESTEP, ModelConfig
from talker_cli.model.folder import students_of
from talker_cli.model.header import read_config
from talker_cli.model.loading import load_runner
from talker_cli.model.runner import NetworkRunner
from talker_cli.model.sampling import Sampler, uniform_timesteps
from talker_cli.rig import ARKIT_NAMES, face_names


def parse_steps(steps: str) -> int | None:
    """Return a number of denoising steps, or None for the teacher's full sampler.

    Raises:
        InputError: `steps` is neither "full" nor a number from 1 to 256.
    """
    if steps == "full":
        return None
    if not steps.isascii() or not steps.isdigit() or not 1 <= int(steps[:9]) <= MAX_TIMESTEP:
        raise InputError(f"found {steps}; expected 8 (the student), a number from 1 to {MAX_TIMESTEP}, or full", field="steps")
    return None if int(steps) == MAX_TIMESTEP else int(steps)


class Animator:
    """A network with a sampler: speech to coefficients.

    Args:
        runner: Teacher or student.
        steps: Number of DDIM steps of a teacher, or None for its full ancestral sampler; a student has its own steps.
    """

    def __init__(self, runner: NetworkRunner, steps: int | None) -> None:
        self.runner = runner
        self.steps = steps

    @property
    def config(self) -> ModelConfig:
        """The network's configuration."""
        return self.runner.config

    @cached_property
    def _table(self) -> np.ndarray:
        """The styles (N, S) of the network's identities."""
        return np.concatenate([self.runner.named_style(name) for name in self.config.identities])

    @property
    def sampler(self) -> str:
        """The network and its sampler, in words."""
        config = self.config
        if config.kind == "student":
            return f"student, {_counted(len(config.timesteps))}"
        return f"teacher, DDPM {MAX_TIMESTEP} steps" if self.steps is None else f"teacher, DDIM {_counted(self.steps)}"

    def speech_features(self, speech: np.ndarray, frames: int) -> np.ndarray:
        """Return the speech features (1, T, D) of the first T frames of speech (S,).

        Raises:
            ModelError: the network's pretrained encoder cannot be used.
        """
        frontend = self.runner.frontend()
        frontend.push(speech)
        frontend.finish()
        return self.runner.encode(frontend.inputs(0, frames))

    def stream(
        self,
        identity: str | StyleCondition,
        *,
        seed: int = 0,
        guidance: float | None = None,
        style_guidance: float | None = None,
        temperature: float | None = None,
        phones: Phones | None = None,
        emotion: Spans = (),
        head: float = 1.0,
        look_ahead: int | None = None,
        chunk: int = CHUNK_FRAMES,
        on_frames: OnFrames | None = None,
    ) -> MotionStream:
        """Return a stream that turns speech into motion as it comes in.

        Args:
            identity: Full name of a trained identity, or any other style.
            seed: Seed of the noise; equal seeds give equal motion.
            guidance: Guidance scale, 1 = off; None takes the model's default.
            style_guidance: Guidance scale of the style alone; None takes `guidance`.
            temperature: Std of the noise that sampling starts from; None takes the model's default.
            phones: Phones of the speech, where they are known, for a model that reads phones.
            emotion: Emotions over time; none is a neutral face.
            head: Scale that the head's rotation will get, against which the eyes turn.
            look_ahead, chunk, on_frames: See `MotionStream`.

        Raises:
            InputError: guidance for a student, which has its own, or an emotion that the model has not learned.
            ModelError: the network's pretrained encoder cannot be used.
        """
        config = self.config
        check_names(emotion, config.emotions)
        for field, scale in {"guidance": guidance, "style_guidance": style_guidance}.items():
            if config.kind == "student" and scale is not None:
                raise InputError(
                    f"found a guidance scale of {scale:g} for the student, which was distilled with its own; expected a "
                    "teacher; choose full or a number of steps without a student",
                    field=field,
                )
        style = identity.style[None] if isinstance(identity, StyleCondition) else self.runner.named_style(identity)
        if config.kind == "student":
            sampler = Sampler(tuple(step / MAX_TIMESTEP for step in config.timesteps))
        else:
            sampler = Sampler(uniform_timesteps(self.steps or MAX_TIMESTEP), ancestral=self.steps is None)
        return MotionStream(
            self.runner,
            sampler,
            style,
            self.runner.frontend(phones, live=look_ahead is not None),
            eyes=EyeMotion(
                config.names, config.fps, eye_style(config, self._table, style[0]), seed, partial(mood, emotion), head
            ),
            emotion=emotion,
            seed=seed,
            guidance=config.guidance_scale if guidance is None else guidance,
            style_guidance=style_guidance,
            temperature=temperature,
            look_ahead=look_ahead,
            chunk=chunk,
            on_frames=on_frames,
        )

    def coefficients(
        self,
        speech: np.ndarray | Iterable[np.ndarray],
        identity: str | StyleCondition,
        *,
        seed: int = 0,
        guidance: float | None = None,
        style_guidance: float | None = None,
        temperature: float | None = None,
        phones: Phones | None = None,
        emotion: Spans = (),
        head: float = 1.0,
        on_frames: OnFrames | None = None,
    ) -> np.ndarray:
        """Return the motion of speech as coefficients (T, K), T = floor(S * fps / 16000).

        Args:
            speech: (S,) float32, 16 kHz; or its parts in order, which need not all be in memory.
            identity, seed, guidance, style_guidance, temperature, phones, emotion, head: See `stream`.
            on_frames: Callback with the number of frames done.

        Raises:
            InputError: the speech is shorter than a frame, or guidance for a student.
            ModelError: the motion is not finite.
        """
        stream = self.stream(
            identity,
            seed=seed,
            guidance=guidance,
            style_guidance=style_guidance,
            temperature=temperature,
            phones=phones,
            emotion=emotion,
            head=head,
            on_frames=on_frames,
        )
        parts = [stream.push(part) for part in ([speech] if isinstance(speech, np.ndarray) else speech)]
        if not stream.frame_count:
            seconds = stream.samples / SAMPLE_RATE
            raise InputError(f"found {seconds:.3f} s of speech; expected at least one frame; give a longer recording")
        parts.append(stream.finish())
        # Filled from the end, each part freed at once: a copy of five hours has 112 MB.
        whole = np.empty((sum(map(len, parts)), parts[0].shape[1]), np.float32)
        end = len(whole)
        while parts:
            part = parts.pop()
            whole[end - len(part) : end] = self.finished(part, identity)
            end -= len(part)
        return whole

    def finished(self, coefficients: np.ndarray, identity: str | StyleCondition) -> np.ndarray:
        """Return coefficients (T, K) of a stream with the identity's offset added, and ARKit coefficients within 0…1.

        The offset is the network's: the eyes have none. ARKit's shapes are defined from 0 to 1; other bases
        have no bounds.

        Raises:
            ModelError: they are not finite.
        """
        if not np.isfinite(coefficients).all():
            raise ModelError("the model's motion is not finite; expected weights of a training that converged; train again")
        if isinstance(identity, StyleCondition) and identity.offset is not None:
            coefficients = coefficients + np.where(np.isin(self.config.names, EYES), np.float32(0), identity.offset)
        count = len(ARKIT_NAMES)
        if face_names(self.config.names) != ARKIT_NAMES:
            return coefficients
        return np.concatenate([np.clip(coefficients[:, :count], 0.0, 1.0), coefficients[:, count:]], 1)


def _counted(steps: int) -> str:
    return f"{steps} step" if steps == 1 else f"{steps} steps"


def weights_for(folder: Path, steps: str) -> Path:
    """Return the weights for a number of steps: the student distilled to that number, or else the teacher.

    Raises:
        ModelError: a student's are damaged, or there are only others.
        InputError: `steps` is no number of steps.
    """
    wanted = parse_steps(steps)
    student = folder / f"student-{wanted}.safetensors"
    if not student.is_file():
        student = folder / "student.safetensors"
    if wanted is not None and (student.is_file() or steps == "8") and len(read_config(student, "student").timesteps) == wanted:
        return student
    teacher = folder / "teacher.safetensors"
    if not teacher.is_file() and (students := students_of(folder)):
        counts = sorted(len(read_config(each, "student").timesteps) for each in students)
        raise ModelError(
            f"{folder.name} has no student of {steps} steps, and no teacher; expected {' or '.join(map(str, counts))} steps",
            field="steps",
        )
    return teacher


def load_animator(folder: Path, steps: str, device: str) -> Animator:
    """Load the weights for a number of steps: see `weights_for`.

    Raises:
        ModelError: the weights are missing, damaged, or not made for the folder's rig; or their audio encoder is.
        InputError: `steps` is no number of steps.
        MachineError: no such device.
    """
    return animator_of(weights_for(folder, steps), steps, device)


def animator_of(weights: Path, steps: str, device: str) -> Animator:
    """Load weights; `steps` is the number of a teacher's. Raises as `load_animator`."""
    return Animator(load_runner(weights, device), parse_steps(steps))
