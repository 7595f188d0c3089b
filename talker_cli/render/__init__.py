"""Images and videos of motions. Nothing here imports torch."""

from talker_cli.render.image import RenderOptions
from talker_cli.render.source import MotionTrack, read_driven, read_track
from talker_cli.render.video import draw_frames, render_contact_sheet, render_frame, render_still, render_video

__all__ = [
    "MotionTrack",
    "RenderOptions",
    "draw_frames",
    "read_driven",
    "read_track",
    "render_contact_sheet",
    "render_frame",
    "render_still",
    "render_video",
]  # fmt: skip
