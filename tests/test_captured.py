"""Captured faces: a GRID speaker's folder as a prepared dataset, and motions measured against it."""

import itertools
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
from talker_cli.errors import InputError
from talker_cli.evaluate.captured import CapturedReport, ClipScore, score
from talker_cli.evaluate.curve_metrics import (
    blinks,
    lagged,
    lip_error,
    lip_speed,
    mean_and_best_error,
    power_edge,
    temporal_misalignment,
    warping_path,
)
from talker_cli.evaluate.face_measures import RATE, Curves, FaceMeasures, MeshMeasures
from talker_cli.formats.motion import write_motion
from talker_cli.model.built_in import built_in_head
from talker_cli.rig import ARKIT_NAMES, HEAD_NAMES, Rig, RigFile, save_rig

CLIPS, FRAMES = 20, 75


@pytest.fixture(scope="module")
def base() -> Rig:
    return built_in_head().rig


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


@pytest.mark.slow
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
        gaps = [measures(each, 25.0).curves["gap"] for each in (fitted, truth)]
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


def test_the_edge_of_two_sines_is_that_of_the_faster_one_if_it_has_a_twentieth_of_the_power() -> None:
    """Breaks if the spectrum's scale, or the share, is wrong."""
    t = np.arange(800) / RATE
    for amplitude, edge in ((0.35, 6.0), (0.15, 2.0)):  # powers of .109 and .022 of all
        both = np.sin(2 * np.pi * 2 * t) + amplitude * np.sin(2 * np.pi * 6 * t)
        assert power_edge(both) == pytest.approx(edge, abs=0.3)
    assert np.isnan(power_edge(np.full(800, 3.0)))


def test_blinks_are_counted_measured_and_told_from_half_ones() -> None:
    """Breaks if a narrowing or a long closure is a blink, or the length, or the depth of one is wrong."""
    lids = np.full(600, 10.0)
    lids[100:115], lids[200:220], lids[300:310], lids[400:500], lids[550:552] = 2.0, 6.0, 8.0, 1.0, 1.0
    found = blinks(lids)
    assert [(blink.start, blink.seconds, blink.least) for blink in found] == [(1.0, 0.15, 0.2), (2.0, 0.2, 0.6)]
    at_the_ends = np.full(300, 10.0)
    at_the_ends[:10] = at_the_ends[-10:] = 1.0
    assert [blink.seconds for blink in blinks(at_the_ends)] == [0.1, 0.1]


def test_errors_and_speed_of_lips_that_move_by_known_amounts() -> None:
    """Breaks if the worst point, the mean over frames, the samples' mean or the best sample is another."""
    truth = np.zeros((4, 3, 3))
    made = truth.copy()
    made[:2, 1] = [3.0, 0.0, 4.0]
    made[:, 2] = [0.0, 1.0, 0.0]
    assert lip_error(truth, made) == pytest.approx((5 + 5 + 1 + 1) / 4)
    up, down = truth + np.array([0.0, 2.0, 0.0]), truth - np.array([0.0, 4.0, 0.0])
    assert mean_and_best_error(truth, [up, down]) == (pytest.approx(1.0), pytest.approx(2.0))
    moving = np.arange(50)[:, None, None] / RATE * np.array([[3.0, 0.0, 4.0], [0.0, 1.0, 0.0]])
    assert lip_speed(moving) == pytest.approx(3.0)  # the mean of 5 and 1 mm/s


def test_a_misalignment_is_the_delay_of_the_extrema() -> None:
    """Breaks if MTM of a delayed curve is not its delay, is signed, or takes a maximum for a minimum."""
    t = np.arange(400) / RATE
    curve = sum(np.exp(-(((t - at) / 0.08) ** 2)) * size for at, size in ((0.8, 5), (1.5, 7), (2.1, 4), (3.0, 8)))
    for shift in (0, 8, -8):
        assert temporal_misalignment(curve, 2 * np.roll(curve, shift)) == pytest.approx(10 * abs(shift), abs=5)
    assert np.isnan(temporal_misalignment(curve, np.full(400, 2.0)))


