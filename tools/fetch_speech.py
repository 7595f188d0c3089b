"""Put openly licensed speech of 343 people, with its texts, into a folder for `talker preprocess articulated --speech`.

Usage: python tools/fetch_speech.py FOLDER [--recordings N]

Git clones ten public repositories, one after another; the same command goes on after an interruption. `FOLDER/voices.csv`
lists the speakers: language, sex, licence and whom to name. With `--recordings`, N of each speaker at most are kept, the same
every time. The recordings are not part of talker.
"""

import argparse
import csv
import hashlib
import random
import re
import shutil
import subprocess
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

COLUMNS = ("voice", "language", "sex", "licence", "credit", "held_out")
DIGITS = "zero one two three four five six seven eight nine".split()
HELD_OUT = frozenset(  # English voices whose recordings all align
    "digits_nicolas digits_theo duke_03 duke_15 duke_39 duke_51 duke_54 "
    "ocean_0457 ocean_0563 ocean_1109 ocean_1156 ocean_9612".split()
)


@dataclass(frozen=True)
class Spoken:
    """A recording: its speaker (sex f, m or nothing), the voice of espeak-ng for its language, its file and its text."""

    voice: str
    language: str
    sex: str
    path: Path
    text: str
    credit: str = ""


@dataclass(frozen=True)
class Source:
    """A repository of speech.

    Args:
        repository: Owner and name.
        folders: What to check out.
        read: Function from a clone to its recordings.
        recordings: Number of recordings with a text; fewer mean that the repository has changed.
        licence: Licence of the recordings.
        credit: Whom to name.
    """

    repository: str
    folders: tuple[str, ...]
    read: Callable[[Path], Iterator[Spoken]]
    recordings: int
    licence: str
    credit: str


def read_listed(voice: str, language: str) -> Callable[[Path], Iterator[Spoken]]:
    """Return a reader of verified/NAME.flac, whose texts are lines of NAME|TEXT."""

    def read(clone: Path) -> Iterator[Spoken]:
        for line in (clone / "verified/metadata.csv").read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition("|")
            yield Spoken(voice, language, "f", clone / "verified" / f"{name}.flac", text)

    return read


def read_kathleen(clone: Path) -> Iterator[Spoken]:
    """Read data/NAME.wav and NAME.txt."""
    for path in sorted((clone / "data").glob("*.wav")):
        yield Spoken("kathleen_en", "en", "f", path, path.with_suffix(".txt").read_text(encoding="utf-8"))


def read_swahili(clone: Path) -> Iterator[Spoken]:
    """Read data/records, whose texts are lines of SESSION_NUMBER:TEXT."""
    lines = (clone / "data/raw_text_file.txt").read_text(encoding="utf-8").splitlines()
    texts = dict(line.partition(":")[::2] for line in lines)
    for path in sorted((clone / "data/records").rglob("*.wav")):
        yield Spoken("gitau_sw", "sw", "", path, texts.get(path.stem, ""))


COURSES = {
    "ba": ("bn", "f", "Oindrila Gupta"),
    "gr": ("el", "m", "Dimitris Kardarakos"),
}


def read_artikulate(clone: Path) -> Iterator[Spoken]:
    """Read the phrases of courses of pronunciation that were recorded; the French and the Polish ones are too noisy."""
    for course, (language, sex, credit) in COURSES.items():
        folder = clone / "courses/basic" / course
        for phrase in ElementTree.parse(folder / f"{course}.xml").iter("phrase"):
            path, text = folder / phrase.findtext("soundFile", ""), phrase.findtext("text", "")
            if path.is_file():
                yield Spoken(f"artikulate_{language}", language, sex, path, text, credit)


EMODB_TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
EMODB_MEN = frozenset({"03", "10", "11", "12", "15"})


def read_emodb(clone: Path) -> Iterator[Spoken]:
    """Read actors; a file's name is speaker, text and emotion: 03a01Fa.wav."""
    for path in sorted((clone / "dataset").glob("*/*.wav")):
        speaker = path.name[:2]
        sex = "m" if speaker in EMODB_MEN else "f"
        yield Spoken(f"emodb_{speaker}", "de", sex, path, EMODB_TEXTS[path.name[2:5]])


