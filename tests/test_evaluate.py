"""`talker evaluate MODEL PREPARED` through the real command line: which systems, how they sound, what is reported."""

import csv
import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Talker
from PIL import Image
from tiny import IDENTITIES, tiny_dataset, tiny_rig

from talker_cli.animate.animator import load_animator
from talker_cli.data.dataset import Clip, Dataset, DatasetInfo, Recording, write_dataset
from talker_cli.evaluate.conditions import faster_20, faster_motion, noise_10db, telephone
from talker_cli.evaluate.identities import nearest_identity
from talker_cli.evaluate.model import MOST_CHECKED, Evaluation, _asked, at_temperature, load_systems
from talker_cli.evaluate.report import SURFACE_METRICS, EvaluationReport, Output, estimates, ratios
from talker_cli.evaluate.system import System
from talker_cli.formats.audio import SAMPLE_RATE, load_speech
from talker_cli.formats.files import file_hash
from talker_cli.identity.resolve import IdentityResolver
from talker_cli.identity.style import style_from_speech
from talker_cli.metrics import Articulation, diversity, fdd, lip_gap, lip_gap_error, lve, lve_per_frame, mve
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import ModelConfig
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.noise import noise_seed
from talker_cli.rig import ARKIT_NAMES, Identity, RigFile, load_rig, save_rig


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny dataset, and a model for it that was never trained."""
    folder = tmp_path_factory.mktemp("evaluate")
    dataset, model = tiny_dataset(folder / "prepared"), folder / "model"
    model.mkdir()
    (model / "rig.safetensors").write_bytes((dataset / "rig.safetensors").read_bytes())
    torch.manual_seed(0)
    for kind, timesteps in (("teacher", ()), ("student", (256, 128))):
        config = ModelConfig(
            kind=kind, rig=file_hash(model / "rig.safetensors"), names=ARKIT_NAMES, identities=IDENTITIES, fps=30.0,
            feature_width=16, encoder_dilations=(1,), style_width=4, width=16, denoiser_dilations=(1,), timesteps=timesteps,
        )  # fmt: skip
        network = FaceDiffusion(config)
        with torch.no_grad():
            for parameter in network.parameters():  # some begin at zero, and a style would change nothing
                parameter += 0.2 * torch.randn_like(parameter)
        save_model(model / f"{kind}.safetensors", network)
    return dataset, model


def measured(invoke: Talker, tiny: tuple[Path, Path], *options: object) -> dict:
    ran = invoke("evaluate", tiny[1], tiny[0], "--device", "cpu", "--json", *options)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_a_models_numbers_are_those_of_its_motion(invoke: Talker, tiny: tuple[Path, Path]) -> None:
    """Breaks if decoding only what is measured, or measuring over several samples, changes a number."""
    report = measured(invoke, tiny, "--split", "validation", "--systems", "student", "--samples", 3, "--seed", 4)
    (row,) = report["scores"]
    dataset, animator = Dataset(tiny[0]), load_animator(tiny[1], "2", "cpu")
    (clip,) = [clip for clip in dataset.clips("validation") if clip.voice_matched]
    rig = dataset.rig.rig_of(clip.identity)
    truth = rig.decode(dataset.coefficients(clip.name))
    speech = dataset.speech(clip.recording)
    seeds = [noise_seed(seed, clip.recording) for seed in (4, 5, 6)]  # every recording has its own
    made = [rig.decode(animator.coefficients(speech, clip.identity, seed=seed)) for seed in seeds]
    pairs = [(truth, each) for each in made]
    lips, upper = rig.regions["lips"], rig.regions["upper_face"]
    dynamics = [fdd(truth, each, rig.template, upper) for each in made]
    gaps = [
        lip_gap_error(lip_gap(truth, rig.template, rig.lip_pairs), lip_gap(each, rig.template, rig.lip_pairs)) for each in made
    ]
    expected = {
        "lve": lve(pairs, lips), "lve_codetalker": lve(pairs, lips), "lve_diffspeaker": lve(pairs, lips),
        "lve_imitator": 1000 * np.mean([np.sqrt(lve_per_frame(*pair, lips)) for pair in pairs]),
        "mve": np.mean([mve(*pair) for pair in pairs]), "fdd": np.mean(dynamics),
        "abs_fdd": np.mean(np.abs(dynamics)), "gap_error": np.mean(gaps), "diversity": diversity(made),
    }  # fmt: skip
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=2e-4), name
    assert row["system"] == "student, 2 steps"
    assert report["clips"] == 1 and report["samples"] == 3


def test_a_strangers_clip_is_animated_as_some_of_many() -> None:
    """Breaks if a held-out voice takes hours with a model of hundreds of voices, or a known one is animated as another."""
    many = tuple(f"v{number}" for number in range(400))
    clip = Clip("a", "recording", "stranger", True)
    for known in (many, many[:MOST_CHECKED], many[:3]):
        system = System("student", lambda item, identity, seed: item.truth, known=known)
        assert _asked(system, clip, None) == known[:MOST_CHECKED]
        assert _asked(system, replace(clip, identity=known[-1]), None) == (known[-1],)


def test_a_voice_is_measured_alone(invoke: Talker, tiny: tuple[Path, Path]) -> None:
    """Breaks if a held-out voice's numbers mix with those of another."""
    dataset = Dataset(tiny[0])
    report = measured(invoke, tiny, "--split", "train", "--systems", "loudness", "--voice", "voice2")
    heard = {name for name, recording in dataset.recordings.items() if recording.voice == "voice2"}
    own = [clip for clip in dataset.clips("train") if clip.voice_matched and clip.recording in heard]
    assert own and report["clips"] == len(own) and report["voice"] == "voice2"
    refused = invoke("evaluate", tiny[1], tiny[0], "--split", "train", "--voice", "nobody").mistake
    assert "--voice" in refused


