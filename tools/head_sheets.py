"""Draw contact sheets of the built-in head: its 52 shapes, visemes, people, a turntable, and the rig's regions.

    python tools/head_sheets.py examples/

Look at every image after a change of the head.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from talker_cli.formats.files import atomic_path
from talker_cli.head.assemble import build_head
from talker_cli.head.people import PEOPLE
from talker_cli.render.lettering import write
from talker_cli.render.video import draw_frames
from talker_cli.rig import ARKIT_NAMES, Rig

YAWS = (0.0, 40.0, 90.0)
TURNS = 12
QUALITY = 88  # of JPEG
MOST_BYTES = 600_000  # of a contact sheet: they are in the repository
LETTERS = 12  # pixels

# A mouth's shapes as speech makes them, by the sounds that share them.
VISEMES: dict[str, dict[str, float]] = {
    "rest": {},
    "p b m": {"jawOpen": 0.06, "mouthClose": 0.06, "mouthPress": 0.16},
    "f v": {"jawOpen": 0.05, "mouthClose": 0.04, "mouthUpperUp": 0.14, "mouthLowerDown": 0.04, "mouthRollLower": 0.30},
    "th": {"jawOpen": 0.08, "mouthLowerDown": 0.25, "mouthUpperUp": 0.10, "tongueOut": 0.22, "mouthStretch": 0.06},
    "t d n l": {"jawOpen": 0.08, "mouthLowerDown": 0.22, "mouthUpperUp": 0.08, "mouthStretch": 0.05},
    "s z": {"jawOpen": 0.03, "mouthLowerDown": 0.21, "mouthUpperUp": 0.10, "mouthSmile": 0.09, "mouthStretch": 0.12},
    "sh ch": {"jawOpen": 0.03, "mouthLowerDown": 0.24, "mouthUpperUp": 0.17, "mouthFunnel": 0.40, "mouthPucker": 0.12},
    "k g": {"jawOpen": 0.10, "mouthLowerDown": 0.22, "mouthUpperUp": 0.08},
    "r": {"jawOpen": 0.07, "mouthLowerDown": 0.18, "mouthUpperUp": 0.08, "mouthFunnel": 0.28, "mouthPucker": 0.15},
    "w": {"jawOpen": 0.05, "mouthLowerDown": 0.07, "mouthFunnel": 0.20, "mouthPucker": 0.55},
    "ah": {"jawOpen": 0.31, "mouthLowerDown": 0.47, "mouthUpperUp": 0.15, "mouthStretch": 0.06},
    "a (cat)": {"jawOpen": 0.27, "mouthLowerDown": 0.50, "mouthUpperUp": 0.18, "mouthSmile": 0.10, "mouthStretch": 0.14},
    "e (bed)": {"jawOpen": 0.18, "mouthLowerDown": 0.39, "mouthUpperUp": 0.12, "mouthSmile": 0.09, "mouthStretch": 0.10},
    "ee": {"jawOpen": 0.07, "mouthLowerDown": 0.30, "mouthUpperUp": 0.12, "mouthSmile": 0.24, "mouthStretch": 0.16},
    "oh": {"jawOpen": 0.18, "mouthLowerDown": 0.30, "mouthUpperUp": 0.08, "mouthFunnel": 0.30, "mouthPucker": 0.20},
    "oo": {"jawOpen": 0.06, "mouthLowerDown": 0.15, "mouthUpperUp": 0.05, "mouthFunnel": 0.30, "mouthPucker": 0.42},
}  # fmt: skip
# Shapes that mean nothing alone are shown with what they act on.
_WITH = {"mouthClose": {"jawOpen": 1.0}, "tongueOut": {"jawOpen": 0.35, "mouthLowerDown": 0.3}}
_REGION_COLORS = {"lips": (214, 62, 70), "upper_face": (78, 126, 206)}
_GREY = (150, 148, 146)


@dataclass(frozen=True)
class Crop:
    """The part of a square image that a cell shows, in shares of its side."""

    left: float
    top: float
    right: float
    bottom: float

    def of(self, image: np.ndarray) -> np.ndarray:
        """Return that part of an (S, S, 3) image."""
        side = image.shape[0]
        left, top = round(self.left * side), round(self.top * side)
        width, height = round((self.right - self.left) * side), round((self.bottom - self.top) * side)
        return image[top : top + height, left : left + width].copy()


_BUST, _FACE = Crop(0.12, 0.0, 0.88, 1.0), Crop(0.22, 0.20, 0.78, 0.92)
_MOUTHS = {0.0: Crop(0.33, 0.56, 0.67, 0.86), 40.0: Crop(0.18, 0.56, 0.52, 0.86), 90.0: Crop(0.04, 0.56, 0.38, 0.86)}  # by yaw


def write_sheets(folder: Path) -> None:
    """Draw the contact sheets into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = build_head(PEOPLE)
    _write(folder / "head_shapes.jpg", _tiled(_shapes(content.rig), 13))
    _write(folder / "head_visemes.jpg", _tiled(_visemes(content.rig_of(PEOPLE[1].name)), 12))
    people = [cell for name in content.identities for cell in _person(content.rig_of(name), name)]
    _write(folder / "head_people.jpg", _tiled(people, 6))
    _write(folder / "head_turntable.jpg", _tiled(_turntable(content.rig), 6))
    write_regions(content.rig, folder / "head_regions.jpg")


