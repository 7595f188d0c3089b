"""A wheel built from the checkout works where the checkout is not."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel built from the checkout, without the network."""
    pytest.importorskip("hatchling")
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_wheel_holds_what_it_needs(wheel: Path) -> None:
    """If this fails, an installed talker lacks its weights, its shaders or its viewer."""
    held = set(zipfile.ZipFile(wheel).namelist())
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "talker_cli").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    weights = {f"talker_cli/{path.relative_to(ROOT)}" for path in (ROOT / "weights").rglob("*") if path.is_file()}
    assert package | weights <= held
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/", "docs/"))]


@pytest.mark.slow
def test_wheel_animates_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """If this fails, `pip install talker-cli` gives a talker that works in its own repository only."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    # The dependencies are those of this environment; talker is the wheel's, as no .pth of a .pth is read (editable installs).
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--ignore-installed", str(wheel)], check=True, capture_output=True, timeout=120)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "speech.wav").write_bytes((ROOT / "examples" / "speech.wav").read_bytes())
    talker = home / "bin" / "talker"
    where = subprocess.run(
        [python, "-c", "import talker_cli; print(talker_cli.__file__)"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert Path(where.stdout.strip()).is_relative_to(site)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    made = subprocess.run(
        [talker, "animate", "speech.wav", "--identity", "FaceTalk_170725"],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (made.returncode, made.stdout) == (0, "out.npy\n"), made.stderr
    vertices = np.load(elsewhere / "out.npy")
    assert vertices.dtype == np.float32 and vertices.shape[1:] == (11264, 3)
    assert np.ptp(vertices, axis=0).max() > 0.005  # metres: the jaw opens
