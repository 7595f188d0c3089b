"""Fit the articulation's targets, dominances, reaches and timing to captured speech; write `targets.csv`.

    talker preprocess grid GRID -o captured/
    python tools/fit_articulation.py captured/ [--clips 700] [--rounds 8] [-o talker_cli/corpus/articulate/targets.csv]

The rules' motion, without any randomness, is compared with every captured training clip: mouth gap, height of the upper lip,
width and jaw in millimetres, and some curves besides. Gauss-Newton steps with exact derivatives change all numbers at
once, drawn towards the hand-set ones (`hand_targets.py`); targets stay within 0…1, a place's are drawn towards the phone's own.
The gap's misfit is a median's, not a mean's: lips are shut or open, seldom between. What no captured sentence tells changes
as its articulatory neighbours do (NEIGHBOURS). Speed is no part of the fit: the sharpening (SHARP_JAW, SHARP_CORNERS) comes
after it, and is chosen by the 95 % frequencies of jaw and width on validation sentences.
"""

import argparse
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from hand_targets import CLOSE, REACH, TARGETS, TRACK_GAIN

from talker_cli.capture import landmarks as marks
from talker_cli.corpus.articulate.articulation import (
    GRID,
    POWER,
    SLOW,
    SMOOTHING,
    Contact,
    Cores,
    assimilated,
    compose,
    contact,
    place_cores,
    shares,
    smooth,
)
from talker_cli.corpus.articulate.prosody import Prosody, measure_prosody
from talker_cli.corpus.articulate.styles import Style
from talker_cli.corpus.articulate.targets import ARTICULATORS, PLACES, READY, REST, SETTLING, TABLE, TRACKS, Targets
from talker_cli.data.dataset import Dataset
from talker_cli.evaluate.captured import SHUT
from talker_cli.evaluate.curve_metrics import pearson
from talker_cli.evaluate.face_measures import FaceMeasures
from talker_cli.metrics import SILENCE, Phones
from talker_cli.rig import ARKIT_NAMES

PLAIN = Style(smile=0.0, press=0.0, funnel=0.0, variation=0.0)  # a person without habits: what the targets describe
STILL = {name: np.zeros(1) for name in SLOW}  # noise of size 0
COLUMN = {name: index for index, name in enumerate(ARKIT_NAMES)}
SPAN = (0.45, 0.30)  # seconds before the first sound and after the last that are compared
CORRELATED = 5.0  # frames over which errors are alike: so much less they weigh
MEDIAN = (1.2, 0.6)  # mm: weight of a gap's error e is MEDIAN[0] / max(e, MEDIAN[1]), an approximate absolute value
SHUT_WEIGHT = 1.3  # of frames whose lips are shut
SPEED = 1  # weight of the changes from frame to frame
CHANNELS: dict[str, tuple[float, tuple[str, ...]]] = {  # std of the error, and the curves that are compared
    "pucker": (0.15, ("mouthPucker",)), "funnel": (0.15, ("mouthFunnel",)),
    "smile": (0.15, ("mouthSmileLeft", "mouthSmileRight")), "stretch": (0.15, ("mouthStretchLeft", "mouthStretchRight")),
    "lower": (0.3, ("mouthLowerDownLeft", "mouthLowerDownRight")), "forward": (0.05, ("jawForward",)),
    "roll_upper": (0.05, ("mouthRollUpper",)), "shrug": (0.05, ("mouthShrugLower",)),
    "frown": (0.05, ("mouthFrownLeft", "mouthFrownRight")), "dimple": (0.05, ("mouthDimpleLeft", "mouthDimpleRight")),
}  # fmt: skip
MILLIMETRES = {"gap": 1.6, "upper": 0.8, "width": 1.2, "jaw": 1.1}  # std of the error
ERRORS = np.array([*MILLIMETRES.values(), *(error for error, _ in CHANNELS.values())])

