"""Whisper's first layers as an audio encoder: the same numbers as transformers', time, windows, level, live use."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command, spoken
from test_model import small_network
from tiny import SMALL, tiny_dataset
from whisper_layers import Layer

from talker_cli.animate.stream import MotionStream
from talker_cli.corpus.sound.nonspeech import LEVEL, SOUNDS, crowd
from talker_cli.formats.audio import load_speech
from talker_cli.model import whisper
from talker_cli.model.audio_encoder import PretrainedHead
from talker_cli.model.checkpoint import load_model
from talker_cli.model.config import WHISPER
from talker_cli.model.encoders import describe, frontend_of, load_encoder
from talker_cli.model.frontend import OutputFrontend, recording_features
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.phones import known_posteriors
from talker_cli.model.pretrained import quiet_transformers
from talker_cli.model.sampling import Sampler, uniform_timesteps
from talker_cli.model.torch_runner import TorchRunner

CPU = torch.device("cpu")
SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"


@pytest.fixture(scope="module")
def encoder() -> whisper.WhisperEncoder:
    loaded = load_encoder(describe(WHISPER))
    assert isinstance(loaded, whisper.WhisperEncoder)
    return loaded


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return load_speech(SPEECH)


@pytest.fixture(scope="module")
def network(encoder: whisper.WhisperEncoder) -> FaceDiffusion:
    """A small random network that reads Whisper's outputs."""
    plain = small_network()
    about = encoder.about
    plain.config = replace(plain.config, audio_encoder=WHISPER, pretrained_hash=about.hash, pretrained_width=about.width)
    torch.manual_seed(1)
    plain.encoder = PretrainedHead(plain.config).eval()
    return plain


@pytest.mark.slow
def test_a_layer_makes_what_transformers_makes() -> None:
    """Breaks if queries, keys, norms or the feed-forward layer are put together otherwise than Whisper's are."""
    with quiet_transformers():
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

        theirs = WhisperEncoderLayer(
            WhisperConfig(d_model=512, encoder_attention_heads=8, encoder_ffn_dim=2048, attn_implementation="eager")
        ).eval()
    torch.manual_seed(0)
    ours = Layer().eval()
    torch.nn.init.zeros_(ours.qkv.bias[512:1024])  # Whisper's keys have none
    state = {}
    for letter, matrix, bias in zip("qkv", ours.qkv.weight.chunk(3), ours.qkv.bias.chunk(3), strict=True):
        state[f"self_attn.{letter}_proj.weight"] = matrix
        if letter != "k":
            state[f"self_attn.{letter}_proj.bias"] = bias
    for their_name, module in {
        "self_attn.out_proj": ours.out, "fc1": ours.up, "fc2": ours.down,
        "self_attn_layer_norm": ours.norm_attention, "final_layer_norm": ours.norm_feed_forward,
    }.items():  # fmt: skip
        state |= {f"{their_name}.weight": module.weight, f"{their_name}.bias": module.bias}
    theirs.load_state_dict(state)
    x = torch.randn(1, 60, 512, generator=torch.Generator().manual_seed(0)) * 3
    with torch.no_grad():
        made = theirs(x, attention_mask=None)
        made = made[0] if isinstance(made, tuple) else made
        assert torch.allclose(ours(x), made, atol=2e-4)


def test_the_spectrogram_is_whispers_but_for_the_level(speech: np.ndarray) -> None:
    """Breaks if the filters, the window or the logarithm are not those that the weights were trained on."""
    with quiet_transformers():
        from transformers import WhisperFeatureExtractor

        theirs = WhisperFeatureExtractor()(speech, sampling_rate=16_000, return_tensors="np").input_features[0]
    ours = whisper.log_mel(speech)
    columns = slice(5, ours.shape[1] - 5)  # at the ends theirs mirrors the sound, or goes on in silence
    floor = np.maximum(theirs.min(), ours.min()) + 0.15
    loud = (theirs[:, columns] > floor) & (ours[:, columns] > floor)
    shift = (ours[:, columns] - theirs[:, columns])[loud]
    assert loud.mean() > 0.5 and np.abs(shift - np.median(shift)).max() < 1e-3


