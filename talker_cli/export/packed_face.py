"""A face as the viewer in `viewer/face.js` takes it: sparse shapes, paint, light and camera."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from talker_cli.render.light import KEY_AT
from talker_cli.render.materials import surface_of
from talker_cli.render.occlusion import DIRECTIONS, HORIZON, LIFT, OPEN_POSE, PIXELS, SOFTNESS
from talker_cli.render.stage import shader_header, shader_text, srgb_to_linear
from talker_cli.rig import Rig

VIEWER = Path(__file__).parent / "viewer"
KINDS = {"uint8": "u1", "uint16": "u2", "int16": "i2", "uint32": "u4"}  # as the viewer calls them
NECK = 0.42  # how far below the lips a portrait reaches, in heights from lips to crown
MARGIN = 1.08


def packed_face(rig: Rig, further: Mapping[str, np.ndarray] = MappingProxyType({})) -> tuple[bytes, dict[str, Any]]:
    """Return a face's arrays as integers in one compressed block, and what the viewer must know beside them.

    Args:
        rig: Rig of the face.
        further: Integers of the viewer's own, by name.
    """
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
        **further,
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
    config: dict[str, Any] = {"arrays": places, "template": {"low": low.tolist(), "step": step}, "shapes": shapes, "neck": neck}
    config |= {"closed": surface.closed, "names": list(rig.names), "open": OPEN_POSE, "light": _light()}
    return zlib.compress(bytes(packed), 9), {**config, "portrait": _portrait(rig), "bounds": _bounds(rig.template)}


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
