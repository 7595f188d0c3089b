"""Speech in, talking 3D face out: `from talker_cli import Talker`."""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"
__all__ = ["Talker", "__version__"]


def __getattr__(name: str) -> Any:
    """Load `Talker` when it is asked for: it brings torch, and the seconds that torch takes."""
    if name == "Talker":
        return import_module("talker_cli.animate.talker").Talker
    raise AttributeError(f"module 'talker_cli' has no attribute '{name}'")
