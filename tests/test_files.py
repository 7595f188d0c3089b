"""Files appear whole or not at all; rigs and motions come back as they went."""

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import IDENTITY, sha256
from safetensors.numpy import save_file

from talker_cli.errors import InputError, ModelError, OutputError
from talker_cli.formats.files import (
    ArrayFile,
    atomic_folder,
    atomic_path,
    check_writable,
    file_hash,
    files_below,
    read_json,
    size_text,
    sweep,
    write_arrays,
    write_json,
)
from talker_cli.formats.motion import (
    coefficients_path,
    motion_files,
    read_coefficients,
    read_motion,
    sidecar_path,
    write_motion,
)
from talker_cli.rig import ARKIT_NAMES, Rig, RigFile, load_rig, pack_rig, save_rig


@contextmanager
def anybody() -> Iterator[None]:
    """Be somebody whom permissions bind: they do not bind root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_folder_gives_all_its_files_or_says_what_it_cannot_read() -> None:
    """Breaks if recordings in a folder without permissions are left out without a word, or other programs' files taken in."""
    with anybody(), tempfile.TemporaryDirectory() as place:  # pytest's folders are their owner's alone
        folder = Path(place)
        for name in ("b.wav", "a/c.wav", ".hidden/d.wav", "a/._c.wav"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
        (folder / "gone.wav").symlink_to("nowhere")
        assert files_below(folder) == [folder / "a/c.wav", folder / "b.wav"]
        (folder / "a").chmod(0)
        with pytest.raises(InputError, match=f"cannot read the folder {folder}/a .Permission denied.*change its permissions"):
            files_below(folder)
        (folder / "a").chmod(0o700)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """Breaks if an interrupted write damages what was there, or litters."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_in_the_instant_of_making_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if Ctrl-C right after the temporary file was made leaves it for ever."""
    close = os.close

    def interrupted(handle: int) -> None:
        close(handle)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("os.close", interrupted)
        with atomic_path(tmp_path / "a.txt"):
            pass
    assert not any(tmp_path.iterdir())


def test_the_new_file_replaces_the_old_with_the_suffix_kept_meanwhile(tmp_path: Path) -> None:
    """Breaks if an encoder could not tell its format by the temporary name."""
    path = tmp_path / "a.mp4"
    path.write_text("old")
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".mp4" and temporary.parent == tmp_path
        assert path.read_text() == "old"
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Umask"))
    return int(line.split()[1], 8)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named(tmp_path: Path, number: int) -> None:
    """Breaks if a full disk ends in a traceback."""
    with pytest.raises(OutputError, match="the disk is full"), atomic_path(tmp_path / "a"):
        raise OSError(number, "words of the system")
    assert not list(tmp_path.iterdir())


def test_an_error_of_another_file_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    """Breaks if every error inside the block is reported as a problem of the place written to."""
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        raise FileNotFoundError(errno.ENOENT, "another file")


@pytest.mark.parametrize("place", ["missing/a.npy", "file/a.npy", "/proc/a.npy", "."])
def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Breaks if the place is only found out to be wrong after the work."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        check_writable(Path(place))
    if place != ".":
        with pytest.raises(OutputError, match="cannot write"):
            write_json(Path(place), {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_arrays_of_the_same_content_have_the_same_bytes(tmp_path: Path) -> None:
    """Breaks if a file's hash says something of the order in which it was put together."""
    one = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.arange(3, dtype=np.int32)}
    write_arrays(tmp_path / "1", one, {"x": 1, "y": [2.5, "é"]})
    write_arrays(tmp_path / "2", dict(reversed(one.items())), {"y": [2.5, "é"], "x": 1})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    file = ArrayFile(tmp_path / "1", "thing")
    assert file.metadata == {"x": 1, "y": [2.5, "é"]}
    assert (file.array("b") == one["b"]).all() and file.array("a").dtype == np.int32


def test_foreign_and_damaged_files(tmp_path: Path) -> None:
    """Breaks if what another program wrote, or half a file, is taken for ours."""
    save_file({"a": np.zeros(3)}, tmp_path / "foreign")
    write_arrays(tmp_path / "whole", {"a": np.zeros(1000)}, {})
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:900])
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("foreign", "half", "text", "empty", "missing"):
        with pytest.raises(ModelError, match=name):
            ArrayFile(tmp_path / name, "model")
    with pytest.raises(ModelError, match="lacks the array 'b'"):
        ArrayFile(tmp_path / "whole", "model").array("b")
    with pytest.raises(InputError, match=r"is damaged \(JSONDecodeError"):
        read_json(tmp_path / "text")