def test_level_does_not_matter(encoder: whisper.WhisperEncoder, speech: np.ndarray) -> None:
    """Breaks if speech at -50 dB is read otherwise than the same speech at full level."""
    loud = encoder.window(speech)
    soft = encoder.window(speech * np.float32(10 ** (-50 / 20)))
    same = np.abs(loud - soft)[:, -len(encoder.about.phones) :].sum(1)
    assert float(same.mean()) < 0.05


@pytest.mark.parametrize(("name", "decibels"), [("coloured noise", -10.0), ("breath", -20.0), ("crowd", -20.0)])
def test_noise_before_and_after_speech_is_silence(
    encoder: whisper.WhisperEncoder, speech: np.ndarray, name: str, decibels: float
) -> None:
    """Breaks if a room, a breath or a distant crowd around speech is read as phones, or drowns those of the speech."""
    said, rng = speech[: 5 * 16_000], np.random.default_rng(7)
    length = len(said) + 4 * 16_000
    noise = crowd(rng, length, [said, said[::-1].copy()]) if name == "crowd" else SOUNDS[name](rng, length)
    heard = noise * np.float32(10 ** (decibels / 20) * np.sqrt(np.square(said).mean()) / LEVEL)
    heard[2 * 16_000 : -2 * 16_000] += said
    names = encoder.about.phones
    shares, clean = (encoder.window(each)[:, -len(names) :] for each in (heard, said))
    around = np.concatenate([shares[:95], shares[-95:]])[:, names.index("SIL")]
    assert float((around > 0.5).mean()) > 0.97
    assert float((shares[100:-100].argmax(1) == clean.argmax(1)).mean()) > 0.8


def test_an_output_is_about_its_instant(encoder: whisper.WhisperEncoder) -> None:
    """Breaks if outputs lie beside the sound that they tell of."""
    quiet = np.random.default_rng(0).normal(scale=0.01, size=64_000).astype(np.float32)
    for instant in (0.9, 2.0, 3.1):
        loud = quiet.copy()
        at = int(instant * 16_000)
        loud[at - 320 : at + 320] += 0.3 * np.random.default_rng(1).normal(size=640).astype(np.float32)
        change = np.linalg.norm((encoder.window(loud) - encoder.window(quiet))[:, :512], axis=1)
        assert abs(int(change.argmax()) - 50 * instant) <= 3


@pytest.mark.slow
def test_parts_give_the_last_bit_of_the_whole(network: FaceDiffusion) -> None:
    """Breaks if the parts in which a recording comes show in the motion, be it by the last bit."""
    wave = spoken(47.7).astype(np.float32)
    runner, style = TorchRunner(network, CPU), np.zeros((1, network.config.style_width), np.float32)

    def motion(sizes: itertools.cycle) -> np.ndarray:
        stream = MotionStream(runner, Sampler(uniform_timesteps(3)), style, runner.frontend(), seed=4, guidance=1.0)
        parts, start = [], 0
        while start < len(wave):
            size = next(sizes)
            parts.append(stream.push(wave[start : start + size]))
            start += size
        return np.concatenate([*parts, stream.finish()])

    whole = motion(itertools.cycle([len(wave)]))
    assert whole.shape[0] == int(47.7 * network.config.fps) and np.ptp(whole) > 0
    assert np.array_equal(whole, motion(itertools.cycle([70_001, 333, 5, 160_000])))


def test_known_phones_take_the_posteriors_place(network: FaceDiffusion, encoder: whisper.WhisperEncoder) -> None:
    """Breaks if the phones of a text do not reach the network, or reach it at other frames."""
    wave = spoken(2.0).astype(np.float32)
    names = encoder.about.phones
    phones = (("SIL", 0.0, 0.5), ("B", 0.5, 0.7), ("AA", 0.7, 2.0))
    frontends = [frontend_of(network.config, "cpu", known) for known in (None, phones)]
    features = []
    for frontend in frontends:
        frontend.push(wave)
        frontend.finish()
        features.append(frontend.inputs(5, 60)[0])
    assert np.array_equal(features[0][:, :512], features[1][:, :512])
    expected = known_posteriors(phones, names, 60, network.config.fps)
    assert np.array_equal(features[1][:, 512:], expected[5:])
    assert expected[18, names.index("B")] == 1.0 and expected[15, names.index("B")] == 0.75  # 0.5 s is frame 15
    assert np.allclose(expected.sum(1), 1.0)


