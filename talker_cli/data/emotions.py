"""Emotions over time: spans, each of one emotion at a strength from 0 to 1, that fade into one another."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.schema import reading

ALWAYS = 1e6  # seconds: the end of an emotion without one
FADE = 0.5  # seconds that a span takes to come and to go, about its border
COLUMNS = ("start", "end", "emotion", "strength")
LARGEST = 1 << 20  # bytes of a time line
NEUTRAL = "neutral"

Span = tuple[float, float, str, float]  # start and end, seconds; name; strength, 0…1
Spans = tuple[Span, ...]


def strengths(spans: Spans, names: Sequence[str], times: np.ndarray) -> np.ndarray:
    """Return the strength (N, E) float32 of each of E emotions at the times (N,), seconds; other emotions are left out.

    A span that begins at 0 or before has no beginning. Where one ends and another begins, one fades as the other comes.
    """
    found = np.zeros((len(times), len(names)), np.float32)
    for start, end, name, strength in spans:
        if name in names:
            come = np.ones_like(times) if start <= 0 else _step((times - start) / FADE + 0.5)
            found[:, names.index(name)] += strength * come * _step((end - times) / FADE + 0.5)
    return np.asarray(found.clip(0.0, 1.0))


def parse_emotions(text: str) -> Spans:
    """Return the spans of `happy=0.4,surprised=0.3`, each for ever, or of a CSV with the columns start, end, emotion, strength.

    Raises:
        InputError: the text has another form, the file cannot be read, or a number is out of bounds.
    """
    if text.lower().endswith(".csv"):
        return _read_timeline(Path(text))
    spans: list[Span] = []
    for piece in text.split(","):
        name, equals, value = (part.strip() for part in piece.partition("="))
        if not equals or not name:
            raise InputError(f"found {text}; expected NAME=STRENGTH, as happy=0.6, or a .csv time line", field="emotion")
        spans.append((0.0, ALWAYS, name, _number(value, 0.0, 1.0, f"the strength of {name}")))
    return _known(tuple(spans), text)


def check_names(spans: Spans, names: Sequence[str]) -> None:
    """Refuse emotions that a model has not learned.

    Raises:
        InputError: it lacks one, or has none at all.
    """
    for _, _, name, _ in spans:
        if not names:
            raise InputError(
                f"found {name} and a model without emotions; expected a model trained on clips with emotions; leave it out",
                field="emotion",
            )
        if name not in names:
            raise InputError(f"found {name}; expected {', '.join(names)}, or neutral", field="emotion")


def _known(spans: Spans, origin: str) -> Spans:
    """Return the spans without those of the neutral face, each emotion at most once at a time."""
    kept = tuple(span for span in spans if span[2] != NEUTRAL)
    names = [name for start, end, name, _ in kept if not start and end == ALWAYS]
    if len(set(names)) < len(names):
        raise InputError(f"found an emotion twice in {origin}; expected each once", field="emotion")
    return kept


def _read_timeline(path: Path) -> Spans:
    expected = f"a CSV with the columns {', '.join(COLUMNS)}"
    if not path.is_file():
        raise InputError(f"found no {path}; expected {expected}; check the path", field="emotion")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path} is larger than {LARGEST >> 20} MB; expected {expected}", field="emotion")
    with reading(path, expected):
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    if not rows or not set(COLUMNS) <= rows[0].keys():
        raise InputError(f"{path} lacks rows, or one of the columns; expected {expected}", field="emotion")
    spans: list[Span] = []
    for line, row in enumerate(rows, 2):
        where = f"{path}, line {line}: "
        start = _number(row["start"], 0.0, ALWAYS, f"{where}start")
        end = _number(row["end"], 0.0, ALWAYS, f"{where}end")
        name = (row["emotion"] or "").strip()
        if not name or end <= start:
            raise InputError(f"{where}found {name or 'no emotion'} from {start:g} to {end:g} s; expected one that ends after "
                             "its start", field="emotion")  # fmt: skip
        spans.append((start, end, name, _number(row["strength"], 0.0, 1.0, f"{where}strength")))
    return _known(tuple(spans), str(path))


def _number(text: str | None, low: float, high: float, what: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise InputError(f"found {text or 'nothing'} as {what}; expected {low:g} to {high:g}", field="emotion")
    return value


def _step(share: np.ndarray) -> np.ndarray:
    """Return a smooth step from 0 to 1 of which rising and falling ones add to 1."""
    x = np.clip(share, 0.0, 1.0)
    return np.asarray(x * x * (3.0 - 2.0 * x))
