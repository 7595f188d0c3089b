"""Model folders: `weights/<name>/` with `rig.safetensors`, `teacher.safetensors`, `student.safetensors`, `MODEL_CARD.md`.

Students of fewer steps lie beside the student as `student-N.safetensors`.
"""

from pathlib import Path

from talker_cli.errors import ModelError

DEFAULT_MODEL = "talker-base"
DEFAULT_IDENTITY = "FaceTalk_170725"  # of the default model


def main_weights(folder: Path) -> Path:
    """Return the weights that a folder is used for: the student's, or the teacher's where there is no student."""
    student = folder / "student.safetensors"
    return student if student.is_file() else folder / "teacher.safetensors"


def model_folder(model: str) -> Path:
    """Return the folder of a model given by name or by path.

    A name is looked up in the weights that were installed with the package, then in the checkout's.

    Raises:
        ModelError: there is no such folder.
    """
    package = Path(__file__).resolve().parents[1]
    places = [package / "weights" / model, package.parent / "weights" / model, Path(model)]
    for place in places:
        if (place / "rig.safetensors").is_file():
            return place
    if Path(model).is_dir():
        raise ModelError(f"{model} is no model folder: no rig.safetensors in it; expected what talker train writes")
    raise ModelError(f"no model '{model}'; expected a built-in name (talker-base) or a folder that talker train wrote")
