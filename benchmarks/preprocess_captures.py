"""Memory and time of preparing captures of the true size: VOCASET's 123,341 x 5,023 x 3 float64, or BIWI's 70,110-wide clips.

    python benchmarks/preprocess_captures.py vocaset FOLDER
    python benchmarks/preprocess_captures.py biwi FOLDER --sentences 12

The data are generated: a sheet with a slit that opens, in the real layout. VOCASET's array is a sparse file of 14.9 GB with
content in the rows that are used (6 GB of disk at 30 frames a second); of BIWI, so many sentences a training subject.
"""

import argparse
import json
import pickle
import resource
import shutil
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np

from talker_cli.data import biwi, vocaset
from talker_cli.formats.processes import MAXRSS_UNIT

VOCASET_ROWS, VOCASET_CLIPS = 123_341, 480
BIWI_FRAMES = 162  # of a clip: 3,879 in the 24 of test A
SHEETS = {"vocaset": (70, 71, 53), "biwi": (152, 153, 114)}  # rows, columns, columns of the slit: 5,023 and 23,370 vertices
MODES = 60


def sheet(rows: int, columns: int, slit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vertices (V, 3), faces (F, 3) and motions (M, V, 3), metres, of a curved sheet of 120 by 230 mm with a slit."""
    x, y = np.meshgrid(np.linspace(-0.06, 0.06, columns), np.linspace(-0.08, 0.15, rows))
    points = np.stack([x, y, 0.03 - 10 * x**2], -1).reshape(-1, 3)
    mouth = round(0.08 / 0.23 * (rows - 1))
    left = (columns - slit) // 2
    upper = np.arange(mouth * columns + left, mouth * columns + left + slit)
    vertices = np.concatenate([points, points[upper] - (0, 5e-4, 0)])
    lower = dict(zip(upper.tolist(), range(rows * columns, len(vertices)), strict=True))
    faces = []
    for row in range(rows - 1):
        for column in range(columns - 1):
            a, b = row * columns + column, (row + 1) * columns + column
            corners = [a, a + 1, b + 1, b]
            if row == mouth - 1:
                corners = [lower.get(corner, corner) for corner in corners]
            faces += [corners[:3], [corners[0], *corners[2:]]]
    rng = np.random.default_rng(0)
    motions = np.zeros((MODES, len(vertices), 3))
    below = vertices[:, 1] < points[upper[0], 1] - 1e-4
    motions[0, below, 1] = -0.02 * np.cos(vertices[below, 0] * 20)
    for number in range(1, MODES):  # bumps, ever weaker
        centre = vertices[rng.integers(len(vertices))]
        near = np.exp(-np.square((vertices - centre) / 0.02).sum(1))
        motions[number] = near[:, None] * rng.normal(size=3) * 0.004 / number**0.7
    return vertices, np.array(faces, np.int32), motions


def write_ply(path: Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Write a binary PLY."""
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n{axes}element face {len(faces)}\n"
    rows = np.zeros(len(faces), [("n", "u1"), ("v", "<i4", 3)])
    rows["n"], rows["v"] = 3, faces
    header += "property list uchar int vertex_indices\nend_header\n"
    path.write_bytes(header.encode() + vertices.astype("<f4").tobytes() + rows.tobytes())


def sound(seconds: float, rate: int, seed: int) -> np.ndarray:
    """Return (S,) int16 of modulated noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    return (3000 * rng.standard_normal(len(t)) * np.sin(2 * np.pi * 4 * t).clip(0)).astype(np.int16)


def curves(frames: int, fps: float, seed: int) -> np.ndarray:
    """Return (T, M) smooth activations in 0…1."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None] / fps
    return np.sin(2 * np.pi * rng.uniform(0.3, 5, MODES) * t + rng.uniform(0, 6, MODES)).clip(0)


def make_vocaset(folder: Path) -> None:
    """Write VOCASET's layout."""
    vertices, faces, motions = sheet(*SHEETS["vocaset"])
    flat = motions.reshape(MODES, -1)
    lengths = np.full(VOCASET_CLIPS, VOCASET_ROWS // VOCASET_CLIPS)
    lengths[: VOCASET_ROWS - lengths.sum()] += 1
    array = np.lib.format.open_memmap(folder / "data_verts.npy", "w+", np.float64, (VOCASET_ROWS, len(vertices), 3))
    del array
    with (folder / "data_verts.npy").open("r+b") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        begin, width = stream.tell(), vertices.size * 8
        index: dict[str, dict[str, dict[int, int]]] = {}
        audio: dict[str, dict[str, dict[str, object]]] = {}
        row = 0
        for number, frames in enumerate(lengths.tolist()):
            subject, sentence = vocaset.SUBJECTS[number // 40], f"sentence{number % 40 + 1:02}"
            index.setdefault(subject, {})[sentence] = {frame: row + frame for frame in range(frames)}
            if number % 100 != 99:  # a few sequences lack their sound
                speech = sound(frames / 60, 22000, number)
                audio.setdefault(subject, {})[sentence] = {"sample_rate": 22000, "audio": speech}
            if vocaset.split_of(subject, sentence):
                content = vertices.ravel() + curves(frames, 60.0, number)[::2] @ flat
                for place, frame in enumerate(content):
                    stream.seek(begin + (row + 2 * place) * width)
                    stream.write(frame.tobytes())
            row += frames
    for name, content in (("subj_seq_to_idx", index), ("raw_audio_fixed", audio)):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content, 2))
    (folder / "templates.pkl").write_bytes(pickle.dumps(dict.fromkeys(vocaset.SUBJECTS, vertices), 2))
    write_ply(folder / "FLAME_sample.ply", vertices, faces)


def make_biwi(folder: Path, sentences: int) -> None:
    """Write BIWI's converted layout."""
    metres, faces, motions = sheet(*SHEETS["biwi"])
    corners = metres[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    flat = motions.reshape(MODES, -1)
    for name in ("vertices_npy", "wav"):
        (folder / name).mkdir()
    for row, subject in enumerate(biwi.SUBJECTS):
        for number in (*range(1, sentences - 1), 33, 37) if subject in biwi.TRAIN else (37,):
            name, seed = f"{subject}_e{number:02}", 100 * row + number
            np.save(
                folder / "vertices_npy" / f"{name}.npy", (metres.ravel() + curves(BIWI_FRAMES, 25.0, seed) @ flat) / area**0.5
            )
            with wave.open(str(folder / "wav" / f"{name}.wav"), "wb") as file:
                file.setparams((1, 2, 44100, 0, "NONE", ""))
                file.writeframes(sound(BIWI_FRAMES / 25, 44100, seed).tobytes())
    (folder / "templates.pkl").write_bytes(pickle.dumps(dict.fromkeys(biwi.SUBJECTS, metres / area**0.5), 2))
    write_ply(folder / "BIWI.ply", metres, faces)


def main() -> None:
    """Make the data where they are not there, prepare them in a process of its own, say what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", choices=("vocaset", "biwi"))
    parser.add_argument("folder", type=Path, help="for the generated data, kept, and the prepared dataset")
    parser.add_argument("--sentences", type=int, default=12, help="of a training subject of BIWI")
    parser.add_argument("--option", action="append", default=[], help="for talker preprocess, such as --option=--error=0.2mm")
    options = parser.parse_args()
    data, output = options.folder / options.source, options.folder / f"prepared-{options.source}"
    if not data.exists():
        begun = data.with_name(f"{data.name}-begun")  # so that what was stopped half-way is not taken for all of it
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        make_vocaset(begun) if options.source == "vocaset" else make_biwi(begun, options.sentences)
        begun.rename(data)
    command = [sys.executable, "-m", "talker_cli", "preprocess", options.source, str(data), "-o", str(output), *options.option]
    started = time.monotonic()
    subprocess.run(command, check=True)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * MAXRSS_UNIT
    about = json.loads((output / "dataset.json").read_text())
    clips = len(about["clips"])
    print(
        json.dumps(
            {
                "source": options.source,
                "clips": clips,
                "seconds": round(seconds, 1),
                "seconds_a_clip": round(seconds / clips, 3),
                "peak_memory_gib": round(peak / 2**30, 3),
                "components": about["notes"]["components"],
                "reconstruction_mm": about["notes"]["reconstruction_mm"],
            }
        )
    )


if __name__ == "__main__":
    main()