# How far a target may lie from the hand-set one: std. What no camera sees (tongue, lip behind teeth) stays.
FREEDOM = {
    "jaw": 0.06, "forward": 0.05, "close": 0.3, "lower": 0.15, "upper": 0.12, "roll_lower": 1e-5, "roll_upper": 0.1,
    "shrug": 0.05, "tongue": 1e-5, "funnel": 0.08, "pucker": 0.12, "spread": 0.1, "stretch": 0.06, "dimple": 0.02,
    "frown": 0.06,
}  # fmt: skip
IN_PLACE = 1.0  # of it, how far a place's target may lie from the phone's
FREE_PULL, FREE_REACH = (1.0, 0.6, 0.5, 0.7), (0.5, 0.5, 0.3, 0.3)  # std of the logarithms, by articulator
FREE_SHIFT = 0.02  # std of the seconds
LONGEST_STEP = {"pull": 0.4, "before": 0.4, "after": 0.4, "shift": 0.012}

# Phones of a few occurrences or none, and those whose mean correction they take.
NEIGHBOURS: dict[tuple[str, int], tuple[tuple[str, int], ...]] = {
    ("SH", 0): (("CH", 0), ("JH", 0)), ("ZH", 0): (("JH", 0), ("CH", 0)), ("ER", 0): (("R", 0), ("AH", 0)),
    ("UH", 0): (("UW", 0), ("AH", 0)), ("OY", 0): (("OW", 0),), ("OY", 1): (("AY", 1),),
    ("NG", 0): (("G", 0), ("N", 0), ("K", 0)), ("HH", 0): (("K", 0), ("G", 0)), ("M", 0): (("B", 0), ("P", 0)),
}  # fmt: skip
OFTEN = 60  # occurrences from which a phone's own are enough
SILENT_PARTS = (REST, SETTLING, READY)


