"""Images and videos of motions. Nothing here imports torch.

What draws is loaded when it is asked for: other packages read motions by `render.source` and draw nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
PLACES = {"RenderOptions": "image", "MotionTrack": "source", "read_driven": "source", "read_track": "source"}


def __getattr__(name: str) -> Any:
    """Load one of `__all__`."""
    if name in __all__:
        return getattr(import_module(f"talker_cli.render.{PLACES.get(name, 'video')}"), name)
    raise AttributeError(f"module 'talker_cli.render' has no attribute '{name}'")
