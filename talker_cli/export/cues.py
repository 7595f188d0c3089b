"""Mouth shapes for drawn characters, one at a time, in the four formats of Rhubarb Lip Sync.

The shapes are read off the curves: A is closed lips, X a mouth that rests, B to G whichever of six poses is most alike on the
built-in head. H, a raised tongue with the mouth open, is never written: the curves do not raise the tongue.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from talker_cli.avatar.drive import lip_gap, mouth_metric
from talker_cli.avatar.table import built_in
from talker_cli.export.arkit import arkit_coefficients
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.files import atomic_path

SHUT = 0.0008  # metres between the lips, below which they are closed
RESTS = 0.3  # seconds of closed lips from which a mouth rests
SHORTEST = 0.06  # seconds; shorter shapes join the one before them, but for closed lips
MOHO_RATE = 24  # frames a second that Rhubarb's .dat counts, Moho's own
BLAIR = {"A": "MBP", "B": "etc", "C": "E", "D": "AI", "E": "O", "F": "U", "G": "FV", "X": "rest"}  # Preston Blair's names


@dataclass(frozen=True)
class Cue:
    """A mouth shape, A to G or X, from `start` to `end`, seconds."""

    start: float
    end: float
    shape: str


def mouth_cues(coefficients: np.ndarray, fps: float) -> list[Cue]:
    """Return the mouth shapes of coefficients (T, 52), one behind the other, from 0 to T / fps."""
    poses = built_in().rhubarb
    names = tuple(poses)
    metric = mouth_metric()
    rows = np.array([poses[name] for name in names])
    motion = coefficients.astype(np.float64)
    # |c - m|² = c G c - 2 c G m + m G m, of which the first is the same for every pose.
    distance = np.einsum("kc,cd,kd->k", rows, metric, rows) - 2 * motion @ metric @ rows.T  # (T, K)
    shapes = np.array(names)[distance.argmin(axis=1)]
    shapes[lip_gap(motion) < SHUT] = "A"
    cues = _joined(shapes, fps)
    cues = [Cue(cue.start, cue.end, "X") if cue.shape == "A" and _rests(cue, len(motion) / fps) else cue for cue in cues]
    kept: list[Cue] = []
    for cue in cues:
        if kept and (kept[-1].shape == cue.shape or (cue.shape not in "AX" and cue.end - cue.start < SHORTEST)):
            kept[-1] = Cue(kept[-1].start, cue.end, kept[-1].shape)
        else:
            kept.append(cue)
    return kept


def write_cues_tsv(clip: MotionClip, path: Path) -> None:
    """Write a line of start and shape for each cue, and one with the end and X.

    Raises:
        InputError: the rig has no ARKit shapes.
        OutputError: the place cannot be written.
    """
    _write(clip, path, lambda cues: "".join(f"{cue.start:.2f}\t{cue.shape}\n" for cue in cues) + f"{cues[-1].end:.2f}\tX\n")


def write_cues_xml(clip: MotionClip, path: Path) -> None:
    """Write `rhubarbResult` with the sound, its duration and the cues. Raises as `write_cues_tsv`."""

    def text(cues: list[Cue]) -> str:
        lines = [f'    <mouthCue start="{cue.start:.2f}" end="{cue.end:.2f}">{cue.shape}</mouthCue>\n' for cue in cues]
        sound = escape((clip.sound or "").encode(errors="replace").decode())
        about = f"    <soundFile>{sound}</soundFile>\n    <duration>{cues[-1].end:.2f}</duration>\n"
        body = f"  <metadata>\n{about}  </metadata>\n  <mouthCues>\n{''.join(lines)}  </mouthCues>\n"
        return f'<?xml version="1.0" encoding="utf-8"?>\n<rhubarbResult>\n{body}</rhubarbResult>\n'

    _write(clip, path, text)


def write_cues_json(clip: MotionClip, path: Path) -> None:
    """Write `metadata` and `mouthCues` as JSON. Raises as `write_cues_tsv`."""

    def text(cues: list[Cue]) -> str:
        listed = [{"start": round(cue.start, 2), "end": round(cue.end, 2), "value": cue.shape} for cue in cues]
        about = {"soundFile": clip.sound or "", "duration": round(cues[-1].end, 2)}
        return json.dumps({"metadata": about, "mouthCues": listed}, indent=2) + "\n"

    _write(clip, path, text)


def write_cues_dat(clip: MotionClip, path: Path) -> None:
    """Write a Moho switch: frames of 1/24 s, counted from 1, and Preston Blair's names. Raises as `write_cues_tsv`."""

    def text(cues: list[Cue]) -> str:
        # Two cues within a frame: the later one is seen.
        frames = {1 + round(cue.start * MOHO_RATE): BLAIR[cue.shape] for cue in cues}
        frames[1 + round(cues[-1].end * MOHO_RATE)] = BLAIR["X"]
        return "MohoSwitch1\n" + "".join(f"{frame} {name}\n" for frame, name in frames.items())

    _write(clip, path, text)


def _write(clip: MotionClip, path: Path, text: Callable[[list[Cue]], str]) -> None:
    cues = mouth_cues(arkit_coefficients(clip), clip.fps)
    with atomic_path(path) as temporary:
        temporary.write_text(text(cues), encoding="utf-8", newline="\n")


def _joined(shapes: np.ndarray, fps: float) -> list[Cue]:
    """Return runs of equal shapes (T,)."""
    starts = np.flatnonzero(np.r_[True, shapes[1:] != shapes[:-1]])
    ends = np.r_[starts[1:], len(shapes)]
    return [Cue(start / fps, end / fps, str(shapes[start])) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _rests(cue: Cue, seconds: float) -> bool:
    """Say whether closed lips are a mouth at rest: for long, or at either end."""
    return cue.end - cue.start >= RESTS or cue.start == 0 or cue.end >= seconds
