"""ONNX Runtime Web, which a page runs its student by: from the npm registry, once, or from a folder."""

import base64
import hashlib
import os
import shutil
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import IO

from talker_cli.errors import InputError, MachineError
from talker_cli.formats.files import atomic_folder
from talker_cli.formats.user_folders import user_folder

VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="  # npm's
REGISTRY = "https://registry.npmjs.org"
FILES = {"ort.js": "ort.wasm.bundle.min.mjs", "ort.wasm": "ort-wasm-simd-threaded.wasm"}  # by their names in a page
TIMEOUT = 30  # seconds without a byte

OnProgress = Callable[[int, int | None], None]  # megabytes done, of how many


def cache_folder() -> Path:
    """Return the platform's folder for what talker can fetch again.

    Raises:
        MachineError: there is no home folder.
    """
    folder = user_folder(
        {"win32": "LOCALAPPDATA", "": "XDG_CACHE_HOME"},
        {"darwin": "Library/Caches", "win32": "AppData/Local", "": ".cache"},
    )
    if folder is None:
        raise MachineError("found no home folder to keep ONNX Runtime Web in; set HOME, or name a copy", "runtime")
    return folder


def runtime_files(folder: Path | None, on_progress: OnProgress) -> dict[str, Path]:
    """Return the runtime's files by the names that they have in a page.

    Args:
        folder: npm package onnxruntime-web, or its folder dist; None fetches the package unless the user's cache has it.
        on_progress: Called while it is fetched.

    Raises:
        InputError: the folder lacks a file.
        MachineError: the package cannot be fetched, or is not the one that is expected.
    """
    if folder is None:
        folder = cache_folder() / f"onnxruntime-web-{VERSION}"
        if not folder.is_dir():
            _fetch(folder, on_progress)
    place = folder / "dist" if (folder / "dist").is_dir() else folder
    files = {name: place / source for name, source in FILES.items()}
    for path in files.values():
        if not path.is_file():
            expected = f"the npm package onnxruntime-web, {VERSION} or so"
            raise InputError(f"found no {path.name} in {place}; expected {expected}", field="runtime")
    return files


def _fetch(folder: Path, on_progress: OnProgress) -> None:
    """Put the runtime's files into a new folder; the package's other files, for other browsers' needs, are left out."""
    environment = {name.lower(): value for name, value in os.environ.items()}  # as npm reads it
    registry = environment.get("npm_config_registry", REGISTRY).rstrip("/")  # or a mirror of it
    url = f"{registry}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
    remedy = f"connect this once, or run npm install onnxruntime-web@{VERSION} elsewhere and give node_modules/onnxruntime-web"
    with tempfile.TemporaryFile() as package:
        try:
            _download(url, package, on_progress)
        except (OSError, ValueError, HTTPException) as error:
            why = getattr(error, "reason", None) or error
            raise MachineError(f"cannot fetch {url} ({why}); expected the network; {remedy}", field="runtime") from error
        package.seek(0)
        found = "sha512-" + base64.b64encode(hashlib.file_digest(package, "sha512").digest()).decode()
        if found != INTEGRITY:
            raise MachineError(f"{url} is not the package that was expected (its hash differs); {remedy}", field="runtime")
        package.seek(0)
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Two commands may fetch at once.
        with atomic_folder(folder, lambda name: name in FILES.values()) as made, tarfile.open(fileobj=package) as archive:
            for name in FILES.values():
                member = archive.extractfile(f"package/dist/{name}")
                assert member is not None  # the hash vouches for it
                with member, (made / name).open("wb") as stream:
                    shutil.copyfileobj(member, stream)


def _download(url: str, file: IO[bytes], on_progress: OnProgress) -> None:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        size = int(answer.headers.get("Content-Length") or 0) // 10**6 or None
        while block := answer.read(1 << 20):
            file.write(block)
            on_progress(file.tell() // 10**6, size)
