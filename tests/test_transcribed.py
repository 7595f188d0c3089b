"""A folder of transcribed speech becomes a dataset: synthesised voices, the real aligner, and a kill in the middle."""

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import Command

from talker_cli.corpus.articulate.styles import SPEAKERS
from talker_cli.corpus.build import OTHERS
from talker_cli.corpus.speech.selection import text_split
from talker_cli.corpus.speech.sentences import SENTENCES
from talker_cli.corpus.speech.synthesis import synthesise
from talker_cli.corpus.speech.transcribed import AT_ONCE, Voice, file_shards, find_transcribed, read_voices
from talker_cli.corpus.speech.voices import SYNTHETIC_VOICES
from talker_cli.data.dataset import Dataset
from talker_cli.errors import InputError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import Phones

MISSING = [program for program in ("flite", "espeak-ng") if shutil.which(program) is None]
MISSING += [] if find_spec("pocketsphinx") else ["pocketsphinx (the extra [corpus])"]
needs_voices = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
COMMAND = [sys.executable, "-m", "talker_cli", "preprocess", "articulated"]
VOICES = ("slt", "rms")
SHORT = sorted(SENTENCES, key=len)[: AT_ONCE + 2]  # of each voice; in all more than two shards


def write_wav(path: Path, speech: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(speech.tobytes())


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def without_stops(speech: np.ndarray, phones: Phones) -> np.ndarray:
    """Return speech whose p, t and k are filled with the sound before them, as of a speaker of another text."""
    filled = speech.copy()
    for (_, start, end), (phone, first, last) in pairwise(phones):
        if phone in ("P", "T", "K"):
            middle = round((start + end) / 2 * SAMPLE_RATE)
            hum = speech[middle - 160 : middle + 160]
            stop = filled[round((first - 0.02) * SAMPLE_RATE) : round((last + 0.02) * SAMPLE_RATE)]
            stop[:] = np.resize(np.append(hum, hum[::-1]), len(stop))
    return filled


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Phones]]:
    """Return a folder of two voices' recordings with their texts, and each recording's true phones."""
    folder = tmp_path_factory.mktemp("spoken") / "recordings"
    truth: dict[str, Phones] = {}
    for name in VOICES:
        voice = next(voice for voice in SYNTHETIC_VOICES if voice.name == f"flite_{name}")
        for index, text in enumerate(SHORT):
            speech, truth[f"{name}/{index}"] = synthesise(voice, text)
            write_wav(folder / name / f"{index}.wav", speech)
            (folder / name / f"{index}.txt").write_text(text)
            if (name, text) == ("rms", "Why would anyone wash a white wool blanket in boiling hot water?"):
                write_wav(folder / name / "hummed.wav", without_stops(speech, truth[f"{name}/{index}"]))
                (folder / name / "hummed.txt").write_text(text)
    (folder / "rms" / "torn.flac").write_bytes(b"fLaC and nothing more")
    (folder / "rms" / "torn.txt").write_text("torn")
    shutil.copy(folder / "slt" / "0.wav", folder / "slt" / "alone.wav")
    shutil.copy(folder / "slt" / "0.wav", folder / "slt" / "other.wav")
    (folder / "slt" / "other.txt").write_text("Seventeen purple elephants were never invited to this long party.")
    return folder, truth


@pytest.fixture(scope="module")
def prepared(spoken: tuple[Path, dict[str, Phones]]) -> Path:
    """Return the dataset of an uninterrupted run."""
    here = spoken[0].parent / "whole"
    here.mkdir()
    done = run("../recordings", "-o", "prepared", "--licence", "CC0", "--held-out", "rms", "--processes", "2", cwd=here)
    assert done.returncode == 0, done.stderr
    return here / "prepared"


