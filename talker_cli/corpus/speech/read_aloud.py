"""Human recordings of two more packages of Debian: pictures named for children in nine languages, and a book in Russian."""

import re
from pathlib import Path

from talker_cli.corpus.speech.sources import Prompt, PromptVoice
from talker_cli.errors import MachineError
from talker_cli.formats.schema import reading

STAMPS = Path("/usr/share/tuxpaint/stamps")
STAMPS_PACKAGE = "tuxpaint-stamps-default"

# Tux Paint's speakers by language, from its list of changes. The Spanish recordings are clipped throughout but align.
# Left out: languages with less than five minutes.
STAMP_SPEAKERS = {
    "be": "Kseniya Buraya", "bg": "Krasimir Petkov", "ca": "Pere Pujal i Carabantes", "da": "Joe Dalton",
    "el": "Kiriaki Serafeim", "es": "Estefanía Ortiz", "fr": "PaulK and Jacques Chion", "ro": "Tabbytha",
    "ru": "Edwin Veber",
}  # fmt: skip

BOOK = Path("/usr/share/festival/voices/russian/msu_ru_nsh_clunits")
BOOK_VOICE = PromptVoice(
    "shmyrev_ru", "ru", "", "ru", "BSD-like, Nickolay V. Shmyrev", "festvox-ru", suffix="wav"
)  # the speaker of festival_nsh


def list_stamps(language: str) -> list[Prompt]:
    """Return the pictures' descriptions in one language of STAMP_SPEAKERS that were recorded and written, sorted by name.

    Raises:
        MachineError: The package is not installed, or a text is damaged.
    """
    espeak_voice = "fr-fr" if language == "fr" else language
    licence = f"GPL-2.0, {STAMP_SPEAKERS[language]} and the Tux Paint team"
    source = PromptVoice(f"tuxpaint_{language}", language, "", espeak_voice, licence, STAMPS_PACKAGE, suffix="ogg")
    ending = f"_desc_{language}.ogg"
    prompts = []
    for path in sorted(STAMPS.rglob(f"*{ending}")):
        text = path.with_name(path.name.removesuffix(ending) + ".txt")
        if not text.is_file():
            continue
        with reading(text, f"a description of a picture in UTF-8; reinstall {STAMPS_PACKAGE}", MachineError):
            lines = dict(line.partition(".utf8=")[::2] for line in text.read_text(encoding="utf-8").splitlines())
        spoken = lines.get(language, "").strip()
        if re.search(r"\w", spoken):
            name = path.relative_to(STAMPS).as_posix().removesuffix(ending)
            prompts.append(Prompt(source, name, path, spoken))
    if not prompts:
        raise MachineError(
            f"{STAMPS} holds no description in '{language}'; the corpus is made of them; run: apt-get install {STAMPS_PACKAGE}"
        )
    return prompts


def list_book() -> list[Prompt]:
    """Return the sentences of the Russian book, sorted by name.

    Raises:
        MachineError: The package is not installed, or its list of texts is damaged.
    """
    listing = BOOK / "etc" / "txt.done.data"
    with reading(listing, f'lines of ( NAME "TEXT" ); run: apt-get install {BOOK_VOICE.package}', MachineError):
        texts = re.findall(r'^\( (\w+) "(.*)" \)$', listing.read_text(encoding="utf-8"), re.MULTILINE)
    # A plus sign marks the stressed vowel.
    paths = ((name, BOOK / "wav" / f"{name}.wav", text.replace("+", "")) for name, text in sorted(texts))
    return [Prompt(BOOK_VOICE, name, path, text) for name, path, text in paths if path.is_file()]
