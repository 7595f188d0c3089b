"""ARKit curves as a prepared dataset on the built-in head: no basis to find, only time to bring into line."""

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
    keep_speech,
    thinned_fps,
    write_sequences,
)
from talker_cli.errors import InputError, TalkerError
from talker_cli.rig import ARKIT_NAMES, Identity, RigFile

BEYOND = 2.0  # a curve beyond this is no ARKit coefficient: percent, perhaps, or another column


def prepare_curves(
    source: Source,
    rig: RigFile,
    output: Path,
    *,
    fps: float | None = None,
    command: str = "",
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Write takes of ARKit curves (T, 52), in the order of ARKIT_NAMES, as a prepared dataset; a killed run goes on.

    Args:
        rig: Built-in head, whose neutral face every identity gets: curves do not describe a face's form.
        fps: frames a second of the dataset; None takes every n-th frame so that it is at most 30.
        command: recorded.
        on_progress: told the stage, how much of it is done, and of how much.

    Returns:
        The notes.

    Raises:
        InputError: a take cannot be used as it is.
        OutputError: the folder cannot be written.
    """
    check_sequences(source)
    timeline = Timeline(source.source_fps, fps or thinned_fps(source.source_fps))
    work = ResumableParts(
        output, {"source": source.name, "takes": fingerprint(source), "fps": timeline.fps, "command": command}
    )
    try:
        lengths = keep_speech(source, work, timeline, on_progress)
        clipped = 0
        for number, take in enumerate(source.takes):
            key = f"motion-{number}"
            if key not in work:
                curves = timeline.read(take, 0, lengths.frames[take.name])
                if np.abs(curves).max() > BEYOND:
                    frame, column = np.unravel_index(int(np.abs(curves).argmax()), curves.shape)
                    raise InputError(
                        f"{take.name} has {ARKIT_NAMES[column]} at {curves[frame, column]:.4g}; expected curves from 0 to 1; "
                        "export it again"
                    )
                outside = int(((curves < 0) | (curves > 1)).sum())
                work.save(key, {"coefficients": np.clip(curves, 0.0, 1.0).astype(np.float16)}, {"clipped": outside})
            clipped += work.load(key).metadata["clipped"]
            on_progress("reading curves", number + 1, len(source.takes))
        neutral = rig.rig
        people = {name: Identity(name, neutral.template, neutral.colors, source.name) for name in source.identities}
        named = RigFile(replace(neutral, fps=timeline.fps), people)
        notes = {"values clipped to 0…1": clipped} if clipped else {}
        write_sequences(output, source, work, named, lengths, notes, command)
    except TalkerError:
        work.close(failed=True)
        raise
    work.close()
    return {**source.notes, **notes, **({"cut": lengths.notes()} if lengths.notes() else {})}
