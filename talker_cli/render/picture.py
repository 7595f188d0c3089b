"""One picture of an instant: faces side by side, each with its name, and between them how far they are apart."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from talker_cli.errors import InputError
from talker_cli.render.camera import TURNTABLE, YAWS, Framing, turntable_yaw
from talker_cli.render.heat import Unit, distances, draw_scale, heat_colors, reach, rounded_up, unit_of
from talker_cli.render.lettering import letter_height, write
from talker_cli.render.light import KEY_AT
from talker_cli.render.materials import SurfaceMaterial
from talker_cli.render.occlusion import Visibility, occlusion_pose
from talker_cli.render.source import MotionTrack
from talker_cli.render.stage import Color, GpuMesh, OffscreenRenderer

SIZE = (512, 512)  # width and height, pixels
KEY_YAWS = 24  # sides from which the key light's shadow is worked out for a camera that goes round


@dataclass(frozen=True)
class RenderOptions:
    """How pictures are taken.

    Args:
        size: width and height of each face's picture, pixels.
        view: one of `camera.VIEWS`.
        background: sRGB in 0…1, or None for the studio's backdrop.
        fps: frames a second of a film; the first take's own if None.
        heatmap: show how far every other take is from the first, too.
    """

    size: tuple[int, int] = SIZE
    view: str = "front"
    background: Color | None = None
    fps: float | None = None
    heatmap: bool = False

    def picture_size(self, takes: int) -> tuple[int, int]:
        """Return the width and height of the whole picture of that many takes."""
        return self.size[0] * (2 * takes - 1 if self.heatmap else takes), self.size[1]


class Subject:
    """A mesh that is lit and framed: it sits for any number of pictures.

    Args:
        stage: where it is drawn.
        surface: of the mesh.
        rest: (V, 3) vertices that tell what hides what.
        framed_by: (V, 3) vertices whose bounds place the camera.
        lips: (V,) bool, for a portrait, or None.
        turning: the camera goes round, and keeps its distance.
    """

    def __init__(
        self,
        stage: OffscreenRenderer,
        surface: SurfaceMaterial,
        rest: np.ndarray,
        framed_by: np.ndarray,
        lips: np.ndarray | None,
        *,
        turning: bool = False,
    ) -> None:
        self._stage = stage
        self._figure = stage.add(surface)
        self._aperture = surface.aperture
        used = np.zeros(len(surface.colors), dtype=bool)
        used[surface.faces] = True  # a vertex of no face, at the origin as a rule, is not seen
        portrait = None if lips is None else lips[used]
        self._framing = Framing(framed_by[used], stage.size, portrait)
        self._distance = self._framing.all_round() if turning else None
        around = Framing(rest[used], stage.size, portrait)
        self._seen = Visibility(rest, surface.faces, partial(depth_of, stage, self._figure), around.center, around.radius)
        self._sky = self._seen.sky()
        self._keys: dict[int, np.ndarray] = {}

    def draw(self, vertices: np.ndarray, yaw: float = 0.0, colors: np.ndarray | None = None) -> np.ndarray:
        """Draw (V, 3) vertices from a side, yaw in degrees, in other (V, 3) colours if given; return (H, W, 3) uint8."""
        self._figure.move(vertices)
        if colors is not None:
            self._figure.paint(colors)
        sky, key = self._sky, self._key(yaw)
        if self._aperture is not None:
            share = np.where(self._aperture.inside, np.float32(self._aperture.share(vertices)), np.float32(1.0))
            sky, key = sky * share, key * share
        self._figure.light(sky, key)
        return self._stage.draw(self._figure, self._framing.view(yaw, self._distance))

    def _key(self, yaw: float) -> np.ndarray:
        """Return (V,), how much of the key light reaches each vertex; it stands where the camera says."""
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


def depth_of(stage: OffscreenRenderer, figure: GpuMesh, vertices: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """Return the depth map of a figure in a pose (V, 3), under a (4, 4) projection of the world."""
    figure.move(vertices, normals=False)
    return stage.draw_depth(figure, projection)


def pictures(
    takes: Sequence[MotionTrack], shot: RenderOptions, moments: Iterable[float], seconds: float
) -> Generator[np.ndarray]:
    """Yield (H, W, 3) uint8 pictures of instants, in seconds, of a film that lasts `seconds`.

    Raises:
        InputError: a heat map is wanted of takes that have not the same vertices.
        MachineError: no OpenGL library or driver.
    """
    turning = shot.view == TURNTABLE
    heats = _Heats(takes) if shot.heatmap else None
    with OffscreenRenderer(shot.size, shot.background) as stage:
        sitters = [
            Subject(stage, take.surface, occlusion_pose(take.rig), take.at(0.0), take.rig.regions.get("lips"), turning=turning)
            for take in takes
        ]
        mapped = sitters[1:] if heats is not None else []
        letters = letter_height(shot.size)
        for moment in moments:
            yaw = turntable_yaw(moment / seconds, seconds) if turning else YAWS[shot.view]
            frames = [take.at(moment) for take in takes]
            panes = []
            for number, (take, sitter, vertices) in enumerate(zip(takes, sitters, frames, strict=True)):
                colors = take.surface.colors if heats is not None else None  # the heat map's were the last
                image = sitter.draw(vertices, yaw, colors)
                if len(takes) > 1:
                    image = image.copy()
                    write(image, take.label, letters, letters, letters)
                panes.append(image)
                if heats is not None and number > 0:
                    panes.append(heats.draw(mapped[number - 1], frames[0], vertices, yaw, letters))
            yield panes[0] if len(panes) == 1 else np.concatenate(panes, axis=1)


class _Heats:
    """The distances of takes from the first, on one scale for the whole film."""

    def __init__(self, takes: Sequence[MotionTrack]) -> None:
        first = takes[0]
        count = len(first.rig.template)
        for take in takes[1:]:
            if len(take.rig.template) != count:
                raise InputError(f"{take.label} has {len(take.rig.template)} vertices, {first.label} {count}; "
                                 "expected the same mesh for --heatmap; leave it out to see them side by side")  # fmt: skip
        self._unit: Unit = unit_of(first.at(0.0))
        moments = np.arange(round(min(take.seconds for take in takes) * first.fps)) / first.fps
        largest = 0.0
        for moment in moments:
            one = first.at(moment)
            largest = max(largest, *(reach(distances(one, take.at(moment), self._unit)) for take in takes[1:]))
        self._end = rounded_up(largest)

    def draw(self, sitter: Subject, one: np.ndarray, other: np.ndarray, yaw: float, letters: int) -> np.ndarray:
        """Draw how far (V, 3) vertices are from others."""
        values = distances(one, other, self._unit)
        image = sitter.draw(other, yaw, heat_colors(values, self._end)).copy()
        write(image, "distance", letters, letters, letters)
        summary = f"mean {values.mean():.2f}  most {values.max():.2f} {self._unit.name}"
        write(image, summary, image.shape[0] - round(2.4 * letters), letters, letters)
        draw_scale(image, self._end, self._unit)
        return image
