"""Videos of a network in training: a clip of the validation split, true and animated, side by side."""

import tempfile
import wave
from pathlib import Path

import numpy as np

from talker_cli.animate.animator import Animator
from talker_cli.data.dataset import Dataset
from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.torch_runner import TorchRunner
from talker_cli.render import MotionTrack, RenderOptions, render_still, render_video

SECONDS = 3.0  # at most: drawing it takes a few times as long on a processor
STEPS = 8  # of DDIM
SIZE = (256, 256)  # pixels, of each face


class Preview:
    """A clip that a network in training animates repeatedly.

    Args:
        dataset: Prepared dataset with a validation split.
        folder: Folder of the videos, step-000500.mp4; made with the first of them.

    Raises:
        InputError: the validation split is empty.
        MachineError: there is no OpenGL.
    """

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        clips = dataset.clips("validation")
        if not clips:
            raise InputError(f"{dataset.folder} has no validation split to preview; leave --preview-every out")
        # The voice's own identity if there is one, and enough to look at.
        clip = max(clips, key=lambda each: (each.voice_matched, min(dataset.seconds(each.recording), SECONDS)))
        self.folder = folder
        known = dataset.trained
        self._identity, self._fps = clip.identity if clip.identity in known else known[0], dataset.info.fps
        frames = min(dataset.frames(clip.name), int(SECONDS * self._fps))
        self._speech = dataset.speech(clip.recording)[: int(np.ceil(frames * SAMPLE_RATE / self._fps)) + 1]
        self._rig = dataset.rig.rig_of(clip.identity)
        self._truth = MotionTrack(self._rig, dataset.coefficients(clip.name)[:frames], self._fps, "truth")
        # An error of rendering should appear before the training, not hours into it.
        with tempfile.TemporaryDirectory() as scratch:
            render_still([self._truth], Path(scratch) / "truth.png", RenderOptions(SIZE))

    def draw(self, network: FaceDiffusion, step: int) -> Path:
        """Animate the clip and write a video with its sound; return its path.

        Args:
            network: A teacher.
            step: Number of its training steps.

        Raises:
            OutputError: the file cannot be written.
        """
        device = next(network.parameters()).device
        coefficients = Animator(TorchRunner(network, device), STEPS).coefficients(self._speech, self._identity)
        animated = MotionTrack(self._rig, coefficients, self._fps, f"step {step}")
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"step-{step:06d}.mp4"
        with tempfile.TemporaryDirectory() as scratch:
            sound = Path(scratch) / "sound.wav"
            self._write_sound(sound)
            render_video([self._truth, animated], path, RenderOptions(SIZE), audio=sound)
        return path

    def _write_sound(self, path: Path) -> None:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(np.round(np.clip(self._speech, -1, 1) * 32767).astype("<i2").tobytes())
