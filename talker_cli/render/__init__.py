"""Pictures and films of motions. Nothing here imports torch."""

from talker_cli.render.film import draw_frames, render_frame, render_still, render_video

__all__ = ["draw_frames", "render_frame", "render_still", "render_video"]
