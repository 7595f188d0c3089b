"""The real command line: what it makes, and that every mistake is one line with exit code 2 and nothing half-written."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import IDENTITY, Command, ffmpeg, sha256, spoken, streams, without_hashes

from talker_cli import __version__
from talker_cli.corpus.articulate.eyes import NAMES, WIDE
from talker_cli.rig import RigFile


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# What works


def test_help_and_version(talker: Command) -> None:
    """Breaks if a command is missing from the help, or the help goes where results do not."""
    shown = talker("--help")
    assert shown.code == 0 and shown.err == ""
    for command in ("animate", "render", "export", "head", "identities", "preprocess", "train", "distill", "evaluate"):
        assert command in shown.out
    assert talker("--version").out == f"talker {__version__}\n"


def test_a_model_that_predicts_zero_gives_the_template(
    invoke: Command, wav: Path, model: Path, head: RigFile, tmp_path: Path
) -> None:
    """Breaks if anything but the eyes moves the face, or frames are lost: the whole way with a fake model."""
    ran = invoke("animate", wav, "--identity", "FaceTalk_170725", "--model", model, "--device", "cpu")
    assert ran.code == 0, ran.err
    assert ran.out == "out.npy\n"
    assert ran.err.count("stand-ins") == 1 and "student, 8 steps" in ran.err and IDENTITY in ran.err
    motion = np.load(tmp_path / "out.npy")
    assert motion.dtype == np.float32 and len(motion) == int(1.21 * head.rig.fps)
    coefficients = np.load(tmp_path / "out.coefficients.npy")
    assert (motion == head.rig_of(IDENTITY).decode(coefficients)).all()
    still = ~coefficients.any(0)
    assert {name for name, rest in zip(head.rig.names, still, strict=True) if not rest} <= {*NAMES, *WIDE}  # the eyes live
    assert (motion[:, head.rig.regions["lips"]] == head.identities[IDENTITY].template[head.rig.regions["lips"]]).all()
    about = json.loads((tmp_path / "out.json").read_text())
    assert about["identity"] == IDENTITY and about["fps"] == head.rig.fps and about["seed"] == 0
    assert about["audio"] == {"path": str(wav), "sha256": sha256(wav)}
    assert about["rig"]["sha256"] == sha256(model / "rig.safetensors")
    assert names(tmp_path) == {"speech.wav", "out.npy", "out.json", about["coefficients"]}


def test_the_recording_is_never_written_over(invoke: Command, motion: Path, tmp_path: Path) -> None:
    """Breaks if a film lands on the film that was animated, because its sound comes from elsewhere."""
    about = json.loads(motion.with_suffix(".json").read_text())
    sound = Path(about["audio"]["path"])
    ffmpeg("-f", "lavfi", "-i", "color=size=64x64:duration=1", "-i", sound, tmp_path / "face.mp4")
    own = sha256(tmp_path / "face.mp4")
    motion.with_suffix(".json").write_text(json.dumps({**about, "audio": {"path": "face.mp4", "sha256": own}}))
    for command in (("render", motion.name, "--audio", sound), ("export", motion.name, "--audio", sound, "-o", "face.mp4")):
        assert "cannot write face.mp4" in invoke(*command).mistake
    assert sha256(tmp_path / "face.mp4") == own


@pytest.mark.slow
def test_what_has_no_sound_needs_no_recording(invoke: Command, motion: Path, tmp_path: Path) -> None:
    """Breaks if a GIF cannot be made of a motion whose recording is gone, or is said to be silent."""
    about = json.loads(motion.with_suffix(".json").read_text())
    motion.with_suffix(".json").write_text(json.dumps({**about, "audio": {"path": "gone.wav"}}))
    for output in ("face.gif", "frames"):
        ran = invoke("render", motion.name, "--size", "64x64", "-o", output)
        assert (ran.code, ran.err) == (0, ""), ran.err
    assert "give the recording (--audio)" in invoke("render", motion.name, "--size", "64x64").mistake


def test_a_film_from_the_command_line(invoke: Command, motion: Path, tmp_path: Path) -> None:
    """Breaks if the two commands' files do not fit each other, or the film has no sound."""
    ran = invoke("render", motion.name, "--size", "96x64")
    assert (ran.code, ran.out) == (0, "face.mp4\n"), ran.err
    said = streams(tmp_path / "face.mp4")
    assert "96x64" in said and "Audio: aac" in said and "30 fps" in said