@pytest.mark.parametrize("seed", range(4))
def test_the_warping_path_is_that_of_the_whole_table(seed: int) -> None:
    """Breaks if the running minimum, or the walk back, is not dynamic time warping."""
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(2, 24))
    table = np.full((25, 25), np.inf)
    table[0, 0] = 0.0
    for i in range(24):
        for j in range(24):
            table[i + 1, j + 1] = abs(one[i] - other[j]) + min(table[i, j], table[i, j + 1], table[i + 1, j])
    path = warping_path(one, other, 23)
    assert path[0] == (0, 0) and path[-1] == (23, 23)
    assert all((b[0] - a[0], b[1] - a[1]) in ((1, 1), (1, 0), (0, 1)) for a, b in itertools.pairwise(path))
    assert sum(abs(one[i] - other[j]) for i, j in path) == pytest.approx(table[-1, -1])
    assert max(abs(i - j) for i, j in warping_path(one, other, 3)) <= 3


def curves(gap: np.ndarray, **others: np.ndarray) -> Curves:
    lips = np.zeros((len(gap), 2, 3))
    lips[:, 0, 1] = gap
    return {"gap": gap, "width": gap - 1, "jaw": 2 * gap, "lips": lips, **others}


def box(count: int, *opened: tuple[int, int]) -> np.ndarray:
    gap = np.zeros(count)
    for first, end in opened:
        gap[first:end] = 5.0
    return gap


def test_scores_of_known_curves() -> None:
    """Breaks if shut frames are counted in the wrong direction, or an opening or a closure is timed from the wrong instant."""
    truth, made = box(300, (100, 150), (200, 250)), box(300, (110, 150), (200, 270))
    phones = [("SIL", 0.0, 0.9), ("AA", 0.9, 1.5), ("B", 1.6, 1.8), ("AA", 2.0, 2.4), ("SIL", 2.4, 3.0)]
    scored = score(curves(truth), [curves(made)], phones)
    span = slice(80, 250)  # a tenth of a second about the sound
    both = ((truth == 0) & (made == 0))[span].sum()
    assert scored.terms["shut_recall"] == (both, (truth == 0)[span].sum()) == (70, 70)
    assert scored.terms["shut_precision"] == (70, 80) and scored.terms["shut_share"] == (80, 170)
    expected = {
        "first_opening_s": 0.2, "first_opening_error_s": 0.1, "last_closure_s": 0.29, "last_closure_error_s": 0.2,
        "gap_error_mm": 10 * 5 / 170, "jaw_error_mm": 10 * 10 / 170, "lip_error_mm": 10 * 5 / 170,
    }  # fmt: skip
    for key, value in expected.items():
        assert scored.value(key) == pytest.approx(value), key
    assert (scored.by_phone["AA"] == [10, 10, 2]).all() and (scored.by_phone["B"] == [0, 0, 1]).all()
    assert set(scored.by_phone) == {"AA", "B"}
    assert np.isnan(scored.value("coverage_error_mm")) and np.isnan(scored.value("blinks_per_minute"))

    several = score(curves(truth), [curves(truth + 2), curves(truth - 4)], phones)
    assert several.value("coverage_error_mm") == pytest.approx(2.0) and several.value("gap_error_mm") == pytest.approx(3.0)
    assert several.value("mean_estimate_error_mm") == pytest.approx(1.0)

    never = score(curves(truth), [curves(0 * truth)], phones)
    assert never.value("gap_r") == 0.0 and np.isnan(never.value("first_opening_error_s"))


def test_deviations_and_blinks_of_known_curves() -> None:
    """Breaks if brows, gaze, head or lids are taken for one another, or blinks are not by the minute."""
    t = np.arange(600) / RATE
    lids = np.full(600, 10.0)
    lids[100:120] = 2.0
    lids[300:330] = 6.0
    wave = np.sqrt(2) * np.sin(2 * np.pi * t)
    upper = {"brows": 0.5 * wave, "gaze": wave[:, None] * [2, 3], "head": wave[:, None] * [4, 5, 6], "lids": lids}
    found = score(curves(box(600, (100, 200))), [curves(box(600, (100, 200)), **upper)], [])
    expected = {
        "brow_std_mm": 0.5, "gaze_pitch_std_deg": 2, "gaze_yaw_std_deg": 3, "head_pitch_std_deg": 4, "head_yaw_std_deg": 5,
        "head_roll_std_deg": 6, "blinks_per_minute": 20, "blink_length_s": 0.25, "half_blinks_share": 0.5,
    }  # fmt: skip
    for key, value in expected.items():
        assert found.value(key) == pytest.approx(value), key


