"""The weights that ship, on the recording that ships: no model in training heard it, or any other voice saying its text."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from talker_cli.animate.animator import load_animator
from talker_cli.animate.talker import Talker
from talker_cli.corpus.articulate.emotion import EMOTIONS
from talker_cli.evaluate.model import loudness_coefficients
from talker_cli.formats.audio import SAMPLE_RATE, load_speech
from talker_cli.head import STAND_INS, build_head
from talker_cli.metrics import Articulation
from talker_cli.model.built_in import built_in_head
from talker_cli.model.config import COMPACT, WHISPER
from talker_cli.model.folder import DEFAULT_MODEL, SMALL_MODEL, model_folder
from talker_cli.model.whisper import describe
from talker_cli.rig import ARKIT_NAMES, HEAD_NAMES, load_rig

SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"

# Forced alignment of "I am afraid I was unable to create a connection to the Digium demonstration Asterisk server. You may
# find some helpful debugging information on the Asterisk console.": what the lips must show, seconds.
PHONES = (
    ("AY", 0.16, 0.23), ("AE", 0.23, 0.29), ("M", 0.29, 0.37), ("AY", 0.80, 0.91), ("B", 1.55, 1.59), ("M", 3.55, 3.66),
    ("M", 3.83, 3.88), ("AE", 4.53, 4.86), ("M", 6.19, 6.24), ("AY", 6.48, 6.61), ("M", 6.79, 6.85), ("P", 7.10, 7.13),
    ("B", 7.58, 7.70), ("M", 8.25, 8.32), ("AA", 8.61, 8.68), ("AE", 8.84, 9.06), ("AA", 9.47, 9.60),
)  # fmt: skip


@pytest.fixture(scope="module", params=[DEFAULT_MODEL, SMALL_MODEL])
def gaps(request: pytest.FixtureRequest) -> dict[str, list[np.ndarray]]:
    """The mouth gaps (T,) of three samples of a shipped student for each identity, and of a jaw that follows the loudness."""
    folder = model_folder(request.param)
    student, speech = load_animator(folder, "8", "cpu"), load_speech(SPEECH)
    rig = load_rig(folder / "rig.safetensors").rig
    rows = rig.lip_gap_rows()

    def gap(coefficients: np.ndarray) -> np.ndarray:
        return np.asarray(np.maximum(coefficients @ rows.T, 0).mean(1))

    found = {
        person.name: [gap(student.coefficients(speech, person.name, seed=10 * number + sample)) for sample in range(3)]
        for number, person in enumerate(STAND_INS)
    }
    loudness = loudness_coefficients(speech, len(next(iter(found.values()))[0]), rig.fps, rig.names)
    return found | {"loudness": [gap(loudness)]}


def articulation(gaps: Iterable[np.ndarray]) -> dict[str, float]:
    counts = Articulation.empty()
    for gap in gaps:
        counts.add(gap, PHONES, 30.0)
    return counts.summary()


@pytest.mark.slow
def test_every_identity_closes_and_opens_where_the_speech_does(gaps: dict[str, list[np.ndarray]]) -> None:
    """Breaks if weights, features, sampler or rig no longer belong together: no lip movement by chance reaches this."""
    people = {name: articulation(samples) for name, samples in gaps.items() if name != "loudness"}
    for name, summary in people.items():
        assert summary["bilabials"] == 27 and summary["vowels"] == 24
        assert summary["vowels_open"] >= 0.85 and summary["auc"] >= 0.9, (name, summary)
    # Of 216.
    closed = np.mean([summary["bilabials_closed"] for summary in people.values()])
    assert closed >= 0.8 and closed > articulation(gaps["loudness"])["bilabials_closed"]


def test_identities_speak_in_manners_of_their_own(gaps: dict[str, list[np.ndarray]]) -> None:
    """The widest opening differs between the least and the most lively by half and more."""
    widest = sorted(np.percentile(np.concatenate(gap), 95) for name, gap in gaps.items() if name != "loudness")
    assert widest[-1] > 1.5 * widest[0]


@pytest.mark.slow
def test_the_shipped_rig_is_the_head_of_this_code() -> None:
    """Breaks if the head changes and the weights' rig is not made again."""
    shipped, built = built_in_head(), build_head()
    assert shipped.rig.names == built.rig.names and list(shipped.identities)[: len(STAND_INS)] == list(built.identities)
    assert np.allclose(shipped.rig.basis, built.rig.basis, atol=1e-6)
    for name in list(shipped.identities)[len(STAND_INS) :]:
        assert np.allclose(shipped.identities[name].template, built.rig.template, atol=1e-6), f"{name} has a real face"
    for name, person in built.identities.items():
        assert np.allclose(shipped.identities[name].template, person.template, atol=1e-6)
        shade = np.abs(shipped.identities[name].colors.astype(int) - person.colors.astype(int))
        assert shade.max() <= 2  # of 255: another processor rounds differently


