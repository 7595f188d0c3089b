"""The commands that measure: evaluate a model, compare motions. Workers are imported inside them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from talker_cli.cli.options import DeviceOption, SeedOption, examples, guarded, note, one_thread, progress, result, show_table

if TYPE_CHECKING:
    from talker_cli.evaluate.captured import CapturedReport
    from talker_cli.evaluate.report import EvaluationReport

ProtocolOption = Annotated[
    Literal["vocaset-test", "biwi-a", "biwi-b"] | None, typer.Option(help="Published test set, in place of --split.")
]
LveOption = Annotated[Literal["codetalker", "diffspeaker", "imitator"], typer.Option(help="Variant of the lip vertex error.")]
BlendshapesOption = Annotated[bool, typer.Option("--blendshapes", help="Measure ARKit coefficients, not vertices.")]
SplitOption = Annotated[
    str | None,
    typer.Option(
        help="Split of a prepared dataset: train, validation, test or test_voice; or all, with --captured.", show_default="test"
    ),
]
OUTPUT = "Output"
ByIdentityOption = Annotated[bool, typer.Option("--by-identity", help="Add a line for each identity.", rich_help_panel=OUTPUT)]
CsvOption = Annotated[
    Path | None, typer.Option(help="CSV file to write, a line for each sequence.", rich_help_panel=OUTPUT, show_default=False)
]
PlotOption = Annotated[Path | None, typer.Option(help="Chart to write (.png).", rich_help_panel=OUTPUT, show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=OUTPUT)]
TABLE_WIDTH = 140
R = TypeVar("R", "EvaluationReport", "CapturedReport")


@examples("talker evaluate talker-base prepared/ --split test --human")
@guarded
def evaluate(
    model: Annotated[
        Path, typer.Argument(help="Folder with a model's weights, or a built-in model's name.", show_default=False)
    ],
    dataset: Annotated[Path, typer.Argument(help="Prepared dataset.", show_default=False)],
    split: SplitOption = None,
    protocol: ProtocolOption = None,
    systems: Annotated[
        str | None,
        typer.Option(
            help="Systems, separated by commas: truth, mean, loudness, student, teacher-N (256: full sampler).",
            show_default="truth,mean,loudness,student,teacher-8,teacher-256",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Samples of each clip; two or more give the diversity.", min=1)] = 1,
    temperature: Annotated[
        float | None,
        typer.Option(help="Temperature of all samplers.", min=0, max=2, show_default="that stored with the model"),
    ] = None,
    identities: Annotated[
        bool, typer.Option(help="Also animate every clip with every identity, and retrieve the identity from speech.")
    ] = True,
    relative_to: Annotated[
        str | None,
        typer.Option(help="System to divide the others' errors by, such as teacher-256.", show_default=False),
    ] = None,
    condition: Annotated[
        Literal["clean", "noise-10db", "telephone", "faster-20"],
        typer.Option(help="Acoustic condition: as recorded, pink noise, 300-3400 Hz, or played 20 % faster."),
    ] = "clean",
    human: Annotated[bool, typer.Option("--human", help="Measure on human voices only.")] = False,
    language: Annotated[str | None, typer.Option(help="Language of the recordings, such as en.", show_default="all")] = None,
    voice: Annotated[
        str | None, typer.Option(help="Voice of the recordings, as talker data info names it.", show_default="all")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Number of clips, evenly spaced.", min=1, show_default="all")] = None,
    lve: LveOption = "codetalker",
    blendshapes: BlendshapesOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    captured: Annotated[
        str | None,
        typer.Option(
            help="Measure against captured faces, in mm, as identities of the model, separated by commas, or all with a face.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(help="With --captured: denoising steps, as of animate, separated by commas.", show_default="8"),
    ] = None,
    by_identity: ByIdentityOption = False,
    csv: CsvOption = None,
    plot: PlotOption = None,
    json_output: JsonOption = False,
) -> None:
    """Measure a model and its baselines on held-out clips of a prepared dataset."""
    _check(csv, plot, split, protocol, lve, blendshapes)
    folder = _model_folder(model)
    one_thread()
    if captured is not None:
        unused = {
            "systems": systems, "protocol": protocol, "temperature": temperature, "relative_to": relative_to,
            "condition": condition != "clean", "human": human, "language": language, "blendshapes": blendshapes,
            "by_identity": by_identity, "lve": lve != "codetalker",
        }  # fmt: skip
        _refuse_with_captured(unused)
        samplers = (steps or "8").split(",")
        _captured_model(
            folder, dataset, split or "test", captured, samplers, voice, limit, seed, samples, device, csv, plot, json_output
        )
        return
    if steps is not None:
        from talker_cli.errors import InputError

        raise InputError("found --steps without --captured; expected --systems, such as student-2 or teacher-64; leave one out")
    from talker_cli.evaluate.model import evaluate as run

    with progress("measuring", "motions") as advance:
        report = run(
            folder, dataset, split or "test", human_only=human, language=language, voice=voice, limit=limit,
            systems=[name.strip() for name in systems.split(",")] if systems is not None else None, identities=identities,
            samples=samples, temperature=temperature, relative_to=relative_to, sound=condition, protocol=protocol,
            blendshapes=blendshapes, lve=lve, device=device, seed=seed, on_motion=advance,
        )  # fmt: skip
    _write(report, by_identity, csv, plot, json_output)


@examples("talker compare predictions/ vertices_npy/ --template templates.pkl --regions FLAME_masks.pkl")
@guarded
def compare(
    predicted: Annotated[Path, typer.Argument(help="Folder of motions, .npy or .npz.", show_default=False)],
    truth: Annotated[
        Path, typer.Argument(help="Folder of true motions of the same names, or a prepared dataset.", show_default=False)
    ],
    template: Annotated[
        Path | None,
        typer.Option(help="Neutral face: .ply, .obj, templates.pkl, a rig or an identity file.", show_default=False),
    ] = None,
    regions: Annotated[
        str | None, typer.Option(help="FLAME_masks.pkl, or lve.txt,fdd.txt; not needed with a rig.", show_default=False)
    ] = None,
    lip_pairs: Annotated[
        Path | None, typer.Option(help="Inner-lip vertices that meet, upper,lower a line.", show_default=False)
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frame rate of the predictions.", min=1, max=1000, show_default="the truth's")
    ] = None,
    truth_fps: Annotated[
        float | None,
        typer.Option(help="Frame rate of the truth, a multiple of --fps.", min=1, max=1000, show_default="the predictions'"),
    ] = None,
    split: SplitOption = None,
    protocol: ProtocolOption = None,
    lve: LveOption = "codetalker",
    blendshapes: BlendshapesOption = False,
    captured: Annotated[
        bool, typer.Option("--captured", help="Measure against captured faces, in mm, any mesh or ARKit coefficients.")
    ] = False,
    by_identity: ByIdentityOption = False,
    csv: CsvOption = None,
    plot: PlotOption = None,
    json_output: JsonOption = False,
) -> None:
    """Measure any system's motions against the truth."""
    _check(csv, plot, split, protocol, lve, blendshapes)
    if captured:
        unused = {
            "regions": regions, "truth_fps": truth_fps, "protocol": protocol, "blendshapes": blendshapes,
            "by_identity": by_identity, "lve": lve != "codetalker",
        }  # fmt: skip
        _refuse_with_captured(unused)
        from talker_cli.evaluate.captured_systems import compare_captured

        with progress("measuring", "clips") as advance:
            found = compare_captured(
                predicted, truth, split or "test", template=template, lip_pairs=lip_pairs, fps=fps, on_clip=advance
            )
        _write_captured(found, csv, plot, json_output)
        return
    from talker_cli.evaluate.compare import compare as run

    with progress("measuring", "sequences") as advance:
        report = run(
            predicted, truth, template=template, regions=regions, lip_pairs=lip_pairs, split=split, protocol=protocol,
            fps=fps, truth_fps=truth_fps, blendshapes=blendshapes, lve=lve, on_sequence=advance,
        )  # fmt: skip
    _write(report, by_identity, csv, plot, json_output)


