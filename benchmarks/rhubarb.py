"""Rhubarb Lip Sync as a baseline: its mouth shapes as a mouth gap, on the recordings that the student is measured on.

    npm install --prefix node/ rhubarb-lip-sync-wasm
    python benchmarks/rhubarb.py prepared/ --node node/ [--model weights/talker-base]

Rhubarb picks one of nine mouth shapes for each instant. Each shape gets the gap between the lips in its drawing, and the lips
are scored from the same phones by the same code as every system. The port has only Rhubarb's English recogniser. LVE and
identity do not apply to mouth shapes. A run takes about as long as the recordings last.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.dataset import Dataset
from talker_cli.evaluate.model import Evaluation, load_systems
from talker_cli.metrics import Articulation
from talker_cli.model.folder import model_folder
from talker_cli.model.noise import noise_seed

# Gap between the lips in Rhubarb's drawings, millimetres: A lips pressed, B teeth together, C open, D wide open, E rounded,
# F puckered, G teeth on the lip, H tongue raised, X at rest.
GAP = {"A": 0.0, "B": 3.0, "C": 8.0, "D": 14.0, "E": 6.0, "F": 3.0, "G": 1.0, "H": 8.0, "X": 0.0}
SETS: dict[str, dict[str, Any]] = {
    "held-out English (human)": {"split": "test", "human_only": True, "language": "en"},
    "Italian, held-out voice": {"split": "test_voice", "voice": "carlo_it", "limit": 100},
    "Italian, held-out voice, telephone": {"split": "test_voice", "voice": "paola_it", "limit": 60},
    "Czech, held-out voice, acted": {"split": "test_voice", "voice": "fillets_cs_statue"},
    "held-out Spanish": {"split": "test", "human_only": True, "language": "es", "limit": 60},
    "held-out French": {"split": "test", "human_only": True, "language": "fr", "limit": 60},
    "held-out Russian": {"split": "test", "human_only": True, "language": "ru", "limit": 60},
    "held-out Czech, acted": {"split": "test", "human_only": True, "language": "cs", "limit": 60},
    "held-out Dutch, acted": {"split": "test", "human_only": True, "language": "nl", "limit": 60},
    "held-out synthetic voice (flite slt)": {"split": "test_voice", "voice": "flite_slt", "limit": 30},
}
COLUMNS = ("bilabials_closed", "vowels_open", "silences_closed", "auc", "false_closure_rate")


def gap_of(cues: list[tuple[float, float, str]], frames: int, fps: float) -> np.ndarray:
    """Return the mouth gap (T,), metres, of cues (start, end, mouth shape)."""
    gap = np.zeros(frames)
    instant = np.arange(frames) / fps
    for start, end, shape in cues:
        gap[(instant >= start) & (instant < end)] = 1e-3 * GAP[shape]
    return gap


def rhubarb(evaluation: Evaluation, node: Path) -> Articulation:
    """Return the articulation scores of Rhubarb over all clips."""
    scores = Articulation.empty()
    with tempfile.TemporaryDirectory() as place:
        paths = {}
        for number, clip in enumerate(evaluation.clips):
            paths[str(Path(place) / f"{number}.raw")] = clip
            speech = evaluation.item(clip).speech
            (Path(place) / f"{number}.raw").write_bytes(np.round(speech * 32768).clip(-32768, 32767).astype("<i2").tobytes())
        command = ["node", str(Path(__file__).parents[1] / "tools" / "rhubarb.mjs"), str(node)]
        # It logs every step to stderr.
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        run = subprocess.run(command, input="\n".join(paths), text=True, check=True, **quiet)
    for line in run.stdout.splitlines():
        result = json.loads(line)
        item = evaluation.item(paths[result["file"]])
        if result["cues"] is None:  # then the mouth stays closed, as in every program that uses Rhubarb
            print(f"Rhubarb found no cues in {item.clip.recording}", file=sys.stderr)
            result["cues"] = []
        scores.add(gap_of(result["cues"], len(item.truth), evaluation.fps), item.phones, evaluation.fps)
    return scores


def ours(evaluation: Evaluation, model: Path) -> Articulation:
    """Return the articulation scores of the student over all clips."""
    (system,) = load_systems(["student"], model, evaluation, "cpu")
    outputs = []
    for clip in evaluation.clips:
        item = evaluation.item(clip)
        generated = system.generate(item, clip.identity, noise_seed(0, clip.recording))
        outputs.append(evaluation.output(system.title, item, generated, (clip.identity, 0), False).articulation)
    return Articulation.joined(outputs)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--node", type=Path, required=True, help="Folder that npm installed into.")
    parser.add_argument("--model", default="talker-base")
    arguments = parser.parse_args()
    data = Dataset(arguments.data)
    print("| | system | closed | open | silent | AUC | false closures |\n|---|---|---|---|---|---|---|")
    for title, chosen in SETS.items():
        evaluation = Evaluation(data, **chosen)
        rows = {"Rhubarb": rhubarb(evaluation, arguments.node), "talker": ours(evaluation, model_folder(arguments.model))}
        for name, scores in rows.items():
            summary = scores.summary()
            print(f"| {title} | {name} | " + " | ".join(f"{summary[key]:.3f}" for key in COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
