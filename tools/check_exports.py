"""Check what `talker export` writes with other programs: Khronos' validator, three.js, a browser, OpenUSD.

    talker animate examples/speech.wav
    npm install --prefix /tmp/node gltf-validator three playwright-core     # and a Chromium: apt-get install chromium
    python3 -m venv /tmp/usd && /tmp/usd/bin/pip install usd-core numpy
    python tools/check_exports.py out.npy --node /tmp/node --usd /tmp/usd/bin/python --images /tmp/images

Prints a line for each check and ends with 1 if one failed. Look at the images.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))

from talker_cli.export.motion_clip import MotionClip, read_motion_clip

USD = """
import json, sys
import numpy as np
from pxr import Usd, UsdGeom, UsdSkel, UsdShade, UsdValidation, Vt
stage = Usd.Stage.Open(sys.argv[1])
coefficients, vertices = np.load(sys.argv[2]), np.load(sys.argv[3], mmap_mode="r")
root, cache = UsdSkel.Root(stage.GetDefaultPrim()), UsdSkel.Cache()
cache.Populate(root, Usd.PrimDefaultPredicate)
skeleton = cache.GetSkelQuery(UsdSkel.Skeleton(stage.GetPrimAtPath("/Face/Skeleton")))
motion = skeleton.GetAnimQuery()
weights = np.array([motion.ComputeBlendShapeWeights(t) for t in range(int(stage.GetEndTimeCode()) + 1)], np.float32)
mesh = stage.GetPrimAtPath("/Face/Head")
shapes = UsdSkel.BlendShapeQuery(UsdSkel.BindingAPI(mesh))
rows, offsets = shapes.ComputeBlendShapePointIndices(), shapes.ComputeSubShapePointOffsets()
rest, furthest = np.array(UsdGeom.Mesh(mesh).GetPointsAttr().Get()), 0.0
for t in range(0, len(weights), 20):
    points = Vt.Vec3fArray.FromNumpy(rest.copy())
    shapes.ComputeDeformedPoints(*shapes.ComputeSubShapeWeights(Vt.FloatArray(weights[t].tolist())), rows, offsets, points)
    skin = cache.GetSkinningQuery(mesh)
    if not skin.IsRigidlyDeformed():
        skin.ComputeSkinnedPoints(skeleton.ComputeSkinningTransforms(t), points, t)
    furthest = max(furthest, float(np.abs(np.array(points) - vertices[t]).max()))
every = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
print(json.dumps({
    "weights": bool(np.array_equal(weights, coefficients[:, : weights.shape[1]])),
    "names": list(motion.GetBlendShapeOrder()), "furthest": furthest,
    "said": [error.GetMessage() for error in UsdValidation.ValidationContext(every).Validate(stage)],
    "materials": bool(UsdGeom.Subset.ValidateFamily(UsdGeom.Mesh(mesh), "face", "materialBind")[0]),
}))
"""


def instants(clip: MotionClip) -> tuple[float, float]:
    """Return the seconds at which the lips are furthest apart, and the middle of the quietest third of a second."""
    gap = (clip.coefficients @ clip.rig.lip_gap_rows().T).mean(axis=1)
    sound, rate = soundfile.read(str(clip.audio), always_2d=True)
    width = rate // 3
    power = np.convolve((sound**2).mean(axis=1), np.ones(width), "valid")
    quiet = (int(power.argmin()) + width / 2) / rate
    opened, closed = gap.argmax(), min(round(quiet * clip.fps), len(gap) - 1)
    print(f"lips {1000 * gap[opened]:.1f} mm apart at {opened / clip.fps:.2f} s, "
          f"{1000 * gap[closed]:.1f} mm in the silence at {closed / clip.fps:.2f} s")  # fmt: skip
    return float(opened / clip.fps), float(closed / clip.fps)


def main() -> None:
    """Export, check, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion", type=Path)
    parser.add_argument("--node", type=Path, required=True, help="folder with node_modules")
    parser.add_argument("--usd", type=Path, required=True, help="a Python with usd-core")
    parser.add_argument("--chromium", type=Path, default=Path("/usr/bin/chromium"))
    parser.add_argument("--images", type=Path, required=True, help="folder for the screenshots")
    options = parser.parse_args()
    options.images.mkdir(parents=True, exist_ok=True)
    clip = read_motion_clip(options.motion)
    opened, closed = instants(clip)
    failed = False

    def check(what: str, good: bool, said: object = "") -> None:
        nonlocal failed
        failed |= not good
        print(f"{'ok  ' if good else 'FAIL'} {what} {said}")

    with tempfile.TemporaryDirectory() as folder:
        places = {kind: Path(folder) / f"a.{kind}" for kind in ("glb", "usda", "html")}
        command = [sys.executable, "-m", "talker_cli", "export", str(options.motion)]
        root = str(Path(__file__).parents[1])
        subprocess.run(
            [*command, *(word for place in places.values() for word in ("-o", str(place)))],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": root},
        )  # fmt: skip
        script = Path(__file__).with_suffix(".mjs")
        asked = {key: str(places[key]) for key in ("glb", "html")} | {"chromium": str(options.chromium)}
        asked |= {"node": str(options.node.resolve()), "images": str(options.images.resolve())}
        ran = subprocess.run(["node", script, json.dumps({**asked, "instants": [opened, closed]})],
                             check=True, stdout=subprocess.PIPE, text=True)  # fmt: skip
        browser = json.loads(ran.stdout)
        coefficients = options.motion.with_suffix(".coefficients.npy")
        asking = [options.usd, "-c", USD, places["usda"], coefficients, options.motion]
        ran = subprocess.run(asking, check=True, stdout=subprocess.PIPE, text=True)
        usd = json.loads(ran.stdout)

    check("glb: Khronos validator, errors and warnings", browser["issues"][:2] == [0, 0], browser["issues"])
    jaw = clip.rig.names.index("jawOpen")
    for seconds, found in zip((opened, closed), browser["three"], strict=True):
        expected = clip.coefficients[round(seconds * clip.fps), jaw]
        check(f"glb: three.js' jawOpen at {seconds:.2f} s", abs(found - expected) < 1e-5, f"{found:.4f}, {expected:.4f}")
    check("html: no request, no error", not browser["requests"] and not browser["errors"], browser["errors"][:3])
    check("html: plays, and the face moves", browser["played"] > 0.5 and browser["moved"] > 0, f"{browser['played']:.2f} s")
    check("html: turns and zooms by mouse", browser["turned"] > 0 and browser["zoomed"] > 0)
    check("usda: weights equal the motion", usd["weights"] and tuple(usd["names"]) == clip.rig.face_names)
    check("usda: vertices equal the motion's, m", usd["furthest"] < 1e-6, f"{usd['furthest']:.1e}")
    check("usda: OpenUSD's validators", not usd["said"] and usd["materials"], usd["said"][:3])
    print(f"look at {options.images}/page-{{open,closed,phone,side}}.png and three-{{open,closed}}.png")
    sys.exit(failed)


if __name__ == "__main__":
    main()
