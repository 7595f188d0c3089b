"""A folder of recordings -> an identity: the style of the voice, fitted to motion where there is some, and a face."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from talker_cli import __version__
from talker_cli.animate.animator import Animator
from talker_cli.capture.tracker import tracker_file
from talker_cli.enroll.clips import Collection, OnClip, collect
from talker_cli.enroll.motion import MotionExample, motion_beside, read_coefficients
from talker_cli.enroll.record import CaptureRecord, EnrollmentRecord, FitRecord, record_of
from talker_cli.enroll.video import VideoMotion, captured_motion, is_video
from talker_cli.errors import IdentityError, InputError, MachineError, TalkerError
from talker_cli.formats.audio import SAMPLE_RATE, load_intact_speech
from talker_cli.formats.files import file_hash
from talker_cli.identity.file import Enrolled, IdentityFace
from talker_cli.identity.resolve import StyleSpace, check_new, on_sphere, style_space
from talker_cli.identity.style import StyleReader
from talker_cli.model.folder import main_weights, model_folder
from talker_cli.model.loading import load_runner
from talker_cli.model.runner import NetworkRunner
from talker_cli.rig import ARKIT_NAMES, Rig, RigFile, load_rig

if TYPE_CHECKING:
    from talker_cli.enroll.fit import Fit

NEAREST = 3  # known identities that are reported
STARTS = 8  # nearest known identities that a fit to motion may start from, beside those with a face
TEACHER_STEPS = 8  # of a model without a student, where motion is sampled
OnNote = Callable[[str], None]


@dataclass(frozen=True)
class Enrollment:
    """An identity, its recordings, and the motion that was not used.

    Args:
        identity: The identity.
        collection: Its recordings.
        record: How it was enrolled, as its file says.
        unused_motion: One error for each motion file or video that could not be used.
        notes: (path, note) of videos that were seen in part.
    """

    identity: Enrolled
    collection: Collection
    record: EnrollmentRecord
    unused_motion: tuple[TalkerError, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


@dataclass
class _Motion:
    """The motion of a collection's recordings: what a style is fitted to, and what could not be used."""

    examples: list[MotionExample] = field(default_factory=list)
    unused: list[TalkerError] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    videos: list[VideoMotion] = field(default_factory=list)

    def record(self) -> CaptureRecord | None:
        """Return what was seen of the videos, None without one."""
        if not self.videos:
            return None
        seconds, seen = (round(sum(getattr(video, name) for video in self.videos), 2) for name in ("seconds", "seen"))
        error = float(np.average([video.lip_error for video in self.videos], weights=[video.seen for video in self.videos]))
        return CaptureRecord(videos=len(self.videos), seconds=seconds, seen=seen, lip_error_mm=round(1e3 * error, 2))


