"""Pictures and films of motions. Nothing here imports torch."""

from talker_cli.render.film import draw_frames, render_frame, render_sheet, render_still, render_video
from talker_cli.render.picture import RenderOptions
from talker_cli.render.source import MotionTrack, read_driven, read_track

__all__ = [
    "MotionTrack",
    "RenderOptions",
    "draw_frames",
    "read_driven",
    "read_track",
    "render_frame",
    "render_sheet",
    "render_still",
    "render_video",
]  # fmt: skip