def _check(csv: Path | None, plot: Path | None, split: str | None, protocol: str | None, lve: str, blendshapes: bool) -> None:
    """Refuse options that exclude each other, and outputs that cannot be written."""
    from talker_cli.errors import InputError, MachineError
    from talker_cli.formats.files import check_writable
    from talker_cli.formats.plot import INSTALL, available

    for place in (csv, plot):
        if place:
            check_writable(place)
    if plot and not available():
        raise MachineError(f"matplotlib is not installed; charts need it; run: {INSTALL}", field="plot")
    if blendshapes and lve != "codetalker":
        raise InputError(f"found --lve {lve} with --blendshapes, whose LVE has one form; leave one out")
    if split and protocol:
        raise InputError(f"found --split {split} and --protocol {protocol}, which names its own sequences; leave one out")


def _model_folder(model: Path) -> Path:
    """Return the folder of a model given as a folder or by the name of a built-in model."""
    from talker_cli.errors import InputError, ModelError
    from talker_cli.model.folder import model_folder

    if model.is_dir():
        if any((model / name).is_file() for name in ("teacher.safetensors", "student.safetensors")):
            return model
        raise InputError(f"found no weights in {model}; expected a model's folder; for motions use talker compare")
    try:
        return model_folder(str(model))
    except ModelError as error:
        raise InputError(
            f"no folder {model}; expected a model's, or a built-in model's name (talker-base); for motions use talker compare"
        ) from error


def _write(report: "EvaluationReport", by_identity: bool, csv: Path | None, plot: Path | None, json_output: bool) -> None:
    """Print and write a report."""
    from talker_cli.evaluate.chart import draw_report

    _write_files(report, csv, plot, draw_report)
    if json_output:
        result(json.dumps(report.as_json(), indent=2))
    else:
        _print_table(report, by_identity)


