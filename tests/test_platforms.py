"""What runs without fcntl, resource, SIGHUP and inherited descriptors, as on Windows; and drawing in a hidden window."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
POSIX_ONLY = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog")
# Takes the modules and names of POSIX away before talker's first import, then runs the command line.
WITHOUT = f"""
import os, signal, sys
for name in {POSIX_ONLY!r}:
    sys.modules[name] = None
for name in ("SIGHUP", "SIGQUIT", "SIGUSR1"):
    delattr(signal, name)
for name in ("pread", "geteuid", "getuid", "O_NONBLOCK"):
    delattr(os, name)
from talker_cli.formats import ffmpeg, processes
assert processes._fcntl is None and processes._resource is None
ffmpeg.INHERITS = False
"""


def python(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.slow
def test_animate_without_the_modules_of_posix_gives_the_same_motion(tmp_path: Path) -> None:
    command = "from talker_cli.__main__ import main\nsys.exit(main())\n"
    sound = tmp_path / "it's a clip.ogg"  # through ffmpeg, whose packets' times go to a file with a name
    _encode(sound)
    for name, before in (("here.csv", "import sys\n"), ("there.csv", WITHOUT)):
        done = python(before + command, tmp_path, "animate", sound.name, "-o", name)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([sound.name, "here.csv", "there.csv"])


def _encode(path: Path) -> None:
    from talker_cli.formats import ffmpeg

    arguments = [ffmpeg.executable(), "-loglevel", "error", "-t", "1", "-i", str(ROOT / "examples/speech.wav"), str(path)]
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
@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
def test_without_egl_a_hidden_window_draws_the_same_image(tmp_path: Path) -> None:
    """Breaks if nothing is drawn on machines that open windows but have no EGL, as Windows and macOS."""
    draw = textwrap.dedent("""
        import sys
        import numpy as np
        from talker_cli.model.folder import model_folder
        from talker_cli.render import render_frame
        from talker_cli.rig import load_rig
        rig = load_rig(model_folder("talker-base") / "rig.safetensors").rig
        np.save(sys.argv[1], render_frame(rig.template, rig, size=(96, 96)))
        print(type(__import__("OpenGL.platform").platform.PLATFORM).__name__)
    """)
    hidden = textwrap.dedent("""
        import ctypes
        load = ctypes.CDLL
        def without_egl(name, *rest, **more):
            if name == "libEGL.so.1":
                raise OSError(name)
            return load(name, *rest, **more)
        ctypes.CDLL = without_egl
    """)
    read, write = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "64x64x24"], pass_fds=(write,), stderr=-3)
    try:
        os.environ["DISPLAY"] = f":{os.read(read, 16).decode().strip()}"
        window = python(hidden + draw, tmp_path, "window.npy")
        egl = python(draw, tmp_path, "egl.npy")
    finally:
        del os.environ["DISPLAY"]
        server.kill()
        server.wait()
        os.close(read)
        os.close(write)
    assert (window.returncode, egl.returncode) == (0, 0), window.stderr + egl.stderr
    assert (window.stdout, egl.stdout) == ("GLXPlatform\n", "EGLPlatform\n")
    difference = np.abs(np.load(tmp_path / "window.npy").astype(int) - np.load(tmp_path / "egl.npy"))
    assert difference.max() <= 1  # one driver draws both
