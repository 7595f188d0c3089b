"""Colours of a glTF's materials: the tint of each vertex, and the picture that lies on it."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.gltf import Glb

SEEN_THROUGH = 0.5  # a blended material of less than this alpha is not drawn: the wet shell before an eye, as a rule
BLANK = 0  # the number of the picture of what has none


@dataclass(frozen=True)
class PrimitiveMaterial:
    """What covers a primitive.

    Args:
        tint: (V, 3) uint8 sRGB, of the material and of the vertices.
        place: (V, 2) where on its picture each vertex lies, 0…1 and repeated, rows downwards.
        picture: its number in `Paint.pictures`.
    """

    tint: np.ndarray
    place: np.ndarray
    picture: int


class Paint:
    """The materials of a file.

    Args:
        glb: the file.
    """

    def __init__(self, glb: Glb) -> None:
        self._glb = glb
        self.pictures: list[np.ndarray] = [np.full((1, 1, 4), 255, np.uint8)]  # (H, W, 4) uint8 sRGB and coverage
        self._known: dict[tuple[int, bool], int] = {}

    def shows(self, material: dict[str, Any]) -> bool:
        """Say whether a material is more than a pane of glass."""
        alpha = material.get("pbrMetallicRoughness", {}).get("baseColorFactor", [1, 1, 1, 1])[3]
        return not (material.get("alphaMode") == "BLEND" and float(alpha) < SEEN_THROUGH)

    def coat(
        self, material: dict[str, Any], count: int, vertex_color: np.ndarray | None, places: dict[int, np.ndarray]
    ) -> PrimitiveMaterial:
        """Return what covers a primitive of `count` vertices; glTF multiplies its factors as linear light.

        Args:
            vertex_color: (V, 3 or 4) of COLOR_0, linear, or None.
            places: texture coordinates (V, 2) by their number.
        """
        surface = material.get("pbrMetallicRoughness", {})
        linear = np.tile(np.array(surface.get("baseColorFactor", [1, 1, 1, 1]), np.float64)[:3], (count, 1))
        if vertex_color is not None:
            linear *= vertex_color[:, :3]
        tint = np.round(255 * np.clip(linear, 0, 1) ** (1 / 2.2)).astype(np.uint8)
        entry = surface.get("baseColorTexture", {})
        moved = entry.get("extensions", {}).get("KHR_texture_transform", {})
        number = moved.get("texCoord", entry.get("texCoord", 0))
        if "index" not in entry or number not in places:
            return PrimitiveMaterial(tint, np.zeros((count, 2), np.float32), BLANK)
        place = places[number] * np.float32(moved.get("scale", [1, 1])) + np.float32(moved.get("offset", [0, 0]))
        return PrimitiveMaterial(tint, place, self._picture(entry["index"], material.get("alphaMode", "OPAQUE") == "OPAQUE"))

    def colors(self, coat: PrimitiveMaterial) -> np.ndarray:
        """Return (V, 3) uint8 sRGB: the tint times the picture as it is at each vertex."""
        picture = self.pictures[coat.picture]
        rows, columns = picture.shape[:2]
        column = np.floor((coat.place[:, 0] % 1.0) * columns).astype(int) % columns
        row = np.floor((coat.place[:, 1] % 1.0) * rows).astype(int) % rows
        return np.round(coat.tint * (picture[row, column, :3] / 255.0)).astype(np.uint8)

    def _picture(self, texture: int, opaque: bool) -> int:
        from PIL import Image, UnidentifiedImageError

        source = self._glb.tree["textures"][texture].get("source")
        if source is None:
            raise InputError(f"{self._glb.path} has a texture of a kind that is not read; expected PNG or JPEG; export it so")
        if (source, opaque) not in self._known:
            entry = self._glb.tree["images"][source]
            uri = entry.get("uri", "")
            if "bufferView" in entry:
                data = self._glb.view(entry["bufferView"])
            elif uri.startswith("data:"):
                data = base64.b64decode(uri.split(",", 1)[1])
            else:
                raise InputError(f"a texture lies in '{uri[:60]}', outside the file; expected it inside; export as one .glb")
            try:
                with Image.open(io.BytesIO(data)) as image:
                    pixels = np.array(image.convert("RGBA"))
            except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
                raise InputError(f"texture {source} cannot be read ({str(error)[:60]}); expected PNG or JPEG") from error
            if opaque:
                pixels[..., 3] = 255
            self._known[source, opaque] = len(self.pictures)
            self.pictures.append(pixels)
        return self._known[source, opaque]
