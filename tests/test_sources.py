"""Real layouts in, one prepared format out: VOCASET, BIWI, own captures; and runs that are killed."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import captured
import numpy as np
import pytest
from captured import FACES, PAIRS, TEMPLATE, person, speaking
from conftest import Talker, run_command
from test_cli import limited

from talker_cli.data import biwi, vocaset
from talker_cli.data.dataset import Dataset
from talker_cli.data.lips import find_lip_pairs
from talker_cli.data.pca import find_directions
from talker_cli.data.resume import ResumableParts
from talker_cli.formats.audio import load_speech
from talker_cli.metrics import lip_gap

FILES = {"dataset.json", "rig.safetensors", "speech.safetensors", "clips.safetensors"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every layout, written once."""
    folder = tmp_path_factory.mktemp("captures")
    captured.vocaset_original(folder / "original")
    captured.vocaset_converted(folder / "converted")
    captured.biwi_raw(folder / "raw")
    captured.biwi_converted(folder / "biwi")
    captured.own_captures(folder / "own")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Return a dataset's files, but for the command that made it."""
    about = json.loads((folder / "dataset.json").read_text())
    about["command"] = ""
    arrays = {name: (folder / name).read_bytes() for name in FILES - {"dataset.json"}}
    return {**arrays, "dataset.json": json.dumps(about, sort_keys=True).encode()}


@pytest.mark.slow
def test_vocaset_as_downloaded_and_as_converted(invoke: Talker, folders: Path, tmp_path: Path) -> None:
    """Breaks if frames are taken out of order, the rate or a split is wrong, or the two layouts differ."""
    one = invoke("preprocess", "vocaset", folders / "original", "-o", "one")
    assert (one.code, one.out) == (0, "one\n"), one.err
    assert "outside the official splits: 4" in one.err and "sound longer clips 20" in one.err
    assert invoke("preprocess", "vocaset", folders / "converted", "-o", "two").code == 0
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert {path.name for path in (tmp_path / "one").iterdir()} == FILES

    dataset = Dataset(tmp_path / "one")
    assert dataset.info.fps == 30.0 and dataset.info.identities == vocaset.SUBJECTS
    assert "non-commercial" in dataset.info.licence
    splits = {clip.name: dataset.recordings[clip.recording].split for clip in dataset.info.clips}
    expected = {}
    for row, subject, sentence, frames in captured.VOCASET_TAKES:
        held = subject not in vocaset.TRAIN
        if held and sentence == "sentence01":
            continue
        name = f"{subject}_{sentence}"
        expected[name] = "train" if not held else "validation" if subject in vocaset.VALIDATION else "test"
        rig = dataset.rig.rig_of(subject)
        assert np.abs(rig.template - person(row)).max() < 1e-7
        truth = speaking(row, frames, 60.0)[::2]
        made = rig.decode(dataset.coefficients(name))
        assert made.shape == truth.shape and np.linalg.norm(made - truth, axis=-1).max() < 2e-5  # metres
        heard = load_speech(folders / "converted" / "wav" / f"{name}.wav")
        read = dataset.speech(name)
        assert len(read) == int(np.ceil(len(truth) * 16_000 / 30)) and np.abs(read - heard[: len(read)]).max() < 1e-4
    assert splits == expected


