"""The tables of a model card, by the commands that they name: `talker evaluate` for each, its JSON as a row or a table.

    python benchmarks/model_card.py weights/talker-base prepared/ [--only samplers,english,…] [-o card.md]

The students of fewer steps than 8 are measured too, where `talker distill --steps 1` has left them in the folder.
Some 15 minutes on two quiet cores, most of it the teacher's 256 steps.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.animate.animator import Animator, load_animator
from talker_cli.formats.audio import SAMPLE_RATE, load_speech

Row = dict[str, Any]
ENGLISH = "--split test --human --language en"
SAMPLERS = ("teacher-256", "teacher-ddim-256", "teacher-64", "teacher-16", "teacher-8", "student")
KEPT = ("student-4", "student-2", "student-1")  # where the folder has them
FULL = {
    "english": ("Held-out English recordings (human), all", ENGLISH),
    "italian": (
        "A human voice and a language that are not in training (Italian, Carlo Flora)",
        "--split test_voice --voice carlo_it --limit 100",
    ),
    "statue": (
        "A human voice that is not in training, in a language that is (Czech, a character of Fish Fillets)",
        "--split test_voice --voice fillets_cs_statue",
    ),
    "slt": ("A synthetic voice that is not in training (flite slt)", "--split test_voice --voice flite_slt --limit 30"),
    "samplers": ("Samplers, two takes", f"{ENGLISH} --samples 2 --no-identities --systems "),
}
QUICK = "--systems student,loudness --no-identities --samples 2"
SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"
ELSEWHERE = {
    "Italian, all of Carlo Flora's recordings": "--split test_voice --voice carlo_it",
    "unheard human voice, telephone (Italian, Paola)": "--split test_voice --voice paola_it --limit 60",
    "held-out Spanish": "--split test --human --language es --limit 60",
    "held-out French": "--split test --human --language fr --limit 60",
    "held-out Russian": "--split test --human --language ru --limit 60",
    "held-out Czech (acted)": "--split test --human --language cs --limit 60",
    "held-out Dutch (acted)": "--split test --human --language nl --limit 60",
    "English, pink noise at 10 dB": f"{ENGLISH} --condition noise-10db",
    "English, telephone band": f"{ENGLISH} --condition telephone",
    "English, 20 % faster": f"{ENGLISH} --condition faster-20",
}

COUNTED = {"bilabials": "bilabials", "vowels": "open vowels", "silences": "long silences"}


def evaluate(model: Path, data: Path, options: str) -> dict[str, Any]:
    """Return the JSON of one command."""
    command = [sys.executable, "-m", "talker_cli", "evaluate", str(model), str(data), *options.split(), "--json"]
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout))


def number(row: Row, key: str, form: str = ".3f", factor: float = 1.0) -> str:
    """Return a row's value as text, a dash where it has none."""
    value = row.get(key)
    return "–" if value is None else format(value * factor, form)


def closed(row: Row) -> str:
    """Return the share of closed bilabials with its interval."""
    low, high = row["intervals"].get("bilabials_closed", (None, None))
    return number(row, "bilabials_closed") + (
        "" if low is None or "student" not in row["system"] else f" ({low:.2f}–{high:.2f})"
    )


def seconds_of(model: Path, systems: Sequence[str]) -> dict[str, float]:
    """Return how long each sampler takes for 10 s of speech, features included: all in turn, five times, the medians.

    Args:
        model: a model's folder.
        systems: names as `talker evaluate --systems` knows them.

    Returns:
        By the name that a table has.
    """
    speech = load_speech(SPEECH)[: 10 * SAMPLE_RATE]
    teacher = load_animator(model, "full", "cpu")
    animators = []
    for name in systems:
        kind, _, steps = name.partition("-")
        if kind == "student":
            animators.append(load_animator(model, steps or "8", "cpu"))
        else:
            ddim = None if steps == "256" else int(steps.removeprefix("ddim-"))
            animators.append(Animator(teacher.runner, ddim))
    taken: dict[str, list[float]] = {animator.sampler: [] for animator in animators}
    for turn in range(5):
        for number, animator in enumerate(animators):
            sound = speech * np.float32(1 - 1e-4 * (turn * len(animators) + number))  # a frozen encoder keeps its last outputs
            began = time.perf_counter()
            animator.coefficients(sound, animator.config.identities[0])
            taken[animator.sampler].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


