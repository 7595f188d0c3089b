"""Readers of the corpus: texts, phones and scripts. Any input gives a valid result or one line, and valid input comes back."""

import gzip
import re
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from talker_cli.corpus.align.alignment import cover
from talker_cli.corpus.align.phonetics import IPA_TO_ARPABET, PHONES, english_words, number_words, phones_of_ipa, unknown_ipa
from talker_cli.corpus.speech import dialogues, festival
from talker_cli.corpus.speech.kokoro import read_vocabulary
from talker_cli.corpus.speech.sources import read_texts, spoken_text
from talker_cli.corpus.speech.transcribed import find_transcribed
from talker_cli.errors import InputError, MachineError, TalkerError
from talker_cli.metrics import SILENCE

QUICK = settings(max_examples=60, deadline=None)
WORD = st.text(st.characters(categories=("L",)), min_size=1, max_size=8)
SENTENCE = st.lists(WORD, min_size=1, max_size=6).map(" ".join)
UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen".split()
)
VALUES = {word: value for value, word in enumerate([*UNITS, "eighteen", "nineteen"])}
VALUES |= {word: 10 * value for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}


@QUICK
@given(SENTENCE, SENTENCE)
def test_transcripts_come_back_as_written(pair: str, listed: str) -> None:
    """Breaks if words of a transcript are lost or changed."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        for name in ("a.wav", "b.wav"):
            (folder / name).touch()
        (folder / "a.txt").write_text(f"\ufeff{pair}\n", encoding="utf-8")
        (folder / "x.trans.txt").write_text(f"b {listed}\n", encoding="utf-8")
        assert [file.text for file in find_transcribed(folder)] == [pair, listed.lower()]


@QUICK
@given(st.binary(max_size=200), st.binary(max_size=200))
@example(b"\x00", b"../../a text")
@example(b"\xe2\x80\xa8", b"/a text\n\xc2\x85 b")
def test_any_bytes_as_transcripts(text: bytes, listing: bytes) -> None:
    """Breaks if a text that is not one ends in a traceback or in an utterance of several lines."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "a.wav").touch()
        (folder / "a.txt").write_bytes(text)
        (folder / "x.trans.txt").write_bytes(listing)
        try:
            (file,) = find_transcribed(folder)
        except InputError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert file.name == "a" and bool(file.text) != bool(file.problem) and "\n" not in file.text


@QUICK
@given(st.lists(st.sampled_from(sorted(IPA_TO_ARPABET)), max_size=12))
def test_ipa_symbols_map_one_by_one(symbols: list[str]) -> None:
    """Breaks if a symbol is read as part of its neighbour, or a phone is lost."""
    ipa = ".".join(symbols)
    assert phones_of_ipa(ipa, "en") == [phone for symbol in symbols for phone in IPA_TO_ARPABET[symbol]]
    assert not unknown_ipa(ipa, "en")


@QUICK
@given(st.text(max_size=30), st.sampled_from(("en", "fr", "ru")))
def test_any_text_as_ipa(text: str, language: str) -> None:
    """Breaks if an unknown symbol is a traceback or a phone that the aligner does not have."""
    assert set(phones_of_ipa(text, language)) <= PHONES
    assert unknown_ipa(text, language) <= set(text.replace("g", "ɡ"))


@QUICK
@given(st.one_of(st.text(max_size=60), st.text("0123456789,.$%&'stndrh ADrM", max_size=40)))
@example("1" * 5000)
@example(f"the {'1' * 5000}th of 1{',000' * 9}")
def test_any_text_as_english_words(text: str) -> None:
    """Breaks if a text is a traceback, or a word is one that no dictionary can have."""
    assert all(re.fullmatch(r"[a-z]\.|[a-z][a-z']*", word) for word in english_words(text))


@QUICK
@given(st.integers(0, 999), st.text("0123456789", min_size=4, max_size=12))
def test_numbers_are_their_words(value: int, digits: str) -> None:
    """Breaks if a number is spoken as another."""
    total = 0
    for word in number_words(str(value)):
        total = 100 * total if word == "hundred" else total + VALUES[word]
    assert total == value
    assert "".join(str(VALUES[word]) for word in number_words(digits)) == digits


@QUICK
@given(
    st.lists(st.tuples(st.sampled_from(("AA", "B", SILENCE)), st.floats(-1, 9), st.floats(-1, 9)), max_size=8),
    st.floats(0.01, 8),
)
def test_covering_segments_leaves_no_gap(segments: list[tuple[str, float, float]], duration: float) -> None:
    """Breaks if an instant has no phone, two phones, or one beyond the recording."""
    covered = cover(segments, duration)
    assert covered[0][1] == 0.0 and covered[-1][2] == pytest.approx(duration, abs=1e-4)
    assert all(left[2] == right[1] for left, right in pairwise(covered))
    assert not any(left[0] == right[0] == SILENCE for left, right in pairwise(covered))
    assert all(start <= end for _, start, end in covered)


