"""Capture against known truth: the built-in head in known coefficients and poses, rendered, captured and compared.

    .venv/bin/python benchmarks/capture_truth.py face_landmarker.task -o truth/

Three people, each 250 frames of the model's own speech and 84 of expressions, the head turning by up to 15 degrees, at 360x288
and 720x576. The videos stay in the folder, so that another run only captures and compares. Prints, for each size and for the
fit given the landmarks' true places: correlation by coefficient, error of the mouth gap, of the lids and of the head.
"""

import argparse
import json
import os
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from talker_cli.animate.talker import Talker
from talker_cli.capture.clip import capture
from talker_cli.capture.fit import LandmarkModel
from talker_cli.capture.landmarks import MOUTH_CORNERS
from talker_cli.capture.pose import remove_pose
from talker_cli.model.built_in import built_in_head
from talker_cli.render.encoder import encode
from talker_cli.render.video import draw_frames
from talker_cli.rig import ARKIT_NAMES, RigFile

PEOPLE = ("FaceTalk_170725_00137_TA", "FaceTalk_170915_00223_TA", "FaceTalk_170913_03279_TA")
SIZES = ((360, 288), (720, 576))
SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"
SPOKEN, EXPRESSIONS = 250, 84  # frames
PIVOT = np.array([0.0, -0.09, -0.02])  # metres: between skull and neck
TURN = np.radians([8.0, 15.0, 5.0])  # pitch, yaw, roll at most
SHOWN = 0.02  # root mean square of the true coefficient from which its correlation means something


def expressions(frames: int, fps: float, seed: int) -> np.ndarray:
    """Return (T, 52) coefficients: single shapes and pairs rise and fall, one after the other and overlapping."""
    rng = np.random.default_rng(seed)
    motion = np.zeros((frames, len(ARKIT_NAMES)))
    pairs = sorted({name.removesuffix("Left").removesuffix("Right") for name in ARKIT_NAMES} - {"tongueOut", "mouthClose"})
    t = np.arange(frames) / fps
    for number, name in enumerate(rng.permutation(pairs)):
        centre, width = (number + 0.5) / len(pairs) * t[-1], rng.uniform(0.15, 0.3)
        wave = rng.uniform(0.4, 0.9) * np.exp(-0.5 * ((t - centre) / width) ** 2)
        for side in ("", "Left", "Right"):
            if name + side in ARKIT_NAMES:
                motion[:, ARKIT_NAMES.index(name + side)] += wave * rng.uniform(0.7, 1.0)
    return np.clip(motion, 0, 1)


def poses(frames: int, fps: float, seed: int) -> np.ndarray:
    """Return (T, 3) pitch, yaw and roll, radians, of a head that looks about as it speaks."""
    rng = np.random.default_rng([5, seed])
    t = np.arange(frames)[:, None] / fps
    rates, phases = rng.uniform(0.15, 0.6, (3, 3)), rng.uniform(0, 6, (3, 3))
    waves = sum(weight * np.sin(2 * np.pi * rates[k] * t + phases[k]) for k, weight in enumerate((0.5, 0.3, 0.2)))
    return np.asarray(waves * TURN)


