"""One HTML page that plays a face with its sound in a browser, without a network: a WebGL viewer and its data."""

import base64
import html
import json
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import OutputError
from talker_cli.export.attribution import GENERATOR, copyright_of
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats import ffmpeg
from talker_cli.formats.audio import playable
from talker_cli.formats.files import atomic_path
from talker_cli.render.light import KEY_AT
from talker_cli.render.materials import surface_of
from talker_cli.render.occlusion import DIRECTIONS, HORIZON, LIFT, OPEN_POSE, PIXELS, SOFTNESS
from talker_cli.render.stage import shader_header, shader_text, srgb_to_linear
from talker_cli.rig import Rig

VIEWER = Path(__file__).parent / "viewer"
# MP3, because every browser plays it, those built without AAC too. At 48 kHz the encoder's delay is less than a frame even in
# a player that does not take it off.
MP3 = ["-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-af", "asetpts=N/SR/TB", "-ac", "1", "-ar", "48000",
       "-c:a", "libmp3lame", "-b:a", "64k"]  # fmt: skip
MIME = "audio/mpeg"
KINDS = {"uint8": "u1", "uint16": "u2", "int16": "i2", "uint32": "u4"}  # as the viewer calls them
NECK = 0.42  # how far below the lips a portrait reaches, in heights from lips to crown
MARGIN = 1.08


def write_html(clip: MotionClip, path: Path) -> None:
    """Write the page.

    Raises:
        OutputError: the place cannot be written, or the sound cannot be compressed.
        MachineError: there is no ffmpeg.
    """
    rig = clip.rig
    arrays, config = _packed(clip)
    speech = b"" if clip.audio is None else _compressed(clip.audio, path)
    config |= {"fps": clip.fps, "names": list(rig.names), "open": OPEN_POSE, "sound": MIME if speech else None}
    config |= {"portrait": _portrait(rig), "bounds": _bounds(rig.template), "light": _light()}
    identity = html.escape(clip.identity)
    sound = html.escape(clip.sound or "")
    content = {
        "generator": GENERATOR,
        "copyright": html.escape(copyright_of(rig) or ""),
        "title": f"{identity} – {sound}" if sound else identity,
        "identity": identity,
        "sound": sound,
        "style": (VIEWER / "style.css").read_text(encoding="utf-8"),
        "script": (VIEWER / "viewer.js").read_text(encoding="utf-8"),
        "config": json.dumps(config).replace("<", "\\u003c"),
        "arrays": base64.b64encode(zlib.compress(arrays, 9)).decode(),
        "speech": base64.b64encode(speech).decode(),
    }
    pieces = (VIEWER / "page.html").read_text(encoding="utf-8").split("{{")
    # The page is UTF-8, the recording's name need not be.
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace", newline="\n") as stream:
        stream.write(pieces[0])
        for piece in pieces[1:]:
            name, rest = piece.split("}}", 1)
            stream.write(content[name])
            stream.write(rest)


