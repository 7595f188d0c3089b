"""The built-in head as the default model's folder holds it, whatever that model's coefficients are."""

from dataclasses import replace

from talker_cli.model.folder import DEFAULT_MODEL, model_folder
from talker_cli.rig import RigFile, load_rig


def built_in_head() -> RigFile:
    """Return the head with ARKit's 52 shapes, without the rotation that a model may add, and the model's faces."""
    content = load_rig(model_folder(DEFAULT_MODEL) / "rig.safetensors")
    return replace(content, rig=content.rig.face)
