"""Talker: a model that animates recordings, loaded once. What `talker animate` does, from Python."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.animate.animator import Animator, load_animator, weights_for
from talker_cli.animate.postprocess import smoothed, with_expression
from talker_cli.animate.stream import OnFrames
from talker_cli.errors import InputError
from talker_cli.export.formats import check_outputs, write_motion_clip
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.audio import check_file, read_speech
from talker_cli.formats.files import file_hash
from talker_cli.identity.library import Library
from talker_cli.identity.resolve import IdentityResolver, ResolvedIdentity, StyleSpace, style_space
from talker_cli.identity.style import style_from_speech
from talker_cli.model.config import SAMPLE_RATE
from talker_cli.model.diffusion import noise_seed
from talker_cli.model.folder import model_folder
from talker_cli.rig import Rig, RigFile, load_rig

DEFAULT_MODEL = "talker-base"
DEFAULT_IDENTITY = "FaceTalk_170725"
AUTO_SECONDS = 600  # of a recording that are heard to find who is nearest to its voice


@dataclass(frozen=True)
class Animation(MotionClip):
    """A recording's motion: `coefficients` (T, K) of the `rig` at `fps`, and `about`, what its sidecar says.

    Args:
        seconds: that it took to make.
    """

    seconds: float = 0.0

    @property
    def vertices(self) -> np.ndarray:
        """The (T, V, 3) float32 vertices, metres: 3 MB a second of motion; `frames()` yields them one by one."""
        return self.rig.decode(self.coefficients)

    @property
    def sampler(self) -> str:
        """Which network and sampler made it."""
        return str(self.about["sampler"])

    def save(self, *outputs: Path | str) -> "Animation":
        """Write it in the format of each name's suffix; return itself.

        Raises:
            OutputError: an unknown suffix, or a place that cannot be written.
            InputError: the rig has not the shapes that a format holds.
            MachineError: ffmpeg or OpenGL is missing, where a format needs it.
        """
        places = [Path(output) for output in outputs]
        check_outputs(places, [] if self.audio is None else [self.audio])
        for place in places:
            write_motion_clip(self, place)
        return self


class Talker:
    """A model and its people.

    Args:
        folder: of the model.
        rigs: its rig file.
        weights: their file.
        animator: their network and sampler.
    """

    def __init__(self, folder: Path, rigs: RigFile, weights: Path, animator: Animator) -> None:
        self.folder = folder
        self.rigs = rigs
        self.space: StyleSpace = style_space(weights)
        self.animator = animator
        self._hash = file_hash(weights)

    @classmethod
    def load(cls, model: str | Path = DEFAULT_MODEL, *, steps: str | int = "8", device: str = "auto") -> "Talker":
        """Load a model.

        Args:
            model: built-in name or folder.
            steps: a number, for the student of so many steps where the model has one (8), else for the teacher with so many
                DDIM steps; "full" for the teacher's full sampler.
            device: "auto", "cpu" or "cuda".

        Raises:
            ModelError: no such model, or its files are missing, damaged, or do not belong together.
            InputError: `steps` is no number of steps.
            MachineError: no such device.
        """
        folder = model_folder(str(model))
        rigs = load_rig(folder / "rig.safetensors")
        return cls(folder, rigs, weights_for(folder, str(steps)), load_animator(folder, str(steps), device))

    @property
    def identities(self) -> tuple[str, ...]:
        """The names of those the model itself knows."""
        return tuple(self.rigs.identities)

    def who(
        self, identity: str, *, style_scale: float = 1.0, library: Path | None = None, audio: Path | None = None
    ) -> ResolvedIdentity:
        """Return whom `identity` names: full name, manner and face.

        Args:
            identity: name or the beginning of one, identity file, "auto", or a mix; see `IdentityResolver.resolve`.
            style_scale: 1 = the identity's style, 0 = the average, 2 = twice as far from it.
            library: the folder of enrolled identities, None for the user's own.
            audio: the recording that "auto" hears, ten minutes of it.

        Raises:
            IdentityError: nobody, or more than one.
        """

        def read() -> np.ndarray:
            assert audio is not None
            parts, samples = [], 0
            for part in read_speech(audio):
                parts.append(part)
                samples += len(part)
                if samples > AUTO_SECONDS * SAMPLE_RATE:
                    break
            return style_from_speech(self.animator.network, np.concatenate(parts), self.animator.device)

        heard = None if audio is None else read
        return IdentityResolver(self.rigs, self.space, Library(library), style_scale, heard).resolve(identity)

    def animate(
        self,
        audio: Path | str,
        *,
        identity: str = DEFAULT_IDENTITY,
        seed: int = 0,
        guidance: float | None = None,
        style_guidance: float | None = None,
        style_scale: float = 1.0,
        library: Path | None = None,
        expression: float = 1.0,
        smooth: float = 0.0,
        check_rig: Callable[[Rig], None] = lambda rig: None,
        on_note: Callable[[str], None] = lambda line: None,
        on_frames: OnFrames | None = None,
    ) -> Animation:
        """Animate a recording of any length, in memory that does not grow with the sound.

        Args:
            audio: any recording that ffmpeg reads.
            identity, style_scale, library: see `who`.
            seed: of the noise, of which every recording has its own; the same gives the same motion, another one another take.
            guidance: scale for the teacher, None for its default.
            style_guidance: of the style alone, None for that of speech and style together.
            expression: how much of the upper face's expression is kept, 0…1; blinks and gaze stay.
            smooth: deviation of a Gaussian over time, milliseconds; 0 is off.
            check_rig: called with the identity's rig before any work goes into moving it.
            on_note: called with a line that the user should read.
            on_frames: called with the number of frames that are done.

        Raises:
            TalkerError: of every kind; each says what was found, what was expected and what to do.
        """
        started = time.perf_counter()
        numbers = {
            "guidance": guidance, "style-guidance": style_guidance, "style-scale": style_scale, "expression": expression,
            "smooth": smooth,
        }  # fmt: skip
        for name, value in numbers.items():
            if value is not None and not math.isfinite(value):
                raise InputError(f"found --{name} {value}; expected a finite number")
        audio = Path(audio)
        check_file(audio)
        size, digest = audio.stat().st_size, file_hash(audio)  # before it is read: it may grow, or go away, meanwhile
        chosen = self.who(identity, style_scale=style_scale, library=library, audio=audio)
        check_rig(chosen.rig)
        config = self.animator.network.config
        coefficients = self.animator.coefficients(
            read_speech(audio, on_note),
            chosen.manner,
            seed=noise_seed(seed, digest),
            guidance=guidance,
            style_guidance=style_guidance,
            on_frames=on_frames,
        )
        for line in chosen.notes:
            on_note(line)
        scale = config.guidance_scale if guidance is None else guidance
        coefficients = with_expression(coefficients, config.names, expression)
        coefficients = smoothed(coefficients, smooth, config.fps)
        if not audio.exists() or audio.stat().st_size != size:
            on_note(f"{audio} changed while it was read; its first {len(coefficients) / config.fps:.1f} s were animated")
        about = {
            "fps": config.fps,
            "identity": chosen.name,
            "face": chosen.face,
            "style_scale": style_scale,
            "rig": {"path": str((self.folder / "rig.safetensors").resolve()), "sha256": config.rig},
            "audio": {"path": str(audio.resolve()), "sha256": digest},
            "model": {"path": str(self.folder.resolve()), "sha256": self._hash},
            "sampler": self.animator.sampler,
            "seed": seed,
            "expression": expression,
            "smooth": smooth,
            "guidance_scale": scale,
            "style_guidance_scale": scale if style_guidance is None else style_guidance,
        }
        return Animation(coefficients, chosen.rig, config.fps, about, audio, time.perf_counter() - started)