@pytest.mark.slow
def test_basis_errors_and_choices(invoke: Talker, folders: Path, tmp_path: Path) -> None:
    """Breaks if the errors that are shown are not those of the decoded clips, or more components are taken than are needed."""
    captured.write_masks(tmp_path)
    arguments = ("preprocess", "vocaset", folders / "converted", "--fps", 60, "--regions", tmp_path / "FLAME_masks.pkl")
    assert invoke(*arguments, "--error", "0.8mm", "-o", "loose").code == 0
    dataset = Dataset(tmp_path / "loose")
    rig, notes = dataset.rig.rig, dataset.info.notes
    assert dataset.info.fps == 60.0 and notes["regions"] == "FLAME_masks.pkl"
    assert np.flatnonzero(rig.regions["lips"]).tolist() == [*range(22, 27), 63, 64, 65]
    squares: dict[str, list[np.ndarray]] = {"all": [], "lips": []}
    for row, subject, sentence, frames in captured.VOCASET_TAKES:
        if subject in vocaset.TRAIN:
            made = dataset.rig.rig_of(subject).decode(dataset.coefficients(f"{subject}_{sentence}"))
            distance = np.square(made - speaking(row, frames, 60.0)).sum(-1)
            squares["all"].append(distance)
            squares["lips"].append(distance[:, rig.regions["lips"]])
    for part, found in squares.items():
        both = np.concatenate(found)
        assert notes["reconstruction_mm"]["train"][part] == pytest.approx(1000 * np.sqrt(both.mean()), rel=1e-3)
        assert notes["reconstruction_mm"]["train"][f"{part}_largest"] == pytest.approx(1000 * np.sqrt(both.max()), rel=1e-3)
    assert max(notes["reconstruction_mm"]["train"][part] for part in squares) <= 0.8
    count = len(rig.names)
    assert rig.names == tuple(f"pca_{number:03}" for number in range(count)) and 1 < count < 4
    ran = invoke(*arguments, "--components", count - 1, "-o", "fewer")
    assert ran.code == 0, ran.err
    fewer = Dataset(tmp_path / "fewer").info.notes["reconstruction_mm"]["train"]
    assert max(fewer["all"], fewer["lips"]) > 0.8
    assert "asked for 1e-05 mm" in invoke(*arguments, "--error", "0.00001", "-o", "fine").err


def test_directions_are_those_of_the_whole_matrix(tmp_path: Path) -> None:
    """Breaks if two passes over blocks find other directions, or promise other errors, than one decomposition of everything."""
    rng = np.random.default_rng(0)
    takes = [
        (rng.normal(size=(n, 30)) * 0.8 ** np.arange(30) @ rng.normal(size=(30, 90))).astype(np.float32) for n in (40, 1, 90)
    ]
    found = find_directions(
        lambda number: (block for block in np.array_split(takes[number], 3) if len(block)),
        [40, 1, 90],
        90,
        24,
        ResumableParts(tmp_path, {}),
        lambda done, total: None,
    )
    whole = np.concatenate(takes).astype(np.float64)
    _, values, rows = np.linalg.svd(whole, full_matrices=False)
    assert np.abs(found.power[:12] / values[:12] ** 2 - 1).max() < 1e-3
    assert np.abs(np.abs((found.directions[:, :8] * rows[:8].T).sum(0)) - 1).max() < 1e-3
    assert np.abs(found.directions.T @ found.directions - np.eye(len(found.power))).max() < 1e-4
    lips = np.arange(30) < 7
    for region in (None, lips):
        mask = np.ones(30, bool) if region is None else region
        left = whole - (whole @ found.directions[:, :6]) @ found.directions[:, :6].T
        truth = np.sqrt(np.square(left.reshape(-1, 30, 3)[:, mask]).sum(-1).mean())
        assert found.rms(region)[6] == pytest.approx(truth, rel=1e-3)
    coefficients = whole @ np.linalg.pinv(found.basis(6).reshape(6, -1))
    assert np.square(coefficients).mean(0) == pytest.approx(np.ones(6), rel=1e-3)


