"""Motions as videos, folders of images, stills and contact sheets."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError
from talker_cli.render.encoder import encode
from talker_cli.render.image import SIZE, RenderOptions, Subject, draw_images, finite
from talker_cli.render.lettering import letter_height, write
from talker_cli.render.materials import surface_of
from talker_cli.render.occlusion import occlusion_pose
from talker_cli.render.source import MotionTrack
from talker_cli.render.stage import Color, OffscreenRenderer
from talker_cli.rig import Rig

CONTACT_SHEET_PIXELS = 64e6  # at most: larger images are slow to open and too fine to look at
EMPTY = (0.115, 0.120, 0.132)  # sRGB of a contact sheet's empty cells: the studio's dark corners

OnFrame = Callable[[int, int], None]  # (images drawn, of how many)


def render_video(
    tracks: Sequence[MotionTrack],
    output: Path,
    options: RenderOptions | None = None,
    *,
    audio: Path | None = None,
    on_frame: OnFrame | None = None,
) -> None:
    """Draw motions side by side into a video, with its sound, as long as the shortest; it appears whole or not at all.

    Args:
        tracks: One motion or more.
        output: .mp4, .webm or .gif, or a folder for a PNG a frame.
        options: Size, view and other settings.
        audio: Any recording; it starts with the first frame.
        on_frame: Callback with (frames drawn, of how many).

    Raises:
        InputError: the tracks do not fit each other, or one is not finite.
        OutputError: the place cannot be written to, or the encoder failed.
        MachineError: no OpenGL, no ffmpeg.
    """
    options = options or RenderOptions()
    rate = tracks[0].fps if options.fps is None else options.fps
    if not 1 <= rate <= 1000:
        raise InputError(f"found {rate} frames a second; expected a number from 1 to 1000", field="fps")
    seconds = min(track.seconds for track in tracks)
    count = max(1, round(seconds * rate))
    moments = (index / rate for index in range(count))
    with closing(draw_images(tracks, options, moments, seconds)) as images:
        # OpenGL is loaded with the first image, before the file is begun: loading can swallow a Ctrl-C.
        first = next(images)
        with encode(Path(output), options.image_size(len(tracks)), rate, count, audio) as encoder:
            for index, image in enumerate(chain((first,), images)):
                encoder.write(image)
                if on_frame is not None:
                    on_frame(index + 1, count)


def render_still(
    tracks: Sequence[MotionTrack], output: Path, options: RenderOptions | None = None, *, seconds: float = 0.0
) -> None:
    """Write the image of an instant as a .png.

    Args:
        tracks: One motion or more.
        output: The .png.
        options: Size, view and other settings.
        seconds: The instant.

    Raises:
        InputError: the motion does not reach that far, or the tracks do not fit each other.
        OutputError: the place cannot be written to.
    """
    options = options or RenderOptions()
    length = min(track.seconds for track in tracks)
    last = length - 1 / tracks[0].fps
    if not 0 <= seconds <= last + 0.5 / tracks[0].fps:
        raise InputError(f"the motion has no frame at {seconds:g} s; expected 0 to {last:.2f} s; choose another", field="at")
    with closing(draw_images(tracks, options, [seconds], length)) as images:
        _write_png(output, next(images))


def render_contact_sheet(
    tracks: Sequence[MotionTrack],
    output: Path,
    options: RenderOptions | None = None,
    *,
    every: float,
    on_frame: OnFrame | None = None,
) -> None:
    """Write a contact sheet as a .png: images at equal times from the first frame on, each with its time.

    Args:
        tracks: One motion or more.
        output: The .png.
        options: Size, view and other settings.
        every: Seconds between two images.
        on_frame: Callback with (images drawn, of how many).

    Raises:
        InputError: there would be too many images, or the tracks do not fit each other.
        OutputError: the place cannot be written to.
    """
    options = options or RenderOptions()
    length = min(track.seconds for track in tracks)
    width, height = options.image_size(len(tracks))
    fitting = length * width * height / CONTACT_SHEET_PIXELS
    if not fitting <= every < np.inf:
        raise InputError(
            f"found {every:g} s between images of {width}x{height}; expected at least {fitting:.2g} s, or a smaller size",
            field="every",
        )
    moments = np.arange(0.0, length - 0.5 / tracks[0].fps, every)
    columns = _columns(len(moments), width, height)
    rows = -(-len(moments) // columns)
    sheet = np.empty((rows * height, columns * width, 3), np.uint8)
    sheet[:] = np.round(255 * np.array(options.background or EMPTY))
    letters = letter_height(options.size)
    with closing(draw_images(tracks, options, moments, length)) as images:
        for index, image in enumerate(images):
            row, column = index // columns * height, index % columns * width
            cell = sheet[row : row + height, column : column + width]
            cell[:] = image
            write(cell, f"{moments[index]:.2f} s", height - round(2.4 * letters), width - round(4.6 * letters), letters)
            if on_frame is not None:
                on_frame(index + 1, len(moments))
    _write_png(output, sheet)


def _columns(count: int, width: int, height: int) -> int:
    """Return the number of images in a row: about a screen's proportions, with few cells empty."""
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
        rig: Faces, colours and regions.
        size: Width and height, pixels.
        yaw: Degrees about the vertical; positive shows the subject's left side.
        framed_by: (V, 3) vertices whose bounds place the camera; the drawn ones if None.
        background: sRGB in 0…1, or None for the studio's backdrop.

    Raises:
        InputError: the vertices are not finite.
        MachineError: no OpenGL library or driver.
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
    """Yield (H, W, 3) uint8 images of (V, 3) frames, all from the camera that frames the first of them.

    Args:
        frames: (V, 3) vertices each, metres.
        rig: Faces, colours and regions.
        size: Width and height, pixels.
        yaw: Degrees about the vertical; or one for each frame, for a camera that goes round.
        framed_by: (V, 3) vertices whose bounds place the camera; the first frame's if None.
        background: sRGB in 0…1, or None for the studio's backdrop.

    Raises:
        InputError: a frame is not finite.
        MachineError: no OpenGL library or driver.
    """
    sides = repeat(yaw) if isinstance(yaw, int | float) else iter(yaw)
    turning = not isinstance(yaw, int | float)
    with OffscreenRenderer(size, background) as renderer:
        subject: Subject | None = None
        for number, frame in enumerate(frames):
            vertices = finite(frame, f"frame {number}")
            if subject is None:
                bounds = vertices if framed_by is None else framed_by
                lips = rig.regions.get("lips")
                subject = Subject(renderer, surface_of(rig), occlusion_pose(rig), bounds, lips, turning=turning)
            yield subject.draw(vertices, next(sides))
