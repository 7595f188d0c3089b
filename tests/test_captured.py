"""Captured faces: a GRID speaker's folder as a prepared dataset, and motions measured against it."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import IDENTITY, Talker, spoken
from test_capture import known_motion, seen_as

from talker_cli.capture.fit import LandmarkModel
from talker_cli.capture.grid import split_names
from talker_cli.data.dataset import Dataset
from talker_cli.evaluate.captured import FaceMeasures, fast_edge, lagged, score
from talker_cli.model.folder import model_folder
from talker_cli.rig import ARKIT_NAMES, Rig, load_rig

CLIPS, FRAMES = 20, 75


@pytest.fixture(scope="module")
def base() -> Rig:
    return load_rig(model_folder("talker-base") / "rig.safetensors").rig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, base: Rig) -> Path:
    """A speaker of twenty clips, whose landmarks follow known coefficients."""
    place = tmp_path_factory.mktemp("grid") / "s9"
    (place / "audio").mkdir(parents=True)
    model = LandmarkModel(base, range(478))
    parts, clips = [], {}
    for number in range(CLIPS):
        landmarks, _ = seen_as(model, known_motion(number)[:FRAMES], number)
        parts.append(landmarks * [1, -1, -1])
        name = f"clip{number:02}"
        words = [["<sil>", [["SIL", 0.0, 0.8]]], ["bin", [["B", 0.8, 0.9], ["IH", 0.9, 2.3]]], ["<sil>", [["SIL", 2.3, 3.0]]]]
        clips[name] = {"first": number * FRAMES, "frames": FRAMES, "phones": words}
        soundfile.write(place / "audio" / f"{name}.flac", spoken(3.0), 16_000)
    scale = 1 / 64
    np.savez(
        place / "landmarks.npz", landmarks=np.round(np.concatenate(parts) / scale).astype(np.int16), scale=scale,
        ids=np.arange(478), ok=np.ones(CLIPS * FRAMES, bool), fps=25.0,
    )  # fmt: skip
    (place / "clips.json").write_text(json.dumps(clips))
    return place


@pytest.fixture(scope="module")
def prepared(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from typer.testing import CliRunner

    from talker_cli.cli.app import app

    output = tmp_path_factory.mktemp("prepared") / "grid"
    done = CliRunner().invoke(app, ["preprocess", "grid", str(folder), "-o", str(output)])
    assert done.exit_code == 0, done.output
    return output


def test_a_speakers_landmarks_become_a_dataset(prepared: Path, base: Rig) -> None:
    """Breaks if a clip's motion is another's, its phones are lost, or a split is drawn anew each time."""
    dataset = Dataset(prepared)
    assert dataset.info.identities == ("s9",) and dataset.info.fps == 25.0 and "CC BY 4.0" in dataset.info.licence
    splits = [len(dataset.clips(split)) for split in ("train", "validation", "test")]
    assert splits == [16, 2, 2]
    measures = FaceMeasures(base)
    for number in (0, 7, 19):
        name = f"clip{number:02}"
        fitted, truth = dataset.coefficients(name), known_motion(number)[:FRAMES]
        gaps = [measures(each, 25.0, 3.0)["gap"] for each in (fitted, truth)]
        assert np.abs(gaps[0] - gaps[1]).max() < 1.0 and np.corrcoef(*gaps)[0, 1] > 0.99
        assert dataset.recordings[name].phones[1] == ("B", 0.8, 0.9) and dataset.recordings[name].text == "bin"


def test_splits_depend_on_names_alone() -> None:
    """Breaks if adding a sentence moves others from one split to another without need, or the order counts."""
    names = [f"s{number}" for number in range(850)]
    splits = split_names(names)
    assert splits == split_names(names[::-1])
    assert [list(splits.values()).count(split) for split in ("test", "validation", "train")] == [50, 50, 750]


def test_damaged_folders_are_refused(folder: Path, tmp_path: Path, invoke: Talker) -> None:
    """Breaks if clips beyond the landmarks, or a file of another shape, end in a traceback."""
    for name, content in (("landmarks.npz", b"no archive"), ("clips.json", b"{}x"), ("clips.json", b'{"a": {"first": 0}}')):
        place = tmp_path / "bad"
        place.mkdir(exist_ok=True)
        for each in ("landmarks.npz", "clips.json"):
            (place / each).write_bytes(content if each == name else (folder / each).read_bytes())
        assert name in invoke("preprocess", "grid", place, "-o", tmp_path / "out").mistake
    beyond = json.loads((folder / "clips.json").read_text())
    beyond["clip19"]["frames"] = FRAMES + 1
    (place / "landmarks.npz").write_bytes((folder / "landmarks.npz").read_bytes())
    (place / "clips.json").write_text(json.dumps(beyond))
    assert "beyond" in invoke("preprocess", "grid", place, "-o", tmp_path / "out").mistake


def test_a_delay_is_found() -> None:
    """Breaks if the best lag has the wrong sign, or the correlation at it is not 1."""
    t = np.arange(300) / 100
    curve = np.sin(2 * np.pi * 1.3 * t) + 0.5 * np.sin(2 * np.pi * 3.1 * t + 1)
    later = np.roll(curve, 8)
    at_zero, best, lag = lagged(curve[20:-20], later[20:-20])
    assert lag == pytest.approx(0.08) and best > 0.999 > at_zero
    assert lagged(curve, np.zeros(300))[0] == 0.0


def test_the_edge_of_a_sine_is_its_frequency() -> None:
    """Breaks if the spectrum's scale is wrong."""
    t = np.arange(800) / 100
    assert fast_edge(np.sin(2 * np.pi * 3 * t)) == pytest.approx(3.0, abs=0.3)