def _write_files(report: R, csv: Path | None, plot: Path | None, draw: Callable[[R, Path], None]) -> None:
    """Print the remarks of a report, and write its values and its chart."""
    for remark in report.remarks:
        note(remark)
    if csv:
        report.write_csv(csv)
        note(f"values of each sequence: {csv}")
    if plot:
        draw(report, plot)
        note(f"chart: {plot}")


def _print_table(report: "EvaluationReport", by_identity: bool) -> None:
    """Print a table with a line a system, the formulas of its columns, and the findings."""
    from rich.console import Console
    from rich.table import Table

    rows = report.rows
    lines = [(row["system"], row) for row in rows]
    if by_identity:
        lines = [
            line
            for row in rows
            for line in [(row["system"], row), *((f"  {name}", part) for name, part in row.get("identities", {}).items())]
        ]
    keys = [key for key in report.columns() if any(row.get(key) is not None for row in rows)]
    formats = {key: report.display(key, [row.get(key) for row in rows]) for key in keys}
    with_auc = any(row.get("auc") is not None for row in rows)
    table = Table("system", *(formats[key].heading for key in keys), *(["AUC"] if with_auc else []))
    for name, row in lines:
        cells = []
        for key in keys:
            low, high = row["intervals"].get(key, (None, None))
            bounds = "" if low is None else f"\n[dim]{formats[key].text(low)}…{formats[key].text(high)}[/dim]"
            cells.append(formats[key].text(row.get(key)) + bounds)
        auc = row.get("auc")
        table.add_row(name, *cells, *(["–" if auc is None else f"{auc:.3f}"] if with_auc else []))
    for title, value in report.about.get("temperature", {}).items():
        result(f"temperature of {title}: {value}")
    Console(width=TABLE_WIDTH, highlight=False).print(table)
    for key in keys:
        if report.metric(key).formula:
            result(f"{formats[key].title}: {report.metric(key).formula}")
    for line in report.summary():
        result(line)


def _refuse_with_captured(options: Mapping[str, object]) -> None:
    """Refuse options that captured faces are not measured with."""
    from talker_cli.errors import InputError

    if given := [name.replace("_", "-") for name, value in options.items() if value]:
        raise InputError(f"found --{given[0]} with --captured, which measures without it; leave one out")


def _captured_model(
    model: Path, dataset: Path, split: str, names: str, steps: Sequence[str], voice: str | None, limit: int | None, seed: int,
    samples: int, device: str, csv: Path | None, plot: Path | None, json_output: bool,
) -> None:  # fmt: skip
    """Measure a model's samplers as several identities against captured clips."""
    from talker_cli.data.dataset import Dataset
    from talker_cli.evaluate.captured_systems import ALL, evaluate_captured, model_systems
    from talker_cli.identity.resolve import resolve_identity, style_space
    from talker_cli.model.folder import main_weights
    from talker_cli.rig import load_rig

    known = style_space(main_weights(model)).names
    faces = load_rig(model / "rig.safetensors").identities
    every = [name for name in known if name in faces] or known
    identities = every if names.strip() == ALL else [resolve_identity(name.strip(), known) for name in names.split(",")]
    head = Dataset(dataset).rig.rig
    samplers = [each.strip() for each in steps]
    systems = model_systems(model, samplers, identities, head, device=device, seed=seed, samples=samples)
    with progress("measuring", "clips") as advance:
        report = evaluate_captured(dataset, split, systems, voice=voice, limit=limit, on_clip=advance)
    _write_captured(report, csv, plot, json_output)


def _write_captured(report: "CapturedReport", csv: Path | None, plot: Path | None, json_output: bool) -> None:
    """Print and write a report on captured faces."""
    from rich.table import Table

    from talker_cli.evaluate.chart import draw_captured

    _write_files(report, csv, plot, draw_captured)
    if json_output:
        result(json.dumps(report.as_json(), indent=2))
        return
    titles = list(report.table)
    table = Table("measure", *titles)
    for key in report.measured:
        table.add_row(key, *(_estimate(report.table[title].get(key)) for title in titles))
    show_table(table, 30 + 26 * len(titles))
    columns = ("captured", *titles[1:])
    gaps = Table("mouth gap, mm, at", "phones", *columns)
    for phone, row in report.by_phone().items():
        gaps.add_row(phone, f"{row['count']:.0f}", *(f"{row[title]:.1f}" if title in row else "-" for title in columns))
    show_table(gaps, 40 + 26 * len(titles))
    result(", ".join(f"{name} {value}" for name, value in report.about.items() if value is not None))


def _estimate(values: "tuple[float, float, float] | None") -> str:
    if values is None or values[0] != values[0]:
        return "-"
    value, low, high = values
    digits = 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    return f"{value:.{digits}f}" if not low < high else f"{value:.{digits}f} ({low:.{digits}f}…{high:.{digits}f})"
