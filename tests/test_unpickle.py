"""Pickles of arrays are read, and no pickle runs anything; files that name vertices fit their mesh or are refused."""

import collections
import contextlib
import os
import pickle
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talker_cli.data.regions import parse_region_option, read_lip_pairs, read_regions
from talker_cli.data.unpickle import load_pickle
from talker_cli.errors import InputError

ARRAY = np.arange(6, dtype=np.float64).reshape(2, 3) / 7


def python2(array: np.ndarray) -> bytes:
    """Return the pickle that Python 2 with numpy 1 writes of {'a': array}: protocol 2, all strings bytes of one kind."""

    def text(data: bytes) -> bytes:
        return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + len(data).to_bytes(4, "little") + data

    shape = b"(" + b"".join(b"K" + bytes([size]) for size in array.shape) + b"t"
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    kind = b"cnumpy\ndtype\n" + text(array.dtype.str[1:].encode()) + b"K\x00K\x01\x87R"
    kind += b"(K\x03" + text(array.dtype.str[:1].encode()) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01" + shape + kind + b"\x89" + text(array.tobytes()) + b"tb"
    return b"\x80\x02}" + text(b"a") + made + state + b"s."


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_back_from_every_protocol(tmp_path: Path, protocol: int) -> None:
    """Breaks if a pickle of numpy 2, or of a later Python, is refused, or its numbers change."""
    content = {
        "s": {"x": {"sample_rate": 22000, "audio": np.array([1, -2, 32767], np.int16)}},
        "t": (ARRAY, ARRAY.T, [np.float64(2.5), None, True, "é", b"\x00\xff"]),
        "o": collections.OrderedDict(a=np.array(["u", None], object)),
    }
    (tmp_path / "p").write_bytes(pickle.dumps(content, protocol))
    back = load_pickle(tmp_path / "p")
    assert back["s"]["x"]["sample_rate"] == 22000 and back["s"]["x"]["audio"].dtype == np.int16
    assert back["s"]["x"]["audio"].tolist() == [1, -2, 32767]
    assert (back["t"][0] == ARRAY).all() and (back["t"][1] == ARRAY.T).all()
    assert back["t"][2] == content["t"][2] and back["o"]["a"].tolist() == ["u", None]


def test_arrays_of_python_2(tmp_path: Path) -> None:
    """Breaks if the files as their authors give them out cannot be read."""
    for array in (ARRAY, ARRAY.astype(">f4"), np.arange(900, dtype=np.int16)[:250]):
        (tmp_path / "p").write_bytes(python2(array))
        back = load_pickle(tmp_path / "p")["a"]
        assert back.dtype.newbyteorder("=") == array.dtype.newbyteorder("=") and (back == array).all()
    assert np.dtype("f4").isnative  # the big-endian one did not change everybody's


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("thing", "named"),
    [
        (lambda mark: Call(os.mkdir, str(mark)), "mkdir"),
        (lambda mark: Call(eval, f"open({str(mark)!r}, 'w')"), "eval"),
        (lambda mark: Call(np.load, str(mark)), "load"),
        (lambda mark: np.ma.masked_array([1.0], [False]), "numpy.ma"),
        (lambda mark: np.random.default_rng(0), "numpy.random"),
        (lambda mark: {"a": collections.Counter("x")}, "collections.Counter"),
    ],
)
def test_a_pickle_that_would_run_something_is_refused_by_name(tmp_path: Path, thing: Any, named: str, protocol: int) -> None:
    """Breaks if a class or function that is not numpy's own bookkeeping is even looked up."""
    mark = tmp_path / "mark"
    (tmp_path / "p.pkl").write_bytes(pickle.dumps(thing(mark), protocol))
    with pytest.raises(InputError, match=rf"p\.pkl asks for \S*{named}"):
        load_pickle(tmp_path / "p.pkl")
    assert not mark.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft" + b"U\x01b\x87R.",
        b"cnumpy\nndarray\n(I9\nt\x85R.",  # the class itself, called
        b"c_codecs\nencode\n(Vaa\nVzlib\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n}U\x08__call__K\x01sb.",  # its stand-in, changed
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x01OK\x00K\x01\x87RU\x08aaaaaaaa\x86R.",
        b"cnumpy._core.numeric\n_frombuffer\n(U\x08aaaaaaaacnumpy\ndtype\nU\x01O\x85R(K\x01tU\x01CtR.",
        b"",
        b"hello",
        b"\x80\x02}q",
        pickle.dumps({"a": ARRAY}, 2)[:-20],
    ],
)
def test_pickles_that_bend_what_is_allowed_or_are_cut(tmp_path: Path, code: bytes) -> None:
    """Breaks if numpy's own bookkeeping can be called in another way than numpy calls it, or half a file is read."""
    (tmp_path / "p").write_bytes(code)
    with pytest.raises(InputError, match="not a whole pickle of arrays"):
        load_pickle(tmp_path / "p")


def hash_bomb(levels: int) -> bytes:
    """Return a dictionary whose key is a tuple of two tuples of two tuples …: 2^levels values in a few bytes."""
    return b"\x80\x04}K\x01" + b"2\x86" * levels + b"Ns."