def write_regions(rig: Rig, path: Path) -> None:
    """Draw the regions that metrics are measured on, and the lip pairs, as a JPEG."""
    _write(path, _tiled(_regions(rig), 3))


def posed(rig: Rig, amounts: dict[str, float]) -> np.ndarray:
    """Return (V, 3) vertices of amounts by shape; a name without its side means both sides."""
    coefficients = np.zeros((1, len(rig.names)))
    for name, amount in amounts.items():
        for side in ("", "Left", "Right"):
            if name + side in rig.names:
                coefficients[0, rig.names.index(name + side)] = amount
    return rig.decode(coefficients)[0]


def _cells(rig: Rig, poses: Sequence[dict[str, float]], side: int, yaw: float, crop: Crop) -> Iterator[np.ndarray]:
    frames = (posed(rig, pose) for pose in poses)
    with closing(draw_frames(frames, rig, size=(side, side), yaw=yaw, framed_by=rig.template)) as images:
        for image in images:
            yield crop.of(image)


def _shapes(rig: Rig) -> list[np.ndarray]:
    """Return the 52 shapes at 1.0, in ARKit's order; each from the side where it shows best."""
    cells: list[np.ndarray] = [np.zeros(0)] * len(ARKIT_NAMES)
    for yaw, chosen in ((28.0, "Left"), (-28.0, "Right"), (28.0, "")):
        names = [n for n in ARKIT_NAMES if n.endswith(chosen) and (chosen or not n.endswith(("Left", "Right")))]
        poses = [{**_WITH.get(name, {}), name: 1.0} for name in names]
        for name, cell in zip(names, _cells(rig, poses, 300, yaw, _FACE), strict=True):
            for line, text in enumerate([name, *(f"+ {other} {value:g}" for other, value in _WITH.get(name, {}).items())]):
                write(cell, text, 3 + 15 * line, 4, LETTERS)
            cells[ARKIT_NAMES.index(name)] = cell
    return cells


def _visemes(rig: Rig) -> list[np.ndarray]:
    cells = []
    views = [list(_cells(rig, list(VISEMES.values()), 440, yaw, crop)) for yaw, crop in _MOUTHS.items()]
    for number, name in enumerate(VISEMES):
        write(views[0][number], name, 3, 4, LETTERS)
        cells += [view[number] for view in views]
    return cells


def _person(rig: Rig, name: str) -> list[np.ndarray]:
    cells = [_BUST.of(image) for image in _round(rig, YAWS, 300)]
    write(cells[0], name.removesuffix("_TA"), 3, 4, LETTERS)
    return cells


def _turntable(rig: Rig) -> list[np.ndarray]:
    return _round(rig, [360.0 * turn / TURNS for turn in range(TURNS)], 320)


def _round(rig: Rig, yaws: Sequence[float], side: int) -> list[np.ndarray]:
    """Return images of a head at rest from a camera that goes round it."""
    with closing(draw_frames((rig.template for _ in yaws), rig, size=(side, side), yaw=yaws)) as images:
        return [image.copy() for image in images]


def _regions(rig: Rig) -> list[np.ndarray]:
    """Return three views of the rig's measured regions in colours, the lip pairs' vertices white and joined by name."""
    colors = np.broadcast_to(np.array(_GREY, np.uint8), (len(rig.template), 3)).copy()
    for region, color in _REGION_COLORS.items():
        colors[rig.regions[region]] = color
    colors[rig.lip_pairs[:, 0]] = (255, 240, 120)
    colors[rig.lip_pairs[:, 1]] = (120, 255, 170)
    painted = replace(rig, colors=colors)
    opened = {"jawOpen": 0.25, "mouthLowerDown": 0.3}
    cells = [_FACE.of(image) for image in _round(painted, YAWS[:2], 480)]
    mouth = next(_cells(painted, [opened], 840, 0.0, Crop(0.34, 0.52, 0.66, 0.94)))
    cells.append(mouth[: cells[0].shape[0], : cells[0].shape[1]])
    texts = ("lips red, upper_face blue", "three-quarter", "lip_pairs: upper yellow, lower green")
    for cell, text in zip(cells, texts, strict=True):
        write(cell, text, 4, 5, LETTERS)
    return cells


def _tiled(cells: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Return cells of one size side by side in rows."""
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    sheet = np.full((rows * height, columns * width, 3), 30, np.uint8)
    for number, cell in enumerate(cells):
        row, column = number // columns * height, number % columns * width
        sheet[row : row + height, column : column + width][: cell.shape[0], : cell.shape[1]] = cell
    return sheet


def _write(path: Path, sheet: np.ndarray) -> None:
    """Write a JPEG atomically, at the best quality that keeps it small."""
    with atomic_path(path) as temporary:
        for quality in range(QUALITY, 40, -8):
            Image.fromarray(sheet).save(temporary, quality=quality, optimize=True)
            if temporary.stat().st_size < MOST_BYTES:
                break


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/head_sheets.py FOLDER")
    write_sheets(Path(sys.argv[1]))
