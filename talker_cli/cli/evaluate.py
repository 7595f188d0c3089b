"""The command that measures: evaluate. Imported workers stay inside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from talker_cli.cli.options import DeviceOption, SeedOption, guarded, note, progress, result

if TYPE_CHECKING:
    from talker_cli.evaluate.report import EvaluationReport

SubjectArgument = Annotated[
    Path, typer.Argument(help="A model's folder, or a folder of any system's motions, .npy or .npz.", show_default=False)
]
TruthArgument = Annotated[
    Path, typer.Argument(help="The truth: a prepared dataset, or a folder of motions of the same names.", show_default=False)
]
SplitOption = Annotated[
    str | None,
    typer.Option(help="Of a prepared dataset: validation, test (held-out recordings) or test_voice.", show_default="test"),
]
ProtocolOption = Annotated[
    Literal["vocaset-test", "biwi-a", "biwi-b"] | None, typer.Option(help="A published test set, in place of --split.")
]
LveOption = Annotated[Literal["codetalker", "diffspeaker", "imitator"], typer.Option(help="Whose lip vertex error.")]
OF_MODELS, OF_MOTIONS, OUTPUT = "Of a model", "Of a folder of motions", "What comes out"
SystemsOption = Annotated[
    str | None,
    typer.Option(
        help="What to measure, with commas: truth, mean, loudness, student, teacher-N (256: its full sampler).",
        show_default="truth,mean,loudness,student,teacher-8,teacher-256", rich_help_panel=OF_MODELS,
    ),
]  # fmt: skip
IdentitiesOption = Annotated[
    bool, typer.Option(help="Also make every clip as every identity, and guess it from the speech.", rich_help_panel=OF_MODELS)
]
TakesOption = Annotated[
    int, typer.Option(help="Samples of each clip; two or more tell the diversity.", min=1, rich_help_panel=OF_MODELS)
]
RelativeOption = Annotated[
    str | None,
    typer.Option(
        help="One of the systems, such as teacher-256: the others' errors are also told as multiples of its.",
        rich_help_panel=OF_MODELS,
    ),
]
ConditionOption = Annotated[
    Literal["clean", "noise-10db", "telephone", "faster-20"],
    typer.Option(
        help="The speech as recorded, in pink noise, within 300-3400 Hz, or played 20 % faster.", rich_help_panel=OF_MODELS
    ),
]
HumanOption = Annotated[bool, typer.Option("--human", help="Measure on human voices alone.", rich_help_panel=OF_MODELS)]
LanguageOption = Annotated[
    str | None, typer.Option(help="Measure on recordings in this language alone, such as en.", rich_help_panel=OF_MODELS)
]
VoiceOption = Annotated[
    str | None, typer.Option(help="Measure on this voice alone, as talker data info names it.", rich_help_panel=OF_MODELS)
]
LimitOption = Annotated[
    int | None, typer.Option(help="Measure on so many clips, evenly spaced.", min=1, rich_help_panel=OF_MODELS)
]
TemplateOption = Annotated[
    Path | None,
    typer.Option(help="The neutral face: .ply, .obj, templates.pkl or a rig.safetensors.", rich_help_panel=OF_MOTIONS),
]
RegionsOption = Annotated[
    str | None,
    typer.Option(help="FLAME_masks.pkl, or lve.txt,fdd.txt. A rig brings its own.", rich_help_panel=OF_MOTIONS),
]
LipPairsOption = Annotated[
    Path | None,
    typer.Option(help="Inner-lip vertices that meet, upper,lower a line: for the mouth gap.", rich_help_panel=OF_MOTIONS),
]
FpsOption = Annotated[
    float | None, typer.Option(help="Of the predictions, if the truth's differs.", rich_help_panel=OF_MOTIONS)
]
TruthFpsOption = Annotated[
    float | None,
    typer.Option(help="Of the truth: a multiple of --fps, such as VOCASET's 60 for 30.", rich_help_panel=OF_MOTIONS),
]
ByIdentityOption = Annotated[bool, typer.Option("--by-identity", help="Add a line for each identity.", rich_help_panel=OUTPUT)]
CsvOption = Annotated[Path | None, typer.Option(help="Write each sequence's numbers to this file.", rich_help_panel=OUTPUT)]
PlotOption = Annotated[Path | None, typer.Option(help="Draw the numbers to this PNG.", rich_help_panel=OUTPUT)]
JsonOption = Annotated[bool, typer.Option("--json", help="Write the numbers as JSON.", rich_help_panel=OUTPUT)]
TABLE_WIDTH = 140


@guarded
def evaluate(
    subject: SubjectArgument,
    truth: TruthArgument,
    split: SplitOption = None,
    protocol: ProtocolOption = None,
    lve: LveOption = "codetalker",
    blendshapes: Annotated[bool, typer.Option("--blendshapes", help="Measure ARKit coefficients, not vertices.")] = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    systems: SystemsOption = None,
    identities: IdentitiesOption = True,
    takes: TakesOption = 1,
    relative_to: RelativeOption = None,
    condition: ConditionOption = "clean",
    human: HumanOption = False,
    language: LanguageOption = None,
    voice: VoiceOption = None,
    limit: LimitOption = None,
    template: TemplateOption = None,
    regions: RegionsOption = None,
    lip_pairs: LipPairsOption = None,
    fps: FpsOption = None,
    truth_fps: TruthFpsOption = None,
    by_identity: ByIdentityOption = False,
    csv: CsvOption = None,
    plot: PlotOption = None,
    json_output: JsonOption = False,
) -> None:
    """Measure a model and its baselines on held-out clips, or any system's motions against the truth.

    Example: talker evaluate weights/talker-base prepared/ --split test --human

    Example: talker evaluate predictions/ vertices_npy/ --template templates.pkl --regions FLAME_masks.pkl
    """
    import json

    from talker_cli.errors import InputError
    from talker_cli.formats.files import check_writable

    for place in (csv, plot):
        if place:
            check_writable(place)
    if not subject.is_dir():
        subject = _built_in(subject)
    is_model = any((subject / name).is_file() for name in ("teacher.safetensors", "student.safetensors"))
    of_models = {
        "--systems": systems, "--no-identities": not identities, "--takes": takes > 1, "--relative-to": relative_to,
        "--condition": condition != "clean", "--human": human, "--language": language, "--voice": voice, "--limit": limit,
    }  # fmt: skip
    of_motions = {
        "--template": template, "--regions": regions, "--lip-pairs": lip_pairs, "--fps": fps, "--truth-fps": truth_fps,
    }  # fmt: skip
    for option, given in (of_motions if is_model else of_models).items():
        if given:
            kinds = ("a model", "motions") if is_model else ("motions", "models")
            raise InputError(f"found {option} and {subject}, which holds {kinds[0]}; it is for {kinds[1]} alone; leave it out")
    if blendshapes and lve != "codetalker":
        raise InputError(f"found --lve {lve} with --blendshapes, whose LVE has one form; leave one out")
    if split and protocol:
        raise InputError(f"found --split {split} and --protocol {protocol}, which names its own sequences; leave one out")
    if is_model:
        from talker_cli.evaluate.model import evaluate as run

        with progress("measuring", "motions") as advance:
            report = run(
                subject, truth, split or "test", human_only=human, language=language, voice=voice, limit=limit,
                systems=[name.strip() for name in systems.split(",")] if systems else None, identities=identities, takes=takes,
                relative_to=relative_to, sound=condition, protocol=protocol, blendshapes=blendshapes, lve=lve, device=device,
                seed=seed,
                on_clip=lambda system, done, total: advance(done, total),
            )  # fmt: skip
    else:
        from talker_cli.evaluate.folders import compare

        with progress("measuring", "sequences") as advance:
            report = compare(
                subject, truth, template=template, regions=regions, lip_pairs=lip_pairs, split=split, protocol=protocol,
                fps=fps, truth_fps=truth_fps, blendshapes=blendshapes, lve=lve, on_sequence=advance,
            )  # fmt: skip
    for remark in report.remarks:
        note(remark)
    if csv:
        report.write_csv(csv)
        note(f"each sequence's numbers: {csv}")
    if plot:
        from talker_cli.evaluate.chart import draw_report

        draw_report(report, plot)
        note(f"the numbers drawn: {plot}")
    if json_output:
        result(json.dumps(report.as_json(), indent=2))
        return
    _show(report, by_identity)


def _built_in(subject: Path) -> Path:
    """Return the folder of a built-in model that is given by its name."""
    from talker_cli.errors import InputError, ModelError
    from talker_cli.model.folder import model_folder

    try:
        return model_folder(str(subject))
    except ModelError as error:
        raise InputError(
            f"no folder {subject}; expected a model's, a built-in model's name (talker-base), or a folder of motions"
        ) from error


def _show(report: "EvaluationReport", by_identity: bool) -> None:
    """Print a table with a line a system, what its columns mean, and the findings."""
    from rich.console import Console
    from rich.table import Table

    rows = report.rows()
    lines = [(row["system"], row) for row in rows]
    if by_identity:
        lines = [
            line
            for row in rows
            for line in [(row["system"], row), *((f"  {who}", of) for who, of in row.get("identities", {}).items())]
        ]
    keys = [key for key in report.columns() if any(row.get(key) is not None for row in rows)]
    shown = {key: report.shown(key, [row.get(key) for row in rows]) for key in keys}
    ordering = any(row.get("ordering") is not None for row in rows)
    table = Table("system", *(shown[key].heading for key in keys), *(["AUC"] if ordering else []))
    for name, row in lines:
        cells = []
        for key in keys:
            low, high = row["intervals"].get(key, (None, None))
            bounds = "" if low is None else f"\n[dim]{shown[key].text(low)}…{shown[key].text(high)}[/dim]"
            cells.append(shown[key].text(row.get(key)) + bounds)
        auc = row.get("ordering")
        table.add_row(name, *cells, *(["–" if auc is None else f"{auc:.3f}"] if ordering else []))
    Console(width=TABLE_WIDTH, highlight=False).print(table)
    for key in keys:
        if report.metric(key).formula:
            result(f"{shown[key].title}: {report.metric(key).formula}")
    for line in report.summary():
        result(line)