@pytest.mark.slow
@needs_voices
def test_a_folder_becomes_a_dataset_whose_phones_lie_where_the_sounds_are(
    spoken: tuple[Path, dict[str, Phones]], prepared: Path
) -> None:
    dataset = Dataset(prepared)
    _, truth = spoken
    names = set(dataset.recordings)
    assert names <= set(truth) and len(names) >= 0.9 * len(truth)
    errors = []
    for name, recording in dataset.recordings.items():
        assert recording.voice == name.split("/")[0] and recording.human and recording.source.endswith(".wav")
        assert recording.text == SHORT[int(name.split("/")[1])]
        true = [phone for phone in truth[name] if phone[0] != "SIL"]
        aligned = [phone for phone in recording.phones if phone[0] != "SIL"]
        if [phone[0] for phone in true] == [phone[0] for phone in aligned]:  # the dictionary's pronunciation is the voice's
            errors += [abs(one[1] - other[1]) for one, other in zip(true, aligned, strict=True)]
    assert len(errors) > 50 and np.median(errors) < 0.015 and np.percentile(errors, 90) < 0.05
    for recording in dataset.info.recordings:
        assert recording.split == ("test_voice" if recording.voice == "rms" else text_split(recording.text))
    assert dataset.info.identities == (*(speaker.name for speaker in SPEAKERS), "rms", "slt")
    assert dataset.trained == (*dataset.info.identities[:-2], "slt"), "a held-out voice's style was learned"
    moved: dict[str, list[str]] = {}
    for clip in dataset.info.clips:
        assert len(dataset.coefficients(clip.name)) == int(len(dataset.speech(clip.recording)) * 30 / SAMPLE_RATE)
        assert clip.voice_matched == (clip.identity == dataset.recordings[clip.recording].voice)
        moved.setdefault(clip.recording, []).append(clip.identity)
    for name, identities in moved.items():
        assert len(set(identities)) == len(identities) == 1 + OTHERS and dataset.recordings[name].voice in identities


@pytest.mark.slow
@needs_voices
def test_the_motion_alone_is_made_again(prepared: Path, tmp_path: Path, invoke: Command) -> None:
    """Breaks if speech, phones, splits, styles or motion of a reused corpus differ from those made from its speech."""
    ran = invoke("preprocess", "articulated", "--reuse", prepared, "-o", "again", "--processes", 1)
    assert ran.code == 0, ran.err
    one, again = Dataset(prepared), Dataset(tmp_path / "again")
    assert one.info.recordings == again.info.recordings
    assert one.info.identities == again.info.identities and one.info.clips == again.info.clips
    assert one.info.notes["licences"] == again.info.notes["licences"]
    assert one.info.notes["styles"] == again.info.notes["styles"]
    for name in ("clips.safetensors", "speech.safetensors"):
        assert (prepared / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    ran = invoke("preprocess", "articulated", "a", "--reuse", prepared, "-o", "x")
    assert ran.code == 2 and "leave one of them out" in ran.err and not (tmp_path / "x").exists()


@pytest.mark.slow
@needs_voices
def test_the_manifest_has_every_recording_with_its_reason(prepared: Path) -> None:
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO((prepared / "manifest.csv").read_text()))}
    assert len(rows) == len(VOICES) * len(SHORT) + 4
    assert {name for name, row in rows.items() if not row["dropped"]} == set(Dataset(prepared).recordings)
    assert {row["licence"] for row in rows.values()} == {"CC0"}
    assert rows["slt/alone"]["dropped"] == "no text"
    assert rows["rms/torn"]["dropped"].startswith("unreadable: ")
    assert rows["rms/hummed"]["dropped"] == "stops not closed"
    assert rows["slt/other"]["dropped"] in ("words do not fit", "unlikely", "odd durations")
    dropped = Dataset(prepared).info.notes["dropped"]
    assert dropped["recordings"] == sum(bool(row["dropped"]) for row in rows.values()) >= 4
    assert dropped["human en, no text"] == dropped["human en, unreadable"] == 1


