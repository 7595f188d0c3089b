"""Mutated files for every reader: each must be read rightly, or refused in one line with exit code 2.

    .venv/bin/python benchmarks/fuzz.py --inputs 20000            # all targets, minutes
    .venv/bin/python benchmarks/fuzz.py --only livelink --seed 1234   # one input again, with its traceback

An input is a function of (target, seed): a valid file, mutated by bytes or by its structure. A fault is an exception that is
not a user's mistake, a message of several lines, a numpy warning, an output that holds NaN or cannot be read again, more than
10 s, or more than a gigabyte. Inputs run in forked workers, so that a reader that hangs ends its worker alone.
"""

import argparse
import copy
import json
import multiprocessing
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1])]

import numpy as np  # noqa: E402

SECONDS, GIGABYTE = 10.0, 1 << 30
SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 255, 2**31, 2**63, 10**30, -(10**400), 1e-320, 1e308, float("nan"), float("inf"), -0.5, "",
    "x", "nan", "30", "\x1b[31mred\x1b[0m", "a" * 70_000, "../../etc", "line\nbreak", "\ud800", "🙂", "</script>",
    [], {}, [[]], [None], [0] * 5000, {"": 0},
)  # fmt: skip
ODD_CELLS = (
    "", "nan", "inf", "-1", "1e400", "9" * 5000, "x", "00:00:00:99", "99:99:99:99", "1,5", "\x00", "é", "=1+1", " 1 ", "0x10",
)  # fmt: skip


def odd_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with a few of them changed, cut off, doubled, moved or put in."""
    work = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        where = rng.randrange(min(len(work), rng.choice((64, 512, 1 << 30)))) if work else 0
        match rng.randrange(7):
            case 0 if work:
                work[where] ^= 1 << rng.randrange(8)
            case 1:
                del work[where:]
            case 2:
                del work[where : where + rng.choice((1, 2, 4, 64))]
            case 3:
                work[where:where] = rng.randbytes(rng.choice((1, 4, 64)))
            case 4:
                number = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1))
                work[where : where + 4] = struct.pack("<Q", number)[: rng.choice((2, 4, 8))]
            case 5:
                work[where:where] = work[where : where + rng.choice((16, 256, 4096))]
            case 6:
                work[where : where + 16] = bytes(len(work[where : where + 16]))
    return bytes(work)


def odd_json(value: Any, rng: random.Random) -> Any:
    """Return a JSON value with a few of its places changed."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places: list[tuple[Any, Any]] = []
        todo = [value]
        while todo:
            at = todo.pop()
            keys: Iterable[Any] = at.keys() if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ()
            for key in list(keys)[:200]:
                places.append((at, key))
                todo.append(at[key])
        if not places:
            return copy.deepcopy(rng.choice(ODD))
        holder, key = rng.choice(places)
        match rng.randrange(8):
            case 0 | 1 | 2 | 3:
                holder[key] = copy.deepcopy(rng.choice(ODD))
            case 4:
                del holder[key]
            case 5:
                holder[key] = [holder[key]]
            case 6 if isinstance(holder, dict):
                holder[f"{key}2"] = copy.deepcopy(rng.choice(ODD))
            case _:
                other, place = rng.choice(places)
                if isinstance(other, dict) or place < len(other):
                    holder[key] = json.loads(json.dumps(other.get(place) if isinstance(other, dict) else other[place]))
    return value


def json_bytes(value: Any, rng: random.Random) -> bytes:
    """Return a JSON text, at times one that JSON does not allow or that nests without end."""
    if rng.random() < 0.03:
        depth = rng.choice((500, 2000, 200_000))
        return b"[" * depth + b"]" * rng.choice((0, depth))
    text = json.dumps(value)
    return (
        odd_bytes(text.encode("utf-8", "surrogatepass"), rng) if rng.random() < 0.15 else text.encode("utf-8", "surrogatepass")
    )


