"""The identity library, by itself and through its commands: nothing lost, nothing torn."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Talker

from talker_cli.errors import IdentityError, OutputError
from talker_cli.formats.files import ArrayFile, write_arrays
from talker_cli.identity.file import Enrolled, IdentityFace, check_name, load_identity, name_from, save_identity
from talker_cli.identity.library import Library, data_folder
from talker_cli.model.built_in import built_in_head
from talker_cli.page.runtime import cache_folder

RECORD = {
    "folder": "/home/anna/clips", "sources": [{"path": "one.wav", "sha256": "0", "seconds": 9.0}], "seconds": 9.0,
    "similarity": {"mean": 0.9, "lowest": 0.8, "lowest_clip": "one.wav"}, "nearest": [["Bert", 0.5]], "talker": "0",
}  # fmt: skip


def person(name: str = "anna", seed: int = 0) -> Enrolled:
    rng = np.random.default_rng(seed)
    style, template = rng.normal(size=8).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    return Enrolled(name, style, "key", "Bert", IdentityFace(template), rng.normal(size=52).astype(np.float32), RECORD)


def test_an_identity_file_holds_everything(tmp_path: Path) -> None:
    """Breaks if anything of an identity is lost between writing and reading, or the same one gives other bytes."""
    save_identity(tmp_path / "a.safetensors", person())
    read = load_identity(tmp_path / "a.safetensors")
    save_identity(tmp_path / "b.safetensors", read)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert (read.style == person().style).all() and read.record == RECORD and (read.name, read.model) == ("anna", "key")
    assert read.face is not None and read.offset is not None
    whole = (tmp_path / "a.safetensors").read_bytes()
    for data, words in ((whole[:-40], "is damaged"), (b"", "is damaged"), (b"\x80\x04\x95", "is damaged")):
        (tmp_path / "a.safetensors").write_bytes(data)
        with pytest.raises(IdentityError, match=words):
            load_identity(tmp_path / "a.safetensors")


def test_a_head_of_ones_own_comes_back(tmp_path: Path) -> None:
    """Breaks if a file loses shapes, or one of a later version is misread."""
    rig = built_in_head().rig
    path = tmp_path / "a.safetensors"
    save_identity(path, replace(person(), face=IdentityFace(rig.template, rig.colors, rig)))
    assert path.stat().st_size < rig.basis.nbytes / 2
    face = load_identity(path).face
    assert face is not None and face.rig is not None
    assert (face.rig.basis == rig.basis).all() and face.rig.names == rig.names
    file = ArrayFile(path, "identity")
    write_arrays(path, {name: file.array(name) for name in file.names}, {**file.metadata, "format": 3})
    with pytest.raises(IdentityError, match="of format 3; expected 1; update talker"):
        load_identity(path)


def test_a_face_with_the_shapes_of_another_model_is_refused() -> None:
    """Breaks if a model's coefficients drive shapes that mean something else."""
    base = built_in_head()
    own = replace(person(), face=IdentityFace(base.rig.template, rig=base.rig))
    assert own.rig(base) is base.rig
    other = replace(base.rig, names=base.rig.names[::-1])
    with pytest.raises(IdentityError, match="other shapes"):
        replace(own, face=IdentityFace(base.rig.template, rig=other)).rig(base)


