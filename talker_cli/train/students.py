"""The students of a distillation: their configs, their files, and denoisers that they take over from other students."""

from dataclasses import replace
from pathlib import Path

from talker_cli.errors import InputError, ModelError
from talker_cli.identity.resolve import style_space
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import COMPACT, MAX_TIMESTEP, ModelConfig
from talker_cli.model.folder import GRAPH, students_of
from talker_cli.model.header import read_config
from talker_cli.model.network import FaceDiffusion

DEFAULT_STEPS = 8  # of student.safetensors, unless a distillation ends before


def student_config(teacher: ModelConfig, steps: int, encoder_width: int | None = None) -> ModelConfig:
    """Return the config of a student of `teacher` with `steps` evenly spaced timesteps and its noise; guidance is baked in."""
    timesteps = tuple(MAX_TIMESTEP * (steps - index) // steps for index in range(steps))
    own = with_encoder(teacher, encoder_width)
    return replace(own, kind="student", timesteps=timesteps, guidance_scale=1.0)


def with_encoder(teacher: ModelConfig, width: int | None) -> ModelConfig:
    """Return the teacher's config with a compact encoder of this width; None keeps the teacher's own."""
    if width is None:
        return teacher
    return replace(teacher, encoder_width=width, audio_encoder=COMPACT, pretrained_hash="", pretrained_width=0)


def student_path(model: Path, count: int, last: int) -> Path:
    """Return where the student of `count` steps lies, of a distillation down to `last`: the plain name is the 8 steps'."""
    plain = count == max(last, DEFAULT_STEPS)
    return model / ("student.safetensors" if plain else f"student-{count}.safetensors")


def students_below(model: Path, count: int) -> list[Path]:
    """Return the files of kept students of fewer than `count` steps."""
    named = ((path, path.stem.removeprefix("student-")) for path in model.glob("student-*.safetensors"))
    return [path for path, steps in named if steps.isdecimal() and int(steps) < count]


def save(path: Path, student: FaceDiffusion) -> None:
    """Write a student, and remove the graph of the weights before it.

    Raises:
        OutputError: the file cannot be written.
    """
    path.with_suffix(GRAPH).unlink(missing_ok=True)
    save_model(path, student)


def remove(students: list[Path]) -> None:
    """Remove students with their graphs."""
    for path in students:
        path.unlink()
        path.with_suffix(GRAPH).unlink(missing_ok=True)


def lenders_of(folder: Path, model: Path) -> dict[int, Path]:
    """Return the students whose denoisers a model takes over, by their steps, most steps first.

    Args:
        folder: model folder of those students.
        model: model folder with their teacher, for which they are taken over.

    Raises:
        InputError: the folders are the same.
        ModelError: there are none, or of another teacher.
    """
    if folder.resolve() == model.resolve():
        raise InputError("found the folder that is written; expected another model's", field="denoiser_from")
    students, key = students_of(folder), style_space(model / "teacher.safetensors").key
    if not students or any(style_space(path).key != key for path in students):
        raise ModelError(f"{folder} has no students of the teacher in {model}; expected those of talker distill",
                         field="denoiser_from")  # fmt: skip
    lenders = {len(read_config(path, "student").timesteps): path for path in students}
    return dict(sorted(lenders.items(), reverse=True))


def lend(lender: Path, network: FaceDiffusion, model: Path, encoder_width: int | None) -> None:
    """Write a student with a lender's denoiser and the rest of a network, which is left so.

    Args:
        lender: weights of the student that lends its denoiser.
        network: with the audio encoder of the new student.
        model: model folder that is written to; the file has the lender's name.
        encoder_width: of the network's own compact encoder; None for the teacher's.

    Raises:
        ModelError: the lender is damaged.
        OutputError: the file cannot be written.
    """
    student = load_model(lender, "student")
    network.denoiser.load_state_dict(student.denoiser.state_dict())
    network.config = with_encoder(student.config, encoder_width)
    save(model / lender.name, network)
