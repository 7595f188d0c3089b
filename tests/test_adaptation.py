"""Phones realigned by models of a voice's own sounds come nearer to where the voice has them."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from test_transcribed import needs_voices

from talker_cli.corpus.align.adaptation import cepstra, realign
from talker_cli.corpus.prepare import prepare_folder
from talker_cli.corpus.speech.sentences import SENTENCES
from talker_cli.corpus.speech.synthesis import synthesise
from talker_cli.corpus.speech.voices import SYNTHETIC_VOICES
from talker_cli.metrics import SILENCE, Phones


@pytest.fixture(scope="module")
def spoken() -> list[tuple[np.ndarray, Phones]]:
    """Return a voice's speech and its own phones."""
    voice = next(voice for voice in SYNTHETIC_VOICES if voice.name == "flite_rms")
    return [synthesise(voice, text) for text in SENTENCES[:24]]


def jittered(phones: Phones, rng: np.random.Generator) -> Phones:
    """Return phones with their inner borders moved by up to 40 ms, in the same order."""
    borders = [0.0]
    for _, _, end in phones[:-1]:
        borders.append(max(borders[-1] + 0.005, end + float(rng.uniform(-0.04, 0.04))))
    duration = phones[-1][2]
    borders = [min(border, duration - 0.001 * (len(phones) - index)) for index, border in enumerate(borders)] + [duration]
    names = [phone for phone, _, _ in phones]
    return tuple(zip(names, borders[:-1], borders[1:], strict=True))


def errors(ours: list[Phones], truths: list[Phones]) -> np.ndarray:
    """Return the distance of every sound's start from its true one, seconds."""
    pairs = []
    for mine, truth in zip(ours, truths, strict=True):
        starts = [[(phone, start) for phone, start, _ in phones if phone != SILENCE] for phones in (mine, truth)]
        assert [phone for phone, _ in starts[0]] == [phone for phone, _ in starts[1]]  # no phone is lost and none is added
        pairs += [abs(a - b) for (_, a), (_, b) in zip(*starts, strict=True)]
    return np.array(pairs)


@pytest.mark.slow
@needs_voices
def test_jittered_phones_come_back_to_their_sounds(spoken: list[tuple[np.ndarray, Phones]]) -> None:
    """From borders 20 ms off in the median, the voice's own sounds lead back to within 8 ms, and cover each recording."""
    rng = np.random.default_rng(0)
    truths = [phones for _, phones in spoken]
    before = [jittered(phones, rng) for phones in truths]
    after = realign([(speech, phones) for (speech, _), phones in zip(spoken, before, strict=True)])
    assert np.median(errors(before, truths)) > 0.018
    assert np.median(errors(after, truths)) < 0.008
    for phones, truth in zip(after, truths, strict=True):
        assert phones[0][1] == 0.0 and phones[-1][2] == pytest.approx(truth[-1][2], abs=1e-3)
        assert all(left[2] == right[1] for left, right in pairwise(phones))


@pytest.mark.slow
@needs_voices
def test_a_false_pause_vanishes_and_a_recording_too_short_for_its_phones_keeps_its_times(
    spoken: list[tuple[np.ndarray, Phones]],
) -> None:
    """Breaks if silences cannot be skipped, or a path that does not exist is followed."""
    middle = len(spoken[0][1]) // 2
    first = spoken[0][1]
    name, start, end = first[middle]
    with_pause = (*first[:middle], (SILENCE, start, start + 0.01), (name, start + 0.01, end), *first[middle + 1 :])
    stump = (
        spoken[1][0][:1600],
        tuple((phone, i * 0.1 / 40, (i + 1) * 0.1 / 40) for i, (phone, _, _) in enumerate(first[:40])),
    )
    after = realign([(spoken[0][0], with_pause), stump, *spoken[2:]])
    silences = [sum(phone == SILENCE for phone, _, _ in phones) for phones in (first, after[0])]
    assert silences[1] <= silences[0]
    assert after[1] == stump[1]


def test_features_do_not_depend_on_loudness_and_have_a_row_every_five_milliseconds() -> None:
    """Breaks if the level of a recording moves its phones, or rows and times come apart."""
    speech = (3000 * np.random.default_rng(0).normal(size=16_000)).astype(np.int16)
    assert cepstra(speech).shape == (200, 39)
    assert np.abs(cepstra(speech) - cepstra(2 * speech))[:, :13].max() < 1e-3
    assert cepstra(speech[:10]).shape == (1, 39)


@pytest.mark.slow
@needs_voices
def test_a_corpus_realigns_the_phones_of_voices_with_enough_recordings(
    spoken: list[tuple[np.ndarray, Phones]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The phones of a prepared folder lie nearer to the voice's own when its models are used."""
    import soundfile

    from talker_cli.corpus import build as building
    from talker_cli.data.dataset import Dataset
    from talker_cli.head import build_head

    spoken = spoken[:14]
    for index, (speech, _) in enumerate(spoken):
        soundfile.write(tmp_path / f"{index:02d}.wav", speech, 16_000)
        (tmp_path / f"{index:02d}.txt").write_text(SENTENCES[index])
    head, prepared = build_head(), []
    for least in (1e9, 10.0):
        monkeypatch.setattr(building, "LEAST_SPEECH", least)
        prepare_folder(tmp_path, tmp_path / f"{least}", rig=head, language="en", voice="rms", licence="CC0", processes=2)
        recordings = Dataset(tmp_path / f"{least}").recordings
        prepared.append({name.rsplit("/", 1)[-1]: recording.phones for name, recording in recordings.items()})
    near = []
    for phones_of in prepared:
        hits = [
            min(abs(start - at) for name, at, _ in phones_of[f"{index:02d}"] if name == phone) < 0.02
            for index, (_, phones) in enumerate(spoken)
            for phone, start, _ in phones
            if phone in ("P", "B", "M") and any(name == phone for name, _, _ in phones_of.get(f"{index:02d}", ()))
        ]
        near.append(float(np.mean(hits)))
    assert near[1] > near[0] + 0.05
