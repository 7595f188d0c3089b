"""The user's identities: a folder with one file for each, in the platform's place for programs' data."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from talker_cli.errors import IdentityError, OutputError
from talker_cli.formats.processes import folder_lock
from talker_cli.formats.user_folders import user_folder
from talker_cli.identity.file import SUFFIX, Enrolled, check_name, load_identity, save_identity, shared


def data_folder() -> Path:
    """Return the platform's folder for this user's data of talker."""
    folder = user_folder(
        {"win32": "APPDATA", "": "XDG_DATA_HOME"},
        {"darwin": "Library/Application Support", "win32": "AppData/Roaming", "": ".local/share"},
    )
    if folder is None:
        raise OutputError("found no home folder to keep identities in; name a folder, or set HOME", "library")
    return folder


class Library:
    """The identities in a folder; the folder need not exist until something is written.

    Args:
        folder: Place of the folder, or None for the user's own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = data_folder() / "identities" if folder is None else Path(folder)

    def names(self) -> list[str]:
        """Return the names of all identities, sorted.

        Raises:
            IdentityError: the folder cannot be read, or is a file.
        """
        try:
            paths = list(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise IdentityError(f"cannot read the library {self.folder} ({error.strerror}); use another", "library") from error
        return sorted(path.name[: -len(SUFFIX)] for path in paths if path.suffix == SUFFIX and path.name[0] != ".")

    def path(self, name: str) -> Path:
        """Return the place of the identity of this name, whether it exists or not."""
        return self.folder / f"{name}{SUFFIX}"

    def load(self, name: str) -> Enrolled:
        """Return an identity by its full name, which is its file's.

        Raises:
            IdentityError: there is none, or its file is damaged.
        """
        if name not in self.names():
            raise self._unknown(name)
        return replace(load_identity(self.path(name)), name=name)

    def load_all(self) -> Iterator[tuple[str, Enrolled | IdentityError]]:
        """Yield the name of every identity with the identity, or with the problem of its file."""
        for name in self.names():
            try:
                yield name, self.load(name)
            except IdentityError as error:
                yield name, error

    def check(self, name: str, replacing: bool) -> None:
        """Refuse a name that `save` would refuse, before any work.

        Raises:
            IdentityError: the name cannot be used, or is taken.
            OutputError: the library cannot be written.
        """
        check_name(name)
        self._check_free(name, replacing)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Asking is not enough: root may write where the system cannot.
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise self._unwritable(error) from error

    def save(self, identity: Enrolled, replacing: bool = False) -> Path:
        """Write an identity and return its file.

        Of two that are enrolled under one name at once, the first to finish keeps it, and the other is refused; with
        `replacing`, the last one stays.

        Args:
            identity: The identity.
            replacing: Whether an identity of the same name may be replaced.

        Raises:
            IdentityError: the name is taken, and `replacing` is off.
            OutputError: the library cannot be written.
        """
        self.check(identity.name, replacing)
        with folder_lock(self.folder):
            self._check_free(identity.name, replacing)
            save_identity(self.path(identity.name), identity)
        return self.path(identity.name)

    def remove(self, name: str) -> Path:
        """Remove an identity by its full name, damaged or not, and return the place of its file.

        Raises:
            IdentityError: there is none.
            OutputError: the library cannot be written.
        """
        if name not in self.names():
            raise self._unknown(name)
        try:
            self.path(name).unlink()
        except OSError as error:
            raise self._unwritable(error) from error
        return self.path(name)

    def rename(self, old: str, new: str) -> Path:
        """Give an identity another name and return its file.

        In a library, the name of the file counts, whatever name is in it: one renaming does all.

        Raises:
            IdentityError: there is no such identity, or the new name is taken or cannot be used.
            OutputError: the library cannot be written.
        """
        if old not in self.names():
            raise self._unknown(old)
        self.check(new, replacing=False)
        with folder_lock(self.folder):
            self.load(old)  # damaged, or renamed by another process meanwhile
            self._check_free(new, replacing=False)
            self.path(old).rename(self.path(new))
        return self.path(new)

    def export(self, name: str, path: Path) -> None:
        """Write an identity as a file to share, without paths of this machine.

        Raises:
            IdentityError: there is no such identity.
            OutputError: the place cannot be written.
        """
        save_identity(path, shared(self.load(name)))

    def _check_free(self, name: str, replacing: bool) -> None:
        if not replacing and name in self.names():
            raise IdentityError(
                f"the library {self.folder} has an identity '{name}' already; choose a new name, or replace it", "name"
            )

    def _unknown(self, name: str) -> IdentityError:
        known = ", ".join(self.names()) or "none"
        return IdentityError(f"no identity '{name}' in {self.folder}; it holds: {known}; talker enroll makes one")

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write to the identity library {self.folder} ({error.strerror}); choose a writable one, or write a "
            "file to share",
            "library",
        )