def _packed(clip: MotionClip) -> tuple[bytes, dict[str, Any]]:
    """Return the arrays as integers in one block of bytes, and their places and scales for the viewer."""
    rig = clip.rig
    wide = np.uint32 if len(rig.template) > 1 << 16 else np.uint16
    low, high = rig.template.min(axis=0), rig.template.max(axis=0)
    step = max(float((high - low).max()), 1e-9) / 65535
    rows, values, steps = [], [], []
    for offsets in rig.basis:
        moved = np.flatnonzero((offsets != 0).any(axis=1))
        largest = float(np.abs(offsets).max()) or 1.0
        rows.append(moved)
        values.append(np.round(offsets[moved] / largest * 32767).astype(np.int16))
        steps.append(largest / 32767)
    lowest = clip.coefficients.min(axis=0).astype(np.float64)
    resolution = np.maximum(clip.coefficients.max(axis=0) - lowest, 1e-9) / 65535
    surface = surface_of(rig)
    # The shader squares its input: a gamma of 2, close to the screen's and far cheaper.
    paint = np.concatenate([np.sqrt(srgb_to_linear(surface.colors)), surface.gloss[:, None]], axis=1)
    skin = np.stack(np.broadcast_arrays(np.asarray(surface.soft), np.asarray(surface.sheen) / 2, surface.gloss)[:2], axis=1)
    arrays = {
        "template": np.round((rig.template - low) / step).astype(np.uint16),
        "faces": surface.faces.astype(wide),
        "paint": np.round(255 * paint).astype(np.uint8),
        "skin": np.round(255 * np.clip(skin, 0, 1)).astype(np.uint8),
        "shape_rows": np.concatenate(rows).astype(wide),
        "shape_values": np.concatenate(values),
        "coefficients": np.round((clip.coefficients - lowest) / resolution).astype(np.uint16).T,  # (K, T) packs better
    }
    neck = None
    if rig.neck is not None:
        neck = {"pivot": rig.neck.pivot.astype(float).tolist(), "first": len(rig.face_names)}
        arrays["neck"] = np.round(65535 * rig.neck.weights).astype(np.uint16)
    packed, places = bytearray(), {}
    for name, array in arrays.items():
        packed += bytes(-len(packed) % 4)
        places[name] = [KINDS[array.dtype.name], len(packed), array.size]
        packed += np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
    shapes = {"counts": [len(each) for each in rows], "steps": steps}
    coefficients = {"low": lowest.tolist(), "step": resolution.tolist()}
    config = {"arrays": places, "template": {"low": low.tolist(), "step": step}, "shapes": shapes, "coefficients": coefficients}
    return bytes(packed), {**config, "neck": neck, "closed": surface.closed}


def _light() -> dict[str, Any]:
    """Return the light of talker's videos: the renderer's own shaders in WebGL's dialect, and its settings for shadows."""
    header = "#version 300 es\nprecision highp float;\n" + shader_header("OPEN")
    shaders = {name: [shader_text(f"{name}{kind}") for kind in (".vert", ".frag")] for name in ("face", "ground")}
    look = {"sides": DIRECTIONS, "pixels": PIXELS, "lift": LIFT, "horizon": HORIZON, "softness": SOFTNESS, "key": KEY_AT}
    return {"header": header, **shaders, **look}


def _bounds(vertices: np.ndarray) -> dict[str, list[float]]:
    return {"low": vertices.min(axis=0).tolist(), "high": vertices.max(axis=0).tolist()}


def _portrait(rig: Rig) -> dict[str, Any]:
    """Return the camera's target: the middle of the head and half its extents, metres."""
    vertices = rig.template
    lips = rig.regions.get("lips")
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    if lips is not None and lips.any():
        mouth = float(vertices[lips, 1].mean())
        head = vertices[vertices[:, 1] >= mouth]
        low, high = head.min(axis=0), head.max(axis=0)
        low[1] = max(float(vertices[:, 1].min()), mouth - NECK * (float(high[1]) - mouth))
    half = (high - low) / 2 * MARGIN
    return {
        "center": ((low + high) / 2).tolist(),
        "width": float(half[0]),
        "height": float(half[1]),
        "depth": float(half[2]),
    }


def _compressed(audio: Path, output: Path) -> bytes:
    """Return a recording as MP3."""
    # Into a file, not a pipe: how much silence the encoder put in front is written last, at the front.
    with tempfile.TemporaryDirectory() as folder, playable(audio) as sound:
        place = Path(folder) / "speech.mp3"
        process = ffmpeg.start(
            [*ffmpeg.input_arguments(sound), *MP3, f"file:{place}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            _, log = process.communicate()
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            words = ffmpeg.last_words(log)
            raise OutputError(f"cannot write {output}: ffmpeg could not compress {audio} ({words}); give another file")
        return place.read_bytes()
