"""Heat maps: distances between two motions of one mesh as colours on the face, with a scale."""

from dataclasses import dataclass

import numpy as np

from talker_cli.render.lettering import letter_height, write

# From zero to the scale's end: slate, blue, green, yellow, red; from dark to bright, for readers who do not see colours.
RAMP = np.array(
    [(0.23, 0.25, 0.31), (0.16, 0.40, 0.66), (0.13, 0.62, 0.58), (0.55, 0.76, 0.28), (0.96, 0.77, 0.20), (0.93, 0.36, 0.16),
     (0.78, 0.07, 0.15)], dtype=np.float32,
)  # fmt: skip
STEPS = 256
TABLE = np.stack([np.interp(np.linspace(0, 1, STEPS), np.linspace(0, 1, len(RAMP)), RAMP[:, i]) for i in range(3)], 1)
PERCENTILE = 99.0  # of a frame's distances that the scale reaches: single stray vertices do not stretch it
ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)  # ends of a scale, times a power of ten

METRE_SPAN = (0.05, 0.7)  # a face's or a bust's largest extent, metres
UNIT_AREA_MILLIMETRES = 187.0  # BIWI's unit, the root of a scan's surface: 174 to 201 mm by subject


@dataclass(frozen=True)
class Unit:
    """A motion's unit: its length in millimetres, and the name of what is shown."""

    millimetres: float
    name: str = "mm"


def unit_of(vertices: np.ndarray) -> Unit:
    """Return the unit of a face's (V, 3) vertices by its size: metres, centimetres, millimetres, or BIWI's root of area.

    Other sizes keep their own unit, named `units`.
    """
    span = float((vertices.max(axis=0) - vertices.min(axis=0)).max())
    for scale in (1000.0, 10.0, 1.0):
        low, high = (1000.0 * end / scale for end in METRE_SPAN)
        if low <= span < high:
            return Unit(scale)
    if METRE_SPAN[1] <= span < 4.0:
        return Unit(UNIT_AREA_MILLIMETRES, "about mm")
    return Unit(1.0, "units")


def rounded_up(value: float) -> float:
    """Return the scale's end for a largest distance: the next of `ROUND` times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step for step in ROUND if step * power >= value * (1 - 1e-9)) * power)


def distances(one: np.ndarray, other: np.ndarray, unit: Unit) -> np.ndarray:
    """Return (V,) distances between two frames (V, 3)."""
    return np.asarray(np.linalg.norm(other - one, axis=1) * unit.millimetres)


def reach(values: np.ndarray) -> float:
    """Return the length of scale that a frame's (V,) distances need."""
    return float(np.percentile(values, PERCENTILE))


def heat_colors(values: np.ndarray, end: float) -> np.ndarray:
    """Return (V, 3) float32 sRGB colours of (V,) distances on a scale from 0 to `end`."""
    index = np.clip(values / end * (STEPS - 1), 0, STEPS - 1).astype(np.int64)
    return TABLE[index].astype(np.float32)


def draw_scale(image: np.ndarray, end: float, unit: Unit) -> None:
    """Draw a scale into the right side of an (H, W, 3) uint8 image, with its ends, its middle and its unit."""
    rows, columns = image.shape[:2]
    letters = letter_height((columns, rows))
    top, bottom = round(0.30 * rows), round(0.86 * rows)
    width = max(4, round(0.025 * columns))
    left = columns - width - round(0.10 * columns) - letters
    bar = TABLE[np.linspace(STEPS - 1, 0, bottom - top).astype(int)]
    image[top:bottom, left : left + width] = np.round(255 * bar)[:, None]
    for share in (0.0, 0.5, 1.0):
        row = round(bottom - share * (bottom - top)) - letters // 2
        write(image, f"{share * end:g}", row - letters // 4, left + width + letters // 2, letters)
    write(image, unit.name, top - round(2.2 * letters), left - letters, letters)