def odd_array(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """Return an array of other numbers, another shape or another type."""
    array = array.copy()
    match rng.randrange(8):
        case 0 if array.size and array.dtype.kind == "f":
            array.flat[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, -np.inf, 3e38))
        case 1 if array.size and array.dtype.kind in "iu":
            array.flat[rng.randrange(array.size)] = rng.choice((np.iinfo(array.dtype).max, np.iinfo(array.dtype).min))
        case 2:
            return array[: rng.randrange(len(array) + 1)] if array.ndim else array[None]
        case 3:
            return array.astype(rng.choice(("<f8", "<f2", "<i4", "|u1", "|b1", "<c8")))
        case 4:
            return array.reshape(-1)
        case 5:
            return array[None]
        case 6:
            return np.zeros((0, *array.shape[1:]), array.dtype)
        case _:
            return np.concatenate([array, array]) if array.ndim else array
    return array


def npy_bytes(array: np.ndarray, rng: random.Random) -> bytes:
    """Return a .npy file of a changed array, or with a header that does not fit it."""
    import io

    stream = io.BytesIO()
    choice = rng.randrange(6)
    if choice == 0:
        np.savez(stream, odd_array(array, rng), second=array)
        return stream.getvalue()
    if choice == 1:
        np.save(stream, np.array([{"a": 1}, None], object), allow_pickle=True)
        return stream.getvalue()
    np.save(stream, array if choice in (2, 3) else odd_array(array, rng))
    data = stream.getvalue()
    if choice == 2:
        shape = rng.choice(("(4000000000, 3)", "(-1, 3)", "(2, 3, 1e9)", "()", "(1,)*40", "(" * 300, "(9" + "9" * 30 + ", 3)"))
        text = (
            f"{{'descr': '{rng.choice(('<f4', '<f8', '|O', 'V3', '<U9'))}', 'fortran_order': False, 'shape': {shape}, }}".ljust(
                118
            )
        )
        return data[:8] + struct.pack("<H", len(text)) + text.encode() + data[128:]
    return odd_bytes(data, rng) if choice == 3 else data


def safetensors_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return a safetensors file with its metadata, its header or its numbers changed."""
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    match rng.randrange(6):
        case 0:
            return odd_bytes(data, rng)
        case 1 | 2:
            known = header["__metadata__"]
            for key in known:
                known[key] = json_bytes(odd_json(json.loads(known[key]), rng), rng).decode("utf-8", "replace")
        case 3:
            header = odd_json(header, rng)
        case 4:
            name = rng.choice([name for name in header if name != "__metadata__"])
            if rng.random() < 0.5:
                del header[name]
            else:
                header[name]["dtype"] = rng.choice(("BF16", "I64", "F64", "BOOL", "U8", "F8_E4M3"))
        case _:
            entry = rng.choice([entry for name, entry in header.items() if name != "__metadata__"])
            start, end = entry["data_offsets"]
            if end - start >= 4:
                place = start + 4 * rng.randrange((end - start) // 4)
                body[place : place + 4] = rng.choice(
                    (struct.pack("<f", np.nan), struct.pack("<f", np.inf), b"\xff\xff\xff\x7f", bytes(4))
                )
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + bytes(body)


def table_bytes(text: str, rng: random.Random, separator: str = ",") -> bytes:
    """Return a table of text with a few cells or lines changed."""
    if rng.random() < 0.2:
        return odd_bytes(text.encode(), rng)
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 5))):
        row = rng.randrange(len(lines)) if lines else 0
        match rng.randrange(6):
            case 0 | 1 | 2 if lines:
                cells = lines[row].split(separator)
                cells[rng.randrange(len(cells))] = rng.choice(ODD_CELLS)
                lines[row] = separator.join(cells)
            case 3 if lines:
                del lines[row]
            case 4 if lines:
                lines.insert(row, lines[rng.randrange(len(lines))])
            case _:
                lines.insert(row, separator.join(rng.choice(ODD_CELLS) for _ in range(rng.choice((1, 3, 70)))))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def glb_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return a GLB with its JSON changed, the lengths right; or any bytes changed."""
    if rng.random() < 0.3:
        return odd_bytes(data, rng)
    (length,) = struct.unpack("<I", data[12:16])
    text = json_bytes(odd_json(json.loads(data[20 : 20 + length]), rng), rng)
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    return struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest)) + struct.pack("<I4s", len(text), b"JSON") + text + rest


@dataclass
class Target:
    """A reader: the valid files it starts from, what is mutated, and what is done with the result.

    Args:
        mutate: (file's bytes, rng) to other bytes.
        files: Names in the seed folder, of which one is mutated each time.
        run: What reads it; returns paths of outputs to check, raises or exits where it refuses.
        weight: Inputs in proportion.
    """

    mutate: Callable[[bytes, random.Random], bytes]
    files: tuple[str, ...]
    run: Callable[[Path], Iterable[Path]]
    weight: float = 1.0