def test_a_report_pools_counts_and_correlates_loudness_within_people() -> None:
    """Breaks if clips of many frames weigh as little as others, or a loud person's lips are compared with a quiet one's."""
    rng = np.random.default_rng(0)
    scores = []
    for number in range(20):
        quiet = number % 2 == 0
        level = rng.uniform(0.01, 0.02) if quiet else rng.uniform(0.5, 0.6)
        speed = 100 + 1000 * level if quiet else 10 + 30 * level  # the quiet one moves more, but more with the level
        terms = {"shut_recall": (float(number), 20.0 + number), "gap_r": (0.1 * number, 1.0)}
        scores.append(ClipScore(f"c{number}", "quiet" if quiet else "loud", terms, level=level, lip_speed=speed))
    row = CapturedReport({"one": scores, "same": scores}, {}).table["one"]
    assert row["shut_recall"][0] == pytest.approx(190 / 590) and row["gap_r"][0] == pytest.approx(0.95)
    assert row["slcc"] == pytest.approx((1.0, 1.0, 1.0))
    low, high = row["gap_r"][1:]
    error = 0.1 * np.sqrt(np.var(range(20)) / 20)  # of the mean of 20
    assert low == pytest.approx(0.95 - 1.96 * error, abs=0.05) and high == pytest.approx(0.95 + 1.96 * error, abs=0.05)


def test_a_head_and_its_mesh_are_measured_alike(base: Rig) -> None:
    """Breaks if a mesh's lips, corners or chin are found elsewhere than the landmarks, or eyes turn the wrong way."""
    motion = known_motion(3)[:FRAMES]
    face = FaceMeasures(base)(motion, 25.0).curves
    mesh = MeshMeasures(base.template, base.lip_pairs)(base.decode(motion.astype(np.float32)), 25.0).curves
    for name in ("gap", "width", "jaw"):
        assert np.corrcoef(face[name], mesh[name])[0, 1] > 0.97, name
        assert np.abs(face[name] - mesh[name]).mean() < 0.1 * np.ptp(face[name]), name
    assert face["lips"].shape == mesh["lips"].shape == (FRAMES, 20, 3)
    assert lip_error(face["lips"], mesh["lips"]) < 1.0
    at_rest = FaceMeasures(base)(np.zeros((5, 52)), 25.0).curves
    assert all(np.abs(at_rest[name]).max() < 0.01 for name in ("gap", "width", "jaw", "lips", "gaze"))
    looking = np.zeros((5, 52))
    looking[:, [ARKIT_NAMES.index(f"eyeLookDown{side}") for side in ("Left", "Right")]] = 1.0
    assert FaceMeasures(base)(looking, 25.0).curves["gaze"][0] == pytest.approx([-26.0, 0.0], abs=0.5)
    looking[:] = 0.0
    looking[:, [ARKIT_NAMES.index(name) for name in ("eyeLookOutLeft", "eyeLookInRight")]] = 1.0
    assert FaceMeasures(base)(looking, 25.0).curves["gaze"][0] == pytest.approx([0.0, 28.0], abs=0.5)
    with pytest.raises(InputError, match="metres"):
        MeshMeasures(1000 * base.template, base.lip_pairs)
    with pytest.raises(InputError, match="2 lip pairs"):
        MeshMeasures(base.template, base.lip_pairs[:2])


