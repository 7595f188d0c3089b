"""A prepared dataset small enough to train on within seconds: tones for speech, a handful of vertices for a face."""

from pathlib import Path

import numpy as np

from talker_cli.data.dataset import Clip, DatasetInfo, Recording, write_dataset
from talker_cli.rig import ARKIT_NAMES, Identity, Rig, RigFile

IDENTITIES = ("Ada", "Bert", "FaceTalk_1_TA", "FaceTalk_2_TA")

# Options of `talker train` for a network of milliseconds a step.
SMALL = (
    "--batch-frames", 64, "--device", "cpu", "--set", "model.width=24", "--set", "model.feature_width=16",
    "--set", "model.encoder_dilations=[1]", "--set", "model.denoiser_dilations=[1, 2]", "--set", "train.warmup=1",
)  # fmt: skip


def tiny_rig() -> RigFile:
    """Return a rig of 24 vertices: every ARKit shape moves something, jawOpen opens the one lip pair by 35 mm."""
    rng = np.random.default_rng(5)
    template = rng.normal(scale=0.05, size=(24, 3)).astype(np.float32)
    template[1] = template[0]
    basis = rng.normal(scale=2e-4, size=(52, 24, 3)).astype(np.float32)
    basis[:, 1] = basis[:, 0]
    basis[ARKIT_NAMES.index("jawOpen"), 1, 1] -= 0.035
    basis[ARKIT_NAMES.index("mouthClose"), 1, 1] += 0.035
    faces = np.stack([np.arange(22), np.arange(1, 23), np.arange(2, 24)], 1).astype(np.int32)
    regions = {"lips": np.arange(24) < 4, "upper_face": np.arange(24) > 18}
    rig = Rig(template, faces, basis, ARKIT_NAMES, regions, np.array([[0, 1]], np.int32), 30.0)
    people = {name: Identity(name, template + np.float32(0.001 * row), None, "") for row, name in enumerate(IDENTITIES)}
    return RigFile(rig, people)


def tiny_dataset(folder: Path, manners: bool = False, head: bool = False) -> Path:
    """Write a dataset whose mouth opens while its tone sounds; returns the folder.

    With `manners`, each identity blinks at a rate, and swings its brows by a size, of its own, and all
    open the mouth alike. With `head`, the head looks down by 0.2 while the tone sounds.
    """
    rng = np.random.default_rng(1)
    recordings, clips, speech, motion = [], [], [], []
    for number in range(16):
        frames = int(rng.integers(40, 70))
        samples = int(np.ceil(frames * 16_000 / 30)) + 10
        sounding = (np.arange(samples) // 6000 + number) % 2
        pitch = 200 + 150 * (number % 4)
        wave = 0.3 * sounding * np.sin(2 * np.pi * pitch * np.arange(samples) / 16_000)
        speech.append((f"tone{number:02}", (wave * 32767).astype(np.int16)))
        split = {14: "validation", 15: "test"}.get(number, "train")
        phones = tuple(
            ("AA" if sounding[start] else "P", start / 16_000, min(start + 6000, samples) / 16_000)
            for start in range(0, samples, 6000)
        )
        recordings.append(Recording(f"tone{number:02}", f"voice{number % 4}", "en", number % 2 == 0, split, "", phones))
        instant = np.minimum((np.arange(frames) * 16_000 / 30).astype(int), samples - 1)
        for row, identity in enumerate(IDENTITIES):
            coefficients = np.full((frames, 52), 0.05, np.float32)
            coefficients[:, ARKIT_NAMES.index("jawOpen")] = sounding[instant] * (0.2 + 0.05 * row * (not manners))
            if manners:
                blink = (np.arange(frames) + number) % (6 + 5 * row) < 2
                coefficients[:, [ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]] += 0.8 * blink[:, None]
                swing = 0.1 * (row % 2 + 1) * np.sin(0.3 * np.arange(frames) + number)
                coefficients[:, ARKIT_NAMES.index("browInnerUp")] += swing
            if head:
                turned = np.zeros((frames, 3), np.float32)
                turned[:, 0] = 0.2 * sounding[instant]
                coefficients = np.concatenate([coefficients, turned], 1)
            name = f"tone{number:02}-{identity}"
            clips.append(Clip(name, f"tone{number:02}", identity, row == number % 4))
            motion.append((name, coefficients))
    info = DatasetInfo("tones", "made by the tests", 30.0, IDENTITIES, tuple(recordings), tuple(clips))
    rigs = tiny_rig()
    write_dataset(folder, info, rigs.with_head() if head else rigs, speech, motion)
    return folder
