"""Pretrained audio encoders: speech (S,) at 16 kHz -> last hidden states of HuBERT, wav2vec 2.0 or WavLM, (T, W), one a frame.

The one module that knows transformers, and it loads it only when such an encoder has to run: never for a compact model, and
not for a training whose features are all on the disk.

An encoder gives an output every 20 ms, about which it has looked at the whole window that it was given. So a recording of any
length is run in windows at fixed places: the outputs that are kept, CORE of them, and up to MARGIN more on either side. What
comes of it depends on the recording alone, whatever the parts in which it is read, and memory stays bounded.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from talker_cli.errors import InputError, ModelError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.files import file_hash, read_json
from talker_cli.model.config import COMPACT, ModelConfig

KINDS = {"hubert": "HuBERT", "wav2vec2": "wav2vec 2.0", "wavlm": "WavLM"}
CORE, MARGIN = 500, 150  # outputs, 10 s and 3 s: with both margins about as long as what these encoders were trained on
KNOWN = 16  # windows whose outputs are kept: a recording is often heard again, as somebody else or in another take
CONFIG, PREPROCESSOR, INDEX = "config.json", "preprocessor_config.json", "model.safetensors.index.json"
FILES = (CONFIG, PREPROCESSOR, "model.safetensors", INDEX, "model-*.safetensors")
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # of the convolutions, where the config leaves them out
UNHEARD = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")  # of the config: features stay
EXPECTED = f"expected a folder or hub name of {', '.join(KINDS.values())} with {CONFIG} and model.safetensors"


@dataclass(frozen=True)
class Description:
    """What is known of an encoder from its files, without running it.

    Args:
        name: as a model's config has it: an absolute folder, or a hub name.
        folder: where its files lie.
        hash: SHA-256 over its weights, its config and how it wants its input: what its features depend on.
        width: W of its features.
        stride: samples from one output to the next.
        field: samples that the convolutions put into one output.
        normalise: it wants a window with mean 0 and variance 1.
    """

    name: str
    folder: Path
    hash: str
    width: int
    stride: int
    field: int
    normalise: bool

    def outputs(self, samples: int) -> int:
        """Return how many outputs the encoder gives for so many samples; of the shortest speech one."""
        return max(1, (samples - self.field) // self.stride + 1)

    def position(self, frames: Tensor, fps: float) -> Tensor:
        """Return where the instants of frames lie among the outputs: output j is about sample stride * j + (field - 1) / 2."""
        return (frames * (SAMPLE_RATE / fps) - (self.field - 1) / 2) / self.stride


def resolved(name: str) -> str:
    """Return how a model's config names an encoder: a folder by its absolute path, so that it is found from everywhere.

    Raises:
        InputError: it is neither a folder nor a name that a hub can have.
    """
    if name == COMPACT:
        return name
    if Path(name).expanduser().is_dir():
        return str(Path(name).expanduser().resolve())
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise InputError(f"no audio encoder in {name}: there is no such folder; {EXPECTED}, or {COMPACT}")
    return name


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
    return Description(name, folder, hashlib.sha256(about.encode()).hexdigest(), width, stride, field, normalise)


@lru_cache(maxsize=8)
def _hash(path: Path, written: int) -> str:
    """Return the hash of a file that was `written` then; it may be gigabytes, and is asked for several times."""
    return file_hash(path)


def verified(config: ModelConfig) -> Description:
    """Return the encoder of a model that was trained with a pretrained one.

    Raises:
        ModelError: it is not there, or not the one.
    """
    try:
        found = describe(config.audio_encoder)
    except ModelError as error:
        raise ModelError(f"the {config.kind} hears by its audio encoder, which cannot be used: {error}") from error
    if found.hash != config.pretrained_hash:
        raise ModelError(
            f"the {config.kind} was trained with another audio encoder than that in {found.folder}; expected the same; put it "
            "back, train again, or use a student, which needs none"
        )
    return found


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
    with _quiet():
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
def _quiet() -> Iterator[None]:
    """Import and use the hub and transformers without their messages, and without torchaudio.

    transformers loads torchaudio where it finds one, and a build for other CUDA libraries than torch's fails at that; what
    is needed here does not use it.
    """
    import logging

    hidden = "torchaudio" not in sys.modules
    if hidden:
        sys.modules["torchaudio"] = None  # type: ignore[assignment]
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
        if hidden:
            del sys.modules["torchaudio"]


class PretrainedEncoder:
    """A frozen encoder, loaded.

    Args:
        about: which.
        device: where it runs.

    Raises:
        ModelError: its weights are damaged, or do not fit its config.
    """

    def __init__(self, about: Description, device: torch.device) -> None:
        self.about, self.device = about, device
        # It begins with random weights: other draws must not depend on whether an encoder had to run.
        with _quiet(), torch.random.fork_rng(devices=[]):
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
        self._known: dict[bytes, Tensor] = {}  # the last windows' outputs, by their sound

    @property
    def parameters(self) -> int:
        """How many parameters it has, none of them trained."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    @torch.no_grad()
    def window(self, speech: np.ndarray) -> Tensor:
        """Return the outputs (N, W) of a window of speech (S,) float32; what is too short for one is filled with silence."""
        sound = hashlib.sha256(np.ascontiguousarray(speech, np.float32).data).digest()
        if sound not in self._known:
            made = self._run(speech)
            if len(self._known) == KNOWN:
                del self._known[next(iter(self._known))]
            self._known[sound] = made
        return self._known[sound]

    def _run(self, speech: np.ndarray) -> Tensor:
        x = torch.from_numpy(np.array(speech, np.float32)).to(self.device)
        if self.about.normalise:
            x = (x - x.mean()) / (x.var(correction=0) + 1e-7).sqrt()
        x = F.pad(x, (0, max(0, self.about.field - len(x))))
        outputs = self._model(x[None]).last_hidden_state[0].float()
        expected = self.about.outputs(len(speech))
        if len(outputs) != expected:
            raise ModelError(
                f"the audio encoder in {self.about.folder} made {len(outputs)} outputs of {len(speech)} samples; expected "
                f"{expected}, as its convolutions make them; take one without an adapter behind them"
            )
        if not bool(torch.isfinite(outputs).all()):
            raise ModelError(f"the audio encoder in {self.about.folder} made outputs that are no numbers; {EXPECTED}")
        return outputs

    def features(self, speech: np.ndarray, frames: int, fps: float) -> Tensor:
        """Return the features (T, W) of frames 0 … T - 1 of a recording (S,); frames beyond its end have the last one's."""
        ear = PretrainedFrontend(self, fps)
        ear.push(speech)
        ear.finish()
        return ear.inputs(0, frames)[0]


