"""The audio encoders that a model can have, by name: `compact`, `whisper`, or the folder or hub name of a pretrained one."""

import re
from functools import lru_cache
from pathlib import Path

from talker_cli.errors import InputError, ModelError
from talker_cli.metrics import Phones
from talker_cli.model import whisper
from talker_cli.model.config import COMPACT, WHISPER, ModelConfig
from talker_cli.model.frontend import MelFrontend, OutputFrontend, SpeechFrontend
from talker_cli.model.frozen import Description, FrozenEncoder
from talker_cli.model.phones import known_posteriors


def resolved(name: str) -> str:
    """Return how a model's config names an encoder: a folder by its absolute path, so that it is found from everywhere.

    Raises:
        InputError: it is neither built in, nor a folder, nor a name that a hub can have.
    """
    if name in (COMPACT, WHISPER):
        return name
    if Path(name).expanduser().is_dir():
        return str(Path(name).expanduser().resolve())
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        from talker_cli.model import pretrained

        raise InputError(f"no audio encoder in {name}: there is no such folder; {pretrained.EXPECTED}, {WHISPER} or {COMPACT}")
    return name


def describe(name: str) -> Description:
    """Return what a frozen encoder is; a hub's is downloaded, unless it has been before.

    Raises:
        ModelError: it is not there, damaged, or of another architecture.
    """
    if name == WHISPER:
        return whisper.describe()
    from talker_cli.model import pretrained  # PyTorch, which a student on a CPU does without

    return pretrained.describe(name)


def verified(config: ModelConfig) -> Description:
    """Return the encoder of a model that was trained with a frozen one.

    Raises:
        ModelError: it is not there, or not the one.
    """
    try:
        found = describe(config.audio_encoder)
    except ModelError as error:
        raise ModelError(f"the audio encoder of the {config.kind} cannot be used: {error}") from error
    if found.hash != config.pretrained_hash:
        raise ModelError(
            f"the {config.kind} was trained with another audio encoder than that in {found.folder}; expected the same; put it "
            "back, train again, or use a student with a compact one"
        )
    return found


@lru_cache(maxsize=1)
def load_encoder(about: Description, device: str = "cpu") -> FrozenEncoder:
    """Return a frozen encoder, loaded once however many ask for it.

    Args:
        about: The encoder.
        device: PyTorch's name of the device that runs it; Whisper runs on the CPU.

    Raises:
        ModelError: it is damaged.
    """
    if about.name == WHISPER:
        return whisper.WhisperEncoder(about)
    from talker_cli.model import pretrained

    return pretrained.PretrainedEncoder(about, device)


def frontend_of(config: ModelConfig, device: str, phones: Phones | None = None, *, live: bool = False) -> SpeechFrontend:
    """Return what turns speech into the input of a model's encoder.

    Args:
        config: The model's.
        device: Device of the encoder.
        phones: Phones whose times are known; of use to a model that reads phones.
        live: Whether the input is wanted as soon as the sound is there.

    Raises:
        ModelError: its frozen encoder is not there, damaged, or not the one.
    """
    if config.audio_encoder == COMPACT:
        return MelFrontend(config)
    about = verified(config)
    known = None
    if phones and about.phones:
        known = known_posteriors(phones, about.phones, max(1, int(phones[-1][2] * config.fps)), config.fps)
    return OutputFrontend(load_encoder(about, device), config.fps, known, live=live)