class Refused(Exception):
    """A command that exited with code 2 and one line."""


class Fault(Exception):
    """What must not happen."""


def command(*arguments: Any) -> None:
    """Run the command line in this process.

    Raises:
        Refused: exit code 2 with one message.
        Fault: any other end but 0.
    """
    from typer.testing import CliRunner

    from talker_cli.cli.app import app

    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    judge(done.exit_code, done.stderr)


def judge(code: int, stderr: str) -> None:
    """Hold a command's end against what is promised.

    Raises:
        Refused: exit code 2 with one message, or with the usage that a mistyped option gets; exit code 1 of a manifest.
        Fault: any other end but 0.
    """
    if any(sign < " " or sign == "\x7f" for sign in stderr.replace("\n", "")):
        raise Fault(f"control characters on the terminal: {stderr[:300]!r}")
    if code == 0:
        return
    lines = stderr.splitlines()
    some_failed = code == 1 and " failed; the others are written" in stderr  # of a manifest
    told = bool(lines) and (all(line.startswith("talker: ") for line in lines) or lines[0].startswith("Usage: "))
    if not told or not (code == 2 or some_failed):
        raise Fault(f"exit code {code}, stderr {stderr[:300]!r}")
    raise Refused(lines[-1])


def _no_number(word: str) -> None:
    raise Fault(f"an output holds {word}")


def check(path: Path) -> None:
    """Refuse an output that holds NaN or is not readable again.

    Raises:
        Fault: it does.
    """
    if path.is_dir():
        for each in sorted(path.rglob("*")):
            if each.is_file():
                check(each)
    elif path.suffix == ".npy":
        if not np.isfinite(np.load(path, allow_pickle=False)).all():
            raise Fault(f"{path.name} holds NaN or infinity")
    elif path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        for name, array in load_file(path).items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise Fault(f"{path.name}: {name} holds NaN or infinity")
    elif path.suffix in (".json", ".csv"):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            json.loads(text, parse_constant=_no_number)
        elif any(cell in ("nan", "inf", "-inf") for line in text.lower().splitlines()[1:] for cell in line.split(",")):
            raise Fault(f"{path.name} holds NaN or infinity")


def raw(
    mutate: Callable[[Any, random.Random], bytes], decode: Callable[[bytes], Any]
) -> Callable[[bytes, random.Random], bytes]:
    """Return a mutation of decoded content as one of bytes."""
    return lambda data, rng: mutate(decode(data), rng)


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """Return a JSON file with its structure changed."""
    return json_bytes(odd_json(json.loads(data), rng), rng)


def mutate_npy(data: bytes, rng: random.Random) -> bytes:
    """Return a .npy file with its array or its header changed."""
    import io

    return npy_bytes(np.load(io.BytesIO(data)), rng)


def mutate_text(separator: str) -> Callable[[bytes, random.Random], bytes]:
    """Return a mutation of lines and cells."""
    return lambda data, rng: table_bytes(data.decode(), rng, separator)


