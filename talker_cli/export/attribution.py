"""Who made what is exported: said in every format that has a place for it."""

import numpy as np

from talker_cli import __version__
from talker_cli.formats.files import ArrayFile
from talker_cli.model.folder import model_folder
from talker_cli.rig import Rig

GENERATOR = f"talker {__version__}"
OWN_HEAD = "Head: talker's built-in one, Apache-2.0"


def copyright_of(rig: Rig) -> str | None:
    """Return whose head it is, if it is the built-in one's mesh in whatever shape; None if nobody knows."""
    built_in = ArrayFile(model_folder("talker-base") / "rig.safetensors", "rig file")
    return OWN_HEAD if np.array_equal(built_in.array("faces"), rig.faces) else None


def credits_of(rig: Rig) -> str:
    """Return one line that says by what a file was made, and whose head it is."""
    owner = copyright_of(rig)
    return f"made with {GENERATOR}" + (f"; {owner}" if owner else "")