def read_digits(clone: Path) -> Iterator[Spoken]:
    """Read single digits, DIGIT_SPEAKER_NUMBER.wav; ten of a speaker become one recording."""
    by_speaker: dict[str, list[Path]] = {}
    for path in sorted((clone / "recordings").glob("*.wav")):
        by_speaker.setdefault(path.stem.split("_")[1], []).append(path)
    (clone / "joined").mkdir()
    for speaker, paths in by_speaker.items():
        random.Random(speaker).shuffle(paths)
        for first in range(0, len(paths), 10):
            joined = clone / "joined" / f"{speaker}_{first:03}.wav"
            with wave.open(str(joined), "wb") as output:
                for path in paths[first : first + 10]:
                    with wave.open(str(path), "rb") as sound:
                        if path == paths[first]:
                            output.setparams(sound.getparams())
                        output.writeframes(sound.readframes(sound.getnframes()))
            text = " ".join(DIGITS[int(path.name[0])] for path in paths[first : first + 10])
            yield Spoken(f"digits_{speaker}", "en", "m", joined, text)


def read_duke(clone: Path) -> Iterator[Spoken]:
    """Read students, each of whom spells a name, reads a telephone number and says an address."""
    numbers: dict[str, int] = {}
    with (clone / "metadata.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            voice = f"duke_{numbers.setdefault(row['Response_ID'], len(numbers)):02}"
            path = clone / row["file_name"]
            texts = {
                "Names": " ".join(f"{letter}." for letter in re.sub(r"[^a-z]", "", row["Name"].lower())),
                "Numbers": " ".join(DIGITS[int(digit)] for digit in re.sub(r"[^0-9]", "", row["Number"])),
                "Addresses": row["Address"],
            }
            if path.is_file():
                yield Spoken(voice, "en", {"Female": "f", "Male": "m"}.get(row["Gender"], ""), path, texts[path.parent.name])


def read_ocean(clone: Path) -> Iterator[Spoken]:
    """Read adults and children whose first language is Mandarin; their texts are in capitals, as of abbreviations."""
    tables: dict[str, dict[str, str]] = {}
    for name in ("text", "utt2spk", "spk2gender"):
        lines = [line for part in ("train", "test") for line in (clone / part / name).read_text(encoding="utf-8").splitlines()]
        tables[name] = dict(line.split(maxsplit=1) for line in lines)
    for path in sorted((clone / "WAVE").glob("*/*.WAV")):
        speaker = tables["utt2spk"].get(path.stem, "")
        text = tables["text"].get(path.stem, "").lower()
        yield Spoken(f"ocean_{speaker}", "en", tables["spk2gender"].get(speaker, ""), path, text)


def read_mandarin(clone: Path) -> Iterator[Spoken]:
    """Read every third word, cmn-WORD.mp3: all of one speaker's words would be a quarter of the hours."""
    for path in sorted((clone / "64k/hsk").glob("cmn-*.mp3"))[::3]:
        yield Spoken("tan_cmn", "cmn", "f", path, path.stem.removeprefix("cmn-"))


SOURCES = (
    Source("rhasspy/dataset-voice-kathleen", ("data",), read_kathleen, 1620, "CC0-1.0", "Kathleen, rhasspy"),
    Source(
        "rhasspy/dataset-voice-kerstin", ("verified",), read_listed("kerstin_de", "de"), 1374, "CC0-1.0", "Kerstin, rhasspy"
    ),
    Source(
        "rhasspy/dataset-voice-nathalie", ("verified",), read_listed("nathalie_nl", "nl"), 1130, "CC0-1.0", "Nathalie, rhasspy"
    ),
    Source("CateGitau/Swahili-Speech", ("data",), read_swahili, 460, "MIT", "Catherine Gitau"),
    Source("KDE/artikulate-data", ("courses",), read_artikulate, 890, "CC-BY-SA-3.0", "the Artikulate team"),
    Source("harry-7/speech-emotion-recognition", ("dataset",), read_emodb, 339, "CC0-1.0", "F. Burkhardt et al. (Emo-DB)"),
    Source("Jakobovski/free-spoken-digit-dataset", ("recordings",), read_digits, 300, "CC-BY-SA-4.0", "Zohar Jackson et al."),
    Source("Sakshee5/alphanumeric-audio-dataset", ("audio_data", "metadata.csv"), read_duke, 200, "MIT", "Sakshee Patil"),
    Source(
        "jimbozhang/speechocean762",
        ("WAVE", "train", "test"),
        read_ocean,
        5000,
        "Apache-2.0",
        "SpeechOcean and Xiaomi, J. Zhang et al. 2021",
    ),
    Source("hugolpz/audio-cmn", ("64k/hsk",), read_mandarin, 2800, "CC-BY-SA", "Yue Tan, shtooka"),
)


def clone_folders(source: Source, clone: Path) -> None:
    """Clone the newest commit of a repository, with these folders alone."""
    url = f"https://github.com/{source.repository}.git"
    subprocess.run(["git", "clone", "-q", "--depth=1", "--no-checkout", "--filter=blob:none", url, clone], check=True)
    patterns = [f"/{folder}" for folder in source.folders]
    subprocess.run(["git", "-C", clone, "sparse-checkout", "set", "--no-cone", *patterns], check=True)
    subprocess.run(["git", "-C", clone, "checkout", "-q"], check=True)


def lay_out(source: Source, clone: Path, folder: Path, most: int | None = None) -> list[tuple[str, ...]]:
    """Move a clone's recordings, `most` of a voice, to VOICE/…/NAME, their texts beside them; return the speakers' lines."""
    spoken = [each for each in source.read(clone) if each.path.is_file() and each.text.strip()]
    if len(spoken) < source.recordings:
        raise SystemExit(f"{source.repository} has {len(spoken)} recordings with a text; expected {source.recordings} or more")
    voices = {}
    targets: dict[str, dict[Path, Spoken]] = {}
    for each in spoken:
        held_out = "yes" if each.voice in HELD_OUT else ""
        voices[each.voice] = (each.voice, each.language, each.sex, source.licence, each.credit or source.credit, held_out)
        targets.setdefault(each.voice, {})[Path(each.voice, each.path.parent.name, each.path.name)] = each
    for place, each in (pair for of_voice in targets.values() for pair in chosen(of_voice, most)):
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_suffix(".txt").write_text(each.text.strip() + "\n", encoding="utf-8")
        each.path.replace(target)
    return list(voices.values())


def chosen(recordings: dict[Path, Spoken], most: int | None) -> list[tuple[Path, Spoken]]:
    """Return `most` recordings of a voice, by a hash of their places; all if it is None."""

    def chance(pair: tuple[Path, Spoken]) -> str:
        return hashlib.sha256(pair[0].with_suffix(".txt").as_posix().encode()).hexdigest()

    return sorted(recordings.items(), key=chance)[:most]


def write_rows(path: Path, rows: list[tuple[str, ...]]) -> None:
    """Write lines of COLUMNS, at once or not at all."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    part.replace(path)


def main(folder: Path, most: int | None = None) -> None:
    """Fetch the sources that are not there yet, then list the speakers."""
    lists = folder / "voices"
    lists.mkdir(parents=True, exist_ok=True)
    clone = folder / "clone"
    rows = []
    for source in SOURCES:
        done = lists / f"{source.repository.replace('/', '+')}.csv"
        if not done.is_file():
            shutil.rmtree(clone, ignore_errors=True)
            clone_folders(source, clone)
            write_rows(done, lay_out(source, clone, folder, most))
            shutil.rmtree(clone)
        with done.open(encoding="utf-8", newline="") as file:
            rows += [tuple(row) for row in csv.reader(file)][1:]
        print(source.repository, flush=True)
    write_rows(folder / "voices.csv", sorted(rows))
    print(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fetch openly licensed speech with its texts.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", type=int, help="of each speaker at most")
    options = parser.parse_args()
    main(options.folder, options.recordings)
