"""FaceFormer's decoder, and a regression, trained as talker trains its teacher: what diffusion is to be compared with.

    python benchmarks/faceformer.py prepared/ ablations/ --captured grid/ [--steps 1200] [--audio-encoder whisper] \
        [--identities grid_s1] [--beside talker-base] [-o table.md]

Two trainings by the package's own code, in `ablations/faceformer` and `ablations/regression`: the same batches, features, head
over them, styles, losses, learning rate and averaged weights. They differ in the decoder alone: an autoregressive transformer
(Fan et al. 2022, FaceFormer), or talker's convolutions without noise (`model.prediction = "regression"`). Neither has noise.
Run again, the command resumes them, or uses them as they are; then it measures them by the code of `talker evaluate`, on the
captured test sentences and on the voices of the split `test_voice`, and beside them other models.

The decoder is one layer of a transformer: attention over the motion so far, biased by whole periods of a second; over the
speech at the same frame alone; and it is fed its own motion, in training too, through which the gradient passes. Of the paper's
are 4 heads, one layer and a feed-forward part of twice the width; the width is WIDTH, theirs 64 and 128 for 8 and 6 people.
The features are talker's, in place of wav2vec 2.0's with its transformer retrained, and the losses talker's, in place of the
mean squared error of vertices.
"""

import argparse
import csv
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from model_card import table
from torch import Tensor, nn
from torch.nn import functional as F

from talker_cli.data.dataset import Dataset
from talker_cli.evaluate.captured_systems import evaluate_captured, model_systems
from talker_cli.evaluate.model import evaluate
from talker_cli.model import checkpoint
from talker_cli.model.config import Architecture, ModelConfig
from talker_cli.model.folder import model_folder
from talker_cli.model.network import FaceDiffusion
from talker_cli.train import teacher
from talker_cli.train.run import Progress
from talker_cli.train.teacher import TrainConfig

WIDTH, HEADS, DROPOUT = 256, 4, 0.1
FACEFORMER, REGRESSION = "faceformer", "regression"
REPORT_EVERY = 50  # steps
MEASURES = (
    "gap_r", "width_r", "jaw_r", "gap_error_mm", "width_error_mm", "lip_error_mm", "shut_recall", "shut_precision", "mtm_ms",
    "gap_f95_hz", "width_f95_hz", "jaw_f95_hz",
)  # fmt: skip


