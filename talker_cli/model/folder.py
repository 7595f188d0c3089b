"""Model folders: `weights/<name>/` with `rig.safetensors`, `teacher.safetensors`, `student.safetensors`, `MODEL_CARD.md`.

Students of fewer steps lie beside the student as `student-N.safetensors`.
"""

from pathlib import Path

from talker_cli.errors import ModelError

GRAPH = ".onnx"  # suffix of the file beside a student that ONNX Runtime runs
DEFAULT_MODEL, SMALL_MODEL = "talker-base", "talker-tiny"
DEFAULT_IDENTITY = "FaceTalk_170725"  # of the default model


def main_weights(folder: Path) -> Path:
    """Return the weights that a folder is used for: the student's, or the teacher's where there is no student."""
    student = folder / "student.safetensors"
    return student if student.is_file() else folder / "teacher.safetensors"


def students_of(folder: Path) -> list[Path]:
    """Return the weights of all students of a folder."""
    return sorted(folder.glob("student*.safetensors"))


def weights_folder(name: str) -> Path | None:
    """Return a folder of the weights installed with the package, or else of the checkout's; None if neither has it."""
    package = Path(__file__).resolve().parents[1]
    return next((folder for place in (package, package.parent) if (folder := place / "weights" / name).is_dir()), None)


def model_folder(model: str) -> Path:
    """Return the folder of a model given by name or by path.

    Raises:
        ModelError: there is no such folder.
    """
    for place in (weights_folder(model), Path(model)):
        if place is not None and (place / "rig.safetensors").is_file():
            return place
    if Path(model).is_dir():
        raise ModelError(f"{model} is no model folder: no rig.safetensors in it; expected what talker train writes")
    raise ModelError(f"no model '{model}'; expected talker-base, talker-tiny or a folder that talker train wrote")
