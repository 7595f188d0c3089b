"""Articulatory targets: what lips and jaw of each ARPAbet phone aim at, and how far it reaches into its neighbours.

`targets.csv` is written by `tools/fit_articulation.py` from captured speech. A row is a phone's part in one place:

| column | meaning |
|---|---|
| phone, part | ARPAbet symbol; diphthongs have two parts, silences three: rest, coming to rest, getting ready |
| place | `first` after a pause, `last` before one, `labial` before p b m w r f v, or else `other` |
| share | where its core lies, as a share of the phone's duration |
| shift | seconds by which the core comes later |
| jaw … frown | target of each track, in units of the ARKit shapes; `close`: how far the lips close over all that opens them |
| … pull, before, after | of each articulator: weight against the neighbours; reach before and after the core, seconds |
"""

import csv
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from talker_cli.corpus.articulate.contact import pauses
from talker_cli.metrics import BILABIALS, SILENCE, Phones

TABLE = Path(__file__).with_name("targets.csv")

# Tracks by the articulator whose dominance they share. "Lower", "upper", "spread" and the like are means of left and right.
ARTICULATORS: dict[str, tuple[str, ...]] = {
    "jaw": ("jaw", "forward"),
    "lips": ("close", "lower", "upper", "roll_lower", "roll_upper", "shrug", "tongue"),
    "rounding": ("funnel", "pucker"),
    "spreading": ("spread", "stretch", "dimple", "frown"),
}
TRACKS: tuple[str, ...] = tuple(track for tracks in ARTICULATORS.values() for track in tracks)
PLACES = ("other", "first", "last", "labial")
LABIAL = BILABIALS | {"W", "R", "F", "V"}
REST, SETTLING, READY = 0, 1, 2  # parts of a silence
COLUMNS = ("pull", "before", "after")


@dataclass(frozen=True)
class Targets:
    """Targets of every part of every phone in every place, a row each.

    Args:
        rows: (phone, part, place) of each of the R rows.
        share: (R,) place of the core, as a share of the phone's duration.
        shift: (R,) seconds by which it comes later.
        values: (R, tracks) over TRACKS.
        pull: (R, articulators) weight against the neighbours.
        before: (R, articulators) reach before the core, seconds.
        after: (R, articulators) reach after it, seconds.
    """

    rows: tuple[tuple[str, int, str], ...]
    share: np.ndarray
    shift: np.ndarray
    values: np.ndarray
    pull: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @cached_property
    def _index(self) -> dict[tuple[str, int, str], int]:
        return {row: number for number, row in enumerate(self.rows)}

    def row(self, phone: str, part: int, place: str) -> int:
        """Return the row of a phone's part in a place."""
        return self._index[phone, part, place]

    def parts(self, phone: str) -> int:
        """Return the number of parts of a phone."""
        return sum((phone, part, PLACES[0]) in self._index for part in range(3))

    def write(self, path: Path) -> None:
        """Write the table, numbers to 1e-4."""
        names = [f"{name}_{column}" for name in ARTICULATORS for column in COLUMNS]
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["phone", "part", "place", "share", "shift", *TRACKS, *names])
            for number, row in enumerate(self.rows):
                dominance = np.stack([self.pull[number], self.before[number], self.after[number]], 1).ravel()
                numbers = [self.share[number], self.shift[number], *self.values[number], *dominance]
                writer.writerow([*row, *(f"{round(float(value), 4):g}" for value in numbers)])


@cache
def fitted() -> Targets:
    """Return the targets of `targets.csv`."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))

    def columns(*names: str) -> np.ndarray:
        return np.array([[float(line[name]) for name in names] for line in lines])

    pull, before, after = (columns(*(f"{name}_{column}" for name in ARTICULATORS)) for column in COLUMNS)
    rows = tuple((line["phone"], int(line["part"]), line["place"]) for line in lines)
    return Targets(rows, columns("share")[:, 0], columns("shift")[:, 0], columns(*TRACKS), pull, before, after)


def places(phones: Phones) -> list[str]:
    """Return the place of each phone: after or before a pause, before lips that close, or elsewhere."""
    still = pauses(phones)
    found = []
    for index, (phone, _, _) in enumerate(phones):
        after = index + 1
        if phone == SILENCE:
            found.append(PLACES[0])
        elif after == len(phones) or still[after]:
            found.append("last")
        elif phones[after][0] in LABIAL:
            found.append("labial")
        else:
            found.append("first" if index == 0 or still[index - 1] else PLACES[0])
    return found