class AutoregressiveDecoder(nn.Module):
    """Speech features and style to normalised motion (B, T, K), frame by frame, each given those before it.

    Torch's own layer, run for the newest frame alone: keys and values of the others stay as they were. With the speech of one
    frame to attend to, the attention over speech is its value, whatever the query. Called as `Denoiser` is; it sees no noise.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.period = round(config.fps)
        self.speech_in = nn.Linear(config.feature_width, WIDTH)
        if config.emotions:
            self.emotion_in = nn.Linear(len(config.emotions), WIDTH, bias=False)
        self.style_in = nn.Linear(config.style_width, WIDTH, bias=False)
        self.motion_in = nn.Linear(len(config.names), WIDTH)
        self.layer = nn.TransformerDecoderLayer(WIDTH, HEADS, 2 * WIDTH, DROPOUT, batch_first=True)
        self.motion_out = nn.Linear(WIDTH, len(config.names))
        self.drop = nn.Dropout(DROPOUT)
        # What the training puts where it drops speech or style.
        self.null_speech = nn.Parameter(torch.zeros(config.feature_width))
        self.null_style = nn.Parameter(torch.zeros(config.style_width))
        nn.init.zeros_(self.motion_out.weight)
        nn.init.zeros_(self.motion_out.bias)

    def forward(
        self, noisy: Tensor, t: Tensor, speech_features: Tensor, style: Tensor, emotion: Tensor | None = None
    ) -> Tensor:
        """Return the motion (B, T, K) of features (B, T, D), style (B, S) and emotion (B, T, E)."""
        layer, own, over = self.layer, self.layer.self_attn, self.layer.multihead_attn
        speech = self.speech(speech_features, emotion)
        value = F.linear(speech, over.in_proj_weight[2 * WIDTH :], over.in_proj_bias[2 * WIDTH :])
        heard = layer.dropout2(over.out_proj(value))  # (B, T, WIDTH)
        identity, clock = self.style_in(style), self.clock(speech)
        bias = self.bias(speech.shape[1], speech)  # (HEADS, T), by how long ago
        keys, values, motion, token = [], [], [], identity
        for frame in range(speech.shape[1]):
            x = self.drop(token + clock[frame % self.period])  # (B, WIDTH)
            parts = F.linear(x, own.in_proj_weight, own.in_proj_bias).view(len(x), 3, HEADS, 1, -1)
            keys.append(parts[:, 1])
            values.append(parts[:, 2])
            scores = parts[:, 0] @ torch.cat(keys, 2).transpose(2, 3) / math.sqrt(WIDTH / HEADS)  # (B, HEADS, 1, frame + 1)
            weights = (scores + bias[:, None, -frame - 1 :]).softmax(-1)
            attended = F.dropout(weights, DROPOUT, self.training) @ torch.cat(values, 2)  # (B, HEADS, 1, WIDTH / HEADS)
            x = layer.norm1(x + layer.dropout1(own.out_proj(attended.flatten(1))))
            x = layer.norm2(x + heard[:, frame])
            x = layer.norm3(x + layer.dropout3(layer.linear2(layer.dropout(F.relu(layer.linear1(x))))))
            motion.append(self.motion_out(x))
            token = self.motion_in(motion[-1]) + identity
        return torch.stack(motion, 1)

    def speech(self, features: Tensor, emotion: Tensor | None) -> Tensor:
        """Return what the layer attends to, (B, T, WIDTH)."""
        speech: Tensor = self.speech_in(features)
        return speech if emotion is None else speech + self.emotion_in(emotion)

    def clock(self, like: Tensor) -> Tensor:
        """Return the positions (period, WIDTH) that come round every second."""
        rate = torch.exp(torch.arange(0, WIDTH, 2, device=like.device) * (-math.log(10_000.0) / WIDTH))
        angle = torch.arange(self.period, device=like.device)[:, None] * rate
        return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).to(like)

    def bias(self, frames: int, like: Tensor) -> Tensor:
        """Return what attention loses by how many whole seconds a frame is ago, (HEADS, frames), the newest frame last."""
        slopes = 2.0 ** (-8.0 * torch.arange(1, HEADS + 1, device=like.device) / HEADS)
        ago = torch.arange(frames - 1, -1, -1, device=like.device) // self.period
        return (-slopes[:, None] * ago).to(like)


class FaceFormer(FaceDiffusion):
    """talker's network with that decoder in place of the denoiser."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.denoiser: Any = AutoregressiveDecoder(config)


@contextmanager
def network_of(name: str) -> Iterator[None]:
    """Have the package train and load FaceFormer's decoder, if that is the name."""
    with ExitStack() as stack:
        if name == FACEFORMER:
            for module in (teacher, checkpoint):
                stack.enter_context(patch.object(module, "FaceDiffusion", FaceFormer))
        yield


def train(name: str, data: Path, folder: Path, config: TrainConfig) -> None:
    """Train or resume one of the two, saying how it goes."""
    began, first = time.perf_counter(), 0

    def report(progress: Progress) -> None:
        nonlocal began, first
        if not first or not progress.losses:
            began, first = time.perf_counter(), progress.step
        elif progress.step % REPORT_EVERY == 0:
            each = (time.perf_counter() - began) / (progress.step - first)
            losses = ", ".join(f"{loss} {value:.4f}" for loss, value in progress.losses.items())
            print(f"{name} {progress.step}/{progress.steps}, {each:.2f} s a step: {losses}", flush=True)

    with network_of(name):
        teacher.train(data, folder, config, device="cpu", on_progress=report)


