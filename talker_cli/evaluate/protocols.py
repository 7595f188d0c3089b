"""Names of other systems' files, and the protocols of papers.

FaceFormer, CodeTalker and their followers write `SUBJECT_SENTENCE_condition_IDENTITY.npy`, FaceDiffuser also
`..._condition_IDENTITY_SAMPLE.npy`, some with the model's name in front; systems without identities `SUBJECT_SENTENCE.npy`.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from talker_cli.data import biwi, vocaset

NAMED = 5  # names in a line
CONDITION = "_condition_"
SAMPLED = re.compile(r"(FaceTalk_\d+_\d+_TA|[FM]\d+)_(\d+)")


@dataclass(frozen=True)
class Prediction:
    """What a prediction's name says: the truth's name, the identity asked for ("" for none), and which sample (from 0)."""

    sequence: str
    condition: str
    sample: int


def parse_prediction(stem: str, truths: Collection[str]) -> Prediction | None:
    """Return what a prediction's name means, or None if no truth belongs to it."""
    name, _, condition = stem.partition(CONDITION)
    sample = 0
    if match := SAMPLED.fullmatch(condition):
        condition, sample = match[1], int(match[2])
    if name not in truths:
        known = [truth for truth in truths if name.endswith(f"_{truth}")]  # the model's name stands in front
        if not known:
            return None
        name = max(known, key=len)
    return Prediction(name, condition, sample)


def subject_of(sequence: str, subjects: Collection[str] = ()) -> str:
    """Return whose sequence it is: the longest known subject that the name begins with, else what precedes the last `_`."""
    known = [subject for subject in subjects if sequence == subject or sequence.startswith(f"{subject}_")]
    return max(known, key=len) if known else sequence.rpartition("_")[0] or sequence


@dataclass(frozen=True)
class Protocol:
    """The sequences that a paper measures on, and the identities that it gives to the model.

    Args:
        name: Short name.
        sequences: Names of the sequences; some may be missing from a copy of the data.
        conditions: Identities whose outputs are averaged; empty where each sequence has its own.
        unit: Unit of the vertices.
        about: Description, one line.
    """

    name: str
    sequences: tuple[str, ...]
    conditions: tuple[str, ...]
    unit: str
    about: str

    def wanted(self, sequence: str) -> tuple[str, ...]:
        """Return the conditions under which a sequence is made."""
        return self.conditions or (subject_of(sequence),)


def _sequences(subjects: tuple[str, ...], sentences: range, form: str) -> tuple[str, ...]:
    return tuple(f"{subject}_{form.format(number)}" for subject in subjects for number in sentences)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "vocaset-test",
            _sequences(vocaset.TEST, range(vocaset.HELD_OUT_FROM, 41), "sentence{:02}"),
            vocaset.TRAIN, "m", "VOCASET's two test subjects, sentences 21-40, mean over the 8 training identities",
        ),
        Protocol(
            "biwi-a", _sequences(biwi.TRAIN, range(37, 41), "e{:02}"), (), "unit",
            "BIWI-Test-A: the 6 training subjects, e37-e40, each in its own identity",
        ),
        Protocol(
            "biwi-b", _sequences(biwi.UNSEEN, range(37, 41), "e{:02}"), biwi.TRAIN,
            "unit", "BIWI-Test-B: the 8 unseen subjects, e37-e40, mean over the 6 training identities",
        ),
    )
}  # fmt: skip


def without_truth(protocol: str) -> str:
    """Return the label of a protocol's sequences that have no truth."""
    return f"sequences of {protocol} without a truth"


def unmeasured(what: str, names: Sequence[str]) -> str:
    """Return a note that names sequences that were not measured."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{what}, left out ({len(names)}): {', '.join(names[:NAMED])}{more}"
