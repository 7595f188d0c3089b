"""Train the head that reads phones off Whisper's fourth layer, and write weights/whisper-base/phones.safetensors.

Usage: python tools/train_phones.py PREPARED... [--minutes 6] [--weights weights/whisper-base] [--seed 0]

Learns from the voices of the split `train` alone; VALIDATION of these voices are left out, choose the number of epochs and
calibrate the probabilities. The splits `test` and `test_voice` are only reported. Every recording is learned clean and changed
in the sound; sounds in which nobody speaks count as silence, and lie below speech.
"""

import argparse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from talker_cli.corpus.sound.augment import augment_speech
from talker_cli.corpus.sound.nonspeech import SOUNDS, crowd
from talker_cli.data.dataset import Dataset, Recording
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import SILENCE
from talker_cli.model import whisper
from talker_cli.model.encoders import load_encoder
from talker_cli.model.frontend import recording_features
from talker_cli.model.phones import PHONES_FILE, PhoneHead

RATE = SAMPLE_RATE / whisper.STRIDE  # outputs a second
VALIDATION = 0.15  # of the voices of `train`
EPOCHS = 12
BATCH = 4096  # outputs
RATE_OF_LEARNING = 2e-3
LABEL_SMOOTHING = 0.02
NONSPEECH_SECONDS = 10.0
NONSPEECH_EACH = 8  # pieces of every sound
CROWDS = 64  # pieces: of all sounds nobody speaks in, only they are made of speech
LEVELS = (-55.0, -6.0)  # decibels of non-speech, RMS below full scale


