"""A picture of a few clips: the mouth gap over the spectrogram that the model hears, with the phones."""

from pathlib import Path

import numpy as np

from talker_cli.data.dataset import SAMPLE_RATE, Clip, Dataset
from talker_cli.formats.canvas import INK, QUIET, Canvas
from talker_cli.rig import Rig

LONGEST = 8.0  # seconds shown of a clip
NARROWEST = 4.0  # seconds that the picture has room for: the titles need it
SECOND, LEFT, RIGHT = 140.0, 16.0, 64.0  # pixels
TITLE, PHONES, PANEL, SPACE = 24.0, 16.0, 110.0, 14.0
GAP, SHADOW, TICK = "#e8590c", "#ffffff", "#ccd2d9"
LEAST_SCALE = 2.0  # millimetres at full height, at least
DARK, LIGHT = np.array([20.0, 40.0, 74.0]), np.array([244.0, 247.0, 250.0])


def choose_clips(dataset: Dataset, count: int, seed: int) -> list[Clip]:
    """Return so many clips at random, each of another recording where there are enough, in the dataset's order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(dataset.info.clips))
    first: dict[str, int] = {}
    for place in order.tolist():
        first.setdefault(dataset.info.clips[place].recording, place)
    taken = set(first.values())
    others = [place for place in order.tolist() if place not in taken]
    return [dataset.info.clips[place] for place in sorted([*first.values(), *others][:count])]


def mouth_gap(rig: Rig, coefficients: np.ndarray) -> np.ndarray:
    """Return the mouth gap (T,), metres, of coefficients (T, K), as metrics.lip_gap of the vertices."""
    return np.asarray(np.maximum(coefficients @ rig.lip_gap_rows().T, 0.0).mean(-1))


def draw_clips(dataset: Dataset, path: Path, *, count: int, seed: int) -> list[str]:
    """Draw clips chosen at random as a PNG; return their names.

    Raises:
        OutputError: the place cannot be written.
    """
    clips = choose_clips(dataset, count, seed)
    shown = [min(LONGEST, dataset.frames(clip.name) / dataset.info.fps) for clip in clips]
    width = LEFT + SECOND * max(*shown, NARROWEST) + RIGHT
    height = len(clips) * (TITLE + PHONES + PANEL + SPACE) + SPACE
    canvas = Canvas(round(width), round(height))
    for row, (clip, seconds) in enumerate(zip(clips, shown, strict=True)):
        _panel(canvas, SPACE / 2 + row * (TITLE + PHONES + PANEL + SPACE), width, dataset, clip, seconds)
    canvas.save(path)
    return [clip.name for clip in clips]


def _panel(canvas: Canvas, top: float, width: float, dataset: Dataset, clip: Clip, seconds: float) -> None:
    recording, fps = dataset.recordings[clip.recording], dataset.info.fps
    frames = max(1, round(seconds * fps))
    rig = dataset.rig.rig_of(clip.identity)
    gap = mouth_gap(rig, dataset.coefficients(clip.name))[:frames] * 1000.0
    who = "" if clip.identity in clip.name else f"{clip.identity}, "
    title = f"{clip.name}   {who}{recording.split}, {dataset.frames(clip.name) / fps:.1f} s"
    canvas.text(LEFT, top + TITLE / 2, title, size=12)
    if len(recording.text.encode("ascii", "ignore")) > len(recording.text) / 2:  # in letters that the canvas can write
        start = LEFT + canvas.text_width(title, size=12) + SPACE
        canvas.text(
            start, top + TITLE / 2, canvas.shortened(recording.text, width - SPACE - start, size=11), size=11, color=QUIET
        )
    sound = top + TITLE + PHONES
    bottom = sound + PANEL
    canvas.picture(LEFT, sound, SECOND * seconds, PANEL, _spectrogram(dataset.speech(clip.recording), frames, fps))
    for symbol, start, end in recording.phones:
        if start < seconds:
            x, last = LEFT + SECOND * start, LEFT + SECOND * min(end, seconds)
            canvas.line([(x, sound - PHONES + 2), (x, sound)], TICK, 1)
            if symbol != "SIL" and last - x > 5:
                canvas.text((x + last) / 2, sound - PHONES / 2, symbol, anchor="mm", size=9 if last - x > 11 else 7, color=INK)
    scale = max(LEAST_SCALE, float(np.ceil(gap.max())))
    points = [
        (LEFT + SECOND * index / fps, bottom - 2 - (PANEL - 6) * min(value / scale, 1.0)) for index, value in enumerate(gap)
    ]
    if len(points) > 1:
        canvas.line(points, SHADOW, 3.5)
        canvas.line(points, GAP, 1.8)
    edge = LEFT + SECOND * seconds + 6
    canvas.text(edge, sound + 6, f"{scale:.0f} mm", size=11, color=GAP)
    canvas.text(edge, bottom - 6, "0", size=11, color=GAP)


def _spectrogram(speech: np.ndarray, frames: int, fps: float) -> np.ndarray:
    """Return (bands, columns, 3) uint8, low bands at the bottom, of the first frames: what the model hears."""
    import torch

    from talker_cli.model.audio_encoder import log_mel
    from talker_cli.model.config import ModelConfig

    config = ModelConfig("teacher", "", (), (), fps=fps)
    heard = speech[: int(np.ceil(frames * SAMPLE_RATE / fps))]
    with torch.no_grad():
        mel = log_mel(torch.from_numpy(heard)[None], frames, config)[0].numpy()  # (columns, bands)
    low, high = np.percentile(mel, 5), max(float(mel.max()), float(np.percentile(mel, 5)) + 1e-3)
    level = np.clip((mel.T[::-1] - low) / (high - low), 0.0, 1.0)[..., None]
    return np.asarray(LIGHT + (DARK - LIGHT) * level, np.float64).round().astype(np.uint8)
