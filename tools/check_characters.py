"""Check what `talker export --avatar` writes with other programs: Khronos' validator, three.js, Babylon.js, three-vrm.

    talker animate examples/speech.wav
    npm install --prefix /tmp/node gltf-validator three playwright-core @babylonjs/core @babylonjs/loaders @pixiv/three-vrm \\
        @pixiv/three-vrm-animation                              # and a Chromium: apt-get install chromium
    python tools/check_characters.py out.npy me.glb you.vrm --node /tmp/node --images /tmp/images

Prints a line for each check and ends with 1 if one failed. Look at the images: each shows a character from the front.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from talker_cli.formats.gltf import Glb

INSTANTS = 5


def bare(path: Path, place: Path) -> None:
    """Write a GLB without materials, whose textures Babylon cannot decode where there is no screen."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    tree, rest = json.loads(data[20 : 20 + size]), data[20 + size :]
    for key in ("images", "textures", "samplers"):
        tree.pop(key, None)
    tree["materials"] = [{} for _ in tree.get("materials", [])]
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    place.write_bytes(struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest)


def weights(glb: Glb) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Return the times of the last animation, seconds, and each node's weights (T, M)."""
    animation = glb.tree["animations"][-1]
    times = glb.array(animation["samplers"][0]["input"])
    found = {
        channel["target"]["node"]: glb.array(animation["samplers"][channel["sampler"]]["output"]).reshape(len(times), -1)
        for channel in animation["channels"]
        if channel["target"]["path"] == "weights"
    }
    return times, found


def nearest(rows: list[list[float]], expected: list[np.ndarray]) -> float:
    """Return how far the furthest expected row of weights is from its nearest row among those that a program shows."""
    return max(
        min((float(np.abs(row - np.array(each)).max()) for each in rows if len(each) == len(row)), default=9.0)
        for row in expected
    )


def main() -> None:
    """Export, check, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion", type=Path)
    parser.add_argument("avatar", type=Path, nargs="+")
    parser.add_argument("--node", type=Path, required=True, help="folder with node_modules")
    parser.add_argument("--chromium", type=Path, default=Path("/usr/bin/chromium"))
    parser.add_argument("--images", type=Path, required=True, help="folder for the screenshots")
    options = parser.parse_args()
    options.images.mkdir(parents=True, exist_ok=True)
    failed = False

    def check(what: str, good: bool, said: object = "") -> None:
        nonlocal failed
        failed |= not good
        print(f"{'ok  ' if good else 'FAIL'} {what} {said}")

    for avatar in options.avatar:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            spoken, vrma = folder / f"spoken{avatar.suffix}", folder / "spoken.vrma"
            outputs = [spoken, vrma] if avatar.suffix == ".vrm" else [spoken]
            command = [sys.executable, "-m", "talker_cli", "export", str(options.motion), "--avatar", str(avatar)]
            command += [word for output in outputs for word in ("-o", str(output))]
            root = str(Path(__file__).parents[1])
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": root})
            bare(spoken, folder / "plain.glb")
            times, rows = weights(Glb(spoken))
            instants = np.linspace(0.113, times[-1] - 0.1, INSTANTS)  # between frames
            front = -1 if "VRM" in Glb(avatar).tree.get("extensions", {}) else 1  # VRM 0.x looks along -z
            asked = {
                "avatar": str(avatar), "spoken": str(spoken), "plain": str(folder / "plain.glb"), "instants": instants.tolist(),
                "vrma": str(vrma) if len(outputs) > 1 else None, "front": front, "chromium": str(options.chromium),
                "node": str(options.node.resolve()), "images": str((options.images / avatar.stem).resolve()),
            }  # fmt: skip
            ran = subprocess.run(["node", Path(__file__).with_suffix(".mjs"), json.dumps(asked)],
                                 check=True, stdout=subprocess.PIPE, text=True)  # fmt: skip
            found = json.loads(ran.stdout.splitlines()[-1])
            check(f"{avatar}: Khronos validator, new errors", set(found["after"]) <= set(found["before"]), found["after"][:3])
            check(f"{avatar}: no error in the browser", not found["errors"], found["errors"][:3])
            for program in ("three", "babylon"):
                worst = 0.0
                for seconds, shown in zip(instants, found[program], strict=True):
                    expected = [
                        np.array([np.interp(seconds, times, column) for column in values.T]) for values in rows.values()
                    ]
                    worst = max(worst, nearest(shown, expected))
                check(
                    f"{avatar}: {program}.js' weights of {len(rows)} nodes at {INSTANTS} instants", worst < 1e-5, f"{worst:.1e}"
                )
            if len(outputs) > 1:
                check_vrma(check, avatar, vrma, found["vrma"], instants)
    print(f"look at {options.images}/*.png")
    sys.exit(failed)


def check_vrma(
    check: Callable[[str, bool, object], None], avatar: Path, vrma: Path, shown: list[dict[str, float]], instants: np.ndarray
) -> None:
    """Compare the expressions that three-vrm shows with those in the file."""
    glb = Glb(vrma)
    about = glb.tree["extensions"]["VRMC_vrm_animation"]["expressions"]
    nodes = {entry["node"]: name for entries in about.values() for name, entry in entries.items()}
    animation, worst = glb.tree["animations"][-1], 0.0
    times = glb.array(animation["samplers"][0]["input"])
    for channel in animation["channels"]:
        name = nodes.get(channel["target"]["node"])
        if name is None:
            continue
        values = glb.array(animation["samplers"][channel["sampler"]]["output"])[:, 0]
        for seconds, weights_ in zip(instants, shown, strict=True):
            worst = max(worst, abs(weights_.get(name, 9.0) - float(np.interp(seconds, times, values))))
    check(f"{avatar}: three-vrm's {len(nodes)} expressions of the .vrma", worst < 1e-5, f"{worst:.1e}")


if __name__ == "__main__":
    main()
