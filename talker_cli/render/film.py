"""Motions as films, folders of pictures, stills and contact sheets."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError
from talker_cli.render.encoder import encode
from talker_cli.render.lettering import letter_height, write
from talker_cli.render.materials import surface_of
from talker_cli.render.occlusion import occlusion_pose
from talker_cli.render.picture import SIZE, RenderOptions, Subject, pictures
from talker_cli.render.source import MotionTrack
from talker_cli.render.stage import Color, OffscreenRenderer
from talker_cli.rig import Rig

SHEET_PIXELS = 64e6  # of a contact sheet: more is nothing to look at
EMPTY = (0.115, 0.120, 0.132)  # sRGB, where a sheet has no picture: the studio's dark corners

OnFrame = Callable[[int, int], None]  # (pictures drawn, of how many)


def render_video(
    takes: Sequence[MotionTrack],
    output: Path,
    shot: RenderOptions | None = None,
    *,
    audio: Path | None = None,
    on_frame: OnFrame | None = None,
) -> None:
    """Draw motions side by side into a film, with its sound, as long as the shortest; it appears whole or not at all.

    Args:
        takes: one or more.
        output: .mp4, .webm or .gif, or a folder for a picture a frame.
        shot: how it is taken.
        audio: any recording; its start is the first frame's instant.
        on_frame: called with (frames drawn, of how many) after each.

    Raises:
        InputError: the takes do not fit each other.
        OutputError: the place cannot be written to, or the encoder failed.
        MachineError: no OpenGL, no ffmpeg.
    """
    shot = shot or RenderOptions()
    rate = takes[0].fps if shot.fps is None else shot.fps
    seconds = min(take.seconds for take in takes)
    count = max(1, round(seconds * rate))
    moments = (index / rate for index in range(count))
    with closing(pictures(takes, shot, moments, seconds)) as images:
        # What draws is loaded with the first picture, before the file is begun: loading can swallow a Ctrl-C.
        first = next(images)
        with encode(Path(output), shot.picture_size(len(takes)), rate, count, audio) as encoder:
            for index, image in enumerate(chain((first,), images)):
                encoder.write(image)
                if on_frame is not None:
                    on_frame(index + 1, count)


def render_still(
    takes: Sequence[MotionTrack], output: Path, shot: RenderOptions | None = None, *, seconds: float = 0.0
) -> None:
    """Write an instant as a .png.

    Raises:
        InputError: the motion does not reach that far, or the takes do not fit each other.
        OutputError: the place cannot be written to.
    """
    shot = shot or RenderOptions()
    length = min(take.seconds for take in takes)
    last = length - 1 / takes[0].fps
    if seconds > last + 0.5 / takes[0].fps:
        raise InputError(f"the motion has no frame at {seconds:g} s; expected 0 to {last:.2f} s; choose another --at")
    with closing(pictures(takes, shot, [seconds], length)) as images:
        _write_png(output, next(images))


def render_sheet(
    takes: Sequence[MotionTrack],
    output: Path,
    shot: RenderOptions | None = None,
    *,
    every: float,
    on_frame: OnFrame | None = None,
) -> None:
    """Write a contact sheet as a .png: pictures at equal times from the first frame on, each with its time.

    Args:
        every: seconds between two pictures.

    Raises:
        InputError: there would be too many pictures, or the takes do not fit each other.
        OutputError: the place cannot be written to.
    """
    shot = shot or RenderOptions()
    length = min(take.seconds for take in takes)
    moments = np.arange(0.0, length - 0.5 / takes[0].fps, every)
    width, height = shot.picture_size(len(takes))
    if len(moments) * width * height > SHEET_PIXELS:
        fitting = length * width * height / SHEET_PIXELS
        raise InputError(f"{len(moments)} pictures of {width}x{height} are too many for one sheet; expected --every "
                         f"{fitting:.2g} or more, or a smaller --size")  # fmt: skip
    columns = _columns(len(moments), width, height)
    rows = -(-len(moments) // columns)
    sheet = np.empty((rows * height, columns * width, 3), np.uint8)
    sheet[:] = np.round(255 * np.array(shot.background or EMPTY))
    letters = letter_height(shot.size)
    with closing(pictures(takes, shot, moments, length)) as images:
        for index, image in enumerate(images):
            row, column = index // columns * height, index % columns * width
            cell = sheet[row : row + height, column : column + width]
            cell[:] = image
            write(cell, f"{moments[index]:.2f} s", height - round(2.4 * letters), width - round(4.6 * letters), letters)
            if on_frame is not None:
                on_frame(index + 1, len(moments))
    _write_png(output, sheet)


def _columns(count: int, width: int, height: int) -> int:
    """Return how many pictures stand in a row, so that the sheet is about as wide as a screen, with few places empty."""
    fitting = min(count, max(1, round(np.sqrt(count * height / width * 16 / 10))))
    choices = range(max(1, fitting - 1), min(count, fitting + 1) + 1)
    return min(choices, key=lambda columns: (-count % columns, abs(columns - fitting)))


def _write_png(output: Path, image: np.ndarray) -> None:
    with encode(Path(output), (image.shape[1], image.shape[0]), 1.0, 1) as encoder:
        encoder.write(image)


def render_frame(
    vertices: np.ndarray,
    rig: Rig,
    *,
    size: tuple[int, int] = SIZE,
    yaw: float = 0.0,
    framed_by: np.ndarray | None = None,
    background: Color | None = None,
) -> np.ndarray:
    """Draw one still, (H, W, 3) uint8 sRGB; for many of the same size use `draw_frames`, which opens OpenGL once.

    Args:
        vertices: (V, 3), metres.
        yaw: degrees about the vertical; positive shows the subject's left side.
        framed_by: (V, 3) vertices whose bounds place the camera; the drawn ones if None.
        background: sRGB in 0…1, or None for the studio's backdrop.
    """
    with closing(draw_frames([vertices], rig, size=size, yaw=yaw, framed_by=framed_by, background=background)) as images:
        return next(images)


def draw_frames(
    frames: Iterable[np.ndarray],
    rig: Rig,
    *,
    size: tuple[int, int] = SIZE,
    yaw: float | Iterable[float] = 0.0,
    framed_by: np.ndarray | None = None,
    background: Color | None = None,
) -> Generator[np.ndarray]:
    """Yield (H, W, 3) uint8 pictures of (V, 3) frames, all from the camera that frames the first of them.

    Args:
        yaw: degrees about the vertical; or one for each frame, from a camera that goes round.
        framed_by: (V, 3) vertices whose bounds place the camera; the first frame's if None.
        background: sRGB in 0…1, or None for the studio's backdrop.

    Raises:
        MachineError: no OpenGL library or driver.
    """
    sides = repeat(yaw) if isinstance(yaw, int | float) else iter(yaw)
    turning = not isinstance(yaw, int | float)
    with OffscreenRenderer(size, background) as stage:
        sitter: Subject | None = None
        for vertices in frames:
            if sitter is None:
                bounds = vertices if framed_by is None else framed_by
                lips = rig.regions.get("lips")
                sitter = Subject(stage, surface_of(rig), occlusion_pose(rig), bounds, lips, turning=turning)
            yield sitter.draw(vertices, next(sides))