@lru_cache(maxsize=1)
def load_encoder(about: Description, device: torch.device) -> PretrainedEncoder:
    """Return an encoder, loaded once however many ask for it.

    Raises:
        ModelError: it is damaged.
    """
    return PretrainedEncoder(about, device)


class PretrainedFrontend:
    """Features of the frames of a recording that comes in parts, interpolated between the outputs about them.

    Args:
        encoder: loaded.
        fps: frames a second of the features.
    """

    def __init__(self, encoder: PretrainedEncoder, fps: float) -> None:
        self._encoder, self._about, self._fps = encoder, encoder.about, fps
        self._speech, self._offset = np.zeros(0, np.float32), 0
        self._outputs, self._first = torch.zeros(0, encoder.about.width, device=encoder.device), 0
        self._over = False

    def push(self, speech: np.ndarray) -> None:
        """Hear more (S,) float32."""
        self._speech = np.concatenate([self._speech, speech])
        while len(self._speech) + self._offset >= (self._end + CORE + MARGIN - 1) * self._about.stride + self._about.field:
            self._run(self._end + CORE, self._end + CORE + MARGIN)

    def finish(self) -> None:
        """Hear that there is no more."""
        total = self._about.outputs(len(self._speech) + self._offset)
        while self._end < total:
            self._run(min(self._end + CORE, total), min(self._end + CORE + MARGIN, total))
        self._over = True

    def ready(self) -> int:
        """Return how many frames have outputs on both sides: all that there ever will be, once the speech is over."""
        if self._over:
            return sys.maxsize
        last = (self._end - 1) * self._about.stride + (self._about.field - 1) / 2
        return max(0, int(np.ceil(last * self._fps / SAMPLE_RATE)))

    def inputs(self, first: int, end: int) -> Tensor:
        """Return the features (1, T, W) of frames first … end - 1; beyond the first and the last output they stay the same."""
        frames = torch.arange(first, end, dtype=torch.float64, device=self._outputs.device)
        place = (self._about.position(frames, self._fps) - self._first).clamp(0, len(self._outputs) - 1)
        below = place.long()
        above = (below + 1).clamp(max=len(self._outputs) - 1)
        return torch.lerp(self._outputs[below], self._outputs[above], (place - below).float()[:, None])[None]

    def forget(self, before: int) -> None:
        """Drop what only frames before frame `before` need."""
        keep = int(self._about.position(torch.tensor(float(before)), self._fps)) - 1 - self._first
        if 0 < keep < len(self._outputs):
            self._outputs, self._first = self._outputs[keep:].clone(), self._first + keep

    @property
    def _end(self) -> int:
        return self._first + len(self._outputs)

    def _run(self, end: int, reach: int) -> None:
        """Make the outputs up to `end`, from speech up to what output `reach` - 1 sees."""
        about, done = self._about, self._end
        first = max(0, done - MARGIN)
        window = self._speech[first * about.stride - self._offset : (reach - 1) * about.stride + about.field - self._offset]
        outputs = self._encoder.window(window)[done - first : end - first]
        self._outputs = torch.cat([self._outputs, outputs])
        start = max(0, end - MARGIN) * about.stride  # of the next window
        self._speech, self._offset = self._speech[start - self._offset :], start


def frontend_of(config: ModelConfig, device: torch.device) -> PretrainedFrontend:
    """Return what hears for a model that was trained with a pretrained encoder.

    Raises:
        ModelError: the encoder is not there, damaged, or not the one.
    """
    return PretrainedFrontend(load_encoder(verified(config), device), config.fps)
