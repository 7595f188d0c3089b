"""Known words: pronunciations, their places by Viterbi, what is told of words that do not fit, and the files that hold them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Command

from talker_cli.animate import talker
from talker_cli.animate.text import align_text
from talker_cli.corpus.align.pronunciations import Word, words_of_text
from talker_cli.corpus.align.viterbi import place_words, unlikely_words
from talker_cli.corpus.speech.sentences import SENTENCES
from talker_cli.corpus.speech.synthesis import synthesise
from talker_cli.corpus.speech.voices import SYNTHETIC_VOICES
from talker_cli.errors import InputError
from talker_cli.formats.alignment import AlignedWord, TextAlignment, write_textgrid, write_tsv

SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"
SAID = (
    "I am afraid I was unable to create a connection to the Digium demonstration Asterisk server. "
    "You may find some helpful debugging information on the Asterisk console."
)
NAMES = ("A", "B", "C", "SIL")
PRIORS = np.full(4, 0.25)


def posteriors(spelled: str, certain: float = 0.94) -> np.ndarray:
    """Return posteriors of a letter an output; `-` is silence."""
    rows = np.full((len(spelled), 4), (1 - certain) / 3)
    rows[np.arange(len(spelled)), ["ABC-".index(letter) for letter in spelled]] = certain
    return rows


def words(*spelled: str) -> list[Word]:
    """Return words of letters, a space between two pronunciations."""
    return [Word(each, tuple(tuple(way) for way in each.split())) for each in spelled]


def test_words_lie_where_their_phones_do() -> None:
    """Breaks if a border lies beside the change of the phone, or if silence between words has to be there, or may not."""
    placed = place_words(posteriors("--AAABB--CCAA-"), PRIORS, NAMES, words("AB", "CA"), 10.0)
    assert placed.phones == (
        ("SIL", 0.0, 0.15), ("A", 0.15, 0.45), ("B", 0.45, 0.65), ("SIL", 0.65, 0.85), ("C", 0.85, 1.05), ("A", 1.05, 1.25),
        ("SIL", 1.25, 1.4),
    )  # fmt: skip
    assert [(word.text, word.start, word.end, word.score) for word in placed.words] == [
        ("AB", pytest.approx(0.15), pytest.approx(0.65), 0.0), ("CA", pytest.approx(0.85), pytest.approx(1.25), 0.0)
    ]  # fmt: skip
    close = place_words(posteriors("AABBCCAA"), PRIORS, NAMES, words("AB", "CA"), 10.0)
    assert [phone for phone, _, _ in close.phones] == ["A", "B", "C", "A"]


def test_every_phone_has_a_frame_of_the_motion() -> None:
    """Breaks if a short b falls between two frames at 30 a second, and the lips stay open."""
    rate = 50.0
    placed = place_words(posteriors("AAAAABCCCCCCBA"), PRIORS, NAMES, words("ABC", "BA"), rate)
    assert "".join(phone for phone, _, _ in placed.phones) == "ABCBA"
    assert min(end - start for _, start, end in placed.phones[1:-1]) >= 2 / rate - 1e-6 > 1 / 30
    crowded = place_words(posteriors("ABCABC"), PRIORS, NAMES, words("ABC", "ABC"), rate)
    assert len(crowded.phones) == 6  # no room for two outputs each


def test_the_pronunciation_that_fits_is_taken() -> None:
    """Breaks if the dictionary's first pronunciation is taken whatever is said."""
    for said in ("AACCAA", "AABBAA"):
        placed = place_words(posteriors(said), PRIORS, NAMES, words("ABA ACA"), 10.0)
        assert "".join(phone for phone, _, _ in placed.phones) == said[::2]


def test_the_best_path_is_the_best_of_all() -> None:
    """Breaks if the search loses a path: every path of a small recording is scored by hand."""
    rng = np.random.default_rng(0)
    for _ in range(8):
        shares = rng.dirichlet(np.ones(4), 5)
        placed = place_words(shares, PRIORS, NAMES, words("AB", "C"), 10.0)
        best = -np.inf
        for cuts in np.ndindex(*[6] * 5):  # ends of: silence, A, B, silence, C; silence to the end
            edges = [0, *cuts, 5]
            lengths = np.diff(edges)
            if (lengths < 0).any() or (lengths[[1, 2, 4]] < 1).any():
                continue
            spelled = np.repeat([3, 0, 1, 3, 2, 3], lengths)
            best = max(best, np.log(shares[np.arange(5), spelled]).sum())
        found = np.concatenate(
            [[NAMES.index(phone)] * round((end - start) * 10 + 1e-6) for phone, start, end in _rounded(placed)]
        )
        assert np.log(shares[np.arange(5), found]).sum() == pytest.approx(best, abs=1e-5)


