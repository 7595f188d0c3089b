"""Speech and phone times from festival: its voices' phone sets, each mapped to ARPAbet by a table.

What it gives: twelve of the card's 43 synthetic voices, in eight languages where the other 31 speak English, with exact phone
times. No ablation measures what they add to a model.
"""

import tempfile
import wave
from itertools import pairwise
from pathlib import Path

import numpy as np

from talker_cli.corpus.align.programs import run_program
from talker_cli.errors import MachineError
from talker_cli.formats.schema import reading
from talker_cli.metrics import SILENCE

Table = dict[str, tuple[str, ...]]

PACKAGES = (
    "festival festival-hi festival-mr festival-te festvox-kdlpc16k festvox-ru festvox-ca-ona-hts festvox-czech-dita "
    "festvox-czech-krb festvox-czech-machac festvox-czech-ph festvox-suopuhe-lj festvox-suopuhe-mv festvox-hi-nsk "
    "festvox-mr-nsk festvox-te-nsk"
)

# The nearest English phones of each symbol, by what the lips do first and by sound second; () is a pause. Taps and trills
# become D, because English R rounds the lips; a glottal stop becomes HH, which leaves the mouth to its neighbours.
_PLAIN: Table = {name: (name.upper(),) for name in ("p", "b", "m", "f", "v", "t", "d", "n", "k", "g", "l", "s", "z")}
_COMMON: Table = _PLAIN | {"r": ("D",), "j": ("Y",), "w": ("W",), "pau": (), "#": (), "##": (), "h": ("HH",)}
_FINNISH: Table = _COMMON | {
    "a": ("AA",), "e": ("EH",), "i": ("IY",), "o": ("AO",), "u": ("UW",), "y": ("UW",), "@": ("AE",), "7": ("UH",),
    "&": ("EH",), "T": ("TH",), "D": ("DH",), "S": ("SH",), "Z": ("ZH",), "N": ("NG",), "L": ("L", "Y"),
}  # fmt: skip
_INDIC: Table = _COMMON | {
    "a": ("AH",), "aa": ("AA",), "ih": ("IH",), "iy": ("IY",), "uh": ("UH",), "uw": ("UW",), "eh": ("EH",), "ee": ("EY",),
    "ay": ("AY",), "oh": ("AO",), "oo": ("OW",), "aw": ("AW",), "ch": ("CH",), "T": ("T",), "D": ("D",), "N": ("N",),
    "th": ("T",), "dh": ("D",), "td": ("T",), "tth": ("T",), "ddh": ("D",), "y": ("Y",), "L": ("L",), "R": ("D",),
    "sh": ("SH",), "j": ("JH",), "ksh": ("K", "SH"), "sri": ("SH", "D", "IY"), "x": ("K",), "kh": ("K",), "gh": ("G",),
    "bh": ("B",), "zh": ("ZH",), "@": ("AH",),
}  # fmt: skip
_HARD_RUSSIAN: Table = _COMMON | {
    "ii": ("IY",), "yy": ("IH",), "uu": ("UW",), "ee": ("EH",), "oo": ("AO",), "aa": ("AA",), "a": ("AH",), "e": ("EH",),
    "i": ("IH",), "y": ("IH",), "u": ("UH",), "ae": ("AH",), "ay": ("AH",), "ur": ("UH",), "c": ("T", "S"), "ch": ("CH",),
    "sh": ("SH",), "sch": ("SH",), "zh": ("ZH",), "h": ("HH",),
}  # fmt: skip

