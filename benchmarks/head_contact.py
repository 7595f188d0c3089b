"""Do lips and teeth pass through each other? Signed distances over random speech-like coefficient vectors.

    python benchmarks/head_contact.py [--vectors 2000] [--people]

Each vector moves all shapes of fluent speech at once, distributed as in captures (head/clearance.py says how). For every
vertex of the teeth's crowns the distance to lips and cheeks is measured, negative inside the flesh; so is the time to build.
"""

import argparse
import sys
import time

import numpy as np

from talker_cli.head import PEOPLE, build_head
from talker_cli.head.assemble import rest_head
from talker_cli.head.clearance import speech_like, tooth_clearance


def show(text: str) -> None:
    """Write one line of results."""
    sys.stdout.write(text + "\n")


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--people", action="store_true", help="everybody, not the template alone")
    options = parser.parse_args()
    started = time.process_time()
    content = build_head(PEOPLE if options.people else ())
    show(f"{len(content.rig.template)} vertices, built in {time.process_time() - started:.2f} s of processor time")
    layout = rest_head()[1].layout
    coefficients = speech_like(options.vectors, options.seed)
    rigs = {"template": content.rig} | {name: content.rig_of(name) for name in content.identities}
    for name, rig in rigs.items():
        nearest = 1e3 * tooth_clearance(rig, layout, coefficients).min(axis=1)
        show(
            f"{name}: nearest {nearest.min():+.2f} mm, 1st percentile {np.percentile(nearest, 1):+.2f} mm, "
            f"{int((nearest < 0).sum())} of {len(nearest)} vectors touch"
        )


if __name__ == "__main__":
    main()
