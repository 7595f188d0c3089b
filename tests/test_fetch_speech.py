"""The tool that fetches public recordings: from repositories of git to a folder with its list of speakers."""

import runpy
import subprocess
import wave
from pathlib import Path
from typing import Any

import pytest

from talker_cli.corpus.speech.transcribed import file_shards, find_transcribed, read_voices

TOOL = Path(__file__).parents[1] / "tools" / "fetch_speech.py"


def write_wav(path: Path, frames: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(frames)


def repository(folder: Path, name: str, text: str) -> Path:
    """Write one recording and its text to a repository, with a folder that nobody asks for."""
    write_wav(folder / "data" / f"{name}.wav", b"\1\0" * 800)
    (folder / "data" / f"{name}.txt").write_text(text)
    (folder / "other").mkdir()
    (folder / "other" / "large.bin").write_bytes(bytes(1000))
    for arguments in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "speech"]):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)
    return folder


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the tool's names, its sources two small repositories on this machine."""
    config = tmp_path / "gitconfig"
    for owner, text in (("one", "hello there"), ("two", "good evening")):
        here = repository(tmp_path / owner, f"{owner}_1", text)
        with config.open("a") as file:
            file.write(f'[url "{here}"]\n\tinsteadOf = https://github.com/{owner}/speech.git\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    names = runpy.run_path(str(TOOL))

    def read(clone: Path) -> Any:
        assert not (clone / "other").exists()
        for path in (clone / "data").glob("*.wav"):
            voice = path.stem.partition("_")[0]
            yield names["Spoken"](voice, "de" if voice == "two" else "en", "f", path, path.with_suffix(".txt").read_text())

    sources = [names["Source"](f"{owner}/speech", ("data",), read, 1, "CC0-1.0", "Anna") for owner in ("one", "two")]
    names["main"].__globals__["SOURCES"] = tuple(sources)
    names["main"].__globals__["HELD_OUT"] = frozenset({"two"})
    return names


def test_speech_is_fetched_once_and_an_interrupted_run_goes_on(tool: dict[str, Any], tmp_path: Path) -> None:
    """Breaks if a source is fetched twice, a failed one leaves a list of speakers behind, or a licence or a text is lost."""
    folder = tmp_path / "speech"
    hidden = (tmp_path / "two").rename(tmp_path / "away")
    with pytest.raises(subprocess.CalledProcessError):
        tool["main"](folder)
    assert not (folder / "voices.csv").exists() and (folder / "one" / "data" / "one_1.wav").is_file()
    hidden.rename(tmp_path / "two")
    (tmp_path / "one").rename(tmp_path / "away")
    tool["main"](folder)
    voices = read_voices(folder)
    assert {name: (each.language, each.licence, each.held_out) for name, each in voices.items()} == {
        "one": ("en", "CC0-1.0, Anna", False), "two": ("de", "CC0-1.0, Anna", True)
    }  # fmt: skip
    assert {(each.voice, each.text, each.problem) for each in find_transcribed(folder)} == {
        ("one", "hello there", ""), ("two", "good evening", "")
    }  # fmt: skip
    assert [(shard.language, shard.espeak_voice, shard.licence) for shard in file_shards(folder, voices)] == [
        ("en", "en-us", "CC0-1.0, Anna"), ("de", "de", "CC0-1.0, Anna")
    ]  # fmt: skip
    assert not (folder / "clone").exists()


def test_few_recordings_of_each_speaker_are_kept(tool: dict[str, Any], tmp_path: Path) -> None:
    """Breaks if a speaker keeps more than asked for, others by the day, or one speaker's recordings crowd out another's."""
    here = tmp_path / "one"
    for number in range(2, 30):
        voice = "anna" if number % 2 else "one"
        write_wav(here / "data" / f"{voice}_{number}.wav", b"\1\0" * 800)
        (here / "data" / f"{voice}_{number}.txt").write_text("hello")
    subprocess.run(["git", "-C", here, "add", "."], check=True)
    subprocess.run(["git", "-C", here, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "more"], check=True)
    kept = []
    for name in ("a", "b"):
        tool["main"](tmp_path / name, 3)
        kept.append(sorted((each.voice, each.name) for each in find_transcribed(tmp_path / name)))
    assert kept[0] == kept[1] and [voice for voice, _ in kept[0]] == ["anna"] * 3 + ["one"] * 3 + ["two"]


def test_a_repository_that_lost_its_recordings_is_refused(tool: dict[str, Any], tmp_path: Path) -> None:
    """Breaks if a changed repository makes a smaller corpus without a word."""
    (tmp_path / "two" / "data" / "two_1.txt").write_text(" ")
    subprocess.run(
        ["git", "-C", tmp_path / "two", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "none"], check=True
    )
    with pytest.raises(SystemExit, match="two/speech has 0 recordings with a text; expected 1 or more"):
        tool["main"](tmp_path / "speech")


def test_digits_are_joined_with_their_text(tmp_path: Path) -> None:
    """Breaks if a digit's sound and its word part."""
    names = runpy.run_path(str(TOOL))
    for number in range(3):
        for digit in range(4):
            write_wav(tmp_path / "recordings" / f"{digit}_anna_{number}.wav", bytes([digit, 0]) * 100)
    spoken = list(names["read_digits"](tmp_path))
    assert [len(each.text.split()) for each in spoken] == [10, 2]
    for each in spoken:
        assert (each.voice, each.language, each.path.parent.name) == ("digits_anna", "en", "joined")
        with wave.open(str(each.path), "rb") as sound:
            frames = sound.readframes(sound.getnframes())
        assert [names["DIGITS"][frames[at]] for at in range(0, len(frames), 200)] == each.text.split()
