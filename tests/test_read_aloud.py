"""Tux Paint's descriptions and the Russian book as sources of the corpus."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from talker_cli.corpus.speech import read_aloud
from talker_cli.corpus.speech.recordings import prompt_shards
from talker_cli.errors import MachineError

TONE = (0.1 * np.sin(np.arange(22050) / 10)).astype(np.float32)


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "stamps" / "animals"
    folder.mkdir(parents=True)
    (folder / "cat.txt").write_text("A cat.\nda.utf8=En kat.\nde.utf8=Eine Katze.\n", encoding="utf-8")
    (folder / "dog.txt").write_text("A dog.\nda.utf8= … \n", encoding="utf-8")
    for name in ("cat_desc_da", "cat_desc_de", "cat_desc", "cat", "dog_desc_da", "no-text_desc_da"):
        soundfile.write(folder / f"{name}.ogg", TONE, 22050)
    monkeypatch.setattr(read_aloud, "STAMPS", tmp_path / "stamps")
    return folder


def test_a_description_is_read_in_its_language(stamps: Path) -> None:
    """Breaks if a sound effect, another language or a recording without words is taken, or a text is another's."""
    (shard,) = prompt_shards(["da"])
    (item,) = shard.read()
    assert (item.name, item.voice, item.language, item.espeak_voice) == ("tuxpaint_da/animals/cat", "tuxpaint_da", "da", "da")
    assert (item.text, item.human, item.problem) == ("En kat.", True, "")
    assert item.licence == "GPL-2.0, Joe Dalton and the Tux Paint team" and item.source == "tuxpaint-stamps-default"
    assert 16_000 <= len(item.speech) < 16_000 + 1024  # Vorbis ends with a whole block


def test_a_missing_or_damaged_package_is_named(stamps: Path) -> None:
    """Breaks if a missing package is a traceback or an empty corpus."""
    with pytest.raises(MachineError, match="apt-get install tuxpaint-stamps-default"):
        read_aloud.list_stamps("ro")
    (stamps / "cat.txt").write_bytes(b"\xff")
    with pytest.raises(MachineError, match=r"cat\.txt is damaged.*reinstall tuxpaint-stamps-default"):
        read_aloud.list_stamps("da")


def test_a_book_is_read_without_its_marks_of_stress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a text is read with the mark, or paired with another recording."""
    monkeypatch.setattr(read_aloud, "BOOK", tmp_path)
    with pytest.raises(MachineError, match=r"txt\.done\.data does not exist.*apt-get install festvox-ru"):
        read_aloud.list_book()
    (tmp_path / "etc").mkdir()
    (tmp_path / "wav").mkdir()
    listing = '( ru_0002 "прядь вол+ос," )\n( ru_0001 "Она сказала: да." )\n( ru_0003 "не записано" )\n'
    (tmp_path / "etc" / "txt.done.data").write_text(listing, encoding="utf-8")
    for name in ("ru_0001", "ru_0002"):
        (tmp_path / "wav" / f"{name}.wav").touch()
    assert [(each.name, each.path.name, each.text) for each in read_aloud.list_book()] == [
        ("ru_0001", "ru_0001.wav", "Она сказала: да."),
        ("ru_0002", "ru_0002.wav", "прядь волос,"),
    ]
