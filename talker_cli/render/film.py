"""Motions as films and stills."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path

import numpy as np

from talker_cli.errors import InputError
from talker_cli.motion import Motion
from talker_cli.render.camera import frame
from talker_cli.render.encoder import encode
from talker_cli.render.materials import vertex_colors, vertex_gloss
from talker_cli.render.occlusion import occlusion_pose, sky_seen
from talker_cli.render.stage import Stage
from talker_cli.rig import ARKIT_NAMES, Rig

SIZE = (512, 512)  # width and height, pixels


def render_video(
    motion: Motion,
    rig: Rig,
    output: Path,
    *,
    size: tuple[int, int] = SIZE,
    fps: float | None = None,
    audio: Path | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> None:
    """Draw every frame of a motion into a film, with its sound; `output` appears whole or not at all.

    Args:
        motion: vertices (T, V, 3), metres.
        rig: whose faces, colours and regions the motion moves.
        output: .mp4 or .gif.
        size: width and height, pixels, even numbers.
        fps: frames a second; the motion's own if None.
        audio: any recording; its start is the first frame's instant.
        on_frame: called with (frames drawn, T) after each.

    Raises:
        InputError: the vertex counts of motion and rig differ, or no frame rate is known.
        OutputError: the place cannot be written to, or the encoder failed.
        MachineError: no OpenGL, no ffmpeg.
    """
    rate = fps if fps is not None else motion.about.get("fps")
    if rate is None:
        raise InputError("the motion does not say its frames a second; expected fps in its .json; animate again")
    check_motion(motion, rig)
    count = len(motion.vertices)
    with (
        closing(draw_frames(motion.vertices, rig, size=size)) as images,
        encode(Path(output), size, float(rate), count, audio) as encoder,
    ):
        for index, image in enumerate(images):
            encoder.write(image)
            if on_frame is not None:
                on_frame(index + 1, count)


def render_frame(
    vertices: np.ndarray, rig: Rig, *, size: tuple[int, int] = SIZE, yaw: float = 0.0, framed_by: np.ndarray | None = None
) -> np.ndarray:
    """Draw one still, (H, W, 3) uint8 sRGB; for many of the same size use `draw_frames`, which opens OpenGL once.

    Args:
        vertices: (V, 3), metres.
        yaw: degrees about the vertical; positive shows the subject's left side.
        framed_by: (V, 3) vertices whose bounds place the camera; the drawn ones if None.
    """
    with closing(draw_frames([vertices], rig, size=size, yaw=yaw, framed_by=framed_by)) as images:
        return next(images)


def draw_frames(
    frames: Iterable[np.ndarray],
    rig: Rig,
    *,
    size: tuple[int, int] = SIZE,
    yaw: float = 0.0,
    framed_by: np.ndarray | None = None,
) -> Generator[np.ndarray]:
    """Yield (H, W, 3) uint8 pictures of (V, 3) frames, all from the camera that frames the first of them.

    Raises:
        MachineError: no OpenGL library or driver.
    """
    stage: Stage | None = None
    try:
        for vertices in frames:
            if stage is None:
                # The built-in head's mouth ends in a bag and its eyes lie in sockets; other meshes may be open behind the lips.
                closed = rig.names == ARKIT_NAMES
                stage = Stage(rig.faces, vertex_colors(rig), vertex_gloss(rig), size, closed=closed)
                stage.set_sky(sky_seen(occlusion_pose(rig), rig.faces, stage.draw_depth))
                view = frame(vertices if framed_by is None else framed_by, size, yaw, lips=rig.regions.get("lips"))
            yield stage.draw(vertices, view)
    finally:
        if stage is not None:
            stage.close()


def render_still(
    motion: Motion, rig: Rig, output: Path, *, seconds: float = 0.0, size: tuple[int, int] = SIZE, fps: float | None = None
) -> None:
    """Write the frame at an instant as a .png.

    Raises:
        InputError: the motion does not reach that far, or does not fit the rig.
        OutputError: the place cannot be written to.
    """
    check_motion(motion, rig)
    rate = float(fps if fps is not None else motion.about.get("fps", rig.fps))
    index = round(seconds * rate)
    count = len(motion.vertices)
    if not 0 <= index < count:
        last = (count - 1) / rate
        raise InputError(f"the motion has no frame at {seconds:g} s; expected 0 to {last:.2f} s; choose another --at")
    image = render_frame(motion.vertices[index], rig, size=size, framed_by=motion.vertices[0])
    with encode(Path(output), size, rate, 1) as encoder:
        encoder.write(image)


def check_motion(motion: Motion, rig: Rig) -> None:
    """Refuse a motion of another mesh.

    Raises:
        InputError: the vertex counts differ.
    """
    found, expected = motion.vertices.shape[1], len(rig.template)
    if found != expected:
        raise InputError(f"the motion has {found} vertices; its rig has {expected}; animate the recording again with this rig")
