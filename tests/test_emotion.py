"""Emotions: parsed, faded, made by the rules with lips that still close, learned by a network and asked for by name."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Talker
from test_model import small_network, speech
from tiny import tiny_dataset

from talker_cli.animate.animator import Animator
from talker_cli.animate.stream import MotionStream
from talker_cli.corpus.articulate.articulation import articulate
from talker_cli.corpus.articulate.emotion import EMOTIONS, drawn_emotions, mood
from talker_cli.corpus.articulate.eyes import NAMES as EYES
from talker_cli.corpus.articulate.eyes import WIDE
from talker_cli.corpus.articulate.prosody import measure_prosody
from talker_cli.corpus.articulate.styles import SPEAKERS
from talker_cli.data.beat import emotion_of_name
from talker_cli.data.dataset import Dataset, write_dataset
from talker_cli.data.emotions import ALWAYS, FADE, parse_emotions, strengths
from talker_cli.errors import InputError
from talker_cli.model.built_in import built_in_head
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import Architecture
from talker_cli.model.frontend import MelFrontend
from talker_cli.model.graph import export_student
from talker_cli.model.onnx_runner import OnnxRunner
from talker_cli.model.sampling import Sampler
from talker_cli.model.torch_runner import TorchRunner, load_torch_runner
from talker_cli.rig import ARKIT_NAMES
from talker_cli.train.batches import ClipBank
from talker_cli.train.eyes import measured_eyes
from talker_cli.train.teacher import TrainConfig, train

PHONES = (
    ("SIL", 0.0, 0.3), ("B", 0.3, 0.4), ("AA", 0.4, 0.6), ("M", 0.6, 0.7), ("IY", 0.7, 0.9), ("W", 0.9, 1.0), ("AE", 1.0, 1.2),
    ("F", 1.2, 1.3), ("AO", 1.3, 1.5), ("P", 1.5, 1.6), ("IY", 1.6, 1.8), ("SIL", 1.8, 2.4),
)  # fmt: skip
SAMPLES = int(2.4 * 16_000)
SILENT = measure_prosody(np.zeros(SAMPLES, np.float32))
BROW = ARKIT_NAMES.index("browInnerUp")


def spoken(emotion: str | None, strength: float = 1.0, speaker: int = 2, fps: float = 120.0) -> np.ndarray:
    """Return the rules' motion of PHONES."""
    spans = () if emotion is None else ((0.0, 9.0, emotion, strength),)
    return articulate(PHONES, SAMPLES, SPEAKERS[speaker].style, SILENT, "k", fps, spans)[:, : len(ARKIT_NAMES)]


def test_emotions_are_parsed(tmp_path: Path) -> None:
    """Breaks if a strength, a name or a time line is read as something else."""
    assert parse_emotions("happy=0.4, surprised=.3") == ((0.0, ALWAYS, "happy", 0.4), (0.0, ALWAYS, "surprised", 0.3))
    assert parse_emotions("neutral=1") == ()
    line = tmp_path / "moods.csv"
    line.write_text("start,end,emotion,strength\n0,2.5,happy,0.6\n2.5,4,neutral,1\n4,9,sad,1\n")
    assert parse_emotions(str(line)) == ((0.0, 2.5, "happy", 0.6), (4.0, 9.0, "sad", 1.0))
    for text in ("happy", "=0.5", "happy=", "happy=2", "happy=-0.1", "happy=nan", "happy=0.3,happy=0.4", "no.csv"):
        with pytest.raises(InputError, match="expected"):
            parse_emotions(text)
    for rows in ("", "start,end\n0,1\n", "start,end,emotion,strength\n2,1,happy,1\n", "start,end,emotion,strength\n0,1,,1\n",
                 "start,end,emotion,strength\n0,1,happy,x\n", "start,end,emotion,strength\n0,inf,happy,1\n"):  # fmt: skip
        line.write_text(rows)
        with pytest.raises(InputError, match=r"moods\.csv"):
            parse_emotions(str(line))


