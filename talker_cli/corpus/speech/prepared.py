"""Recordings of a prepared corpus, with their phones: the speech of a corpus whose motion alone is made again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talker_cli.corpus.speech.recordings import Utterance
from talker_cli.data.dataset import Dataset
from talker_cli.formats.files import file_hash

AT_ONCE = 150  # recordings of a shard


@dataclass(frozen=True)
class PreparedShard:
    """Some recordings of a prepared dataset.

    Args:
        folder: Folder of the dataset.
        content: SHA-256 of its `dataset.json`.
        first, last: Its recordings first … last - 1.
    """

    folder: Path
    content: str
    first: int
    last: int

    def plan(self) -> Any:
        """Return the dataset's hash and the recordings' numbers."""
        return [self.content, self.first, self.last]

    def read(self) -> Iterator[Utterance]:
        """Read the recordings."""
        dataset = Dataset(self.folder)
        licences = dataset.info.notes.get("licences", {})
        for each in dataset.info.recordings[self.first : self.last]:
            speech = dataset.samples(each.name)
            yield Utterance(
                each.name, each.voice, each.language, each.human, each.text, speech, "", each.source,
                licences.get(each.voice, dataset.info.licence), each.phones, "" if each.phones else "no phones",
            )  # fmt: skip


def prepared_shards(folder: Path) -> Iterator[PreparedShard]:
    """Yield the recordings of a prepared dataset.

    Raises:
        InputError: the folder is no finished prepared dataset.
    """
    count, content = len(Dataset(folder).info.recordings), file_hash(folder / "dataset.json")
    for first in range(0, count, AT_ONCE):
        yield PreparedShard(folder, content, first, min(first + AT_ONCE, count))
