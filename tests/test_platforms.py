"""What runs without POSIX' modules, and where open files are locked, as on Windows; and drawing without EGL."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, sha256
from PIL import Image

from talker_cli.formats.motion import write_motion
from talker_cli.model.folder import model_folder
from talker_cli.rig import load_rig

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux plays the others")
ROOT = Path(__file__).parents[1]
POSIX_ONLY = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog")
# Takes the modules and names of POSIX away before talker's first import, and lets no file be renamed or removed that this
# process has open or mapped, nor a folder with such a file in it.
WITHOUT = f"""
import mmap, os, shutil, signal, sys
for name in {POSIX_ONLY!r}:
    sys.modules[name] = None
for name in ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGXFSZ", "pthread_sigmask", "SIG_BLOCK", "SIG_SETMASK"):
    delattr(signal, name)
for name in ("pread", "geteuid", "getuid", "O_NONBLOCK"):
    delattr(os, name)
for name in [name for name in dir(mmap) if name.startswith("MADV_")]:
    delattr(mmap, name)
def locked(change):
    def refused(*places):
        held = {{os.readlink(each.path) for each in os.scandir("/proc/self/fd") if os.path.lexists(each.path)}}
        with open("/proc/self/maps") as maps:
            held |= {{line.split(maxsplit=5)[5].strip() for line in maps if "/" in line}}
        for place in map(os.path.realpath, places):
            if any(each.startswith(place + "/") or each == place and not os.path.isdir(place) for each in held):
                raise PermissionError(13, "another program is using this file", place)
        return change(*places)
    return refused
for name in ("replace", "rename", "remove", "unlink", "rmdir"):
    setattr(os, name, locked(getattr(os, name)))
shutil._use_fd_functions = False
from talker_cli.formats import processes
assert processes._fcntl is None and processes._resource is None
"""


def python(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.slow
def test_commands_without_posix_write_the_same_files(tmp_path: Path) -> None:
    """Breaks if Windows lacks what a command calls, or a command replaces a file that it still reads: Windows refuses that."""
    _encode(tmp_path / "it's a clip.ogg")  # through ffmpeg, whose packets' times go to a file with a name
    commands = textwrap.dedent("""
        from talker_cli.cli.app import run
        for _ in range(2):  # the second time over the files of the first
            assert run(["animate", "it's a clip.ogg", "-o", "face.npy"]) == 0
            for place in ("face.mp4", "frames"):
                assert run(["render", "face.npy", "--size", "32x32", "-o", place]) == 0
            assert run(["enroll-identity", "it's a clip.ogg", "--name", "me", "--library", "library", "--replace"]) == 0
        assert run(["identities", "rename", "me", "you", "--library", "library"]) == 0
    """)
    made = []
    for name, before in (("here", ""), ("there", WITHOUT)):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(tmp_path / "it's a clip.ogg", folder)
        done = python(before + commands, folder)
        assert done.returncode == 0, done.stderr
        made.append({str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()})
    assert list(made[0]) == list(made[1]) and len(made[0]) > 30
    for file in ("face.npy", "frames/000012.png"):
        assert made[0][file] == made[1][file]


def _encode(path: Path) -> None:
    from talker_cli.formats import ffmpeg

    arguments = [ffmpeg.executable(), "-loglevel", "error", "-t", "1.5", "-i", str(ROOT / "examples/speech.wav"), str(path)]
    subprocess.run(arguments, check=True)


def test_files_without_locks_are_swept_after_a_day(tmp_path: Path) -> None:
    new, old = (tmp_path / f".talker-{digit * 16}.npy" for digit in "ab")
    for path in (new, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    code = WITHOUT + textwrap.dedent("""
        from pathlib import Path
        from talker_cli.formats.files import atomic_folder, atomic_path, sweep
        from talker_cli.formats.processes import folder_lock, peak_memory
        sweep(Path())
        with folder_lock(Path()), atomic_path(Path("whole.txt")) as path:
            path.write_text("whole")
        with atomic_folder(Path("folder")) as folder:
            (folder / "file").write_text("in it")
        del sys.modules['resource']  # psutil needs it on Linux
        assert 1e6 < peak_memory() < 1e12
    """)
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "folder", "whole.txt"]


def test_a_corpus_without_fork_says_where_to_make_it() -> None:
    code = "import multiprocessing\nmultiprocessing.get_all_start_methods = lambda: ['spawn']\n" + textwrap.dedent("""
        from talker_cli.errors import MachineError
        from talker_cli.formats.processes import fork_context
        try:
            fork_context()
        except MachineError as error:
            print(error)
    """)
    assert "make it on Linux or macOS" in python(code, ROOT).stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="xvfb is not installed")
def test_without_egl_a_hidden_window_draws_the_same_image(talker: Command, tmp_path: Path) -> None:
    """Breaks if nothing is drawn on machines that open windows but have no EGL, as Windows and macOS."""
    path = model_folder("talker-base") / "rig.safetensors"
    rig = load_rig(path).rig
    still = np.zeros((1, len(rig.names)), np.float32)
    about = {"fps": 30.0, "rig": {"path": str(path), "sha256": sha256(path)}}
    write_motion(tmp_path / "face.npy", rig.decode(still), still, about)
    render = ("render", "face.npy", "--at", "0", "--size", "96x96", "-o")
    nothing = {"__EGL_VENDOR_LIBRARY_FILENAMES": "/none.json"}  # EGL, without a device
    for done in (talker(*render, "egl.png"), talker(*render, "window.png", prefix=("xvfb-run", "-a"), **nothing)):
        assert done.code == 0, done.err
    assert "found no working OpenGL" in talker(*render, "none.png", DISPLAY="", **nothing).mistake  # so that was not EGL
    images = [np.asarray(Image.open(tmp_path / name), int) for name in ("egl.png", "window.png")]
    assert images[0].std() > 10 and np.abs(images[0] - images[1]).max() <= 1  # one driver draws both
