"""Pretrained audio encoders: their features' time and windows, the cache on the disk, refusals, and the chain with one."""

import csv
import itertools
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from captured import TEMPLATE, vocaset_converted, write_masks
from conftest import Talker, spoken, streams
from safetensors.numpy import load_file, save_file
from test_model import small_network
from tiny import SMALL, tiny_dataset

from talker_cli.animate.animator import Animator
from talker_cli.animate.stream import MotionStream
from talker_cli.data.dataset import Dataset
from talker_cli.errors import InputError, ModelError
from talker_cli.model.audio_encoder import CompactEncoder
from talker_cli.model.checkpoint import load_model
from talker_cli.model.config import Architecture
from talker_cli.model.frontend import OutputFrontend, recording_features
from talker_cli.model.header import read_config
from talker_cli.model.pretrained import PretrainedEncoder, describe
from talker_cli.model.torch_runner import TorchRunner
from talker_cli.rig import load_rig
from talker_cli.train.batches import ClipBank
from talker_cli.train.features import FeatureCache
from talker_cli.train.run import Progress
from talker_cli.train.teacher import TrainConfig, train

CPU = torch.device("cpu")
NARROW = Architecture(feature_width=16, encoder_dilations=(1, 2), width=24, denoiser_dilations=(1, 2), style_width=8)
KINDS = ("hubert", "wav2vec2", "wavlm")


def encoder_folder(folder: Path, kind: str = "hubert", *, near: bool = False, positions: int = 8) -> Path:
    """Write a random encoder of 12 numbers an output, as transformers saves it, and return its folder.

    Args:
        near: nothing in it looks further than its convolutions: no attention, no statistics of the sound.
        positions: outputs that the convolution over the outputs' places spans.
    """
    from talker_cli.model.pretrained import quiet_transformers

    with quiet_transformers():  # the torchaudio of the machine may be for another torch
        import transformers

        name = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2", "wavlm": "WavLM"}[kind]
        config = getattr(transformers, f"{name}Config")(
            hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, conv_dim=(8,) * 7,
            num_conv_pos_embeddings=positions, num_conv_pos_embedding_groups=2, feat_extract_norm="layer" if near else "group",
        )  # fmt: skip
        torch.manual_seed(0)
        model = getattr(transformers, f"{name}Model")(config)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)  # random weights are small: sound would hardly show in what comes out
            if near and "attention.out_proj" in parameter_name:
                parameter.zero_()
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": not near}))
    return folder


def loaded(folder: Path) -> PretrainedEncoder:
    return PretrainedEncoder(describe(str(folder)), CPU)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoder_folder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("tiny") / "prepared")


def ignore(progress: Progress) -> None:
    """Take no notice."""


@pytest.mark.slow
def test_features_lie_at_their_frames_time(tmp_path: Path) -> None:
    """Breaks if a frame gets the features of another instant, by a frame or by half a window.

    A click changes the outputs whose convolutions see it, and the frames that lie between those and their neighbours: no other.
    """
    hears = loaded(encoder_folder(tmp_path / "near", near=True, positions=1))
    assert (hears.about.stride, hears.about.field) == (320, 400)
    quiet = np.random.default_rng(0).normal(scale=0.01, size=48_000).astype(np.float32)
    for at in (24_037, 24_190, 40_000):
        click = quiet.copy()
        click[at] += 1.0
        seen = np.flatnonzero(np.abs(hears.window(click) - hears.window(quiet)).sum(1) > 1e-6)
        assert seen.tolist() == [j for j in range(149) if 320 * j <= at < 320 * j + 400]
        middles = 320 * seen + 199.5  # samples that these outputs are about
        for fps in (25.0, 30.0, 60.0):
            frames = int(3 * fps)
            clicked, before = (recording_features(hears, each, frames, fps) for each in (click, quiet))
            difference = np.abs(clicked - before).sum(1)
            instants = np.arange(frames) / fps * 16_000
            share = np.clip(1 - np.abs(instants[:, None] - middles) / 320, 0, 1).sum(1)  # of these outputs in a frame
            assert ((difference > 1e-6) == (share > 1e-6)).all()
            # Between two outputs the features go over from one to the other in a straight line.
            outputs = hears.window(click)
            row = int(np.argmax(share))
            place = (instants[row] - 199.5) / 320
            expected = (1 - place % 1) * outputs[int(place)] + place % 1 * outputs[int(place) + 1]
            assert np.allclose(recording_features(hears, click, frames, fps)[row], expected, atol=1e-5)


