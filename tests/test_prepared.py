"""The prepared format: written as a stream, whole or not at all, and read back as it was."""

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from captured import FACES, TEMPLATE, speaking, write_ply, write_wav
from conftest import Talker
from safetensors.numpy import load_file
from tiny import tiny_dataset, tiny_rig

from talker_cli.data.dataset import Dataset, write_dataset
from talker_cli.errors import InputError, OutputError
from talker_cli.formats.files import ArrayFile, stream_arrays


def test_a_stream_is_a_safetensors_file(tmp_path: Path) -> None:
    """Breaks if another program cannot read what we stream, or an array loses its kind, shape or place."""
    rng = np.random.default_rng(0)
    arrays = {
        f"é{kind}{number}": (100 * rng.normal(size=shape)).astype(kind)
        for number, shape in enumerate([(3, 5), (0, 4), (), (7,)])
        for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")
    }
    arrays["turned"] = rng.normal(size=(4, 6)).T
    stream_arrays(tmp_path / "a", iter(arrays.items()), {"x": [1, "é"]})
    for read in (load_file(tmp_path / "a"), {name: ArrayFile(tmp_path / "a", "thing").array(name) for name in arrays}):
        assert set(read) == set(arrays)
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype and read[name].shape == array.shape and (read[name] == array).all(), name
    assert ArrayFile(tmp_path / "a", "thing").metadata == {"x": [1, "é"]}
    with pytest.raises(ValueError, match="two arrays with the name a"):
        stream_arrays(tmp_path / "b", [("a", np.zeros(3)), ("a", np.zeros(3))], {})


@pytest.mark.slow
def test_a_dataset_is_never_in_memory(tmp_path: Path) -> None:
    """Breaks if writing gathers what it is given: 200 arrays of 1 MB must not take 200 MB."""
    tracemalloc.start()
    try:
        stream_arrays(tmp_path / "a", ((str(number), np.full(1 << 20, number, np.uint8)) for number in range(200)), {})
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_dataset_comes_back(tmp_path: Path) -> None:
    """Breaks if speech, motion, rig or what is known of the clips changes on the way through the folder."""
    dataset = Dataset(tiny_dataset(tmp_path / "d"))
    speech = [(name, (dataset.speech(name) * 32768).astype(np.int16)) for name in dataset.recordings]
    motion = [(clip.name, dataset.coefficients(clip.name)) for clip in dataset.info.clips]
    write_dataset(tmp_path / "e", dataset.info, dataset.rig, iter(speech), iter(motion))
    names = {path.name for path in (tmp_path / "d").iterdir()}
    assert names == {"dataset.json", "rig.safetensors", "speech.safetensors", "clips.safetensors"}
    for name in names:
        assert (tmp_path / "d" / name).read_bytes() == (tmp_path / "e" / name).read_bytes(), name
    assert Dataset(tmp_path / "e").info == dataset.info


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw.update(fps="30"), "is damaged (fps"),
        (lambda raw: raw.update(fps=float("nan")), "is damaged"),
        (lambda raw: raw.update(recordings={}), "is damaged (recordings"),
        (lambda raw: raw.update(identities="Ada"), "is damaged (identities"),
        (lambda raw: raw.update(notes=[]), "is damaged (notes"),
        (lambda raw: raw.pop("licence"), "is damaged (licence"),
        (lambda raw: raw["clips"][0].pop("identity"), "is damaged (clips.0.identity"),
        (lambda raw: raw["clips"][0].update(identity="nobody"), "is of nobody"),
        (lambda raw: raw["clips"][0].update(recording="none"), "and none; expected"),
        (lambda raw: raw["clips"].append(raw["clips"][0]), "names one of its clips twice"),
        (lambda raw: raw["recordings"][0].update(split="tset"), "is damaged (recordings.0.split"),
        (lambda raw: raw["recordings"][0].update(phones=[["AA", 1]]), "is damaged (recordings.0.phones.0"),
        (lambda raw: raw["recordings"][0].update(phones=[["AA", 1.0, 0.5]]), "end before they begin"),
        (lambda raw: raw.update(fps=raw["fps"] * 2), "s long and its speech"),
    ],
)
def test_a_description_that_does_not_fit_its_arrays_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    """Breaks if dataset.json is believed: a clip of nobody, a text for a number, motion of another length than its speech."""
    path = tiny_dataset(tmp_path / "d") / "dataset.json"
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))
    with pytest.raises(InputError) as caught:
        Dataset(tmp_path / "d")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_field_that_is_not_known_is_passed_over(tmp_path: Path) -> None:
    """Breaks if a field more ends in a traceback."""
    path = tiny_dataset(tmp_path / "d") / "dataset.json"
    whole = Dataset(tmp_path / "d").info
    raw = json.loads(path.read_text())
    raw["clips"][0]["mood"] = raw["mood"] = "good"
    path.write_text(json.dumps(raw))
    assert Dataset(tmp_path / "d").info == whole
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="is damaged"):
        Dataset(tmp_path / "d")


def test_a_failure_leaves_the_old_dataset(tmp_path: Path) -> None:
    """Breaks if a run that dies half-way leaves a mixture of two datasets."""
    folder = tiny_dataset(tmp_path / "d")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    info = replace(Dataset(folder).info, source="another")

    def motion() -> Iterator[tuple[str, np.ndarray]]:
        yield "a", np.zeros((3, 52), np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(folder, info, tiny_rig(), [], motion())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_place_that_is_none(tmp_path: Path) -> None:
    """Breaks if a folder that cannot be made ends in a traceback."""
    (tmp_path / "file").write_text("")
    info = Dataset(tiny_dataset(tmp_path / "d")).info
    with pytest.raises(OutputError, match="cannot write"):
        write_dataset(tmp_path / "file" / "d", info, tiny_rig(), [], [])


def test_numbers_beyond_any_face_are_refused(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a coordinate near float32's end overflows in the basis, or leaves a numpy warning."""
    folder = tmp_path / "takes"
    folder.mkdir()
    for name, factor in (("Ada_1", 1.0), ("Ada_2", 1e37)):
        np.save(folder / f"{name}.npy", (speaking(1, 40, 30.0) * factor).astype(np.float32))
        write_wav(folder / f"{name}.wav", 40 / 30, 16_000)
    write_ply(tmp_path / "face.ply", TEMPLATE, FACES)
    ran = invoke(
        "preprocess", "vertices", folder, "--template", tmp_path / "face.ply", "--source-fps", 30, "-o", tmp_path / "out"
    )
    assert "Ada_2 holds numbers beyond 1e+09" in ran.mistake
