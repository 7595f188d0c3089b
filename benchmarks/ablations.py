"""What each part of the method gives: the same short training without it, measured on the same held-out recordings.

    python benchmarks/ablations.py prepared/ ablations/ [--steps 1200] [-o table.md]

Each row is a training of its own by `talker train` with the settings that it names, under ablations/; a run that is there is
resumed or used as it is. All are measured by `talker evaluate` with two samples of each clip: diffusion by 8 DDIM steps, the
regression by its one.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from model_card import evaluate, table

CLIPS = "--split test --limit 160 --samples 2"
RUNS = {
    "whole": ("everything", ["--guidance", "1.25"]),
    "contrastive": ("no contrastive loss", ["--guidance", "1.25", "--set", "loss.contrastive=0.0"]),
    "guidance": ("no guidance, no condition dropped", ["--guidance", "1.0", "--set", "train.condition_dropout=0.0"]),
    "lips": (
        "no weight on velocity, lips, gap, closure",
        ["--guidance", "1.25"]
        + [part for name in ("velocity=0.0", "gap=0.0", "closed=0.0", "lips=1.0") for part in ("--set", f"loss.{name}")],
    ),
    "regression": ("regression", ["--guidance", "1.0", "--set", "model.prediction=regression"]),
}


def main() -> None:
    """Train what is not trained yet, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--only", help=f"with commas: {', '.join(RUNS)}")
    parser.add_argument("-o", "--output", type=Path, help="a file for the table, beside printing it")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else list(RUNS)
    for name in wanted:
        command = [sys.executable, "-m", "talker_cli", "train", str(arguments.data), "-o", str(arguments.folder / name)]
        command += ["--steps", str(arguments.steps), "--bf16", "--seed", "0", *RUNS[name][1]]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, list[dict[str, object]]] = {}
    retrieval: dict[str, float] = {}
    for name in wanted:
        system = "teacher-1" if name == "regression" else "teacher-8"
        systems = f"{'truth,' if not found else ''}{system}"
        report = evaluate(arguments.folder / name, arguments.data, f"{CLIPS} --systems {systems}")
        report["scores"][-1]["system"] = RUNS[name][0]
        found.setdefault("scores", []).extend(report["scores"])
        retrieval[RUNS[name][0]] = report["retrieval"]["top1"]
    lines = [f"`{CLIPS}`, {arguments.steps} steps of training each:", "", *table(dict(found)), ""]
    nearest = ", ".join(f"{name} {share:.3f}" for name, share in retrieval.items())
    lines.append(f"Nearest identity read off the speech, top-1: {nearest}.")
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