def make_seeds(folder: Path) -> None:
    """Write the valid files that inputs are made of: a model of a few vertices, datasets, captures, sounds, meshes, tables."""
    import captured
    import soundfile
    import torch
    from conftest import ffmpeg, spoken
    from test_curves import curves, write_beat
    from test_enroll_library import RECORD
    from tiny import IDENTITIES, tiny_dataset, tiny_rig

    from talker_cli.formats.files import file_hash
    from talker_cli.identity.file import Enrolled, IdentityFace, save_identity
    from talker_cli.identity.resolve import style_space
    from talker_cli.model.checkpoint import save_model
    from talker_cli.model.config import ModelConfig
    from talker_cli.model.network import FaceDiffusion
    from talker_cli.rig import save_rig

    model = folder / "model"
    model.mkdir(parents=True)
    rig = tiny_rig()
    save_rig(model / "rig.safetensors", rig)
    for kind, timesteps in (("teacher", ()), ("student", (256, 128))):
        torch.manual_seed(0)
        config = ModelConfig(
            kind=kind, rig=file_hash(model / "rig.safetensors"), names=rig.rig.names, identities=IDENTITIES, fps=30.0,
            feature_width=16, encoder_dilations=(1,), style_width=4, width=16, denoiser_dilations=(1,), timesteps=timesteps,
        )  # fmt: skip
        save_model(model / f"{kind}.safetensors", FaceDiffusion(config))
    sound = spoken(1.2)
    sounds = folder / "sounds"
    sounds.mkdir()
    soundfile.write(sounds / "a.wav", sound, 16_000)
    soundfile.write(sounds / "f.wav", sound, 16_000, subtype="FLOAT")
    soundfile.write(sounds / "a.flac", sound, 16_000)
    soundfile.write(sounds / "a.ogg", sound, 16_000)
    for name in ("a.mp3", "a.m4a", "a.mka"):
        ffmpeg("-i", sounds / "a.wav", sounds / name)
    for name, lines in (("list.m3u8", "#EXTM3U\n#EXTINF:1,\na.wav\n"), ("list.wav", "ffconcat version 1.0\nfile a.wav\n")):
        (sounds / name).write_text(lines)
    (folder / "motion").mkdir()
    command("animate", sounds / "a.wav", "--model", model, "-i", "Ada", "-o", folder / "motion" / "out.npy")
    command("animate", sounds / "a.wav", "--model", model, "-i", "Bert", "--seed", 5, "-o", folder / "motion" / "other.npy")
    command("export", folder / "motion" / "out.npy", "-o", folder / "face.glb")
    command("export", folder / "motion" / "out.npy", "-o", folder / "livelink_Ada_1.csv")
    for place in ("livelink", "enroll"):
        (folder / place).mkdir()
        shutil.copy(folder / "livelink_Ada_1.csv", folder / place / "Ada_1.csv")
        shutil.copy(sounds / "a.wav" if place == "livelink" else SPEECH, folder / place / "Ada_1.wav")
    write_beat(folder / "beat" / "1", "1_wayne_0_1_1", curves(40, 60, 1), 1)
    captured.vocaset_original(folder / "vocaset")
    style = np.ones(4, np.float32) / 2
    template = rig.rig.template + np.float32(0.001)
    key = style_space(model / "student.safetensors").key
    save_identity(folder / "anna.safetensors", Enrolled("anna", style, key, "Ada", IdentityFace(template), None, RECORD))
    tiny_dataset(folder / "dataset")
    (folder / "takes").mkdir()
    np.save(folder / "takes" / "Ada_1.npy", captured.speaking(1, 40, 30.0).astype(np.float32))
    np.save(folder / "takes" / "Ada_2.npy", captured.speaking(2, 40, 30.0).astype(np.float32))
    for name in ("Ada_1", "Ada_2"):
        captured.write_wav(folder / "takes" / f"{name}.wav", 40 / 30, 16_000)
    captured.write_ply(folder / "face.ply", captured.TEMPLATE, captured.FACES)
    (folder / "face.obj").write_text(
        "".join(f"v {x} {y} {z}\n" for x, y, z in captured.TEMPLATE)
        + "".join(f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in captured.FACES)
    )
    captured.write_masks(folder)
    for name in ("lve.txt", "fdd.txt"):
        (folder / name).write_text("1, 2, 3, 4\n")
    (folder / "pairs.csv").write_text("".join(f"{a},{b}\n" for a, b in captured.PAIRS))
    (folder / "table.csv").write_text("name,identity,split,text,language\nAda_1,Ada,train,hello,en\n")
    (folder / "jobs.csv").write_text("audio,identity,output\nsounds/a.wav,Ada,one.npy\nsounds/a.flac,Bert,two.npy\n")
    (folder / "run.toml").write_text("[train]\nsteps = 1\nbatch_frames = 64\n\n[model]\nfeature_width = 16\nwidth = 16\n")
    (folder / "predicted").mkdir()
    np.save(folder / "predicted" / "Ada_1.npy", captured.speaking(1, 40, 30.0).astype(np.float32))
    (folder / "decoded").mkdir()
    weights = np.random.default_rng(1).random((40, len(rig.rig.names)), np.float32)
    np.save(folder / "decoded" / "Ada_1.npy", rig.rig.decode(weights))
    (folder / "words.txt").write_text(
        "--identity Ada:0.7,Bert:0.3\n--identity auto\n--expression 0.7\n--smooth 40\n--style-scale 1.2\n--seed 7\n--steps 4\n"
    )