def test_the_student_is_small_with_everything_it_needs() -> None:
    """Breaks if the weights grow beyond what may ship: 12 MB for student and head, 45 with Whisper, 45 for the teacher."""
    folders = model_folder("talker-base"), describe().folder
    size = {path.name: path.stat().st_size for folder in folders for path in folder.iterdir()}
    assert size["student.safetensors"] + size["rig.safetensors"] <= 12e6 and size["teacher.safetensors"] <= 45e6
    assert size["student.onnx"] <= 1.2 * size["student.safetensors"]
    needed = ("student.safetensors", "rig.safetensors", "encoder.onnx", "phones.safetensors")
    assert sum(size[name] for name in needed) <= 45e6
    small = {path.name: path.stat().st_size for path in model_folder(SMALL_MODEL).iterdir()}
    assert small["student.onnx"] <= 10e6 and "teacher.safetensors" not in small


def test_the_model_is_what_the_readme_says() -> None:
    """Breaks if other weights are shipped: without a head that turns, without emotions, voices or the one captured person."""
    config, faces = load_animator(model_folder("talker-base"), "8", "cpu").config, built_in_head().identities
    small = load_animator(model_folder(SMALL_MODEL), "8", "cpu").config
    own = {"audio_encoder": COMPACT, "encoder_width": small.encoder_width, "pretrained_hash": "", "pretrained_width": 0}
    assert small == replace(config, **own)
    gains = dict(zip(config.names, config.postfilter, strict=True))
    assert (gains["jawOpen"], gains["mouthClose"], gains["mouthPucker"], gains["eyeBlinkLeft"]) == (0.1, 0.1, 0.5, 0.0)
    assert config.names == (*ARKIT_NAMES, *HEAD_NAMES) and config.audio_encoder == WHISPER and config.voice_measures
    assert config.emotions == tuple(sorted(EMOTIONS)) and len(config.identities) > 400
    assert list(faces) == [person.name for person in STAND_INS] + ["grid_s1"] and set(faces) <= set(config.identities)
    assert faces["grid_s1"].about.startswith("captured: ")


def test_every_recording_has_noise_of_its_own(tmp_path: Path) -> None:
    """Under one seed: the same bytes give the same motion; with a sample more, the eyes blink at other times."""
    speech = load_speech(SPEECH)
    soundfile.write(tmp_path / "a.wav", speech, SAMPLE_RATE)
    shutil.copy(tmp_path / "a.wav", tmp_path / "copy.wav")
    soundfile.write(tmp_path / "more.wav", np.append(speech, 0.0), SAMPLE_RATE)
    talker = Talker.load("talker-base", device="cpu")
    first, copy, more = (talker.animate(tmp_path / f"{name}.wav").coefficients for name in ("a", "copy", "more"))
    lid = ARKIT_NAMES.index("eyeBlinkLeft")
    assert np.array_equal(first, copy)
    assert np.corrcoef(first[:, lid], more[:, lid])[0, 1] < 0.5
