"""Do lips shut on rigged heads where they shut on the built-in one? benchmarks/rigged_lips.py curves.csv flame.safetensors …

The curves are Live Link Face's, as of `talker animate examples/speech.wav -o curves.csv`; the rigs are `talker rig`'s.
"""

import sys
from pathlib import Path

import numpy as np

from talker_cli.data.livelink import read_csv
from talker_cli.model.built_in import built_in_head
from talker_cli.rig import Rig, load_rig

SHUT = 0.3  # mm, mean opening over the lip pairs


def gap(rig: Rig, coefficients: np.ndarray) -> np.ndarray:
    """Return (T,) the mean opening, mm, of a rig's lip pairs more than at rest, never negative."""
    return np.asarray(np.maximum(1e3 * coefficients @ rig.lip_gap_rows().T, 0.0).mean(1))


def main() -> None:
    """Print a line a rig."""
    coefficients = read_csv(Path(sys.argv[1]))[1][:, :52]
    own = gap(built_in_head().rig, coefficients)
    shut = own < SHUT
    for path in map(Path, sys.argv[2:]):
        other = gap(load_rig(path).rig.face, coefficients)
        print(
            f"{path.name}: shut in {np.mean(other[shut] < SHUT):.1%} of the {shut.mean():.1%} of frames where ours is, open in "
            f"{np.mean(other[~shut] >= SHUT):.1%} of the others; gaps correlate at {np.corrcoef(own, other)[0, 1]:.4f}"
        )


if __name__ == "__main__":
    main()