def test_every_identity_is_asked_for(invoke: Talker, tiny: tuple[Path, Path]) -> None:
    """Breaks if the matrix is transposed or the wrong identities are averaged wrongly."""
    report = measured(invoke, tiny, "--systems", "teacher-2")
    (line,) = [line for line in report["lve_matrix"]["lve"] if any(line)]
    own = report["lve_matrix"]["lve"].index(line)
    assert line[own] == pytest.approx(report["scores"][0]["lve"], rel=1e-6)
    others = line[:own] + line[own + 1 :]
    assert report["wrong_identity"]["lve_mean"] == pytest.approx(np.mean(others))
    assert report["wrong_identity"]["lve_lowest"] == pytest.approx(min(others))
    assert report["identity_diversity"] > 0 and report["identities_by"] == "teacher, DDIM 2 steps"
    assert set(measured(invoke, tiny, "--systems", "truth,mean")) & {"lve_matrix", "retrieval"} == set()
    assert "lve_matrix" not in measured(invoke, tiny, "--systems", "student", "--no-identities")


def test_systems_by_name(invoke: Talker, tiny: tuple[Path, Path]) -> None:
    wanted = ["mean", "teacher-3", "teacher-ddim-256", "teacher-256", "truth"]
    systems = load_systems(wanted, tiny[1], Evaluation(Dataset(tiny[0]), "test"), "cpu")
    assert [system.title for system in systems] == [
        "mean face", "teacher, DDIM 3 steps", "teacher, DDIM 256 steps", "teacher, DDPM 256 steps", "truth",
    ]  # fmt: skip
    report = measured(invoke, tiny, "--systems", "truth,teacher-3", "--no-identities")
    assert [row["system"] for row in report["scores"]] == ["truth", "teacher, DDIM 3 steps"]
    for wrong in ("teacher-0", "teacher-257", "teacher-x", "pupil", ""):
        ran = invoke("evaluate", tiny[1], tiny[0], "--systems", f"truth,{wrong}")
        assert f"found the system '{wrong}'; expected truth, mean, loudness, student" in ran.mistake


