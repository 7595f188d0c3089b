"""A folder of recordings -> an identity: the style of the voice, fitted to motion where there is some, and a face."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from talker_cli import __version__
from talker_cli.animate.animator import Animator
from talker_cli.enroll.clips import Collection, OnClip, collect
from talker_cli.enroll.fit import Fit, MotionExample, fit
from talker_cli.enroll.motion import motion_beside, read_coefficients
from talker_cli.enroll.record import EnrollmentRecord, FitRecord, record_of
from talker_cli.errors import IdentityError, InputError
from talker_cli.formats.audio import SAMPLE_RATE, load_intact_speech
from talker_cli.formats.files import file_hash
from talker_cli.identity.file import Enrolled, IdentityFace
from talker_cli.identity.resolve import StyleSpace, check_new, style_space
from talker_cli.identity.style import window_styles
from talker_cli.model.checkpoint import load_model
from talker_cli.model.device import choose_device
from talker_cli.model.folder import main_weights, model_folder
from talker_cli.rig import Rig, RigFile, load_rig

NEAREST = 3  # known identities that are reported
TEACHER_STEPS = 8  # of a model without a student, where motion is sampled
OnNote = Callable[[str], None]


@dataclass(frozen=True)
class Enrollment:
    """An identity, its recordings, and the motion files that were not used.

    Args:
        identity: The identity.
        collection: Its recordings.
        record: How it was enrolled, as its file says.
        unused_motion: One error for each motion file that could not be used.
    """

    identity: Enrolled
    collection: Collection
    record: EnrollmentRecord
    unused_motion: tuple[InputError, ...] = ()


class Enroller:
    """A model, ready to enroll voices.

    Args:
        model: Built-in name or folder.
        device: "auto", "cpu" or "cuda".

    Raises:
        ModelError: the weights are missing or damaged.
        MachineError: no such device.
    """

    def __init__(self, model: str, device: str = "auto") -> None:
        folder = model_folder(model)
        self.rigs: RigFile = load_rig(folder / "rig.safetensors")
        weights = main_weights(folder)
        self.space: StyleSpace = style_space(weights)
        network = load_model(weights, "student" if weights.stem == "student" else "teacher")
        self.animator = Animator(network, TEACHER_STEPS, choose_device(device))

    def enroll(
        self,
        folder: Path,
        paths: Sequence[Path],
        name: str,
        *,
        face: IdentityFace | None = None,
        source_fps: float | None = None,
        on_clip: OnClip,
    ) -> Enrollment:
        """Make an identity from recordings.

        Args:
            folder: Folder that the paths lie below.
            paths: Recordings.
            name: Name of the identity.
            face: Face of its own; None takes that of the model's identity with the nearest voice.
            source_fps: Frame rate of motion beside the recordings; None infers it.
            on_clip: Callback after each file, (files done, files).

        Raises:
            InputError: there is no usable recording, or the frame rate of its motion is unknown.
            IdentityError: the name is one of the model's own.
        """
        check_new(name, self.rigs.identities)
        network, device = self.animator.network, self.animator.device
        collection = collect(folder, paths, lambda speech: window_styles(network, speech, device), on_clip)
        nearest = self.space.nearest(collection.style)[:NEAREST]
        identity = Enrolled(name, collection.style, self.space.key, nearest[0][0], face)
        examples, unused = self._examples(collection, identity, source_fps)
        fitted = fit(self.animator, self.rigs.rig_of(identity.base_face), identity.style, examples) if examples else None
        record = EnrollmentRecord(
            folder=str(collection.folder),
            sources=collection.sources(),
            seconds=round(collection.seconds, 2),
            similarity=collection.similarity(),
            nearest=tuple((known, round(similarity, 4)) for known, similarity in nearest),
            source_fps=source_fps,
            fit=fit_record(fitted) if fitted else None,
            talker=__version__,
        )
        if fitted:
            identity = replace(identity, style=fitted.condition.style, offset=fitted.condition.offset)
        return Enrollment(replace(identity, record=record.model_dump(mode="json")), collection, record, tuple(unused))

    def _examples(
        self, collection: Collection, identity: Enrolled, source_fps: float | None
    ) -> tuple[list[MotionExample], list[InputError]]:
        """Return the clips that have motion beside them, and the errors of motion that cannot be used."""
        rig = self.rigs.rig_of(identity.base_face)
        own: Rig | None = None if identity.face is None else identity.rig(self.rigs)
        examples, unused = list[MotionExample](), list[InputError]()
        for clip in collection.clips:
            recording = collection.folder / clip.path
            path = motion_beside(recording)
            if path is None:
                continue
            sound = load_intact_speech(recording)
            try:
                coefficients = read_coefficients(path, len(sound) / SAMPLE_RATE, rig, own, source_fps)
            except InputError as error:
                if error.field == "source_fps":  # a question that the user can answer
                    raise
                unused.append(error)
                continue
            examples.append(MotionExample(clip.path, sound, coefficients))
        return examples, unused


def fit_record(fitted: Fit) -> FitRecord:
    """Return the record of a fit in an identity file."""
    gain = 100 * (1 - fitted.after / fitted.before) if fitted.before > 0 else 0.0
    where = "unseen motion" if fitted.unseen else "the motion that chose the style"
    summary = (
        f"lip vertex error {fitted.before:.3e} m2 with the style of the voice, {fitted.after:.3e} fitted ({gain:.0f} % less), "
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
    return enroller.enroll(folder, same, identity.name, face=identity.face, source_fps=record.source_fps, on_clip=on_clip)
