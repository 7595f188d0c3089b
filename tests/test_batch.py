"""Many recordings in one command, several takes, and what is changed in a motion afterwards: the real command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import IDENTITY, Talker, spoken

from talker_cli.animate.batch import find_recordings
from talker_cli.animate.postprocess import smoothed, with_expression
from talker_cli.errors import InputError
from talker_cli.rig import ARKIT_NAMES


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder with two recordings, one with an awkward name in a folder of its own, a broken one, and something else."""
    folder = tmp_path / "clips"
    (folder / "sub").mkdir(parents=True)
    soundfile.write(folder / "a.wav", spoken(0.4), 16_000)
    soundfile.write(folder / "sub" / "с пробелом 日本.flac", spoken(0.5, 48_000), 48_000)
    (folder / "broken.wav").write_text("no sound")
    (folder / "notes.txt").write_text("no recording")
    return folder


def test_a_folder_is_done_but_for_what_is_broken_and_can_be_gone_on_with(
    invoke: Talker, clips: Path, model: Path, tmp_path: Path
) -> None:
    """Breaks if one bad file stops the others, is not named at the end, or if what is there is made again."""
    command = ("animate", clips, "--model", model, "--device", "cpu", "-o", "made/{name}.csv", "-o", "made")
    ran = invoke(*command)
    names = ["a", "sub/с пробелом 日本"]
    assert ran.code == 1
    assert ran.out.splitlines() == [f"made/{name}{suffix}" for name in names for suffix in (".csv", ".npy")]
    failed, counted = ran.err.splitlines()[-2:]
    assert "broken.wav is not a recording" in failed and "1 of 3 failed" in counted
    lengths = [len(np.load(tmp_path / "made" / f"{name}.npy")) for name in names]
    assert lengths == [12, 15]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*.*")}
    assert len(before) == 8

    soundfile.write(clips / "broken.wav", spoken(0.3), 16_000)
    again = invoke(*command, "--skip-existing")
    assert again.code == 0 and again.out.splitlines() == ["made/broken.csv", "made/broken.npy"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_manifest_says_who_speaks_and_where_it_goes(invoke: Talker, clips: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if its paths are not its folder's, or an empty cell is not the option's value."""
    other = "FaceTalk_170915_00223_TA"
    rows = ["audio,identity,output", f"a.wav,{other[:15]},first.npy", "sub/с пробелом 日本.flac,,"]
    (clips / "list.csv").write_text("\n".join(rows), encoding="utf-8")
    ran = invoke("animate", "--manifest", "clips/list.csv", "--model", model, "-o", "rest", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == ["clips/first.npy", "rest/с пробелом 日本.npy"]
    assert json.loads((clips / "first.json").read_text())["identity"] == other
    assert json.loads((tmp_path / "rest" / "с пробелом 日本.json").read_text())["identity"] == IDENTITY
    for content, words in (("sound\na.wav\n", "has the columns sound"), ("audio,identity\n,x\n", "in line 2")):
        (clips / "list.csv").write_text(content)
        assert words in invoke("animate", "--manifest", "clips/list.csv", "--model", model).mistake


def test_each_process_of_torchrun_does_its_share_whatever_fails_in_another(model: Path, tmp_path: Path) -> None:
    """Breaks if two processes do the same recording, none does it, or a failure in one ends the others before their time."""
    (tmp_path / "0.wav").write_bytes(b"no sound")  # the first process has no others: it is done at once
    for number in (1, 3):  # the other process is still at work long after that
        soundfile.write(tmp_path / f"{number}.wav", np.tile(spoken(2.0), 90), 16_000)
    (tmp_path / "2.wav").write_bytes(b"no sound")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "talker_cli", "animate",
        "0.wav", "1.wav", "2.wav", "3.wav", "--model", str(model), "-o", "{name}.csv", "--device", "cpu",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    assert sorted(ran.stdout.split()) == ["1.csv", "3.csv"], ran.stderr
    assert "2 of 2 failed" in ran.stderr and sorted(path.name for path in tmp_path.glob("*.csv")) == ["1.csv", "3.csv"]


def test_names_that_are_no_utf8(invoke: Talker, clips: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if a name from another system's archive ends in a traceback, in any format."""
    name = os.fsdecode(b"caf\xe9.wav")
    shutil.copy(clips / "a.wav", tmp_path / name)
    outputs = [f"out.{suffix}" for suffix in ("npy", "npz", "csv", "glb", "usda", "html")] + ["frames.json"]
    ran = invoke("animate", name, "--model", model, *(part for output in outputs for part in ("-o", output)))
    assert ran.code == 0, ran.err
    assert json.loads((tmp_path / "out.json").read_text())["audio"]["path"].endswith(name)
    assert invoke("animate", name, "--model", model, "-o", name.replace(".wav", ".npz")).code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "found no recording"),
        (("clips", "-o", "one.glb"), "found -o one.glb for many recordings"),
        (("clips/*.mp3",), "no file that fits clips/*.mp3"),
        (("clips/a.wav", "copy/a.wav", "-o", "."), "would both write"),
        (("clips/a.wav", "--manifest", "list.csv"), "leave one out"),
    ],
)
def test_what_is_refused_before_anything_is_done(
    invoke: Talker, clips: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    """Breaks if a wrong list is found out after an hour of work."""
    shutil.copytree(clips, tmp_path / "copy")
    before = set(tmp_path.rglob("*"))
    assert words in invoke("animate", *arguments).mistake
    assert set(tmp_path.rglob("*")) == before


def test_meshes_that_were_not_made_are_made_again(invoke: Talker, wav: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if the folder of a recording that failed passes for its meshes."""
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    command = ("animate", wav, "bad.wav", "--model", model, "-o", "made/{name}/%04d.ply", "--device", "cpu", "--skip-existing")
    assert invoke(*command).code == 1 and len(list((tmp_path / "made" / "speech").iterdir())) == 36
    soundfile.write(tmp_path / "bad.wav", spoken(0.3), 16_000)
    assert invoke(*command).out.split() == ["made/bad/%04d.ply"] and len(list((tmp_path / "made" / "bad").iterdir())) == 9


def test_takes_of_names_with_percent(invoke: Talker, wav: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if a name from a web address is taken for a pattern of meshes."""
    wav.rename(tmp_path / "hello%20world.wav")
    for output, made in (((), "hello%20world-{}.npy"), (("-o", "m/hello%20world.csv"), "m/hello%20world-{}.csv")):
        (tmp_path / "m").mkdir(exist_ok=True)
        names = ("hello%20world.wav", *output, *(() if output else ("-o", "{name}.npy")))
        ran = invoke("animate", *names, "--model", model, "--samples", "2", "--device", "cpu")
        assert ran.out.split() == [made.format(1), made.format(2)], ran.err


def test_takes_differ_in_their_seed(invoke: Talker, wav: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if a take cannot be made again alone from what its sidecar says."""
    ran = invoke("animate", wav, "--model", model, "--samples", "3", "--seed", "7", "--device", "cpu", "-o", "x.npy")
    assert ran.out.splitlines() == ["x-1.npy", "x-2.npy", "x-3.npy"]
    assert [json.loads((tmp_path / f"x-{take}.json").read_text())["seed"] for take in (1, 2, 3)] == [7, 8, 9]


def test_expression_moves_the_upper_face_alone() -> None:
    """Breaks if lips, blinks or gaze follow it."""
    motion = np.random.default_rng(0).uniform(0, 1, (20, 52)).astype(np.float32)
    half = with_expression(motion, ARKIT_NAMES, 0.5)
    changed = {name for name, before, after in zip(ARKIT_NAMES, motion.T, half.T, strict=True) if (before != after).any()}
    assert changed == {name for name in ARKIT_NAMES if name.startswith(("brow", "eyeSq", "eyeWi", "cheekSq", "noseS"))}
    assert np.allclose(half[:, ARKIT_NAMES.index("browInnerUp")], motion[:, ARKIT_NAMES.index("browInnerUp")] / 2)
    assert with_expression(motion, ARKIT_NAMES, 1.0) is motion
    with pytest.raises(InputError, match="--expression 2"):
        with_expression(motion, ARKIT_NAMES, 2)
    with pytest.raises(InputError, match="ARKit's shapes"):
        with_expression(motion[:, :2], ("pca_000", "pca_001"), 0.5)


def test_smoothing_is_a_gaussian_that_keeps_lines_still_and_its_deviation() -> None:
    """Breaks if the ends sag, or milliseconds are not milliseconds."""
    assert np.allclose(smoothed(np.ones((5, 2), np.float32), 100, 30.0), 1)
    pulse = np.zeros((61, 1), np.float32)
    pulse[30] = 1
    after = smoothed(pulse, 100, 30.0)[:, 0]
    assert after.sum() == pytest.approx(1, abs=1e-5)
    assert np.sqrt((after * (np.arange(61) - 30) ** 2).sum()) == pytest.approx(3, rel=0.05)
    with pytest.raises(InputError, match="--smooth -1"):
        smoothed(pulse, -1, 30.0)


def test_hidden_files_are_no_recordings(tmp_path: Path) -> None:
    """Breaks if what macOS leaves beside recordings, or a run that still writes, counts as one."""
    for name in ("a.wav", "._a.wav", ".out-x1.mp4"):
        (tmp_path / name).write_bytes(b"sound")
    assert find_recordings([str(tmp_path)]) == [(tmp_path / "a.wav", "a")]


def test_a_manifest_is_not_overwritten(invoke: Talker, clips: Path, model: Path) -> None:
    """Breaks if a row's output takes the place of the manifest itself."""
    text = "audio,output\na.wav,list.csv\n"
    (clips / "list.csv").write_text(text)
    assert "is the manifest" in invoke("animate", "--manifest", "clips/list.csv", "--model", model).mistake
    assert (clips / "list.csv").read_text() == text