def targets() -> dict[str, Target]:
    """Return every reader by name. Each `run` gets a folder of its own that holds a copy of what it needs."""
    cpu = ("--device", "cpu")
    small = ("--model", "model", "-i", "Ada", *cpu)

    def animate(name: str) -> Callable[[Path], Iterable[Path]]:
        def run(folder: Path) -> Iterable[Path]:
            command("animate", name, *small, "-o", "o.npy", "-o", "o.csv")
            return folder / "o.npy", folder / "o.coefficients.npy", folder / "o.json", folder / "o.csv"

        return run

    def motion(folder: Path) -> Iterable[Path]:
        outputs = [folder / name for name in ("o.csv", "o.glb", "o.npz", "x.json", "o.usda")]
        command("export", "motion/out.npy", *(part for output in outputs for part in ("-o", output)))
        return outputs

    def prepare(kind: str, *arguments: str) -> Callable[[Path], Iterable[Path]]:
        def run(folder: Path) -> Iterable[Path]:
            command("preprocess", kind, *arguments, "-o", "prepared")
            command("data", "info", "prepared")
            return [folder / "prepared"]

        return run

    def dataset(folder: Path) -> Iterable[Path]:
        from talker_cli.data.dataset import Dataset

        command("data", "info", "dataset")
        whole = Dataset(folder / "dataset")
        for recording in whole.info.recordings:
            whole.speech(recording.name)
        for clip in whole.info.clips:
            if not np.isfinite(whole.coefficients(clip.name)).all():
                raise Fault(f"{clip.name} holds NaN or infinity")
        return ()

    def identity(folder: Path) -> Iterable[Path]:
        shutil.copy(folder / "anna.safetensors", folder / "library" / "anna.safetensors")
        command("identities", "--library", "library", "--model", "model")
        command("identities", "show", "anna", "--library", "library")
        command("animate", "sounds/a.wav", "--model", "model", "-i", "anna.safetensors", "-o", "o.npy")
        return folder / "o.npy", folder / "o.json"

    def stream(folder: Path) -> Iterable[Path]:
        with (folder / "sounds" / "a.wav").open("rb") as sound:  # a real pipe's end, which only a process of its own has
            program = [sys.executable, "-m", "talker_cli", "animate", "-", "--stream", *small]
            env = {**os.environ, "PYTHONPATH": str(SPEECH.parents[1])}
            done = subprocess.run(program, stdin=sound, capture_output=True, text=True, timeout=60, check=False, env=env)
        for line in done.stdout.splitlines():
            json.loads(line, parse_constant=_no_number)
        judge(done.returncode, done.stderr)
        return ()

    def rig(folder: Path) -> Iterable[Path]:
        from talker_cli.rig import load_rig, save_rig

        content = load_rig(folder / "model" / "rig.safetensors")
        if not np.isfinite(content.rig.decode(np.ones((1, len(content.rig.names)), np.float32))).all():
            raise Fault("a rig decodes to NaN or infinity")
        save_rig(folder / "again.safetensors", content)
        command("compare", "decoded", "decoded", "--template", "model/rig.safetensors")
        return [folder / "again.safetensors"]

    def mesh(name: str) -> Callable[[Path], Iterable[Path]]:
        def run(folder: Path) -> Iterable[Path]:
            from talker_cli.formats.mesh import read_mesh

            found = read_mesh(folder / name)
            if not np.isfinite(found.vertices).all() or found.faces.min() < 0 or found.faces.max() >= len(found.vertices):
                raise Fault("a mesh with vertices that are no numbers, or faces beyond them")
            return ()

        return run

    def avatar(folder: Path) -> Iterable[Path]:
        from talker_cli.render.avatar import read_avatar
        from talker_cli.rig import ARKIT_NAMES

        found = read_avatar(folder / "face.glb", ARKIT_NAMES, 30.0).rig
        if not np.isfinite(found.decode(np.ones((1, len(found.names)), np.float32))).all():
            raise Fault("a character decodes to NaN or infinity")
        return ()

    def character(folder: Path) -> Iterable[Path]:
        from talker_cli.avatar.drive import read_driven_avatar
        from talker_cli.avatar.spoken import spoken
        from talker_cli.formats.gltf import Glb
        from talker_cli.rig import ARKIT_NAMES

        motion, rotation = np.full((3, len(ARKIT_NAMES)), 0.5, np.float32), np.full((3, 3), 0.1)
        place = folder / "spoken.glb"
        place.write_bytes(spoken(read_driven_avatar(folder / "face.glb"), motion, 30.0, rotation=rotation))
        found = Glb(place)
        for channel in found.tree["animations"][-1]["channels"]:
            found.array(found.tree["animations"][-1]["samplers"][channel["sampler"]]["output"])  # refuses what is not finite
        return [place]

    def regions(folder: Path) -> Iterable[Path]:
        from talker_cli.data.regions import read_lip_pairs, read_regions

        read_regions([folder / "FLAME_masks.pkl"], 66)
        read_regions([folder / "lve.txt", folder / "fdd.txt"], 66)
        read_lip_pairs(folder / "pairs.csv", 66)
        return ()

    def table(folder: Path) -> Iterable[Path]:
        from talker_cli.data.folders import read_table

        read_table(folder / "table.csv")
        return ()

    def manifest(folder: Path) -> Iterable[Path]:
        command("animate", "--manifest", "jobs.csv", *small)
        return [place for place in (folder / "one.npy", folder / "two.npy") if place.exists()]

    def settings(folder: Path) -> Iterable[Path]:
        # The batch is named, or a lost line would be a training of the full size.
        command("train", "dataset", "-o", "trained", "--config", "run.toml", "--steps", 1, "--batch-frames", 64, *cpu)
        return [folder / "trained"]

    def words(folder: Path) -> Iterable[Path]:
        lines = (folder / "words.txt").read_text("utf-8", "surrogateescape").split("\n")
        option, _, value = lines[sum(map(len, lines)) % len(lines)].partition(" ")
        if option not in ("--identity", "--seed", "--steps", "--style-scale", "--expression", "--smooth"):
            return ()
        command("animate", "sounds/a.wav", "--model", "model", "-o", "o.npy", f"{option}={value}")
        return folder / "o.npy", folder / "o.json"

    def enroll(folder: Path) -> Iterable[Path]:
        command("enroll", "enroll", "--name", "eve", "--model", "model", "-o", "eve.safetensors", "--library", "library")
        return [folder / "eve.safetensors"]

    def compare(folder: Path) -> Iterable[Path]:
        command("compare", "predicted", "takes", "--template", "face.ply", "--regions", "lve.txt,fdd.txt", "--json")
        return ()

    pickles = ("subj_seq_to_idx.pkl", "raw_audio_fixed.pkl", "templates.pkl")
    return {
        "sound": Target(odd_bytes, ("sounds/a.wav", "sounds/f.wav"), animate("sounds/a.wav"), 3),
        "float sound": Target(odd_bytes, ("sounds/f.wav",), animate("sounds/f.wav"), 1),
        "flac": Target(odd_bytes, ("sounds/a.flac",), animate("sounds/a.flac"), 0.5),
        "ogg": Target(odd_bytes, ("sounds/a.ogg",), animate("sounds/a.ogg"), 0.5),
        "mp3": Target(odd_bytes, ("sounds/a.mp3",), animate("sounds/a.mp3"), 0.5),
        "m4a": Target(odd_bytes, ("sounds/a.m4a",), animate("sounds/a.m4a"), 0.5),
        "mka": Target(odd_bytes, ("sounds/a.mka",), animate("sounds/a.mka"), 0.5),
        "playlist": Target(odd_bytes, ("sounds/list.m3u8",), animate("sounds/list.m3u8"), 0.1),
        "concat": Target(odd_bytes, ("sounds/list.wav",), animate("sounds/list.wav"), 0.1),
        "stream": Target(odd_bytes, ("sounds/a.wav",), stream, 0.05),
        "motion": Target(mutate_npy, ("motion/out.npy", "motion/out.coefficients.npy"), motion, 2),
        "sidecar": Target(mutate_json, ("motion/out.json",), motion, 3),
        "rig": Target(safetensors_bytes, ("model/rig.safetensors",), rig, 3),
        "weights": Target(safetensors_bytes, ("model/student.safetensors",), animate("sounds/a.wav"), 3),
        "identity": Target(safetensors_bytes, ("anna.safetensors",), identity, 3),
        "dataset.json": Target(mutate_json, ("dataset/dataset.json",), dataset, 3),
        "dataset": Target(
            safetensors_bytes,
            ("dataset/clips.safetensors", "dataset/speech.safetensors", "dataset/rig.safetensors"),
            dataset,
            2,
        ),
        "livelink": Target(mutate_text(","), ("livelink/Ada_1.csv",), prepare("livelink", "livelink"), 2),
        "beat": Target(mutate_json, ("beat/1/1_wayne_0_1_1.json",), prepare("beat", "beat"), 2),
        "pickles": Target(odd_bytes, tuple(f"vocaset/{name}" for name in pickles), prepare("vocaset", "vocaset"), 0.5),
        "scattered": Target(mutate_npy, ("vocaset/data_verts.npy",), prepare("vocaset", "vocaset"), 0.2),
        "vertices": Target(
            mutate_npy, ("takes/Ada_1.npy",), prepare("vertices", "takes", "--template", "face.ply", "--source-fps", "30"), 1
        ),
        "ply": Target(odd_bytes, ("face.ply",), mesh("face.ply"), 4),
        "obj": Target(mutate_text(" "), ("face.obj",), mesh("face.obj"), 4),
        "glb": Target(glb_bytes, ("face.glb",), avatar, 3),
        "character": Target(glb_bytes, ("face.glb",), character, 3),
        "regions": Target(odd_bytes, ("FLAME_masks.pkl", "lve.txt", "pairs.csv"), regions, 4),
        "table": Target(mutate_text(","), ("table.csv",), table, 2),
        "manifest": Target(mutate_text(","), ("jobs.csv",), manifest, 1),
        "settings": Target(mutate_text(" "), ("run.toml",), settings, 0.5),
        "options": Target(mutate_text(" "), ("words.txt",), words, 1),
        "enroll": Target(mutate_text(","), ("enroll/Ada_1.csv",), enroll, 0.3),
        "compare": Target(mutate_npy, ("predicted/Ada_1.npy", "takes/Ada_1.npy"), compare, 1),
    }