@dataclass
class Unknowns:
    """All numbers as one vector: values (R, tracks), logarithms of pull, before and after (K, articulators), shifts (K,).

    Args:
        keys: (phone, part) of the K parts; they share dominance and shift over all places.
        rows: (phone, part, place) of the R rows.
        of_key: (R,) the key of each row.
        share: (R,) as the targets'.
        start: (N,) the hand-set numbers.
        precision: (N, N) how strongly they hold.
    """

    keys: list[tuple[str, int]]
    rows: list[tuple[str, int, str]]
    of_key: np.ndarray
    share: np.ndarray
    start: np.ndarray
    precision: np.ndarray

    @cached_property
    def base(self) -> np.ndarray:
        """(N,) where each number's value elsewhere lies: a place's of a phone's; others are their own."""
        found = np.arange(len(self.start))
        table = found[self.part("values")].reshape(len(self.rows), -1)
        base = [self.rows.index((*row[:2], PLACES[0])) for row in self.rows]
        found[self.part("values")] = table[base].ravel()
        return found

    @classmethod
    def by_hand(cls) -> "Unknowns":
        """Return the numbers of `hand_targets.py`."""
        keys = [
            (phone, part) for phone in TARGETS for part in (SILENT_PARTS if phone == SILENCE else range(len(TARGETS[phone])))
        ]
        rows = [(*key, place) for key in keys for place in (PLACES[:1] if key[0] == SILENCE else PLACES)]
        of_key = np.array([keys.index(row[:2]) for row in rows])
        values, pulls, share = (
            np.zeros((len(keys), len(TRACKS))),
            np.ones((len(keys), len(ARTICULATORS))),
            np.full(len(keys), 0.5),
        )
        for number, (phone, part) in enumerate(keys):
            target, share[number] = TARGETS[phone][0 if phone == SILENCE else part]
            if (phone, part) == (SILENCE, READY):  # half of a neutral vowel
                target = TARGETS["AH"][0][0]
            values[number] = [target.values.get(track, 0.0) * TRACK_GAIN.get(track, 1.0) for track in TRACKS]
            values[number, TRACKS.index("close")] = CLOSE.get(phone, 0.0)
            values[number] *= 0.5 if (phone, part) == (SILENCE, READY) else 1.0
            rounding = float(np.sqrt(target.weight("funnel") * target.weight("pucker")))
            pulls[number] = [target.weight("jaw"), target.weight("lower"), rounding, target.weight("spread")]
        logs = [np.log(pulls), *(np.tile(np.log([reach[side] for reach in REACH.values()]), (len(keys), 1)) for side in (0, 1))]
        start = np.concatenate([values[of_key].ravel(), *(each.ravel() for each in logs), np.zeros(len(keys))])
        found = cls(keys, rows, of_key, share[of_key], start, np.zeros((len(start), len(start))))
        found._hold()
        return found

    def _hold(self) -> None:
        """Fill in the precision: of the phones' targets about the hand-set ones, of a place's about the phone's."""
        free = np.tile([FREEDOM[track] for track in TRACKS], (len(self.rows), 1))
        for number, (phone, part, _) in enumerate(self.rows):
            if phone == SILENCE:  # a face at rest has its own shape, which is the style's
                free[number] = free[number] * 0.5 if part == READY else np.where(np.array(TRACKS) == "jaw", 0.05, 1e-4)
        place = np.arange(len(self.rows) * len(TRACKS)).reshape(len(self.rows), -1)
        for number, row in enumerate(self.rows):
            here, base = place[number], place[self.rows.index((*row[:2], PLACES[0]))]
            if row[2] == PLACES[0]:
                self.precision[here, here] += 1 / free[number] ** 2
            else:
                weight = 1 / (IN_PLACE * free[number]) ** 2
                self.precision[here, here] += weight
                self.precision[base, base] += weight
                self.precision[here, base] -= weight
                self.precision[base, here] -= weight
        for name, std in (("pull", FREE_PULL), ("before", FREE_REACH), ("after", FREE_REACH), ("shift", FREE_SHIFT)):
            where = np.arange(len(self.start))[self.part(name)]
            self.precision[where, where] = np.resize(1 / np.square(std), len(where))

    def part(self, name: str) -> slice:
        """Return where "values", "pull", "before", "after" or "shift" lie in the vector."""
        values, each = len(self.rows) * len(TRACKS), len(self.keys) * len(ARTICULATORS)
        sizes = {"values": values, "pull": each, "before": each, "after": each, "shift": len(self.keys)}
        first = sum(list(sizes.values())[: list(sizes).index(name)])
        return slice(first, first + sizes[name])

    def targets(self, vector: np.ndarray) -> Targets:
        """Return the vector's targets."""
        shape = (len(self.keys), len(ARTICULATORS))
        pull, before, after = (
            np.exp(vector[self.part(name)]).reshape(shape)[self.of_key] for name in ("pull", "before", "after")
        )
        values = vector[self.part("values")].reshape(len(self.rows), -1)
        return Targets(tuple(self.rows), self.share, vector[self.part("shift")][self.of_key], values, pull, before, after)

    def with_neighbours(self, vector: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the vector with the corrections of neighbours for phones that occur too seldom; `counts` (K,)."""
        change = vector - self.start
        for (phone, part), neighbours in NEIGHBOURS.items():
            number = self.keys.index((phone, part))
            weight = min(1.0, counts[number] / OFTEN)
            others = [self.keys.index(each) for each in neighbours]
            for name in ("pull", "before", "after", "shift"):
                view = change[self.part(name)].reshape(len(self.keys), -1)
                view[number] = weight * view[number] + (1 - weight) * view[others].mean(0)
            view = change[self.part("values")].reshape(len(self.rows), -1)
            for place in PLACES:
                row = self.rows.index((phone, part, place))
                rows = [self.rows.index((*each, place)) for each in neighbours]
                seen = np.array([FREEDOM[track] > 1e-3 for track in TRACKS])
                view[row] = np.where(seen, weight * view[row] + (1 - weight) * view[rows].mean(0), 0.0)
        found = self.start + change
        found[self.part("values")] = found[self.part("values")].clip(0.0, 1.0)
        return found


class Captured:
    """A captured clip and the rules' motion for it.

    Args:
        phones: Phones that cover it.
        prosody: Pitch and loudness of its sound.
        coefficients: (T, 52 or more) captured.
        fps: Frame rate.
        face: Measures of the head.
    """

    def __init__(self, phones: Phones, prosody: Prosody, coefficients: np.ndarray, fps: float, face: FaceMeasures) -> None:
        phones = assimilated(phones)
        self.phones, self.prosody = phones, prosody
        seconds = np.arange(len(coefficients)) / fps
        self.times = np.arange(int(np.ceil(max(seconds[-1], phones[-1][2]) * GRID)) + 2) / GRID
        self.sampling = _sampling(self.times, seconds)
        there = contact(phones, self.times, PLAIN)
        self.contact = Contact(*(np.interp(seconds, self.times, each) for each in vars(there).values()))
        self.design = _design(face)
        self.truth = coefficients[:, : len(ARKIT_NAMES)].astype(np.float64) @ self.design.T
        self.truth[:, 0] = face(coefficients, fps).curves["gap"]
        begins, ends = next(p[1] for p in phones if p[0] != SILENCE), next(p[2] for p in phones[::-1] if p[0] != SILENCE)
        self.compared = (seconds > begins - SPAN[0]) & (seconds < ends + SPAN[1])
        self.spoken = (seconds > begins - 0.1) & (seconds < ends + 0.1)

    def cores(self, targets: Targets) -> Cores:
        """Return the clip's cores."""
        return place_cores(self.phones, self.prosody, PLAIN, "", targets)

    def measured(self, tracks: np.ndarray) -> np.ndarray:
        """Return (T, channels) of tracks (tracks, T): millimetres, then curves."""
        curves = compose(_named(tracks), self.contact, PLAIN, STILL)
        coefficients = np.zeros((tracks.shape[1], len(ARKIT_NAMES)))
        for name, curve in curves.items():
            coefficients[:, COLUMN[name]] = np.clip(curve, 0.0, 1.0)
        return np.asarray(coefficients @ self.design.T)

    def made(self, targets: Targets) -> np.ndarray:
        """Return (T, channels) of the rules."""
        cores = self.cores(targets)
        return self.measured(self._tracks(cores, self._shares(cores, targets), targets))

    def _shares(self, cores: Cores, targets: Targets) -> dict[str, np.ndarray]:
        every = np.arange(len(cores.rows))
        return {name: shares(cores, every, self.times, name, 1.0, targets) for name in ARTICULATORS}

    def _tracks(self, cores: Cores, share: dict[str, np.ndarray], targets: Targets) -> np.ndarray:
        values = targets.values[cores.rows] * cores.gain[:, None]
        rows = [values[:, TRACKS.index(track)] @ share[name] for name, tracks in ARTICULATORS.items() for track in tracks]
        return np.stack(rows) @ self.sampling.T

    def linearised(self, unknowns: Unknowns, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the errors (T, channels), their derivatives (T, channels, n), and which n unknowns these are by."""
        targets = unknowns.targets(vector)
        cores = self.cores(targets)
        share = self._shares(cores, targets)
        tracks = self._tracks(cores, share, targets)
        made = self.measured(tracks)
        step = 1e-4
        slopes = [
            (self.measured(tracks + step * np.eye(len(TRACKS))[:, [number]]) - made) / step for number in range(len(TRACKS))
        ]
        rows, of_row = np.unique(cores.rows, return_inverse=True)
        keys, of_core = np.unique(unknowns.of_key[cores.rows], return_inverse=True)
        by_row, by_key = np.eye(len(rows))[of_row], np.eye(len(keys))[of_core]  # (P, n)
        tau = self.times[None, :] - cores.centre[:, None]
        beyond = np.maximum(np.abs(tau) - cores.half[:, None], 0.0)
        blocks, which = [], []
        shift = np.zeros((*made.shape, len(keys)))
        column, grid = 0, np.arange(len(unknowns.start))
        for number, (name, names) in enumerate(ARTICULATORS.items()):
            reach = np.where(tau < 0, targets.before[cores.rows, number][:, None], targets.after[cores.rows, number][:, None])
            far = (beyond / reach) ** POWER
            later = np.where(beyond > 0, POWER * far / np.maximum(beyond, 1e-9) * np.sign(tau), 0.0)
            totals = {part: np.zeros((*made.shape, len(keys))) for part in ("pull", "before", "after")}
            of_values = self.sampling @ (share[name].T * cores.gain) @ by_row
            for _ in names:
                slope = slopes[column][self.compared]
                blocks.append(slope[:, :, None] * of_values[self.compared][:, None, :])
                which.append(grid[unknowns.part("values")].reshape(len(unknowns.rows), -1)[rows, column])
                value = targets.values[cores.rows, column] * cores.gain
                away = share[name] * (value[:, None] - value @ share[name])  # by the logarithm of the dominance
                for part, change in (
                    ("pull", away), ("before", away * POWER * far * (tau < 0)), ("after", away * POWER * far * (tau >= 0)),
                    ("shift", away * later),
                ):  # fmt: skip
                    by_part = (self.sampling @ change.T) @ by_key
                    total = shift if part == "shift" else totals[part]
                    total += slopes[column][:, :, None] * by_part[:, None, :]
                column += 1
            for part, total in totals.items():
                blocks.append(total[self.compared])
                which.append(grid[unknowns.part(part)].reshape(len(unknowns.keys), -1)[keys, number])
        blocks.append(shift[self.compared])
        which.append(grid[unknowns.part("shift")][keys])
        errors = (self.truth - made)[self.compared]
        return errors, np.concatenate(blocks, 2), np.concatenate(which)


def _named(tracks: np.ndarray) -> dict[str, np.ndarray]:
    still = np.zeros(tracks.shape[1])
    return dict(zip(TRACKS, tracks, strict=True)) | {"jaw_side": still, "mouth_side": still, "left": still}


def _sampling(times: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return (T, N) the matrix that smooths values on the grid and samples them at the frames."""
    smoothed = np.stack([smooth(row, SMOOTHING) for row in np.eye(len(times))])
    return np.stack([np.interp(seconds, times, row) for row in smoothed], 1)


def _design(face: FaceMeasures) -> np.ndarray:
    """Return (channels, 52) what a unit of each coefficient changes: millimetres, or the mean of some coefficients."""
    model, mouth = face.model, np.array([name.startswith(("jaw", "mouth")) for name in ARKIT_NAMES])
    offsets = 1e3 * model.basis[..., : len(mouth)] * mouth  # (P, 3, 52)
    upper, lower = (offsets[model.places(ids), 1].mean(0) for ids in zip(*marks.LIP_PAIRS, strict=True))
    right, left = model.places(marks.MOUTH_CORNERS)
    jaw = offsets[model.index[marks.BRIDGE], 1] - offsets[model.index[marks.CHIN], 1]
    rows = [upper - lower, upper, offsets[left, 0] - offsets[right, 0], jaw]
    for _, names in CHANNELS.values():
        rows.append(np.isin(ARKIT_NAMES, names) / len(names))
    return np.stack(rows)


def bounded_step(normal: np.ndarray, gradient: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Return the step d within bounds that minimises d' normal d / 2 - gradient' d, by coordinates."""
    step = np.clip(np.linalg.solve(normal, gradient), least, most)
    rest, diagonal = gradient - normal @ step, np.diag(normal)
    for _ in range(60):
        largest = 0.0
        for index in range(len(step)):
            new = min(max(step[index] + rest[index] / diagonal[index], least[index]), most[index])
            change = new - step[index]
            if change:
                rest -= normal[:, index] * change
                step[index] = new
                largest = max(largest, abs(change))
        if largest < 1e-4:
            break
    return step


def improved(clips: list[Captured], unknowns: Unknowns, vector: np.ndarray) -> np.ndarray:
    """Return the vector after one Gauss-Newton step."""
    normal, gradient = unknowns.precision.copy(), -unknowns.precision @ (vector - unknowns.start)
    seen: set[int] = set()
    for clip in clips:
        errors, slopes, which = clip.linearised(unknowns, vector)
        weight = np.tile(1 / (ERRORS * np.sqrt(CORRELATED)), (len(errors), 1))
        weight[:, 0] *= np.sqrt(MEDIAN[0] / np.maximum(np.abs(errors[:, 0]), MEDIAN[1]))
        weight[clip.truth[clip.compared, 0] < SHUT, 0] *= np.sqrt(SHUT_WEIGHT)
        flat = slopes * weight[:, :, None]
        weighed = errors * weight
        flat = np.concatenate([flat, SPEED * np.diff(flat, axis=0)]).reshape(-1, len(which)).astype(np.float32)
        weighed = np.concatenate([weighed, SPEED * np.diff(weighed, axis=0)]).ravel().astype(np.float32)
        seen.update(which)
        normal[np.ix_(which, which)] += flat.T @ flat
        gradient[which] += flat.T @ weighed
    values = unknowns.part("values")
    least, most = np.full(len(vector), -np.inf), np.full(len(vector), np.inf)
    least[values], most[values] = 0.0 - vector[values], 1.0 - vector[values]
    for name, longest in LONGEST_STEP.items():
        least[unknowns.part(name)], most[unknowns.part(name)] = -longest, longest
    told = np.flatnonzero(np.isin(np.arange(len(vector)), [*seen, *unknowns.base[list(seen)]]))
    found = vector.copy()
    found[told] += bounded_step(normal[np.ix_(told, told)], gradient[told], least[told], most[told])
    untold = np.setdiff1d(np.arange(len(vector)), told)
    found[untold] = found[unknowns.base[untold]]  # where the precision has its minimum
    return found


def summary(clips: list[Captured], targets: Targets) -> str:
    """Return how well the rules fit the clips: correlations, spreads against the captured ones, and shut frames."""
    rows, shut = [], np.zeros(3)
    for clip in clips:
        made, truth = clip.made(targets)[clip.spoken, :4], clip.truth[clip.spoken, :4]
        rows.append([*(pearson(a, b) for a, b in zip(made.T, truth.T, strict=True)), *made.std(0), *truth.std(0)])
        there, here = made[:, 0] < SHUT, truth[:, 0] < SHUT
        shut += (float((there & here).sum()), float(there.sum()), float(here.sum()))
    mean = np.mean(rows, 0)
    names = list(MILLIMETRES)
    r = ", ".join(f"{name} {value:.3f}" for name, value in zip(names, mean[:4], strict=True))
    spread = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, mean[4:8] / mean[8:], strict=True))
    return f"r: {r}; spread: {spread}; shut: precision {shut[0] / shut[1]:.3f}, recall {shut[0] / shut[2]:.3f}"


def read(folder: Path, split: str, limit: int | None) -> list[Captured]:
    """Read the split's clips with phones, evenly spaced up to a limit."""
    dataset = Dataset(folder)
    face = FaceMeasures(dataset.rig.rig)
    clips = [clip for clip in dataset.clips(split) if dataset.recordings[clip.recording].phones]
    count = min(limit or len(clips), len(clips))
    found = []
    for clip in (clips[index * len(clips) // count] for index in range(count)):
        speech, phones = dataset.speech(clip.recording), tuple(dataset.recordings[clip.recording].phones)
        found.append(Captured(phones, measure_prosody(speech), dataset.coefficients(clip.name), dataset.info.fps, face))
    return found


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--clips", type=int, help="training clips, evenly spaced (default all)")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("-o", "--output", type=Path, default=TABLE)
    args = parser.parse_args()
    unknowns = Unknowns.by_hand()
    vector = unknowns.start
    if args.rounds:
        training, validation = read(args.dataset, "train", args.clips), read(args.dataset, "validation", None)
        print(f"by hand: {summary(validation, unknowns.targets(vector))}", file=sys.stderr, flush=True)
        for number in range(args.rounds):
            vector = improved(training, unknowns, vector)
            print(f"round {number + 1}: {summary(validation, unknowns.targets(vector))}", file=sys.stderr, flush=True)
        counts = np.zeros(len(unknowns.keys))
        for clip in training:
            np.add.at(counts, unknowns.of_key[clip.cores(unknowns.targets(vector)).rows], 1.0)
        vector = unknowns.with_neighbours(vector, counts)
    unknowns.targets(vector).write(args.output)
    print(args.output)


if __name__ == "__main__":
    main()