@pytest.mark.slow
def test_windows_and_parts_make_what_the_whole_makes(tmp_path: Path) -> None:
    """Breaks if a window begins at a wrong sample, or if the parts in which speech comes show.

    With an encoder that looks no further than the margin, windows are the whole, to 1e-4 of outputs of size 1. One with
    attention or statistics over its window makes of 16 s windows what it makes of them; then the parts alone do not matter.
    """
    wave = spoken(41.3).astype(np.float32)
    near = loaded(encoder_folder(tmp_path / "near", near=True))
    whole = near.window(wave)
    total = near.about.outputs(len(wave))
    ear = OutputFrontend(near, 50.0)
    ear.push(wave)
    assert ear._offset > 0 and 1000 <= len(ear._outputs) < total  # windows were run, and their sound forgotten
    ear.finish()
    assert ear._outputs.shape == whole.shape == (total, 12)
    assert whole.std() > 0.1 and np.abs(ear._outputs - whole).max() < 1e-4
    far = loaded(encoder_folder(tmp_path / "far"))
    expected = recording_features(far, wave, 1239, 30.0)
    ear, parts, start = OutputFrontend(far, 30.0), [], 0
    done = 0
    for size in itertools.cycle((70_001, 333, 5)):
        ear.push(wave[start : start + size])
        start += size
        ready = 1239 if start >= len(wave) else ear.ready()
        if start >= len(wave):
            ear.finish()
        if ready > done:
            parts.append(ear.inputs(done, ready)[0])
            ear.forget(done := ready)
        if start >= len(wave):
            break
    assert np.array_equal(np.concatenate(parts), expected)
    assert len(parts) > 3 and len(ear._outputs) < 700


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_encoder_is_read(tmp_path: Path, kind: str) -> None:
    """Breaks if a kind needs something else; the shortest speech has features too, and level does not matter to it."""
    hears = loaded(encoder_folder(tmp_path / kind, kind))
    wave = spoken(1.0).astype(np.float32)
    features = recording_features(hears, wave, 30, 30.0)
    assert features.shape == (30, 12) and features.std(0).min() > 0
    assert np.allclose(recording_features(hears, 0.1 * wave, 30, 30.0), features, atol=1e-3)
    assert recording_features(hears, wave[:100], 1, 30.0).shape == (1, 12)


def test_an_encoder_below_a_recogniser_is_the_encoder(encoder: Path, tmp_path: Path) -> None:
    """Breaks if checkpoints of the hub, with a head to spell and older names, give other features."""
    folder = shutil.copytree(encoder, tmp_path / "ctc")
    renamed = {"weight.original0": "weight_g", "weight.original1": "weight_v"}
    arrays = {"lm_head.weight": np.ones((32, 12), np.float32), "lm_head.bias": np.zeros(32, np.float32)}
    for name, array in load_file(encoder / "model.safetensors").items():
        for new, old in renamed.items():
            name = name.replace(f"parametrizations.{new}", old)
        arrays[f"hubert.{name}"] = array
    assert any(name.endswith("conv.weight_g") for name in arrays)
    save_file(arrays, folder / "model.safetensors", {"format": "pt"})
    wave = spoken(1.0).astype(np.float32)
    assert np.array_equal(loaded(folder).window(wave), loaded(encoder).window(wave))


