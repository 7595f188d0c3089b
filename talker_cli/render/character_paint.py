"""Colours of a glTF's materials: the tint of each vertex, and the texture that lies on it."""

import base64
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.gltf import Glb

SEEN_THROUGH = 0.5  # a blended material of less than this alpha is not drawn: the wet shell before an eye, as a rule
BLANK = 0  # the number of the texture of what has none
FORMATS = ("PNG", "JPEG", "WEBP")  # glTF's, and its extension's
MOST_PIXELS = 1 << 26  # of a texture, 8192 x 8192, and of all together four times as many: a small file may hold huge ones


@dataclass(frozen=True)
class PrimitiveMaterial:
    """A primitive's colours.

    Args:
        tint: (V, 3) uint8 sRGB, of the material and of the vertices.
        uv: (V, 2) texture coordinates, 0…1 and repeated, rows downwards.
        texture: Index in `Paint.textures`.
    """

    tint: np.ndarray
    uv: np.ndarray
    texture: int


class Paint:
    """The materials of a file.

    Args:
        glb: The file.
    """

    def __init__(self, glb: Glb) -> None:
        self._glb = glb
        self.textures: list[np.ndarray] = [np.full((1, 1, 4), 255, np.uint8)]  # (H, W, 4) uint8 sRGB and coverage
        self._known: dict[tuple[int, bool], int] = {}

    def shows(self, material: dict[str, Any]) -> bool:
        """Say whether a material is more than a pane of glass."""
        alpha = material.get("pbrMetallicRoughness", {}).get("baseColorFactor", [1, 1, 1, 1])[3]
        return not (material.get("alphaMode") == "BLEND" and float(alpha) < SEEN_THROUGH)

    def material(
        self, material: dict[str, Any], count: int, vertex_color: np.ndarray | None, uvs: dict[int, np.ndarray]
    ) -> PrimitiveMaterial:
        """Return the colours of a primitive of `count` vertices; glTF multiplies its factors as linear light.

        Args:
            material: The material's entry in the file.
            count: V.
            vertex_color: (V, 3 or 4) of COLOR_0, linear, or None.
            uvs: Texture coordinates (V, 2) by their number.
        """
        surface = material.get("pbrMetallicRoughness", {})
        linear = np.tile(np.array(surface.get("baseColorFactor", [1, 1, 1, 1]), np.float64)[:3], (count, 1))
        if vertex_color is not None:
            linear *= vertex_color[:, :3]
        tint = np.round(255 * np.clip(np.nan_to_num(linear), 0, 1) ** (1 / 2.2)).astype(np.uint8)
        entry = surface.get("baseColorTexture", {})
        transform = entry.get("extensions", {}).get("KHR_texture_transform", {})
        number = transform.get("texCoord", entry.get("texCoord", 0))
        if "index" not in entry or number not in uvs:
            return PrimitiveMaterial(tint, np.zeros((count, 2), np.float32), BLANK)
        uv = uvs[number] * np.float32(transform.get("scale", [1, 1])) + np.float32(transform.get("offset", [0, 0]))
        if not np.isfinite(uv).all():
            raise InputError(f"{self._glb.path} has texture coordinates that are not finite; export it again")
        return PrimitiveMaterial(tint, uv, self._texture(entry["index"], material.get("alphaMode", "OPAQUE") == "OPAQUE"))

    def colors(self, material: PrimitiveMaterial) -> np.ndarray:
        """Return (V, 3) uint8 sRGB: the tint times the texture at each vertex."""
        texture = self.textures[material.texture]
        rows, columns = texture.shape[:2]
        column = np.floor((material.uv[:, 0] % 1.0) * columns).astype(int) % columns
        row = np.floor((material.uv[:, 1] % 1.0) * rows).astype(int) % rows
        return np.round(material.tint * (texture[row, column, :3] / 255.0)).astype(np.uint8)

    def _texture(self, index: int, opaque: bool) -> int:
        texture = self._glb.item("textures", index)
        webp = texture.get("extensions", {}).get("EXT_texture_webp", {})
        source = webp.get("source", texture.get("source"))
        if source is None:
            kinds = ", ".join(texture.get("extensions", {})) or "an unknown kind"
            raise InputError(f"{self._glb.path} has textures of {kinds[:60]}; expected PNG, JPEG or WebP; convert them with "
                             "gltf-transform (png)")  # fmt: skip
        if (source, opaque) not in self._known:
            entry = self._glb.item("images", source)
            uri = entry.get("uri", "")
            if "bufferView" in entry:
                data = self._glb.view(entry["bufferView"])
            elif uri.startswith("data:"):
                data = base64.b64decode(uri.split(",", 1)[1])
            else:
                raise InputError(f"a texture lies in '{uri[:60]}', outside the file; expected it inside; export as one .glb")
            pixels = self._decoded(source, data)
            if opaque:
                pixels[..., 3] = 255
            self._known[source, opaque] = len(self.textures)
            self.textures.append(pixels)
        return self._known[source, opaque]

    def _decoded(self, source: int, data: bytes) -> np.ndarray:
        """Return the (H, W, 4) uint8 pixels of an image file, whose size is asked for before memory is taken."""
        from PIL import Image

        what = f"{self._glb.path}: texture {source}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of sizes, which are checked here
                with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                    size = image.width * image.height
                    if size > MOST_PIXELS or size + sum(each.size // 4 for each in self.textures) > 4 * MOST_PIXELS:
                        raise InputError(f"{what} has {image.width}x{image.height} pixels; expected at most 8192x8192, four "
                                         "times in a file; export it with smaller textures")  # fmt: skip
                    return np.array(image.convert("RGBA"))
        except InputError:
            raise
        except Exception as error:  # Pillow raises many kinds
            raise InputError(f"{what} cannot be read ({' '.join(str(error).split())[:60]}); expected PNG or JPEG") from error
