"""Words placed in a recording by Viterbi over phone posteriors (N, P): the times of every word and phone.

The states are the phones of every pronunciation of every word in their order, with an optional silence between two words. A
posterior divided by its phone's prior stands for the likelihood.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from talker_cli.corpus.align.pronunciations import Word
from talker_cli.errors import InputError
from talker_cli.formats.alignment import AlignedWord, TextAlignment
from talker_cli.metrics import SILENCE

FLOOR = 1e-4  # of a posterior: no single output rules a path out
LEAST = (
    2  # outputs that a phone lasts, where the recording has room for all: 40 ms, so that every phone has a frame of the motion
)
LARGEST = 600_000_000  # outputs times states: a byte each; ten minutes of speech
SPEECH = 0.3  # seconds without silence, between two words, that are speech which the text lacks
UNLIKELY = -2.5  # mean log ratio of a word's phones to the best phones there; below it the word is not what is said


@dataclass(frozen=True)
class _States:
    """The graph: phone, word (-1: silence), place in the text and predecessors (S, D), padded by -1, of every state."""

    phone: np.ndarray
    word: np.ndarray
    place: np.ndarray
    before: np.ndarray
    first: np.ndarray
    last: np.ndarray


def _graph(words: Sequence[Word], names: Sequence[str], least: int) -> _States:
    """Return the states of words; a phone has `least` of them, of which the last may last."""
    index = {name: place for place, name in enumerate(names)}
    rows: list[tuple[int, int, int, list[int]]] = []  # phone, word, place, predecessors

    def add(name: str, word: int, before: list[int], states: int) -> int:
        place = len(rows)
        for _ in range(states - 1):
            rows.append((index[name], word, place, before))
            before = [len(rows) - 1]
        rows.append((index[name], word, place, [len(rows), *before]))
        return len(rows) - 1

    ends = [add(SILENCE, -1, [], 1)]  # last states of the word before, and the silence after it
    first = [0]  # states where a path may begin
    for number, each in enumerate(words):
        finals = []
        for pronunciation in each.pronunciations:
            if number == 0:
                first.append(len(rows))
            before = ends
            for name in pronunciation:
                before = [add(name, number, before, least)]
            finals += before
        ends = [*finals, add(SILENCE, -1, finals, 1)]
    width = max(len(row[3]) for row in rows)
    before_rows = np.array([row[3] + [-1] * (width - len(row[3])) for row in rows])
    phone, word, place = (np.array([row[column] for row in rows]) for column in range(3))
    return _States(phone, word, place, before_rows, np.array(first), np.array(ends))


def place_words(
    posteriors: np.ndarray, priors: np.ndarray, names: Sequence[str], words: Sequence[Word], rate: float
) -> TextAlignment:
    """Return where the words of a text lie.

    Args:
        posteriors: (N, P) of the recording's outputs.
        priors: (P,) share of each phone.
        names: The P phones.
        words: What is said, in order.
        rate: Outputs a second; output j is about the instant j / rate.

    Raises:
        InputError: the text has more phones than the recording has outputs, or both are too long.
    """
    count = len(posteriors)
    shortest = sum(min(map(len, word.pronunciations)) for word in words)
    if shortest > count:
        raise InputError(
            f"found {len(words)} words for {count / rate:.1f} s of sound, with more phones than it can hold; expected what is "
            "said in the recording",
            field="text",
        )
    states = _graph(words, names, LEAST if LEAST * shortest <= count else 1)
    if count * len(states.phone) > LARGEST:
        raise InputError(
            f"found {len(words)} words for {count / rate:.0f} s of sound; expected ten minutes or less; cut the recording",
            field="text",
        )
    likelihood = np.log(np.maximum(posteriors, FLOOR)) - np.log(np.maximum(priors, FLOOR))
    path = _best_path(likelihood.astype(np.float32), states)
    log_posterior = np.log(np.maximum(posteriors, FLOOR))
    # 0 where the phone is the likeliest.
    short = log_posterior[np.arange(count), states.phone[path]] - log_posterior.max(1)  # (N,)
    edges = np.flatnonzero(np.diff(states.place[path])) + 1
    starts, ends = np.r_[0, edges], np.r_[edges, count]
    # A phone lasts from the middle between its first output and the one before to the middle after its last.
    instant = np.r_[0.0, (edges - 0.5) / rate, count / rate]
    phones: list[tuple[str, float, float]] = []
    spans: dict[int, list[int]] = {}
    unwritten: list[tuple[float, float]] = []
    for number, start in enumerate(starts):
        state = path[start]
        name = names[states.phone[state]]
        if phones and name == SILENCE == phones[-1][0]:
            phones[-1] = (SILENCE, phones[-1][1], instant[number + 1])
        else:
            phones.append((name, instant[number], instant[number + 1]))
        if states.word[state] < 0 and float((short[start : ends[number]] < np.log(0.1)).sum()) > SPEECH * rate:
            unwritten.append((float(instant[number]), float(instant[number + 1])))
        if states.word[state] >= 0:
            spans.setdefault(int(states.word[state]), [number, number])[1] = number
    placed = tuple(
        AlignedWord(words[index].text, float(instant[a]), float(instant[b + 1]), float(short[starts[a] : ends[b]].mean()))
        for index, (a, b) in sorted(spans.items())
    )
    return TextAlignment(
        placed, tuple((name, round(float(a), 4), round(float(b), 4)) for name, a, b in phones), tuple(unwritten)
    )


def unlikely_words(alignment: TextAlignment) -> list[AlignedWord]:
    """Return the words that the sound does not fit."""
    return [word for word in alignment.words if word.score < UNLIKELY]


def _best_path(likelihood: np.ndarray, states: _States) -> np.ndarray:
    """Return the likeliest state of each output, (N,), from log likelihoods (N, P)."""
    count, total = len(likelihood), len(states.phone)
    absent = states.before < 0
    score = np.full(total, -np.inf, np.float32)
    score[states.first] = likelihood[0, states.phone[states.first]]
    chosen = np.zeros((count, total), np.uint8)
    rows = np.arange(total)
    for at in range(1, count):
        options = np.where(absent, -np.inf, score[states.before])  # (S, 1 + D)
        chosen[at] = options.argmax(1)
        score = options[rows, chosen[at]] + likelihood[at, states.phone]
    path = np.empty(count, np.int64)
    path[-1] = states.last[score[states.last].argmax()]
    for at in range(count - 1, 0, -1):
        path[at - 1] = states.before[path[at], chosen[at, path[at]]]
    return path
