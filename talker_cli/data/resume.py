"""Finished parts of a preparation: a folder `unfinished` in the output, one safetensors file for each part.

A part is a function of the inputs and the settings alone, so a run that resumes from another's parts ends with the same bytes.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from talker_cli.errors import OutputError, TalkerError
from talker_cli.formats.files import ArrayFile, output_error, read_json, write_arrays, write_json

FOLDER = "unfinished"
SUFFIX = ".part"


class ResumableParts:
    """The finished parts of a preparation; parts of other inputs or settings are deleted.

    As a context manager it removes the parts at the end and after a `TalkerError`; an interrupted run keeps them.

    Args:
        output: Folder of the dataset; made if it is missing.
        plan: Inputs and settings that decide the parts' content, JSON-able.

    Raises:
        OutputError: the folder cannot be written, or `unfinished` in it holds other files.
    """

    def __init__(self, output: Path, plan: dict[str, Any]) -> None:
        self.folder = output / FOLDER
        self._plan = self.folder / "plan.json"
        self._made_output = not output.exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(output, error) from error
        if any(path.suffix != SUFFIX and path != self._plan for path in self.folder.iterdir() if path.name[0] != "."):
            raise OutputError(f"cannot write {self.folder}: it holds other files; move them away or choose another -o")
        if not self._plan.is_file() or read_json(self._plan) != plan:
            self._empty()
            try:
                write_json(self._plan, plan)
            except OutputError:
                self.close(failed=True)
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None or issubclass(kind, TalkerError):
            self.close(failed=kind is not None)

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def save(self, key: str, arrays: dict[str, np.ndarray], metadata: Any) -> None:
        """Save a finished part."""
        write_arrays(self._path(key), arrays, metadata)

    def load(self, key: str) -> ArrayFile:
        """Return a finished part."""
        return ArrayFile(self._path(key), "unfinished part")

    def drop(self, key: str) -> None:
        """Delete a part that is no longer needed."""
        self._path(key).unlink(missing_ok=True)

    def close(self, failed: bool = False) -> None:
        """Remove the folder; after a failure also the output, if this object made it and it is empty."""
        self._empty()
        self.folder.rmdir()
        if failed and self._made_output and not any(self.folder.parent.iterdir()):
            self.folder.parent.rmdir()

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"
