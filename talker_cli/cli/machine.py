"""The commands that check and time the machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from talker_cli.cli.options import (
    DEFAULT_MODEL,
    DeviceOption,
    ModelOption,
    cell,
    examples,
    guarded,
    note,
    one_thread,
    result,
    show_table,
)

UNFIT = 1  # exit code if a check fails
TABLE_WIDTH = 110

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@examples("talker doctor")
@guarded
def doctor(model: ModelOption = DEFAULT_MODEL, json_output: JsonOption = False) -> None:
    """Check this machine: libraries, ffmpeg, OpenGL, devices, weights; print a fix for each problem.

    The exit code is 1 if a check fails.
    """
    one_thread()
    from talker_cli.machine.doctor import examine

    findings = []
    for finding in examine(model):
        findings.append(finding)
        if not json_output:
            result(f"{'ok  ' if finding.ok else 'BAD '} {finding.part}: {finding.found}")
            if finding.fix:
                result(f"     -> {finding.fix}")
    if json_output:
        result(json.dumps([asdict(finding) for finding in findings], indent=2))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(UNFIT)


@examples("talker bench --json", "talker bench speech.wav --steps 32")
@guarded
def bench(
    audio: Annotated[Path | None, typer.Argument(help="Recording to time.", show_default="10 s of generated sound")] = None,
    steps: Annotated[str, typer.Option(help="Denoising steps of the teacher: a number with DDIM, or full.")] = "full",
    runs: Annotated[int, typer.Option(min=1, max=100, help="Timed runs of each part, after one to warm up.")] = 5,
    json_output: JsonOption = False,
    device: DeviceOption = "auto",
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Time each part of the way from a recording to a video, and measure peak memory.

    Prints medians after a warm-up, with the device synchronised. Cold start is a whole process that animates 10 s.
    """
    one_thread()
    from talker_cli.machine.bench import bench as measure
    from talker_cli.machine.bench import rows

    report = measure(
        audio, model=model, device=device, teacher_steps=steps, runs=runs, on_part=lambda part: note(f"timing {part}")
    )
    if json_output:
        result(json.dumps(report, indent=2))
        return
    from rich.table import Table

    about = report["recording"]
    what = f"{about['seconds']:.1f} s of {'generated sound' if about['own'] else audio}"
    result(f"{what}, {about['device']}, {about['threads']} threads; medians after a warm-up, device synchronised")
    table = Table("part", "work")
    for heading in ("seconds", "times real time", "runs"):
        table.add_column(heading, justify="right")
    for row in rows(report):
        table.add_row(*map(cell, row))
    show_table(table, TABLE_WIDTH)
    memory = report["memory"]
    gpu = f", {memory['gpu_peak_mb']:.0f} MB on the GPU" if "gpu_peak_mb" in memory else ""
    result(f"peak memory: {memory['peak_mb']:.0f} MB{gpu}")
