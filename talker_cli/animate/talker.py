"""Talker: a model that animates recordings, loaded once. What `talker animate` does, from Python."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.animate.animator import Animator, animator_of, weights_for
from talker_cli.animate.postprocess import column_factors, scaled, smoothed
from talker_cli.animate.stream import OnFrames
from talker_cli.animate.text import align_text, misfits
from talker_cli.data.emotions import Spans, parse_emotions
from talker_cli.errors import InputError
from talker_cli.export.formats import check_outputs, write_motion_clip
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.alignment import TextAlignment
from talker_cli.formats.audio import SAMPLE_RATE, check_file, read_speech
from talker_cli.formats.files import file_hash
from talker_cli.identity.library import Library
from talker_cli.identity.resolve import IdentityResolver, ResolvedIdentity, StyleSpace, style_space
from talker_cli.identity.style import style_from_speech
from talker_cli.model.folder import DEFAULT_IDENTITY, DEFAULT_MODEL, model_folder
from talker_cli.model.noise import noise_seed
from talker_cli.rig import RigFile, load_rig

AUTO_SECONDS = 600  # of a recording, from which "auto" computes the style of its voice


@dataclass(frozen=True)
class Animation(MotionClip):
    """The motion of a recording: `coefficients` (T, K) of the `rig` at `fps`, and `about`, the content of its sidecar.

    Args:
        seconds: Time that the sampling took.
    """

    seconds: float = 0.0

    @property
    def vertices(self) -> np.ndarray:
        """The (T, V, 3) float32 vertices, metres: 3 MB a second of motion; `frames()` yields them one by one."""
        return self.rig.decode(self.coefficients)

    @property
    def sampler(self) -> str:
        """The network and its sampler, in words."""
        return str(self.about["sampler"])

    def save(self, *outputs: Path | str) -> "Animation":
        """Write the motion to files, each in the format of its suffix; return itself.

        Raises:
            OutputError: an unknown suffix, or a place that cannot be written.
            InputError: the rig lacks the shapes of a format.
            MachineError: ffmpeg or OpenGL is missing, and a format needs it.
        """
        places = [Path(output) for output in outputs]
        check_outputs(places, [] if self.audio is None else [self.audio])
        for place in places:
            write_motion_clip(self, place)
        return self


class Talker:
    """A model and its identities.

    Args:
        folder: Folder of the model.
        rigs: Rig file of the model.
        weights: Weights file that the animator's network was loaded from.
        animator: Network and sampler.
    """

    def __init__(self, folder: Path, rigs: RigFile, weights: Path, animator: Animator) -> None:
        self.folder = folder
        self.weights = weights
        self.rigs = rigs
        self.space: StyleSpace = style_space(weights)
        self.animator = animator
        self._hash = file_hash(weights)
        self._aligned: tuple[tuple[str, str, str], TextAlignment] | None = None  # the last recording's text

    @classmethod
    def load(cls, model: str | Path = DEFAULT_MODEL, *, steps: str | int = "8", device: str = "auto") -> "Talker":
        """Load a model.

        Args:
            model: Built-in name or folder.
            steps: Number of denoising steps: of the student, if the model has one of that number (8); else of the teacher with
                DDIM. "full" is the teacher's full sampler.
            device: "auto", "cpu", "cuda" or "mps".

        Raises:
            ModelError: no such model, or its files are missing, damaged, or do not belong together.
            InputError: `steps` is no number of steps.
            MachineError: no such device.
        """
        folder = model_folder(str(model))
        rigs = load_rig(folder / "rig.safetensors")
        weights = weights_for(folder, str(steps))
        return cls(folder, rigs, weights, animator_of(weights, str(steps), device))

    @property
    def identities(self) -> tuple[str, ...]:
        """The names of the model's own identities."""
        return tuple(self.rigs.identities)

    def who(
        self, identity: str, *, style_scale: float = 1.0, library: Path | None = None, audio: Path | None = None
    ) -> ResolvedIdentity:
        """Resolve an identity to its full name, style and face.

        Args:
            identity: Name or unique prefix, identity file, "auto", or a mix; see `IdentityResolver.resolve`.
            style_scale: Scale of the style: 1 = the identity's, 0 = the average, 2 = twice as far from it.
            library: Folder of enrolled identities, None for the user's own.
            audio: Recording for "auto"; its first ten minutes are used.

        Raises:
            IdentityError: no identity fits, or more than one.
            InputError: the scale is out of range.
        """

        def read() -> np.ndarray:
            assert audio is not None
            parts, samples = [], 0
            for part in read_speech(audio):
                parts.append(part)
                samples += len(part)
                if samples > AUTO_SECONDS * SAMPLE_RATE:
                    break
            return style_from_speech(self.animator.runner, np.concatenate(parts))

        style = None if audio is None else read
        return IdentityResolver(self.rigs, self.space, Library(library), style_scale, style).resolve(identity)

    def animate(
        self,
        audio: Path | str,
        *,
        identity: str | ResolvedIdentity = DEFAULT_IDENTITY,
        seed: int = 0,
        guidance: float | None = None,
        style_guidance: float | None = None,
        temperature: float | None = None,
        style_scale: float = 1.0,
        library: Path | None = None,
        expression: float = 1.0,
        head: float = 1.0,
        only: str | None = None,
        smooth: float = 0.0,
        emotion: str | Spans = (),
        text: str | None = None,
        language: str = "en-us",
        on_note: Callable[[str], None] = lambda line: None,
        on_frames: OnFrames | None = None,
    ) -> Animation:
        """Animate a recording of any length, in memory that does not grow with its samples.

        Args:
            audio: Recording in any format that ffmpeg reads.
            identity: Identity that speaks; see `who`, whose result may be given.
            seed: Seed of the noise. Equal seeds give equal motion of equal recordings.
            guidance: Guidance scale of the teacher, None for its default.
            style_guidance: Guidance scale of the style alone, None for that of speech and style together.
            temperature: Std of the noise that sampling starts from, None for the model's default.
            style_scale, library: See `who`.
            expression: Share of the upper face's expression that is kept, 0…1; blinks and gaze stay.
            head: Scale of the head's rotation, 0…2; 0 keeps it still.
            only: "mouth" or "upper": the part that moves, the rest stays at rest; None moves all.
            smooth: Standard deviation of a Gaussian over time, milliseconds; 0 is off. The eyes are left out.
            emotion: Emotions, as `happy=0.6`, a .csv time line or its spans; see `parse_emotions`.
            text: What is said. A model that reads phones closes the lips by it; the result holds its alignment in any case.
            language: Language of the text, a voice of espeak-ng.
            on_note: Callback with a line for the user.
            on_frames: Callback with the number of frames done.

        Raises:
            TalkerError: of every kind; the message says what was found, what was expected and what to do.
        """
        started = time.perf_counter()
        numbers = {
            "guidance": guidance, "style_guidance": style_guidance, "temperature": temperature,
            "style_scale": style_scale, "expression": expression, "head": head, "smooth": smooth,
        }  # fmt: skip
        for name, value in numbers.items():
            if value is not None and not math.isfinite(value):
                raise InputError(f"found {value}; expected a finite number", field=name)
        config = self.animator.config
        factors = column_factors(config.names, expression=expression, head=head, only=only)
        spans = parse_emotions(emotion) if isinstance(emotion, str) else emotion
        audio = Path(audio)
        check_file(audio)
        size, digest = audio.stat().st_size, file_hash(audio)  # before it is read: it may grow, or go away, meanwhile
        if isinstance(identity, str):
            identity = self.who(identity, style_scale=style_scale, library=library, audio=audio)
        alignment = None
        if text is not None:
            if self._aligned is None or self._aligned[0] != (digest, text, language):  # samples share one
                aligned = align_text(read_speech(audio), text, language)
                self._aligned = (digest, text, language), aligned
            alignment = self._aligned[1]
            for line in misfits(alignment):
                on_note(line)
            if not config.reads_phones:
                on_note("this model does not read phones: the text is placed in the recording, and does not move the lips")
        coefficients = self.animator.coefficients(
            read_speech(audio, on_note),
            identity.condition,
            seed=noise_seed(seed, digest),
            guidance=guidance,
            style_guidance=style_guidance,
            temperature=temperature,
            phones=None if alignment is None else alignment.phones,
            emotion=spans,
            head=head,
            on_frames=on_frames,
        )
        for line in identity.notes:
            on_note(line)
        scale = config.guidance_scale if guidance is None else guidance
        coefficients = smoothed(scaled(coefficients, factors), smooth, config.fps, config.names)
        if not audio.exists() or audio.stat().st_size != size:
            on_note(f"{audio} changed while it was read; its first {len(coefficients) / config.fps:.1f} s were animated")
        about = {
            "fps": config.fps,
            "identity": identity.name,
            "face": identity.face,
            "style_scale": style_scale,
            "rig": {"path": str((self.folder / "rig.safetensors").resolve()), "sha256": config.rig},
            "audio": {"path": str(audio.resolve()), "sha256": digest},
            "model": {"path": str(self.folder.resolve()), "sha256": self._hash},
            "sampler": self.animator.sampler,
            "seed": seed,
            "expression": expression,
            "smooth": smooth,
            **({"emotion": [list(span) for span in spans]} if spans else {}),
            "guidance_scale": scale,
            "style_guidance_scale": scale if style_guidance is None else style_guidance,
            **({"head": True, "head_scale": head} if identity.rig.has_head else {}),
            **({} if only is None else {"only": only}),
            **({} if temperature is None else {"temperature": temperature}),
            **({} if text is None else {"text": " ".join(text.split()), "language": language}),
        }
        seconds = time.perf_counter() - started
        return Animation(coefficients, identity.rig, config.fps, about, audio, alignment=alignment, seconds=seconds)
