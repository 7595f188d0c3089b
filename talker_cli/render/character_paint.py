"""Colours (V, 3) of a glTF's vertices: material, vertex colours, and the texture as it is at each vertex."""

import base64
import io
from typing import Any

import numpy as np

from talker_cli.errors import InputError
from talker_cli.export.gltf import Glb


class Paint:
    """The materials of a file.

    Args:
        glb: the file.
    """

    def __init__(self, glb: Glb) -> None:
        self._glb = glb
        self._images: dict[int, np.ndarray] = {}

    def colors(
        self, material: dict[str, Any], count: int, vertex_color: np.ndarray | None, places: dict[int, np.ndarray]
    ) -> np.ndarray:
        """Return (V, 3) uint8 sRGB: factor x vertex colour x texture, which glTF multiplies as linear light.

        Args:
            count: V.
            vertex_color: (V, 3 or 4) of COLOR_0, linear, or None.
            places: texture coordinates (V, 2) by their number.
        """
        surface = material.get("pbrMetallicRoughness", {})
        linear = np.tile(np.array(surface.get("baseColorFactor", [1, 1, 1, 1]), np.float64)[:3], (count, 1))
        if vertex_color is not None:
            linear *= vertex_color[:, :3]
        texture = surface.get("baseColorTexture")
        if texture is not None and texture.get("texCoord", 0) in places:
            linear *= self._sampled(texture["index"], places[texture.get("texCoord", 0)])
        return np.round(255 * np.clip(linear, 0, 1) ** (1 / 2.2)).astype(np.uint8)

    def _sampled(self, texture: int, place: np.ndarray) -> np.ndarray:
        """Return (V, 3) linear colours of a texture at (V, 2) coordinates, 0…1 and repeated, rows downwards."""
        image = self._image(self._glb.tree["textures"][texture]["source"])
        rows, columns = image.shape[:2]
        column = np.floor((place[:, 0] % 1.0) * columns).astype(int) % columns
        row = np.floor((place[:, 1] % 1.0) * rows).astype(int) % rows
        return (image[row, column].astype(np.float64) / 255) ** 2.2

    def _image(self, index: int) -> np.ndarray:
        """Return an image (H, W, 3) uint8 sRGB."""
        from PIL import Image, UnidentifiedImageError

        if index not in self._images:
            entry = self._glb.tree["images"][index]
            uri = entry.get("uri", "")
            if "bufferView" in entry:
                data = self._glb.view(entry["bufferView"])
            elif uri.startswith("data:"):
                data = base64.b64decode(uri.split(",", 1)[1])
            else:
                raise InputError(f"a texture lies in '{uri[:60]}', outside the file; expected it inside; export as one .glb")
            try:
                with Image.open(io.BytesIO(data)) as image:
                    self._images[index] = np.asarray(image.convert("RGB"))
            except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
                raise InputError(f"texture {index} cannot be read ({str(error)[:60]}); expected PNG or JPEG") from error
        return self._images[index]
