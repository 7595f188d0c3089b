"""The user's identities: a folder with one file for each, in the place that the platform keeps programs' data in."""

import errno
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from talker_cli.errors import IdentityError, OutputError
from talker_cli.formats.files import atomic_path
from talker_cli.identity.file import SUFFIX, Enrolled, check_name, load_identity, save_identity, shared

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)  # from file systems without hard links


def data_folder() -> Path:
    """Return the folder that the platform keeps this user's data of talker in."""
    given = os.environ.get("APPDATA" if sys.platform == "win32" else "XDG_DATA_HOME", "")
    # The specification says that a relative path is to be ignored.
    if sys.platform != "darwin" and Path(given).is_absolute():
        return Path(given) / "talker"
    try:
        home = Path.home()
    except RuntimeError as error:  # a container's user without an entry in passwd
        raise OutputError("found no home folder to keep identities in; name one with --library, or set HOME") from error
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "talker"
    return home / ("AppData/Roaming" if sys.platform == "win32" else ".local/share") / "talker"


class Library:
    """The identities in a folder; the folder need not exist until something is written.

    Args:
        folder: where, or None for the user's own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = data_folder() / "identities" if folder is None else Path(folder)

    def names(self) -> list[str]:
        """Return the names of all identities, sorted.

        Raises:
            IdentityError: the folder cannot be read, or is none.
        """
        try:
            paths = list(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise IdentityError(f"cannot read the library {self.folder} ({error.strerror}); use another --library") from error
        return sorted(path.name[: -len(SUFFIX)] for path in paths if path.suffix == SUFFIX and path.name[0] != ".")

    def path(self, name: str) -> Path:
        """Return where the identity of this name lies, or would."""
        return self.folder / f"{name}{SUFFIX}"

    def load(self, name: str) -> Enrolled:
        """Return an identity by its full name; it is called as its file is.

        Raises:
            IdentityError: there is none, or its file is damaged.
        """
        if name not in self.names():
            known = ", ".join(self.names()) or "none"
            raise IdentityError(f"no identity '{name}' in {self.folder}; it holds: {known}; talker enroll makes one")
        return replace(load_identity(self.path(name)), name=name)

    def people(self) -> Iterator[Enrolled | IdentityError]:
        """Yield every identity, or what is wrong with its file."""
        for name in self.names():
            try:
                yield self.load(name)
            except IdentityError as error:
                yield error

    def check(self, name: str, replacing: bool) -> None:
        """Refuse what `save` would refuse, before any work goes into it.

        Raises:
            IdentityError: the name cannot be used, or is taken.
            OutputError: the library cannot be written.
        """
        check_name(name)
        if not replacing and name in self.names():
            raise self._taken(name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Asking is not enough: root may write where the system cannot.
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise self._unwritable(error) from error

    def save(self, person: Enrolled, replacing: bool = False) -> Path:
        """Write an identity and return its file: whole or not at all.

        Of two that are enrolled under one name at once, the first to finish keeps it, and the other is told; replacing, the
        last one stays.

        Raises:
            IdentityError: the name is taken, and `replacing` is off.
            OutputError: the library cannot be written.
        """
        self.check(person.name, replacing)
        path = self.path(person.name)
        if replacing:
            save_identity(path, person)
            return path
        fresh = self.folder / f".{person.name}-{secrets.token_hex(8)}{SUFFIX}"
        try:
            save_identity(fresh, person)
            self._claim(fresh, path, person.name)
        finally:
            fresh.unlink(missing_ok=True)
        return path

    def remove(self, name: str) -> Path:
        """Remove an identity by its full name, damaged or not, and return where it was.

        Raises:
            IdentityError: there is none.
            OutputError: the library cannot be written.
        """
        if name not in self.names():
            self.load(name)
        try:
            self.path(name).unlink()
        except OSError as error:
            raise self._unwritable(error) from error
        return self.path(name)

    def rename(self, old: str, new: str) -> Path:
        """Give an identity another name and return its file.

        Raises:
            IdentityError: there is no such identity, or the new name is taken or cannot be used.
            OutputError: the library cannot be written.
        """
        person = self.load(old)
        path = self.save(replace(person, name=new))
        self.remove(old)
        return path

    def export(self, name: str, path: Path) -> None:
        """Write an identity as a file to share, without the paths of this machine.

        Raises:
            IdentityError: there is no such identity.
            OutputError: the place cannot be written.
        """
        save_identity(path, shared(self.load(name)))

    def _claim(self, fresh: Path, path: Path, name: str) -> None:
        """Give a finished file its name, unless the name is taken."""
        try:
            os.link(fresh, path)  # unlike a renaming, it fails where a file is
        except FileExistsError as error:
            raise self._taken(name) from error
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise self._unwritable(error) from error
            with atomic_path(path) as temporary:
                temporary.write_bytes(fresh.read_bytes())

    def _taken(self, name: str) -> IdentityError:
        return IdentityError(
            f"the library {self.folder} has an identity '{name}' already; expected a new name; choose another, or --replace it"
        )

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write to the identity library {self.folder} ({error.strerror}); choose a writable one with --library, "
            "or -o FILE.safetensors"
        )
