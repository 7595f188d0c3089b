"""Who may import whom, read from the source; and that the command line starts without the heavy libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "talker_cli"
FILES = sorted(PACKAGE.rglob("*.py"))


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Return every module that a file imports anywhere in it, and the names it takes from our own packages."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


IMPORTS = {module(path): imports(path) for path in FILES}
OURS = {name: {target for target in targets if target in IMPORTS} for name, targets in IMPORTS.items()}


def reach(start: str, arrows: dict[str, set[str]] = OURS) -> set[str]:
    """Return everything that `start` leads to: modules of ours, or what other arrows connect."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        for target in arrows[todo.pop()] - seen:
            seen.add(target)
            todo.append(target)
    return seen


def uses(name: str, library: str) -> bool:
    return any(target == library or target.startswith(f"{library}.") for target in IMPORTS[name])


def test_the_arrows_are_read() -> None:
    """Breaks if this file finds nothing to check."""
    assert "talker_cli.formats.files" in OURS["talker_cli.rig"]
    assert "talker_cli.animate.talker" in OURS["talker_cli.cli.animate"]
    assert "talker_cli.errors" in reach("talker_cli.rig")


def test_nobody_imports_the_command_line() -> None:
    """Breaks if a worker learns of options and progress bars."""
    front = {name for name in IMPORTS if name.startswith("talker_cli.cli") or name == "talker_cli.__main__"}
    for name in set(IMPORTS) - front:
        assert not OURS[name] & front, name


def test_nothing_imports_in_a_circle() -> None:
    """Breaks if two modules need each other."""
    for name in IMPORTS:
        assert name not in reach(name), name


def folder(name: str) -> str:
    """Return the folder that a module lies in, or the module itself at the top of the package."""
    return name if name in PACKAGES or name.count(".") == 1 else name.rpartition(".")[0]


PACKAGES = {module(path) for path in FILES if path.name == "__init__.py"}
FOLDERS: dict[str, set[str]] = {}
for _name, _targets in OURS.items():
    FOLDERS.setdefault(folder(_name), set()).update({folder(target) for target in _targets} - {folder(_name)})


def test_no_folders_import_each_other_in_a_circle() -> None:
    """Breaks if two folders need each other, even where no two of their files do."""
    for name in FOLDERS:
        assert name not in reach(name, FOLDERS), name


FORMATS = ("processes", "files", "npy", "motion", "mesh", "audio", "level", "wav", "ffmpeg", "gltf", "gltf_edit", "schema")
GROUND = ("errors", "metrics", "rig", *(f"formats.{name}" for name in FORMATS))


@pytest.mark.parametrize("name", GROUND)
def test_the_ground_floor_knows_nobody_above(name: str) -> None:
    """Breaks if what everybody builds on depends on one of them."""
    assert reach(f"talker_cli.{name}") <= {"talker_cli", "talker_cli.formats", *(f"talker_cli.{each}" for each in GROUND)}


def test_rendering_export_and_the_head_know_no_torch() -> None:
    """Breaks if drawing a film costs the seconds and the memory of torch."""
    for name in [name for name in IMPORTS if name.startswith(("talker_cli.render", "talker_cli.export", "talker_cli.head"))]:
        for target in {name} | reach(name):
            assert not uses(target, "torch") and not uses(target, "torchaudio"), (name, target)


def test_diffusion_never_sees_the_network() -> None:
    """Breaks if a sampler knows more of the denoiser than that it predicts x0."""
    known = {name for name in reach("talker_cli.model.diffusion") if name.startswith("talker_cli.model")}
    assert known == {"talker_cli.model.sampling"}


HEAVY = ("pyrender", "OpenGL", "trimesh", "transformers", "accelerate", "imageio_ffmpeg", "pocketsphinx", "websockets")


@pytest.mark.parametrize("library", HEAVY)
def test_one_module_for_each_heavy_library(library: str) -> None:
    """Breaks if replacing a library would take more than one file, or nothing uses it any more."""
    assert len([name for name in IMPORTS if uses(name, library)]) == 1


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_line_starts_light() -> None:
    """Breaks if --help loads torch (seconds) or any other heavy library."""
    heavy = {"torch", "numpy", "scipy", "pyrender", "trimesh", "transformers", "soundfile", "rich"}
    assert not loaded_by("import talker_cli.cli.app") & heavy


@pytest.mark.slow
def test_rendering_starts_without_torch() -> None:
    """Breaks if a library that rendering needs brings torch along."""
    statement = "import talker_cli.render.source, talker_cli.render.stage, pyrender.platforms.egl"
    loaded = loaded_by(f"import os; os.environ['PYOPENGL_PLATFORM'] = 'egl'; {statement}")
    assert "pyrender" in loaded and "torch" not in loaded
