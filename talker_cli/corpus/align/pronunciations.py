"""A text -> its words, each with the ways in which it may be pronounced, as ARPAbet phones.

English words come from pocketsphinx's dictionary where that package is installed; all others, and all other languages, from
espeak-ng.
"""

import importlib.util
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from talker_cli.corpus.align.phonetics import check_voice, english_words, ipa_clauses, ipa_words, phones_of_ipa
from talker_cli.errors import InputError

DICTIONARY = Path("model/en-us/cmudict-en-us.dict")  # inside the package pocketsphinx: 134,000 English words and names
JOINERS = "'’-\u200c\u200d"  # inside a word
AT_ONCE = 400  # words that espeak-ng gets at a time


@dataclass(frozen=True)
class Word:
    """A word of a text.

    Args:
        text: As it is written.
        pronunciations: At least one, each of at least one phone.
    """

    text: str
    pronunciations: tuple[tuple[str, ...], ...]


def dictionary_path() -> Path | None:
    """Return the file of pocketsphinx's dictionary, None where the package is not installed."""
    package = importlib.util.find_spec("pocketsphinx")
    return None if package is None or package.origin is None else Path(package.origin).parent / DICTIONARY


@cache
def _english_dictionary() -> dict[str, tuple[tuple[str, ...], ...]]:
    path = dictionary_path()
    found: dict[str, tuple[tuple[str, ...], ...]] = {}
    for line in [] if path is None else path.read_text(encoding="utf-8").splitlines():
        name, *phones = line.split()
        word = re.sub(r"\(\d+\)$", "", name)
        found[word] = (*found.get(word, ()), tuple(phones))
    return found


def words_of_text(text: str, language: str) -> list[Word]:
    """Return the words of a text that are spoken.

    Args:
        text: What is said.
        language: A voice of espeak-ng, such as en-us, de or pt-br.

    Raises:
        InputError: no word is in the text, or the language is unknown.
        MachineError: espeak-ng is needed and not installed.
    """
    if language.split("-")[0] == "en":
        words = [Word(name, ways) for name, ways in _english(english_words(text), language) if ways]
    else:
        words = [Word(name, ways) for name, ways in _foreign(text, language) if ways]
    if not words:
        raise InputError("found no words; expected what is said in the recording", field="text")
    return words


def _english(spoken: list[str], language: str) -> Iterator[tuple[str, tuple[tuple[str, ...], ...]]]:
    """Yield English words with the dictionary's pronunciations, espeak-ng's for those that it lacks."""
    known = _english_dictionary()
    missing = list(dict.fromkeys(word for word in spoken if word not in known))
    guessed = dict(zip(missing, _by_espeak(missing, language), strict=True))
    for word in spoken:
        yield word, known.get(word) or tuple(filter(None, [guessed[word]]))


def _foreign(text: str, language: str) -> Iterator[tuple[str, tuple[tuple[str, ...], ...]]]:
    """Yield the words of another language as espeak-ng says them, each alone and in its clause: the French join some."""
    clauses = [names for clause in re.split(r"[.,;:!?…\n]+", text) if (names := written_words(clause))]
    alone = list(dict.fromkeys(word for names in clauses for word in names))
    said = dict(zip(alone, _by_espeak(alone, language), strict=True))
    for names in clauses:
        joined = ipa_words(" ".join(names), language)
        together = [tuple(phones_of_ipa(ipa, language.split("-")[0])) for ipa in joined]
        if len(together) != len(names):  # espeak-ng makes one word of two, or two of one
            together = [()] * len(names)
        for word, way in zip(names, together, strict=True):
            yield word, tuple(dict.fromkeys(filter(None, [way, said[word]])))


def written_words(text: str) -> list[str]:
    """Return the words of a text in any script: letters, digits and the marks that letters bear, joined by ' and -."""
    inside = "".join(sign if unicodedata.category(sign)[0] in "LMN" or sign in JOINERS else " " for sign in text)
    return [word for each in inside.split() if (word := each.strip(JOINERS))]


def _by_espeak(words: list[str], language: str) -> Iterator[tuple[str, ...]]:
    """Yield the phones that espeak-ng gives each word; none where it says nothing."""
    if words:
        check_voice(language)
    for first in range(0, len(words), AT_ONCE):
        part = words[first : first + AT_ONCE]
        clauses = ipa_clauses("\n\n".join(word.strip(".") for word in part), language)
        if len(clauses) != len(part):  # a word that is read as several clauses, or as none: one call each
            clauses = [" ".join(ipa_clauses(word, language)) for word in part]
        yield from (tuple(phones_of_ipa(clause.replace(" ", ""), language.split("-")[0])) for clause in clauses)
