"""The image of an instant: faces side by side, each with its name, and heat maps of their distances."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.mesh import LARGEST
from talker_cli.render.camera import TURNTABLE, YAWS, Framing, turntable_yaw
from talker_cli.render.heat import Unit, distances, draw_scale, heat_colors, reach, rounded_up, unit_of
from talker_cli.render.lettering import letter_height, write
from talker_cli.render.light import KEY_AT
from talker_cli.render.materials import SurfaceMaterial
from talker_cli.render.occlusion import Visibility, occlusion_pose
from talker_cli.render.source import MotionTrack
from talker_cli.render.stage import Color, GpuMesh, OffscreenRenderer

SIZE = (512, 512)  # width and height, pixels
KEY_YAWS = 24  # directions for which the key light's shadow is computed when the camera goes round


@dataclass(frozen=True)
class RenderOptions:
    """Settings of images and videos.

    Args:
        size: Width and height of each face's image, pixels.
        view: A key of `camera.YAWS`, or "turntable".
        background: sRGB in 0…1, or None for the studio's backdrop.
        fps: Frame rate of a video; the first track's own if None.
        heatmap: Whether each other track's distance from the first is shown, too.
    """

    size: tuple[int, int] = SIZE
    view: str = "front"
    background: Color | None = None
    fps: float | None = None
    heatmap: bool = False

    def image_size(self, tracks: int) -> tuple[int, int]:
        """Return the width and height of the whole image of a number of tracks."""
        return self.size[0] * (2 * tracks - 1 if self.heatmap else tracks), self.size[1]


class Subject:
    """A mesh, lit and framed, for any number of images.

    Args:
        renderer: The renderer that draws it.
        surface: The mesh's faces and colours.
        rest: (V, 3) vertices that occlusion is computed for.
        framed_by: (V, 3) vertices whose bounds place the camera.
        lips: (V,) bool, the lips' vertices, for a portrait; None for the whole mesh.
        turning: Whether the camera goes round, at one distance.
    """

    def __init__(
        self,
        renderer: OffscreenRenderer,
        surface: SurfaceMaterial,
        rest: np.ndarray,
        framed_by: np.ndarray,
        lips: np.ndarray | None,
        *,
        turning: bool = False,
    ) -> None:
        self._renderer = renderer
        self._mesh = renderer.add(surface)
        self._aperture = surface.aperture
        used = np.zeros(len(surface.colors), dtype=bool)
        used[surface.faces] = True  # a vertex of no face, at the origin as a rule, is not seen
        portrait = None if lips is None else lips[used]
        self._framing = Framing(framed_by[used], renderer.size, portrait)
        self._distance = self._framing.all_round() if turning else None
        around = Framing(rest[used], renderer.size, portrait)
        self._seen = Visibility(rest, surface.faces, partial(depth_of, renderer, self._mesh), around.center, around.radius)
        self._sky = self._seen.sky()
        self._keys: dict[int, np.ndarray] = {}

    def draw(self, vertices: np.ndarray, yaw: float = 0.0, colors: np.ndarray | None = None) -> np.ndarray:
        """Draw (V, 3) vertices from a side, yaw in degrees, in other (V, 3) colours if given; return (H, W, 3) uint8."""
        self._mesh.move(vertices)
        if colors is not None:
            self._mesh.paint(colors)
        sky, key = self._sky, self._key(yaw)
        if self._aperture is not None:
            share = np.where(self._aperture.inside, np.float32(self._aperture.share(vertices)), np.float32(1.0))
            sky, key = sky * share, key * share
        self._mesh.light(sky, key)
        return self._renderer.draw(self._mesh, self._framing.view(yaw, self._distance))

    def _key(self, yaw: float) -> np.ndarray:
        """Return the (V,) shares of the key light that reach each vertex; the light moves with the camera."""
        place = yaw / 360 * KEY_YAWS
        step = int(np.floor(place + 1e-9))
        share = np.float32(place - step)
        before = self._key_at(step % KEY_YAWS)
        return before if share < 1e-4 else before + share * (self._key_at((step + 1) % KEY_YAWS) - before)

    def _key_at(self, step: int) -> np.ndarray:
        if step not in self._keys:
            pose = self._framing.view(step / KEY_YAWS * 360).pose
            self._keys[step] = self._seen.towards(pose[:3, :3] @ np.array(KEY_AT))
        return self._keys[step]


def depth_of(renderer: OffscreenRenderer, mesh: GpuMesh, vertices: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """Return the depth map of a mesh in a pose (V, 3), under a (4, 4) projection of the world."""
    mesh.move(vertices, normals=False)
    return renderer.draw_depth(mesh, projection)


def finite(vertices: np.ndarray, what: str) -> np.ndarray:
    """Return (V, 3) vertices that can be drawn.

    Raises:
        InputError: one is NaN, infinite or beyond any mesh's size.
    """
    largest = float(np.abs(vertices).max(initial=0.0))
    if not largest <= LARGEST:
        raise InputError(f"{what} holds the coordinate {largest:.3g}; expected finite vertices of at most {LARGEST:g}")
    return vertices


def _vertices(track: MotionTrack, moment: float) -> np.ndarray:
    """Return the (V, 3) vertices of a track at an instant, in seconds."""
    with np.errstate(all="ignore"):  # what overflows is refused
        return finite(track.at(moment), f"{track.label or 'the motion'} at {moment:.2f} s")


def draw_images(
    tracks: Sequence[MotionTrack], options: RenderOptions, moments: Iterable[float], seconds: float
) -> Generator[np.ndarray]:
    """Yield (H, W, 3) uint8 images of instants.

    Args:
        tracks: One motion or more.
        options: Size, view and other settings.
        moments: The instants, seconds.
        seconds: Duration of the whole video, for a turntable.

    Raises:
        InputError: a heat map of tracks with different meshes, or a motion that is not finite.
        MachineError: no OpenGL library or driver.
    """
    turning = options.view == TURNTABLE
    heats = _Heats(tracks) if options.heatmap else None
    with OffscreenRenderer(options.size, options.background) as renderer:
        subjects = [
            Subject(
                renderer,
                track.surface,
                occlusion_pose(track.rig),
                _vertices(track, 0.0),
                track.rig.regions.get("lips"),
                turning=turning,
            )
            for track in tracks
        ]
        mapped = subjects[1:] if heats is not None else []
        letters = letter_height(options.size)
        for moment in moments:
            yaw = turntable_yaw(moment / seconds, seconds) if turning else YAWS[options.view]
            frames = [_vertices(track, moment) for track in tracks]
            panes = []
            for number, (track, subject, vertices) in enumerate(zip(tracks, subjects, frames, strict=True)):
                colors = track.surface.colors if heats is not None else None  # the heat map's were the last
                image = subject.draw(vertices, yaw, colors)
                if len(tracks) > 1:
                    image = image.copy()
                    write(image, track.label, letters, letters, letters)
                panes.append(image)
                if heats is not None and number > 0:
                    panes.append(heats.draw(mapped[number - 1], frames[0], vertices, yaw, letters))
            yield panes[0] if len(panes) == 1 else np.concatenate(panes, axis=1)


class _Heats:
    """The distances of tracks from the first, on one scale for the whole video."""

    def __init__(self, tracks: Sequence[MotionTrack]) -> None:
        first = tracks[0]
        count = len(first.rig.template)
        for track in tracks[1:]:
            if len(track.rig.template) != count:
                raise InputError(f"{track.label} has {len(track.rig.template)} vertices, {first.label} {count}; "
                                 "expected one mesh for a heat map; leave it out to see them side by side",
                                 field="heatmap")  # fmt: skip
        self._unit: Unit = unit_of(_vertices(first, 0.0))
        moments = np.arange(round(min(track.seconds for track in tracks) * first.fps)) / first.fps
        largest = 0.0
        for moment in moments:
            one = _vertices(first, moment)
            largest = max(largest, *(reach(distances(one, _vertices(track, moment), self._unit)) for track in tracks[1:]))
        self._end = rounded_up(largest)

    def draw(self, subject: Subject, one: np.ndarray, other: np.ndarray, yaw: float, letters: int) -> np.ndarray:
        """Draw the distances of (V, 3) vertices from others."""
        values = distances(one, other, self._unit)
        image = subject.draw(other, yaw, heat_colors(values, self._end)).copy()
        write(image, "distance", letters, letters, letters)
        summary = f"mean {values.mean():.2f}  most {values.max():.2f} {self._unit.name}"
        write(image, summary, image.shape[0] - round(2.4 * letters), letters, letters)
        draw_scale(image, self._end, self._unit)
        return image