def test_emotions_fade_smoothly_into_one_another() -> None:
    """Breaks if a change jumps, if the sum dips where an emotion goes on, or if the first one starts from nothing."""
    times = np.arange(0, 6, 0.01)
    spans = ((0.0, 2.0, "a", 0.8), (2.0, 4.0, "b", 0.5), (4.0, 9.0, "b", 0.5))
    found = strengths(spans, ("b", "a"), times)
    assert found[0, 1] == pytest.approx(0.8) and found[-1, 0] == pytest.approx(0.5)
    assert np.abs(found[times > 2.5, 0] - 0.5).max() < 1e-6
    assert np.abs(np.diff(found, axis=0)).max() < 0.8 * 1.6 * 0.01 / FADE
    crossing = (times > 1.5) & (times < 2.5)
    assert np.abs(found[crossing, 1] / 0.8 + found[crossing, 0] / 0.5 - 1).max() < 1e-6
    assert not strengths(spans, ("c",), times).any()


@pytest.mark.parametrize("name", EMOTIONS)
@pytest.mark.parametrize("speaker", [2, 3])
def test_lips_close_in_every_emotion(name: str, speaker: int) -> None:
    """Breaks if a smile, a sneer or a dropped jaw holds the lips open at p, b, m, or in a pause."""
    rows = built_in_head().rig.lip_gap_rows()
    gap = 1000 * np.maximum(spoken(name, 1.0, speaker) @ rows.T, 0.0).mean(1)
    for phone, start, end in PHONES:
        inside = gap[int(start * 120) : int(end * 120)]
        if phone in ("B", "M", "P"):
            assert inside.min() < 0.1
        if phone in ("AA", "AE", "AO"):
            assert inside.max() > (2.5 if phone == "AO" else 4.0)  # captured faces open 3.6 mm at ɔː
    assert gap[int(2.1 * 120) :].max() < 0.1


@pytest.mark.parametrize("name", EMOTIONS)
def test_strength_is_linear(name: str) -> None:
    """Breaks if half of an emotion looks like all or nothing of it: off by under a tenth of the largest change."""
    own = [column for column, each in enumerate(ARKIT_NAMES) if each not in (*EYES, *WIDE)]
    none, half, whole = (spoken(emotion, size)[:, own] for emotion, size in ((None, 0), (name, 0.5), (name, 1.0)))
    change = np.abs(whole - none).max()
    assert change > 0.15
    assert np.abs((half - none) - 0.5 * (whole - none)).max() < 0.1 * change


def test_emotions_differ_from_one_another_and_neutral_is_none() -> None:
    """Breaks if two names give one face, or a strength of 0 gives another than none."""
    faces = {name: spoken(name).mean(0) for name in EMOTIONS}
    names = list(faces)
    for index, name in enumerate(names):
        assert all(np.abs(faces[name] - faces[other]).max() > 0.1 for other in names[:index]), name
    assert np.array_equal(spoken("happy", 0.0), spoken(None))
    assert mood(((0.0, 9.0, "bored", 1.0),), np.array([1.0])).lid[0] > 0.2  # type: ignore[index]


def test_drawn_emotions_are_a_share_of_the_clips() -> None:
    """Breaks if a corpus has too few clips with emotions, draws others when it is built again, or exceeds a clip."""
    drawn = [drawn_emotions(f"0|{number}", 4.0, 0.3) for number in range(2000)]
    assert drawn == [drawn_emotions(f"0|{number}", 4.0, 0.3) for number in range(2000)]
    assert 0.26 < sum(map(bool, drawn)) / len(drawn) < 0.34
    assert {name for spans in drawn for _, _, name, _ in spans} == set(EMOTIONS)
    for spans in drawn:
        assert all(0 <= start < end <= 5.0 and 0 < size <= 1 for start, end, _, size in spans)


def test_beat_names_say_the_emotion() -> None:
    """Breaks if BEAT's numbered clips get no label, or another's."""
    labels = {1: "", 64: "", 65: "happy", 73: "angry", 81: "sad", 87: "contemptuous", 95: "surprised", 103: "afraid"}
    assert {number: emotion_of_name(f"2_scott_0_{number}_{number}") for number in labels} == labels
    assert emotion_of_name("2_scott_0_111_118") == "disgusted"
    assert emotion_of_name("2_scott_0_60_70") == emotion_of_name("2_scott_1_65_65") == emotion_of_name("take_3") == ""


