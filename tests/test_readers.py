"""Rigs, identities, motions and JSON under random content and random damage: they come back, or are refused in one line."""

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tiny import tiny_rig

from talker_cli.errors import InputError, ModelError, TalkerError
from talker_cli.formats.files import read_json, write_json
from talker_cli.formats.motion import motion_files, read_coefficients, read_motion, write_motion
from talker_cli.identity.file import Enrolled, IdentityFace, load_identity, save_identity
from talker_cli.rig import Rig, load_rig, save_rig

FEW = settings(max_examples=40, deadline=None, derandomize=True)
FLOATS = st.floats(-(2.0**99), 2.0**99, width=32)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def same(one: Rig, other: Rig) -> bool:
    fields = ("template", "faces", "basis", "lip_pairs")
    return (
        all(np.array_equal(getattr(one, name), getattr(other, name)) for name in fields)
        and (one.names, one.fps, set(one.regions)) == (other.names, other.fps, set(other.regions))
        and all(np.array_equal(mask, other.regions[name]) for name, mask in one.regions.items())
    )


@FEW
@given(JSON)
def test_json_comes_back(value: Any) -> None:
    """Breaks if a name, a number or a nesting changes on its way through a file."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "a.json"
        write_json(path, value)
        assert read_json(path) == value and path.read_bytes().isascii()


@FEW
@given(arrays(np.float32, (3, 5, 3), elements=FLOATS), arrays(np.float32, (3, 4), elements=FLOATS), NAMES)
def test_motions_come_back(vertices: np.ndarray, coefficients: np.ndarray, identity: str) -> None:
    """Breaks if a motion's numbers or its names change on their way through its three files."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "m.npy"
        write_motion(path, vertices, coefficients, {"fps": 30.0, "identity": identity})
        read = read_motion(path)
        assert np.array_equal(read.vertices, vertices) and read.about["identity"] == identity
        assert np.array_equal(read_coefficients(path, read, 4), coefficients)
        assert sorted(Path(place).iterdir()) == sorted(motion_files(path))


@FEW
@given(arrays(np.float32, 32, elements=FLOATS), arrays(np.float32, 52, elements=FLOATS), NAMES, st.booleans())
def test_identities_come_back(style: np.ndarray, offset: np.ndarray, name: str, own: bool) -> None:
    """Breaks if an identity changes on its way through a file, with a face of its own or without."""
    rig = tiny_rig().rig
    identity = Enrolled(name, style, "key", "Ada", IdentityFace(rig.template, None, rig) if own else None, offset, {"a": [1]})
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "a.safetensors"
        save_identity(path, identity)
        read = load_identity(path)
    assert np.array_equal(read.style, style) and read.offset is not None and np.array_equal(read.offset, offset)
    assert (read.name, read.record) == (name, {"a": [1]}) and (read.face is None) != own
    assert read.face is None or (read.face.rig is not None and same(read.face.rig, rig))


@FEW
@given(arrays(np.float32, (52, 24, 3), elements=st.just(0.0) | FLOATS, fill=st.just(np.float32(0))), NAMES)
def test_rigs_come_back(basis: np.ndarray, name: str) -> None:
    """Breaks if an offset lands at another vertex, or a region or a person is lost."""
    content = tiny_rig()
    content = replace(content, rig=replace(content.rig, basis=basis, regions={name: content.rig.regions["lips"]}))
    with tempfile.TemporaryDirectory() as place:
        save_rig(Path(place) / "r", content)
        read = load_rig(Path(place) / "r")
    assert same(read.rig, content.rig) and list(read.identities) == list(content.identities)


@pytest.mark.parametrize("rate", [0, 1e-320, 0.5, 1000.5, 1e308])
def test_rates_whose_times_overflow_are_refused(tmp_path: Path, rate: float) -> None:
    """Breaks if a frame's time is infinite: exports then end in a traceback."""
    write_motion(tmp_path / "m.npy", np.ones((4, 5, 3), "f4"), np.ones((4, 2), "f4"), {"fps": rate, "identity": "a"})
    with pytest.raises(InputError, match=r"m\.json is damaged \(fps"):
        read_motion(tmp_path / "m.npy")
    content = tiny_rig()
    save_rig(tmp_path / "r", replace(content, rig=replace(content.rig, fps=rate)))
    with pytest.raises(ModelError, match=r"r is damaged \(fps"):
        load_rig(tmp_path / "r")


def rig_file(path: Path) -> None:
    save_rig(path, tiny_rig())


def identity_file(path: Path) -> None:
    rig = tiny_rig().rig
    save_identity(path, Enrolled("a", np.ones(8, "f4"), "key", "Ada", IdentityFace(rig.template, None, rig), None, {}))


def motion_file(path: Path) -> None:
    write_motion(path, np.ones((4, 5, 3), "f4"), np.ones((4, 2), "f4"), {"fps": 30.0, "identity": "é"})


def archive_file(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez_compressed(stream, motion=np.ones((4, 15)), fps=np.array(25))


def sidecar_file(path: Path) -> None:
    motion_file(path.with_suffix(".npy"))


READERS: dict[str, tuple[Callable[[Path], None], str, Callable[[Path], Any]]] = {
    "rig": (rig_file, "r.safetensors", load_rig),
    "identity": (identity_file, "i.safetensors", load_identity),
    "motion": (motion_file, "m.npy", read_motion),
    "archive": (archive_file, "m.npz", read_motion),
    "sidecar": (sidecar_file, "m.json", lambda path: read_motion(path.with_suffix(".npy"))),
    "json": (lambda path: write_json(path, {"a": [1, "é", None]}), "j.json", read_json),
}
CHANGES = st.sampled_from(["flip", "cut", "put", "double"])
PLACES = st.floats(0, 1, exclude_max=True)
DAMAGE = st.lists(st.tuples(CHANGES, PLACES, st.binary(min_size=1, max_size=9)), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.slow
def test_damaged_files_are_refused_in_one_line(kind: str) -> None:
    """Breaks if a reader ends in a traceback, a warning of numpy's or a message of several lines."""
    write, name, read = READERS[kind]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / name
        write(path)
        whole = path.read_bytes()

        @settings(max_examples=150, deadline=None, derandomize=True)
        @given(DAMAGE, st.booleans())
        def damaged(changes: list[tuple[str, float, bytes]], at_the_front: bool) -> None:
            data = bytearray(whole)
            for change, share, extra in changes:
                where = int(share * min(len(data), 200 if at_the_front else 1 << 30))
                match change:
                    case "flip":
                        data[where : where + len(extra)] = extra
                    case "cut":
                        del data[where : where + 4 ** len(extra)]
                    case "put":
                        data[where:where] = extra
                    case _:
                        data[where:where] = data[where : where + 64]
            path.write_bytes(data)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    read(path)
                except TalkerError as error:
                    assert "\n" not in str(error) and name[:1] in str(error)

        damaged()
