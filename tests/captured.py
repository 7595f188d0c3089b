"""Small captures in the layouts of real datasets: a face of 66 vertices whose lips part, and people who speak with it."""

import pickle
import struct
import wave
from pathlib import Path

import numpy as np
from conftest import spoken

from talker_cli.data import biwi, vocaset

COLUMNS, ROWS = 7, 9
SLIT_ROW, SLIT = 3, (2, 3, 4)  # the lower lip's row, the columns where the mouth opens


def tiny_face() -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (66, 3) float32, metres, and faces: a curved sheet of 60 by 140 mm with a slit for a mouth.

    Vertices 63, 64, 65 are the lower lip under the upper lip's vertices of SLIT_ROW.
    """
    x, y = np.meshgrid(np.linspace(-0.03, 0.03, COLUMNS), np.linspace(-0.045, 0.095, ROWS))
    sheet = np.stack([x, y, 0.02 - 15 * x**2], -1).reshape(-1, 3)
    upper = [SLIT_ROW * COLUMNS + column for column in SLIT]
    vertices = np.concatenate([sheet, sheet[upper] - (0, 5e-4, 0)]).astype(np.float32)
    lower = dict(zip(upper, range(ROWS * COLUMNS, len(vertices)), strict=True))
    faces = []
    for row in range(ROWS - 1):
        for column in range(COLUMNS - 1):
            a, b = row * COLUMNS + column, (row + 1) * COLUMNS + column
            corners = [a, a + 1, b + 1, b]
            if row == SLIT_ROW - 1:  # the faces under the slit hang on the lower lip
                corners = [lower.get(corner, corner) for corner in corners]
            faces += [corners[:3], [corners[0], *corners[2:]]]
    return vertices, np.array(faces, np.int32)


TEMPLATE, FACES = tiny_face()
PAIRS = [[SLIT_ROW * COLUMNS + column, ROWS * COLUMNS + place] for place, column in enumerate(SLIT)]


def person(number: int) -> np.ndarray:
    """Return a neutral face (V, 3) float32 of a person: a little wider or longer than the next."""
    return (TEMPLATE * (1 + 0.02 * np.sin([number, 2 * number, 3 * number]))).astype(np.float32)


def modes() -> np.ndarray:
    """Return (4, V, 3) what moves: jaw, upper lip, corners, brows; metres at full."""
    move = np.zeros((4, len(TEMPLATE), 3))
    y = TEMPLATE[:, 1]
    below = (y < TEMPLATE[PAIRS[0][0], 1] - 1e-4).astype(float)
    move[0, :, 1] = -0.02 * below
    move[0, :, 2] = -0.004 * below
    move[1, [pair[0] for pair in PAIRS], 1] = 0.003
    for column, side in ((1, -1), (5, 1)):
        move[2, SLIT_ROW * COLUMNS + column] = (0.004 * side, 0, -0.001)
    move[3, y > 0.06, 1] = 0.003
    return move


def speaking(number: int, frames: int, fps: float) -> np.ndarray:
    """Return vertices (T, V, 3) float64, metres, of a person who opens the mouth four times a second, each time differently."""
    rng = np.random.default_rng([7, number])
    t = np.arange(frames) / fps
    curves = np.stack([np.sin(2 * np.pi * rate * t + rng.uniform(0, 6, 1)) for rate in (4, 2.3, 1.1, 0.6)], 1)
    curves = np.clip(curves, 0, 1) * rng.uniform(0.7, 1.0, 4)
    return person(number) + np.einsum("tk,kvc->tvc", curves, modes())


def write_ply(path: Path, vertices: np.ndarray, faces: np.ndarray, kind: str = "float", index: str = "int") -> None:
    """Write a binary PLY, its numbers of these kinds: BIWI's comes with double and ushort."""
    formats = {"float": "<f4", "double": "<f8", "int": "<i4", "ushort": "<u2"}
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
        + "".join(f"property {kind} {axis}\n" for axis in "xyz")
        + f"element face {len(faces)}\nproperty list uchar {index} vertex_indices\nend_header\n"
    )
    rows = np.zeros(len(faces), [("n", "u1"), ("v", formats[index], 3)])
    rows["n"], rows["v"] = 3, faces
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode() + vertices.astype(formats[kind]).tobytes() + rows.tobytes())


def write_wav(path: Path, seconds: float, rate: int) -> None:
    """Write speech-like sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes((spoken(seconds, rate) * 32767).astype("<i2").tobytes())


def sentences(subjects: tuple[str, ...], names: tuple[str, ...]) -> list[tuple[int, str, str, int]]:
    """Return (number, subject, sentence, frames at 60 a second), each take of another length."""
    found = []
    for row, subject in enumerate(subjects):
        for sentence in names:
            number = len(found)
            found.append((row, subject, sentence, 70 + 2 * (number % 5)))
    return found


VOCASET_TAKES = sentences(vocaset.SUBJECTS, ("sentence01", "sentence21"))


def vocaset_original(folder: Path) -> Path:
    """Write VOCASET as it is downloaded: one array of all frames, scattered and out of order, and pickles as Python 2's."""
    folder.mkdir(parents=True)
    index: dict[str, dict[str, dict[int, int]]] = {}
    audio: dict[str, dict[str, dict[str, object]]] = {}
    rng = np.random.default_rng(3)
    blocks, start = [], 5  # five rows of nobody's, NaN: as unused rows may be
    blocks.append(np.full((5, len(TEMPLATE), 3), np.nan))
    for row, subject, sentence, frames in VOCASET_TAKES:
        blocks.append(speaking(row, frames, 60.0))
        order = rng.permutation(frames)
        index.setdefault(subject, {})[sentence] = {int(frame): start + int(frame) for frame in order}
        start += frames
        sound = (spoken(frames / 60 + 0.1, 22000) * 32767).astype(np.int16)
        audio.setdefault(subject, {})[sentence] = {"sample_rate": 22000, "audio": sound}
    np.save(folder / "data_verts.npy", np.concatenate(blocks))
    templates = {subject: person(row).astype(np.float64) for row, subject in enumerate(vocaset.SUBJECTS)}
    for name, content in (("subj_seq_to_idx", index), ("raw_audio_fixed", audio), ("templates", templates)):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content, 2))
    write_ply(folder / "FLAME_sample.ply", TEMPLATE, FACES)
    return folder