@dataclass
class Outcome:
    """What became of one input: "accepted", "refused", or a fault in words."""

    target: str
    seed: int
    what: str
    detail: str = ""


def _processor_seconds() -> float:
    """Return the seconds of processor time of this process and its children: a busy machine makes no input slow."""
    return sum(os.times()[:4])


def try_input(name: str, target: Target, seed: int, seeds: Path, verbose: bool = False) -> Outcome:
    """Mutate one file and read it, in a folder of its own."""
    rng = random.Random(f"{name} {seed}")
    with tempfile.TemporaryDirectory(prefix="talker-fuzz-", dir=seeds.parent) as place:
        folder = Path(place)
        for each in seeds.iterdir():  # links to what is not mutated: a copy of all would cost more than reading
            (folder / each.name).symlink_to(each)
        file = Path(rng.choice(target.files))
        for number in range(1, len(file.parts)):
            inner = folder / Path(*file.parts[:number])
            source = inner.resolve()
            inner.unlink()
            inner.mkdir()
            for each in source.iterdir():
                (inner / each.name).symlink_to(each)
        original = (seeds / file).read_bytes()
        (folder / file).unlink()
        (folder / file).write_bytes(target.mutate(original, rng))
        (folder / "library").mkdir()
        os.chdir(folder)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = _processor_seconds()
        outcome = Outcome(name, seed, "accepted")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                for output in target.run(folder):
                    check(output)
        except Refused as error:
            outcome = Outcome(name, seed, "refused", str(error))
        except Exception as error:
            from talker_cli.errors import TalkerError

            if isinstance(error, TalkerError) and "\n" not in str(error):
                outcome = Outcome(name, seed, "refused", str(error))
            else:
                where = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{Path(where.filename).name}:{where.lineno}"
                outcome = Outcome(name, seed, f"{type(error).__name__} at {place}", " ".join(str(error).split())[:300])
                if verbose:
                    traceback.print_exc()
        finally:
            os.chdir("/")
        seconds = _processor_seconds() - began
        if seconds > SECONDS:
            outcome = Outcome(name, seed, "slow", f"{seconds:.0f} s, then {outcome.what}")
        if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 > GIGABYTE:
            outcome = Outcome(name, seed, "memory", outcome.what)
        return outcome


