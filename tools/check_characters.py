"""Check what `talker export --avatar` writes with other programs: Khronos' validator, three.js, Babylon.js, three-vrm.

    talker animate examples/speech.wav
    npm install --prefix /tmp/node gltf-validator three playwright-core @babylonjs/core @babylonjs/loaders @pixiv/three-vrm \\
        @pixiv/three-vrm-animation                  # for pictures, a Chromium too: apt-get install chromium
    python tools/check_characters.py out.npy me.glb you.vrm --node /tmp/node --images /tmp/images

Prints what the command says of each character and a line for each check, and ends with 1 if one failed. Look at the images:
each shows from the front what moves. Three.js unpacks Draco in a browser only, so such characters need --images.
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

from talker_cli.avatar.drive import lip_gap, look, read_driven_avatar
from talker_cli.avatar.names import arkit_name
from talker_cli.formats.gltf import Glb
from talker_cli.rig import ARKIT_NAMES

INSTANTS = 5
SHUT = 0.0005  # metres between lips that are shut
ADDED = {"accessors", "bufferViews", "animations"}


def chunks(path: Path) -> tuple[str, bytes]:
    """Return a GLB's JSON, and all that follows it."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    return data[20 : 20 + size].decode(), data[20 + size :]


def unchanged(before: Path, after: Path) -> str:
    """Return what a character's file lost, "" for nothing: numbers are compared as they are spelled, keys in their order."""

    def parsed(text: str) -> dict:
        pairs = json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=list)
        return {key: value if key in ADDED | {"buffers"} else json.dumps(value) for key, value in pairs}

    (text, binary), (new_text, new_binary) = chunks(before), chunks(after)
    old, new = parsed(text), parsed(new_text)
    lost = [key for key in old if key not in ADDED | {"buffers"} and old[key] != new.get(key)]
    lost += [key for key in ADDED & old.keys() if old[key] != new[key][: len(old[key])]]
    lost += sorted(new.keys() - old.keys() - ADDED)
    buffers, new_buffers = old.get("buffers", []), new["buffers"]
    if len(new_buffers) != max(len(buffers), 1) or buffers[1:] != new_buffers[1:]:
        lost.append("buffers")
    length = struct.unpack_from("<I", binary)[0] if binary else 0
    if binary[8 : 8 + length] != new_binary[8 : 8 + length]:
        lost.append("binary data")
    return ", ".join(lost)


def bare(path: Path, place: Path) -> None:
    """Write a GLB without materials, whose textures Babylon cannot decode where there is no screen."""
    text, rest = chunks(path)
    tree = json.loads(text)
    for key in ("images", "textures", "samplers"):
        tree.pop(key, None)
    tree["materials"] = [{} for _ in tree.get("materials", [])]
    data = json.dumps(tree).encode()
    data += b" " * (-len(data) % 4)
    place.write_bytes(struct.pack("<4sIIII", b"glTF", 2, 20 + len(data) + len(rest), len(data), 0x4E4F534A) + data + rest)


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


def asked_curves(glb: Glb, rows: dict[int, np.ndarray], motion: np.ndarray) -> tuple[int, int]:
    """Return how many targets have ARKit's names, and how many of those move exactly as the motion's (T, 52) say."""
    count = equal = 0
    for node, values in rows.items():
        mesh = glb.tree["meshes"][glb.tree["nodes"][node]["mesh"]]
        extras = [entry["extras"] for entry in (*mesh["primitives"], mesh) if "targetNames" in (entry.get("extras") or {})]
        for number, name in enumerate(extras[0]["targetNames"] if extras else []):
            if (shape := arkit_name(name)) is not None:
                count += 1
                equal += bool(np.abs(values[:, number] - motion[:, ARKIT_NAMES.index(shape)]).max() < 1e-6)
    return count, equal


def lips(avatar: Path, motion: np.ndarray) -> str:
    """Return how the mouth moves, were it the built-in head's: its gap against that of the motion's curves (T, 52)."""
    drive = read_driven_avatar(avatar).drive
    mouth = [number for number, control in enumerate(drive.controls) if number not in drive.idle and not control.meaning.above]
    looks = np.array([look(drive.controls, number) for number in mouth])
    made, asked = lip_gap(drive.values(motion)[:, mouth] @ looks), lip_gap(motion)
    if not made.any():
        return "no shape of the mouth moves"
    shut = asked < SHUT
    return (f"lips' gap: r {np.corrcoef(made, asked)[0, 1]:.3f}, {1000 * np.sqrt(((made - asked) ** 2).mean()):.2f} mm RMS; "
            f"shut in {(made[shut] < SHUT).sum()} of the {shut.sum()} frames that the curves shut")  # fmt: skip


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
    parser.add_argument("--images", type=Path, help="folder for pictures, by a Chromium; none are taken without")
    options = parser.parse_args()
    if options.images:
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
            environment = {**os.environ, "PYTHONPATH": root}
            told = subprocess.run(command, capture_output=True, text=True, env=environment)
            print(told.stderr.strip().replace(str(avatar), avatar.name))
            if told.returncode:
                check(f"{avatar}: speaks", False)
                continue
            lost = unchanged(avatar, spoken)
            check(f"{avatar}: all stays but for what is added", not lost, lost)
            bare(spoken, folder / "plain.glb")
            times, rows = weights(Glb(spoken))
            instants = np.linspace(0.113, times[-1] - 0.1, INSTANTS)  # between frames
            tree = Glb(avatar).tree
            front = -1 if "VRM" in tree.get("extensions", {}) else 1  # VRM 0.x looks along -z
            asked = {
                "avatar": str(avatar), "spoken": str(spoken), "plain": str(folder / "plain.glb"), "instants": instants.tolist(),
                "vrma": str(vrma) if len(outputs) > 1 else None, "front": front, "chromium": str(options.chromium),
                "node": str(options.node.resolve()),
                "images": str((options.images / avatar.stem).resolve()) if options.images else None,
                "draco": "KHR_draco_mesh_compression" in tree.get("extensionsUsed", []),
            }  # fmt: skip
            ran = subprocess.run(["node", Path(__file__).with_suffix(".mjs"), json.dumps(asked)],
                                 check=True, stdout=subprocess.PIPE, text=True)  # fmt: skip
            found = json.loads(ran.stdout.splitlines()[-1])
            new = [issue for issue, severity in found["after"].items() if issue not in found["before"]]
            check(f"{avatar}: Khronos validator, errors and warnings that are new", not new, new[:3])
            motion = np.load(options.motion.with_suffix(".coefficients.npy"))[:, : len(ARKIT_NAMES)]
            count, equal = asked_curves(Glb(spoken), rows, motion)
            moving = sum(int((values.max(axis=0) > values.min(axis=0)).sum()) for values in rows.values())
            print(f"     {moving} targets of {len(rows)} nodes move; {equal} of {count} with ARKit's names by their own curve")
            print(f"     {lips(avatar, motion)}")
            if options.images:
                check(f"{avatar}: no error in the browser", not found["errors"], found["errors"][:3])
            for program in (name for name in ("three", "babylon") if name in found):
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
    if options.images:
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
