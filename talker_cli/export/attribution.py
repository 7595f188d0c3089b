"""Author and licence of exported files, written in every format that has a field for them."""

import numpy as np

from talker_cli import __version__
from talker_cli.formats.files import ArrayFile
from talker_cli.model.folder import model_folder
from talker_cli.rig import Rig

GENERATOR = f"talker {__version__}"
OWN_HEAD = "Head: talker's built-in one, Apache-2.0"


def copyright_of(rig: Rig) -> str | None:
    """Return owner and licence of a rig that has the built-in head's mesh, in any shape; None of any other."""
    built_in = ArrayFile(model_folder("talker-base") / "rig.safetensors", "rig file")
    return OWN_HEAD if np.array_equal(built_in.array("faces"), rig.faces) else None


def credits_of(rig: Rig) -> str:
    """Return one line with the program that made a file and the owner of its head."""
    owner = copyright_of(rig)
    return f"made with {GENERATOR}" + (f"; {owner}" if owner else "")
