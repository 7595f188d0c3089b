"""Several prepared datasets as one, such as captured faces beside a corpus of modelled motion."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.data.dataset import Dataset, DatasetInfo, write_dataset
from talker_cli.data.sequences import OnProgress
from talker_cli.errors import InputError
from talker_cli.rig import Identity


def join_datasets(
    folders: Sequence[Path],
    output: Path,
    *,
    command: str = "",
    on_progress: OnProgress = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Write the recordings and clips of prepared datasets as one dataset; return its notes.

    The first gives the rig. Identities of one name are one person.

    Args:
        folders: Two prepared datasets or more, of the same coefficients and frame rate.
        output: Folder of the new dataset.
        command: Command line that is recorded in the dataset.
        on_progress: Called with "joining", the clips done and all clips.

    Raises:
        InputError: A folder is no prepared dataset or `output`, coefficients differ, or two recordings have one name.
        OutputError: The folder cannot be written.
    """
    if len(folders) < 2:
        raise InputError(f"found {len(folders)} dataset; expected two or more to join; name them all")
    if output.resolve() in [folder.resolve() for folder in folders]:
        raise InputError(f"found {output} among the datasets to join; expected another folder to write to; change --output")
    datasets = [Dataset(folder) for folder in folders]
    first = datasets[0]
    for other in datasets[1:]:
        _check_alike(first, other)
    infos = [dataset.info for dataset in datasets]
    for kind, names in (
        ("recording", [each.name for info in infos for each in info.recordings]),
        ("clip", [each.name for info in infos for each in info.clips]),
    ):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise InputError(f"found a {kind} {twice[0]} in two of the datasets; expected each name once; join others")
    total = sum(len(info.clips) for info in infos)

    def motion() -> Iterator[tuple[str, np.ndarray]]:
        done = 0
        for dataset in datasets:
            for clip in dataset.info.clips:
                yield clip.name, dataset.coefficients(clip.name)
                done += 1
                on_progress("joining", done, total)

    speech = (
        (recording.name, dataset.samples(recording.name)) for dataset in datasets for recording in dataset.info.recordings
    )
    faces: dict[str, Identity] = {}
    for dataset in datasets:
        for name, face in dataset.rig.identities.items():
            faces.setdefault(name, face)
    info = DatasetInfo(
        "; ".join(dict.fromkeys(info.source for info in infos)),
        "; ".join(dict.fromkeys(info.licence for info in infos)),
        first.info.fps,
        tuple(dict.fromkeys(name for info in infos for name in info.identities)),
        tuple(recording for info in infos for recording in info.recordings),
        tuple(clip for info in infos for clip in info.clips),
        command,
        first.info.seed,
        {"minutes": _minutes(folders, datasets), **_styles(infos)},
    )
    write_dataset(output, info, replace(first.rig, identities=faces), speech, motion())
    return info.notes


def _check_alike(first: Dataset, other: Dataset) -> None:
    """Check that two datasets' coefficients mean the same.

    Raises:
        InputError: They do not.
    """
    own = first.rig.rig
    if other.rig.rig.names != own.names or other.info.fps != first.info.fps:
        raise InputError(
            f"found {len(own.names)} coefficients at {first.info.fps:g} fps in {first.folder}, and "
            f"{len(other.rig.rig.names)} at {other.info.fps:g} in {other.folder}; expected the same; prepare one again, "
            "perhaps with --fps"
        )
    if not (own.basis.shape == other.rig.rig.basis.shape and np.allclose(own.basis, other.rig.rig.basis, atol=1e-5)):
        raise InputError(
            f"found other shapes in {other.folder} than in {first.folder}; expected the same head; prepare one again"
        )


def _minutes(folders: Sequence[Path], datasets: Sequence[Dataset]) -> dict[str, float]:
    """Return the minutes of speech by dataset."""
    lengths = {}
    for folder, dataset in zip(folders, datasets, strict=True):
        seconds = sum(dataset.seconds(recording.name) for recording in dataset.info.recordings)
        lengths[str(folder)] = round(seconds / 60, 2)
    return lengths


def _styles(infos: Sequence[DatasetInfo]) -> dict[str, Any]:
    """Return the notes on modelled styles, which a comparison of styles needs."""
    styles = {name: style for info in infos for name, style in info.notes.get("styles", {}).items()}
    return {"styles": styles} if styles else {}