@pytest.mark.slow
@needs_voices
def test_a_killed_run_resumes_and_ends_with_the_same_bytes(
    spoken: tuple[Path, dict[str, Phones]], prepared: Path, tmp_path: Path
) -> None:
    shutil.copytree(spoken[0], tmp_path / "recordings", copy_function=shutil.copy2)
    here = tmp_path / "whole"  # the dataset holds its command, so that both must be the same
    here.mkdir()
    arguments = ["../recordings", "-o", "prepared", "--licence", "CC0", "--held-out", "rms", "--processes", "2"]
    process = subprocess.Popen([*COMMAND, *arguments], cwd=here, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    first = here / "prepared" / "unfinished" / "aligned-0.part"
    while not first.is_file():
        assert process.poll() is None, "it finished before its first shard"
        time.sleep(0.01)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert workers
    while any(Path(f"/proc/{pid}").exists() for pid in workers):  # they die with it
        time.sleep(0.01)
    assert not (here / "prepared" / "dataset.json").exists()
    # What is finished is not read again: a recording of the first shard may be overwritten unseen.
    victim = find_transcribed(tmp_path / "recordings")[0].path
    about = victim.stat()
    victim.write_bytes(bytes(about.st_size))
    os.utime(victim, ns=(about.st_atime_ns, about.st_mtime_ns))
    done = run(*arguments, cwd=here)
    assert done.returncode == 0, done.stderr
    files = sorted(path.name for path in prepared.iterdir())
    assert files == sorted(path.name for path in (here / "prepared").iterdir()) and "unfinished" not in files
    for name in files:
        assert (here / "prepared" / name).read_bytes() == (prepared / name).read_bytes(), name


def test_librispeech_and_pairs_are_found_in_one_tree(tmp_path: Path) -> None:
    chapter = tmp_path / "1272" / "128104"
    chapter.mkdir(parents=True)
    for name in ("1272-128104-0000.flac", "1272-128104-0001.FLAC", "a.b.mp3", ".hidden.wav"):
        (chapter / name).touch()
    (chapter / "1272-128104.trans.txt").write_text("1272-128104-0000 MISTER QUILTER\n\n1272-128104-0001 IS HERE\n")
    (chapter / "a.b.txt").write_text("\ufeffTwo\nlines.\n", encoding="utf-8")
    (tmp_path / "top.wav").touch()
    (tmp_path / "top.txt").write_bytes(b"\xff\xfe")
    found = {file.name: (file.voice, file.text, file.problem) for file in find_transcribed(tmp_path)}
    assert found == {
        "1272/128104/1272-128104-0000": ("1272", "mister quilter", ""),
        "1272/128104/1272-128104-0001": ("1272", "is here", ""),
        "1272/128104/a.b": ("1272", "Two lines.", ""),
        "top": (tmp_path.name, "", "its text is not UTF-8"),
    }
    assert {file.voice for file in find_transcribed(tmp_path, "anna")} == {"anna"}
    (chapter / "a.b.wav").touch()
    with pytest.raises(InputError, match="one recording of a name"):
        find_transcribed(tmp_path)


def test_a_list_of_speakers_gives_each_its_language_and_licence(tmp_path: Path) -> None:
    """Breaks if a speaker is read in another's language, a licence is lost, or a speaker outside the list passes unseen."""
    for voice in ("anna", "ben", "cleo"):
        (tmp_path / voice).mkdir()
        (tmp_path / voice / "1.wav").touch()
        (tmp_path / voice / "1.txt").write_text("hello")
    assert read_voices(tmp_path) == {}
    header = "voice,language,sex,licence,credit,held_out\n"
    (tmp_path / "voices.csv").write_text(header + "anna,pt-br,f,CC0-1.0,,\nben,en,,CC-BY-4.0,Ben,yes\ncleo,pt-br,f,CC0-1.0,,\n")
    voices = read_voices(tmp_path)
    assert voices["ben"] == Voice("en", "CC-BY-4.0, Ben", held_out=True)
    shards = file_shards(tmp_path, voices)
    assert [(shard.language, shard.espeak_voice, shard.licence) for shard in shards] == [
        ("pt", "pt-br", "CC0-1.0"), ("en", "en-us", "CC-BY-4.0, Ben")
    ]  # fmt: skip
    assert [[file.voice for file in shard.files] for shard in shards] == [["anna", "cleo"], ["ben"]]
    (tmp_path / "dora").mkdir()
    (tmp_path / "dora" / "1.wav").touch()
    with pytest.raises(InputError, match=r"voices\.csv has no line for the voice dora"):
        file_shards(tmp_path, voices)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("voice,language\nanna,de\n", "'licence'"),
        ("voice,language,sex,licence,credit,held_out\nanna,,f,CC0-1.0,,\n", "the line of 'anna'"),
        ("voice,language,sex,licence,credit,held_out\nanna,de,f,CC0-1.0,,\nanna,de,f,CC0-1.0,,\n", "the line of 'anna'"),
        ("voice,language,sex,licence,credit,held_out\nanna,de,f,CC0-1.0,,maybe\n", "the line of 'anna'"),
        ("voice,language,sex,licence,credit,held_out\nanna,de\n", "AttributeError"),
    ],
)
def test_a_damaged_list_of_speakers_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    """Breaks if a speaker without a licence, twice in the list, or half a line is taken."""
    (tmp_path / "voices.csv").write_text(lines)
    with pytest.raises(InputError, match=rf"voices\.csv is damaged.*{message}"):
        read_voices(tmp_path)


@needs_voices
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "not a folder"),
        (["empty"], "holds 0 recordings"),
        (["silent"], "no usable recording among 1"),
        (["empty", "--language", "klingonish"], "found the language 'klingonish'"),
        (["silent", "--held-out", "noisy"], "found no voice noisy to hold out; expected one of silent"),
        (["--voice", "anna"], "found --voice without a folder"),
    ],
)
@pytest.mark.slow
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    write_wav(tmp_path / "silent" / "a.wav", np.zeros(SAMPLE_RATE, np.int16))
    (tmp_path / "silent" / "a.txt").write_text("Hello there, how are you?")
    done = run(*arguments, "-o", "prepared", cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "prepared").exists()