def test_blendshapes_are_measured_as_coefficients(invoke: Talker, tiny: tuple[Path, Path]) -> None:
    report = measured(invoke, tiny, "--systems", "loudness", "--blendshapes")
    (row,) = report["scores"]
    dataset = Dataset(tiny[0])
    (clip,) = [clip for clip in dataset.clips("test") if clip.voice_matched]
    truth = dataset.coefficients(clip.name).astype(np.float64)
    # 51 shapes rest at 0.05 in the truth and at 0 in the baseline; of mouth and jaw there are 26 more beside jawOpen.
    mouth = [name for name in ARKIT_NAMES if name.startswith(("jaw", "mouth", "tongue"))]
    assert len(mouth) == 28
    jaw = ARKIT_NAMES.index("jawOpen")
    rest = float(truth[0, 0])
    assert row["mve"] ** 2 >= 51 * rest**2 and row["lve"] < row["mve"]
    assert row["lve"] >= np.sqrt(27) * rest and truth[:, jaw].max() > 0.1
    assert row["fdd"] == pytest.approx(0, abs=1e-12)  # neither moves brows or eyes
    assert report["metrics"]["lve"]["unit"] == "" and report["lve_variant"] is None


def test_faster_speech_has_its_truth_played_faster(invoke: Talker, tiny: tuple[Path, Path]) -> None:
    """Breaks if speech, motion and phones are not sped up together: the tone's mouth would be open while it is silent."""
    for condition in ("clean", "faster-20"):
        rows = {
            row["system"]: row
            for row in measured(invoke, tiny, "--condition", condition, "--systems", "truth,loudness")["scores"]
        }
        assert rows["truth"]["lve"] == rows["truth"]["gap_error"] == 0
        assert rows["truth"]["bilabials_closed"] == rows["truth"]["auc"] == rows["loudness"]["auc"] == 1
    clean, faster = (
        measured(invoke, tiny, "--condition", name, "--systems", "truth")["seconds"] for name in ("clean", "faster-20")
    )
    assert clean / faster == pytest.approx(1.2, abs=0.03)


def test_motion_played_faster_is_read_between_its_frames() -> None:
    ramp = np.arange(25, dtype=np.float32)[:, None] * np.array([1.0, -2.0], np.float32)
    faster = faster_motion(ramp, 1.2)
    assert (
        len(faster) == 21 and np.allclose(faster[:, 0], 1.2 * np.arange(21)) and np.allclose(faster[:, 1], -2.4 * np.arange(21))
    )
    assert np.array_equal(faster_motion(ramp, 1.0), ramp) and len(faster_motion(ramp[:1], 1.2)) == 1


def test_sounds_do_what_their_names_say() -> None:
    instant = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tones = {hertz: np.sin(2 * np.pi * hertz * instant).astype(np.float32) for hertz in (100, 1000, 6000)}
    speech = sum(tones.values())

    def share(sound: np.ndarray, hertz: float) -> float:
        window = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
        nearest = round(hertz * len(sound) / SAMPLE_RATE)
        return float(window[nearest - 3 : nearest + 4].sum() / window.sum())

    noisy = noise_10db(speech, "name")
    added = noisy.astype(np.float64) - speech
    assert 10 * np.log10(np.mean(speech.astype(np.float64) ** 2) / np.mean(added**2)) == pytest.approx(10, abs=1e-3)
    assert np.array_equal(noisy, noise_10db(speech, "name")) and not np.array_equal(noisy, noise_10db(speech, "other"))
    band = telephone(speech, "name")
    assert len(band) == len(speech) and share(band, 1000) > 0.999 and share(speech, 1000) < 0.4
    faster = faster_20(tones[1000], "name")
    assert len(faster) == round(len(speech) / 1.2) and share(faster, 1200) > 0.999
    assert np.std(faster) == pytest.approx(np.std(tones[1000]), rel=1e-3)


