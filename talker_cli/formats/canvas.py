"""A white picture to draw charts on, in pixels, written as PNG."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from talker_cli.formats.files import atomic_path

SUPERSAMPLE = 2  # drawn so many times as large, for smooth edges
FONT = 13  # pixels
INK, QUIET = "#1b1f24", "#5b6570"


class Canvas:
    """A white picture with coordinates in pixels, drawn larger and reduced."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._image = Image.new("RGB", (width * SUPERSAMPLE, height * SUPERSAMPLE), "white")
        self._draw = ImageDraw.Draw(self._image)

    def text(self, x: float, y: float, text: str, *, anchor: str = "lm", size: float = FONT, color: str = INK) -> None:
        """Write text; Pillow's own font has Latin letters without accents, so others become question marks."""
        font = ImageFont.load_default(size * SUPERSAMPLE)
        self._draw.text((x * SUPERSAMPLE, y * SUPERSAMPLE), _plain(text), fill=color, font=font, anchor=anchor)

    def text_width(self, text: str, *, size: float = FONT) -> float:
        """Return how many pixels a text takes."""
        return float(ImageFont.load_default(size * SUPERSAMPLE).getlength(_plain(text))) / SUPERSAMPLE

    def shortened(self, text: str, room: float, *, size: float = FONT) -> str:
        """Return as much of a text as fits into so many pixels, with dots for the rest; nothing if that is no letter."""
        if self.text_width(text, size=size) <= room:
            return text
        while text and self.text_width(f"{text}...", size=size) > room:
            text = text[:-1].rstrip()
        return f"{text}..." if text else ""

    def box(self, left: float, top: float, right: float, bottom: float, color: str) -> None:
        """Fill a rectangle."""
        edges = [edge * SUPERSAMPLE for edge in (left, top, right, bottom)]
        self._draw.rectangle((edges[0], edges[1], max(edges[0], edges[2] - 1), max(edges[1], edges[3] - 1)), fill=color)

    def dot(self, x: float, y: float, radius: float, color: str) -> None:
        """Fill a disc."""
        self._draw.circle((x * SUPERSAMPLE, y * SUPERSAMPLE), radius * SUPERSAMPLE, fill=color)

    def line(self, points: Sequence[tuple[float, float]], color: str, width: float = 1.5) -> None:
        """Draw a line through points."""
        grown = [(x * SUPERSAMPLE, y * SUPERSAMPLE) for x, y in points]
        self._draw.line(grown, fill=color, width=round(width * SUPERSAMPLE), joint="curve")

    def picture(self, left: float, top: float, width: float, height: float, pixels: np.ndarray) -> None:
        """Show pixels (H, W, 3) uint8, stretched to a rectangle."""
        size = (round(width * SUPERSAMPLE), round(height * SUPERSAMPLE))
        stretched = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
        self._image.paste(stretched, (round(left * SUPERSAMPLE), round(top * SUPERSAMPLE)))

    def save(self, path: Path) -> None:
        """Write the PNG.

        Raises:
            OutputError: the place cannot be written.
        """
        with atomic_path(path) as temporary:
            self._image.resize(self._size, Image.Resampling.LANCZOS).save(temporary, format="PNG")


def _plain(text: str) -> str:
    """Return a text in ASCII: letters lose their accents, others become question marks."""
    apart = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).encode("ascii", "replace").decode()