def test_motion_of_a_pretrained_teacher_does_not_depend_on_parts(encoder: Path) -> None:
    """Breaks if the stream asks the encoder for frames before it has heard what they need, or forgets too soon."""
    about = describe(str(encoder))
    network = small_network(audio_encoder=about.name, pretrained_hash=about.hash, pretrained_width=about.width)
    animator = Animator(TorchRunner(network, CPU), 2)
    wave = spoken(31.0).astype(np.float32)
    whole = animator.coefficients(wave, "Ada")
    assert whole.shape == (930, 52) and whole.std() > 0.01
    stream: MotionStream = animator.stream("Ada", chunk=40)
    made = [stream.push(wave[start : start + 50_000]) for start in range(0, len(wave), 50_000)]
    assert sum(map(len, made)) > 450
    assert np.abs(animator.finished(np.concatenate([*made, stream.finish()]), "Ada") - whole).max() < 1e-4
    # The speech does reach the motion: other speech, other motion.
    assert np.abs(animator.coefficients(wave[::-1].copy(), "Ada") - whole).max() > 0.01


class Places(FeatureCache):
    """Features that say which frame of which recording they are of."""

    def read(self, recording: str, variant: int = 0) -> np.ndarray:
        number = list(self._dataset.recordings).index(recording)
        frames = self.shape(recording)[0]
        return np.stack([np.arange(frames), np.full(frames, number)], 1).astype(np.float16)


def test_batches_carry_the_features_of_the_motions_frames(dataset: Path, encoder: Path) -> None:
    """Breaks if features are cropped, or played faster, otherwise than motion and mel are."""
    prepared, about = Dataset(dataset), describe(str(encoder))
    config = replace(small_network().config, audio_encoder=about.name, pretrained_hash=about.hash, pretrained_width=2)
    bank = ClipBank(prepared, "train", config, Places(prepared, about, CPU))
    plain = ClipBank(prepared, "train", config)
    lean = ClipBank(prepared, "train", config, Places(prepared, about, CPU), with_mel=False)
    names = list(prepared.recordings)
    paces = set()
    for seed in range(10):
        batch = bank.batch(256, np.random.default_rng(seed), augment=True)
        without = plain.batch(256, np.random.default_rng(seed), augment=True)
        assert without.features is None and torch.equal(without.mel, batch.mel)
        spared = lean.batch(256, np.random.default_rng(seed), augment=True)
        assert spared.mel is None and torch.equal(spared.features, batch.features)
        assert batch.features is not None and batch.features.shape == (*batch.phones.shape, 2)
        part = batch.rows(1, 2).to(CPU)
        assert part.features is not None and torch.equal(part.features, batch.features[1:2])
        for row, places in enumerate(batch.features.double().numpy()):
            (recording,) = {names[round(number)] for number in places[:, 1]}
            truth = prepared.coefficients(f"{recording}-{config.identities[int(batch.identity[row])]}")
            expected = np.stack([np.interp(places[:, 0], np.arange(len(truth)), curve) for curve in truth.T], 1)
            assert np.abs(batch.coefficients[row].numpy() - expected).max() < 2e-3
            paces.add(round(places[1, 0] - places[0, 0], 2))
    assert 1.0 in paces and len(paces) > 5


