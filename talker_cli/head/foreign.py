"""What heads of other projects share: settings of their shapes of identity, colours, and lines drawn on their skin."""

from collections.abc import Sequence

import numpy as np

from talker_cli.errors import InputError
from talker_cli.head.surface import smoothstep

MOST = 5.0  # standard deviations of a shape of identity
FPS = 30.0
SKIN, LIPS, BROW, LASH = (214, 170, 146), (178, 104, 98), (84, 62, 50), (38, 30, 27)  # sRGB
MOUTH, GUM, TASTE, TOOTH = (120, 56, 54), (176, 92, 90), (186, 102, 98), (226, 216, 198)
WHITE, COLOR, BLACK = (236, 230, 224), (92, 112, 118), (12, 10, 10)


def identity_of(settings: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Return the standard deviations by name that settings such as `identity003=1.5` give; leading zeros may miss.

    Raises:
        InputError: a setting names none of the shapes, or its number is none or beyond MOST.
    """
    known = {_key(name): name for name in names}
    found: dict[str, float] = {}
    for text in settings:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if _key(name) not in known or not -MOST <= value <= MOST:
            raise InputError(
                f"found {text[:40]}; expected {names[0]} to {names[-1]} and a number from {-MOST:g} to {MOST:g}, "
                f"as {names[0]}=1.5",
                field="shape",
            )
        found[known[_key(name)]] = value
    return found


def _key(name: str) -> tuple[str, bool, str]:
    stem = name.rstrip("0123456789")
    return stem, stem != name, name[len(stem) :].lstrip("0")


def mix(colors: np.ndarray, color: tuple[int, int, int], share: np.ndarray) -> None:
    """Paint (V, 3) colours, in place, with shares (V,) of another."""
    colors += share[:, None] * (np.array(color) - colors)


def near_line(vertices: np.ndarray, points: np.ndarray, width: tuple[float, float], *, closed: bool = False) -> np.ndarray:
    """Return (V,) shares of vertices (V, 3): 1 up to the first width from the line of points (N, 3), 0 from the second."""
    away = np.linalg.norm(vertices[:, None] - along(points, closed=closed), axis=-1).min(axis=1)
    return np.asarray(1 - smoothstep(width[0], width[1], away))


def along(points: np.ndarray, *, closed: bool) -> np.ndarray:
    """Return points along a line through (N, 3) points, ten between two."""
    ends = np.roll(points, -1, axis=0) if closed else points[1:]
    shares = np.linspace(0, 1, 10, endpoint=False)[:, None]
    return np.concatenate([start + shares * (end - start) for start, end in zip(points, ends, strict=False)] + [points[-1:]])
