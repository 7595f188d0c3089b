"""What a weights file is, read from its metadata, without its weights."""

from pathlib import Path
from typing import Any

from talker_cli.errors import ModelError
from talker_cli.formats.files import ArrayFile
from talker_cli.formats.schema import Schema
from talker_cli.model.config import COMPACT, ModelConfig


def read_config(path: Path, kind: str) -> ModelConfig:
    """Read what a weights file is, without its weights.

    Args:
        path: a safetensors file.
        kind: "teacher" or "student".

    Raises:
        ModelError: the file is missing, damaged, foreign, or the other kind.
    """
    return config_of(ArrayFile(path, f"{kind} model"), kind)


def has_compact_encoder(folder: Path) -> bool:
    """Say whether the teacher of a model folder has a compact audio encoder, and not a pretrained one.

    Raises:
        ModelError: there is no teacher.
    """
    return read_config(folder / "teacher.safetensors", "teacher").audio_encoder == COMPACT


class _Header(Schema):
    """The metadata of a weights file."""

    config: dict[str, Any]


def config_of(file: ArrayFile, kind: str) -> ModelConfig:
    """Return the config of an open weights file. Raises as `read_config`."""
    config = ModelConfig.from_json(file.header(_Header, "model").config, str(file.path))
    if config.kind != kind:
        raise ModelError(f"{file.path} holds a {config.kind}; expected a {kind}", field="model")
    return config