def turned(vertices: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return vertices (V, 3) turned by pitch, yaw and roll about the neck."""
    from scipy.spatial.transform import Rotation

    matrix = Rotation.from_euler("YXZ", angles[[1, 0, 2]]).as_matrix()
    return np.asarray((vertices - PIVOT) @ matrix.T + PIVOT, np.float32)


def render(folder: Path, head: RigFile, talker: Talker) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Draw what is missing; return the truth of each person: coefficients (T, 52), angles (T, 3), frames a second."""
    truth = {}
    for number, name in enumerate(PEOPLE):
        spoken = talker.animate(SPEECH, identity=name, seed=number)
        fps, start = spoken.fps, 40 * number
        motion = np.concatenate([spoken.weights[start : start + SPOKEN], expressions(EXPRESSIONS, fps, number)])
        angles = poses(len(motion), fps, number)
        truth[name] = (motion, angles, fps)
        for size in SIZES:
            place = folder / f"{name}_{size[0]}.mp4"
            if place.exists():
                continue
            rig = head.rig_of(name)
            frames = (turned(rig.decode(row[None])[0], angle) for row, angle in zip(motion, angles, strict=True))
            with encode(place, size, fps, len(motion)) as encoder:
                for image in draw_frames(frames, rig, size=size, framed_by=rig.template):
                    encoder.write(image)
    return truth


def main() -> None:
    """Render, capture, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracker", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    head = built_in_head()
    model = LandmarkModel(head.rig, range(478))
    truth = render(arguments.output, head, Talker.load())

    def seen_as(motion: np.ndarray) -> dict[str, np.ndarray]:
        points = model.rest + np.einsum("pdk,tk->tpd", model.basis, motion.astype(float))
        corners = [model.index[number] for number in MOUTH_CORNERS]
        width = np.linalg.norm(points[:, corners[0]] - points[:, corners[1]], axis=1)
        return {"gap": model.gap(points) * 1e3, "width": width * 1e3, "lids": model.lids(points) * 1e3}

    def tracked(name: str, width: int) -> tuple[np.ndarray, np.ndarray]:
        made = capture(arguments.output / f"{name}_{width}.mp4", head.rig, arguments.tracker)
        assert made.video.fps == truth[name][2] and len(made.coefficients) == len(truth[name][0])
        return made.coefficients, made.rotation

    def told(name: str) -> tuple[np.ndarray, np.ndarray]:
        motion, angles, _ = truth[name]
        own = LandmarkModel(head.rig_of(name), range(478))
        moved = own.rest + np.einsum("pdk,tk->tpd", own.basis, motion.astype(float))
        landmarks = np.stack([turned(points, angle) for points, angle in zip(moved, angles, strict=True)])
        known = np.ones(len(motion), bool)
        posed = remove_pose(landmarks, known, model.still, model.rest[model.still])
        return model.fit(posed, model.neutral([(posed, known)]), known).coefficients, posed.rotation

    ways = {f"{width}x{height}": partial(tracked, width=width) for width, height in SIZES}
    table: dict[str, object] = {}
    for way, found in {**ways, "true landmarks, without a tracker": told}.items():
        errors: dict[str, list[np.ndarray]] = {}
        pairs: list[tuple[np.ndarray, np.ndarray]] = []
        for name, (motion, angles, _) in truth.items():
            coefficients, rotation = found(name)
            one, other = seen_as(motion), seen_as(coefficients)
            for key in one:
                errors.setdefault(key, []).append(other[key] - one[key])
                errors.setdefault(f"{key} r", []).append(np.corrcoef(one[key][:SPOKEN], other[key][:SPOKEN])[0, 1:])
            errors.setdefault("head", []).append(np.degrees(rotation - (angles - angles.mean(0))))
            shut = one["gap"] < 0.05
            errors.setdefault("shut", []).append((other["gap"] < 1.0)[shut])
            errors.setdefault("open", []).append((other["gap"] >= 1.0)[one["gap"] > 2.0])
            pairs.append((motion, coefficients))
        joined = {key: np.concatenate(rows) for key, rows in errors.items()}
        gap, angle = np.abs(joined["gap"]), np.abs(joined["head"])
        rows: dict[str, object] = {
            "gap, error mm: mean, median, 95 %": [gap.mean(), np.median(gap), np.quantile(gap, 0.95)],
            "gap within 1 mm": (gap < 1).mean(),
            "gap within 1 mm in speech, by person": [(np.abs(each[:SPOKEN]) < 1).mean() for each in errors["gap"]],
            "gap r": joined["gap r"].tolist(), "width r": joined["width r"].tolist(), "lids r": joined["lids r"].tolist(),
            "width, mean error mm": np.abs(joined["width"] - joined["width"].mean()).mean(),
            "closed frames found": joined["shut"].mean(), "open frames found": joined["open"].mean(),
            "head, mean error degrees": angle.mean(0).tolist(), "head, 95 % degrees": np.quantile(angle, 0.95, 0).tolist(),
            "head, largest error degrees": angle.max(0).tolist(), "head within 2 degrees": (angle < 2).mean(0).tolist(),
        }  # fmt: skip
        curves = {}
        for column, shape in enumerate(ARKIT_NAMES):
            each = [(one[:, column], other[:, column]) for one, other in pairs]
            r = [np.corrcoef(*pair)[0, 1] if pair[1].std() > 1e-6 else 0.0 for pair in each if pair[0].std() > SHOWN]
            slope = [float(one @ other / (one @ one)) for one, other in each if one.std() > SHOWN]
            leak = np.mean([np.sqrt(np.square(other - one).mean()) for one, other in each])
            curves[shape] = (float(np.mean(r)) if r else None, float(np.mean(slope)) if slope else None, float(leak))
        table[way] = {**rows, "coefficients (r, slope, rms error)": curves}
        print(way)
        for key, value in rows.items():
            print(f"  {key}: {np.round(value, 3)}")
        for shape, (r, slope, leak) in curves.items():
            print(f"  {shape:20s} r {'-' if r is None else f'{r:.2f}'}  slope {slope or 0:.2f}  error {leak:.3f}")
    (arguments.output / "truth.json").write_text(json.dumps(table, indent=1, default=float))


if __name__ == "__main__":
    main()
