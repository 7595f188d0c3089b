"""The commands about the machine: what it can do, and how fast."""

import json
from pathlib import Path
from typing import Annotated

import typer

from talker_cli.cli.options import DEFAULT_MODEL, DeviceOption, ModelOption, guarded, note, result

UNFIT = 1  # exit code where something is wrong
TABLE_WIDTH = 110

JsonOption = Annotated[bool, typer.Option("--json", help="Write it as JSON.")]


@guarded
def doctor(model: ModelOption = DEFAULT_MODEL, json_output: JsonOption = False) -> None:
    """Say what works on this machine, and for what does not, the line that mends it.

    Example: talker doctor
    """
    from talker_cli.machine.doctor import examine

    findings = []
    for finding in examine(model):
        findings.append(finding)
        if not json_output:
            result(f"{'ok  ' if finding.ok else 'BAD '} {finding.part}: {finding.found}")
            if finding.mend:
                result(f"     -> {finding.mend}")
    if json_output:
        result(json.dumps([finding.row() for finding in findings], indent=2))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(UNFIT)


@guarded
def bench(
    audio: Annotated[
        Path | None, typer.Argument(help="A recording; ten seconds of sound of its own without one.", show_default=False)
    ] = None,
    steps: Annotated[str, typer.Option(help="The teacher's: a number, or full.")] = "full",
    runs: Annotated[int, typer.Option(min=1, max=100, help="Counted runs of each part; one more warms up.")] = 5,
    json_output: JsonOption = False,
    device: DeviceOption = "auto",
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Time every part of the way from a recording to a film, and the memory it takes.

    Medians after a warm-up, with the GPU's work waited for. Cold start is a whole process that animates ten seconds.

    Example: talker bench --json
    """
    from talker_cli.machine.bench import bench as measure
    from talker_cli.machine.bench import rows

    report = measure(
        audio, model=model, device=device, teacher_steps=steps, runs=runs, on_part=lambda part: note(f"timing {part}")
    )
    if json_output:
        result(json.dumps(report, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    about = report["recording"]
    what = f"{about['seconds']:.1f} s of {'its own sound' if about['own'] else audio}"
    result(f"{what}, {about['device']}, {about['threads']} threads; medians after a warm-up, with the device waited for")
    table = Table("part", "what")
    for heading in ("seconds", "times real time", "runs"):
        table.add_column(heading, justify="right")
    for row in rows(report):
        table.add_row(*row)
    Console(width=TABLE_WIDTH, highlight=False).print(table)
    memory = report["memory"]
    gpu = f", {memory['gpu_peak_mb']:.0f} MB on the GPU" if "gpu_peak_mb" in memory else ""
    result(f"peak memory of all of it: {memory['peak_mb']:.0f} MB{gpu}")
