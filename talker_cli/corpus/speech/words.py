"""Strings of random words for the synthetic voices: sounds in every order, where sentences repeat a few thousand words.

A network trained on an hour and a half of prompts overfits to their words, and misses the same sounds in other words.
"""

import random
import re
from collections.abc import Iterable, Sequence
from functools import cache

from talker_cli.corpus.align.pronunciations import dictionary_path
from talker_cli.errors import MachineError

WORDS = (4, 9)  # fewest and most words in a string


@cache
def dictionary() -> tuple[str, ...]:
    """Return the plain words, 3 to 11 letters, of pocketsphinx's dictionary, in its order.

    Raises:
        MachineError: pocketsphinx is not installed.
    """
    path = dictionary_path()
    if path is None:
        raise MachineError("pocketsphinx is not installed; the corpus needs it; run: pip install 'talker-cli[corpus]'")
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line.split(" ", 1)[0] for line in lines if re.match(r"[a-z]{3,11} ", line))


def words_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct words of some texts, sorted: the vocabulary of strings in another language."""
    return tuple(sorted({word for text in texts for word in re.sub(r"[.,;:?!।]", " ", text.lower()).split()}))


def word_strings(count: int, key: str, words: Sequence[str] = ()) -> list[str]:
    """Return `count` strings of random words, each a sentence by its comma and full stop; a function of the arguments alone.

    Args:
        count: Number of strings.
        key: Seed.
        words: Words to choose from; empty: those of the English dictionary.
    """
    draw = random.Random(key)  # a text seeds by its SHA-512, the same in every process
    strings = []
    for _ in range(count):
        chosen = draw.choices(words or dictionary(), k=draw.randint(*WORDS))
        if len(chosen) > 5:
            chosen[len(chosen) // 2 - 1] += ","
        strings.append(" ".join(chosen).capitalize() + ".")
    return strings
