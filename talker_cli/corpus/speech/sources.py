"""Human recordings: Debian's packages of telephone prompts, with their texts (some 3,200 recordings of six speakers)."""

import gzip
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError, MachineError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.ffmpeg import executable
from talker_cli.formats.schema import reading

SOUNDS = Path("/usr/share/asterisk/sounds")
TEXTS = Path("/usr/share/doc")


@dataclass(frozen=True)
class PromptVoice:
    """One speaker's package of prompts.

    Args:
        voice: Name of the speaker in the dataset.
        language: ISO 639-1 code.
        folder: Folder below SOUNDS.
        espeak_voice: Voice of espeak-ng that fits the speaker's accent.
        licence: Licence of recordings and texts.
        package: Debian package of the recordings; their texts are those of asterisk-core-sounds-LANGUAGE.
        suffix: Suffix of the recordings' files.
    """

    voice: str
    language: str
    folder: str
    espeak_voice: str
    licence: str
    package: str
    suffix: str = "g722"

    @property
    def packages(self) -> str:
        """Name the Debian packages that hold recordings and texts."""
        return f"{self.package} asterisk-core-sounds-{self.language}"


PROMPT_VOICES: tuple[PromptVoice, ...] = (
    PromptVoice("allison_en", "en", "en_US_f_Allison", "en-us", "CC-BY-SA-3.0, Allison Smith and Digium",
                "asterisk-core-sounds-en-g722"),
    PromptVoice("allison_es", "es", "es_MX_f_Allison", "es-419", "CC-BY-SA-3.0, Allison Smith and Digium",
                "asterisk-core-sounds-es-g722"),
    PromptVoice("june_fr", "fr", "fr_CA_f_June", "fr-fr", "CC-BY-SA-3.0, June Wallack", "asterisk-core-sounds-fr-g722"),
    PromptVoice("carlo_it", "it", "it_IT_m_Carlo", "it", "CC-BY-3.0, Carlo Flora, segreterietelefoniche.it",
                "asterisk-core-sounds-it-g722"),
    PromptVoice("ivrvoice_ru", "ru", "ru_RU_f_IvrvoiceRU", "ru", "CC-BY-3.0, Maxim Topal, ivrvoice.ru",
                "asterisk-core-sounds-ru-g722"),
    PromptVoice("paola_it", "it", "it_IT_f_Menardi", "it", "CC-BY-SA-3.0-IT, Paola Dal Zot and Marco Menardi",
                "asterisk-prompt-it-menardi-wav", "wav"),
)  # fmt: skip

# Left out: asterisk-prompt-es-co and asterisk-prompt-fr-armelle differ from these texts in all but single words, are
# band-limited by GSM, and align badly.

# Corrections of texts that differ from the recording or are normalised wrong; None: no speech. They are 19 of
# some 3,200 recordings; no figure says what they change.
TRANSCRIPT_FIXES: dict[tuple[str, str], str | None] = {
    ("en", "tt-monkeys"): None, ("es", "tt-monkeys"): None, ("fr", "tt-monkeys"): None,
    ("it", "tt-monkeys"): None, ("ru", "tt-monkeys"): None,
    ("fr", "beep"): None, ("es", "confbridge-leave"): None, ("fr", "confbridge-leave"): None,
    ("en", "spy-h323"): "h. three two three", ("en", "spy-misdn"): "m. i. s. d. n.", ("en", "spy-nbs"): "n. b. s.",
    ("en", "confbridge-binaural-off"): "three d. audio disabled", ("en", "confbridge-binaural-on"): "three d. audio enabled",
    ("en", "letters/a"): "a.", ("en", "digits/a-m"): "a. m.", ("en", "digits/p-m"): "p. m.", ("en", "letters/i"): "i.",
    ("it", "spy-nbs"): "enne bi esse", ("it", "spy-misdn"): "emme i esse di enne",
}  # fmt: skip

# Words of the Italian package whose accented letter was lost (a question mark stands for it), by their remaining letters. They
# restore eleven words of the held-out Italian voices, whose vowels would else be missing in the truth.
LOST_ACCENTS = {"sar": "sarà", "pu": "può", "cos": "così", "pi": "più", "": "è"}


@dataclass(frozen=True)
class Prompt:
    """A recording of a person: its name below the package, its file, and its transcript ("" for silence)."""

    source: PromptVoice
    name: str
    path: Path
    text: str


def list_prompts(source: PromptVoice) -> list[Prompt]:
    """Return one speaker's prompts that have a text, sorted by name.

    Raises:
        MachineError: The packages are not installed.
    """
    folder = SOUNDS / source.folder
    listing = TEXTS / f"asterisk-core-sounds-{source.language}" / f"core-sounds-{source.language}.txt.gz"
    for path in (folder, listing):
        if not path.exists():
            raise MachineError(
                f"{path} does not exist; the corpus is made of these recordings; run: apt-get install {source.packages}"
            )
    texts = read_texts(listing)
    prompts = []
    for path in sorted(folder.rglob(f"*.{source.suffix}")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        key = (source.language, name)
        if key in TRANSCRIPT_FIXES:
            text = TRANSCRIPT_FIXES[key]
        elif name.startswith("silence/"):
            text = ""
        else:
            text = spoken_text(texts[name], source.language) if name in texts else None
            text = text or None
        if text is not None:
            prompts.append(Prompt(source, name, path, text))
    return prompts


def read_texts(listing: Path) -> dict[str, str]:
    """Read a package's list of `name: text` lines.

    Raises:
        MachineError: The list is damaged.
    """
    with reading(listing, "a list of texts, compressed by gzip; reinstall its package", MachineError):
        lines = gzip.decompress(listing.read_bytes()).decode("utf-8-sig").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith(";"))
    return {name.strip(): text.strip() for name, text in pairs}


def spoken_text(text: str, language: str) -> str:
    """Return a prompt's text without remarks in brackets, quotes and ellipses, lost accents restored."""
    text = re.sub(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>", " ", text)
    text = re.sub(r"[“”«»\"…]|\.\.+", " ", text)
    text = re.sub(r"\s+", " ", text).strip()
    if language != "it":
        return text
    return re.sub(r"(?<!\S)(\w*)\?(?= [a-z])", lambda match: LOST_ACCENTS.get(match[1], match[0]), text)


def decode_prompts(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    """Decode recordings to (S,) int16 at 16 kHz (S may be 0), all by one run of ffmpeg, whose start takes longer than a prompt.

    Raises:
        InputError: ffmpeg cannot decode one of the files.
        MachineError: ffmpeg is missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / f"{index}.raw" for index in range(len(paths))]
        command = [executable(), "-v", "error"]
        for path in paths:
            command += [*(["-f", "g722"] if path.suffix == ".g722" else []), "-i", str(path)]
        for index, output in enumerate(outputs):
            command += ["-map", f"{index}:a", "-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", str(output)]
        run = subprocess.run(command, capture_output=True, check=False)
        for path, output in zip(paths, outputs, strict=True):
            data = output.read_bytes() if output.is_file() else b""
            if run.returncode:
                raise InputError(
                    f"{path} or a file near it is not readable as {path.suffix[1:]} "
                    f"({run.stderr.decode(errors='replace').strip()[:120]}); reinstall its package"
                )
            yield np.frombuffer(data, np.int16)