def test_scores_of_known_motions(base: Rig) -> None:
    """Breaks if a perfect motion is not perfect, closures are counted in the wrong direction, or phones at another time."""
    measures = FaceMeasures(base)
    motion = known_motion(1)
    truth = measures(motion, 25.0, 6.0)
    phones = [("SIL", 0.0, 0.5), ("AA", 1.0, 1.2), ("B", 2.6, 2.8), ("SIL", 5.8, 6.0)]
    same = score(truth, truth, phones)
    assert (
        same.values["gap_r"] == pytest.approx(1.0)
        and same.values["jaw_error"] == 0
        and same.shut[0] == same.shut[1] == same.shut[2]
    )
    assert same.by_phone["B"][0] == pytest.approx(truth["gap"][270]) and same.by_phone["B"][0] < 0.2
    assert set(same.by_phone) == {"AA", "B"}
    opened = motion.copy()
    opened[:, ARKIT_NAMES.index("jawOpen")] += 0.3
    wide = score(truth, measures(opened, 25.0, 6.0), phones)
    assert wide.shut[2] == 0 and wide.shut[0] == 0 and wide.shut[1] > 10
    assert wide.by_phone["B"][1] > 5 and wide.values["gap_error"] > 3
    delayed = np.roll(motion, 5, axis=0)  # 0.2 s
    delayed[:5] = 0.0
    late = score(truth, measures(delayed, 25.0, 6.0), phones)
    assert late.values["gap_lag"] == pytest.approx(0.2, abs=0.03) and late.values["opens_late"] == pytest.approx(0.2, abs=0.03)


def test_a_model_is_measured_against_captures(prepared: Path, model: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if the command loses a system, the capture itself is not perfect, or a model at rest correlates with anything."""
    ran = invoke("evaluate", model, prepared, "--captured", IDENTITY, "--json", "--csv", "t.csv", "--device", "cpu")
    assert ran.code == 0, ran.err
    content = json.loads(ran.out)
    rest = next(title for title in content["systems"] if IDENTITY in title)
    assert set(content["systems"]) == {"capture", "mean", "another sentence", "loudness", "rules", rest}
    assert content["systems"]["capture"]["gap_r"][0] == 1.0 and content["systems"]["capture"]["shut_recall"][0] == 1.0
    assert abs(content["systems"][rest]["gap_r"][0]) < 1e-6 and content["systems"][rest]["shut_recall"][0] == 1.0
    assert content["gap_by_phone_mm"]["B"]["count"] == 2 and content["clips"] == 2
    assert (tmp_path / "t.csv").read_text().startswith("system,measure,estimate,lower,upper\n")
    table = invoke("evaluate", model, prepared, "--captured", IDENTITY, "--limit", 1, "--device", "cpu")
    assert table.code == 0 and "shut_recall" in table.out
