"""Words and phones in their places, and the files that hold them: Praat's TextGrid, and tab-separated values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from talker_cli.formats.files import write_bytes
from talker_cli.metrics import SILENCE, Phones


@dataclass(frozen=True)
class AlignedWord:
    """A word in its place.

    Args:
        text: As it is written.
        start: Seconds.
        end: Seconds.
        score: Mean over its frames of the log posterior less that of the likeliest phone; 0 is certain.
    """

    text: str
    start: float
    end: float
    score: float


@dataclass(frozen=True)
class TextAlignment:
    """A text in its place.

    Args:
        words: Its words, in order.
        phones: Phones that cover the recording.
        unwritten: (start, end) of speech that the text lacks, seconds.
    """

    words: tuple[AlignedWord, ...]
    phones: Phones
    unwritten: tuple[tuple[float, float], ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return self.phones[-1][2]


def write_textgrid(alignment: TextAlignment, path: Path) -> None:
    """Write a TextGrid with the interval tiers `words` and `phones`, atomically; silence is an empty label.

    Raises:
        OutputError: the file cannot be written.
    """
    end = alignment.seconds
    tiers = {"words": _covered(alignment), "phones": [(_label(phone), start, stop) for phone, start, stop in alignment.phones]}
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.4f}", "tiers? <exists>"]
    lines += [f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"', "        xmin = 0"]
        lines += [f"        xmax = {end:.4f}", f"        intervals: size = {len(intervals)}"]
        for place, (label, start, stop) in enumerate(intervals, 1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start:.4f}", f"            xmax = {stop:.4f}"]
            quoted = label.replace('"', '""')
            lines.append(f'            text = "{quoted}"')
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def write_tsv(alignment: TextAlignment, path: Path) -> None:
    """Write a line for every word and phone with its start and end in seconds, tab-separated, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    rows = [("word", word.text, word.start, word.end) for word in alignment.words]
    rows += [("phone", *phone) for phone in alignment.phones]
    lines = ["kind\tlabel\tstart\tend", *(f"{kind}\t{label}\t{start:.4f}\t{end:.4f}" for kind, label, start, end in rows)]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def _label(phone: str) -> str:
    return "" if phone == SILENCE else phone


def _covered(alignment: TextAlignment) -> Sequence[tuple[str, float, float]]:
    """Return the words as intervals that cover the recording, with empty ones between them."""
    intervals: list[tuple[str, float, float]] = []
    at = 0.0
    for word in alignment.words:
        if word.start > at:
            intervals.append(("", at, word.start))
        intervals.append((word.text, word.start, word.end))
        at = word.end
    return [*intervals, ("", at, alignment.seconds)] if at < alignment.seconds else intervals