@pytest.mark.slow
def test_live_outputs_are_soon_there_and_nearly_the_same(encoder: whisper.WhisperEncoder, speech: np.ndarray) -> None:
    """Breaks if live use waits for more than 0.25 s, or reads other phones than the whole recording does."""
    fps = 30.0
    live, count = OutputFrontend(encoder, fps, live=True), int(len(speech) / 16_000 * fps)
    seen, done = [], 0
    for start in range(0, len(speech), 800):
        live.push(speech[start : start + 800])
        arrived = min(start + 800, len(speech)) / 16_000
        ready = min(live.ready(), count)
        assert ready >= min(count, (arrived - 0.25) * fps) - 1
        if ready > done:
            seen.append(live.inputs(done, ready)[0])
            live.forget(done := ready)
    live.finish()
    seen.append(live.inputs(done, count)[0])
    names = encoder.about.phones
    lips = [names.index(phone) for phone in "PBM"]
    live_shares, whole_shares = (
        features[:, -len(names) :] for features in (np.concatenate(seen), recording_features(encoder, speech, count, fps))
    )
    closed = [shares[:, lips].sum(1) > 0.5 for shares in (live_shares, whole_shares)]
    assert int(closed[1].sum()) > 10 and float((closed[0] == closed[1]).mean()) > 0.97
    assert float((live_shares.argmax(1) == whole_shares.argmax(1)).mean()) > 0.8  # of 40 phones


def test_a_folder_without_weights_is_refused_in_one_line(tmp_path: Path) -> None:
    """Breaks if weights that were never fetched end in a traceback."""
    with pytest.raises(Exception, match=r"no encoder\.onnx in .*; expected Whisper's weights; run tools/fetch"):
        whisper.describe_folder(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("without_charts")
def test_a_teacher_and_its_student_read_whisper(invoke: Command, wav: Path, tmp_path: Path) -> None:
    """The whole way by the command line. Breaks if a student loses its teacher's encoder, its posteriors, or known words."""
    tiny_dataset(tmp_path / "prepared")
    assert invoke("train", "prepared", *SMALL, "--audio-encoder", "whisper", "--steps", 2, "-o", "model").code == 0
    stages = ("--stage-steps", 1, "--kept-stage-steps", 1, "--validation-clips", 1, "--batch-frames", 64, "--device", "cpu")
    assert invoke("distill", "model", "prepared", *stages).out.split() == ["model/student.safetensors"]
    teacher, student = (load_model(tmp_path / "model" / f"{kind}.safetensors", kind) for kind in ("teacher", "student"))
    assert student.config.audio_encoder == "whisper" and isinstance(student.encoder, PretrainedHead)
    assert student.config.pretrained_hash == describe(WHISPER).hash == teacher.config.pretrained_hash
    kept = student.encoder.state_dict()
    assert all(torch.equal(value.half().float(), kept[name]) for name, value in teacher.encoder.state_dict().items())
    with (tmp_path / "model" / "run-student" / "curve.csv").open() as stream:
        assert [row["stage"] for row in csv.DictReader(stream)] == ["128", "64", "32", "16", "8"]
    report = json.loads(
        invoke("evaluate", "model", "prepared", "--systems", "truth,student,teacher-8", "--limit", 2, "--json").out
    )
    assert [row["system"] for row in report["scores"]] == ["truth", "student, 8 steps", "teacher, DDIM 8 steps"]
    said = ("animate", wav, "--model", "model", "-i", student.config.identities[0], "--device", "cpu")
    assert invoke(*said, "-o", "sound.npz").code == 0
    known = invoke(*said, "-o", "text.npz", "--text", "a boy")
    assert known.code == 0 and "does not read phones" not in known.err
    sound, text = (np.load(tmp_path / f"{name}.npz")["coefficients"] for name in ("sound", "text"))
    assert sound.shape == text.shape == (36, 52) and not np.array_equal(sound, text)
