"""Text on images: labels of motions, times on a contact sheet, numbers on a scale."""

from functools import lru_cache

import numpy as np

INK = (242, 242, 240)
SHADE = 0.55  # darkening round a letter, so that it can be read on any background


@lru_cache(maxsize=256)
def lettered(text: str, height: int) -> np.ndarray:
    """Return (H, W) float32 coverage, 0…1, of a line of text whose letters are `height` pixels high."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=height)
    left, top, right, bottom = font.getbbox("Ag" + text)
    start = font.getbbox("Ag")[2] - left
    canvas = Image.new("L", (max(int(right - left - start) + 2, 1), int(bottom - top) + 2))
    ImageDraw.Draw(canvas).text((1, 1 - top), text, fill=255, font=font)
    return np.asarray(canvas, dtype=np.float32) / 255


def write(image: np.ndarray, text: str, row: int, column: int, height: int) -> None:
    """Write a line into an (H, W, 3) uint8 image, its upper left corner at a row and a column; what does not fit is cut."""
    from scipy.ndimage import maximum_filter

    letters = lettered(text, height)
    row, column = max(row, 0), max(column, 0)
    rows, columns = min(letters.shape[0], image.shape[0] - row), min(letters.shape[1], image.shape[1] - column)
    if rows <= 0 or columns <= 0:
        return
    cover = letters[:rows, :columns, None]
    place = image[row : row + rows, column : column + columns]
    around = maximum_filter(letters, 3, mode="constant")[:rows, :columns, None]  # a pixel wider on every side
    shaded = place * (1 - SHADE * around)
    place[:] = np.round(shaded + cover * (np.array(INK) - shaded)).astype(np.uint8)


def letter_height(size: tuple[int, int]) -> int:
    """Return the height, pixels, of letters that suit an image of a width and a height."""
    return max(9, round(0.042 * min(size)))
