"""A folder of recordings -> an identity: the style read off the voice, fitted to motion where there is some, and a face."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from talker_cli import __version__
from talker_cli.animate.animator import Animator
from talker_cli.enroll.clips import ClipConsistency, Collection, OnClip, collect, spread
from talker_cli.enroll.fit import Fit, MotionExample, fit
from talker_cli.enroll.motion import motion_beside, read_coefficients
from talker_cli.errors import IdentityError, InputError
from talker_cli.formats.audio import SAMPLE_RATE, load_intact_speech
from talker_cli.formats.files import file_hash
from talker_cli.identity.file import Enrolled, IdentityFace
from talker_cli.identity.resolve import StyleSpace, check_new, style_space
from talker_cli.identity.style import window_styles
from talker_cli.model.checkpoint import load_model
from talker_cli.model.device import choose_device
from talker_cli.model.folder import main_weights, model_folder
from talker_cli.rig import RigFile, load_rig

NEAREST = 3  # known identities that are told of
TEACHER_STEPS = 8  # of a model without a student, where motion is sampled
OnNote = Callable[[str], None]


@dataclass(frozen=True)
class Enrolment:
    """What an enrolment came to: the identity, and what the user should know of it."""

    person: Enrolled
    collection: Collection
    spread: ClipConsistency
    nearest: list[tuple[str, float]]


class Enroller:
    """A model, ready to enrol voices.

    Args:
        model: built-in name or folder.
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
        on_note: OnNote,
        on_clip: OnClip,
    ) -> Enrolment:
        """Make an identity of recordings.

        Args:
            folder: that they lie below.
            paths: of the recordings.
            name: what to call the identity.
            face: its own, or None for that of the model's identity whose voice is the nearest.
            on_note: called with lines that the user should read.
            on_clip: called after each file with (files done, files).

        Raises:
            InputError: there is no usable recording.
            IdentityError: the name is one of the model's own.
        """
        check_new(name, self.rigs.identities)
        network, device = self.animator.network, self.animator.device
        collection = collect(folder, paths, lambda speech: window_styles(network, speech, device), on_clip)
        found = spread(collection)
        nearest = self.space.nearest(collection.style)[:NEAREST]
        record: dict[str, Any] = {
            "folder": str(collection.folder),
            "sources": collection.sources(),
            "seconds": round(collection.seconds, 2),
            "spread": {"mean": round(found.mean, 4), "least": round(found.least, 4), "oddest": found.oddest},
            "nearest": [[known, round(similarity, 4)] for known, similarity in nearest],
            "talker": __version__,
        }
        person = Enrolled(name, collection.style, self.space.key, nearest[0][0], face, None, record)
        fitted = self._fit(collection, person, on_note)
        if fitted is not None:
            person = replace(person, style=fitted.manner.style, offset=fitted.manner.offset)
            record["fit"] = told(fitted)
        return Enrolment(person, collection, found, nearest)

    def _fit(self, collection: Collection, person: Enrolled, on_note: OnNote) -> Fit | None:
        """Return the style fitted to the motion that lies beside the clips, or None if there is none that can be used."""
        rig = self.rigs.rig_of(person.base_face)
        takes = []
        for clip in collection.clips:
            recording = collection.folder / clip.path
            beside = motion_beside(recording)
            if beside is None:
                continue
            sound = load_intact_speech(recording)
            own = None if person.face is None else person.rig(self.rigs)
            try:
                takes.append(MotionExample(clip.path, sound, read_coefficients(beside, len(sound) / SAMPLE_RATE, rig, own)))
            except InputError as error:
                on_note(f"motion not used: {error}")
        return fit(self.animator, rig, person.style, takes) if takes else None


def told(fitted: Fit) -> dict[str, Any]:
    """Return what an identity records of its fit."""
    gain = 100 * (1 - fitted.after / fitted.before) if fitted.before > 0 else 0.0
    summary = (
        f"lip vertex error {fitted.before:.3e} m2 from the voice alone, {fitted.after:.3e} fitted ({gain:.0f} % less), on "
        f"{fitted.held_out:.1f} s held out; learned from {fitted.seconds:.1f} s of motion"
    )
    kept = fitted.after < fitted.before
    return {
        "before": fitted.before, "after": fitted.after, "seconds": round(fitted.seconds, 2), "steps": fitted.steps,
        "held_out": round(fitted.held_out, 2), "offset": fitted.manner.offset is not None,
        "summary": summary if kept else f"{summary}; the voice's style was kept",
    }  # fmt: skip


def refit(person: Enrolled, enroller: Enroller, *, on_note: OnNote, on_clip: OnClip) -> Enrolment:
    """Enrol somebody again, from the recordings that the identity tells of; the face is kept.

    Raises:
        IdentityError: the recordings are not known, gone or others now.
    """
    folder = person.record.get("folder")
    if not isinstance(folder, str):
        raise IdentityError(
            f"identity '{person.name}' came as a file, which does not say where its recordings are; expected one made here; "
            "enrol it again from its recordings"
        )
    sources = [(Path(folder) / source["path"], source["sha256"]) for source in person.record["sources"]]
    changed = [path for path, sha256 in sources if not path.is_file() or file_hash(path) != sha256]
    if len(changed) == len(sources):
        raise IdentityError(
            f"none of the {len(sources)} recordings of '{person.name}' is in {folder} as it was; expected them to enrol again; "
            "put them back, or enrol others with --replace"
        )
    for path in changed:
        on_note(f"{path} is gone or another one now, and was left out")
    paths = [path for path, _ in sources if path not in changed]
    made = enroller.enroll(Path(folder), paths, person.name, face=person.face, on_note=on_note, on_clip=on_clip)
    made.person.rig(enroller.rigs)  # refuses a face that the model's mesh does not fit
    return made