@pytest.mark.parametrize(
    "code",
    [
        hash_bomb(30), hash_bomb(60), b"\x80\x04}" + b"K\x01" + b"\x85" * 100_000 + b"Ns.",
        b"\x80\x04" + b"]" * 20_000 + b"a" * 19_999 + b".",
        b"\x80\x04}(K\x01" + b"q\x00h\x00h\x00h\x00h\x00\x87\x86\x85" * 40 + b"K\x01u.",
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b"x.", b"\x80\x04T\xff\xff\xff\x7fx.",
        b"cnumpy\ndtype\n(V" + b"f8," * 100_000 + b"f8\ntR.", b"0.", b"2.", b"(q\x00.", b"h\x07.",
    ],
)  # fmt: skip
def test_bombs_are_refused_at_once(tmp_path: Path, code: bytes) -> None:
    """Breaks if 90 bytes hash for ever, overflow the stack, or take memory that the file has not."""
    (tmp_path / "p").write_bytes(code)
    began = time.perf_counter()
    with pytest.raises(InputError, match="not a whole pickle of arrays"):
        load_pickle(tmp_path / "p")
    assert time.perf_counter() - began < 5.0  # for ever, if it were executed


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(min_size=1, max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4) | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=PLAIN, protocol=st.integers(0, 5))
def test_plain_containers_come_back(tmp_path: Path, content: Any, protocol: int) -> None:
    """Breaks if the walk ahead misreads an instruction, or refuses what is harmless."""
    (tmp_path / "p").write_bytes(pickle.dumps(content, protocol))
    assert load_pickle(tmp_path / "p") == content


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=PLAIN, protocol=st.integers(0, 5), place=st.integers(0), data=st.binary(min_size=1, max_size=4))
def test_mutated_pickles_end(tmp_path: Path, content: Any, protocol: int, place: int, data: bytes) -> None:
    """Breaks if a damaged pickle ends in anything but a value or one line."""
    raw = bytearray(pickle.dumps({"a": content, "b": ARRAY}, protocol))
    raw[place % len(raw) : place % len(raw) + len(data)] = data
    (tmp_path / "p").write_bytes(raw)
    with contextlib.suppress(InputError):
        load_pickle(tmp_path / "p")


def test_no_pickle(tmp_path: Path) -> None:
    """Breaks if a missing file ends in a traceback."""
    with pytest.raises(InputError, match="no file"):
        load_pickle(tmp_path / "p")


def test_regions_of_flame_and_of_biwi(tmp_path: Path) -> None:
    """Breaks if the upper face is not forehead and eyes together, or a vertex named twice counts twice."""
    masks = {"lips": np.array([1, 2, 2]), "forehead": np.array([5]), "eye_region": np.array([6, 5]), "nose": np.array([3])}
    (tmp_path / "FLAME_masks.pkl").write_bytes(pickle.dumps(masks, 2))
    (tmp_path / "lve.txt").write_text("1, 2,\n3")
    (tmp_path / "fdd.txt").write_text("0,7\n")
    flame = read_regions(parse_region_option(str(tmp_path / "FLAME_masks.pkl")), 8)
    assert {name: np.flatnonzero(mask).tolist() for name, mask in flame.items()} == {"lips": [1, 2], "upper_face": [5, 6]}
    biwi = read_regions(parse_region_option(f"{tmp_path / 'lve.txt'},{tmp_path / 'fdd.txt'}"), 8)
    assert {name: np.flatnonzero(mask).tolist() for name, mask in biwi.items()} == {"lips": [1, 2, 3], "upper_face": [0, 7]}
    with pytest.raises(InputError, match=r"names vertex 6 in forehead and eye_region; the mesh has 6"):
        read_regions([tmp_path / "FLAME_masks.pkl"], 6)
    with pytest.raises(InputError, match=r"fdd.txt names vertex 7"):
        read_regions([tmp_path / "lve.txt", tmp_path / "fdd.txt"], 7)
    del masks["forehead"]
    (tmp_path / "FLAME_masks.pkl").write_bytes(pickle.dumps(masks, 2))
    with pytest.raises(InputError, match="lacks the region forehead or eye_region"):
        read_regions([tmp_path / "FLAME_masks.pkl"], 8)


@pytest.mark.parametrize("text", ["a.txt", "a.pkl,b.txt", "a.pkl,b.pkl", "", "a.txt,b.txt,c.txt"])
def test_region_options_that_are_none(text: str) -> None:
    """Breaks if a single text is taken for both regions."""
    with pytest.raises(InputError, match=r"expected FLAME_masks\.pkl, or"):
        parse_region_option(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [("1,2\n3", "line 2 is '3'"), ("1,-2", "line 1"), ("", "names no lip pair"), ("1,9", "names vertex 9; the mesh has 9")],
)
def test_lip_pairs_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    """Breaks if pairs of another mesh, or half a line, move the mouth gap somewhere else."""
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        read_lip_pairs(tmp_path / "pairs.txt", 9)
    (tmp_path / "pairs.txt").write_text("1,2\n\n3 8\n")
    assert read_lip_pairs(tmp_path / "pairs.txt", 9).tolist() == [[1, 2], [3, 8]]


def test_states_that_no_numpy_wrote_are_refused_or_read(tmp_path: Path) -> None:
    """Breaks if a state goes to numpy's own `__setstate__`, which crashes the process on some."""
    whole = python2(ARRAY)
    for place in range(2, len(whole)):
        for value in (0, 1, whole[place] ^ 1, whole[place] ^ 128, 255):
            (tmp_path / "p").write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            with suppress(InputError):
                load_pickle(tmp_path / "p")
