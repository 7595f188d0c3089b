"""ARKit coefficients as a prepared dataset on the built-in head: no basis to find, only time to resample."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.resume import ResumableParts
from talker_cli.data.sequences import (
    OnProgress,
    Source,
    Timeline,
    check_sequences,
    fingerprint,
    store_speech,
    thinned_fps,
    write_sequences,
)
from talker_cli.errors import InputError
from talker_cli.rig import ARKIT_NAMES, Identity, RigFile

LARGEST = 2.0  # a larger value is no ARKit coefficient: percent, perhaps, or another column


def prepare_coefficients(
    source: Source,
    rig: RigFile,
    output: Path,
    *,
    fps: float | None = None,
    command: str = "",
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Write sequences of ARKit coefficients as a prepared dataset; return its notes. A killed run is resumed.

    Args:
        source: Sequences, coefficients (T, 52) in the order of ARKIT_NAMES, or (T, 55) with HEAD_NAMES.
        rig: Built-in head. Every identity gets its neutral face: coefficients do not describe a face's form.
        output: Folder of the dataset.
        fps: Frame rate of the dataset; None keeps every n-th frame so that it is at most 30.
        command: Command line, recorded in the dataset.
        on_progress: Called with the stage, the number done and the total.

    Raises:
        InputError: a sequence cannot be used.
        OutputError: the folder cannot be written.
    """
    check_sequences(source)
    timeline = Timeline(source.source_fps, fps or thinned_fps(source.source_fps))
    neutral = rig.rig.with_head() if source.head else rig.rig
    plan = {
        "source": source.name,
        "sequences": fingerprint(source),
        "fps": timeline.fps,
        "command": command,
        "head": source.head,
    }
    with ResumableParts(output, plan) as work:
        lengths = store_speech(source, work, timeline, on_progress)
        clipped = 0
        for number, sequence in enumerate(source.sequences):
            key = f"motion-{number}"
            if key not in work:
                read = neutral.matched(timeline.read(sequence, 0, lengths.frames[sequence.name]))
                coefficients, head = np.split(read, [len(ARKIT_NAMES)], axis=1)
                if np.abs(head).max(initial=0.0) > np.pi:
                    raise InputError(f"{sequence.name} turns its head by {np.abs(head).max():.4g}; expected radians")
                if np.abs(coefficients).max() > LARGEST:
                    frame, column = np.unravel_index(int(np.abs(coefficients).argmax()), coefficients.shape)
                    raise InputError(
                        f"{sequence.name} has {ARKIT_NAMES[column]} at {coefficients[frame, column]:.4g}; "
                        "expected coefficients from 0 to 1; export it again"
                    )
                outside = int(((coefficients < 0) | (coefficients > 1)).sum())
                kept = np.concatenate([np.clip(coefficients, 0.0, 1.0), head], 1).astype(np.float16)
                work.save(key, {"coefficients": kept}, {"clipped": outside})
            clipped += work.load(key).metadata["clipped"]
            on_progress("reading coefficients", number + 1, len(source.sequences))
        about = f"captured: a person of {source.name}, with the neutral head, which is not their face"
        people = {name: Identity(name, neutral.template, neutral.colors, about) for name in source.identities}
        named = RigFile(replace(neutral, fps=timeline.fps), people)
        notes = {"values clipped to 0…1": clipped} if clipped else {}
        return write_sequences(output, source, work, named, lengths, notes, command)
