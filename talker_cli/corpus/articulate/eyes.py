"""The eyes as a process of events: whole blinks and saccades, drawn where the speech pauses, sets in, or leaves time.

The rules of the corpus and `animate` run the same process. It goes through time in ticks. What happens at a tick follows from
the past, from whether there is speech by then, and from random numbers that are a function of the seed and the tick: parts of
any length give what the whole gives, and a frame needs no speech that comes after it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from talker_cli.corpus.articulate.contact import ease
from talker_cli.corpus.articulate.styles import Style
from talker_cli.metrics import SILENCE, Phones

RATE = 50  # ticks a second
BLOCK = 512  # ticks whose random numbers are drawn at once

# Blinks. A need grows from one to the next; where it passes a threshold, drawn for each, a blink soon follows.
CLOSING, HELD, OPENING = 0.075, 0.016, 0.165  # seconds
REFRACTORY = 0.45  # seconds, shortest time between two blinks
SPREAD = 0.55  # std of the threshold's logarithm
PROMPT = 6.0  # blinks a second, once the need is there
DEPTH_SPREAD = 0.02  # std of the depth from blink to blink
BORDER = (0.12, 0.60)  # seconds of silence that make the border of a phrase
PHRASE = 0.4  # seconds of speech that make a phrase
AT_BORDER, AT_SHIFT, AT_LONG_GAZE, IN_SPEECH, IN_SILENCE = 0.68, 0.75, 0.85, 1.12, 0.98  # factors of the threshold
LONG_GAZE = 2.0  # seconds on one point
LARGE = 6.0  # degrees: blinks go with saccades of this size
TYPICAL = 1.02  # mean factor in fluent speech, which gives the style's rate

# Gaze: most of it rests on the listener, in small saccades; the rest looks aside.
SACCADE = (0.025, 0.0024)  # seconds, and seconds a degree: the main sequence
FIXATION = (0.75, 0.55, 0.18)  # seconds: median, std of the logarithm, shortest
CONTACT = (1.1, 0.8)  # degrees: std of the points on the listener's face, sideways and up
ASIDE = (4.0, 4.5, 15.0)  # degrees: least, mean beyond it, largest
LOOK = {"speech": 0.14, "onset": 0.55, "hesitation": 0.9, "silence": 0.05}  # looks aside, 1/s
RETURN = {"speech": 1.6, "onset": 0.7, "hesitation": 0.6, "silence": 1.2}  # returns, 1/s
LEAST_ASIDE = 0.35  # seconds
ONSET = 0.5  # seconds that speech counts as setting in, after a silence of PAUSE
PAUSE = 0.5
RANGE = 18.0  # degrees that the eyes turn in the head

# Degrees of one unit of the ARKit shapes on the built-in head.
UP, DOWN, SIDE = 22.0, 26.0, 28.0
LID_DOWN, LID_UP = 0.35, 0.12  # eyeBlink and eyeWide of one unit of gaze down and up
BELL = 0.16  # eyeLookDown of a whole blink: the eye turns down a little under the lid

NAMES = tuple(
    f"{name}{side}"
    for name in ("eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp")
    for side in ("Left", "Right")
)
WIDE = ("eyeWideLeft", "eyeWideRight")  # which the lids change, and others make


@dataclass(frozen=True)
class EyeStyle:
    """How somebody's eyes move; fields as in `Style`.

    Args:
        blinks: Blinks a minute.
        depth: Peak of a blink, 1 is closed.
        lid: Place of the open lid, eyeBlink.
        gaze: Size of the looks aside, 1 is the average.
    """

    blinks: float = Style.blinks
    depth: float = Style.blink_depth
    lid: float = Style.lid
    gaze: float = Style.gaze

    @classmethod
    def of(cls, style: Style) -> "EyeStyle":
        """Return the part of a style that concerns the eyes."""
        return cls(style.blinks, style.blink_depth, style.lid, style.gaze)

    def bounded(self) -> "EyeStyle":
        """Return the style within what eyes do."""
        return EyeStyle(
            min(max(self.blinks, 3.0), 50.0),
            min(max(self.depth, 0.6), 1.0),
            min(max(self.lid, -0.1), 0.4),
            min(max(self.gaze, 0.0), 2.5),
        )


@dataclass(frozen=True)
class Mood:
    """What an emotion changes of the eyes, at each of N instants; a number holds for all.

    Args:
        blinks: Factor of the blinks' rate.
        lid: Offset of the open lid, eyeBlink.
        gaze: Factor of the looks aside.
        down: Offset of the gaze, degrees down.
    """

    blinks: np.ndarray | float = 1.0
    lid: np.ndarray | float = 0.0
    gaze: np.ndarray | float = 1.0
    down: np.ndarray | float = 0.0


MoodAt = Callable[[np.ndarray], Mood]  # of instants (N,), seconds
CALM = Mood()


@dataclass(frozen=True)
class Blink:
    """A blink from `start` on, stretched by `pace`; the right lid is `late` seconds late, the left one deeper by `uneven`."""

    start: float
    pace: float
    depth: float
    late: float
    uneven: float

    @property
    def end(self) -> float:
        """When the lids are open again, seconds."""
        return self.start + (CLOSING + HELD + OPENING) * self.pace + self.late


@dataclass(frozen=True)
class Saccade:
    """A saccade to `goal` (left, up), degrees, in `duration` seconds."""

    start: float
    duration: float
    goal: tuple[float, float]
    aside: bool = False


class Eyes:
    """The events of one person's eyes, tick by tick.

    Args:
        style: How they move.
        seed: Seed of all randomness.
        mood: Changes by emotion, as a function of time.
    """

    def __init__(self, style: EyeStyle, seed: int, mood: MoodAt = lambda times: CALM) -> None:
        self.style, self._seed, self._mood = style.bounded(), seed % 2**63, mood
        self.ticks = 0
        self.blinks: list[Blink] = []
        self.saccades: list[Saccade] = [Saccade(-1.0, SACCADE[0], (0.0, 0.0))]
        self._need, self._last, self._threshold = 0.0, -1.0, 0.0
        self._silence, self._pause, self._talk = 10.0, 10.0, 0.0
        self._until, self._aside_since = 0.0, -1.0

    def advance(self, speaking: np.ndarray) -> None:
        """Go through the next N ticks; `speaking` (N,) bool says at which there is speech."""
        done, total = 0, len(speaking)
        while done < total:
            block, inside = divmod(self.ticks, BLOCK)
            count = min(BLOCK - inside, total - done)
            rng = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 0, 0, block]))
            chances = rng.random((BLOCK, 4))[inside : inside + count]
            normals = rng.normal(size=(BLOCK, 6))[inside : inside + count]
            mood = self._mood((self.ticks + np.arange(count)) / RATE)
            rate = np.broadcast_to(mood.blinks, count).tolist()
            size = np.broadcast_to(mood.gaze, count).tolist()
            for index, voiced in enumerate(speaking[done : done + count].tolist()):
                self._tick(voiced, chances[index], normals[index], rate[index], size[index])
            done += count

    def _tick(self, voiced: bool, chance: np.ndarray, normal: np.ndarray, rate: float, size: float) -> None:
        now = self.ticks / RATE
        if not self.ticks:  # the first blink may come at any time
            self._need, self._threshold = float(chance[3]), 1.0
        if voiced:
            if self._silence >= BORDER[0]:
                self._talk, self._pause = 0.0, self._silence
            self._talk, self._silence = self._talk + 1 / RATE, 0.0
        else:
            self._silence += 1 / RATE
        border = BORDER[0] <= self._silence <= BORDER[1] and self._talk >= PHRASE
        if self._silence > BORDER[1]:
            where = "silence"
        elif border:
            where = "hesitation"
        else:
            where = "onset" if self._pause >= PAUSE and self._talk < ONSET else "speech"
        self._look(now, where, size * self.style.gaze, chance, normal)
        self._blink(now, where, rate, chance, normal)
        self.ticks += 1

    def _look(self, now: float, where: str, size: float, chance: np.ndarray, normal: np.ndarray) -> None:
        """Begin a saccade, if the eyes look aside, look back, or go on to another point."""
        last = self.saccades[-1]
        if now - last.start < FIXATION[2]:
            return
        if last.aside:
            over = now - self._aside_since > LEAST_ASIDE and chance[0] < RETURN[where] / RATE
            if over:
                self._saccade(now, (CONTACT[0] * normal[0], CONTACT[1] * normal[1]), False, chance, normal)
            elif now > self._until:  # another point not far away
                step = 1.5 * size
                self._saccade(now, (last.goal[0] + step * normal[0], last.goal[1] + step * normal[1]), True, chance, normal)
        elif size > 0 and chance[0] < LOOK[where] * size**0.5 / RATE:
            self._aside_since = now
            self._saccade(now, _aside(size, where, chance, normal), True, chance, normal)
        elif now > self._until:
            self._saccade(now, (CONTACT[0] * normal[0], CONTACT[1] * normal[1]), False, chance, normal)

    def _saccade(self, now: float, goal: tuple[float, float], aside: bool, chance: np.ndarray, normal: np.ndarray) -> None:
        here = self.saccades[-1].goal
        goal = (float(np.clip(goal[0], -RANGE, RANGE)), float(np.clip(goal[1], -RANGE, RANGE)))
        length = float(np.hypot(goal[0] - here[0], goal[1] - here[1]))
        start = now + (1.0 + float(chance[2])) / RATE
        self.saccades.append(Saccade(start, SACCADE[0] + SACCADE[1] * length, goal, aside))
        self._until = now + max(FIXATION[2], FIXATION[0] * float(np.exp(FIXATION[1] * normal[2])))

    def _blink(self, now: float, where: str, rate: float, chance: np.ndarray, normal: np.ndarray) -> None:
        """Begin a blink, if one is due."""
        factor = {"hesitation": AT_BORDER, "silence": IN_SILENCE}.get(where, IN_SPEECH)
        gaze = self.saccades[-1]
        if now - gaze.start > LONG_GAZE:
            factor *= AT_LONG_GAZE
        if now - gaze.start < 1.5 / RATE and gaze.duration > SACCADE[0] + SACCADE[1] * LARGE:
            factor *= AT_SHIFT
        waiting = max(60.0 / self.style.blinks - 1.0 / PROMPT, REFRACTORY)
        self._need += rate / (TYPICAL * waiting * RATE)
        if now - self._last < REFRACTORY or self._need < self._threshold * factor or chance[1] >= PROMPT / RATE:
            return
        start = now + (1.0 + float(chance[3])) / RATE  # decided a tick ahead: no frame is made before
        depth = float(np.clip(self.style.depth + DEPTH_SPREAD * normal[3], 0.0, 1.0))
        pace = float(np.exp(np.clip(0.14 * normal[4], -0.3, 0.3)))
        self.blinks.append(Blink(start, pace, depth, 0.004 * abs(float(normal[5])), 0.01 * float(normal[0])))
        self._last, self._need = now, 0.0
        self._threshold = float(np.exp(SPREAD * normal[1] - SPREAD**2 / 2))

    def forget(self, before: float) -> None:
        """Drop the events that no instant from `before` on, seconds, needs."""
        self.blinks = [blink for blink in self.blinks if blink.end > before]
        late = [index for index, saccade in enumerate(self.saccades) if saccade.start <= before]
        if len(late) > 1:
            self.saccades = self.saccades[late[-2] :]

    def closure(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far blinks close the left and the right lid (N,) at rising instants that the ticks have reached."""
        lids = np.zeros((2, len(times)))
        for blink in self.blinks:
            first, last = np.searchsorted(times, (blink.start, blink.end))
            tau = times[first:last] - blink.start
            for lid, late, share in zip(lids, (0.0, blink.late), (1.0 + blink.uneven, 1.0 - blink.uneven), strict=True):
                shape = min(blink.depth * share, 1.0) * blink_shape((tau - late) / blink.pace)
                lid[first:last] = np.maximum(lid[first:last], shape)
        return lids[0], lids[1]

    def gaze(self, times: np.ndarray) -> np.ndarray:
        """Return where the eyes look (N, 2), degrees to the subject's left and up, at rising instants (N,)."""
        start = np.array([saccade.start for saccade in self.saccades])
        goals = np.array([saccade.goal for saccade in self.saccades])
        duration = np.array([saccade.duration for saccade in self.saccades])
        index = np.maximum(np.searchsorted(start, times, "right") - 1, 0)
        before = goals[np.maximum(index - 1, 0)]
        share = ease((times - start[index]) / duration[index])[:, None]
        return np.asarray(before + (goals[index] - before) * share)

    def curves(self, times: np.ndarray, wide: np.ndarray, head: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return the coefficients (N,) of NAMES and WIDE, by name.

        Args:
            times: (N,) rising instants that the ticks have reached, seconds.
            wide: (N, 2) eyeWide of the left and the right eye without blinks and gaze.
            head: (N, 3) pitch, yaw and roll of the head, radians, as `HEAD_NAMES`: the eyes turn against it.
        """
        mood = self._mood(times)
        left, right = self.closure(times)
        look = self.gaze(times)
        aside, up = look[:, 0], look[:, 1] - mood.down
        if head is not None:  # vestibulo-ocular: the gaze stays where it is in space
            aside, up = aside - np.degrees(head[:, 1]), up + np.degrees(head[:, 0])
        aside, up = np.clip(aside, -RANGE, RANGE) / SIDE, np.clip(up, -RANGE, RANGE)
        high, low = np.maximum(up, 0.0) / UP, np.maximum(-up, 0.0) / DOWN
        closed = np.maximum(left, right)
        lid = np.maximum(self.style.lid + mood.lid, 0.0) + LID_DOWN * low
        curves: dict[str, np.ndarray] = {}
        for index, (side, blink, outward) in enumerate((("Left", left, aside), ("Right", right, -aside))):
            curves[WIDE[index]] = (wide[:, index] + LID_UP * high) * (1.0 - blink)
            curves[f"eyeBlink{side}"] = blink + lid * (1.0 - blink)
            curves[f"eyeLookDown{side}"] = low + BELL * closed
            curves[f"eyeLookUp{side}"] = high
            curves[f"eyeLookOut{side}"] = np.maximum(outward, 0.0)
            curves[f"eyeLookIn{side}"] = np.maximum(-outward, 0.0)
        return curves


def _aside(size: float, where: str, chance: np.ndarray, normal: np.ndarray) -> tuple[float, float]:
    """Return a point beside the listener, degrees left and up: sideways and up in thought, else sideways and down."""
    length = min(ASIDE[0] - ASIDE[1] * float(np.log(max(1.0 - chance[2], 1e-6))), ASIDE[2]) * size
    upwards = float(chance[1]) < (0.55 if where in ("onset", "hesitation") else 0.3)
    slope = float(np.clip((0.55 if upwards else -0.45) + 0.3 * normal[1], -0.9, 0.9))
    side = 1.0 if normal[0] > 0 else -1.0
    return side * length * float(np.sqrt(1.0 - slope**2)), length * slope


def blink_shape(tau: np.ndarray) -> np.ndarray:
    """Return 0…1: the lid closes from tau = 0 on, seconds, is held, and opens more slowly, slowest at the end."""
    opening = np.clip((tau - CLOSING - HELD) / OPENING, 0.0, 1.0)
    return np.where(tau < CLOSING, ease(tau / CLOSING), 1.0 - ease(opening**0.8))


def speaking_ticks(phones: Phones, count: int) -> np.ndarray:
    """Return (N,) bool, at which of the first `count` ticks there is speech."""
    speaking = np.zeros(count, bool)
    for phone, start, end in phones:
        if phone != SILENCE:
            speaking[int(np.ceil(start * RATE)) : int(np.ceil(end * RATE))] = True
    return speaking
