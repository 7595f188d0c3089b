"""The commands that make a model: train, distill. Imported workers stay inside the commands."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from talker_cli.cli.options import DeviceOption, SeedOption, examples, guarded, note, result
from talker_cli.cli.progress import training_progress

if TYPE_CHECKING:
    from talker_cli.train.teacher import TrainConfig

DatasetArgument = Annotated[Path, typer.Argument(help="Prepared dataset.", show_default=False)]
ModelFolderArgument = Annotated[Path, typer.Argument(help="Model folder, such as models/mine.", show_default=False)]
BatchOption = Annotated[int, typer.Option(help="Motion frames in a batch.", min=64)]
PrecisionOption = Annotated[bool, typer.Option("--bf16/--fp32", help="Precision of matrix products.")]


@examples(
    "talker train prepared/ -o models/mine",
    "talker train prepared/ --config models/mine/run-teacher/run.toml --set loss.velocity=0.7 -o models/other",
    "talker train prepared/ --audio-encoder facebook/wav2vec2-base-960h -o models/wide",
)
@guarded
def train(
    dataset: Annotated[
        Path | None,
        typer.Argument(help="Prepared dataset. [default: the one in --config]", show_default=False),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Model folder to write.", show_default=False)] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file of settings, such as the run.toml of another training.", show_default=False)
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting, such as loss.velocity=0.7; may be repeated.", show_default=False),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.", min=1, show_default="8000")] = None,
    batch_frames: Annotated[int | None, typer.Option(help="Motion frames in a batch.", min=64, show_default="4096")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate of the cosine schedule.", show_default="0.0015")
    ] = None,
    audio_encoder: Annotated[
        str | None,
        typer.Option(
            help="Audio encoder: compact, whisper, or the folder or hub name of a HuBERT, wav2vec 2.0 or WavLM.",
            show_default="compact",
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--init-from", help="Teacher to start from: a built-in model or a folder.", show_default=False)
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Default guidance scale of the teacher; 1 is off.", show_default="1.0")
    ] = None,
    bf16: Annotated[
        bool | None,
        typer.Option("--bf16/--fp32", help="Precision of matrix products.", show_default="fp32"),
    ] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between two saved states.", min=1, show_default="200")] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of initial weights, batches and noise.", min=0, show_default="0"),
    ] = None,
    preview_every: Annotated[
        int, typer.Option(help="Steps between two preview videos of a validation clip; 0: none.", min=0)
    ] = 0,
    log_with: Annotated[
        Literal["tensorboard"] | None, typer.Option(help="Log every step's losses for TensorBoard too.", show_default=False)
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Train a teacher. The same command resumes a stopped run; torchrun starts several processes."""
    from talker_cli.errors import InputError

    given = {
        "train.steps": steps, "train.batch_frames": batch_frames, "train.learning_rate": learning_rate,
        "train.guidance_scale": guidance, "train.bf16": bf16, "train.seed": seed, "train.save_every": save_every,
        "train.start": start, "model.audio_encoder": audio_encoder,
    }  # fmt: skip
    folder, settings = _settings(dataset, config, {name: value for name, value in given.items() if value is not None},
                                 assignments or [])  # fmt: skip
    main = os.environ.get("RANK", "0") == "0"  # under torchrun only one process prints
    if output is None:
        raise InputError("found no folder to write; expected one, for example: talker train prepared/ -o models/mine")
    from talker_cli.train.teacher import train as run

    def preview(network: Any, step: int) -> None:
        note(f"drew {shown.draw(network, step)}")

    if preview_every and main:
        from talker_cli.data.dataset import Dataset
        from talker_cli.train.preview import Preview

        shown = Preview(Dataset(folder), output / "run-teacher" / "previews")
    if main:
        _note_precision(settings.bf16, device)
    with training_progress(f"the same command resumes the run in {output}") as report:
        path = run(
            folder, output, settings, device=device, log_with=log_with, preview_every=preview_every, on_preview=preview,
            on_progress=report,
        )  # fmt: skip
    if main:
        from talker_cli.identity.resolve import style_space

        student = output / "student.safetensors"
        if student.is_file() and style_space(student).key != style_space(path).key:
            note(f"{student} was distilled from another teacher, and animates until you run talker distill {output} {folder}")
        result(path)


def _settings(
    dataset: Path | None, file: Path | None, given: dict[str, Any], assignments: list[str]
) -> tuple[Path, "TrainConfig"]:
    """Return the dataset's folder and the settings: the file's, overridden by the command line's."""
    from talker_cli.errors import InputError
    from talker_cli.train.settings import changed, parse_assignments, read_settings
    from talker_cli.train.teacher import TrainConfig

    settings = TrainConfig()
    asked = parse_assignments(assignments, settings, "train")
    twice = [place for table, values in asked.items() for name in values if (place := f"{table}.{name}") in given]
    if twice:
        raise InputError(f"found --set {twice[0]} and the option for the same; leave one of them out")
    if file is not None:
        content = read_settings(file)
        named = content.pop("dataset", None)
        if named is not None and not isinstance(named, str):
            raise InputError(f"{file}: found dataset = {named}; expected a folder in quotes")
        dataset = Path(named) if dataset is None and named is not None else dataset
        settings = changed(settings, "train", content, str(file))
    if dataset is None:
        raise InputError("found no dataset; expected a prepared dataset, for example: talker train prepared/ -o mine")
    options: dict[str, dict[str, Any]] = {}
    for place, value in given.items():
        table, _, name = place.partition(".")
        options.setdefault(table, {})[name] = value
    settings = changed(settings, "train", options, "the command line")
    return dataset, changed(settings, "train", asked, "--set")


