"""Kokoro-82M's voices, and voices halfway between two of them, synthesised by its network in ONNX form."""

import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.corpus.align.phonetics import ipa_clauses
from talker_cli.corpus.speech.recordings import Utterance
from talker_cli.corpus.speech.selection import texts_to_read
from talker_cli.corpus.speech.synthesis import resample
from talker_cli.corpus.speech.voices import SyntheticVoice
from talker_cli.errors import InputError, MachineError
from talker_cli.formats.files import read_json
from talker_cli.formats.schema import Schema, parse, reading

SAMPLE_RATE = 24_000  # hertz, of the network's output
STYLE_WIDTH = 256  # width of a voice's vectors, one for each length of a text in phones
MOST_PHONES = 400
FILES = ("model.onnx", "vocab.json", "voices")

# The first letter of a voice's name is its language, the second "f" or "m". Italian voices are left out: that language is held
# out. Voices of languages without texts here speak English, with an accent.
LANGUAGE_OF = {"e": ("es", "es-419"), "f": ("fr", "fr-fr"), "h": ("hi", "hi"), "b": ("en", "en-gb")}
ENGLISH = ("en", "en-us")
HELD_OUT_LETTER = "i"


@dataclass(frozen=True)
class KokoroShard:
    """Texts of one voice, synthesised in turn until they last `seconds`.

    Args:
        folder: Folder of model.onnx, vocab.json and voices/NAME.bin (float32, (510, 256) each).
        voice: Voice; its `voice` is a name, or two joined by a plus.
        espeak_voice: Voice of espeak-ng whose phones are the network's input.
        texts: Texts.
        seconds: Length of the speech.
    """

    folder: Path
    voice: SyntheticVoice
    espeak_voice: str
    texts: tuple[str, ...]
    seconds: float

    def plan(self) -> Any:
        """Return voice, texts, seconds and the sizes of Kokoro's files."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        sizes = [[path.relative_to(self.folder).as_posix(), path.stat().st_size] for path in files]
        return [asdict(self.voice), self.espeak_voice, list(self.texts), self.seconds, sizes]

    def read(self) -> Iterator[Utterance]:
        """Synthesise the texts.

        Raises:
            InputError: The folder's files are not Kokoro's.
            MachineError: onnxruntime or espeak-ng is not installed.
        """
        styles = _styles(self.folder, self.voice.voice)
        spoken = 0.0
        for index, text in enumerate(self.texts):
            if spoken >= self.seconds:
                return
            samples = _synthesise(
                self.folder, ", ".join(ipa_clauses(text, self.espeak_voice)) + ".", styles, self.voice.rate / 165.0
            )
            loud = samples * (self.voice.level / max(1e-6, float(np.abs(samples).max())))
            loud += np.random.default_rng(len(text)).normal(0.0, 1e-4, len(loud)).astype(np.float32)
            item = Utterance(
                f"{self.voice.name}/{index:03d}", self.voice.name, self.voice.language, False, text,
                np.round(np.clip(loud, -1, 1) * 32767.0).astype(np.int16), self.espeak_voice, self.voice.program,
                self.voice.licence,
            )  # fmt: skip
            spoken += item.seconds
            yield item


def kokoro_shards(folder: Path, minutes: float, prompts: dict[str, list[str]], seed: int) -> list[KokoroShard]:
    """Return a shard for every voice in the folder, and for half as many pairs of voices.

    Args:
        folder: Folder of Kokoro's files, as in `KokoroShard`.
        minutes: Minutes of speech in all, divided evenly.
        prompts: Texts by language, besides the built-in sentences.
        seed: Seed of the order of the texts.

    Raises:
        InputError: The folder lacks one of Kokoro's files.
    """
    for name in FILES:
        if not (folder / name).exists():
            raise InputError(
                f"{folder} holds no {name}; expected {', '.join(FILES)} of Kokoro-82M; run: tools/fetch_kokoro.sh {folder}"
            )
    single = sorted(path.stem for path in (folder / "voices").glob("*.bin") if path.stem[0] != HELD_OUT_LETTER)
    # Each voice is paired with one half the list further, so that pairs mix sexes and languages.
    paired = [f"{name}+{single[(index + len(single) // 2) % len(single)]}" for index, name in enumerate(single[::2])]
    shards = []
    for name in [*single, *paired]:
        language, espeak_voice = ENGLISH if "+" in name else LANGUAGE_OF.get(name[0], ENGLISH)
        key = zlib.crc32(name.encode())
        voice = SyntheticVoice(
            f"kokoro_{name.replace('+', '_')}", "kokoro", name, rate=145 + key % 50, level=0.25 + (key >> 8) % 45 / 100.0,
            language=language,
        )  # fmt: skip
        texts = texts_to_read(voice, prompts.get(language, []), seed)
        shards.append(KokoroShard(folder, voice, espeak_voice, tuple(texts), 60.0 * minutes / (len(single) + len(paired))))
    return shards


def _styles(folder: Path, name: str) -> np.ndarray:
    """Return the style (N, STYLE_WIDTH) for each length of a text, of one voice or the mean of two."""
    voices = []
    for part in name.split("+"):
        path = folder / "voices" / f"{part}.bin"
        data = np.fromfile(path, np.float32)
        if not data.size or data.size % STYLE_WIDTH:
            raise InputError(f"{path} holds {data.size} numbers; expected a multiple of {STYLE_WIDTH}; fetch it again")
        if not np.isfinite(data).all():
            raise InputError(f"{path} holds numbers that are not finite; expected a voice of Kokoro-82M; fetch it again")
        voices.append(data.reshape(-1, STYLE_WIDTH))
    return np.asarray(np.mean(voices, axis=0), np.float32)


def _synthesise(folder: Path, ipa: str, styles: np.ndarray, speed: float) -> np.ndarray:
    """Return (S,) float32 speech at 16 kHz."""
    session, vocabulary = _network(folder)
    tokens = [vocabulary[symbol] for symbol in ipa if symbol in vocabulary][:MOST_PHONES]
    inputs = {
        "tokens": np.array([[0, *tokens, 0]], np.int64),
        "style": styles[min(len(tokens), len(styles) - 1)][None],
        "speed": np.array([speed], np.float32),
    }
    with reading(folder / "model.onnx", "the network of Kokoro-82M; fetch it again"):
        samples = np.asarray(session.run(None, inputs)[0]).reshape(-1)
    return resample(np.round(np.clip(samples, -1, 1) * 32767.0).astype(np.int16), SAMPLE_RATE)


class _Vocabulary(Schema):
    vocab: dict[str, int]


def read_vocabulary(folder: Path) -> dict[str, int]:
    """Read the token of each IPA symbol.

    Raises:
        InputError: The file is damaged.
    """
    path = folder / "vocab.json"
    return parse(_Vocabulary, read_json(path), str(path), expected="the vocabulary of Kokoro-82M; fetch it again").vocab


@cache
def _network(folder: Path) -> tuple[Any, dict[str, int]]:
    try:
        import onnxruntime
    except ImportError as error:
        raise MachineError("onnxruntime is not installed; Kokoro's voices need it; run: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # each process has one of its own
    options.log_severity_level = 3
    with reading(folder / "model.onnx", "the network of Kokoro-82M; fetch it again"):
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return session, read_vocabulary(folder)