def _work(jobs: list[tuple[str, int]], seeds: Path, pipe: Any) -> None:
    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    known = targets()
    for name, seed in jobs:
        pipe.send((name, seed))
        pipe.send(try_input(name, known[name], seed, seeds))
    pipe.send(None)


def fuzz(jobs: list[tuple[str, int]], seeds: Path, report: Callable[[Outcome], None], workers: int = 2) -> None:
    """Try every (target, seed) in forked workers; one that hangs for thrice the limit, or dies, is replaced."""
    context = multiprocessing.get_context("fork")
    queues = [jobs[number::workers] for number in range(workers)]
    running: list[list[Any]] = []

    def start(queue: list[tuple[str, int]]) -> list[Any]:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(queue, seeds, theirs))
        process.start()
        theirs.close()
        return [process, ours, queue, None, time.monotonic()]

    for queue in queues:
        running.append(start(queue))
    while running:
        for state in list(running):
            process, pipe, queue, at, since = state
            try:
                if pipe.poll(0.01):
                    message = pipe.recv()
                    state[4] = time.monotonic()
                    if message is None:
                        process.join()
                        running.remove(state)
                    elif isinstance(message, Outcome):
                        report(message)
                        state[2] = queue[1:]
                    else:
                        state[3] = message
                    continue
                hangs, died = time.monotonic() - since > 3 * SECONDS, not process.is_alive()
            except EOFError:
                hangs, died = False, True
            if hangs or died:
                process.kill()
                process.join()
                running.remove(state)
                if at is not None and queue and queue[0] == at:
                    report(Outcome(*at, "hangs" if hangs else f"died with {process.exitcode}"))
                    queue = queue[1:]
                if queue:
                    running.append(start(queue))