def _note_precision(bf16: bool, device: str) -> None:
    from talker_cli.model.device import choose_device, has_bf16

    if bf16 and not has_bf16(choose_device(device)):
        note("this processor has no bfloat16; float32 is used")


@examples("talker distill models/mine prepared/", "talker distill models/mine prepared/ --encoder-width 128")
@guarded
def distill(
    model: ModelFolderArgument,
    dataset: DatasetArgument,
    steps: Annotated[
        int,
        typer.Option(
            help="Final number of steps, a power of two. Students of 8, 4, 2 ... steps passed on the way are saved too."
        ),
    ] = 8,
    stage_steps: Annotated[int, typer.Option(help="Optimiser steps of a stage whose student is not saved.", min=1)] = 500,
    kept_stage_steps: Annotated[int, typer.Option(help="Optimiser steps of a stage whose student is saved.", min=1)] = 1000,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance scale distilled into the student. [default: the teacher's]")
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Sampling temperature to store in the student: std of the starting noise.", min=0.0, max=2.0)
    ] = 0.85,
    upper_face_temperature: Annotated[
        float, typer.Option(help="Sampling temperature of the upper face: brows move more at higher values.", min=0.0, max=2.0)
    ] = 1.05,
    batch_frames: BatchOption = 4096,
    bf16: PrecisionOption = False,
    encoder_width: Annotated[
        int | None,
        typer.Option(help="Give the student its own audio encoder of this width.", min=1, show_default="the teacher's"),
    ] = None,
    encoder_from: Annotated[
        str | None,
        typer.Option(help="Model whose student's compact audio encoder is trained further.", show_default="a new one"),
    ] = None,
    denoiser_from: Annotated[
        str | None,
        typer.Option(
            help="Model whose students, of the same teacher, lend their denoisers; halvings go on below them.",
            show_default="the teacher's",
        ),
    ] = None,
    encoder_steps: Annotated[
        int | None, typer.Option(help="Optimiser steps of that encoder.", min=1, show_default="3000")
    ] = None,
    encoder_learning_rate: Annotated[
        float, typer.Option(help="Peak learning rate of that encoder; less for one that is trained further.")
    ] = 1e-3,
    validation_clips: Annotated[
        int, typer.Option(help="Number of validation clips on which each stage is measured.", min=0)
    ] = 4,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Distil a model's teacher into a student of few steps, halving after halving."""
    from talker_cli.errors import InputError
    from talker_cli.model.folder import GRAPH, students_of
    from talker_cli.model.graph import check_onnx, export_student
    from talker_cli.model.header import has_compact_encoder
    from talker_cli.train.distill import DistillConfig
    from talker_cli.train.distill import distill as run

    if encoder_width is not None and encoder_from is not None:
        raise InputError("found --encoder-width and --encoder-from, whose encoder has its width; leave one of them out")
    if encoder_steps is not None and encoder_width is None and encoder_from is None and has_compact_encoder(model):
        raise InputError(
            "found --encoder-steps without --encoder-width; the teacher's encoder is not trained further; leave it out"
        )
    check_onnx()  # before the work of hours
    config = DistillConfig(
        steps=steps, stage_steps=stage_steps, kept_stage_steps=kept_stage_steps, guidance_scale=guidance,
        temperature=temperature, upper_face_temperature=upper_face_temperature, batch_frames=batch_frames, bf16=bf16, seed=seed,
        validation_clips=validation_clips, encoder_width=encoder_width, encoder_from=encoder_from, denoiser_from=denoiser_from,
        encoder_steps=DistillConfig.encoder_steps if encoder_steps is None else encoder_steps,
        encoder_learning_rate=encoder_learning_rate,
    )  # fmt: skip
    _note_precision(bf16, device)
    with training_progress(f"the same command resumes the run in {model}") as report:
        student = run(model, dataset, config, device=device, on_progress=report)
    for path in students_of(model):
        export_student(path, path.with_suffix(GRAPH))
    _show_stages(model / "run-student" / "stages.csv")
    result(student)


def _show_stages(path: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from talker_cli.train.stages import HEADINGS, read_rows

    table = Table(title=f"each stage on validation clips, from the same noise ({path})")
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right")
    rows = read_rows(path)
    for row in rows:
        table.add_row(*(f"{getattr(row, key):.4g}" for key in HEADINGS))
    if rows:
        Console(stderr=True).print(table)
