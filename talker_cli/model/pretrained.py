"""Pretrained audio encoders: speech (S,) at 16 kHz -> the last hidden states (N, W) of HuBERT, wav2vec 2.0 or WavLM.

The one module that imports transformers, and only when such an encoder has to run: never for a compact model or Whisper's, and
not for a training whose features are all on the disk.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talker_cli.errors import InputError, ModelError
from talker_cli.formats.files import file_hash, read_json
from talker_cli.model.frozen import Description, FrozenEncoder
from talker_cli.model.torchaudio_functional import functional

KINDS = {"hubert": "HuBERT", "wav2vec2": "wav2vec 2.0", "wavlm": "WavLM"}
CORE, MARGIN = 500, 150  # outputs, 10 s and 3 s: with both margins about as long as what these encoders were trained on
CONFIG, PREPROCESSOR, INDEX = "config.json", "preprocessor_config.json", "model.safetensors.index.json"
FILES = (CONFIG, PREPROCESSOR, "model.safetensors", INDEX, "model-*.safetensors")
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # of the convolutions, where the config leaves them out
UNHEARD = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")  # of the config: features stay
EXPECTED = f"expected a folder or hub name of {', '.join(KINDS.values())} with {CONFIG} and model.safetensors"


def describe(name: str) -> Description:
    """Return what an encoder is; a hub's is downloaded, unless it has been before.

    Raises:
        ModelError: it is not there, damaged, or of another architecture.
    """
    folder = Path(name) if Path(name).is_absolute() else _downloaded(name)
    if not folder.is_dir():
        raise ModelError(f"no audio encoder in {folder}: there is no such folder; {EXPECTED}")
    if not (folder / CONFIG).is_file():
        raise ModelError(f"no audio encoder in {folder}: {CONFIG} is missing; {EXPECTED}")
    config = _read(folder / CONFIG)
    kind = config.get("model_type")
    if kind not in KINDS:
        raise ModelError(f"the audio encoder in {folder} is of the kind {kind}; {EXPECTED}")
    weights = _weights(folder)
    kernels, strides = config.get("conv_kernel", KERNELS), config.get("conv_stride", STRIDES)
    try:
        steps = list(accumulate(strides, lambda one, other: one * other, initial=1))
        field = 1 + sum((kernel - 1) * step for kernel, step in zip(kernels, steps, strict=False))
        width, stride = int(config.get("hidden_size", 768)), int(prod(strides))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG} is damaged ({error}); {EXPECTED}") from error
    normalise = True  # what transformers takes where nothing is said
    if (folder / PREPROCESSOR).is_file():
        normalise = bool(_read(folder / PREPROCESSOR).get("do_normalize", True))
    shape = {name: value for name, value in config.items() if name not in UNHEARD}
    about = json.dumps([shape, normalise, *(_hash(path, path.stat().st_mtime_ns) for path in weights)], sort_keys=True)
    digest = hashlib.sha256(about.encode()).hexdigest()
    return Description(name, folder, digest, width, stride, field, (field - 1) / 2, CORE, MARGIN, normalise)


@lru_cache(maxsize=8)
def _hash(path: Path, written: int) -> str:
    """Return the hash of a file that was `written` then; it may be gigabytes, and is asked for several times."""
    return file_hash(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except InputError as error:
        raise ModelError(f"{path} is damaged ({error}); {EXPECTED}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is damaged: found no settings in it; {EXPECTED}")
    return content


def _weights(folder: Path) -> list[Path]:
    """Return the files of an encoder's weights."""
    whole = folder / "model.safetensors"
    if whole.is_file():
        return [whole]
    if (folder / INDEX).is_file():
        parts = _read(folder / INDEX).get("weight_map")
        names = sorted(set(parts.values())) if isinstance(parts, dict) else []
        if names and all((folder / str(name)).is_file() for name in names):
            return [folder / str(name) for name in names]
        raise ModelError(f"the audio encoder in {folder} lacks parts of its weights; expected those that {INDEX} names")
    raise ModelError(
        f"no model.safetensors in {folder}; expected one, since pickled weights are not read; docs/training.md says how to "
        "convert them"
    )


def _downloaded(name: str) -> Path:
    """Return the folder that a hub's encoder lies in on this machine."""
    with quiet_transformers():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

        try:
            folder = Path(snapshot_download(name, allow_patterns=list(FILES), local_files_only=True))
            if (folder / CONFIG).is_file():  # else something else of it was fetched once
                return folder
        except (LocalEntryNotFoundError, HFValidationError):
            pass
        try:
            return Path(snapshot_download(name, allow_patterns=list(FILES)))
        except (RepositoryNotFoundError, HFValidationError) as error:
            raise ModelError(f"no audio encoder {name}: the hub gives nothing by that name; {EXPECTED}") from error
        except Exception as error:  # whatever a network can do: it promises no kinds
            raise ModelError(
                f"no audio encoder {name} on this machine, and the hub was not reached ({type(error).__name__}); {EXPECTED}; "
                "try again, or name a folder"
            ) from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Import and use the hub and transformers without their messages.

    transformers loads torchaudio where it finds one; by then it has been loaded in a way that does not fail.
    """
    import logging

    functional()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


class PretrainedEncoder(FrozenEncoder):
    """A frozen encoder, loaded.

    Args:
        about: which.
        device: PyTorch's name of the device that runs it.

    Raises:
        ModelError: its weights are damaged, or do not fit its config.
    """

    def __init__(self, about: Description, device: str) -> None:
        super().__init__(about)
        self._device = device
        # It begins with random weights: other draws must not depend on whether an encoder had to run.
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            from transformers import AutoModel
            from transformers.utils import logging

            bars = logging.is_progress_bar_enabled()
            logging.disable_progress_bar()
            try:
                model, report = AutoModel.from_pretrained(
                    about.folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
                )
            except Exception as error:  # whatever a damaged file makes of transformers: it promises no kinds
                reason = f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"
                raise ModelError(f"the audio encoder in {about.folder} is damaged ({reason}); {EXPECTED}") from error
            finally:
                if bars:
                    logging.enable_progress_bar()
        # A vector for masked speech is of training alone, and some encoders come without it.
        missing = sorted(name for name in report["missing_keys"] if not name.endswith("masked_spec_embed"))
        if missing:
            raise ModelError(f"the audio encoder in {about.folder} lacks weights ({missing[0]}); {EXPECTED}")
        self._model = model.float().eval().requires_grad_(False).to(device)

    @torch.inference_mode()
    def _run(self, speech: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(speech).to(self._device)
        if self.about.normalise:
            x = (x - x.mean()) / (x.var(correction=0) + 1e-7).sqrt()
        outputs: np.ndarray = self._model(x[None]).last_hidden_state[0].float().cpu().numpy()
        return outputs
