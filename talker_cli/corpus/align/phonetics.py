"""Phones: ARPAbet without stress, IPA from espeak-ng mapped onto it, and English text normalised for a dictionary."""

import re
import unicodedata
from functools import cache

from talker_cli.corpus.align.programs import program, run_program
from talker_cli.errors import InputError, MachineError

LABIODENTALS = frozenset({"F", "V"})
VOWELS = frozenset({"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"})
CONSONANTS = frozenset("B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split())
PHONES = VOWELS | CONSONANTS

# The nearest English phones of each IPA symbol, by what the lips do first and by sound second: Spanish /β/ is an
# approximant that does not seal, so it becomes V and not B; taps and trills become D, because English R rounds the lips.
IPA_TO_ARPABET: dict[str, tuple[str, ...]] = {
    # vowels, diphthongs first (the longest symbol wins)
    "aɪə": ("AY", "AH"), "aɪ": ("AY",), "aʊ": ("AW",), "eɪ": ("EY",), "oʊ": ("OW",), "əʊ": ("OW",), "ɔɪ": ("OY",),
    "iə": ("IY", "AH"), "ɪə": ("IH", "AH"), "eə": ("EH", "AH"), "ʊə": ("UH", "AH"), "əl": ("AH", "L"),
    "i": ("IY",), "ɪ": ("IH",), "ᵻ": ("IH",), "ɨ": ("IH",), "y": ("UW",), "ɯ": ("IH",), "u": ("UW",), "ʊ": ("UH",),
    "e": ("EY",), "ɛ": ("EH",), "ø": ("UH",), "ɵ": ("UH",), "œ": ("ER",), "ə": ("AH",), "ɘ": ("AH",), "ɜ": ("ER",),
    "ɚ": ("ER",), "ɝ": ("ER",), "o": ("OW",), "ɔ": ("AO",), "ʌ": ("AH",), "ɐ": ("AH",), "æ": ("AE",), "a": ("AA",),
    "ɑ": ("AA",), "ɒ": ("AO",), "ɑ̃": ("AA",), "ɔ̃": ("AO",), "ɛ̃": ("AE",), "œ̃": ("AH",),
    # consonants
    "p": ("P",), "b": ("B",), "m": ("M",), "ɱ": ("V",), "β": ("V",), "ʋ": ("V",), "f": ("F",), "v": ("V",),
    "θ": ("TH",), "ð": ("DH",), "t": ("T",), "d": ("D",), "n": ("N",), "s": ("S",), "z": ("Z",), "l": ("L",),
    "ɫ": ("L",), "ɭ": ("L",), "ɹ": ("R",), "r": ("D",), "ɾ": ("D",), "ʁ": ("HH",), "ʀ": ("HH",), "ʃ": ("SH",),
    "ʒ": ("ZH",), "ʂ": ("SH",), "ʐ": ("ZH",), "ɕ": ("SH",), "ʑ": ("ZH",), "tʃ": ("CH",), "dʒ": ("JH",), "tɕ": ("CH",),
    "dʑ": ("JH",), "ts": ("T", "S"), "dz": ("D", "Z"), "k": ("K",), "ɡ": ("G",), "g": ("G",), "c": ("K",), "ɟ": ("G",),
    "x": ("HH",), "χ": ("HH",), "ɣ": ("G",), "h": ("HH",), "ɦ": ("HH",), "ç": ("HH",), "ŋ": ("NG",), "ɲ": ("N", "Y"),
    "ʎ": ("L", "Y"), "j": ("Y",), "ʝ": ("Y",), "w": ("W",), "ɥ": ("W",), "ɬ": ("L",),
    "n̩": ("AH", "N"), "l̩": ("AH", "L"), "m̩": ("AH", "M"),
    "r̝": ("ZH",), "r̝̊": ("SH",), "ʈ": ("T",), "ɖ": ("D",), "ε": ("EH",),
}  # fmt: skip

# Symbols that differ by language: espeak-ng writes Russian ы as y; its French schwa is a rounded vowel.
IPA_BY_LANGUAGE: dict[str, dict[str, tuple[str, ...]]] = {
    "ru": {"y": ("IH",)},
    "fr": {"ə": ("UH",), "r": ("HH",)},
}

# Stress, length, palatalisation and the like, which do not change the phone.
IPA_IGNORED = frozenset("ˈˌːˑʲʰʷˠˤ̪̝̥̬̩̯̊̃͡ʔ\"'^-_.~|‿")

_LONGEST = max(len(symbol) for symbol in IPA_TO_ARPABET)

_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_THOUSANDS = ("", "thousand", "million", "billion", "trillion")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

_RANKS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
_TITLES = {"Dr": "doctor", "Mr": "mister", "Mrs": "missus"}

# Abbreviations that are read letter by letter.
SPELLED = frozenset({"PBX", "IVR", "IAX", "MGCP", "ISDN", "NBS", "USB", "IP", "PM", "AM", "UTC", "GMT"})


def phones_of_ipa(ipa: str, language: str) -> list[str]:
    """Return the ARPAbet phones of one IPA word; symbols in no table are left out (see `unknown_ipa`)."""
    return [phone for _, phones in _parse_ipa(ipa, language) for phone in phones]


def unknown_ipa(ipa: str, language: str) -> set[str]:
    """Return the symbols of `ipa` that are in no table."""
    return {symbol for symbol, phones in _parse_ipa(ipa, language) if not phones and symbol not in IPA_IGNORED}


def _parse_ipa(ipa: str, language: str) -> list[tuple[str, tuple[str, ...]]]:
    special = IPA_BY_LANGUAGE.get(language, {})
    ipa = ipa.replace("͡", "").replace("g", "ɡ")
    parsed: list[tuple[str, tuple[str, ...]]] = []
    at = 0
    while at < len(ipa):
        for length in range(min(_LONGEST, len(ipa) - at), 0, -1):
            symbol = ipa[at : at + length]
            phones = special.get(symbol) or IPA_TO_ARPABET.get(symbol)
            if phones or length == 1:
                parsed.append((symbol, phones or ()))
                at += length
                break
    return parsed


@cache
def check_voice(espeak_voice: str) -> None:
    """Refuse a language that espeak-ng has no voice for.

    Raises:
        InputError: espeak-ng has no such voice.
        MachineError: espeak-ng is not installed.
    """
    program("espeak-ng", "espeak-ng")
    try:
        run_program(["espeak-ng", "-q", "-v", espeak_voice, "a"], "espeak-ng", seconds=30.0)
    except MachineError as error:
        raise InputError(f"found the language '{espeak_voice}'; expected one of espeak-ng's; see espeak-ng --voices") from error


def ipa_words(text: str, espeak_voice: str) -> list[str]:
    """Return espeak-ng's IPA of `text`, word by word as espeak-ng joins and splits them (liaison included)."""
    return " ".join(ipa_clauses(text, espeak_voice)).split()


def ipa_clauses(text: str, espeak_voice: str) -> list[str]:
    """Return espeak-ng's IPA of `text`, clause by clause as espeak-ng splits it."""
    output = run_program(["espeak-ng", "-q", "--ipa", "-v", espeak_voice, "--stdin"], "espeak-ng", stdin=text.encode())
    spoken = re.sub(r"\([a-z-]+\)", "", output.decode(errors="replace"))  # "(en)" marks a word of another language
    return [line.strip() for line in spoken.splitlines() if line.strip()]


def number_words(digits: str) -> list[str]:
    """Return a whole number in English words: 28 -> twenty eight; of four digits and more, digit by digit."""
    if len(digits) >= 4 or (len(digits) > 1 and digits[0] == "0"):
        return [_UNITS[int(digit)] for digit in digits]
    value = int(digits)
    if value < 20:
        return [_UNITS[value]]
    if value < 100:
        tens, unit = divmod(value, 10)
        return [_TENS[tens - 2], *([_UNITS[unit]] if unit else [])]
    hundreds, rest = divmod(value, 100)
    return [_UNITS[hundreds], "hundred", *(number_words(str(rest)) if rest else [])]


def _amount(digits: str) -> str:
    """Return the words of a number with commas: 12,500 -> twelve thousand five hundred."""
    groups = digits.split(",")
    if len(groups) > len(_THOUSANDS):
        return " ".join(number_words("".join(groups)))
    names = _THOUSANDS[: len(groups)]
    words = [f"{' '.join(number_words(str(int(group))))} {name}" for group, name in zip(groups, names[::-1], strict=False)]
    return " ".join(each for each, group in zip(words, groups, strict=False) if int(group)) or "zero"


def _ordinal(digits: str) -> str:
    """Return the word of an ordinal: 1 -> first, 20 -> twentieth."""
    *words, last = number_words(digits)
    last = _RANKS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return " ".join([*words, last])


def _written_out(text: str) -> str:
    """Return an English text without accents, with signs, titles and all but plain numbers as words."""
    text = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    text = re.sub(r"\b(Dr|Mr|Mrs)\.(?=\s)", lambda match: _TITLES[match[1]], text)
    text = (
        re.sub(r"\$\s?((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)", r"\1 dollars", text)
        .replace("%", " percent")
        .replace("&", " and ")
    )
    text = re.sub(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!,?\d)", lambda match: _amount(match[0]), text)
    text = re.sub(r"(?<![\d.])(\d+)\.(\d+)(?!\.?\d)", lambda match: f"{match[1]} point {' '.join(match[2])}", text)
    return re.sub(r"\b(\d+)(?:st|nd|rd|th)\b", lambda match: _ordinal(match[1]), text)


def english_words(text: str) -> list[str]:
    """Return the lower-case words of an English text: numbers as words, abbreviations in capitals spelled letter by letter."""
    words: list[str] = []
    text = _written_out(text.replace("’", "'"))
    text = text.replace(".org", " dot org").replace("www.", "w w w ")
    for token in re.findall(r"[A-Za-z][A-Za-z']*|\d+", re.sub(r"\b([A-Za-z])\.([A-Za-z])\b", r"\1 \2", text)):
        if token.isdigit():
            words += number_words(token)
        elif token in SPELLED:
            words += [f"{letter}." for letter in token.lower()]
        elif len(token) == 1 and token.lower() not in ("a", "i"):
            words.append(f"{token.lower()}.")
        else:
            words.append(token.lower().strip("'"))
    return [word for word in words if word]


def normalised_text(text: str) -> str:
    """Return the letters and digits of a text in lower case: equal texts must fall into the same split."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", text).lower()))
