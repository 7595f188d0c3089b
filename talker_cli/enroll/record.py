"""The record in an identity file: which recordings it was enrolled from, and how well the style fits them."""

from talker_cli.errors import IdentityError
from talker_cli.formats.schema import Schema, parse
from talker_cli.identity.file import Enrolled


class SourceRecord(Schema):
    """A recording: path relative to the folder, SHA-256 of the file, seconds of speech."""

    path: str
    sha256: str
    seconds: float


class SimilarityRecord(Schema):
    """Cosine similarity of each clip's style to the style of all clips: mean, lowest, and the clip of the lowest."""

    mean: float
    lowest: float
    lowest_clip: str


class FitRecord(Schema):
    """A fit to motion.

    Args:
        before: Lip vertex error with the style of the voice alone, square metres.
        after: Lip vertex error with the fitted style, square metres.
        seconds: Seconds of motion that the style was fitted to.
        held_out: Seconds of motion that the errors were measured on.
        unseen: Whether the choice between styles did not use those seconds.
        steps: Optimiser steps.
        offset: Whether the identity has an offset.
        summary: The same for people, one line.
    """

    before: float
    after: float
    seconds: float
    held_out: float
    unseen: bool
    steps: int
    offset: bool
    summary: str


class CaptureRecord(Schema):
    """Captured videos: their number, seconds, seconds in which the face was seen, and the lips' distance from the head, mm."""

    videos: int
    seconds: float
    seen: float
    lip_error_mm: float


class EnrollmentRecord(Schema):
    """How an identity was enrolled.

    Args:
        folder: Absolute path of the recordings; None in a file that was shared.
        sources: The recordings that were used.
        seconds: Seconds of speech in all.
        similarity: How alike the clips sound.
        nearest: Known identities and their cosine similarity, the nearest first.
        told: Share of the style that the sound tells, 0…1, or None of a model that does not say.
        source_fps: Frame rate that the user gave for motion beside the recordings, or None.
        captured: What was seen of videos, or None without one.
        fit: The fit to motion, or None without motion.
        talker: Version that enrolled it.
    """

    folder: str | None
    sources: tuple[SourceRecord, ...]
    seconds: float
    similarity: SimilarityRecord
    nearest: tuple[tuple[str, float], ...]
    told: float | None = None
    source_fps: float | None = None
    captured: CaptureRecord | None = None
    fit: FitRecord | None = None
    talker: str


def record_of(identity: Enrolled) -> EnrollmentRecord:
    """Return an identity's record, checked.

    Raises:
        IdentityError: a field is missing or of another type.
    """
    return parse(EnrollmentRecord, identity.record, f"the record of identity '{identity.name}'", IdentityError)