@QUICK
@given(st.sampled_from(sorted(festival.PHONE_SETS)), st.data())
def test_festivals_labels_become_phones(language: str, data: st.DataObject) -> None:
    """Breaks if a symbol's time is lost, or its phones are not the table's."""
    names = data.draw(st.lists(st.sampled_from(sorted(festival.PHONE_SETS[language])), max_size=8))
    timed = festival.segments("#\n" + "".join(f"{0.1 * (at + 1):.3f} 100 {name}\n" for at, name in enumerate(names)), language)
    assert all(left[2] == pytest.approx(right[1]) for left, right in pairwise(timed))
    assert not names or timed[-1][2] == pytest.approx(0.1 * len(names))
    if language != "ca":  # whose b may be an approximant
        assert [phone for phone, _, _ in timed] == [
            p for name in names for p in festival.PHONE_SETS[language][name] or (SILENCE,)
        ]


@QUICK
@given(st.text("0123456789.-einfa b#\n", max_size=60))
@example("nan 100 a")
@example("0.2 100 a\n0.1 100 b")
@example("0.1 100 nosuchphone")
def test_any_text_as_festivals_labels(labels: str) -> None:
    """Breaks if labels of another version are a traceback, or times run backwards."""
    try:
        timed = festival.segments(labels, "cs")
    except MachineError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(0 <= start <= end for _, start, end in timed)


@QUICK
@given(st.dictionaries(WORD, SENTENCE, max_size=4), st.integers(0, 10**6), st.integers(0, 255))
def test_a_packages_texts_come_back_and_a_damaged_list_is_one_line(texts: dict[str, str], place: int, value: int) -> None:
    """Breaks if a text is lost, or a damaged package is a traceback."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "texts.gz"
        data = gzip.compress("".join(f"; a note\n{name}: {text}\n" for name, text in texts.items()).encode())
        path.write_bytes(data)
        assert read_texts(path) == texts
        mutated = bytearray(data)
        mutated[place % len(data)] = value
        for damaged in (bytes(mutated), data[: place % len(data)]):
            path.write_bytes(damaged)
            try:
                assert all(isinstance(text, str) for text in read_texts(path).values())
            except MachineError as error:
                assert len(str(error).splitlines()) == 1


@QUICK
@given(st.text(max_size=60), st.sampled_from(("en", "it")))
def test_any_text_as_a_prompt(text: str, language: str) -> None:
    """Breaks if remarks, quotes or ellipses reach the aligner."""
    spoken = spoken_text(text, language)
    assert not re.search(r"[“”«»\"…]|\.\.|\s\s|\[[^\]]*\]", spoken) and spoken == spoken.strip()


@QUICK
@given(st.binary(max_size=300))
@example(b'dialogId("a", "font_big", "A")\ndialogStr("B")')
@example(b'dialogId("a", "font_big", "\xff")\ndialogStr("B")')
def test_any_bytes_as_a_games_script(script: bytes) -> None:
    """Breaks if a damaged package is a traceback, or a line without words becomes a recording."""
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        (Path(place) / "script" / "level").mkdir(parents=True)
        (Path(place) / "script" / "level" / "dialogs_cs.lua").write_bytes(script)
        patch.setattr(dialogues, "GAME", Path(place))
        try:
            subtitles = dialogues._read_subtitles("cs")
        except MachineError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert all(re.search(r"\w", text) for _, text in subtitles.values())


@QUICK
@given(
    st.one_of(
        st.binary(max_size=100), st.dictionaries(st.text(max_size=2), st.integers()).map(lambda each: repr(each).encode())
    )
)
@example(b'{"vocab": {"a": 1.5}}')
@example(b'{"vocab": []}')
def test_any_bytes_as_kokoros_vocabulary(data: bytes) -> None:
    """Breaks if a truncated download is a traceback."""
    with TemporaryDirectory() as place:
        (Path(place) / "vocab.json").write_bytes(data)
        with pytest.raises(TalkerError) as caught:
            read_vocabulary(Path(place))
        assert len(str(caught.value).splitlines()) == 1


def test_kokoros_vocabulary_comes_back(tmp_path: Path) -> None:
    """Breaks if a symbol gets another's token."""
    (tmp_path / "vocab.json").write_text('{"vocab": {"ə": 3, "a": 1}, "more": 1}', encoding="utf-8")
    assert read_vocabulary(tmp_path) == {"ə": 3, "a": 1}
