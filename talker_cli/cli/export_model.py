"""`talker export-model`: students as ONNX graphs, for talker itself and for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from talker_cli.cli.options import examples, guarded, result

_MODEL = "Model: a built-in name, or a folder that talker distill wrote."


@examples("talker export-model models/mine", "talker export-model talker-base -o student.onnx")
@guarded
def export_model(
    model: Annotated[str, typer.Argument(help=_MODEL, show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write.", show_default="beside each student")
    ] = None,
    steps: Annotated[int, typer.Option(help="Denoising steps of the student that is written to a file.", min=1)] = 8,
) -> None:
    """Write a model's students as ONNX graphs, which talker and other programs run without PyTorch.

    Inputs, outputs and the sampling loop are in docs/onnx.md.
    """
    from talker_cli.animate.animator import weights_for
    from talker_cli.errors import ModelError, OutputError
    from talker_cli.model.folder import GRAPH, model_folder, students_of

    folder = model_folder(model)
    students = students_of(folder)
    if not students:
        raise ModelError(f"found no student in {folder}; expected what talker distill writes", field="model")
    if output is not None:
        if output.suffix != GRAPH:
            raise OutputError(f"found {output}; expected a file with the suffix {GRAPH}", field="output")
        chosen = weights_for(folder, str(steps))
        if chosen not in students:
            raise ModelError(
                f"found no student of {steps} steps in {folder}; expected one of its students' steps", field="steps"
            )
        students = [chosen]
    from talker_cli.model.graph import export_student

    for weights in students:
        place = weights.with_suffix(GRAPH) if output is None else output
        export_student(weights, place)
        result(place)