def test_a_rig_comes_back_and_is_saved_to_the_same_bytes(tmp_path: Path, head: RigFile) -> None:
    """Breaks if anything of a rig or of its people is lost, changed or reordered on the way through a file."""
    save_rig(tmp_path / "1", head)
    again = load_rig(tmp_path / "1")
    save_rig(tmp_path / "2", again)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert again.rig.names == ARKIT_NAMES and list(again.identities) == list(head.identities)
    for name in ("template", "faces", "basis", "lip_pairs", "colors"):
        before, after = getattr(head.rig, name), getattr(again.rig, name)
        assert before.dtype == after.dtype and (before == after).all(), name
    assert all((again.rig.regions[name] == mask).all() for name, mask in head.rig.regions.items())
    assert (again.rig_of(IDENTITY).template == head.identities[IDENTITY].template).all()


def test_a_rig_keeps_only_what_moves(tmp_path: Path, head: RigFile) -> None:
    """Breaks if zeros fill the file again, a basis without zeros does not come back, or another number of offsets is placed."""
    path = tmp_path / "rig.safetensors"
    save_rig(path, head)
    assert path.stat().st_size < head.rig.basis.nbytes / 2
    arrays, metadata = pack_rig(head)
    dense = np.random.default_rng(0).normal(size=(7, 11, 3)).astype(np.float32)
    tiny = Rig(dense[0], np.array([[0, 1, 2]], np.int32), dense, tuple("abcdefg"), {}, np.array([[0, 1]], np.int32), 30.0)
    save_rig(path, RigFile(tiny))
    assert (load_rig(path).rig.basis == dense).all()
    for name, found in (("basis", "basis"), ("basis_moved", "basis_moved"), ("template", "faces name vertices")):
        write_arrays(path, arrays | {name: arrays[name][:-1]}, metadata)
        with pytest.raises(ModelError, match=f"is damaged .*{found}"):
            load_rig(path)


def test_decoding_is_the_linear_sum(head: RigFile) -> None:
    """Breaks if a coefficient moves another's shape, or the template is added twice."""
    rng = np.random.default_rng(0)
    coefficients = rng.uniform(size=(3, len(head.rig.names))).astype(np.float32)
    expected = head.rig.template + np.einsum("tk,kvc->tvc", coefficients, head.rig.basis)
    assert np.abs(head.rig.decode(coefficients) - expected).max() < 1e-6
    assert (head.rig.decode(np.zeros((1, 52), np.float32))[0] == head.rig.template).all()


def test_gram_and_lip_rows_measure_the_surface(head: RigFile) -> None:
    """Breaks if the losses' metric or the mouth gap is not that of the vertices."""
    rng = np.random.default_rng(1)
    c = rng.normal(size=52)
    weights = rng.uniform(size=len(head.rig.template))
    offsets = head.rig.offsets(c[None].astype(np.float32))[0].astype(np.float64)
    expected = (weights[:, None] * offsets**2).sum()
    assert c @ head.rig.gram(weights) @ c == pytest.approx(expected, rel=1e-4)
    upper, lower = head.rig.lip_pairs.T
    assert np.abs(head.rig.lip_gap_rows() @ c - (offsets[upper, 1] - offsets[lower, 1])).max() < 1e-6


def test_the_coefficients_of_the_upper_face_are_those_of_eyes_brows_and_cheekbones(head: RigFile) -> None:
    names = head.rig.upper_face_names()
    assert set(names) == {name for name in ARKIT_NAMES if name.startswith(("eye", "brow", "cheekSquint"))}