class Enroller:
    """A model, ready to enroll voices: a student on a CPU without PyTorch, which a style is fitted to motion with.

    Args:
        model: Built-in name or folder.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        ModelError: the weights are missing, damaged, or not made for the folder's rig.
        MachineError: no such device.
    """

    def __init__(self, model: str, device: str = "auto") -> None:
        folder = model_folder(model)
        self.rigs: RigFile = load_rig(folder / "rig.safetensors")
        self._weights, self._device = main_weights(folder), device
        self.space: StyleSpace = style_space(self._weights)
        self.runner: NetworkRunner = load_runner(self._weights, device, voices=True)

    @cached_property
    def animator(self) -> Animator:
        """The network by PyTorch, which has gradients; loaded when it is asked for."""
        from talker_cli.model.torch_runner import load_torch_runner

        return Animator(load_torch_runner(self._weights, self._device), TEACHER_STEPS)

    def enroll(
        self,
        folder: Path,
        paths: Sequence[Path],
        name: str,
        *,
        face: IdentityFace | None = None,
        source_fps: float | None = None,
        tracker: Path | None = None,
        on_clip: OnClip,
        on_video: OnClip = lambda done, total: None,
    ) -> Enrollment:
        """Make an identity from recordings.

        Args:
            folder: Folder that the paths lie below.
            paths: Recordings.
            name: Name of the identity.
            face: Face of its own; None takes that of the model's identity with the nearest voice.
            source_fps: Frame rate of motion beside the recordings; None infers it.
            tracker: MediaPipe's `face_landmarker.task` for videos; None looks for it where `capture` does.
            on_clip: Callback after each file, (files done, files).
            on_video: Callback after each recording whose motion was read, (recordings done, recordings).

        Raises:
            InputError: there is no usable recording, or the frame rate of its motion is unknown.
            IdentityError: the name is one of the model's own.
        """
        check_new(name, self.space.names)
        reader = StyleReader(self.runner)
        collection = collect(folder, paths, reader, on_clip)
        style = collection.voice.style
        nearest = self.space.nearest(style)
        base_face = next(known for known, _ in nearest if known in self.rigs.identities)
        identity = Enrolled(name, style, self.space.key, base_face, face)
        motion = self._motion(collection, identity, source_fps, tracker, on_video)
        fitted = None
        if motion.examples:
            from talker_cli.enroll.fit import fit

            rig = self.rigs.rig_of(identity.base_face)
            fitted = fit(self.animator, rig, identity.style, motion.examples, self.starts(style))
        record = EnrollmentRecord(
            folder=str(collection.folder),
            sources=collection.sources(),
            seconds=round(collection.seconds, 2),
            similarity=collection.similarity(),
            told=None if collection.voice.told is None else round(collection.voice.told, 3),
            nearest=tuple((known, round(similarity, 4)) for known, similarity in nearest[:NEAREST]),
            source_fps=source_fps,
            captured=motion.record(),
            fit=fit_record(fitted) if fitted else None,
            talker=__version__,
        )
        if fitted:
            identity = replace(identity, style=fitted.condition.style, offset=fitted.condition.offset)
        identity = replace(identity, record=record.model_dump(mode="json"))
        return Enrollment(identity, collection, record, tuple(motion.unused), tuple(motion.notes))

    def starts(self, style: np.ndarray) -> list[np.ndarray]:
        """Return the styles (S,) that a fit to motion may start from, beside that of the voice (S,).

        The average, those of identities with a face, and the nearest to the voice: of hundreds, all would take minutes.
        """
        near = {known for known, _ in self.space.nearest(style)[:STARTS]}.union(self.rigs.identities)
        rows = zip(self.space.names, self.space.table, strict=True)
        return [on_sphere(self.space.average), *(row for known, row in rows if known in near)]

    def _motion(
        self, collection: Collection, identity: Enrolled, source_fps: float | None, tracker: Path | None, on_video: OnClip
    ) -> _Motion:
        """Return the motion beside the recordings, and that of recordings that are videos."""
        rig = self.rigs.rig_of(identity.base_face)
        own: Rig | None = None if identity.face is None else identity.rig(self.rigs)
        found = _Motion()
        recordings = {clip.path: collection.folder / clip.path for clip in collection.clips}
        beside = {name: path for name, recording in recordings.items() if (path := motion_beside(recording)) is not None}
        films = recordings.items() if rig.face_names == ARKIT_NAMES else ()
        videos = {name: recording for name, recording in films if name not in beside and is_video(recording)}
        if (beside or videos) and importlib.util.find_spec("torch") is None:
            extras = "capture,train" if videos else "train"
            found.unused.append(
                MachineError(f"found no torch; expected it to fit a style to motion; run: pip install 'talker-cli[{extras}]'")
            )
            return found
        total = len(recordings)
        done = total - len(beside) - len(videos)

        def advance() -> None:
            nonlocal done
            done += 1
            on_video(done, total)

        for name, path in beside.items():
            try:
                sound = load_intact_speech(recordings[name])
                coefficients = read_coefficients(path, len(sound) / SAMPLE_RATE, rig, own, source_fps)
                found.examples.append(MotionExample(name, sound, coefficients))
            except InputError as error:
                if error.field == "source_fps":  # a question that the user can answer
                    raise
                found.unused.append(error)
            advance()
        try:
            captured = captured_motion(videos, rig.fps, tracker_file(tracker), advance) if videos else {}
        except MachineError as error:
            found.unused.append(error)
            return found
        for name, video in captured.items():
            if isinstance(video, InputError):
                found.unused.append(video)
                continue
            found.examples += [replace(each, coefficients=rig.matched(each.coefficients)) for each in video.examples]
            found.videos.append(video)
            found.notes += [(name, note) for note in video.notes]
        return found


def fit_record(fitted: "Fit") -> FitRecord:
    """Return the record of a fit in an identity file."""
    before, after = (1e3 * error**0.5 for error in (fitted.before, fitted.after))
    gain = 100 * (1 - after / before) if before > 0 else 0.0
    where = "unseen motion" if fitted.unseen else "the motion that chose the style"
    summary = (
        f"lips {before:.2f} mm off with the style of the voice, {after:.2f} mm fitted ({gain:.0f} % less), "
        f"on {fitted.held_out:.1f} s of {where}; fitted to {fitted.seconds:.1f} s"
    )
    return FitRecord(
        before=fitted.before, after=fitted.after, seconds=round(fitted.seconds, 2), held_out=round(fitted.held_out, 2),
        unseen=fitted.unseen, steps=fitted.steps, offset=fitted.condition.offset is not None,
        summary=summary if fitted.fitted else f"{summary}; kept the style of the voice",
    )  # fmt: skip


def refit(identity: Enrolled, enroller: Enroller, *, on_note: OnNote, on_clip: OnClip) -> Enrollment:
    """Enroll an identity again from the recordings in its record; its face is kept.

    Args:
        identity: The identity.
        enroller: The model to enroll it for.
        on_note: Callback for lines that the user should read.
        on_clip: Callback after each file, (files done, files).

    Raises:
        IdentityError: the recordings are unknown, gone or changed, or the record is damaged.
        MachineError: it was fitted to motion, and what that needs is not installed.
    """
    record = record_of(identity)
    if record.folder is None:
        raise IdentityError(
            f"identity '{identity.name}' came as a file, which does not say where its recordings are; expected one enrolled "
            "here; enroll it again from its recordings"
        )
    if identity.face is not None:
        identity.rig(enroller.rigs)  # refuses a face that does not fit this model
    folder = Path(record.folder)
    paths = {source.path: folder / source.path for source in record.sources}
    same = [path for source in record.sources if (path := paths[source.path]).is_file() and file_hash(path) == source.sha256]
    if not same:
        raise IdentityError(
            f"none of the {len(paths)} recordings of '{identity.name}' is in {folder} unchanged; expected them to enroll "
            "again; put them back, or replace the identity"
        )
    for name, path in paths.items():
        if path not in same:
            on_note(f"left out {name}: {'changed' if path.is_file() else 'gone'} since")
    made = enroller.enroll(folder, same, identity.name, face=identity.face, source_fps=record.source_fps, on_clip=on_clip)
    lacking = next((error for error in made.unused_motion if isinstance(error, MachineError)), None)
    if record.fit and not made.record.fit and lacking:  # a fitted style is not given up for one of the sound
        raise lacking
    return made
