"""Somebody's vertices as curves: benchmarks/converted_lips.py motion.npy flame.safetensors [FPS] [--head] prints what is kept.

The rig is `talker rig`'s of the motion's own template; vertices are in metres.
"""

import sys
from pathlib import Path

import numpy as np

from talker_cli.data.vertices import METRES
from talker_cli.formats.motion import read_motion
from talker_cli.model.built_in import built_in_head
from talker_cli.rig import ARKIT_NAMES, Rig, load_rig
from talker_cli.rigging.convert import to_curves

SHUT = (0.5, 1.0)  # mm, mean opening over the lip pairs
OPPOSITE = (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"))


def gap(rig: Rig, vertices: np.ndarray) -> np.ndarray:
    """Return (T,) the mean opening, mm, of a rig's lip pairs more than at rest, never negative."""
    upper, lower = rig.lip_pairs.T
    moved = vertices - rig.template
    return np.asarray(1e3 * np.maximum(moved[:, upper, 1] - moved[:, lower, 1], 0.0).mean(1))


def main() -> None:
    """Print the errors, and the lips of the vertices beside those of the curves, on the same mesh and on the built-in head."""
    head = "--head" in sys.argv
    places = [word for word in sys.argv[1:] if not word.startswith("--")]
    rig, own = load_rig(Path(places[1])).rig, built_in_head().rig.face
    clip, errors = to_curves(Path(places[0]), rig, "m", float(places[2]) if len(places) > 2 else None, head=head)
    print(f"{len(clip.coefficients)} frames: {errors}")
    curves = clip.coefficients[:, : len(ARKIT_NAMES)]
    if not head:
        given = gap(rig, read_motion(Path(places[0])).vertices * METRES["m"])
        for name, found in (
            ("the same mesh", gap(rig, rig.decode(curves))),
            ("the built-in head", gap(own, own.decode(curves))),
        ):
            for limit in SHUT:
                shut = given < limit
                print(
                    f"{name}, shut below {limit} mm: in {np.mean(found[shut] < limit):.1%} of the {shut.mean():.1%} of frames "
                    f"where the given lips are, open in {np.mean(found[~shut] >= limit):.1%} of the others"
                )
            print(f"{name}: gaps correlate at {np.corrcoef(given, found)[0, 1]:.4f}")
    for pair in OPPOSITE:
        both = np.minimum(*(curves[:, ARKIT_NAMES.index(name)] for name in pair))
        print(f"{pair[0]} and {pair[1]} at once: {both.mean():.3f} in the mean")


if __name__ == "__main__":
    main()