def test_a_motion_comes_back_with_its_sidecar(tmp_path: Path) -> None:
    """Breaks if vertices, curves or what is known of them is lost."""
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(5, 7, 3)).astype(np.float32)
    coefficients = rng.normal(size=(5, 4)).astype(np.float32)
    path = tmp_path / "m.npy"
    write_motion(path, vertices, coefficients, {"fps": 30.0, "identity": "é"})
    read = read_motion(path)
    assert (read.vertices == vertices).all() and read.vertices.dtype == np.float32
    assert read.about["fps"] == 30.0 and read.about["identity"] == "é"
    assert read.about["coefficients"] == coefficients_path(path).name
    assert (np.load(coefficients_path(path)) == coefficients).all()
    assert json.loads(sidecar_path(path).read_text()) == read.about
    assert read.about["files"] == {"vertices": sha256(path), "coefficients": sha256(coefficients_path(path))}
    assert path.read_bytes() == npy_bytes(vertices) and (read_coefficients(path, read, 4) == coefficients).all()
    sidecar_path(path).unlink()
    np.save(path, vertices.reshape(5, 21))  # as other systems write it
    assert (read_motion(path).vertices == vertices).all()


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("late", [[0], [0, 1], [1], [2], [1, 2]])
def test_files_of_two_motions_are_refused(tmp_path: Path, late: list[int]) -> None:
    """Breaks if a run that was cut off between its renamings leaves a motion of two people that readers take for one."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        about = {"fps": 30.0, "identity": name}
        write_motion(tmp_path / "m.npy", rng.normal(size=(5, 7, 3)).astype("f4"), rng.normal(size=(5, 4)), about)
        (tmp_path / name).mkdir()
        for file in motion_files(tmp_path / "m.npy"):
            shutil.copy(file, tmp_path / name / file.name)
    for index, file in enumerate(motion_files(tmp_path / "m.npy")):
        shutil.copy(tmp_path / ("b" if index in late else "a") / file.name, file)
    with pytest.raises(InputError, match=r"m(\.coefficients)?\.npy does not belong to .*m\.json .*animate again"):
        read_coefficients(tmp_path / "m.npy", read_motion(tmp_path / "m.npy"), 4)


@pytest.mark.parametrize("name", ["m.npy", "m.coefficients.npy", "m.json"])
def test_a_motion_with_one_place_that_is_taken_changes_nothing(tmp_path: Path, name: str) -> None:
    """Breaks if two of a motion's files are another's because the third could not be written."""
    write_motion(tmp_path / "m.npy", np.zeros((2, 3, 3), "f4"), np.zeros((2, 4)), {"fps": 30.0})
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    frames = iter(np.ones((2, 3, 3), "f4"))
    with pytest.raises(OutputError, match="it is a folder"):
        write_motion(tmp_path / "m.npy", frames, np.ones((2, 4)), {"fps": 30.0})
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert len(list(frames)) == 2, "refused before the work"


@pytest.mark.parametrize(
    "content",
    [
        [], {"fps": "30"}, {"fps": 0}, {"fps": 1e400}, {"identity": ["a"]}, {"sampler": 3}, {"rig": "rig.safetensors"},
        {"rig": {"path": 3}}, {"audio": {}}, {"face": "Ada"}, {"coefficients": 5}, {"seed": -1}, {"seed": 10**30},
        {"files": {"vertices": "0"}}, {"identity": {"a": {"b": [[]]}}},
    ],
)  # fmt: skip
def test_sidecars_of_other_structure_are_refused(tmp_path: Path, content: Any) -> None:
    """Breaks if a sidecar's fields are believed and end in a traceback further on."""
    np.save(tmp_path / "m.npy", np.zeros((2, 3, 3), np.float32))
    (tmp_path / "m.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"m\.json is damaged"):
        read_motion(tmp_path / "m.npy")


def test_brackets_without_end_are_refused(tmp_path: Path) -> None:
    """Breaks if nested JSON ends in a traceback, in a file of its own or in a safetensors file's metadata."""
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(tmp_path / "a.json")
    save_file({"a": np.zeros(3)}, tmp_path / "a.safetensors", metadata={"talker": "[" * 100_000})
    with pytest.raises(ModelError, match=r"a\.safetensors"):
        ArrayFile(tmp_path / "a.safetensors", "thing")


@pytest.mark.parametrize(
    "array,words",
    [
        (np.zeros((0, 4, 3), np.float32), "no frames"),
        (np.zeros((4, 0, 3), np.float32), "no vertices|no frames"),
        (np.zeros((4, 5, 2), np.float32), r"shape \(4, 5, 2\)"),
        (np.zeros((4, 16), np.float32), r"shape \(4, 16\)"),
        (np.zeros((4, 5, 3), np.int32), "int32"),
        (np.array([[[0, 0, 0]], [[0, np.nan, 0]]], np.float32), "first in frame 1"),
        (np.array([[[0, 0, np.inf]]], np.float32), "first in frame 0"),
        (np.array([{}]), "expected a motion"),
    ],
)
def test_what_is_no_motion(tmp_path: Path, array: np.ndarray, words: str) -> None:
    """Breaks if a broken motion reaches the renderer, or a pickle is opened."""
    np.save(tmp_path / "m.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=words):
        read_motion(tmp_path / "m.npy")


def test_half_a_motion_is_refused(tmp_path: Path) -> None:
    """Breaks if a file cut short is read as a shorter motion, or ends in a traceback."""
    np.save(tmp_path / "m.npy", np.zeros((10, 20, 3), np.float32))
    whole = (tmp_path / "m.npy").read_bytes()
    for length in (0, 3, 60, len(whole) - 100):
        (tmp_path / "m.npy").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"m\.npy"):
            read_motion(tmp_path / "m.npy")


def test_an_identity_without_colours_has_the_rigs(tmp_path: Path, head: RigFile) -> None:
    """Breaks if a person who brings no colours is drawn in none."""
    person = replace(head.identities[IDENTITY], colors=None)
    save_rig(tmp_path / "r", RigFile(head.rig, {IDENTITY: person}))
    again = load_rig(tmp_path / "r").rig_of(IDENTITY)
    assert again.colors is not None and head.rig.colors is not None
    assert (again.colors == head.rig.colors).all()


def test_file_hash_is_of_the_bytes(tmp_path: Path) -> None:
    """Breaks if a sidecar's hash is of something else than the file."""
    (tmp_path / "some").write_bytes(b"talker" * 100_000)
    assert file_hash(tmp_path / "some") == hashlib.sha256(b"talker" * 100_000).hexdigest()


def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """Breaks if temporary files of killed processes stay for ever, or those of living ones are taken from them."""
    script = (
        "import os, signal, sys; from pathlib import Path; from talker_cli.formats.files import *\n"
        "place = Path(sys.argv[1])\n"
        "with atomic_path(place / 'a.npy') as one, atomic_folder(place / 'frames') as two:\n"
        "    one.write_text('half'); (two / '0.ply').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=env, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 2
    (tmp_path / ".talker-notes").touch()  # somebody's own
    with atomic_path(tmp_path / "b.npy") as living, atomic_folder(tmp_path / "living") as folder:
        sweep(tmp_path)
        living.write_text("whole")
        (folder / "0.ply").touch()
    assert {path.name for path in tmp_path.iterdir()} == {".talker-notes", "b.npy", "living"}


def test_a_folder_of_frames_replaces_earlier_frames_and_nothing_else(tmp_path: Path) -> None:
    """Breaks if a command cannot be run again, if frames of two runs are mixed, or somebody's files are lost."""

    def write(names: str) -> None:
        with atomic_folder(tmp_path / "frames", str.isdigit) as folder:
            for name in names:
                (folder / name).touch()

    write("123")
    write("12")
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["1", "2"]
    (tmp_path / "frames" / "mine").touch()
    with pytest.raises(OutputError, match="it is not empty"):
        write("1")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1", "2", "frames", "mine"]


def test_sizes_in_words() -> None:
    """Breaks if a full disk is told as 0.0 GB of 0.0 GB."""
    assert [size_text(size) for size in (0, 12, 3_400, 999_950, 5e12)] == [
        "0 bytes",
        "12 bytes",
        "3.4 kB",
        "1.0 MB",
        "5000.0 GB",
    ]