def emotional(folder: Path) -> Path:
    """Write a dataset whose brows rise where, and while, a clip is happy."""
    plain = Dataset(tiny_dataset(folder / "plain"))
    clips, motion = [], []
    for number, clip in enumerate(plain.info.clips):
        coefficients = plain.coefficients(clip.name)
        times = np.arange(len(coefficients)) / 30
        spans = () if number % 2 else ((0.0 if number % 4 else 0.7, 9.0, "happy", 1.0),)
        coefficients[:, BROW] += 0.6 * strengths(spans, ("happy",), times)[:, 0]
        clips.append(replace(clip, emotion=spans))
        motion.append((clip.name, coefficients))
    speech = [(name, (plain.speech(name) * 32767).astype(np.int16)) for name in plain.recordings]
    write_dataset(folder / "happy", replace(plain.info, clips=tuple(clips)), plain.rig, speech, motion)
    return folder / "happy"


def test_a_dataset_keeps_its_emotions_and_refuses_damaged_ones(tmp_path: Path) -> None:
    """Breaks if labels are lost on the way to training, or a strength of 7 is trained on."""
    folder = emotional(tmp_path)
    data = Dataset(folder)
    assert data.emotions == ("happy",)
    assert data.info.clips[4].emotion == ((0.7, 9.0, "happy", 1.0),) and data.info.clips[1].emotion == ()
    path = folder / "dataset.json"
    about = json.loads(path.read_text())
    about["clips"][4]["emotion"][0][3] = 7.0
    path.write_text(json.dumps(about))
    with pytest.raises(InputError):
        Dataset(folder)


def test_a_crop_has_the_emotions_of_its_own_frames(tmp_path: Path) -> None:
    """Breaks if a crop from the middle of a clip, or one that is played faster, learns the strengths of other frames."""
    data = Dataset(emotional(tmp_path))
    config = replace(small_network().config, identities=data.trained, emotions=("happy",))
    bank = ClipBank(data, "train", config)
    for seed in range(4):
        batch = bank.batch(512, np.random.default_rng(seed), augment=True)
        assert batch.emotion is not None
        assert (batch.coefficients[:, :, BROW] - 0.05 - 0.6 * batch.emotion[:, :, 0]).abs().max() < 0.02
        assert 0.02 < batch.emotion.mean() < 0.98 and batch.rows(0, 1).emotion.shape[0] == 1


@pytest.mark.slow
def test_a_network_learns_and_shows_an_emotion(tmp_path: Path, without_charts: None, invoke: Talker) -> None:
    """Breaks if the denoiser does not read the emotion, if it comes at another time, or if none is not neutral."""
    config = TrainConfig(
        steps=120, batch_frames=256, warmup=20, learning_rate=4e-3, ema=0.97, condition_dropout=0.0, save_every=1000,
        model=Architecture(width=32, feature_width=16, encoder_dilations=(1,), denoiser_dilations=(1, 2)),
    )  # fmt: skip
    path = train(emotional(tmp_path), tmp_path / "model", config, device="cpu", on_progress=lambda progress: None)
    network = load_model(path, "teacher")
    assert network.config.emotions == ("happy",) and len(network.config.eyes) == len(network.config.identities)
    animator, wave = Animator(TorchRunner(network, torch.device("cpu")), 8), speech(4.0)
    calm = animator.coefficients(wave, "Ada")[:, BROW]
    happy = animator.coefficients(wave, "Ada", emotion=((0.0, 9.0, "happy", 1.0),))[:, BROW]
    half = animator.coefficients(wave, "Ada", emotion=((0.0, 9.0, "happy", 0.5),))[:, BROW]
    late = animator.coefficients(wave, "Ada", emotion=((2.0, 9.0, "happy", 1.0),))[:, BROW]
    assert calm.mean() < 0.2 and happy.mean() > 0.45 and 0.1 < half.mean() - calm.mean() < happy.mean() - calm.mean() - 0.1
    assert np.abs(late[:45] - calm[:45]).mean() < 0.1 and np.abs(late[75:] - happy[75:]).mean() < 0.1
    save_model(tmp_path / "again.safetensors", network)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    import soundfile

    soundfile.write(tmp_path / "s.wav", wave, 16_000)
    common = ("animate", "s.wav", "--model", path.parent, "--steps", 2, "-i", "Ada", "--device", "cpu")
    ran = invoke(*common, "--emotion", "happy=0.8", "-o", "a.npy")
    assert ran.code == 0, ran.err
    assert '"happy"' in (tmp_path / "a.json").read_text()
    assert "expected happy, or neutral" in invoke(*common, "--emotion", "sad=0.8").mistake


