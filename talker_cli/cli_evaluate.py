"""The command that measures: evaluate. Imported workers stay inside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talker_cli.cli_common import DeviceOption, SeedOption, guarded, progress, result

if TYPE_CHECKING:
    from collections.abc import Sequence

DatasetArgument = Annotated[Path, typer.Argument(help="A prepared dataset: what talker preprocess wrote.", show_default=False)]
ModelFolderArgument = Annotated[Path, typer.Argument(help="A model's folder, such as weights/talker-base.", show_default=False)]


@guarded
def evaluate(
    model: ModelFolderArgument,
    dataset: DatasetArgument,
    split: Annotated[str, typer.Option(help="validation, test (held-out recordings) or test_voice (held-out voice).")] = "test",
    human: Annotated[bool, typer.Option("--human", help="Measure on human voices alone.")] = False,
    language: Annotated[str | None, typer.Option(help="Measure on recordings in this language alone, such as en.")] = None,
    limit: Annotated[int | None, typer.Option(help="Measure on so many clips, evenly spaced.", min=1)] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Write the numbers as JSON.")] = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Measure a model, its teacher and the baselines on held-out clips.

    LVE is CodeTalker's (max over the lips of the squared distance, mean over all frames), FDD the mean of absolute values
    over sequences; both against the dataset's motion.

    Example: talker evaluate weights/talker-base prepared/ --split test --human
    """
    import json

    from talker_cli.evaluate import evaluate as run

    with progress("measuring", "clips") as advance:
        report = run(
            model, dataset, split, human_only=human, language=language, limit=limit, device=device, seed=seed,
            on_clip=lambda system, done, total: advance(done, total),
        )  # fmt: skip
    if json_output:
        result(json.dumps(report, indent=2))
        return
    _table(report["scores"])
    retrieval, wrong = report["retrieval"], report["wrong_identity"]
    result(f"identity read off the speech: top-1 {retrieval['top1']:.3f}, chance {retrieval['chance']:.3f}")
    result(f"LVE with the wrong identity: {wrong['lve_mean']:.3e} m2, mean of the other identities")
    result(f"{report['clips']} clips, {report['seconds']:.0f} s, split {report['split']}, human only: {report['human_only']}")


def _table(rows: "Sequence[dict[str, Any]]") -> None:
    """Print the scores, a system a line."""
    from rich.console import Console
    from rich.table import Table

    table = Table("system", "LVE m2", "MVE mm", "|FDD| m2", "/p b m/ closed", "vowels open", "silences closed", "AUC")
    for row in rows:
        shares = (row[name] for name in ("bilabials_closed", "vowels_open", "silences_closed", "ordering"))
        table.add_row(
            row["system"],
            f"{row['lve']:.3e}",
            f"{row['mve'] * 1000:.3f}",
            f"{row['fdd']:.3e}",
            *(f"{share:.3f}" for share in shares),
        )
    Console(width=140).print(table)
