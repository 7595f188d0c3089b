"""A student that ONNX Runtime runs, on the CPU: no torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from talker_cli.errors import ModelError
from talker_cli.formats.schema import Schema, parse, reading
from talker_cli.metrics import Phones
from talker_cli.model.config import ModelConfig
from talker_cli.model.encoders import frontend_of
from talker_cli.model.frontend import SpeechFrontend
from talker_cli.model.onnx_session import open_graph

METADATA = "talker"


class _About(Schema):
    config: dict[str, Any]
    mean: list[float] = Field(min_length=1)
    std: list[float] = Field(min_length=1)
    styles: list[list[float]] = Field(min_length=1)
    weights: str


class OnnxRunner:
    """See `NetworkRunner`; the graph is `graph.export_student`'s.

    Args:
        path: Graph of a student.

    Attributes:
        inputs: Names of the graph's inputs, and the shapes of a frame of them.

    Raises:
        ModelError: it is missing, damaged or foreign.
        MachineError: ONNX Runtime is missing.
    """

    def __init__(self, path: Path) -> None:
        expected = "a student that talker wrote; export it again"
        self._session = open_graph(path, expected)
        with reading(path, expected, ModelError):
            metadata = self._session.get_modelmeta().custom_metadata_map.get(METADATA, "null")
            about = parse(_About, json.loads(metadata), str(path), ModelError, expected)
        self.config = ModelConfig.from_json(about.config, str(path))
        self.weights = about.weights
        self.mean, self.std, self._styles = (np.array(values, np.float32) for values in (about.mean, about.std, about.styles))
        self._check(path, expected)
        # A stage needs its own inputs, but all must be given: a frame of zeros, for the others.
        frame = self.config.mels_per_frame
        self.inputs = {each.name: [frame if isinstance(side, str) else side for side in each.shape]
                       for each in self._session.get_inputs()}  # fmt: skip
        self._unused = {name: np.zeros(shape, np.float32) for name, shape in self.inputs.items()}

    def _check(self, path: Path, expected: str) -> None:
        """Refuse a graph whose parts do not fit each other."""
        config = self.config
        widths = {"noisy": len(config.names), "speech_features": config.feature_width, "style": config.style_width}
        widths |= {"emotion": len(config.emotions)} if config.emotions else {}
        shapes = {each.name: each.shape for each in self._session.get_inputs()}
        fits = all(shapes.get(name, [None])[-1] == width for name, width in widths.items())
        same = self.mean.shape == self.std.shape == (len(config.names),)
        if not fits or not same or self._styles.shape != (len(config.identities), config.style_width):
            raise ModelError(f"{path} is damaged (its config is another model's); expected {expected}")

    def frontend(self, phones: Phones | None = None, *, live: bool = False) -> SpeechFrontend:
        """Return what turns speech into the input of the audio encoder."""
        return frontend_of(self.config, "cpu", phones, live=live)

    def encode(self, inputs: np.ndarray) -> np.ndarray:
        """Return the speech features (1, T, D)."""
        return self._run("features", encoder_input=inputs)

    def x0(
        self, x_t: np.ndarray, t: float, features: np.ndarray, style: np.ndarray, guidance: float, style_guidance: float | None,
        emotion: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Return the predicted x0 (1, T, K); a student has its guidance in its weights."""
        if not self.config.emotions:
            return self._run("x0", noisy=x_t, t=np.array([t]), speech_features=features, style=style)
        calm = np.zeros((*x_t.shape[:2], len(self.config.emotions)), np.float32)
        felt = calm if emotion is None else emotion
        return self._run("x0", noisy=x_t, t=np.array([t]), speech_features=features, style=style, emotion=felt)

    def read_styles(self, voices: np.ndarray) -> np.ndarray:
        """Return the styles (N, S)."""
        return self._run("styles", voice=voices)

    def told(self, measures: np.ndarray) -> np.ndarray:
        """Return the shares (N,)."""
        return self._run("told", voice=measures)

    def named_style(self, identity: str) -> np.ndarray:
        """Return the style (1, S)."""
        return self._styles[[self.config.identities.index(identity)]]

    def _run(self, output: str, **inputs: np.ndarray) -> np.ndarray:
        given = {name: np.ascontiguousarray(array, np.float32) for name, array in inputs.items()}
        result: np.ndarray = self._session.run([output], {**self._unused, **given})[0]
        return result
