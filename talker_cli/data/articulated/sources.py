"""Human recordings: Debian's packages of telephone prompts, with their texts (1,800 recordings, five speakers, two hours)."""

import gzip
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.data.prepared import SAMPLE_RATE
from talker_cli.errors import InputError, MachineError
from talker_cli.ffmpeg import executable

SOUNDS = Path("/usr/share/asterisk/sounds")
TEXTS = Path("/usr/share/doc")


@dataclass(frozen=True)
class PromptVoice:
    """One speaker's package of prompts.

    Args:
        voice: the speaker's name in the dataset.
        language: ISO 639-1 code.
        folder: the folder below SOUNDS.
        espeak_voice: the voice whose phones fit the speaker's accent.
        licence: of recordings and texts.
    """

    voice: str
    language: str
    folder: str
    espeak_voice: str
    licence: str

    @property
    def packages(self) -> str:
        """Name the Debian packages that hold recordings and texts."""
        return f"asterisk-core-sounds-{self.language}-g722 asterisk-core-sounds-{self.language}"


PROMPT_VOICES: tuple[PromptVoice, ...] = (
    PromptVoice("allison_en", "en", "en_US_f_Allison", "en-us", "CC-BY-SA-3.0, Allison Smith and Digium"),
    PromptVoice("allison_es", "es", "es_MX_f_Allison", "es-419", "CC-BY-SA-3.0, Allison Smith and Digium"),
    PromptVoice("june_fr", "fr", "fr_CA_f_June", "fr-fr", "CC-BY-SA-3.0, June Wallack"),
    PromptVoice("carlo_it", "it", "it_IT_m_Carlo", "it", "CC-BY-3.0, Carlo Flora, segreterietelefoniche.it"),
    PromptVoice("ivrvoice_ru", "ru", "ru_RU_f_IvrvoiceRU", "ru", "CC-BY-3.0, Maxim Topal, ivrvoice.ru"),
)

# Texts that differ from what is said, or that no rule reads right; None: no speech in it.
SAID: dict[tuple[str, str], str | None] = {
    ("en", "tt-monkeys"): None, ("es", "tt-monkeys"): None, ("fr", "tt-monkeys"): None,
    ("it", "tt-monkeys"): None, ("ru", "tt-monkeys"): None,
    ("fr", "beep"): None, ("es", "confbridge-leave"): None, ("fr", "confbridge-leave"): None,
    ("en", "spy-h323"): "h. three two three", ("en", "spy-misdn"): "m. i. s. d. n.", ("en", "spy-nbs"): "n. b. s.",
    ("en", "confbridge-binaural-off"): "three d. audio disabled", ("en", "confbridge-binaural-on"): "three d. audio enabled",
    ("en", "letters/a"): "a.", ("en", "digits/a-m"): "a. m.", ("en", "digits/p-m"): "p. m.", ("en", "letters/i"): "i.",
    ("it", "spy-nbs"): "enne bi esse", ("it", "spy-misdn"): "emme i esse di enne",
}  # fmt: skip


@dataclass(frozen=True)
class Prompt:
    """A recording of a person: its name below the package, its file, and what is said in it ("" in silences)."""

    source: PromptVoice
    name: str
    path: Path
    text: str


def list_prompts(source: PromptVoice) -> list[Prompt]:
    """Return one speaker's prompts that have a text, sorted by name.

    Raises:
        MachineError: the packages are not installed.
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
    for path in sorted(folder.rglob("*.g722")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        key = (source.language, name)
        if key in SAID:
            text = SAID[key]
        elif name.startswith("silence/"):
            text = ""
        else:
            text = spoken_text(texts[name]) if name in texts else None
            text = text or None
        if text is not None:
            prompts.append(Prompt(source, name, path, text))
    return prompts


def read_texts(listing: Path) -> dict[str, str]:
    """Read a package's list of `name: text` lines."""
    lines = gzip.decompress(listing.read_bytes()).decode("utf-8-sig").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith(";"))
    return {name.strip(): text.strip() for name, text in pairs}


def spoken_text(text: str) -> str:
    """Return a prompt's text without remarks in brackets, quotes and dots of continuation."""
    text = re.sub(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>", " ", text)
    text = re.sub(r"[“”«»\"…]|\.\.+", " ", text)
    return re.sub(r"\s+", " ", text).strip()


def decode_g722(path: Path) -> np.ndarray:
    """Decode a raw G.722 file to (S,) int16 at 16 kHz.

    Raises:
        InputError: ffmpeg cannot decode the file.
        MachineError: ffmpeg is missing.
    """
    command = [executable(), "-v", "error", "-f", "g722", "-i", str(path)]
    run = subprocess.run([*command, "-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-"], capture_output=True, check=False)
    if run.returncode or not run.stdout:
        raise InputError(
            f"{path} is not readable as G.722 ({run.stderr.decode(errors='replace').strip()[:120]}); reinstall its package"
        )
    return np.frombuffer(run.stdout, np.int16)
