"""The command that measures: evaluate. Imported workers stay inside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from talker_cli.cli_common import DeviceOption, SeedOption, guarded, note, progress, result

if TYPE_CHECKING:
    from talker_cli.evaluation.scores import Report

SubjectArgument = Annotated[Path, typer.Argument(help="A model's folder, such as weights/talker-base.", show_default=False)]
TruthArgument = Annotated[Path, typer.Argument(help="A prepared dataset: what talker preprocess wrote.", show_default=False)]
LveOption = Annotated[Literal["codetalker", "diffspeaker", "imitator"], typer.Option(help="Whose lip vertex error.")]
ConditionOption = Annotated[
    Literal["clean", "noise-10db", "telephone", "faster-20"],
    typer.Option(help="How the speech sounds: as recorded, in pink noise, within 300-3400 Hz, or played 20 % faster."),
]
ProtocolOption = Annotated[
    Literal["vocaset-test", "biwi-a", "biwi-b"] | None, typer.Option(help="A published test set, in place of --split.")
]
SystemsOption = Annotated[
    str | None,
    typer.Option(
        help="Of a model: what to measure, with commas: truth, mean, loudness, student, teacher-N.", show_default=False
    ),
]
TABLE_WIDTH = 140


@guarded
def evaluate(
    subject: SubjectArgument,
    truth: TruthArgument,
    split: Annotated[str, typer.Option(help="validation, test (held-out recordings) or test_voice (held-out voice).")] = "test",
    protocol: ProtocolOption = None,
    lve: LveOption = "codetalker",
    blendshapes: Annotated[bool, typer.Option("--blendshapes", help="Measure ARKit coefficients, not vertices.")] = False,
    systems: SystemsOption = None,
    identities: Annotated[
        bool, typer.Option(help="Also make every clip as every identity, and guess it from the speech.")
    ] = True,
    takes: Annotated[int, typer.Option(help="Samples of each clip; more than one tell the diversity.", min=1)] = 1,
    condition: ConditionOption = "clean",
    human: Annotated[bool, typer.Option("--human", help="Measure on human voices alone.")] = False,
    language: Annotated[str | None, typer.Option(help="Measure on recordings in this language alone, such as en.")] = None,
    limit: Annotated[int | None, typer.Option(help="Measure on so many clips, evenly spaced.", min=1)] = None,
    by_identity: Annotated[bool, typer.Option("--by-identity", help="Add a line for each identity.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write each sequence's numbers to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the numbers to this PNG.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Write the numbers as JSON.")] = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Measure a model, its teacher and the baselines on held-out clips.

    Example: talker evaluate weights/talker-base prepared/ --split test --human
    """
    import json

    from talker_cli.files import check_writable

    for place in (csv, plot):
        if place:
            check_writable(place)
    from talker_cli.evaluate import evaluate as run

    with progress("measuring", "motions") as advance:
        report = run(
            subject, truth, split, human_only=human, language=language, limit=limit,
            systems=[name.strip() for name in systems.split(",")] if systems else None, identities=identities, takes=takes,
            sound=condition, protocol=protocol, blendshapes=blendshapes, lve=lve, device=device, seed=seed,
            on_clip=lambda system, done, total: advance(done, total),
        )  # fmt: skip
    if csv:
        report.write_csv(csv)
        note(f"each sequence's numbers: {csv}")
    if plot:
        from talker_cli.evaluation.chart import draw_report

        draw_report(report, plot)
        note(f"the numbers drawn: {plot}")
    if json_output:
        result(json.dumps(report.as_json(), indent=2))
        return
    _show(report, by_identity)


def _show(report: "Report", by_identity: bool) -> None:
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
