"""A chart of a few clips: mouth gap over the model's spectrogram, with the phones."""

from pathlib import Path

import numpy as np

from talker_cli.data.dataset import Clip, Dataset
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.plot import GRAY, ORANGE, Axes, chart, panels
from talker_cli.rig import Rig

LONGEST = 8.0  # seconds shown of a clip
WIDTH, HEIGHT = 12.0, 1.9  # inches of the image, and of each clip in it
LEAST_SCALE = 2.0  # millimetres at full height, at least
NARROWEST = 0.03  # seconds: a shorter phone has no label
LONGEST_TEXT = 100  # letters of a title


def choose_clips(dataset: Dataset, count: int, seed: int) -> list[Clip]:
    """Return `count` random clips in the dataset's order, each of another recording where there are enough."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(dataset.info.clips))
    first: dict[str, int] = {}
    for place in order.tolist():
        first.setdefault(dataset.info.clips[place].recording, place)
    firsts = set(first.values())
    rest = [place for place in order.tolist() if place not in firsts]
    return [dataset.info.clips[place] for place in sorted([*first.values(), *rest][:count])]


def mouth_gap(rig: Rig, coefficients: np.ndarray) -> np.ndarray:
    """Return the mouth gap (T,), metres, of coefficients (T, K), as metrics.lip_gap of the vertices."""
    return np.asarray(np.maximum(coefficients @ rig.lip_gap_rows().T, 0.0).mean(-1))


def draw_clips(dataset: Dataset, path: Path, *, count: int, seed: int) -> list[str]:
    """Draw random clips as a PNG; return their names.

    Args:
        dataset: Prepared dataset.
        path: The PNG.
        count: Number of clips.
        seed: Seed of the random choice.

    Raises:
        MachineError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    clips = choose_clips(dataset, count, seed)
    with chart(path, WIDTH, HEIGHT * len(clips)) as figure:
        for axes, clip in zip(panels(figure, len(clips), columns=1), clips, strict=True):
            _draw_clip(axes, dataset, clip)
    return [clip.name for clip in clips]


def _draw_clip(axes: Axes, dataset: Dataset, clip: Clip) -> None:
    recording, fps = dataset.recordings[clip.recording], dataset.info.fps
    frames = min(dataset.frames(clip.name), max(1, round(LONGEST * fps)))
    seconds = frames / fps
    gap = mouth_gap(dataset.rig.rig_of(clip.identity), dataset.coefficients(clip.name))[:frames] * 1000.0
    identity = "" if clip.identity in clip.name else f"{clip.identity}, "
    title = f"{clip.name}   {identity}{recording.split}, {dataset.frames(clip.name) / fps:.1f} s   {recording.text}"
    axes.set_title(title if len(title) <= LONGEST_TEXT else f"{title[: LONGEST_TEXT - 3].rstrip()}...", pad=16)
    top = max(LEAST_SCALE, float(np.ceil(gap.max())))
    mel = _log_mel(dataset.speech(clip.recording), frames, fps)
    low = float(np.percentile(mel, 5))
    axes.imshow(
        mel.T, cmap="Blues", vmin=low, vmax=max(float(mel.max()), low + 1e-3), extent=(0.0, seconds, 0.0, top), aspect="auto",
        origin="lower",
    )  # fmt: skip
    axes.grid(False)
    axes.plot(np.arange(frames) / fps, gap, color="white", linewidth=3.0)
    axes.plot(np.arange(frames) / fps, gap, color=ORANGE, linewidth=1.5)
    for symbol, start, end in recording.phones:
        end = min(end, seconds)
        if symbol != "SIL" and end - start > NARROWEST:
            axes.annotate(
                symbol, ((start + end) / 2, 1.03), xycoords=axes.get_xaxis_transform(), ha="center", fontsize=7, color=GRAY
            )  # fmt: skip
    axes.set_xlim(0.0, LONGEST)
    axes.set_ylim(0.0, top)
    axes.set_ylabel("mouth gap, mm")


def _log_mel(speech: np.ndarray, frames: int, fps: float) -> np.ndarray:
    """Return the model's log-mel features (columns, bands) of the first frames."""
    from talker_cli.model.config import ModelConfig
    from talker_cli.model.mel import log_mel

    config = ModelConfig("teacher", "", (), (), fps=fps)
    shown = speech[: int(np.ceil(frames * SAMPLE_RATE / fps))]
    return log_mel(shown, frames, config)