def main() -> None:
    """Train what is not trained yet, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--captured", type=Path, help="prepared captures to measure on; without, only voices are measured")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch-frames", type=int, default=TrainConfig.batch_frames)
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16; slow on a processor without it")
    parser.add_argument("--audio-encoder", default="whisper")
    parser.add_argument("--identities", default="grid_s1", help="with commas: in whose style captured faces are animated")
    parser.add_argument("--beside", nargs="*", default=[], help="models whose students are measured beside")
    parser.add_argument("--limit", type=int, default=60, help="clips of unheard voices")
    parser.add_argument("-o", "--output", type=Path, help="a file for the tables, beside printing them")
    arguments = parser.parse_args()
    config = TrainConfig(
        steps=arguments.steps, batch_frames=arguments.batch_frames, bf16=arguments.bf16,
        model=Architecture(audio_encoder=arguments.audio_encoder, prediction="regression"),
    )  # fmt: skip
    systems = {name: (arguments.folder / name, "1") for name in (FACEFORMER, REGRESSION)}
    for name, (folder, _) in systems.items():
        train(name, arguments.data, folder, config)
    systems |= {name: (model_folder(name), "8") for name in arguments.beside}
    lines = [f"{arguments.steps} steps of training each; validation losses: {validation_losses(systems)}", ""]
    if arguments.captured:
        lines += [*captured_table(arguments.captured, systems, arguments.identities.split(",")), ""]
    lines += voices_table(arguments.data, systems, arguments.limit)
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def validation_losses(systems: dict[str, tuple[Path, str]]) -> str:
    """Return the last validation losses of the two trainings, the linear reading of their features beside them."""
    found = []
    for name in (FACEFORMER, REGRESSION):
        with (systems[name][0] / "run-teacher" / "curve.csv").open(newline="") as stream:
            last = list(csv.DictReader(stream))[-1]
        found.append(f"{name} {last['validation']} (linear, of its features: {last['validation_regression']})")
    return ", ".join(found)


def captured_table(captured: Path, systems: dict[str, tuple[Path, str]], identities: list[str]) -> list[str]:
    """Return a table of the captured test sentences, a column a system and identity."""
    head, made = Dataset(captured).rig.rig, {}
    for name, (folder, steps) in systems.items():
        with network_of(name):
            of = model_systems(folder, [steps], identities, head, device="cpu")
        made |= {f"{name}, as {identity}": each for identity, each in zip(identities, of.values(), strict=True)}
    report = evaluate_captured(captured, "test", made)
    titles = [title for title in report.table if title not in ("loudness", "another sentence")]
    rows = [f"Captured faces, {report.about['clips']} test sentences:", "", "| | " + " | ".join(titles) + " |"]
    rows.append("|---" * (len(titles) + 1) + "|")
    for key in MEASURES:
        cells = []
        for title in titles:
            value, low, high = report.table[title].get(key, (math.nan,) * 3)
            bounds = f" ({low:.2f}…{high:.2f})" if low < high else ""
            cells.append("–" if math.isnan(value) else f"{value:.2f}{bounds}")
        rows.append(f"| {key} | " + " | ".join(cells) + " |")
    return rows


def voices_table(data: Path, systems: dict[str, tuple[Path, str]], limit: int) -> list[str]:
    """Return a table of the voices held out whole, a row a system."""
    scores: list[dict[str, Any]] = []
    for name, (folder, steps) in systems.items():
        sampler = "student" if steps == "8" else f"teacher-{steps}"
        wanted = [sampler] if scores else ["truth", "loudness", sampler]
        with network_of(name):
            report = evaluate(folder, data, "test_voice", limit=limit, systems=wanted, identities=False, device="cpu")
        scores += report.as_json()["scores"]
        scores[-1]["system"] = name
    clips = f"Voices that no training heard, {report.about['clips']} clips of {report.about['seconds']:.0f} s:"
    return [clips, "", *table({"scores": scores})]


if __name__ == "__main__":
    main()