def _rounded(placed: TextAlignment) -> list[tuple[str, float, float]]:
    """Return the phones with borders on outputs: a border lies half an output before its first."""
    edges = [0.0, *(round((start + 0.05) * 10) / 10 for _, start, _ in placed.phones[1:]), placed.seconds]
    return [(phone, edges[place], edges[place + 1]) for place, (phone, _, _) in enumerate(placed.phones)]


def test_words_that_are_not_said_are_told() -> None:
    """Breaks if a wrong text passes unseen, or if a right one is doubted."""
    right = place_words(posteriors("-AABB-CCAA-", 0.999), PRIORS, NAMES, words("AB", "CA"), 10.0)
    wrong = place_words(posteriors("-AABB-CCAA-", 0.999), PRIORS, NAMES, words("AB", "BBBBB"), 10.0)
    assert unlikely_words(right) == [] and [word.text for word in unlikely_words(wrong)] == ["BBBBB"]
    less = place_words(posteriors("-AABB-CCAA-", 0.999), PRIORS, NAMES, words("AB"), 10.0)
    assert right.unwritten == () and less.unwritten == ((pytest.approx(0.45), pytest.approx(1.1)),)


def test_more_words_than_the_sound_can_hold_are_refused() -> None:
    """Breaks if a text that is too long ends in a traceback or in an alignment of nothing."""
    with pytest.raises(InputError, match=r"found 4 words for 0\.5 s of sound, with more phones than it can hold"):
        place_words(posteriors("AABBC"), PRIORS, NAMES, words("AB", "AB", "AB", "AB"), 10.0)


def test_words_of_a_text() -> None:
    """Breaks if numbers, names or accents lose their words, or if a language's sounds are read as another's."""
    english = words_of_text("Dr. Bob's 28 zyzzogetons", "en-us")
    assert [word.text for word in english] == ["doctor", "bob's", "twenty", "eight", "zyzzogetons"]
    assert all(phone.isupper() for word in english for way in word.pronunciations for phone in way)
    if shutil.which("espeak-ng"):
        (velkem,) = words_of_text("velkém", "cs")
        assert velkem.pronunciations == (("V", "EY", "L", "K", "EY", "M"),)
        # Words are said as their clause has them, or alone: a liaison, a preposition; and marks belong to their letters.
        les, amis = words_of_text("Les amis !", "fr")
        assert les.pronunciations == (("L", "EY", "Z"), ("L", "EY")) and amis.text == "amis"
        assert words_of_text("k němu", "cs")[0].pronunciations == (("K",), ("K", "AA"))
        assert [word.text for word in words_of_text("पुस्तक, वाचले।", "mr")] == ["पुस्तक", "वाचले"]
        with pytest.raises(InputError, match="found the language 'xx'"):
            words_of_text("bonjour", "xx")
    with pytest.raises(InputError, match="found no words"):
        words_of_text(" … 、 ", "de")


def read_textgrid(path: Path) -> dict[str, list[tuple[str, float, float]]]:
    """Read a TextGrid by its grammar: strings in quotes and numbers, in their order."""
    tokens = re.findall(r'"((?:[^"]|"")*)"|(-?\d+(?:\.\d+)?)(?![\d\]])', path.read_text(encoding="utf-8"))
    values = [text.replace('""', '"') if not number else float(number) for text, number in tokens]
    tiers, at = {}, 5  # after the two headers, the two ends and the number of tiers
    for _ in range(int(values[4])):
        assert values[at] == "IntervalTier"
        name, count = values[at + 1], int(values[at + 4])
        rows = values[at + 5 : at + 5 + 3 * count]
        tiers[name] = [(rows[place + 2], rows[place], rows[place + 1]) for place in range(0, 3 * count, 3)]
        at += 5 + 3 * count
    assert at == len(values)
    return tiers