# Language -> symbol of its phone set -> phones.
PHONE_SETS: dict[str, Table] = {
    "en": {
        name: (name.upper(),)
        for name in (
            "aa ae ah ao aw ay eh er ey ih iy ow oy uh uw b ch d dh f g hh jh k l m n ng p r s sh t th v w y z zh"
        ).split()
    } | {"ax": ("AH",), "axr": ("ER",), "el": ("AH", "L"), "em": ("AH", "M"), "en": ("AH", "N"), "dx": ("D",), "hv": ("HH",),
         "nx": ("N",), "pau": (), "h#": (), "brth": ()},
    "cs": _COMMON | {
        "_": ("HH",), "a": ("AA",), "a:": ("AA",), "e": ("EH",), "e:": ("EH",), "i": ("IH",), "i:": ("IY",), "o": ("AO",),
        "o:": ("AO",), "u": ("UH",), "u:": ("UW",), "c": ("T", "S"), "c~": ("CH",), "ch": ("HH",), "d~": ("D", "Y"),
        "dz": ("D", "Z"), "dz~": ("JH",), "n*": ("NG",), "n~": ("N", "Y"), "r~": ("ZH",), "r~*": ("SH",), "s~": ("SH",),
        "t~": ("T", "Y"), "z~": ("ZH",),
    },
    "fi": _FINNISH | {f"{name}:": phones for name, phones in _FINNISH.items()},
    "ca": _COMMON | {
        "ax": ("AH",), "a": ("AA",), "e": ("EH",), "E": ("EH",), "i": ("IY",), "o": ("OW",), "O": ("AO",), "u": ("UW",),
        "a1": ("AA",), "e1": ("EH",), "E1": ("EH",), "i1": ("IY",), "o1": ("OW",), "O1": ("AO",), "u1": ("UW",),
        "rr": ("D",), "S": ("SH",), "Z": ("ZH",), "J": ("N", "Y"), "L": ("L", "Y"), "_": (),
    },
    "hi": _INDIC, "mr": _INDIC, "te": _INDIC,
    "ru": _HARD_RUSSIAN | {name * 2: phones for name, phones in _PLAIN.items()} | {"rr": ("D",), "hh": ("HH",)},
}  # fmt: skip

ENCODINGS = {"cs": "iso-8859-2", "fi": "iso-8859-1", "ca": "iso-8859-15"}  # of texts; all others UTF-8


def speak_with_festival(
    voice: str, language: str, stretch: float, text: str
) -> tuple[np.ndarray, int, list[tuple[str, float, float]]]:
    """Synthesise a text; return int16 samples, their rate in hertz, and (symbol or "SIL", start, end), seconds.

    Args:
        voice: Voice of festival, such as "czech_dita".
        language: ISO 639-1 code, which decides phone set and encoding.
        stretch: Factor of all durations.
        text: Text.

    Raises:
        MachineError: festival or this voice of it is not installed.
    """
    words = text.replace("\\", " ").replace('"', " ")
    with tempfile.TemporaryDirectory() as folder:
        sound, times = Path(folder) / "speech.wav", Path(folder) / "speech.segs"
        script = (
            f"(voice_{voice})\n(Parameter.set 'Duration_Stretch {stretch:.3f})\n"
            f"(set! utt (utt.synth (eval (list 'Utterance 'Text \"{words}\"))))\n"
            f'(utt.save.wave utt "{sound}" \'riff)\n(utt.save.segs utt "{times}")\n'
        )
        path = Path(folder) / "speech.scm"
        path.write_bytes(script.encode(ENCODINGS.get(language, "utf-8"), "replace"))
        run_program(["festival", "--batch", str(path)], PACKAGES)
        if not times.is_file():
            raise MachineError(f"festival spoke nothing with the voice {voice}; run: apt-get install {PACKAGES}")
        with wave.open(str(sound), "rb") as file:
            samples, rate = np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()
        labels = times.read_text(encoding="ascii", errors="replace")
    return samples, rate, segments(labels, language)


def segments(labels: str, language: str) -> list[tuple[str, float, float]]:
    """Parse lines of `end colour name`; the time of a symbol of several phones is divided evenly.

    Raises:
        MachineError: A symbol is not in the language's phone set, or an end is no number.
    """
    table = PHONE_SETS[language]
    fields = [line.split() for line in labels.splitlines()]
    with reading("festival's phone times", f"lines of end, colour and phone of '{language}'", MachineError):
        names = [(row[2], float(row[0])) for row in fields if len(row) == 3]
        ends = [0.0, *(end for _, end in names)]
        if not all(before <= after < np.inf for before, after in pairwise(ends)):
            raise ValueError("times out of order")
        unknown = {name for name, _ in names} - table.keys()
        if unknown:
            raise ValueError(f"unknown phone {min(unknown)}")
    timed: list[tuple[str, float, float]] = []
    at = 0.0
    for index, (name, end) in enumerate(names):
        phones = table[name] or (SILENCE,)
        if language == "ca" and name == "b" and index > 0 and table[names[index - 1][0]] not in ((), ("M",), ("N",)):
            phones = ("V",)  # an approximant, whose lips do not meet
        for part, phone in enumerate(phones):
            step = (end - at) / len(phones)
            timed.append((phone, at + part * step, at + (part + 1) * step))
        at = end
    return timed
