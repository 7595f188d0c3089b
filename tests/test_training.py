"""Training, distillation and evaluation as they are run, on a tiny dataset."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import load_file
from tiny import IDENTITIES, tiny_dataset

from talker_cli.animate.animator import load_animator
from talker_cli.animate.talker import Talker
from talker_cli.data.dataset import Dataset
from talker_cli.errors import InputError
from talker_cli.evaluate.model import evaluate, loudness_coefficients
from talker_cli.formats.files import ArrayFile, file_hash, write_arrays
from talker_cli.identity.resolve import on_sphere
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import Architecture, ModelConfig
from talker_cli.rig import ARKIT_NAMES, load_rig
from talker_cli.train.batches import ClipBank
from talker_cli.train.distill import DistillConfig, distill, stages
from talker_cli.train.run import Progress
from talker_cli.train.stages import read_rows
from talker_cli.train.teacher import TrainConfig, train

NARROW = Architecture(feature_width=48, encoder_dilations=(1, 2), width=48, denoiser_dilations=(1, 2, 4))
CONFIG = TrainConfig(steps=6, batch_frames=128, warmup=2, save_every=2, validate_every=3, model=NARROW)
SHORT_STAGES = DistillConfig(stage_steps=2, kept_stage_steps=2, batch_frames=128, bf16=True, validation_clips=1)


pytestmark = pytest.mark.usefixtures("without_charts")


class Stopped(Exception):
    """What a test throws where a run is killed."""


def ignore(progress: Progress) -> None:
    """Take no notice."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("tiny") / "prepared")