def test_files_hold_the_alignment(tmp_path: Path) -> None:
    """Breaks if Praat would read other words, other times, or tiers with holes."""
    aligned = TextAlignment(
        (AlignedWord('say "ah"', 0.2, 0.5, -0.1), AlignedWord("so", 0.5, 0.9, -0.1)),
        (("SIL", 0.0, 0.2), ("AA", 0.2, 0.5), ("S", 0.5, 0.9), ("SIL", 0.9, 1.25)),
    )
    write_textgrid(aligned, tmp_path / "a.TextGrid")
    assert read_textgrid(tmp_path / "a.TextGrid") == {
        "words": [("", 0.0, 0.2), ('say "ah"', 0.2, 0.5), ("so", 0.5, 0.9), ("", 0.9, 1.25)],
        "phones": [("", 0.0, 0.2), ("AA", 0.2, 0.5), ("S", 0.5, 0.9), ("", 0.9, 1.25)],
    }
    write_tsv(aligned, tmp_path / "a.phones.tsv")
    assert (tmp_path / "a.phones.tsv").read_text().splitlines()[:3] == [
        "kind\tlabel\tstart\tend", 'word\tsay "ah"\t0.2000\t0.5000', "word\tso\t0.5000\t0.9000"
    ]  # fmt: skip


def test_a_recording_with_its_text(invoke: Command, model: Path, tmp_path: Path) -> None:
    """Breaks if words are lost on the way to a file, if a model does not say that it has no use for them."""
    (tmp_path / "said.txt").write_text(SAID, encoding="utf-8")
    outputs = ("-o", "a.TextGrid", "-o", "a.phones.tsv", "-o", "a.csv")
    run = invoke("animate", SPEECH, "--model", model, "--device", "cpu", "--text", "said.txt", *outputs)
    assert "this model does not read phones" in run.err and "does not fit" not in run.err
    tiers = read_textgrid(tmp_path / "a.TextGrid")
    spoken = [word for word, _, _ in tiers["words"] if word]
    assert spoken == re.sub(r"[.,]", "", SAID.lower()).split()
    assert tiers["phones"][-1][2] == pytest.approx(10.51, abs=0.03)
    assert len(np.loadtxt(tmp_path / "a.csv", delimiter=",", skiprows=1, dtype=str)) == 315
    told = invoke("animate", SPEECH, "--text", "Bananas are purple monkeys", "-o", "b.phones.tsv").err
    assert "the text does not fit the sound: '" in told


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_phones_of_an_unheard_voice_lie_at_its_own_times() -> None:
    """Breaks if the posteriors are late or early, or read another phone set than the words are spelled in.

    The head that reads phones never heard flite's slt.
    """
    speech, truth = synthesise(next(voice for voice in SYNTHETIC_VOICES if voice.name == "flite_slt"), SENTENCES[0])
    aligned = align_text([speech.astype(np.float32) / 32768], SENTENCES[0], "en-us")
    lips = [[(phone, start) for phone, start, _ in phones if phone in "PBM"] for phones in (truth, aligned.phones)]
    assert [phone for phone, _ in lips[0]] == [phone for phone, _ in lips[1]] and len(lips[0]) >= 3
    errors = [abs(one[1] - other[1]) for one, other in zip(*lips, strict=True)]
    assert np.median(errors) < 0.02 and max(errors) < 0.05


def test_text_beside_recordings(invoke: Command, tmp_path: Path) -> None:
    """Breaks if a recording gets another's text, or if one without a text stops the others."""
    for name in ("one", "two"):
        shutil.copyfile(SPEECH, tmp_path / f"{name}.wav")
    (tmp_path / "one.txt").write_text(SAID, encoding="utf-8")
    run = invoke("animate", "one.wav", "two.wav", "--text", "auto", "-o", "{name}.json")
    assert "found no two.txt; two.wav is animated by its sound alone" in run.err
    assert json.loads((tmp_path / "one.json").read_text())["names"]
    assert "expected auto" in invoke("animate", "one.wav", "two.wav", "--text", "hello").mistake
    assert "expected the text" in invoke("animate", "one.wav", "-o", "x.TextGrid").mistake
    assert not (tmp_path / "x.TextGrid").exists()


def test_samples_share_the_place_of_the_words(invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if each sample searches the recording again, or writes its words over another's."""
    searches: list[str] = []
    search = talker.align_text
    monkeypatch.setattr(talker, "align_text", lambda *given: searches.append(given[1]) or search(*given))
    invoke("animate", SPEECH, "--samples", "3", "--text", SAID, "-o", "a.phones.tsv", "-o", "a.npz")
    assert searches == [SAID]
    assert len({(tmp_path / f"a-{number}.phones.tsv").read_bytes() for number in (1, 2, 3)}) == 1
    assert len({(tmp_path / f"a-{number}.npz").read_bytes() for number in (1, 2, 3)}) == 3


def test_a_language_without_a_text_is_refused(invoke: Command) -> None:
    """Breaks if a language is taken and does nothing."""
    assert "found --language with --stream" in invoke("animate", "-", "--stream", "--language", "de").mistake
    assert "found the language de without a text" in invoke("animate", SPEECH, "--language", "de").mistake
