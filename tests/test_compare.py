"""`talker compare PREDICTED TRUTH` through the real command line: other systems' files, protocols, regions, mistakes."""

import csv
import io
import json
import pickle
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from conftest import Talker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive import mean, mean_distance, mouth_gap, movement, worst_lip
from tiny import tiny_dataset

from talker_cli.data.dataset import Dataset
from talker_cli.data.vocaset import TRAIN as VOCASET_TRAIN
from talker_cli.errors import TalkerError
from talker_cli.evaluate.compare import read_coefficients
from talker_cli.evaluate.protocols import PROTOCOLS, Prediction, parse_prediction, subject_of
from talker_cli.evaluate.report import SurfaceErrors, measure_surface
from talker_cli.identity.file import Enrolled, IdentityFace, save_identity
from talker_cli.rig import Rig

V = 18
LIPS, FOREHEAD, EYES = (1, 4, 5, 9), (11, 12), (12, 15, 17)
UPPER = (11, 12, 15, 17)
GAPS = ((4, 5), (1, 9))


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.01, size=shape)


@pytest.fixture
def voca(tmp_path: Path) -> tuple[str, ...]:
    """Three of VOCASET's test sentences at 60 fps, made by a system at 30 under eight conditions; the command's arguments."""
    truths, made = tmp_path / "vertices_npy", tmp_path / "made"
    truths.mkdir()
    made.mkdir()
    names = (
        "FaceTalk_170809_00138_TA_sentence21",
        "FaceTalk_170809_00138_TA_sentence40",
        "FaceTalk_170731_00024_TA_sentence30",
    )
    for number, name in enumerate(names):
        frames = 9 + 4 * number
        np.save(truths / f"{name}.npy", random(number, frames, V * 3))
        for place, condition in enumerate(VOCASET_TRAIN):
            length = (frames + 1) // 2 + (place % 3) - 1  # one short, exact, one over
            np.save(made / f"{name}_condition_{condition}.npy", random(100 * number + place + 10, length, V * 3))
    templates = {subject_of(name): random(7 + number, V, 3) for number, name in enumerate(names[1:])}
    (tmp_path / "templates.pkl").write_bytes(pickle.dumps(templates, protocol=2))
    masks = {
        "lips": np.array([*LIPS, LIPS[0]]),
        "forehead": np.array(FOREHEAD),
        "eye_region": np.array(EYES),
        "neck": np.arange(3),
    }
    (tmp_path / "FLAME_masks.pkl").write_bytes(pickle.dumps(masks, protocol=2))
    (tmp_path / "pairs.txt").write_text("".join(f"{upper},{lower}\n" for upper, lower in GAPS))
    return ("compare", "made", "vertices_npy", "--template", "templates.pkl", "--regions", "FLAME_masks.pkl")