def test_intervals_are_those_of_a_bootstrap_over_sequences() -> None:
    """All 27 resamples of three sequences by hand: their 2.5th and 97.5th percentiles bound what 2,000 draws may say."""
    values = {"a": 1.0, "b": 2.0, "c": 6.0}
    outputs = [Output("s", name, "i", "", 0, 10, {"mve": value}) for name, value in values.items()]
    found = estimates(outputs, SURFACE_METRICS)
    assert set(found) == {"mve"} and found["mve"].value == pytest.approx(3)
    assert (found["mve"].low, found["mve"].high) == (1.0, 6.0)  # one resample in 27 is of a single sequence: 3.7 %
    weighted = [
        Output("s", name, "i", "", 0, frames, {"mve": value})
        for (name, value), frames in zip(values.items(), (10, 20, 70), strict=True)
    ]
    means = [
        sum(weighted[i].frames * weighted[i].values["mve"] for i in draw) / sum(weighted[i].frames for i in draw)
        for draw in itertools.product(range(3), repeat=3)
    ]
    found = estimates(weighted, SURFACE_METRICS)
    assert found["mve"].value == pytest.approx((10 + 40 + 420) / 100)
    assert (found["mve"].low, found["mve"].high) == pytest.approx((min(means), max(means)))
    assert estimates(weighted[:1], SURFACE_METRICS)["mve"].low is None


def test_ratios_cancel_what_makes_a_sequence_hard() -> None:
    """A system twice as far off at every sequence is so with certainty, however the sequences differ."""
    values = {"a": 1.0, "b": 2.0, "c": 60.0}
    first = [Output("s", name, "i", "", 0, 10, {"mve": value, "fdd": value}) for name, value in values.items()]
    second = [Output("t", name, "i", "", take, 10, {"mve": 2 * value}) for name, value in values.items() for take in (0, 1)]
    found = ratios(second, first, SURFACE_METRICS)
    assert set(found) == {"mve"}
    assert (found["mve"].value, found["mve"].low, found["mve"].high) == pytest.approx((2, 2, 2))
    other = [Output("t", name, "i", "", 0, 10, {"mve": value}) for name, value in zip("abc", (3.0, 2.0, 30.0), strict=True)]
    found = ratios(other, first, SURFACE_METRICS)
    assert found["mve"].value == pytest.approx(35 / 63)
    assert (found["mve"].low, found["mve"].high) == pytest.approx((0.5, 3.0))  # of c alone, and of a alone
    assert ratios(second[:2], first[:1], SURFACE_METRICS)["mve"].low is None


def test_systems_are_told_as_multiples_of_one(invoke: Talker, tiny: tuple[Path, Path]) -> None:
    options = (
        "--split", "train", "--limit", 6, "--systems", "truth,teacher-2,student", "--samples", 2, "--no-identities",
        "--relative-to", "teacher-2",
    )  # fmt: skip
    truth, teacher, student = measured(invoke, tiny, *options)["scores"]
    assert "relative" not in teacher and truth["relative"]["lve"][0] == 0
    for key in ("lve", "mve", "diversity"):
        value, low, high = student["relative"][key]
        assert value == pytest.approx(student[key] / teacher[key]) and low <= value <= high
    ran = invoke("evaluate", tiny[1], tiny[0], "--device", "cpu", *options)
    value, low, high = student["relative"]["lve"]
    assert f"student, 2 steps, as multiples of teacher, DDIM 2 steps: LVE {value:.3f} ({low:.3f}…{high:.3f})" in ran.out
    ran = invoke("evaluate", tiny[1], tiny[0], "--systems", "truth,student", "--relative-to", "teacher-256")
    assert "expected one of the systems that are measured: truth, student" in ran.mistake


