"""The preview of a capture: the video with its landmarks, and the built-in head that moves as captured, side by side."""

from contextlib import closing
from pathlib import Path

import numpy as np

from talker_cli.capture.clip import CapturedClip
from talker_cli.capture.video import read_frames
from talker_cli.render.encoder import encode
from talker_cli.render.video import OnFrame, draw_frames
from talker_cli.rig import Rig

SIDE = 512  # pixels, height of the preview
DOT = (80, 255, 120)  # sRGB


def write_preview(clip: CapturedClip, rig: Rig, output: Path, on_frame: OnFrame = lambda done, total: None) -> None:
    """Write the video with landmarks beside the captured head, with the video's sound.

    Args:
        clip: The captured video.
        rig: Rig of the identity that is drawn.
        output: .mp4, .webm or .gif.
        on_frame: Callback with (frames drawn, of how many).

    Raises:
        OutputError: the place cannot be written to.
        MachineError: no OpenGL, no ffmpeg.
    """
    video, count = clip.video, len(clip.coefficients)
    width = round(SIDE * video.width / video.height / 2) * 2
    columns = np.arange(width) * video.width // width
    rows = np.arange(SIDE) * video.height // SIDE
    sound = video.path if video.sounds else None
    turning = rig.with_head()
    shown = (turning.decode(row[None])[0] for row in clip.with_head)
    with (
        encode(output, (width + SIDE, SIDE), video.fps, count, sound) as encoder,
        closing(draw_frames(shown, rig, size=(SIDE, SIDE), framed_by=rig.template)) as heads,
    ):
        for number, (frame, head) in enumerate(zip(read_frames(video), heads, strict=False)):
            left = frame[rows][:, columns]
            if clip.found[number]:
                points = clip.landmarks[number] * [width / video.width, -SIDE / video.height]
                x, y = np.clip(np.round(points).astype(int).T, 0, [[width - 1], [SIDE - 1]])
                for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
                    left[np.minimum(y + down, SIDE - 1), np.minimum(x + right, width - 1)] = DOT
            encoder.write(np.concatenate([left, head], 1))
            on_frame(number + 1, count)