@pytest.mark.slow
def test_a_still_from_the_command_line(invoke: Command, motion: Path, tmp_path: Path) -> None:
    """Breaks if --at shows the first frame whatever it is given."""
    assert invoke("render", motion, "--at", "0", "--size", "96x96", "-o", "rest.png").code == 0
    ran = invoke("render", motion, "--at", "0.3", "--size", "96x96")
    assert (ran.code, ran.out) == (0, f"{motion.with_suffix('.png')}\n"), ran.err
    images = []
    for name in ("rest.png", "face.png"):
        ffmpeg("-i", tmp_path / name, "-f", "rawvideo", "-pix_fmt", "rgb24", tmp_path / "raw")
        images.append(np.fromfile(tmp_path / "raw", np.uint8).reshape(96, 96, 3).astype(int))
    assert np.abs(images[0] - images[1]).max() > 60
    assert invoke("render", motion, "--at", "7", "-o", "late.png").mistake.endswith("choose another (--at)")


def test_identities(invoke: Command, model: Path, head: RigFile) -> None:
    """Breaks if a name is missing, or the note that they are stand-ins."""
    ran = invoke("identities", "--model", model)
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == list(head.identities)
    assert "stand-ins" in ran.err


# What does not: recordings


def recording(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.wav"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("not a sound\n" * 9)
    elif kind == "nan":
        sound = spoken(1)
        sound[8000] = np.nan
        soundfile.write(path, sound, 16_000, subtype="FLOAT")
    elif kind == "short":
        soundfile.write(path, spoken(0.05), 16_000)
    elif kind == "silent-film":
        path = folder / "film.mp4"
        ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:duration=1", path)
    return path


@pytest.mark.parametrize("kind,words", [("missing", "no file"), ("empty", "is empty"), ("folder", "found no recording in")])
def test_no_recording_at_all(invoke: Command, tmp_path: Path, kind: str, words: str) -> None:
    """Breaks if it takes a model to find out that there is nothing to animate."""
    path = recording(kind, tmp_path)
    before = names(tmp_path)
    line = invoke("animate", path.name).mistake
    assert words in line and path.name in line and names(tmp_path) == before


@pytest.mark.parametrize(
    "kind,words",
    [("text", "not a recording"), ("nan", "NaN"), ("short", "0.050 s of sound"), ("silent-film", "no audio stream")],
)
def test_no_speech_in_it(invoke: Command, tmp_path: Path, model: Path, kind: str, words: str) -> None:
    """Breaks if broken sound is animated."""
    path = recording(kind, tmp_path)
    before = names(tmp_path)
    line = invoke("animate", path.name, "--model", model, "--device", "cpu").mistake
    assert words in line and path.name in line and names(tmp_path) == before


# Identities, models, machines


@pytest.mark.parametrize("name,words", [("FaceTalk_1709", "fits"), ("Nobody", "no identity 'Nobody'"), ("", "no identity ''")])
def test_identities_that_are_none_or_many(
    invoke: Command, wav: Path, model: Path, head: RigFile, name: str, words: str, tmp_path: Path
) -> None:
    """Breaks if a typing error animates somebody else, or the candidates are not listed."""
    line = invoke("animate", wav, "--identity", name, "--model", model, "--device", "cpu").mistake
    candidates = [full for full in head.identities if name == "" or name == "Nobody" or full.startswith(name)]
    assert words in line and len(candidates) > 1 and all(full in line for full in candidates)
    assert names(tmp_path) == {"speech.wav"}


@pytest.mark.parametrize("damage", ["cut", "foreign", "pickle", "empty", "missing", "teacher", "rig"])
def test_weights_that_cannot_be_used(invoke: Command, wav: Path, model: Path, tmp_path: Path, damage: str) -> None:
    """Breaks if damaged or foreign weights run, end in a traceback, or are unpickled."""
    from safetensors.numpy import save_file

    folder = tmp_path / "weights"
    shutil.copytree(model, folder)
    path = folder / "student.safetensors"
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "foreign":
        save_file({"x": np.zeros(3, np.float32)}, path)
    elif damage == "pickle":
        path.write_bytes(b"\x80\x04\x95")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "missing":
        path.unlink()
    elif damage == "teacher":
        shutil.copy(folder / "teacher.safetensors", path)
    elif damage == "rig":
        (folder / "rig.safetensors").write_bytes(b"not a rig")
    line = invoke("animate", wav, "--model", folder, "--device", "cpu").mistake
    assert ("rig.safetensors" if damage == "rig" else "student.safetensors") in line
    assert names(tmp_path) == {"speech.wav", "weights"}


def test_no_such_model(invoke: Command, wav: Path) -> None:
    """Breaks if a wrong --model falls back to another."""
    assert "no model 'nowhere'" in invoke("animate", wav, "--model", "nowhere").mistake


def test_no_gpu(invoke: Command, wav: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if --device cuda silently runs on the CPU."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert "no CUDA device" in invoke("animate", wav, "--model", model, "--device", "cuda").mistake


@pytest.mark.parametrize("option,value", [("--steps", "0"), ("--steps", "many"), ("--steps", "257"), ("-o", "out.mp5")])
def test_options_out_of_range(invoke: Command, wav: Path, model: Path, tmp_path: Path, option: str, value: str) -> None:
    """Breaks if a wrong value is rounded to a right one."""
    assert value in invoke("animate", wav, option, value, "--model", model, "--device", "cpu").mistake
    assert names(tmp_path) == {"speech.wav"}


def test_a_device_nobody_has(invoke: Command, wav: Path) -> None:
    """Breaks if a typing error reaches torch."""
    line = invoke("animate", wav, "--device", "gpu").mistake
    assert "'gpu'" in line and "'cuda'" in line


@pytest.mark.slow
def test_no_opengl_driver(talker: Command, motion: Path, tmp_path: Path) -> None:
    """Breaks if a machine without a driver gets a traceback, or a black film, instead of the line that installs one."""
    before = names(tmp_path)
    line = talker("render", motion, __EGL_VENDOR_LIBRARY_FILENAMES="/dev/null", __EGL_VENDOR_LIBRARY_DIRS="/nowhere").mistake
    assert "apt-get install libegl1" in line and names(tmp_path) == before


def test_no_opengl_library(talker: Command, motion: Path, tmp_path: Path) -> None:
    """Breaks if a missing library shows as PyOpenGL's own error."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import ctypes, ctypes.util\n"
        "real, find = ctypes.CDLL.__init__, ctypes.util.find_library\n"
        "GONE = ('EGL', 'libEGL', 'GL', 'libGL', 'GLESv2', 'libGLES', 'OpenGL', 'libOpenGL')\n"
        "def init(self, name, *a, **k):\n"
        "    if name and str(name).split('.')[0].split('/')[-1] in GONE: raise OSError(f'{name}: cannot open')\n"
        "    return real(self, name, *a, **k)\n"
        "ctypes.CDLL.__init__ = init\n"
        "ctypes.util.find_library = lambda name: None if name in GONE else find(name)\n"
    )
    before = names(tmp_path)
    root = str(Path(__file__).parents[1])
    assert "apt-get install libegl1" in talker("render", motion, PYTHONPATH=f"{site}{os.pathsep}{root}").mistake
    assert names(tmp_path) == before


# Places


def test_places_that_cannot_be_written(invoke: Command, wav: Path, motion: Path, tmp_path: Path) -> None:
    """Breaks if work begins before it is known that its result can be kept."""
    (tmp_path / "file").write_text("")
    before = names(tmp_path)
    for place in ("missing/out.npy", "file/out.npy", "/proc/out.npy"):
        assert f"cannot write {place}" in invoke("animate", wav, "-o", place).mistake
    assert "cannot write /proc/out.mp4" in invoke("render", motion, "-o", "/proc/out.mp4").mistake
    assert "it is not empty" in invoke("render", motion, "-o", ".").mistake
    assert names(tmp_path) == before


@contextlib.contextmanager
def limited(size: int) -> Iterator[None]:
    """Let this process and its children write no file beyond `size` bytes: as a full disk does, but for one process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(invoke: Command, wav: Path, model: Path, motion: Path, tmp_path: Path) -> None:
    """Breaks if half a motion or half a film stays on a full disk, or the words are the system's."""
    before = names(tmp_path)
    with limited(1_000_000):
        ran = invoke("animate", wav, "--model", model, "--device", "cpu")
    assert ran.code == 2 and "Traceback" not in ran.err
    assert "the disk is full" in ran.err.splitlines()[-1]
    assert names(tmp_path) == before
    with limited(4000):
        assert "the disk is full" in invoke("render", motion, "--size", "96x96").mistake
    assert names(tmp_path) == before


# Motions


@pytest.mark.slow
def test_render_needs_a_motion_and_what_belongs_to_it(invoke: Command, motion: Path, wav: Path, tmp_path: Path) -> None:
    """Breaks if a film is drawn of the wrong thing, or without its sound."""
    assert "no motion at nothing.npy" in invoke("render", "nothing.npy").mistake
    assert "expected a motion" in invoke("render", wav).mistake
    sidecar = motion.with_suffix(".json")
    about = json.loads(sidecar.read_text())

    soundfile.write(wav, spoken(1.3), 16_000)
    assert "has changed" in invoke("render", motion).mistake
    wav.rename(tmp_path / "moved.wav")
    assert "give the recording (--audio)" in invoke("render", motion).mistake
    ran = invoke("render", motion, "--audio", "moved.wav", "--size", "64x64")
    assert ran.code == 0, ran.err
    (tmp_path / "face.mp4").unlink()

    before = names(tmp_path)
    assert "not a recording" in invoke("render", motion, "--audio", sidecar).mistake
    assert "found 63x64" in invoke("render", motion, "--size", "63x64").mistake
    assert "'.avi'" in invoke("render", motion, "--audio", "moved.wav", "-o", "face.avi").mistake
    for change, words in (
        ({"rig": {"path": "gone"}}, "no rig at"),
        ({"rig": {**about["rig"], "sha256": "0"}}, "SHA-256"),
        ({"rig": None}, 'no "rig"'),
        ({"identity": "Nobody"}, "names the identity Nobody"),
    ):
        sidecar.write_text(json.dumps({**about, **change}))
        assert words in invoke("render", motion).mistake
    sidecar.write_text("{half")
    assert "is damaged" in invoke("render", motion).mistake
    assert names(tmp_path) == before
    sidecar.unlink()
    assert f"no {sidecar}" in invoke("render", motion).mistake


def test_a_motion_of_another_mesh(invoke: Command, motion: Path) -> None:
    """Breaks if the numbers found and expected are not said."""
    np.save(motion, np.load(motion)[:, :-1])
    assert "does not belong to" in invoke("render", motion).mistake
    without_hashes(motion)
    line = invoke("render", motion).mistake
    count = np.load(motion).shape[1]
    assert f"{count} vertices" in line and f"{count + 1}" in line


def test_the_recording_is_not_overwritten(invoke: Command, motion: Path, tmp_path: Path) -> None:
    """Breaks if rendering into the film that was animated destroys it."""
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "talk.mp4")
    before = sha256(tmp_path / "talk.mp4")
    assert "the recording itself" in invoke("render", motion, "--audio", "talk.mp4", "-o", "talk.mp4").mistake
    assert sha256(tmp_path / "talk.mp4") == before


@pytest.mark.slow
def test_ctrl_c(motion: Path, tmp_path: Path) -> None:
    """Breaks if an interrupted film leaves files, a traceback, or an encoder running."""
    np.save(motion, np.concatenate([np.load(motion)] * 20))
    without_hashes(motion)
    before = names(tmp_path)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "talker_cli", "render", str(motion)]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell's background job, as a build machine may be, ignores Ctrl-C and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while names(tmp_path) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert names(tmp_path) != before  # it has begun to write
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "", err
    assert err == "talker: interrupted; nothing was left half-written\n"
    assert names(tmp_path) == before


def test_names_longer_than_files_have(invoke: Command, wav: Path) -> None:
    """Breaks if a name that the file system refuses ends in a traceback."""
    long = "x" * 300
    for command in (("animate", f"{long}.wav"), ("animate", wav, "-o", f"{long}.npy"), ("enroll", long)):
        assert "255 bytes" in invoke(*command).mistake


def test_the_reference_of_the_commands_is_theirs() -> None:
    """Breaks if an option, a default or a help text changes and docs/cli.md does not: run tools/cli_reference.py."""
    import runpy

    tool = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "cli_reference.py"))
    assert tool["PLACE"].read_text(encoding="utf-8") == tool["reference"]()