@pytest.mark.slow
def test_table_csv_and_plot(invoke: Talker, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    ran = invoke(
        "evaluate", tiny[1], tiny[0], "--device", "cpu", "--systems", "truth,mean,student", "--csv", "a.csv", "--plot", "a.png",
        "--split", "train", "--limit", 6, "--by-identity", "--lve", "imitator",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert (
        "LVE mm" in ran.out and "LVE: Imitator: 1000 max over the lips" in ran.out and "bootstrap over 6 sequences" in ran.out
    )
    assert all(name in ran.out for name in ("Ada", "student, 2 steps", "identity from the speech"))
    with (tmp_path / "a.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 18 and {row["system"] for row in rows} == {"truth", "mean face", "student, 2 steps"}
    assert all(float(row["mve"]) == 0 for row in rows if row["system"] == "truth")
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert min(picture.shape[:2]) > 400 and (picture == (31, 95, 168)).all(-1).sum() > 200  # the dots
    refused = invoke("evaluate", tiny[1], tiny[0], "--csv", "nowhere/a.csv")
    assert "the folder nowhere does not exist" in refused.mistake


def test_a_dataset_of_other_coefficients_is_refused(
    invoke: Talker, tiny: tuple[Path, Path], tmp_path: Path, model: Path
) -> None:
    """Breaks if a model is measured on motion that its numbers do not mean."""
    changed = tmp_path / "prepared"
    changed.mkdir()
    for path in tiny[0].iterdir():
        (changed / path.name).write_bytes(path.read_bytes())
    about = json.loads((changed / "dataset.json").read_text())
    (changed / "dataset.json").write_text(json.dumps({**about, "fps": 30.01}))
    ran = invoke("evaluate", tiny[1], changed, "--systems", "student")
    assert "found a model of 52 coefficients at 30 fps and a dataset of 52 at 30.01" in ran.mistake
    ran = invoke("evaluate", tiny[1], tiny[0], "--protocol", "biwi-a")
    assert "found none of the 24 clips of biwi-a" in ran.mistake


@pytest.fixture
def biwi(tmp_path: Path) -> Path:
    """A dataset in BIWI's names and unit: two subjects that were trained on, and one that was not; 24 vertices."""
    tiny, rng = tiny_rig(), np.random.default_rng(2)
    people = {name: Identity(name, tiny.rig.template) for name in ("F2", "F3", "F1")}
    recordings, clips, speech, motion = [], [], [], []
    for name in ("F2_e01", "F3_e01", "F2_e37", "F3_e40", "F1_e37"):
        split = "train" if name.endswith("e01") else "test"
        recordings.append(Recording(name, name[:2], "en", True, split))
        clips.append(Clip(name, name, name[:2], True))
        speech.append((name, rng.normal(scale=3000, size=SAMPLE_RATE).astype(np.int16)))
        motion.append((name, rng.uniform(0, 0.5, size=(30, 52)).astype(np.float32)))
    notes = {"unit": {"what": "the square root of each face's area", "metres": 0.1875}}
    info = DatasetInfo("BIWI", "tests", 30.0, tuple(people), tuple(recordings), tuple(clips), notes=notes)
    write_dataset(tmp_path / "biwi", info, RigFile(tiny.rig, people), speech, motion)
    model = tmp_path / "model"
    model.mkdir()
    save_rig(model / "rig.safetensors", RigFile(tiny.rig, people))
    config = ModelConfig(
        kind="student", rig=file_hash(model / "rig.safetensors"), names=ARKIT_NAMES, identities=("F2", "F3"), fps=30.0,
        feature_width=16, encoder_dilations=(1,), style_width=4, width=16, denoiser_dilations=(1,), timesteps=(256, 128),
    )  # fmt: skip
    network = FaceDiffusion(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    save_model(model / "student.safetensors", network)
    return tmp_path


def test_a_subject_that_was_never_learned_is_made_as_all_that_were(invoke: Talker, biwi: Path) -> None:
    """Breaks if somebody whom the model does not know is animated with one style alone, or left out."""
    ran = invoke("evaluate", "model", "biwi", "--systems", "student,mean", "--csv", "out.csv", "--json", "--device", "cpu")
    assert "lve_matrix" not in json.loads(ran.out)
    with (biwi / "out.csv").open() as stream:
        made = [(row["sequence"], row["condition"]) for row in csv.DictReader(stream) if row["system"] != "mean face"]
    assert made == [("F2_e37", "F2"), ("F3_e40", "F3"), ("F1_e37", "F2"), ("F1_e37", "F3")]


def test_biwis_protocol_measures_in_its_unit(invoke: Talker, biwi: Path) -> None:
    """Breaks if figures in metres pass for published ones, or foreign files in the unit are held against metres."""
    metres = json.loads(invoke("evaluate", "model", "biwi", "--systems", "mean", "--json", "--by-identity").out)["scores"][0]
    ran = invoke("evaluate", "model", "biwi", "--systems", "mean", "--json", "--protocol", "biwi-a")
    units = json.loads(ran.out)
    assert "sequences of biwi-a without a truth, left out (22): " in ran.err
    assert units["clips"] == 2 and units["metrics"]["lve"]["unit"] == "unit^2"
    for name, (subject, row) in itertools.product(("lve", "fdd"), units["scores"][0]["identities"].items()):
        assert row[name] == pytest.approx(metres["identities"][subject][name] / 0.1875**2, rel=1e-4)
    dataset = Dataset(biwi / "biwi")
    (biwi / "made").mkdir()
    for name in ("F2_e37", "F3_e40"):
        vertices = dataset.rig.rig_of(name[:2]).decode(dataset.coefficients(name)) / 0.1875
        np.save(biwi / "made" / f"{name}.npy", vertices.reshape(30, -1))
    (row,) = json.loads(invoke("compare", "made", "biwi", "--protocol", "biwi-a", "--json").out)["scores"]
    assert row["lve"] < 1e-12 and row["mve"] < 1e-6
    refused = invoke("evaluate", "model", "biwi", "--systems", "student", "--protocol", "biwi-b")
    assert "found no identity 'F4' in the model; expected the 6 that biwi-b asks for" in refused.mistake


def test_one_temperature_for_all_systems(invoke: Talker, tiny: tuple[Path, Path]) -> None:
    """Breaks if teacher and student are compared at different temperatures, or the table does not say which."""
    options = ("--systems", "student,teacher-2", "--no-identities", "--blendshapes")
    report = measured(invoke, tiny, *options, "--temperature", 0)
    assert report["temperature"] == {"student, 2 steps": "0", "teacher, DDIM 2 steps": "0"}
    again = measured(invoke, tiny, *options, "--temperature", 0, "--seed", 9)
    assert [row["lve"] for row in again["scores"]] == [row["lve"] for row in report["scores"]]  # no noise is left but the eyes'
    warm = measured(invoke, tiny, *options, "--temperature", 1)
    assert all(one["lve"] != other["lve"] for one, other in zip(warm["scores"], report["scores"], strict=True))
    shown = invoke("evaluate", tiny[1], tiny[0], "--device", "cpu", *options, "--temperature", 0.5).out
    assert "temperature of student, 2 steps: 0.5\ntemperature of teacher, DDIM 2 steps: 0.5\n" in shown


def test_the_stored_temperature_of_the_student_is_the_teachers_too() -> None:
    """Breaks if a table flatters the student by a temperature that its teacher does not have."""
    base = ModelConfig("student", "", ARKIT_NAMES, IDENTITIES, fps=30.0, timesteps=(256,))
    stored = replace(base, temperature=0.85, upper_face_temperature=1.05, upper_face=("browInnerUp",))
    teacher = at_temperature(replace(base, kind="teacher", timesteps=()), stored, None)
    assert (teacher.temperature, teacher.upper_face_temperature, teacher.upper_face) == (0.85, 1.05, ("browInnerUp",))
    given = at_temperature(stored, stored, 0.7)
    assert (given.temperature, given.upper_face_temperature) == (0.7, 0.7)


def test_the_nearest_identity_is_what_auto_takes(tiny: tuple[Path, Path]) -> None:
    """Breaks if retrieval is measured by another route than `animate --identity auto` goes: speech only, in windows."""
    speech = load_speech(Path(__file__).parents[1] / "examples" / "speech.wav")
    music = 0.1 * np.sign(np.sin(2 * np.pi * 131 * np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE)).astype(np.float32)
    (system,) = load_systems(["student"], tiny[1], Evaluation(Dataset(tiny[0]), "test"), "cpu")
    assert system.animator and system.space
    for sound in (speech, np.concatenate([music, speech, 0 * music])):
        style = style_from_speech(system.animator.runner, sound)
        resolver = IdentityResolver(load_rig(tiny[1] / "rig.safetensors"), system.space, encode=lambda style=style: style)
        assert nearest_identity(system, sound) == resolver.resolve("auto").name
    assert nearest_identity(system, music) is None and nearest_identity(system, 0 * music) is None


def test_motion_that_is_not_finite_is_refused(tiny: tuple[Path, Path], tmp_path: Path, invoke: Talker) -> None:
    """Breaks if weights that diverged are measured: a table of NaN, or of what clipping made of it."""
    broken = tmp_path / "broken"
    shutil.copytree(tiny[1], broken)
    network = load_model(broken / "student.safetensors", "student")
    with torch.no_grad():
        for parameter in network.denoiser.parameters():
            parameter.mul_(1e30).clamp_(-6e4, 6e4)  # finite in half precision
    save_model(broken / "student.safetensors", network)
    line = invoke("evaluate", broken, tiny[0], "--systems", "student", "--device", "cpu").mistake
    assert "student, 2 steps, tone15-" in line and "not finite" in line


def test_the_bootstrap_of_a_report_is_drawn_once(tiny: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if the table, its summary and the chart each work out all intervals again."""
    outputs = [Output(system, name, "i", "", 0, 10, {"mve": 1.0}) for system in ("a", "b") for name in "xyz"]
    report = EvaluationReport(SURFACE_METRICS, outputs=outputs, relative_to="a")
    rows = report.rows
    monkeypatch.setattr("talker_cli.evaluate.report._resampled", None)
    assert report.rows is rows and report.as_json()["scores"] is rows and report.summary()


def test_evaluate_of_motions_names_compare(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if somebody with two folders of motions is not told which command measures them."""
    for name in ("made", "truth"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", np.zeros((2, 9), np.float32))
    assert "for motions use talker compare" in invoke("evaluate", "made", "truth").mistake
    assert "for motions use talker compare" in invoke("evaluate", "nowhere", "truth").mistake


def test_shares_of_a_report_are_those_of_its_clips() -> None:
    """Breaks if a column shows another share than its title says."""
    counts = [Articulation([True], [True, False], [True], [True, True, False], [], []), Articulation.empty()]
    counts[1].silences_closed += [False, False]
    outputs = [Output("s", name, "i", "", 0, 10, {"mve": 1.0}, each) for name, each in zip("ab", counts, strict=True)]
    (row,) = EvaluationReport(SURFACE_METRICS, outputs=outputs).rows
    expected = {"bilabials_closed": 1, "vowels_open": 1 / 2, "silences_closed": 1 / 3, "false_closure_rate": 2 / 3}
    assert {key: row[key] for key in expected} == pytest.approx(expected)
    assert row["intervals"]["false_closure_rate"] == [None, None]  # of one sequence
    assert row["intervals"]["silences_closed"] == [0, 1]
