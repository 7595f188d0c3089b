"""How fast motions are drawn, against the loop that builds a mesh for every frame; and that memory does not grow with length.

    python benchmarks/render.py [--frames 90] [--size 512] [--memory]

For each mesh, in one process, one after the other: `draw_frames`, `render_video` (drawing, encoding and waiting for the
encoder, without the start), and the loop as published scripts have it: trimesh.Trimesh, pyrender.Mesh.from_trimesh, a new
scene with three lights, pyrender's own shader, one renderer for all frames (many scripts make even that anew). --memory
renders one minute and ten into .mp4 at 64x64, each in a process of its own, and prints the peaks.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from talker_cli.head import build_head
from talker_cli.render import MotionTrack, RenderOptions, draw_frames, read_track, render_video
from talker_cli.rig import Rig

FPS = 30.0


def head_track(frames: int) -> MotionTrack:
    """Return the built-in head, speaking vowels."""
    rig = build_head().rig
    return MotionTrack(rig, rig.decode(_vowels(rig, frames)), FPS)


def _vowels(rig: Rig, frames: int) -> np.ndarray:
    coefficients = np.zeros((frames, len(rig.names)), np.float32)
    coefficients[:, rig.names.index("jawOpen")] = 0.5 * np.sin(np.arange(frames) / 4) ** 2
    coefficients[:, rig.names.index("mouthFunnel")] = 0.5 * np.sin(np.arange(frames) / 7) ** 2
    return coefficients


def mask_track(frames: int, rows: int = 190, columns: int = 123) -> MotionTrack:
    """Return a bulging mask of 23,370 vertices, as many as BIWI's, whose lower half moves."""
    x, y = np.meshgrid(np.linspace(-0.08, 0.08, columns), np.linspace(0.12, -0.12, rows))
    template = np.stack([x, y, 0.08 - 7 * x**2 - 3 * y**2 + 0.002 * np.sin(300 * x) * np.sin(260 * y)], -1).reshape(-1, 3)
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.concatenate([np.stack([a, a + columns, a + 1], 1), np.stack([a + 1, a + columns, a + columns + 1], 1)])
    basis = np.zeros((1, len(template), 3), np.float32)
    basis[0, :, 1] = -0.03 * np.clip(-template[:, 1] / 0.12, 0, 1)
    rig = Rig(template.astype(np.float32), faces.astype(np.int32), basis, ("down",), {}, np.zeros((0, 2), np.int32), FPS)
    return MotionTrack(rig, rig.decode(np.sin(np.arange(frames, dtype=np.float32) / 4)[:, None] ** 2), FPS)


def rate_of_drawing(track: MotionTrack, size: int) -> tuple[float, float, float]:
    """Return frames a second after the first, milliseconds of processor a frame, and seconds to the first."""
    start = time.perf_counter()
    images = draw_frames(track.frames, track.rig, size=(size, size))
    next(images)
    first, busy = time.perf_counter(), time.process_time()
    drawn = sum(1 for _ in images)
    return drawn / (time.perf_counter() - first), 1000 * (time.process_time() - busy) / drawn, first - start


def rate_of_encoding(track: MotionTrack, size: int, folder: Path) -> float:
    """Return frames a second of a video in .mp4, from the first frame to the finished file."""
    marks: list[float] = []
    render_options = RenderOptions((size, size))
    render_video([track], folder / "video.mp4", render_options, on_frame=lambda done, total: marks.append(time.perf_counter()))
    return (len(marks) - 1) / (time.perf_counter() - marks[0])


def rate_of_rebuilding(track: MotionTrack, size: int) -> tuple[float, float]:
    """Return frames a second, and milliseconds of processor a frame, of the loop that builds everything for every frame."""
    import pyrender
    import trimesh

    renderer = pyrender.OffscreenRenderer(size, size)
    center = track.rig.template.mean(axis=0)
    camera = np.eye(4)
    camera[:3, 3] = center + np.array([0, 0, 1.2 * np.ptp(track.rig.template[:, 1])])
    start, busy = time.perf_counter(), time.process_time()
    for vertices in track.frames:
        mesh = trimesh.Trimesh(vertices, track.rig.faces, vertex_colors=track.rig.colors, process=False)
        scene = pyrender.Scene(ambient_light=[0.2, 0.2, 0.2], bg_color=[0, 0, 0])
        scene.add(pyrender.Mesh.from_trimesh(mesh, smooth=True))
        scene.add(pyrender.PerspectiveCamera(yfov=0.8, znear=0.01, zfar=10.0), pose=camera)
        for angle in (-0.6, 0.0, 0.6):
            turn = np.eye(4)
            turn[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
            scene.add(pyrender.DirectionalLight(color=np.ones(3), intensity=2.0), pose=turn)
        image, _ = renderer.render(scene, flags=pyrender.RenderFlags.SKIP_CULL_FACES)
        assert image.max() > 0, "a black frame"
    count = len(track.frames)
    rate, cost = count / (time.perf_counter() - start), 1000 * (time.process_time() - busy) / count
    renderer.delete()
    return rate, cost


def peak_of(seconds: float, folder: Path) -> int:
    """Return the peak memory, MiB, of a process that renders a motion of that length."""
    motion = folder / f"{seconds:g}.npy"
    rig = build_head().rig
    count = round(seconds * FPS)
    frames = np.lib.format.open_memmap(motion, mode="w+", dtype=np.float32, shape=(count, len(rig.template), 3))
    for start in range(0, count, 300):
        frames[start : start + 300] = rig.decode(_vowels(rig, min(300, count - start)))
    del frames
    np.savez(folder / "face.npz", vertices=rig.template, faces=rig.faces)
    script = [sys.executable, __file__, "--video", str(motion), str(folder / "face.npz")]
    done = subprocess.run(script, check=True, capture_output=True, text=True)
    motion.unlink()
    return int(done.stdout)


def video(motion: Path, template: Path) -> None:
    """Film a motion, and print this process' peak memory in MiB."""
    render_video([read_track(motion, template=template, fps=FPS)], motion.with_suffix(".mp4"), RenderOptions((64, 64)))
    # Not getrusage's peak, which counts what the parent held when it started this process.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024)


def main() -> None:
    """Measure and print."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--video", nargs=2, type=Path)
    options = parser.parse_args()
    if options.video:
        video(*options.video)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.memory:
            one, ten = peak_of(60, folder), peak_of(600, folder)
            print(f"peak memory: {one} MiB for 1 minute, {ten} MiB for 10 minutes")
            return
        print(f"{options.size}x{options.size}, {options.frames} frames, {os.cpu_count()} cores")
        print("| mesh | vertices | drawn /s | encoded /s | rebuilt /s | drawn : rebuilt | CPU ms | rebuilt | first s |")
        print("|---|---|---|---|---|---|---|---|---|")
        for label, track in (("head", head_track(options.frames)), ("mask", mask_track(options.frames))):
            drawn, cost, first = rate_of_drawing(track, options.size)
            encoded = rate_of_encoding(track, options.size, folder)
            rebuilt, rebuilt_cost = rate_of_rebuilding(track, options.size)
            row = (label, len(track.rig.template), f"{drawn:.1f}", f"{encoded:.1f}", f"{rebuilt:.1f}", f"{drawn / rebuilt:.1f}")
            costs = f"{cost:.1f} | {rebuilt_cost:.1f} | {first:.2f}"
            print("| " + " | ".join(map(str, row)) + f" | {costs} |")


if __name__ == "__main__":
    main()
