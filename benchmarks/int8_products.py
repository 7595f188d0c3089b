"""Which of Whisper's matrix products bear int8: error of talker-base's mouth gap with each alone, and with those that ship so.

    tools/fetch_whisper.sh float/ --float
    python benchmarks/int8_products.py float/ PREPARED [--recordings 12]

The error is against the layers in half precision, on recordings of the prepared data set's validation split, spread over it.
`tools/convert_whisper.py` names the products that stay (FLOAT_PRODUCTS).
"""

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
from int8 import HearingRunner

from talker_cli.animate.animator import Animator
from talker_cli.data.dataset import Dataset
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import lip_gap
from talker_cli.model import whisper
from talker_cli.model.folder import GRAPH, main_weights, model_folder
from talker_cli.model.graph import quantise
from talker_cli.rig import load_rig

LONGEST = 5  # seconds of a recording


def products_of(path: Path) -> list[str]:
    """Return the names of a graph's matrix products with constants."""
    graph = onnx.load(str(path)).graph
    constants = {each.name for each in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Cast" and node.input[0] in constants}
    return [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] in constants]


def main() -> None:
    """Print a row a product, and one for those of the graph that ships."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layers", type=Path, help="Folder with Whisper's layers in half precision.")
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--recordings", type=int, default=12)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # of the quantiser, about shapes
    folder, shipped = model_folder("talker-base"), whisper.describe().folder
    rig = load_rig(folder / "rig.safetensors").rig
    dataset = Dataset(options.prepared)
    validation = [each.name for each in dataset.info.recordings if each.split == "validation"]
    spread = np.linspace(0, len(validation) - 1, options.recordings).round().astype(int)
    speech = [dataset.speech(validation[place])[: LONGEST * SAMPLE_RATE] for place in spread]

    def gaps(layers: Path) -> np.ndarray:
        animator = Animator(HearingRunner(main_weights(folder).with_suffix(GRAPH), layers), None)
        motions = (animator.coefficients(each, animator.config.identities[0]) for each in speech)
        return np.concatenate([lip_gap(rig.decode(motion), rig.template, rig.lip_pairs) for motion in motions])

    with tempfile.TemporaryDirectory() as made:
        changed = Path(made)
        for layers in (options.layers, changed):
            (layers / whisper.PHONES_FILE).write_bytes((shipped / whisper.PHONES_FILE).read_bytes())
        plain = options.layers / whisper.ENCODER
        truth, products = gaps(options.layers), products_of(plain)
        print(f"{'in int8':24s}{'gap err mm':>12s}{'95 %':>8s}")
        for name in (*products, "as shipped"):
            layers = shipped
            if name in products:
                layers = changed
                quantise(plain, changed / whisper.ENCODER, [each for each in products if each != name])
            errors = 1000 * np.abs(gaps(layers) - truth)
            print(f"{name:24s}{errors.mean():12.3f}{np.quantile(errors, 0.95):8.3f}", flush=True)


if __name__ == "__main__":
    main()