@pytest.mark.slow
def test_the_lips_of_an_unknown_mesh(head_motion: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Breaks if the mouth gap of found pairs is not that of the built-in head's own, though nothing says where its lips are."""
    template, faces, vertices, true_pairs = head_motion
    offsets = (vertices - template).reshape(len(vertices), -1)
    _, values, rows = np.linalg.svd(offsets, full_matrices=False)
    basis = (rows * values[:, None] / np.sqrt(len(vertices))).reshape(len(values), -1, 3)
    pairs = find_lip_pairs(template, faces, basis)
    assert {tuple(pair) for pair in pairs.tolist()} >= {tuple(pair) for pair in true_pairs[4:-4].tolist()}
    truth, found = lip_gap(vertices, template, true_pairs), lip_gap(vertices, template, pairs)
    assert np.corrcoef(truth, found)[0, 1] > 0.999 and found.min() < 0.0005


@pytest.fixture(scope="module")
def head_motion() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The built-in head with a mouth that opens, rounds and spreads."""
    from talker_cli.head import build_head

    rig = build_head().rig
    rng = np.random.default_rng(2)
    coefficients = np.zeros((40, len(rig.names)), np.float32)
    for name, most in (
        ("jawOpen", 0.4),
        ("mouthFunnel", 0.5),
        ("mouthPucker", 0.5),
        ("mouthSmileLeft", 0.5),
        ("browInnerUp", 0.6),
    ):
        coefficients[1:, rig.names.index(name)] = most * rng.uniform(size=39)
    return rig.template, rig.faces, rig.decode(coefficients), rig.lip_pairs


@pytest.mark.slow
def test_biwi_raw_and_converted(invoke: Talker, folders: Path, tmp_path: Path) -> None:
    """Breaks if the normalisation is not CodeTalker's, the scale is not what is recorded, or test A and B are mixed."""
    assert invoke("preprocess", "biwi", folders / "biwi", "-o", "converted").code == 0
    ran = invoke(
        "preprocess", "biwi", folders / "raw", "-o", "raw",
        "--regions", f"{folders / 'biwi/regions/lve.txt'},{folders / 'biwi/regions/fdd.txt'}",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    one, other = Dataset(tmp_path / "converted"), Dataset(tmp_path / "raw")
    assert one.info.fps == 25.0 and one.info.identities == biwi.SUBJECTS
    counts = {split: len(one.clips(split)) for split in ("train", "validation", "test", "test_voice")}
    assert counts == {"train": 6, "validation": 6, "test": 6, "test_voice": 8}
    assert one.info.notes["unit"]["metres"] == 0.1875
    for row, subject, sentence, frames in captured.BIWI_TAKES[:8]:
        if sentence.startswith("e"):
            truth = np.stack([captured.unit(v) for v in speaking(row, frames // 4, 25.0)]) * 0.1875
            for dataset in (one, other):
                made = dataset.rig.rig_of(subject).decode(dataset.coefficients(f"{subject}_{sentence}"))
                assert np.linalg.norm(made - truth, axis=-1).max() < 3e-4
    for identity in biwi.SUBJECTS:
        assert np.abs(one.rig.identities[identity].template - other.rig.identities[identity].template).max() < 1e-6
    root = other.info.notes["unit"]["as measured in the files"]["F2"]
    assert root == pytest.approx(float(captured.RAW_SCALE) * 0.0968, rel=0.2)


@pytest.mark.slow
def test_own_captures(invoke: Talker, folders: Path, tmp_path: Path) -> None:
    """Breaks if millimetres stay millimetres, a person is lost, the longer of sound and motion counts, or no lips are found."""
    arguments = ("preprocess", "vertices", folders / "own", "--template", folders / "own" / "face.ply", "--source-fps", 60)
    ran = invoke(*arguments, "--unit", "mm", "-o", "out", "--licence", "mine")
    assert ran.code == 0, ran.err
    dataset = Dataset(tmp_path / "out")
    assert dataset.info.identities == ("Ada", "Bert") and dataset.info.licence == "mine"
    assert sorted(dataset.rig.rig.lip_pairs.tolist()) == PAIRS
    assert np.abs(dataset.rig.rig.template - TEMPLATE).max() < 1e-6
    assert dataset.info.notes["cut"]["motion longer"]["clips"] == 2
    for clip in dataset.info.clips:
        who, take = clip.name.split("_")
        number = 10 * ["Ada", "Bert"].index(who) + int(take)
        frames = 40 if int(take) else int((80 / 60 - 0.19) * 30)
        assert dataset.frames(clip.name) == frames
        made = dataset.rig.rig_of(who).decode(dataset.coefficients(clip.name))
        if dataset.recordings[clip.name].split == "train":
            assert np.linalg.norm(made - speaking(number, 80, 60.0)[: 2 * frames : 2], axis=-1).max() < 5e-4
    splits = [dataset.recordings[clip.name].split for clip in dataset.info.clips]
    assert sorted(splits) == ["test", "test", *["train"] * 6, "validation", "validation"]

    assert "set the unit to mm (--unit)" in invoke(*arguments, "-o", "wrong").mistake
    rows = [f"{who}_{take},Eve,train,hello" for who in ("Ada", "Bert") for take in range(5)]
    (tmp_path / "clips.csv").write_text("\n".join(["name,identity,split,text", *rows]))
    ran = invoke(*arguments, "--unit", "mm", "-o", "eve", "--clips", "clips.csv", "--fps", 24, "--components", 5)
    assert ran.code == 0, ran.err
    eve = Dataset(tmp_path / "eve")
    assert eve.info.identities == ("Eve",) and eve.info.fps == 24.0 and eve.recordings["Ada_1"].text == "hello"
    made = eve.rig.rig_of("Eve").decode(eve.coefficients("Bert_2"))
    truth = speaking(12, 80, 60.0)
    assert np.linalg.norm(made[2] - truth[5], axis=-1).max() < 2e-3  # 2/24 s is frame 5 of 60 a second
    assert not {path.name for path in tmp_path.iterdir()} & {"wrong"}


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bytes(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 at four moments, from reading sound to the basis; finished parts are kept, all bytes the same."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    for place in ("killed", "whole"):
        (tmp_path / place).mkdir()
    arguments = ["preprocess", "vocaset", str(folders / "converted"), "-o", "out"]
    command = [sys.executable, "-m", "talker_cli", *arguments]
    work = tmp_path / "killed" / "out" / "unfinished"
    first = None
    for part in ("speech-2", "speech-12", "speech-19", "directions"):
        with subprocess.Popen(command, cwd=tmp_path / "killed", env=env, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 60
            while not (work / f"{part}.part").exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
        assert not (tmp_path / "killed" / "out" / "dataset.json").exists()
        inode = (work / "speech-0.part").stat().st_ino
        assert first in (None, inode), "a finished part was made again"
        first = inode
    for place in ("killed", "whole"):
        monkeypatch.chdir(tmp_path / place)
        assert run_command(*arguments).code == 0
    for name in FILES:
        assert (tmp_path / "killed/out" / name).read_bytes() == (tmp_path / "whole/out" / name).read_bytes(), name
    assert {path.name for path in (tmp_path / "killed" / "out").iterdir()} == FILES


@pytest.mark.slow
def test_a_run_begun_with_another_face_begins_anew(folders: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a template that was mended after a kill is combined with the offsets from the one before."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    captured.own_captures(tmp_path / "own")
    arguments = (
        "preprocess",
        "vertices",
        "own",
        "--template",
        "own/face.ply",
        "--source-fps",
        "60",
        "--unit",
        "mm",
        "-o",
        "out",
    )
    with subprocess.Popen(
        [sys.executable, "-m", "talker_cli", *arguments],
        cwd=tmp_path,
        env=env,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("out/unfinished/*.part")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    face = tmp_path / "own" / "face.ply"
    captured.write_ply(face, 1000 * TEMPLATE + np.float32(5.0), FACES)
    assert invoke(*arguments).code == 0
    (tmp_path / "out").rename(tmp_path / "resumed")
    assert invoke(*arguments).code == 0
    for name in FILES:
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name


@pytest.mark.slow
def test_a_full_disk(invoke: Talker, folders: Path, tmp_path: Path) -> None:
    """Breaks if half a dataset stays on a full disk, or the words are the system's."""
    for size in (2_000, 60_000):  # the first part; the file of all speech
        with limited(size):
            line = invoke("preprocess", "vocaset", folders / "converted", "-o", "out").err.splitlines()[-1]
        assert "the disk is full" in line
        assert not (tmp_path / "out").exists()


def linked(source: Path, folder: Path) -> Path:
    """Return a copy of a folder whose files are links, so that one can be replaced."""
    for path in source.rglob("*"):
        if path.is_file():
            place = folder / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    return folder


def replace(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


class Code:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def broken(kind: str, folder: Path) -> None:
    """Break a VOCASET download in one way."""
    verts, index, templates = (folder / name for name in ("data_verts.npy", "subj_seq_to_idx.pkl", "templates.pkl"))
    if kind == "code":
        replace(templates, pickle.dumps(Code(), 2))
    elif kind == "class":
        replace(folder / "raw_audio_fixed.pkl", pickle.dumps({"a": Path("x")}, 2))
    elif kind == "cut":
        replace(verts, verts.read_bytes()[:-5000])
    elif kind == "objects":
        verts.unlink()
        np.save(verts, np.array([{}]), allow_pickle=True)
    elif kind == "subject":
        content = pickle.loads(index.read_bytes())
        del content[vocaset.TEST[1]]
        replace(index, pickle.dumps(content, 2))
    elif kind == "template":
        content = pickle.loads(templates.read_bytes())
        content[vocaset.TRAIN[2]] = content[vocaset.TRAIN[2]][:-1]
        replace(templates, pickle.dumps(content, 2))
    elif kind == "nan":
        array = np.load(verts)
        array[9, 3, 1] = np.nan  # row 9 is frame 4 of the first sentence: it is used at 30 frames a second
        verts.unlink()
        np.save(verts, array)
    elif kind == "rows":
        content = pickle.loads(index.read_bytes())
        content[vocaset.TRAIN[0]]["sentence01"][3] = 10**6
        replace(index, pickle.dumps(content, 2))
    elif kind == "faces":
        (folder / "FLAME_sample.ply").unlink()
        captured.write_ply(folder / "FLAME_sample.ply", TEMPLATE, np.array([[0, 1, 66]]))
    elif kind == "mesh":
        (folder / "FLAME_sample.ply").unlink()
        captured.write_ply(folder / "FLAME_sample.ply", TEMPLATE[:60], FACES[:8])
    elif kind == "sound":
        (folder / "raw_audio_fixed.pkl").unlink()
    elif kind == "masks":
        (folder / "FLAME_masks.pkl").write_bytes(pickle.dumps({"lips": np.array([66])}, 2))
    elif kind == "rate":
        content = pickle.loads((folder / "raw_audio_fixed.pkl").read_bytes())
        content[vocaset.TRAIN[0]]["sentence01"] = {"audio": np.zeros(5)}
        replace(folder / "raw_audio_fixed.pkl", pickle.dumps(content, 2))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("code", "templates.pkl asks for posix.system"),
        ("class", "raw_audio_fixed.pkl asks for pathlib"),
        ("cut", "data_verts.npy is damaged (ValueError: mmap length is greater than file size)"),
        ("objects", "Python objects"),
        ("subject", f"lacks 1 of 12 subjects ({vocaset.TEST[1]})"),
        ("template", f"templates.pkl: {vocaset.TRAIN[2]} is float64 of the shape (65, 3); expected the mesh's (66, 3)"),
        ("nan", f"{vocaset.TRAIN[0]}_sentence01 holds NaN or infinity, first in frame 4"),
        ("rows", "names row 1000000"),
        ("faces", "a face with the vertex 66"),
        ("mesh", "of the shape (66, 3); expected the mesh's (60, 3)"),
        ("sound", "found no sound"),
        ("masks", "names vertex 66 in lips; the mesh has 66"),
        ("rate", "holds float64 of the shape (5,)"),
    ],
)
@pytest.mark.slow
def test_broken_and_hostile_vocaset(invoke: Talker, folders: Path, tmp_path: Path, kind: str, words: str) -> None:
    """Breaks if a broken download ends in a traceback, runs something, or leaves anything written."""
    folder = linked(folders / "original", tmp_path / "v")
    broken(kind, folder)
    assert words in invoke("preprocess", "vocaset", folder, "-o", "out").mistake
    assert {path.name for path in tmp_path.iterdir()} == {"v"}


@pytest.mark.slow
def test_broken_biwi_and_own_captures(invoke: Talker, folders: Path, tmp_path: Path) -> None:
    """Breaks if a frame of another mesh, a clip without a person, or two clips of one name get in."""
    lacking = linked(folders / "biwi", tmp_path / "lacking")
    for path in lacking.glob("vertices_npy/M6_*"):
        path.unlink()
    assert "lacks 1 of 14 subjects (M6)" in invoke("preprocess", "biwi", lacking, "-o", "out").mistake
    raw = linked(folders / "raw", tmp_path / "raw")
    frame = raw / "faces" / "F2" / "e01" / "frame_003.vl"
    replace(frame, frame.read_bytes()[:-4])
    line = invoke("preprocess", "biwi", raw, "-o", "out").mistake
    assert "frame_003.vl has 792 bytes and states 66 vertices; expected 796 and 66" in line

    own = linked(folders / "own", tmp_path / "own")
    arguments = ("preprocess", "vertices", own, "--template", own / "face.ply", "--source-fps", 60, "--unit", "mm", "-o", "out")
    linked(folders / "own", own / "again")
    assert "found two clips named Ada_0" in invoke(*arguments).mistake
    for path in sorted((own / "again").iterdir()):
        path.unlink()
    (own / "take.npy").symlink_to(folders / "own" / "Ada_1.npy")
    (own / "take.wav").symlink_to(folders / "own" / "Ada_1.wav")
    assert "cannot tell who speaks in" in invoke(*arguments).mistake
    (own / "take.npy").unlink()
    clip = own / "Ada_1.npy"
    whole = clip.read_bytes()
    replace(clip, whole[:-100])
    assert "Ada_1.npy is damaged (ValueError: mmap length is greater than file size)" in invoke(*arguments).mistake
    frames = np.load(folders / "own" / "Ada_1.npy")
    frames.reshape(len(frames), -1)[4, 7] = np.nan
    np.save(clip, frames)
    assert "Ada_1 holds NaN or infinity, first in frame 4" in invoke(*arguments).mistake
    np.save(clip, frames.reshape(len(frames), -1)[:, :-3])
    assert "give the clips and the template of one mesh" in invoke(*arguments).mistake
    replace(clip, whole)
    (tmp_path / "clips.csv").write_text("name,split\nAda_0,train\n")
    assert "has the columns name, split; expected name, identity" in invoke(*arguments, "--clips", "clips.csv").mistake
    (tmp_path / "clips.csv").write_text("name,identity\nAda_0,Ada\n")
    assert "has no row for Ada_1" in invoke(*arguments, "--clips", "clips.csv").mistake
    (tmp_path / "clips.csv").write_text("name,identity\nAda_0\n")
    assert "line 2 has 1 fields; expected 2" in invoke(*arguments, "--clips", "clips.csv").mistake
    still = linked(folders / "own", tmp_path / "still")
    for path in still.glob("*.npy"):
        path.unlink()
        np.save(path, 1000 * (TEMPLATE + np.linspace(0, 1, 80)[:, None, None] * captured.modes()[3]))  # brows alone
    arguments = (*arguments[:2], still, *arguments[3:])
    assert "found no lips that part" in invoke(*arguments, "--identity", "Ada").mistake
    assert invoke("preprocess", "vocaset", tmp_path / "nowhere", "-o", "out").mistake.endswith("check the path")
    assert "expected one of them" in invoke(*arguments, "--error", "1mm", "--components", 3).mistake
    assert "found --error 1cm" in invoke(*arguments, "--error", "1cm").mistake
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_data_info(invoke: Talker, folders: Path, tmp_path: Path) -> None:
    """Breaks if the numbers shown are not those of the dataset, or the picture is none."""
    from PIL import Image

    assert invoke("preprocess", "biwi", folders / "biwi", "-o", "d").code == 0
    shown = invoke("data", "info", "d").out
    for words in (
        "BIWI",
        "research only",
        "25 frames a second",
        "reconstruction error, test_voice: all 0.",
        "PCA, 4 components",
    ):
        assert words in shown
    about = json.loads(invoke("data", "info", "d", "--json", "--plot", "p.png", "--clips", 3).out)
    dataset = Dataset(tmp_path / "d")
    frames = sum(len(dataset.coefficients(clip.name)) for clip in dataset.info.clips)
    assert about["clips"] == 26 and about["hours"] == pytest.approx(frames / 25 / 3600)
    assert about["splits"]["test_voice"]["identities"] == sorted(biwi.UNSEEN)
    assert about["identities"]["F2"]["splits"] == ["train", "validation", "test"]
    assert len(set(about["plot"]["clips"])) == 3
    picture = np.asarray(Image.open(tmp_path / "p.png").convert("RGB")).astype(int)
    orange = (picture[..., 0] > 180) & (picture[..., 1] < 130) & (picture[..., 2] < 80)
    assert orange.sum() > 300  # the mouth gap
    assert "expected a name that ends in .png" in invoke("data", "info", "d", "--plot", "p.jpg").mistake
    assert "holds no dataset.json" in invoke("data", "info", tmp_path).mistake