def report_of(invoke: Talker, *arguments: object) -> dict:
    ran = invoke(*arguments, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_vocasets_protocol_equals_its_naive_form(invoke: Talker, voca: tuple[str, ...], tmp_path: Path) -> None:
    """Breaks if files are paired, cut, strided or averaged in another way than the papers': to 1e-12."""
    rates = ("--fps", 30, "--truth-fps", 60)
    report = report_of(invoke, *voca, "--protocol", "vocaset-test", *rates, "--lip-pairs", "pairs.txt", "--csv", "out.csv")
    templates = pickle.loads((tmp_path / "templates.pkl").read_bytes())
    errors, vertex_errors, dynamics, gaps, diversities, means = [], [], [], [], [], []
    for path in sorted((tmp_path / "vertices_npy").iterdir()):
        truth = np.load(path).reshape(-1, V, 3)[::2].tolist()
        template = templates[path.stem.rpartition("_")[0]].tolist()
        outputs = []
        for condition in VOCASET_TRAIN:
            made = np.load(tmp_path / "made" / f"{path.stem}_condition_{condition}.npy").reshape(-1, V, 3).tolist()
            outputs.append(made)
            worst = worst_lip(truth, made, LIPS)
            means.append(mean([error**2 for error in worst]))
            errors.append(worst)
            vertex_errors += mean_distance(truth, made)
            frames = len(worst)
            dynamics.append(movement(truth[:frames], template, UPPER) - movement(made[:frames], template, UPPER))
            gaps += [
                abs(mouth_gap(one, template, GAPS) - mouth_gap(other, template, GAPS))
                for one, other in zip(truth, made, strict=False)
            ]
        diversities.append(mean([mean(mean_distance(*pair)) for pair in combinations(outputs, 2)]))
    expected = {
        "lve_codetalker": mean([error**2 for worst in errors for error in worst]),
        "lve_diffspeaker": mean(means),
        "lve_imitator": mean([mean(worst) for worst in errors]) * 1000,
        "mve": mean(vertex_errors),
        "fdd": mean(dynamics),
        "abs_fdd": mean([abs(value) for value in dynamics]),
        "gap_error": mean(gaps),
        "diversity": mean(diversities),
    }
    (row,) = report["scores"]
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-12, abs=0), name
    assert row["lve"] == row["lve_codetalker"] and row["system"] == "made"
    assert set(row["identities"]) == {"FaceTalk_170809_00138_TA", "FaceTalk_170731_00024_TA"}
    assert (report["sequences"], report["outputs"], report["unpaired_predictions"]) == (3, 24, [])
    assert len(report["unpaired_truths"]) == 37  # of the protocol's 40
    with (tmp_path / "out.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(float(each["lve_squared"]) for each in rows) == pytest.approx(sorted(means), rel=1e-12)
    assert {each["condition"] for each in rows} == set(VOCASET_TRAIN)


def test_the_variant_that_is_asked_for_is_shown(invoke: Talker, voca: tuple[str, ...]) -> None:
    rates = ("--fps", 30, "--truth-fps", 60)
    values = {name: report_of(invoke, *voca, *rates, "--lve", name) for name in ("codetalker", "diffspeaker", "imitator")}
    for name, report in values.items():
        assert report["scores"][0]["lve"] == report["scores"][0][f"lve_{name}"] and report["lve_variant"] == name
        assert name in report["metrics"]["lve"]["formula"].lower()
        assert report["metrics"]["lve"]["unit"] == ("mm" if name == "imitator" else "m^2")
    shown = invoke(*voca, *rates, "--lve", "diffspeaker", "--by-identity")
    assert "LVE: DiffSpeaker: max over the lips" in shown.out and "FaceTalk_170731_00024_TA" in shown.out
    assert "8 of 8" not in shown.err and "frames as the truth" not in shown.err
    assert "predictions last 0.53 times as many frames" in invoke(*voca).err


def test_a_protocol_needs_all_its_conditions(invoke: Talker, voca: tuple[str, ...], tmp_path: Path) -> None:
    gone = tmp_path / "made" / f"FaceTalk_170731_00024_TA_sentence30_condition_{VOCASET_TRAIN[3]}.npy"
    gone.unlink()
    ran = invoke(*voca, "--protocol", "vocaset-test")
    assert f"found no prediction {gone.stem} (7 of 8 conditions); expected all that vocaset-test averages over" in ran.mistake


def test_a_system_without_identities_stands_for_all(invoke: Talker, voca: tuple[str, ...], tmp_path: Path) -> None:
    for path in (tmp_path / "made").iterdir():
        name, _, condition = path.stem.partition("_condition_")
        path.rename(path.with_name(f"{name}.npy")) if condition == VOCASET_TRAIN[1] else path.unlink()
    report = report_of(invoke, *voca, "--protocol", "vocaset-test", "--fps", 30, "--truth-fps", 60)
    assert report["outputs"] == 3 and "diversity" not in report["scores"][0]


def test_biwi_a_is_each_subject_in_its_own_identity(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if another condition's file counts, a unit is called metres, or .npz and (T, V, 3) are not read."""
    for folder in ("truth", "made"):
        (tmp_path / folder).mkdir()
    truth = {name: random(number, 5, V, 3) for number, name in enumerate(("F2_e37", "M5_e40"))}
    for name, motion in truth.items():
        np.save(tmp_path / "truth" / f"{name}.npy", motion.reshape(5, -1))
        np.savez(tmp_path / "made" / f"CodeTalker_{name}_condition_{name[:2]}.npz", pred=motion + np.array([0.0, 0.003, 0.004]))
    np.save(tmp_path / "made" / "F2_e37_condition_M4.npy", random(8, 5, V, 3))
    np.save(tmp_path / "truth" / "F2_e01.npy", random(8, 5, V, 3))
    (tmp_path / "template.obj").write_text("".join(f"v {x} 0 1\n" for x in range(V)) + "f 1 2 3\n")
    (tmp_path / "lve.txt").write_text(", ".join(map(str, LIPS)))
    (tmp_path / "fdd.txt").write_text(", ".join(map(str, UPPER)))
    arguments = ("compare", "made", "truth", "--template", "template.obj", "--regions", "lve.txt,fdd.txt")
    report = report_of(invoke, *arguments, "--protocol", "biwi-a")
    assert report["scores"][0]["lve"] == pytest.approx(25e-6, rel=1e-9)
    assert report["scores"][0]["mve"] == pytest.approx(5e-3, rel=1e-9)
    assert report["metrics"]["lve"]["unit"] == "unit^2" and report["metrics"]["mve"]["unit"] == "unit"
    assert report["unpaired_predictions"] == ["F2_e37_condition_M4"] and len(report["unpaired_truths"]) == 22
    ran = invoke(*arguments, "--protocol", "biwi-a")
    assert "predictions that fit nothing, left out (1): F2_e37_condition_M4" in ran.err
    assert "one template for several subjects" in ran.err and "1e-5 unit^2" in ran.out


def test_names_of_other_systems() -> None:
    truths = {"FaceTalk_170809_00138_TA_sentence21", "F2_e37", "e37"}
    voca = "FaceTalk_170809_00138_TA_sentence21"
    for stem, expected in {
        voca: Prediction(voca, "", 0),
        f"{voca}_condition_FaceTalk_170728_03272_TA": Prediction(voca, "FaceTalk_170728_03272_TA", 0),
        f"{voca}_condition_FaceTalk_170728_03272_TA_7": Prediction(voca, "FaceTalk_170728_03272_TA", 7),
        "F2_e37_condition_F2": Prediction("F2_e37", "F2", 0),
        "F2_e37_condition_M3_2": Prediction("F2_e37", "M3", 2),
        "my_model_F2_e37_condition_F2": Prediction("F2_e37", "F2", 0),
        "M1_e38_condition_F2": None,
    }.items():
        assert parse_prediction(stem, truths) == expected, stem
    assert subject_of(voca) == "FaceTalk_170809_00138_TA" and subject_of("F2_e37") == "F2" and subject_of("alone") == "alone"
    assert subject_of("F2_x_e37", ("F2", "F2_x", "F")) == "F2_x"
    assert {name: len(protocol.sequences) for name, protocol in PROTOCOLS.items()} == {
        "vocaset-test": 40,
        "biwi-a": 24,
        "biwi-b": 32,
    }


def test_a_prepared_dataset_is_a_truth_with_template_regions_and_pairs(invoke: Talker, tmp_path: Path) -> None:
    dataset = Dataset(tiny_dataset(tmp_path / "prepared"))
    (tmp_path / "made").mkdir()
    (tmp_path / "curves").mkdir()
    clip = dataset.clips("test")[0]
    coefficients = dataset.coefficients(clip.name)
    rig = dataset.rig.rig_of(clip.identity)
    np.save(tmp_path / "made" / f"{clip.name}.npy", rig.decode(coefficients) + np.float32(0.001))
    np.save(tmp_path / "made" / f"{clip.name}.coefficients.npy", coefficients)  # as talker animate leaves them
    (row,) = report_of(invoke, "compare", "made", "prepared")["scores"]
    assert row["lve"] == pytest.approx(3e-6, rel=1e-3) and row["mve"] == pytest.approx(np.sqrt(3) * 1e-3, rel=1e-3)
    assert row["gap_error"] == pytest.approx(0, abs=1e-7)
    (row,) = report_of(invoke, "compare", "made", "prepared", "--blendshapes")["scores"]
    assert row["mve"] == row["lve"] == row["fdd"] == 0
    np.save(tmp_path / "curves" / f"{clip.name}.npy", coefficients + np.float32(0.5))
    (row,) = report_of(invoke, "compare", "curves", "prepared", "--blendshapes")["scores"]
    assert row["mve"] == pytest.approx(0.5 * np.sqrt(52), rel=1e-6) and row["lve"] == pytest.approx(0.5 * np.sqrt(28), rel=1e-6)
    rig_file = ("--template", "prepared/rig.safetensors")
    assert report_of(invoke, "compare", "made", "made", *rig_file)["scores"][0]["gap_error"] == 0


FIRST = f"FaceTalk_170731_00024_TA_sentence30_condition_{VOCASET_TRAIN[0]}.npy"


def nan_in_frame_4(folder: Path) -> None:
    motion = np.load(folder / "made" / FIRST)
    motion[4, 7] = np.nan
    np.save(folder / "made" / FIRST, motion)


def templates(folder: Path, **sizes: int) -> None:
    (folder / "templates.pkl").write_bytes(pickle.dumps({name: np.zeros((size, 3)) for name, size in sizes.items()}))


class Hostile:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize(
    ("change", "more", "found"),
    [
        (lambda f: np.save(f / "made" / FIRST, random(1, 5, 19 * 3)), (), "has 19 vertices; expected 18, as vertices_npy has"),
        (nan_in_frame_4, (), f"{FIRST} holds NaN or infinity, first in frame 4"),
        (lambda f: (f / "empty").mkdir(), ("EMPTY",), "found no motions (.npy, .npz) in empty"),
        (lambda f: None, ("NOWHERE",), "no folder nowhere; expected one with motions"),
        (lambda f: [p.rename(p.with_name(f"x{p.name}")) for p in (f / "made").iterdir()], (), "expected the same names"),
        (lambda f: (f / "lve.txt").write_text("1,2,18"), ("--regions", "lve.txt,pairs.txt"), "lve.txt names vertex 18"),
        (lambda f: (f / "FLAME_masks.pkl").write_bytes(pickle.dumps(Hostile())), (), "FLAME_masks.pkl asks for"),
        (lambda f: templates(f, a=4, b=5), (), "holds templates of 4 and of 5 vertices; expected one topology"),
        (lambda f: templates(f, F2=V), (), "and templates of F2; expected its subject's among them"),
        (lambda f: np.savez(f / "made" / FIRST[:-4], random(1, 5, V, 3)), (), "expected one file of each name"),
        (lambda f: np.save(f / "made" / f"x_{FIRST}", random(1, 5, V, 3)), (), "both for FaceTalk_170731_00024_TA_sent"),
        (lambda f: None, ("--fps", "30"), "found one frame rate"),
        (lambda f: None, ("--fps", "25", "--truth-fps", "60"), "expected the second to be a multiple"),
        (lambda f: None, ("--split", "test"), "which is no prepared dataset"),
        (lambda f: None, ("--blendshapes",), "expected ARKit coefficients (T, 52)"),
        (lambda f: None, ("--blendshapes", "--lve", "imitator"), "whose LVE has one form"),
        (lambda f: None, ("--plot", "nowhere/a.png"), "the folder nowhere does not exist"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line_and_leave_nothing(
    invoke: Talker, voca: tuple[str, ...], tmp_path: Path, change: Callable[[Path], object], more: tuple[str, ...], found: str
) -> None:
    change(tmp_path)
    arguments = list(voca)
    if more in (("EMPTY",), ("NOWHERE",)):
        arguments[1], more = more[0].lower(), ()
    before = {path.name for path in tmp_path.iterdir()}
    ran = invoke(*arguments, *(() if "--plot" in more else ("--csv", "out.csv")), *more)
    assert found in ran.mistake
    assert {path.name for path in tmp_path.iterdir()} == before


def test_what_is_needed_is_asked_for(invoke: Talker, voca: tuple[str, ...]) -> None:
    assert "found no neutral face; expected a mesh" in invoke(*voca[:3]).mistake
    assert "found no regions with templates.pkl; expected FLAME_masks.pkl" in invoke(*voca[:5]).mistake
    assert "leave one out" in invoke(*voca, "--split", "test", "--protocol", "biwi-a").mistake


def test_an_identity_file_is_a_template(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if an identity with a face of its own, which is rig enough, ends in a traceback."""
    dataset = Dataset(tiny_dataset(tmp_path / "prepared"))
    rig, clip = dataset.rig.rig, dataset.clips("test")[0]
    (tmp_path / "made").mkdir()
    np.save(tmp_path / "made" / "a_1.npy", rig.decode(dataset.coefficients(clip.name)))
    style = np.ones(4, np.float32)
    faces = {"whole": IdentityFace(rig.template, rig=rig), "mesh": IdentityFace(rig.template), "none": None}
    for name, face in faces.items():
        save_identity(tmp_path / f"{name}.safetensors", Enrolled(name, style, "key", "Ada", face))
    (row,) = report_of(invoke, "compare", "made", "made", "--template", "whole.safetensors")["scores"]
    assert row["lve"] == row["mve"] == row["gap_error"] == 0
    line = invoke("compare", "made", "made", "--template", "mesh.safetensors").mistake
    assert "found no regions" in line and line.endswith("(--regions)")
    assert "no face of its own" in invoke("compare", "made", "made", "--template", "none.safetensors").mistake


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_coefficients_are_refused_or_finite(data: st.DataObject, tmp_path: Path) -> None:
    """Breaks if a damaged .npy raises anything but an error of ours, or NaN goes through."""
    whole = io.BytesIO()
    np.save(whole, random(0, 3, 52).astype(data.draw(st.sampled_from(["<f4", "<f8", "<f2", "<i4", "<c8", "<U3", "|b1"]))))
    content = bytearray(whole.getvalue())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path = tmp_path / "a.npy"
    path.write_bytes(bytes(content))
    try:
        array = read_coefficients(path)
    except TalkerError as error:
        assert "a.npy" in str(error) and "\n" not in str(error)
    else:
        assert array.ndim == 2 and array.shape[1] in (51, 52) and np.isfinite(array).all()


SUBJECTS = st.builds("FaceTalk_{:06}_{:05}_TA".format, st.integers(0, 999_999), st.integers(0, 99_999)) | st.builds(
    "{}{}".format, st.sampled_from("FM"), st.integers(1, 14)
)


@settings(max_examples=40, deadline=None)
@given(
    subject=SUBJECTS, number=st.integers(1, 40), condition=SUBJECTS, sample=st.integers(0, 99),
    prefix=st.sampled_from(["", "CodeTalker_", "my_model_"]),
)  # fmt: skip
def test_a_name_that_is_written_is_read(subject: str, number: int, condition: str, sample: int, prefix: str) -> None:
    """Breaks if any subject, condition, sample or model's name in front is read as another."""
    truth = f"{subject}_sentence{number:02}"
    assert parse_prediction(f"{prefix}{truth}", {truth}) == Prediction(truth, "", 0)
    name = f"{prefix}{truth}_condition_{condition}"
    assert parse_prediction(name, {truth}) == Prediction(truth, condition, 0)
    assert parse_prediction(f"{name}_{sample}", {truth}) == Prediction(truth, condition, sample)
    assert subject_of(truth) == subject


def test_no_number_of_a_truth_against_itself_but_zero(rig: Rig) -> None:
    """Breaks if any metric has an offset: the truth's own error is 0, of a shift by 1 mm what geometry says."""
    rng = np.random.default_rng(1)
    truth = rig.decode(rng.uniform(0, 0.5, (8, len(rig.names))).astype(np.float32)).astype(np.float64)
    surface = SurfaceErrors(rig.template, rig.regions["lips"], rig.regions["upper_face"], rig.lip_pairs)
    assert set(measure_surface(truth, truth, surface).values()) == {0.0}
    shifted = measure_surface(truth, truth + np.array([0.001, 0.0, 0.0]), surface)
    assert shifted["lve_squared"] == pytest.approx(1e-6, rel=1e-9) and shifted["lve_distance"] == pytest.approx(1e-3, rel=1e-9)
    assert shifted["gap_error"] == pytest.approx(0, abs=1e-12)
    opened = truth.copy()
    opened[:, np.unique(rig.lip_pairs[:, 1]), 1] -= 0.02
    gap = measure_surface(truth, opened, surface)["gap_error"]
    assert 0.015 < gap <= 0.02 + 1e-9
