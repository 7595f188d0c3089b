"""Many recordings in one command, samples, and changes of a finished motion: the real command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import IDENTITY, Command, spoken
from hypothesis import given, settings
from hypothesis import strategies as st

from talker_cli.animate.batch import COLUMNS, find_recordings, plan_jobs, read_manifest
from talker_cli.animate.postprocess import column_factors, scaled, smoothed
from talker_cli.errors import InputError, OutputError, TalkerError
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


@pytest.mark.slow
def test_a_folder_is_done_but_for_what_is_broken_and_can_be_gone_on_with(
    invoke: Command, clips: Path, model: Path, tmp_path: Path
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


def test_a_manifest_says_who_speaks_and_where_it_goes(invoke: Command, clips: Path, model: Path, tmp_path: Path) -> None:
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_names_that_are_no_utf8(invoke: Command, clips: Path, model: Path, tmp_path: Path) -> None:
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
        (("clips", "-o", "one.glb"), "found the output one.glb for many recordings"),
        (("clips/*.mp3",), "no file that fits clips/*.mp3"),
        (("clips/a.wav", "copy/a.wav", "-o", "."), "would both write"),
        (("clips/a.wav", "--manifest", "list.csv"), "leave one out"),
    ],
)
def test_what_is_refused_before_anything_is_done(
    invoke: Command, clips: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    """Breaks if a wrong list is found out after an hour of work."""
    shutil.copytree(clips, tmp_path / "copy")
    before = set(tmp_path.rglob("*"))
    assert words in invoke("animate", *arguments).mistake
    assert set(tmp_path.rglob("*")) == before


def test_meshes_that_were_not_made_are_made_again(invoke: Command, wav: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if the folder of a recording that failed passes for its meshes."""
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    command = ("animate", wav, "bad.wav", "--model", model, "-o", "made/{name}/%04d.ply", "--device", "cpu", "--skip-existing")
    assert invoke(*command).code == 1 and len(list((tmp_path / "made" / "speech").iterdir())) == 36
    soundfile.write(tmp_path / "bad.wav", spoken(0.3), 16_000)
    assert invoke(*command).out.split() == ["made/bad/%04d.ply"] and len(list((tmp_path / "made" / "bad").iterdir())) == 9