def main() -> int:
    """Run from the command line; exit code 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000, help="Number of inputs over all targets.")
    parser.add_argument("--only", help="One target.")
    parser.add_argument("--seed", type=int, help="One input of that target, with its traceback.")
    parser.add_argument("--first", type=int, default=0, help="First seed.")
    parser.add_argument("--workers", type=int, default=2, help="Processes.")
    parser.add_argument("--json", type=Path, help="File to write every outcome to.")
    options = parser.parse_args()
    known = {name: target for name, target in targets().items() if options.only in (None, name)}
    with tempfile.TemporaryDirectory(prefix="talker-fuzz-") as place:
        seeds = Path(place) / "seeds"
        seeds.mkdir()
        make_seeds(seeds)
        if options.seed is not None:
            print(try_input(options.only, known[options.only], options.seed, seeds, verbose=True))
            return 0
        for name, target in known.items():  # or every input would be refused for another reason than its mutation
            whole = try_input(name, replace(target, mutate=lambda data, rng: data), 0, seeds, verbose=True)
            assert whole.what == "accepted" or name in ("playlist", "concat"), whole
        total = sum(target.weight for target in known.values())
        jobs = [
            (name, options.first + seed)
            for name, target in known.items()
            for seed in range(max(1, round(options.inputs * target.weight / total)))
        ]
        random.Random(options.first).shuffle(jobs)
        outcomes: list[Outcome] = []
        began = time.monotonic()

        def report(outcome: Outcome) -> None:
            outcomes.append(outcome)
            if outcome.what not in ("accepted", "refused"):
                print(f"{outcome.target} --seed {outcome.seed}: {outcome.what}: {outcome.detail}", flush=True)

        fuzz(jobs, seeds, report, options.workers)
    faults = [outcome for outcome in outcomes if outcome.what not in ("accepted", "refused")]
    for name in known:
        mine = Counter("faults" if each in faults else each.what for each in outcomes if each.target == name)
        print(
            f"{name:14} {sum(mine.values()):6} inputs: " + ", ".join(f"{count} {what}" for what, count in sorted(mine.items()))
        )
    for (target, what), count in Counter((each.target, each.what) for each in faults).most_common():
        print(f"{count:6} {target}: {what}")
    counts = Counter(each.what for each in outcomes)
    print(
        f"{len(outcomes)} inputs in {(time.monotonic() - began) / 60:.1f} minutes: {counts['accepted']} accepted, "
        f"{counts['refused']} refused, {len(faults)} faults"
    )
    if options.json:
        options.json.write_text(json.dumps([vars(each) for each in outcomes]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