@dataclass
class Rows:
    """Outputs (N, W) float16 with the phone (N,) of each."""

    outputs: list[np.ndarray]
    phones: list[np.ndarray]

    def add(self, outputs: np.ndarray, phones: np.ndarray) -> None:
        """Append the rows of a recording."""
        self.outputs.append(outputs[: len(phones)])
        self.phones.append(phones[: len(outputs)])

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return all outputs and phones."""
        return torch.from_numpy(np.concatenate(self.outputs)), torch.from_numpy(np.concatenate(self.phones))


def labels(recording: Recording, names: list[str], count: int) -> np.ndarray:
    """Return the phone (N,) of every output; -1 where there is none."""
    found = np.full(count, -1, np.int64)
    for phone, start, end in recording.phones:
        found[int(np.ceil(start * RATE)) : int(np.ceil(end * RATE))] = names.index(phone)
    return found


def chosen(dataset: Dataset, minutes: float, seed: int) -> Iterator[Recording]:
    """Yield recordings with phones in a random order, up to so many minutes a voice."""
    seconds: dict[str, float] = {}
    labelled = [recording for recording in dataset.info.recordings if recording.phones and recording.text]
    for place in np.random.default_rng(seed).permutation(len(labelled)):
        recording = labelled[place]
        length = recording.phones[-1][2]
        if seconds.get(recording.voice, 0.0) < 60 * minutes and length > 0.5:
            seconds[recording.voice] = seconds.get(recording.voice, 0.0) + length
            yield recording


def fitted(train: Rows, validation: Rows, count: int) -> tuple[torch.nn.Linear, float]:
    """Return the layer with the least validation loss, and the temperature that calibrates it."""
    x, y = train.tensors()
    held_x, held_y = validation.tensors()
    held_x = held_x.float()
    layer = torch.nn.Linear(x.shape[1], count)
    optimiser = torch.optim.Adam(layer.parameters(), RATE_OF_LEARNING, weight_decay=1e-5)
    best, state = np.inf, layer.state_dict()
    for epoch in range(EPOCHS):
        for group in optimiser.param_groups:
            group["lr"] = RATE_OF_LEARNING * (1 - epoch / EPOCHS)
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = F.cross_entropy(layer(x[rows].float()), y[rows], ignore_index=-1, label_smoothing=LABEL_SMOOTHING)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            held = float(F.cross_entropy(layer(held_x), held_y, ignore_index=-1))
        print(f"epoch {epoch + 1}: cross-entropy {loss.item():.3f}, of validation voices {held:.3f}")
        if held < best:
            best, state = held, {name: value.clone() for name, value in layer.state_dict().items()}
    layer.load_state_dict(state)
    with torch.no_grad():
        logits = layer(held_x)
        scales = np.linspace(0.6, 1.6, 41)
        losses = [float(F.cross_entropy(logits * scale, held_y, ignore_index=-1)) for scale in scales]
    return layer, float(scales[int(np.argmin(losses))])


def main() -> None:
    """Train, report and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=6.0, help="Most speech of a voice.")
    parser.add_argument("--test-voices", nargs="*", default=[], help="More voices that are only reported.")
    parser.add_argument("--weights", type=Path, default=Path("weights/whisper-base"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    (options.weights / PHONES_FILE).unlink(missing_ok=True)  # the encoder then gives its features alone
    encoder = load_encoder(whisper.describe_folder(options.weights))

    def outputs(speech: np.ndarray, speed: float = 1.0) -> np.ndarray:
        count = int(len(speech) * speed / whisper.STRIDE)
        return recording_features(encoder, speech, count, RATE * speed).astype(np.float16)

    datasets = [Dataset(folder) for folder in options.prepared]
    names = sorted({SILENCE, *(phone[0] for each in datasets for r in each.info.recordings for phone in r.phones)})
    voices = sorted(
        {r.voice for each in datasets for r in each.info.recordings if r.split == "train"} - set(options.test_voices)
    )
    shuffled = np.random.default_rng(options.seed).permutation(voices)
    held = set(shuffled[: max(1, int(len(voices) * VALIDATION))])
    rows = {name: Rows([], []) for name in ("train", "validation", "test", "test_voice")}
    examples: list[np.ndarray] = []
    for dataset in datasets:
        for recording in chosen(dataset, options.minutes, options.seed):
            split = "validation" if recording.voice in held else recording.split
            split = "test_voice" if recording.voice in options.test_voices else split
            if split == "validation" and recording.voice not in held:
                continue  # a voice of training, in words that it did not train on: it says nothing of others
            speech = dataset.speech(recording.name)
            made = outputs(speech)
            rows[split].add(made, found := labels(recording, names, len(made)))
            if split == "train":
                rng = np.random.default_rng([options.seed, zlib.crc32(recording.name.encode())])
                changed, speed = augment_speech(speech, rng, examples[-40:])
                rows[split].add(outputs(changed, speed), found)
                examples.append(speech)
    print("held-out validation voices:", ", ".join(sorted(held)))
    rng = np.random.default_rng(options.seed)
    for name in [*SOUNDS, "crowd"]:
        for piece in range(CROWDS if name == "crowd" else NONSPEECH_EACH):
            length = int(NONSPEECH_SECONDS * SAMPLE_RATE)
            sound = crowd(rng, length, examples) if name == "crowd" else SOUNDS[name](rng, length)
            made = outputs(sound * 10 ** ((rng.uniform(*LEVELS) + 20) / 20))
            target = rows["validation" if piece % NONSPEECH_EACH == 0 else "train"]
            target.add(made, np.full(len(made), names.index(SILENCE)))
    layer, scale = fitted(rows["train"], rows["validation"], len(names))
    known = rows["train"].tensors()[1]
    priors = torch.bincount(known[known >= 0], minlength=len(names)).float()
    head = PhoneHead(
        tuple(names),
        *(part.detach().numpy() * np.float32(scale) for part in (layer.weight, layer.bias)),
        (priors / priors.sum()).clamp(min=1e-4).numpy(),
    )
    for split, part in rows.items():
        x, y = part.tensors()
        shares = torch.from_numpy(head.posteriors(x.float().numpy()))
        right = float((shares.argmax(1) == y)[y >= 0].float().mean())
        loss = float(F.nll_loss(shares.clamp(min=1e-8).log(), y, ignore_index=-1))
        print(f"{split}: {len(y) / RATE / 60:.1f} minutes, cross-entropy {loss:.3f}, right {right:.3f}")
    head.save(options.weights / PHONES_FILE)
    print(options.weights / PHONES_FILE, f"temperature {1 / scale:.2f}")


if __name__ == "__main__":
    main()
