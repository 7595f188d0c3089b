"""The manifest: a row of manifest.csv for each recording, and the totals in the dataset's notes."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talker_cli.corpus.align.alignment import ALIGNER
from talker_cli.formats.files import write_bytes
from talker_cli.metrics import Phones


@dataclass(frozen=True)
class Entry:
    """A recording after its preparation.

    Args:
        split: Split of the dataset.
        seconds: Length.
        reason: Why it is not used; empty if it is.
        score: Log likelihood of the alignment a frame, 0 where nothing was aligned.
        phones: Phones that cover it.
    """

    name: str
    voice: str
    language: str
    human: bool
    text: str
    source: str
    licence: str
    split: str
    seconds: float
    reason: str
    score: float
    phones: Phones


def write_manifest(path: Path, entries: Sequence[Entry]) -> None:
    """Write one row for each recording: source, licence, and why it was dropped if it was."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "voice", "language", "kind", "seconds", "split", "dropped", "score", "licence", "source", "text"])
    for entry in entries:
        kind = "human" if entry.human else "synthetic"
        writer.writerow(
            [entry.name, entry.voice, entry.language, kind, entry.seconds, "" if entry.reason else entry.split, entry.reason,
             entry.score, entry.licence, entry.source, entry.text]
        )  # fmt: skip
    write_bytes(path, text.getvalue().encode())


def describe(entries: Sequence[Entry], identities: Mapping[str, str]) -> dict[str, Any]:
    """Return the corpus' notes: minutes by kind, language, split and voice, dropped recordings by reason, and the aligner."""
    minutes: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    dropped: dict[str, int] = defaultdict(int)
    for entry in entries:
        kind = "human" if entry.human else "synthetic"
        if entry.reason:
            dropped[f"{kind} {entry.language}, {entry.reason.split(':')[0]}"] += 1
            continue
        keys = {"kind": kind, "language": f"{kind} {entry.language}", "split": f"{kind} {entry.split}", "voice": entry.voice}
        for group, key in keys.items():
            minutes[group][key] += entry.seconds / 60.0
        if not entry.text:
            minutes["kind"]["silence"] += entry.seconds / 60.0
    used = [entry for entry in entries if not entry.reason]
    voices = sorted({entry.voice for entry in used})
    return {
        "hours": round(sum(entry.seconds for entry in used) / 3600.0, 3),
        "minutes": {group: {key: round(value, 2) for key, value in sorted(part.items())} for group, part in minutes.items()},
        "dropped": {"recordings": len(entries) - len(used), **dict(sorted(dropped.items()))},
        "aligner": ALIGNER,
        "voices": len(voices),
        "identity_of_voice": {voice: identities[voice] for voice in voices},
        "licences": dict(sorted({entry.voice: entry.licence for entry in used}.items())),
    }