def test_two_at_once(tmp_path: Path) -> None:
    """Breaks if two enrolments of one name mix, or both believe that they were kept."""
    library = Library(tmp_path)
    for attempt in range(10):
        name, outcome = f"anna{attempt}", list[str]()
        barrier = threading.Barrier(8)

        def save(seed: int, name: str = name, outcome: list[str] = outcome, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                library.save(person(name, seed))
                outcome.append(f"kept {seed}")
            except IdentityError as error:
                assert "already" in str(error)
                outcome.append("refused")

        threads = [threading.Thread(target=save, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kept = [line for line in outcome if line != "refused"]
        assert len(kept) == 1 and len(outcome) == 8
        assert (library.load(name).style == person(name, int(kept[0].split()[1])).style).all()
    assert len(list(tmp_path.iterdir())) == 10


def test_the_platforms_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if identities land where the platform does not keep them."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert data_folder() == Path("/data/talker")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert data_folder() == Path.home() / ".local/share/talker"
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache/talker"
    monkeypatch.setattr("sys.platform", "darwin")
    assert data_folder() == Path.home() / "Library/Application Support/talker"
    assert cache_folder() == Path.home() / "Library/Caches/talker"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("APPDATA", "/roaming")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert (data_folder(), cache_folder()) == (Path("/roaming/talker"), Path("/local/talker"))


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a container's user without an entry in passwd gets a traceback, or cannot use a place that is named."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setattr("os.getuid", lambda: 54_321)
    assert data_folder() == Path("/data/talker")
    monkeypatch.delenv("XDG_DATA_HOME")
    with pytest.raises(OutputError, match=r"found no home folder .* name a folder, or set HOME"):
        data_folder()


def test_names_made_of_folders() -> None:
    """Breaks if a folder's name cannot become an identity's."""
    assert [name_from(text) for text in ("My clips (2)", "_x_", "Ännchen")] == ["My_clips_2", "x", "Ännchen"]
    assert check_name("हिन्दी") == "हिन्दी" and name_from("हिन्दी आवाज़ (2)") == "हिन्दी_आवाज़_2"  # vowel signs are no letters
    assert name_from("A\u0308nnchen") == "A\u0308nnchen"  # as macOS writes it
    with pytest.raises(IdentityError):
        name_from("...")
    with pytest.raises(IdentityError):
        check_name("\u0308a")


def test_the_commands(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if an identity is lost on its way through show, export, import, rename and remove."""
    place = ("--library", tmp_path / "library")
    Library(tmp_path / "library").save(person())
    shown = json.loads(invoke("identities", "show", "anna", "--json", *place).out)
    assert shown["sources"] == RECORD["sources"] and shown["own_face"]
    assert "its own, 5 vertices" in invoke("identities", "show", "anna", *place).out
    assert invoke("identities", "export", "anna", *place).out == "anna.safetensors\n"
    sent = load_identity(tmp_path / "anna.safetensors")
    assert sent.record == {**RECORD, "folder": None} and (sent.style == person().style).all()
    assert "already" in invoke("identities", "import", "anna.safetensors", *place).mistake
    assert invoke("identities", "import", "anna.safetensors", "--name", "eva", *place).code == 0
    assert "came as a file" in invoke("identities", "refit", "eva", *place, "--device", "cpu").mistake
    assert "already" in invoke("identities", "rename", "eva", "anna", *place).mistake
    own = "FaceTalk_170725_00137_TA"  # nobody could ask for an identity that is called as one of the model's
    assert "own identities" in invoke("identities", "import", "anna.safetensors", "--name", own, *place).mistake
    assert "own identities" in invoke("identities", "rename", "eva", own, *place).mistake
    # Scripts call the model's own by their beginnings, as the commands themselves do.
    assert f"means the model's own {own}" in invoke("identities", "rename", "eva", "FaceTalk_170725", *place).mistake
    assert "the library's own file" in invoke("identities", "export", "eva", "-o", "library/eva.safetensors", *place).mistake
    assert invoke("identities", "rename", "eva", "ida", *place).code == 0
    assert Library(tmp_path / "library").names() == ["anna", "ida"]
    assert Library(tmp_path / "library").load("ida").name == "ida"
    assert invoke("identities", "remove", "anna", *place).code == 0
    assert "it holds: ida" in invoke("identities", "remove", "anna", *place).mistake
    (tmp_path / "library" / "torn.safetensors").write_bytes(b"x")
    listed = invoke("identities", "--json", *place)
    assert listed.code == 0 and {"torn", "ida"} <= {entry["name"] for entry in json.loads(listed.out) if not entry["usable"]}
    assert invoke("identities", "remove", "torn", *place).code == 0


def test_a_library_that_cannot_be_written(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if it takes a model and minutes of listening to find out that the result cannot be kept."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.wav").write_bytes(b"x")
    for place in ("/proc/library", tmp_path / "clips" / "a.wav"):
        line = invoke("enroll", "clips", "--library", place).mistake
        assert "library" in line and str(place) in line
    assert not (tmp_path / "library").exists()
    save_identity(tmp_path / "anna.safetensors", replace(person(), face=None))
    assert (
        "cannot write to the identity library"
        in invoke("identities", "import", "anna.safetensors", "--library", "/proc/library").mistake
    )


def test_a_name_that_no_file_can_have_is_refused_before_the_work() -> None:
    """Breaks if a long name in another script is found to be no file's name only when all recordings were heard."""
    assert len(name_from("声" * 85).encode()) <= 180
    with pytest.raises(IdentityError, match="180 bytes"):
        check_name("声" * 61)


DAMAGED = [
    {}, {"seconds": "nine"}, {"seconds": float("nan")}, {"seconds": None}, {"sources": {"one.wav": 1}},
    {"sources": [{"path": 3}]}, {"sources": None}, {"similarity": 0.9}, {"similarity": {"mean": 0.9}},
    {"nearest": [["Bert"]]}, {"nearest": "Bert"}, {"fit": {"summary": 3}}, {"fit": "good"}, {"folder": 7}, {"folder": ["x"]},
]  # fmt: skip


@pytest.mark.parametrize("change", DAMAGED, ids=str)
@pytest.mark.slow
def test_a_damaged_record_breaks_one_identity_only(invoke: Talker, tmp_path: Path, change: dict) -> None:
    """Breaks if one file with a bad record makes the whole library unreadable, or ends in a traceback."""
    place = ("--library", tmp_path / "library")
    library = Library(tmp_path / "library")
    library.save(person("bert"))
    library.save(replace(person(), record={**RECORD, **change} if change else {}))
    listed = json.loads(invoke("identities", "--json", *place).out)
    about = {entry["name"]: entry["about"] for entry in listed}
    assert "damaged" in about["anna"] and "9 s of speech in 1 clips" in about["bert"]
    assert "damaged" in invoke("identities", "show", "anna", *place).mistake
    assert "damaged" in invoke("identities", "refit", "anna", *place, "--device", "cpu").mistake


def test_three_renames_at_once_leave_one(tmp_path: Path) -> None:
    """Breaks if two processes that rename one identity leave two copies, or none."""
    library = Library(tmp_path)
    library.save(person())
    barrier, refused = threading.Barrier(3), list[str]()

    def rename(new: str) -> None:
        barrier.wait()
        try:
            library.rename("anna", new)
        except IdentityError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=rename, args=(new,)) for new in ("berta", "clara", "dora")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(library.names()) == 1 and len(refused) == 2 and all("no identity 'anna'" in line for line in refused)
    assert (library.load(library.names()[0]).style == person().style).all()