def test_samples_of_names_with_percent(invoke: Command, wav: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if a name from a web address is taken for a pattern of meshes."""
    wav.rename(tmp_path / "hello%20world.wav")
    for output, made in (((), "hello%20world-{}.npy"), (("-o", "m/hello%20world.csv"), "m/hello%20world-{}.csv")):
        (tmp_path / "m").mkdir(exist_ok=True)
        names = ("hello%20world.wav", *output, *(() if output else ("-o", "{name}.npy")))
        ran = invoke("animate", *names, "--model", model, "--samples", "2", "--device", "cpu")
        assert ran.out.split() == [made.format(1), made.format(2)], ran.err


def test_samples_differ_in_their_seed(invoke: Command, wav: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if a sample cannot be made again alone from what its sidecar says."""
    ran = invoke("animate", wav, "--model", model, "--samples", "3", "--seed", "7", "--device", "cpu", "-o", "x.npy")
    assert ran.out.splitlines() == ["x-1.npy", "x-2.npy", "x-3.npy"]
    assert [json.loads((tmp_path / f"x-{number}.json").read_text())["seed"] for number in (1, 2, 3)] == [7, 8, 9]


def test_expression_moves_the_upper_face_alone() -> None:
    """Breaks if lips, blinks or gaze follow it."""
    motion = np.random.default_rng(0).uniform(0, 1, (20, 52)).astype(np.float32)
    half = scaled(motion, column_factors(ARKIT_NAMES, expression=0.5))
    changed = {name for name, before, after in zip(ARKIT_NAMES, motion.T, half.T, strict=True) if (before != after).any()}
    assert changed == {name for name in ARKIT_NAMES if name.startswith(("brow", "eyeSq", "eyeWi", "cheekSq", "noseS"))}
    assert np.allclose(half[:, ARKIT_NAMES.index("browInnerUp")], motion[:, ARKIT_NAMES.index("browInnerUp")] / 2)
    assert column_factors(ARKIT_NAMES) is None and scaled(motion, None) is motion
    with pytest.raises(InputError, match="found 2; expected 0"):
        column_factors(ARKIT_NAMES, expression=2)
    with pytest.raises(InputError, match="ARKit's shapes"):
        column_factors(("pca_000", "pca_001"), expression=0.5)


def test_smoothing_is_a_gaussian_of_its_std_that_keeps_constants() -> None:
    """Breaks if the ends sag, or milliseconds are not milliseconds."""
    assert np.allclose(smoothed(np.ones((5, 2), np.float32), 100, 30.0), 1)
    pulse = np.zeros((61, 1), np.float32)
    pulse[30] = 1
    after = smoothed(pulse, 100, 30.0)[:, 0]
    assert after.sum() == pytest.approx(1, abs=1e-5)
    assert np.sqrt((after * (np.arange(61) - 30) ** 2).sum()) == pytest.approx(3, rel=0.05)
    with pytest.raises(InputError, match="found -1; expected 0"):
        smoothed(pulse, -1, 30.0)


def test_hidden_files_are_no_recordings(tmp_path: Path) -> None:
    """Breaks if what macOS leaves beside recordings, or a run that still writes, counts as one."""
    for name in ("a.wav", "._a.wav", ".out-x1.mp4"):
        (tmp_path / name).write_bytes(b"sound")
    assert find_recordings([str(tmp_path)]) == [(tmp_path / "a.wav", "a")]


def test_a_manifest_is_not_overwritten(invoke: Command, clips: Path, model: Path) -> None:
    """Breaks if a row's output takes the place of the manifest itself."""
    text = "audio,output\na.wav,list.csv\n"
    (clips / "list.csv").write_text(text)
    assert "it is the manifest" in invoke("animate", "--manifest", "clips/list.csv", "--model", model).mistake
    assert (clips / "list.csv").read_text() == text


OUTSIDE = ("../gone.npy", "sub/../../gone.npy", "{tmp}/gone.npy", "link/gone.npy")


@pytest.mark.parametrize("output", OUTSIDE)
def test_a_manifest_writes_in_its_folder_or_in_the_output_folder(clips: Path, tmp_path: Path, output: str) -> None:
    """Breaks if a manifest from elsewhere writes anywhere on the disk, or an output folder that was named is refused."""
    (clips / "link").symlink_to(tmp_path)
    (clips / "list.csv").write_text(f"audio,output\na.wav,{output.format(tmp=tmp_path)}\n")
    with pytest.raises(OutputError, match="in line 2; expected a place in the manifest's folder"):
        plan_jobs([], [], identity=IDENTITY, manifest=clips / "list.csv")
    (job,) = plan_jobs([], [tmp_path / "{name}.npy"], identity=IDENTITY, manifest=clips / "list.csv").jobs
    assert job.outputs[0].resolve() == tmp_path / "gone.npy"


def manifest_of(kind: str, place: Path) -> None:
    contents = {
        "latin-1": "audio\nZo\xeb.wav\n".encode("latin-1"),
        "a NUL": b"audio\na\0.wav\n",
        "one column twice": b"audio,audio\na.wav,b.wav\n",
        "too many cells": b"audio,identity,output\na.wav,b,c,d\n",
        "semicolons": b"audio;identity;output\na.wav;b;c\n",
        "a huge cell": b"audio\n" + b"a" * 200_000,
        "nothing": b"",
    }
    if kind == "a device":
        place.symlink_to("/dev/zero")
    elif kind == "a pipe":
        os.mkfifo(place)
    elif kind == "a folder":
        place.mkdir()
    elif kind != "missing":
        place.write_bytes(contents[kind])


@pytest.mark.parametrize(
    "kind",
    ["latin-1", "a NUL", "one column twice", "too many cells", "semicolons", "a huge cell", "nothing", "a device", "a pipe",
     "a folder", "missing"],
)  # fmt: skip
def test_what_is_no_manifest(invoke: Command, tmp_path: Path, kind: str) -> None:
    """Breaks if a damaged, endless or foreign file is a traceback, a hang, or gigabytes."""
    manifest_of(kind, tmp_path / "list.csv")
    line = invoke("animate", "--manifest", "list.csv").mistake
    assert "list.csv" in line and "expected" in line


cells = st.text(st.characters(blacklist_characters="\0\r\n", blacklist_categories=("Cs",)), min_size=1, max_size=20)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
def test_a_manifest_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    """Breaks if quotes, commas, spaces or letters of any script in a manifest change a name."""
    import csv

    folder = tmp_path_factory.mktemp("manifest")
    with (folder / "list.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("audio", "identity"), *rows])
    jobs = read_manifest(folder / "list.csv", IDENTITY, [Path("{name}.npy")], 3)
    assert [(job.audio, job.identity, job.seed) for job in jobs] == [(folder / audio, who, 3) for audio, who in rows]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"audio\n", b"audio,identity,output\n", b"output,audio\n"]))
def test_any_bytes_are_a_manifest_or_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes, head: bytes) -> None:
    """Breaks if a damaged manifest is anything but jobs or a TalkerError."""
    place = tmp_path_factory.getbasetemp() / "any.csv"
    place.write_bytes(head + data)
    try:
        plan = plan_jobs([], [], identity=IDENTITY, manifest=place)
    except TalkerError as error:
        assert str(error)
    else:
        assert (
            all(job.audio.parent and job.outputs and job.identity for job in plan.jobs) and COLUMNS[0].encode() in head + data
        )


@pytest.mark.parametrize(
    ("environment", "words"),
    [({"RANK": "x"}, "RANK=x"), ({"RANK": "2", "WORLD_SIZE": "2"}, "WORLD_SIZE=2"), ({"RANK": "-1"}, "RANK=-1"),
     ({"RANK": "9" * 5000}, "expected numbers"), ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0")],
)  # fmt: skip
def test_nonsense_in_the_environment_of_torchrun(
    invoke: Command, wav: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str
) -> None:
    """Breaks if it is a traceback, or a share of the work that nobody asked for."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert words in invoke("animate", wav).mistake


def test_a_share_of_the_work_is_said(monkeypatch: pytest.MonkeyPatch, clips: Path) -> None:
    """Breaks if RANK and WORLD_SIZE, left over, leave recordings out without a word; empty ones count as unset."""
    for world in ("", "2"):
        monkeypatch.setenv("RANK", "1" if world else "")
        monkeypatch.setenv("WORLD_SIZE", world)
        plan = plan_jobs([str(clips)], identity=IDENTITY)
        assert len(plan.jobs) == (1 if world else 3)
        assert plan.notes == (("process 2 of 2: 1 of 3 motions",) if world else ())
