"""The dialogues of a game and the voices of Kokoro, as sources of the corpus."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from talker_cli.corpus.speech import dialogues
from talker_cli.corpus.speech.kokoro import FILES, STYLE_WIDTH, kokoro_shards
from talker_cli.corpus.speech.kokoro import _styles as styles
from talker_cli.corpus.speech.recordings import prompt_shards
from talker_cli.corpus.speech.voices import HELD_OUT_VOICES
from talker_cli.errors import InputError, MachineError

SCRIPT = """
dialogId("kuf-m-je", "font_small", "Oh no, \\"not\\" again...")
dialogStr("Jé, už zase...")


dialogId("kuf-v-noco", "font_big", "Nothing we can do.")
dialogStr("No, co naděláme.")

dialogId("kuf-x-bum", "font_robodog", "Bang.")
dialogStr("Bum.")

dialogId("kuf-v-mlci", "font_big", "...")
dialogStr("...")
"""


@pytest.fixture
def game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "script" / "briefcase").mkdir(parents=True)
    (tmp_path / "script" / "briefcase" / "dialogs_cs.lua").write_text(SCRIPT, encoding="utf-8")
    sounds = tmp_path / "sound" / "briefcase" / "cs"
    sounds.mkdir(parents=True)
    tone = (0.1 * np.sin(np.arange(22050) / 10)).astype(np.float32)
    for name in ("kuf-m-je", "kuf-v-noco", "kuf-x-bum", "kuf-v-mlci", "no-subtitle"):
        soundfile.write(sounds / f"{name}.ogg", tone, 22050)
    monkeypatch.setattr(dialogues, "GAME", tmp_path)
    return tmp_path


def test_lines_are_listed_with_their_speaker_and_text(game: Path) -> None:
    lines = dialogues.list_dialogues("cs")
    assert [(line.source.voice, line.name, line.text) for line in lines] == [
        ("fillets_cs_big", "briefcase/kuf-v-noco", "No, co naděláme."),
        ("fillets_cs_small", "briefcase/kuf-m-je", "Jé, už zase"),
    ], "a line without words, of a voice behind effects, or without a subtitle must not be in the corpus"
    (shard,) = prompt_shards(["cs"])
    spoken = list(shard.read())
    assert [item.language for item in spoken] == ["cs", "cs"] and all(item.human for item in spoken)
    # 22,050 samples a second became 16,000; Vorbis ends with a whole block.
    assert all(16_000 <= len(item.speech) < 16_000 + 1024 for item in spoken)


def test_a_recording_without_sound_is_left_out_with_a_reason(game: Path) -> None:
    """Breaks if an empty file stops the corpus or becomes a recording."""
    path = game / "sound" / "briefcase" / "cs" / "kuf-m-je.ogg"
    soundfile.write(path, np.zeros(0, np.float32), 22050)
    (shard,) = prompt_shards(["cs"])
    assert {item.name: item.problem for item in shard.read()} == {
        "fillets_cs_big/briefcase/kuf-v-noco": "", "fillets_cs_small/briefcase/kuf-m-je": "empty"
    }  # fmt: skip


def test_the_missing_package_is_named(game: Path) -> None:
    """Breaks if a missing package is a traceback or an empty corpus."""
    with pytest.raises(MachineError, match="apt-get install fillets-ng-data fillets-ng-data-nl"):
        dialogues.list_dialogues("nl")


@pytest.fixture
def kokoro(tmp_path: Path) -> Path:
    """A folder with Kokoro's files in place, though without a network."""
    (tmp_path / "voices").mkdir()
    for name in ("model.onnx", "vocab.json"):
        (tmp_path / name).write_text("{}")
    for value, name in enumerate(("af_one", "am_two", "ff_three", "if_four", "zf_five")):
        np.full((510, STYLE_WIDTH), float(value), np.float32).tofile(tmp_path / "voices" / f"{name}.bin")
    return tmp_path


def test_kokoros_voices_and_pairs_divide_the_minutes_without_the_held_out_language(kokoro: Path) -> None:
    """Breaks if held-out speech is trained on, or minutes are lost."""
    prompts = {"fr": ["Appuyez sur le bouton pour parler."], "en": ["Press the button to speak."]}
    shards = kokoro_shards(kokoro, 10.0, prompts, seed=0)
    assert [shard.voice.voice for shard in shards] == [
        "af_one",
        "am_two",
        "ff_three",
        "zf_five",
        "af_one+ff_three",
        "ff_three+zf_five",
    ]
    assert sum(shard.seconds for shard in shards) == pytest.approx(600.0)
    assert [shard.voice.language for shard in shards] == ["en", "en", "fr", "en", "en", "en"]
    assert {shard.voice.name for shard in shards}.isdisjoint(HELD_OUT_VOICES)
    assert set(shards[2].texts) >= set(prompts["fr"]) and len({shard.voice.rate for shard in shards}) > 1
    assert np.array_equal(styles(kokoro, "am_two+ff_three"), np.full((510, STYLE_WIDTH), 1.5))


def test_broken_files_of_kokoro_are_refused(kokoro: Path) -> None:
    """Breaks if a truncated download is a traceback."""
    np.zeros(STYLE_WIDTH + 1, np.float32).tofile(kokoro / "voices" / "af_one.bin")
    with pytest.raises(InputError, match=r"af_one\.bin holds 257 numbers; expected a multiple of 256"):
        styles(kokoro, "af_one")
    for name in FILES[:2]:
        (kokoro / name).unlink()
    with pytest.raises(InputError, match=r"holds no model\.onnx.*tools/fetch_kokoro\.sh"):
        kokoro_shards(kokoro, 10.0, {}, seed=0)