def write_masks(folder: Path) -> None:
    """Write FLAME_masks.pkl: the three columns about the slit, and the rows of the brow."""
    lips = [*range(SLIT_ROW * COLUMNS + 1, SLIT_ROW * COLUMNS + 6), 63, 64, 65, 65]
    masks = {"lips": np.array(lips), "forehead": np.arange(56, 63), "eye_region": np.arange(49, 56), "face": np.arange(66)}
    (folder / "FLAME_masks.pkl").write_bytes(pickle.dumps(masks, 2))


def vocaset_converted(folder: Path) -> Path:
    """Write the same takes as most repositories convert them."""
    for row, subject, sentence, frames in VOCASET_TAKES:
        path = folder / "vertices_npy" / f"{subject}_{sentence}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, speaking(row, frames, 60.0).reshape(frames, -1))
        write_wav(folder / "wav" / f"{subject}_{sentence}.wav", frames / 60 + 0.1, 22000)
    templates = {subject: person(row).astype(np.float64) for row, subject in enumerate(vocaset.SUBJECTS)}
    (folder / "templates.pkl").write_bytes(pickle.dumps(templates, 2))
    write_ply(folder / "templates" / "FLAME_sample.ply", TEMPLATE, FACES)
    return folder


BIWI_TAKES = sentences(biwi.SUBJECTS, ("e01", "e33", "e37", "05"))
RAW_SCALE = np.float32(1234.5)  # of the raw files' unit, which the normalisation takes away


def biwi_raw_frame(vertices: np.ndarray) -> np.ndarray:
    """Return metres as the raw files have them: turned about x, moved and scaled."""
    return ((vertices * (1, -1, -1)) * RAW_SCALE + (12, -34, 900)).astype(np.float32)


def biwi_raw(folder: Path) -> Path:
    """Write BIWI as it was given out: a .vl file for each frame, an .obj for each person."""
    for row, subject, sentence, frames in BIWI_TAKES:
        place = folder / "faces" / subject / sentence
        place.mkdir(parents=True)
        for number, vertices in enumerate(speaking(row, frames // 4, 25.0), 1):
            data = struct.pack("<I", len(vertices)) + biwi_raw_frame(vertices).tobytes()
            (place / f"frame_{number:03}.vl").write_bytes(data)
        write_wav(folder / "wav" / f"{subject}_{sentence}.wav", frames / 4 / 25 + 0.1, 44100)
    (folder / "rigid_scans").mkdir()
    for row, subject in enumerate(biwi.SUBJECTS):
        lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in biwi_raw_frame(person(row))]
        lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in FACES + 1]
        (folder / "rigid_scans" / f"{subject}.obj").write_text("\n".join(lines))
    return folder


def biwi_converted(folder: Path) -> Path:
    """Write the same takes as most repositories convert them: normalised, float64, faces of 16 bits."""
    for row, subject, sentence, frames in BIWI_TAKES:
        path = folder / "vertices_npy" / f"{subject}_{sentence}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.stack([unit(v).ravel() for v in speaking(row, frames // 4, 25.0)]))
        write_wav(folder / "wav" / f"{subject}_{sentence}.wav", frames / 4 / 25 + 0.1, 44100)
    (folder / "templates.pkl").write_bytes(pickle.dumps({name: unit(person(row)) for row, name in enumerate(biwi.SUBJECTS)}, 2))
    write_ply(folder / "BIWI.ply", TEMPLATE, FACES, "double", "ushort")
    (folder / "regions").mkdir()
    (folder / "regions" / "lve.txt").write_text(", ".join(str(v) for pair in PAIRS for v in pair))
    (folder / "regions" / "fdd.txt").write_text(",".join(map(str, range(49, 63))))
    return folder


def unit(vertices: np.ndarray) -> np.ndarray:
    """Return a face (V, 3) as CodeTalker normalises it, worked out triangle by triangle."""
    centred = vertices.astype(np.float64) - vertices.astype(np.float64).mean(0)
    area = 0.0
    for a, b, c in FACES:
        one, other = centred[b] - centred[a], centred[c] - centred[a]
        area += 0.5 * float(np.sqrt(one @ one * (other @ other) - (one @ other) ** 2))
    return centred / area**0.5


def own_captures(folder: Path, fps: float = 60.0) -> Path:
    """Write a user's captures: two people, in millimetres, (T, V, 3) and (T, V*3), one recording as m4a's like: flac."""
    folder.mkdir(parents=True)
    for row, who in enumerate(("Ada", "Bert")):
        for take in range(5):
            vertices = (1000 * speaking(10 * row + take, 80, fps)).astype(np.float32)
            np.save(folder / f"{who}_{take}.npy", vertices if take else vertices.reshape(80, -1))
            write_wav(folder / f"{who}_{take}.wav", 80 / fps + (0.2 if take else -0.19), 48000)
    write_ply(folder / "face.ply", 1000 * TEMPLATE, FACES)
    return folder