def test_features_on_the_disk_are_the_encoders(dataset: Path, encoder: Path, tmp_path: Path) -> None:
    """Breaks if what is kept belongs to another recording or rate, or is kept for speech that has changed since."""
    copy = shutil.copytree(dataset, tmp_path / "prepared")
    prepared, hears = Dataset(copy), loaded(encoder)
    cache = FeatureCache(prepared, hears.about, CPU)
    for name in ("tone03", "tone15"):
        kept = cache.read(name)
        assert kept.dtype == np.float16 and len(kept) == prepared.frames(f"{name}-Ada")
        assert np.allclose(kept, recording_features(hears, prepared.speech(name), len(kept), 30.0), atol=2e-3)
    other = tiny_dataset(tmp_path / "other")
    shutil.copyfile(other / "speech.safetensors", copy / "speech.safetensors")
    data = bytearray((copy / "speech.safetensors").read_bytes())
    data[-20_000:] = bytes(20_000)  # the end of the last recording
    (copy / "speech.safetensors").write_bytes(bytes(data))
    again = FeatureCache(Dataset(copy), hears.about, CPU)
    # Variants lie at the same frames, and are the same every time.
    variant = again.read("tone03", 1)
    assert variant.shape == cache.read("tone03").shape and not np.array_equal(variant, cache.read("tone03"))
    fresh = FeatureCache(Dataset(shutil.copytree(dataset, tmp_path / "fresh")), hears.about, CPU)
    assert np.array_equal(fresh.read("tone03", 1), variant)
    assert np.array_equal(again.read("tone03"), cache.read("tone03")) and not np.array_equal(again.read("tone15"), kept)


def test_processes_share_the_features_however_far_each_is(dataset: Path, encoder: Path, tmp_path: Path) -> None:
    """Breaks if a share depends on what others have done by then: two would make the same features, and nobody some."""
    cache = FeatureCache(Dataset(shutil.copytree(dataset, tmp_path / "prepared")), loaded(encoder).about, CPU, variants=1)
    wanted = cache.missing()
    shares = []
    for process in range(3):
        shares.append(cache.missing(process, 3))
        cache.read(*shares[-1][0])
        assert cache.missing(process, 3) == shares[-1][1:]
    assert sorted(each for share in shares for each in share) == sorted(wanted)
    for recording, _ in wanted:
        cache.read(recording)
    left = [len(cache.missing(process, 2)) for process in range(2)]
    assert min(left) > 0 and max(left) - min(left) <= 1


def narrow(encoder: Path, **changes: object) -> TrainConfig:
    config = TrainConfig(steps=4, batch_frames=128, warmup=2, save_every=2, validate_every=2)
    return replace(config, model=replace(NARROW, audio_encoder=str(encoder)), **changes)


@pytest.mark.slow
def test_a_second_training_finds_the_features_and_makes_the_same_weights(dataset: Path, tmp_path: Path) -> None:
    """Breaks if the encoder runs for what is on the disk, if a killed run begins again, or if damage goes unseen."""
    copy = shutil.copytree(dataset, tmp_path / "prepared")
    folder = encoder_folder(tmp_path / "encoder")
    seen: list[tuple[str, int, int]] = []

    def watch(progress: Progress) -> None:
        seen.append((progress.stage, progress.step, progress.steps))
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(copy, tmp_path / "killed", narrow(folder), device="cpu", on_progress=watch)
    assert seen[2] == (f"features by {folder}", 3, 29)  # 14 twice, one of validation; that of the test split is not needed
    first = train(copy, tmp_path / "killed", narrow(folder), device="cpu", on_progress=watch)
    assert seen[3] == (f"features by {folder}", 1, 26) and seen[-1] == ("teacher", 4, 4)
    (cache,) = (path for path in (copy / "features").iterdir() if path.is_dir())
    files = {path: path.read_bytes() for path in cache.iterdir()}
    assert len(files) == 29 and load_model(first, "teacher").config.pretrained_width == 12
    written = {path: path.stat().st_mtime_ns for path in files}
    again = train(copy, tmp_path / "again", narrow(folder), device="cpu", on_progress=ignore)
    assert again.read_bytes() == first.read_bytes()
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == written
    # What is damaged, or of other speech, is made anew.
    damaged = next(iter(files))
    for number, content in enumerate((files[damaged][:-8], files[damaged][:-1] + b"?", b"")):
        damaged.write_bytes(content)
        more = train(copy, tmp_path / f"more{number}", narrow(folder), device="cpu", on_progress=ignore)
        assert more.read_bytes() == first.read_bytes() and {path: path.read_bytes() for path in cache.iterdir()} == files
    # A run goes on with the encoder that it began with, not with another of the same name: fewer layers, or other weights.
    whole = (folder / "config.json").read_text()
    weights = (encoder_folder(tmp_path / "wide", positions=16) / "model.safetensors").read_bytes()
    fewer = whole.replace('"num_hidden_layers": 2', '"num_hidden_layers": 1').encode()
    for name, content in (("config.json", fewer), ("model.safetensors", weights)):
        assert (folder / name).read_bytes() != content
        (folder / name).write_bytes(content)
        with pytest.raises(InputError, match="began with another audio encoder than there is now"):
            train(copy, tmp_path / "again", narrow(folder), device="cpu", on_progress=ignore)
        with pytest.raises(ModelError, match="the teacher was trained with another audio encoder than that in"):
            train(copy, tmp_path / "on", narrow(folder, start=str(tmp_path / "again")), device="cpu", on_progress=ignore)
        encoder_folder(folder)
    # What says nothing of the features may change.
    (folder / "config.json").write_text(whole.replace("{", '{"transformers_version": "0",', 1))
    assert train(copy, tmp_path / "again", narrow(folder), device="cpu", on_progress=ignore).read_bytes() == first.read_bytes()