def test_a_model_without_emotions_says_so(invoke: Talker, model: Path, tmp_path: Path) -> None:
    """Breaks if an emotion is silently dropped by a model that has not learned any."""
    import soundfile

    soundfile.write(tmp_path / "s.wav", speech(0.5), 16_000)
    ran = invoke("animate", "s.wav", "--emotion", "happy=0.6", "--model", model, "--device", "cpu")
    assert "a model without emotions" in ran.mistake and "(--emotion)" in ran.mistake and ran.code == 2
    assert not (tmp_path / "out.npy").exists()


def test_emotions_in_parts_are_those_of_the_whole() -> None:
    """Breaks if a time line starts anew in each part."""
    network = small_network(emotions=("happy", "sad"))
    torch.nn.init.normal_(network.denoiser.emotion_in.weight)
    spans = ((0.0, 1.5, "happy", 1.0), (1.5, 9.0, "sad", 0.5))
    style, wave, runner = np.ones((1, 32), np.float32), speech(3.0), TorchRunner(network, torch.device("cpu"))

    def made(chunk: int, emotion: tuple) -> np.ndarray:
        stream = MotionStream(runner, Sampler((1.0, 0.5)), style, MelFrontend(network.config), emotion=emotion, chunk=chunk)
        return np.concatenate([*(stream.push(part) for part in np.split(wave, 6)), stream.finish()])

    whole = made(1024, spans)
    assert np.abs(made(13, spans) - whole).max() < 1e-4
    assert np.abs(made(1024, ()) - whole).max() > 0.01


@pytest.mark.slow
def test_a_students_graph_reads_emotions(tmp_path: Path) -> None:
    """Breaks if the exported student drops the emotion, or takes none for one."""
    network = small_network(kind="student", timesteps=(256,), emotions=("happy", "sad"))
    torch.nn.init.normal_(network.denoiser.emotion_in.weight)
    torch.nn.init.normal_(network.denoiser.motion_out.weight)
    save_model(tmp_path / "student.safetensors", network)
    export_student(tmp_path / "student.safetensors", tmp_path / "student.onnx")
    ours, theirs = OnnxRunner(tmp_path / "student.onnx"), load_torch_runner(tmp_path / "student.safetensors", "cpu")
    rng = np.random.default_rng(0)
    x, features, style = (rng.normal(size=size).astype(np.float32) for size in ((1, 70, 52), (1, 70, 24), (1, 32)))
    features = np.resize(features, (1, 70, network.config.feature_width))
    felt = rng.random((1, 70, 2)).astype(np.float32)
    made = [[runner.x0(x, 0.7, features, style, 1.0, None, emotion) for emotion in (None, felt)] for runner in (ours, theirs)]
    assert np.abs(np.array(made[0]) - np.array(made[1])).max() < 1e-4 and np.abs(made[0][0] - made[0][1]).max() > 0.1


def test_eyes_of_identities_are_measured_on_their_clips(tmp_path: Path) -> None:
    """Breaks if a trained identity loses how often it blinks: two tiny minutes weigh as much as the average's."""
    data = Dataset(tiny_dataset(tmp_path / "blinking", manners=True))
    rows = measured_eyes(data)
    assert len(rows) == 4
    rates = [blinks for blinks, _, _, _ in rows]
    assert rates == sorted(rates, reverse=True) and rates[0] > rates[-1] + 20
