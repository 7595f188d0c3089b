"""What a model is: one dataclass that is the architecture and travels in the checkpoint's metadata."""

import math
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, get_type_hints

from pydantic import ConfigDict, create_model

from talker_cli.errors import InputError, ModelError
from talker_cli.formats.schema import Schema, parse

PREDICTIONS = ("v", "x0", "regression")
LATER = ("voice_measures", "emotions", "eyes", "postfilter")
COMPACT = "compact"  # the audio encoder that is trained with the rest, on log-mel columns
WHISPER = "whisper"  # the first layers of Whisper base, frozen, which read phones
MAX_TIMESTEP = 256  # T of the teacher's full sampler, 2^8 so that it can be halved down to any power of two

# Far beyond what anyone trains: a damaged file must not take gigabytes.
MAX_WIDTH, MAX_BLOCKS, MAX_DILATION = 16_384, 256, 1024


@dataclass(frozen=True)
class ModelConfig:
    """The architecture and everything needed to run it.

    Args:
        kind: "teacher" or "student".
        rig: SHA-256 of the rig file the model was trained for.
        names: the K coefficient names.
        identities: rows of the identity table.
        fps: frames a second of motion and of speech features.
        audio_encoder: COMPACT, or the folder or hub name of a pretrained one, whose features a small head reads.
        pretrained_hash: of a pretrained encoder's weights, as `pretrained.describe` gives it; "" for COMPACT.
        pretrained_width: W of a pretrained encoder's features; 0 for COMPACT.
        mel_bands: bands of the log-mel spectrogram.
        mels_per_frame: spectrogram columns a motion frame.
        feature_width: D, width of the speech features.
        encoder_dilations: one encoder block each, in frames.
        voice_measures: Names of the measures of a voice that its style is read off; empty in the first models, which read
            log-mel columns.
        emotions: Names of the emotions whose strengths the denoiser reads; empty for none.
        eyes: For each identity how its eyes move: blinks a minute, depth of a blink, place of the lid, size of the looks aside;
            empty where that was not measured.
        postfilter: For each coefficient how far its second difference is taken from it after the last step, which makes it
            faster; empty for not at all.
        encoder_width: width inside the audio encoder, of a student that has its own; None is `feature_width`.
        style_width: S, width of a style vector.
        width: width of the denoiser.
        denoiser_dilations: one denoiser block each, in frames.
        prediction: what the denoiser's output means, "v" or "x0"; "regression" sees no noise and predicts x0 from speech and
            style alone: the deterministic model that diffusion is to be compared with.
        timesteps: of a student, the descending timesteps in 1…MAX_TIMESTEP it was distilled for; empty for a teacher.
        guidance_scale: the default at sampling, 1 = off; a student has it baked in and holds 1.
        temperature: Default sampling temperature: std of the noise that sampling starts from.
        upper_face: Names of the coefficients with a temperature of their own, such as brows.
        upper_face_temperature: Default sampling temperature of these; above 1 they move more often.
    """

    kind: str
    rig: str
    names: tuple[str, ...]
    identities: tuple[str, ...]
    fps: float = 30.0
    mel_bands: int = 80
    mels_per_frame: int = 4
    feature_width: int = 256
    encoder_dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4)
    style_width: int = 32
    width: int = 192
    denoiser_dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 1, 2, 4, 8, 16)
    prediction: str = "v"
    timesteps: tuple[int, ...] = ()
    guidance_scale: float = 1.0
    temperature: float = 1.0
    upper_face: tuple[str, ...] = ()
    upper_face_temperature: float = 1.0
    audio_encoder: str = COMPACT
    pretrained_hash: str = ""
    pretrained_width: int = 0
    encoder_width: int | None = None
    voice_measures: tuple[str, ...] = ()
    emotions: tuple[str, ...] = ()
    eyes: tuple[tuple[float, float, float, float], ...] = ()
    postfilter: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON-able values, without empty ones that the first models lack: their bytes stay the same."""
        return {name: value for name, value in asdict(self).items() if value or name not in LATER}

    @classmethod
    def from_json(cls, values: Any, origin: str = "the config") -> "ModelConfig":
        """Rebuild a config from `to_json`'s value.

        Args:
            values: JSON-able value.
            origin: The file that holds it, for messages.

        Raises:
            ModelError: a field is unknown, missing, of another type, or out of bounds.
        """
        expected = "weights of this version of talker"
        checked = parse(_SCHEMA, values, origin, ModelError, expected)
        config = cls(**{field.name: getattr(checked, field.name) for field in fields(cls)})
        for name in (name for name, holds in config._bounds().items() if not holds):
            found = str(getattr(config, name))
            raise ModelError(f"{origin} is damaged ({name} = {found[:40]} is out of bounds); expected {expected}")
        return config

    def _bounds(self) -> dict[str, bool]:
        """Return for each bounded field whether its value can be used."""
        descending = all(a > b for a, b in zip(self.timesteps, self.timesteps[1:], strict=False))
        widths = ("feature_width", "style_width", "width", "mel_bands", "mels_per_frame")
        return {
            "kind": self.kind in ("teacher", "student"),
            "names": 0 < len(self.names) == len(set(self.names)),
            "identities": 0 < len(self.identities) == len(set(self.identities)),
            "emotions": len(self.emotions) == len(set(self.emotions)) <= MAX_WIDTH and all(self.emotions),
            "eyes": len(self.eyes) in (0, len(self.identities)) and all(map(math.isfinite, sum(self.eyes, ()))),
            "postfilter": len(self.postfilter) in (0, len(self.names)) and all(0.0 <= gain <= 2.0 for gain in self.postfilter),
            "fps": 1.0 <= self.fps <= 1000.0,
            "prediction": self.prediction in PREDICTIONS,
            "timesteps": descending and all(0 < t <= MAX_TIMESTEP for t in self.timesteps)
            and bool(self.timesteps) == (self.kind == "student"),
            "temperature": 0.0 <= self.temperature <= 10.0,
            "upper_face_temperature": 0.0 <= self.upper_face_temperature <= 10.0,
            "guidance_scale": abs(self.guidance_scale) <= 100.0,
            "pretrained_width": 0 <= self.pretrained_width <= MAX_WIDTH,
            "encoder_width": self.encoder_width is None or 0 < self.encoder_width <= MAX_WIDTH,
            **{name: 0 < getattr(self, name) <= MAX_WIDTH for name in widths},
            **{
                name: 0 < len(getattr(self, name)) <= MAX_BLOCKS and all(0 < d <= MAX_DILATION for d in getattr(self, name))
                for name in ("encoder_dilations", "denoiser_dilations")
            },
        }  # fmt: skip

    @property
    def reads_phones(self) -> bool:
        """Whether its encoder gives it posteriors of phones, in whose place known phones can be put."""
        return self.audio_encoder == WHISPER

    @property
    def encoder_halo(self) -> int:
        """Frames on either side of a frame whose speech its features depend on."""
        # Two frames more for the stem, and one for the spectrogram windows that reach over their frame's borders; what a
        # pretrained encoder looks at is not counted: its features are there before the network runs.
        return sum(self.encoder_dilations) + (3 if self.audio_encoder == COMPACT else 0)

    @property
    def denoiser_halo(self) -> int:
        """Frames on either side of a frame that one denoising step looks at."""
        return sum(self.denoiser_dilations)


class _Strict(Schema):
    model_config = ConfigDict(extra="forbid")  # an unknown field is another architecture


_SCHEMA: type[Schema] = create_model(
    "_SCHEMA",
    __base__=_Strict,
    **{  # type: ignore[call-overload]
        field.name: (get_type_hints(ModelConfig)[field.name], ... if field.default is MISSING else field.default)
        for field in fields(ModelConfig)
    },
)


@dataclass(frozen=True)
class Architecture:
    """The part of a `ModelConfig` that a training chooses; what data and sampling say is left out. Fields as there.

    Raises:
        InputError: a width or a dilation is under 1, no encoder is named, or there is no such prediction.
    """

    audio_encoder: str = ModelConfig.audio_encoder
    feature_width: int = ModelConfig.feature_width
    encoder_dilations: tuple[int, ...] = ModelConfig.encoder_dilations
    style_width: int = ModelConfig.style_width
    width: int = ModelConfig.width
    denoiser_dilations: tuple[int, ...] = ModelConfig.denoiser_dilations
    prediction: str = ModelConfig.prediction

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "prediction":
                if value not in PREDICTIONS:
                    raise InputError(f"found prediction = {value}; expected {' or '.join(PREDICTIONS)}")
            elif field.name == "audio_encoder":
                if not value:
                    raise InputError(f"found no audio_encoder; expected {COMPACT}, or a pretrained one's folder or hub name")
            elif min(value if isinstance(value, tuple) else (value,), default=0) < 1:
                raise InputError(f"found {field.name} = {value}; expected 1 or more")

    @classmethod
    def of(cls, config: ModelConfig) -> "Architecture":
        """Return the architecture of a model."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})