def other_kind(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def torn_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "hub')


def torn_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def other_shape(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"intermediate_size": 24', '"intermediate_size": 32'))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (other_kind, "is of the kind bert; expected a folder or hub name of HuBERT, wav2vec 2.0, WavLM"),
        (no_config, "config.json is missing; expected"),
        (torn_config, "config.json is damaged ("),
        (torn_weights, "is damaged ("),
        (other_shape, "is damaged ("),
        (pickled, "no model.safetensors in "),
    ],
)
def test_unusable_encoders_get_one_line(
    dataset: Path, encoder: Path, invoke: Talker, tmp_path: Path, damage: Callable[[Path], None], found: str
) -> None:
    """Breaks if a wrong folder ends in a traceback, or in a half-begun model."""
    damage(shutil.copytree(encoder, tmp_path / "encoder"))
    assert found in invoke("train", dataset, "-o", "out", "--audio-encoder", "encoder").mistake
    assert not (tmp_path / "out" / "teacher.safetensors").exists()


def test_names_that_lead_nowhere_get_one_line(
    dataset: Path, invoke: Talker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if a mistyped folder is looked for in the network, or a hub out of reach is a traceback."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for name, found in (
        ("./nowhere", "no audio encoder in ./nowhere: there is no such folder"),
        ("a/b/c", "no audio encoder in a/b/c: there is no such folder"),
        ("nobody/no-such-encoder", "no audio encoder nobody/no-such-encoder on this machine, and the hub was not reached"),
        ("", "found no audio_encoder; expected compact"),
    ):
        assert found in invoke("train", dataset, "-o", "out", "--audio-encoder", name).mistake
    twice = invoke("train", dataset, "--audio-encoder", "a", "--set", "model.audio_encoder=b").mistake
    assert "found --set model.audio_encoder and the option for the same" in twice
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_compact_model_needs_no_transformers(model: Path, wav: Path) -> None:
    """Breaks if everybody pays the seconds and the memory of a library that only some teachers need."""
    code = (
        f"import sys; from talker_cli import Talker; Talker.load({str(model)!r}).animate({str(wav)!r}); "
        "import talker_cli.train.teacher, talker_cli.train.distill; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & {"transformers", "huggingface_hub"}


@pytest.mark.slow
def test_captures_to_film_with_a_pretrained_encoder(encoder: Path, invoke: Talker, wav: Path, tmp_path: Path) -> None:
    """The whole way on VOCASET's layout. Breaks if any command does not know what a teacher with such an encoder needs."""
    raw = vocaset_converted(tmp_path / "raw")
    write_masks(raw)
    hears = shutil.copytree(encoder, tmp_path / "hubert")
    assert invoke("preprocess", "vocaset", raw, "--error", "0.8mm", "-o", "prepared").code == 0
    train_it = ("train", "prepared", *SMALL, "--audio-encoder", "hubert", "--steps", 2)
    assert invoke(*train_it, "-o", "model").out.split() == ["model/teacher.safetensors"]
    config = read_config(tmp_path / "model" / "teacher.safetensors", "teacher")
    learned = Dataset(tmp_path / "prepared").clips("train")
    assert set(config.identities) == {clip.identity for clip in learned} and len(config.identities) == 8
    assert set(load_rig(tmp_path / "model" / "rig.safetensors").identities) == set(config.identities)
    assert (config.audio_encoder, config.pretrained_width) == (str(hears), 12)
    settings = tomllib.loads((tmp_path / "model" / "run-teacher" / "run.toml").read_text())
    assert settings["model"]["audio_encoder"] == str(hears)

    assert "found a teacher with the audio encoder" in invoke(
        "animate", "-", "--stream", "--model", "model", "-i", config.identities[0], "--steps", 4
    ).mistake  # fmt: skip
    stages = ("--stage-steps", 1, "--kept-stage-steps", 1, "--encoder-steps", 2, "--validation-clips", 1)
    done = invoke("distill", "model", "prepared", *stages, "--batch-frames", 64, "--device", "cpu")
    assert done.out.split() == ["model/student.safetensors"]
    student = load_model(tmp_path / "model" / "student.safetensors", "student")
    assert (student.config.audio_encoder, student.config.encoder_width) == ("compact", 16)
    assert isinstance(student.encoder, CompactEncoder)
    with (tmp_path / "model" / "run-student" / "curve.csv").open() as stream:
        assert [row["stage"] for row in csv.DictReader(stream)] == ["encoder", "128", "64", "32", "16", "8"]
    for chart in ("stages.png", "curve.png"):
        assert (tmp_path / "model" / "run-student" / chart).read_bytes().startswith(b"\x89PNG")

    systems = "truth,student,teacher-8"
    report = json.loads(invoke("evaluate", "model", "prepared", "--systems", systems, "--limit", 2, "--json").out)
    assert [row["system"] for row in report["scores"]] == ["truth", "student, 8 steps", "teacher, DDIM 8 steps"]
    assert report["scores"][0]["lve"] == 0 < min(row["lve"] for row in report["scores"][1:])

    who = ("--model", "model", "-i", config.identities[2], "--device", "cpu")
    for name, steps in (("student", 8), ("teacher", 4)):
        assert invoke("animate", wav, "-o", f"{name}.npy", *who, "--steps", steps).out.split() == [f"{name}.npy"]
        vertices, about = np.load(tmp_path / f"{name}.npy"), json.loads((tmp_path / f"{name}.json").read_text())
        assert vertices.shape == (36, len(TEMPLATE), 3) and vertices.dtype == np.float32  # 1.21 s
        assert about["fps"] == 30.0 and about["sampler"].startswith(name)
    assert invoke("render", "student.npy", "-o", "out.mp4", "--size", "128x128").out.split() == ["out.mp4"]
    film = streams(tmp_path / "out.mp4")
    assert "128x128" in film and "30 fps" in film and "Audio: aac" in film and "Duration: 00:00:01.2" in film

    # Other weights, and none: the teacher says so, the student does not care.
    weights = load_file(hears / "model.safetensors")
    save_file({name: array + 1 for name, array in weights.items()}, hears / "model.safetensors", {"format": "pt"})
    assert (
        "was trained with another audio encoder than that" in invoke("animate", wav, "-o", "x.npy", *who, "--steps", 4).mistake
    )
    shutil.rmtree(hears)
    gone = invoke("animate", wav, "-o", "x.npy", *who, "--steps", 4).mistake
    assert f"cannot be used: no audio encoder in {hears}: there is no such folder" in gone
    assert invoke("animate", wav, "-o", "again.npy", *who).code == 0
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "student.npy").read_bytes()