@pytest.fixture(scope="module")
def model(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of 6 steps and a student of 8 sampling steps."""
    folder = tmp_path_factory.mktemp("model")
    train(dataset, folder, CONFIG, device="cpu", on_progress=ignore)
    distill(folder, dataset, SHORT_STAGES, device="cpu", on_progress=ignore)
    return folder


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_bytes(dataset: Path, model: Path, tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.step == 5:  # one step after the state of step 4
            raise Stopped

    with pytest.raises(Stopped):
        train(dataset, tmp_path, CONFIG, device="cpu", on_progress=kill)
    assert not (tmp_path / "teacher.safetensors").exists()
    steps = []
    train(dataset, tmp_path, CONFIG, device="cpu", on_progress=lambda progress: steps.append(progress.step))
    assert steps == [5, 6]
    assert (tmp_path / "teacher.safetensors").read_bytes() == (model / "teacher.safetensors").read_bytes()
    rows = list(csv.DictReader((tmp_path / "run-teacher" / "curve.csv").open()))
    assert [row["step"] for row in rows] == ["3", "6"]


@pytest.mark.slow
def test_a_killed_distillation_resumes_to_the_same_bytes(dataset: Path, model: Path, tmp_path: Path) -> None:
    for name in ("teacher.safetensors", "rig.safetensors"):
        (tmp_path / name).write_bytes((model / name).read_bytes())
    config = replace(SHORT_STAGES, save_every=1)

    def kill(progress: Progress) -> None:
        if progress.stage.startswith("64") and progress.step == 2:
            raise Stopped

    with pytest.raises(Stopped):
        distill(tmp_path, dataset, config, device="cpu", on_progress=kill)
    seen = []
    distill(tmp_path, dataset, config, device="cpu", on_progress=lambda progress: seen.append((progress.stage, progress.step)))
    assert seen[0] == ("64 to 32 steps", 2)
    assert (tmp_path / "student.safetensors").read_bytes() == (model / "student.safetensors").read_bytes()


@pytest.mark.slow
def test_training_lowers_the_loss(dataset: Path, tmp_path: Path) -> None:
    """Breaks if the diffusion loss of held-out clips, on fixed batches and noise, or a loss beside it, does not fall."""
    config = replace(
        CONFIG, steps=100, batch_frames=256, validate_every=10, save_every=1000, learning_rate=8e-3, ema=0.9, seed=1
    )
    train(dataset, tmp_path, config, device="cpu", on_progress=ignore)
    rows = list(csv.DictReader((tmp_path / "run-teacher" / "curve.csv").open()))
    for name, share in (("validation", 0.6), ("validation_regression", 0.6), ("validation_phones", 0.5)):
        assert float(rows[-1][name]) < share * float(rows[0][name]), (name, rows[0][name], rows[-1][name])


def test_a_training_goes_on_from_another_models_teacher(dataset: Path, model: Path, tmp_path: Path) -> None:
    """Without a learning rate nothing changes: weights, table and normalisation are the first model's."""
    config = replace(CONFIG, steps=1, learning_rate=0.0, start=str(model), seed=3)
    found = load_model(train(dataset, tmp_path, config, device="cpu", on_progress=ignore), "teacher")
    first = load_model(model / "teacher.safetensors", "teacher")
    for mine, theirs in zip(found.state_dict().values(), first.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_training_that_goes_on_may_keep_the_encoder(dataset: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if the encoder learns all the same, or the rest does not, or a filter chosen for other weights goes along."""
    first = load_model(model / "teacher.safetensors", "teacher")
    first.config = replace(first.config, postfilter=(0.1,) * len(first.config.names))
    filtered = tmp_path / "filtered"
    filtered.mkdir()
    shutil.copy(model / "rig.safetensors", filtered)
    save_model(filtered / "teacher.safetensors", first)
    config = replace(CONFIG, steps=2, start=str(filtered), keep_encoder=True, ema=0.0)
    found = load_model(train(dataset, tmp_path / "on", config, device="cpu", on_progress=ignore), "teacher")
    assert found.config.postfilter == ()
    learned = {name for name, value in found.state_dict().items() if not torch.equal(value, first.state_dict()[name])}
    assert not [name for name in learned if name.startswith("encoder.")]
    assert {"denoiser", "personalizer"} == {name.split(".")[0] for name in learned}
    with pytest.raises(InputError, match="no model to start from"):
        replace(CONFIG, keep_encoder=True)


def test_a_training_goes_on_only_with_the_same_face(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a model of \d+ coefficients and \d+ identities"):
        train(dataset, tmp_path, replace(CONFIG, start="talker-base", model=Architecture()), device="cpu", on_progress=ignore)


def test_another_run_in_the_same_folder_is_refused(dataset: Path, model: Path) -> None:
    with pytest.raises(InputError, match=r"other settings.*seed"):
        train(dataset, model, replace(CONFIG, seed=1), device="cpu", on_progress=ignore)


def changed(dataset: Path, folder: Path, **about: object) -> Path:
    """Return a copy of a dataset that says something else of itself."""
    shutil.copytree(dataset, folder)
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **about}))
    return folder


@pytest.mark.slow
def test_a_run_goes_on_only_with_the_dataset_that_it_began_with(dataset: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if old weights get the names of a dataset that was prepared anew in the same place."""
    place = shutil.copytree(dataset, tmp_path / "prepared")
    train(place, tmp_path / "model", CONFIG, device="cpu", on_progress=ignore)
    distill(tmp_path / "model", place, SHORT_STAGES, device="cpu", on_progress=ignore)
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").glob("*.safetensors")}
    shutil.rmtree(place)
    changed(dataset, place, identities=IDENTITIES[::-1])
    for again in (lambda: train(place, tmp_path / "model", CONFIG, device="cpu", on_progress=ignore),
                  lambda: distill(tmp_path / "model", place, SHORT_STAGES, device="cpu", on_progress=ignore)):  # fmt: skip
        with pytest.raises(InputError, match="began with another dataset than there is now"):
            again()
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").glob("*.safetensors")} == before


def test_what_was_refused_binds_nothing(dataset: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if doing as the line says is refused, because of the settings that were refused first."""
    with pytest.raises(InputError, match="start from new weights"):
        train(dataset, tmp_path, replace(CONFIG, start="talker-base", model=Architecture()), device="cpu", on_progress=ignore)
    assert train(dataset, tmp_path, CONFIG, device="cpu", on_progress=ignore).is_file()


@pytest.mark.parametrize(
    ("about", "found"),
    [
        ({"fps": 30.1}, "found a model of 52 coefficients at 30 fps and a dataset of 52 at 30.1"),
        ({"identities": ("Zoe", *IDENTITIES[1:])}, "holds motion of Zoe, whom the teacher does not know"),
    ],
)
def test_a_dataset_that_does_not_fit_the_teacher_is_refused(
    dataset: Path, model: Path, tmp_path: Path, about: dict[str, object], found: str
) -> None:
    """Breaks if a student learns sound and motion that are not of one time, or ends in a traceback."""
    other = changed(dataset, tmp_path / "other", **about)
    path = other / "dataset.json"
    if "identities" in about:
        path.write_text(path.read_text().replace('"identity": "Ada"', '"identity": "Zoe"'))
    shutil.copytree(model, tmp_path / "model", ignore=lambda place, names: ["run-student", "student.safetensors"])
    with pytest.raises(InputError, match=found):
        distill(tmp_path / "model", other, SHORT_STAGES, device="cpu", on_progress=ignore)
    assert not (tmp_path / "model" / "run-student").exists()


@pytest.mark.slow
def test_only_who_was_trained_is_known(dataset: Path, tmp_path: Path) -> None:
    """Breaks if people who are held out get a style that nothing has taught, or if clips of theirs are not validated on."""
    place = shutil.copytree(dataset, tmp_path / "prepared")
    about = json.loads((place / "dataset.json").read_text())
    split = {each["name"]: each["split"] for each in about["recordings"]}
    about["clips"] = [
        {**each, "voice_matched": each["voice_matched"] or each["identity"] == "Bert"}
        for each in about["clips"]
        if (each["identity"] == "Bert") == (split[each["recording"]] != "train")
    ]
    (place / "dataset.json").write_text(json.dumps(about))
    config = load_model(train(place, tmp_path / "model", CONFIG, device="cpu", on_progress=ignore), "teacher").config
    assert config.identities == ("Ada", "FaceTalk_1_TA", "FaceTalk_2_TA")
    assert tuple(load_rig(tmp_path / "model" / "rig.safetensors").identities) == config.identities
    rows = list(csv.DictReader((tmp_path / "model" / "run-teacher" / "curve.csv").open()))
    assert all(float(row["validation"]) > 0 for row in rows) and not rows[0].get("validation_contrastive")
    distill(tmp_path / "model", place, SHORT_STAGES, device="cpu", on_progress=ignore)
    assert [row.steps for row in read_rows(tmp_path / "model" / "run-student" / "stages.csv")] == [256, 128, 64, 32, 16, 8]
    report = evaluate(tmp_path / "model", place, "test", systems=("student",), device="cpu").as_json()
    assert report["clips"] == 1 and report["scores"][0]["lve"] > 0


def test_the_student_is_the_teacher_with_eight_timesteps(model: Path) -> None:
    student = load_model(model / "student.safetensors", "student")
    teacher = load_model(model / "teacher.safetensors", "teacher")
    assert student.config.timesteps == (256, 224, 192, 160, 128, 96, 64, 32)
    assert (
        student.config.temperature < 1 < student.config.upper_face_temperature and "eyeBlinkLeft" in student.config.upper_face
    )
    plain = {"temperature": 1.0, "upper_face_temperature": 1.0, "upper_face": ()}
    assert replace(student.config, kind="teacher", timesteps=(), **plain) == teacher.config
    for mine, theirs in zip(student.encoder.state_dict().values(), teacher.encoder.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs.half().float())
    assert not torch.equal(student.denoiser.motion_out.weight, teacher.denoiser.motion_out.weight)


def test_stages_halve_down_to_the_steps_asked_for() -> None:
    assert stages(8) == [128, 64, 32, 16, 8]
    assert stages(1)[-1] == 1
    for steps in (0, 3, 256):
        with pytest.raises(InputError, match="power of two"):
            stages(steps)


def test_batches_are_crops_of_clips_and_repeat_under_a_seed(dataset: Path) -> None:
    prepared = Dataset(dataset)
    config = ModelConfig("teacher", "", ARKIT_NAMES, IDENTITIES)
    bank = ClipBank(prepared, "train", config)
    first, again = (bank.batch(256, np.random.default_rng(3), augment=True) for _ in range(2))
    assert torch.equal(first.mel, again.mel) and torch.equal(first.coefficients, again.coefficients)
    jaw = ARKIT_NAMES.index("jawOpen")
    for seed in range(20):
        batch = bank.batch(256, np.random.default_rng(seed), augment=seed % 2 == 0)
        open_frames = batch.coefficients[..., jaw] > 0.1
        # The tone sounds where the mouth is open, in every crop at every speed: audio, phones and motion stay together.
        loud = batch.mel.reshape(*open_frames.shape, -1).amax(-1) > 0.3
        vowel = batch.phones == batch.phones[open_frames].mode().values
        for heard in (loud, vowel):
            assert (heard == open_frames).float().mean(1).min() > 0.9
        # jawOpen's size is the identity's: the row belongs to the motion.
        for row, coefficients in zip(batch.identity, batch.coefficients, strict=True):
            widest = float(coefficients[:, jaw].max())
            assert widest == 0 or widest == pytest.approx(0.2 + 0.05 * int(row), abs=1e-3)


def test_evaluation_of_the_truth_is_perfect_and_of_the_mean_face_is_not(model: Path, dataset: Path) -> None:
    report = evaluate(model, dataset, "test", device="cpu").as_json()
    rows = {row["system"]: row for row in report["scores"]}
    assert rows["truth"]["lve"] == rows["truth"]["mve"] == rows["truth"]["abs_fdd"] == 0
    assert rows["truth"]["bilabials_closed"] == rows["truth"]["vowels_open"] == rows["truth"]["auc"] == 1
    assert rows["mean face"]["auc"] == 0.5
    assert rows["mean face"]["lve"] > 0 and rows["student, 8 steps"]["lve"] > 0
    assert rows["loudness"]["auc"] == 1  # in this dataset loudness is all there is
    assert report["retrieval"]["chance"] == 1 / len(IDENTITIES)
    json.dumps(report)


def test_loudness_opens_the_jaw_while_it_sounds() -> None:
    wave = np.zeros(16_000, np.float32)
    wave[8_000:] = 0.5 * np.sin(np.arange(8_000) * 0.3)
    jaw = loudness_coefficients(wave, 30, 30.0, ARKIT_NAMES)[:, ARKIT_NAMES.index("jawOpen")]
    assert (jaw[:14] == 0).all() and np.allclose(jaw[17:29], 0.35, atol=0.02)


@pytest.mark.slow
def test_a_distillation_goes_on_to_fewer_steps_and_keeps_its_students(dataset: Path, model: Path, tmp_path: Path) -> None:
    """From 8 steps to 4 without repeating a stage; `--steps 4` then runs that student; rows of earlier stages stay."""
    shutil.copytree(model, tmp_path / "model")
    folder, stages_seen = tmp_path / "model", set()
    config = replace(SHORT_STAGES, steps=4)
    path = distill(folder, dataset, config, device="cpu", on_progress=lambda progress: stages_seen.add(progress.stage))
    assert stages_seen == {"8 to 4 steps"} and path == folder / "student-4.safetensors"
    assert (folder / "student.safetensors").read_bytes() == (model / "student.safetensors").read_bytes()
    assert load_animator(folder, "4", "cpu").sampler == "student, 4 steps"
    assert load_animator(folder, "8", "cpu").sampler == "student, 8 steps"
    assert load_animator(folder, "2", "cpu").sampler == "teacher, DDIM 2 steps"
    rows = read_rows(folder / "run-student" / "stages.csv")
    assert [row.steps for row in rows] == [256, 128, 64, 32, 16, 8, 4]
    assert rows[0].distance == 0.0  # the teacher's own result, from its own noise
    assert all(row.distance > 0.0 and row.seconds > 0.0 for row in rows[1:])

    # What is written of a motion names the weights that made it; a teacher's styles are its own, whatever student lies by it.
    table = load_file(folder / "teacher.safetensors")["personalizer.table"]
    arrays, about = load_file(folder / "student.safetensors"), ArrayFile(folder / "student.safetensors", "model").metadata
    write_arrays(folder / "student.safetensors", arrays | {"personalizer.table": -arrays["personalizer.table"]}, about)
    sound = tmp_path / "a.wav"
    soundfile.write(sound, np.zeros(8_000), 16_000)
    for steps, name, sign in (("4", "student-4", 1), ("8", "student", -1), ("2", "teacher", 1)):
        talker = Talker.load(folder, steps=steps, device="cpu")
        assert np.allclose(talker.space.table, sign * on_sphere(table), atol=2e-3), name
        made = talker.animate(sound, identity="Ada")
        assert made.about["model"]["sha256"] == file_hash(folder / f"{name}.safetensors")
    # A new distillation leaves no student of the one before.
    shutil.rmtree(folder / "run-student")
    distill(folder, dataset, replace(SHORT_STAGES, seed=1), device="cpu", on_progress=ignore)
    assert not (folder / "student-4.safetensors").exists()
