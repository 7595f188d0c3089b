"""What the sound of a dataset's recordings tells of their voices, measured once and kept below the dataset's folder.

`features/voices.safetensors` holds the sums of `identity.voice` of every recording, with a checksum of its speech: those of
other speech are measured anew. The file may be deleted at any time.
"""

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from talker_cli.data.dataset import Dataset
from talker_cli.errors import ModelError
from talker_cli.formats.files import ArrayFile, make_folder, write_arrays
from talker_cli.identity.voice import SUMS, VoiceSums
from talker_cli.train.features import FOLDER

RECIPE = 1  # of the sums; those of another are made anew
FILE = "voices.safetensors"


def voice_sums(dataset: Dataset, names: Iterable[str]) -> dict[str, VoiceSums]:
    """Return the sums of recordings by name.

    Args:
        dataset: Prepared.
        names: Names of recordings.

    Raises:
        OutputError: The dataset's folder cannot be written to.
    """
    path = dataset.folder / FOLDER / FILE
    known = _kept(path)
    found: dict[str, tuple[int, np.ndarray]] = {}
    for name in names:
        speech = dataset.speech(name)
        checksum = zlib.crc32(speech.data)
        old = known.get(name)
        found[name] = old if old is not None and old[0] == checksum else (checksum, VoiceSums.of(speech).values)
    if any(found[name] is not known.get(name) for name in found):
        make_folder(path.parent)
        every = known | found
        values = np.stack([sums for _, sums in every.values()])
        checksums = [checksum for checksum, _ in every.values()]
        write_arrays(path, {"sums": values}, {"recipe": RECIPE, "recordings": [*every], "crc32": checksums})
    return {name: VoiceSums(sums) for name, (_, sums) in found.items()}


def _kept(path: Path) -> dict[str, tuple[int, np.ndarray]]:
    """Return checksums and sums by recording, of a file that is whole and by the same recipe."""
    if not path.is_file():
        return {}
    try:
        file = ArrayFile(path, "file of voices")
        sums, about = file.array("sums"), file.metadata
    except ModelError:
        return {}
    if about.get("recipe") != RECIPE or sums.shape != (len(about["recordings"]), SUMS):
        return {}
    return {name: (crc, row) for name, crc, row in zip(about["recordings"], about["crc32"], sums, strict=True)}