COLUMNS: dict[str, Callable[[Row], str]] = {
    "LVE m²": lambda row: number(row, "lve", ".2e"),
    "MVE mm": lambda row: number(row, "mve", ".3f", 1000.0),
    "\\|FDD\\| m²": lambda row: number(row, "abs_fdd", ".2e"),
    "diversity mm": lambda row: number(row, "diversity", ".3f", 1000.0),
    "blinks/min": lambda row: number(row, "blinks", ".1f"),
    "closed": closed,
    "open": lambda row: number(row, "vowels_open"),
    "silent": lambda row: number(row, "silences_closed"),
    "AUC": lambda row: number(row, "auc"),
    "false closures": lambda row: number(row, "false_closure_rate"),
    "s for 10 s": lambda row: number(row, "seconds"),
}


def table(found: dict[str, Any]) -> list[str]:
    """Return a table with a line a system, and what is said of identities."""
    rows = found["scores"]
    columns = {name: cell for name, cell in COLUMNS.items() if any(cell(row) != "–" for row in rows)}
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {row['system']} | " + " | ".join(cell(row) for cell in columns.values()) + " |" for row in rows]
    if "retrieval" in found:
        student = next(row for row in rows if "student" in row["system"])
        top1, chance = (found["retrieval"][key] for key in ("top1", "chance"))
        wrong = found["wrong_identity"]["lve_mean"]
        lines += [
            "",
            f"Nearest identity read off the speech, top-1: {top1:.3f} (chance {chance:.3f}). LVE of the student with the right "
            f"identity {student['lve']:.2e}, with a wrong one {wrong:.2e} (mean of the others).",
        ]
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Tables of a model card.")
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", help=f"with commas: {', '.join(FULL)}, elsewhere")
    parser.add_argument("-o", "--output", type=Path, help="a file for the tables, beside printing them")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else [*FULL, "elsewhere"]
    lines: list[str] = []

    def say(*more: str) -> None:
        lines.extend(more)
        print("\n".join(more), flush=True)
        if arguments.output:
            arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")

    for key, (title, options) in FULL.items():
        if key in wanted:
            if key == "samplers":
                systems = [*SAMPLERS, *(name for name in KEPT if (arguments.model / f"{name}.safetensors").is_file())]
                options += ",".join(["truth", *systems])
            found = evaluate(arguments.model, arguments.data, options)
            if key == "samplers":
                taken = seconds_of(arguments.model, systems)
                for each in found["scores"]:
                    each["seconds"] = taken.get(each["system"])
            row = found["scores"][0]
            counts = (
                f"{found['clips']} clips, {found['seconds']:.0f} s, {row['bilabials']} bilabials, {row['vowels']} open vowels"
            )
            say(f"**{title}** (`{options}`): {counts}, {row['silences']} long silences", "", *table(found), "")
    if "elsewhere" in wanted:
        say(f"**Elsewhere, the student** (`{QUICK}` and what the row says; the last column is the loudness baseline):", "")
        names = [name for name in COLUMNS if name not in ("s for 10 s", "blinks/min")]
        say(f"| | clips | bilabials | {' | '.join(names)} | loudness: closed / AUC |", "|---" * (len(names) + 4) + "|")
        for title, options in ELSEWHERE.items():
            found = evaluate(arguments.model, arguments.data, f"{options} {QUICK}")
            row, loud = found["scores"]
            cells = [str(found["clips"]), str(loud["bilabials"])]  # of one take
            cells += [COLUMNS[name](row) for name in names]
            cells.append(f"{number(loud, 'bilabials_closed')} / {number(loud, 'auc')}")
            say(f"| {title}, `{options}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