@pytest.mark.slow
def test_a_model_is_measured_against_captures(prepared: Path, model: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if the command loses a system, the capture itself is not perfect, or a model at rest correlates with anything."""
    ran = invoke(
        "evaluate", model, prepared, "--captured", IDENTITY, "--samples", "2", "--steps", "8, 2", "--json", "--csv", "t.csv",
        "--plot", "t.png", "--device", "cpu",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    content = json.loads(ran.out)
    systems = content["systems"]
    rest, of_two = (title for title in systems if IDENTITY in title)
    assert " 8 steps" in rest and " 2 steps" in of_two
    assert set(systems) == {"capture", "mean", "another sentence", "loudness", "rules, given the phones", rest, of_two}
    perfect = {"gap_r": 1, "shut_recall": 1, "lip_error_mm": 0, "mtm_ms": 0, "first_opening_error_s": 0, "jaw_lag_s": 0}
    assert {key: systems["capture"][key][0] for key in perfect} == perfect
    assert systems[rest]["gap_r"][0] == 0.0 and systems[rest]["shut_recall"][0] == 1.0
    assert systems[rest]["coverage_error_mm"] == systems[rest]["mean_estimate_error_mm"] == systems[rest]["lip_error_mm"]
    assert content["gap_by_phone_mm"]["B"]["count"] == 2 and content["clips"] == 2
    assert "999" in invoke("evaluate", model, prepared, "--captured", IDENTITY, "--steps", "8, 999").mistake
    assert "without --captured" in invoke("evaluate", model, prepared, "--steps", "8").mistake
    assert content["measures"]["mtm_ms"]["unit"] == "ms" and set(systems["capture"]) <= set(content["measures"])
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert len(lines) == 1 + 7 * 2 and lines[0].startswith("system,clip,identity,speech_rms,lip_speed_mm_per_s,gap_r,")
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    table = invoke("evaluate", model, prepared, "--captured", "all", "--split", "all", "--limit", 1, "--device", "cpu")
    assert table.code == 0 and "shut_recall" in table.out and "split all" in table.out
    for options in (("--human",), ("--lve", "imitator"), ("--condition", "telephone"), ("--by-identity",)):
        assert f"{options[0]} with --captured" in invoke("evaluate", model, prepared, "--captured", IDENTITY, *options).mistake
    assert "(--split)" in invoke("evaluate", model, prepared, "--captured", IDENTITY, "--split", "test_voice").mistake


@pytest.mark.slow
def test_any_systems_motions_are_measured_against_captures(prepared: Path, base: Rig, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if coefficients, a CSV or vertices of a true motion are not the true motion, or what is missing is passed over."""
    dataset = Dataset(prepared)
    names = [clip.name for clip in dataset.clips("test")]
    save_rig(tmp_path / "rig.safetensors", RigFile(base, {}))
    for kind in ("curves", "vertices", "csv"):
        (tmp_path / kind).mkdir()
        for name in names:
            motion = dataset.coefficients(name)
            if kind == "curves":
                np.save(tmp_path / kind / f"{name}.npy", motion)
            elif kind == "vertices":
                about = {"fps": 25.0, "head": True, "rig": {"path": str(prepared / "rig.safetensors")}}
                write_motion(tmp_path / kind / f"{name}.npy", dataset.rig.rig.decode(motion), motion, about)
            else:
                twice = np.repeat(motion, 2, 0)[:-1]
                twice[1::2] = (motion[1:] + motion[:-1]) / 2
                rows = [f"0,{','.join(f'{value:.5f}' for value in row)}" for row in twice]
                header = ",".join(("BlendshapeCount", *ARKIT_NAMES, *HEAD_NAMES))
                (tmp_path / kind / f"{name}.csv").write_text("\n".join([header, *rows]))
    np.save(tmp_path / "curves" / "stranger.npy", motion)
    rest = (prepared, "--captured", "--json")
    given = {"curves": (), "vertices": ("--template", "rig.safetensors"), "csv": ("--fps", "50")}
    for kind, options in given.items():
        ran = invoke("compare", kind, *rest, *options)
        assert ran.code == 0, ran.err
        row = json.loads(ran.out)["systems"][kind]
        assert row["gap_r"][0] > (0.97 if kind != "curves" else 0.9999), kind
        assert row["lip_error_mm"][0] < {"curves": 1e-6, "vertices": 1.0, "csv": 0.6}[kind]
        assert ("stranger" in ran.err) == (kind == "curves")
        assert ("brow_std_mm" in row) == (kind != "vertices")  # a mesh has none
        assert ("head_yaw_std_deg" in row) == (kind != "vertices")
    assert json.loads(invoke("compare", "vertices", *rest).out)["systems"]["vertices"]["lip_error_mm"][0] < 1e-6  # its curves
    (tmp_path / "vertices" / f"{names[1]}.npy").unlink()
    (tmp_path / "vertices" / f"{names[1]}.coefficients.npy").unlink()
    ran = invoke("compare", "vertices", *rest, "--template", "rig.safetensors")
    assert f"clips without a prediction, left out (1): {names[1]}" in ran.err and json.loads(ran.out)["clips"] == 1
    (tmp_path / "vertices" / f"{names[0]}.coefficients.npy").unlink()
    assert "(--template)" in invoke("compare", "vertices", *rest).mistake
    assert "same names" in invoke("compare", tmp_path, *rest).mistake
    assert "--truth-fps with --captured" in invoke("compare", "vertices", *rest, "--truth-fps", "50").mistake
