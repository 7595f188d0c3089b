"""The commands that make a model: train, distill. Imported workers stay inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

from talker_cli.cli_common import DeviceOption, OutputFolderOption, SeedOption, guarded, result
from talker_cli.cli_progress import training_progress

DatasetArgument = Annotated[Path, typer.Argument(help="A prepared dataset: what talker preprocess wrote.", show_default=False)]
ModelFolderArgument = Annotated[Path, typer.Argument(help="A model's folder, such as weights/talker-base.", show_default=False)]
SaveOption = Annotated[int, typer.Option(help="Steps between the states that a stopped run resumes from.", min=1)]
BatchOption = Annotated[int, typer.Option(help="Motion frames in a batch.", min=64)]
PrecisionOption = Annotated[bool, typer.Option("--bf16/--fp32", help="Matrix products in bfloat16, or all in float32.")]


@guarded
def train(
    dataset: DatasetArgument,
    output: OutputFolderOption,
    steps: Annotated[int, typer.Option(help="Optimiser steps.", min=1)] = 8000,
    batch_frames: BatchOption = 4096,
    learning_rate: Annotated[float, typer.Option(help="Peak of the cosine.")] = 1.5e-3,
    start: Annotated[
        str | None, typer.Option(help="Go on from the teacher of this model: talker-base, or a folder.", show_default=False)
    ] = None,
    guidance: Annotated[float, typer.Option(help="The teacher's default guidance at sampling; 1 is off.")] = 1.0,
    bf16: PrecisionOption = False,
    save_every: SaveOption = 200,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Train a teacher; the same command goes on where a stopped run ended. Under torchrun, on as many processes.

    Example: talker train prepared/ -o models/mine
    """
    from talker_cli.train import TrainConfig
    from talker_cli.train import train as run

    config = TrainConfig(
        steps=steps, batch_frames=batch_frames, learning_rate=learning_rate, guidance_scale=guidance,
        bf16=bf16, seed=seed, save_every=save_every, start=start,
    )  # fmt: skip
    with training_progress(f"the same command resumes the run in {output}") as report:
        result(run(dataset, output, config, device=device, on_progress=report))


@guarded
def distill(
    model: ModelFolderArgument,
    dataset: DatasetArgument,
    steps: Annotated[int, typer.Option(help="Steps the student ends with: a power of two. From 8 on, each is kept.")] = 8,
    stage_steps: Annotated[int, typer.Option(help="Optimiser steps of a halving whose student is not kept.", min=1)] = 500,
    last_stage_steps: Annotated[int, typer.Option(help="Optimiser steps of a halving whose student is kept.", min=1)] = 1000,
    guidance: Annotated[float | None, typer.Option(help="Guidance baked into the student; the teacher's default.")] = None,
    noise_scale: Annotated[float, typer.Option(help="Deviation of the noise the student starts from.", min=0.0, max=1.0)] = 0.7,
    batch_frames: BatchOption = 4096,
    bf16: PrecisionOption = False,
    validation_clips: Annotated[int, typer.Option(help="Clips that each stage is measured on.", min=0)] = 4,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Distil a model's teacher into a student of few steps, halving after halving.

    Example: talker distill models/mine prepared/
    """
    from talker_cli.distill import DistillConfig
    from talker_cli.distill import distill as run

    config = DistillConfig(
        steps=steps, stage_steps=stage_steps, last_stage_steps=last_stage_steps, guidance_scale=guidance,
        noise_scale=noise_scale, batch_frames=batch_frames, bf16=bf16, seed=seed,
        validation_clips=validation_clips,
    )  # fmt: skip
    with training_progress(f"the same command resumes the run in {model}") as report:
        student = run(model, dataset, config, device=device, on_progress=report)
    _show_stages(model / "run-student" / "stages.csv")
    result(student)


def _show_stages(path: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from talker_cli.training.stages import HEADINGS, read_rows

    table = Table(title=f"each stage on validation clips, from the same noise ({path})")
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right")
    rows = read_rows(path)
    for row in rows:
        table.add_row(*(f"{getattr(row, key):.4g}" for key in HEADINGS))
    if rows:
        Console(stderr=True).print(table)
