"""Pictures and films of motions. Nothing here imports torch."""

from talker_cli.render.film import draw_frames, render_frame, render_sheet, render_still, render_video
from talker_cli.render.picture import Shot
from talker_cli.render.source import Take, read_driven, read_take

__all__ = [
    "Shot", "Take", "draw_frames", "read_driven", "read_take", "render_frame", "render_sheet", "render_still", "render_video",
]  # fmt: skip
