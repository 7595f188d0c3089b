"""Images that cannot be black, mirrored or frozen: by pixels."""

import warnings
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import Talker

from talker_cli.errors import InputError
from talker_cli.render import (
    MotionTrack,
    RenderOptions,
    draw_frames,
    render_contact_sheet,
    render_frame,
    render_still,
    render_video,
)
from talker_cli.render.aperture import LEAST, aperture_of
from talker_cli.render.camera import Framing
from talker_cli.render.image import depth_of
from talker_cli.render.materials import SurfaceMaterial
from talker_cli.render.occlusion import Visibility
from talker_cli.render.stage import OffscreenRenderer
from talker_cli.rig import Rig, RigFile

SIZE = (192, 192)
GREY = (0.235, 0.245, 0.26)


def pose(rig: Rig, **shapes: float) -> np.ndarray:
    coefficients = np.zeros((1, len(rig.names)), np.float32)
    for name, value in shapes.items():
        coefficients[0, rig.names.index(name)] = value
    return rig.decode(coefficients)[0]


def pixel_of(rig: Rig, point: np.ndarray, size: tuple[int, int] = SIZE) -> tuple[int, int]:
    """Return the row and column where a point of the template is drawn: our own projection, not the renderer's."""
    view = Framing(rig.template, size, rig.regions["lips"]).view(0.0)
    x, y, z = view.pose[:3, :3].T @ (point - view.pose[:3, 3])
    scale = 1 / (np.tan(view.field_of_view / 2) * -z)
    return round((1 - y * scale) / 2 * size[1]), round((1 + x * scale * size[1] / size[0]) / 2 * size[0])


def is_background(image: np.ndarray) -> np.ndarray:
    return np.abs(image - 255 * np.array(GREY)).max(axis=-1) < 2


@pytest.fixture(scope="module")
def still(rig: Rig) -> np.ndarray:
    return render_frame(rig.template, rig, size=SIZE, background=GREY)


def test_a_face_is_drawn_on_the_ground(still: np.ndarray, rig: Rig) -> None:
    """Breaks if the frame is black, empty, or filled from edge to edge."""
    assert still.shape == (192, 192, 3) and still.dtype == np.uint8
    ground = is_background(still)
    assert 0.2 < ground.mean() < 0.8
    assert ground[:3].all()  # room over the crown
    row, column = pixel_of(rig, rig.template[rig.regions["upper_face"]].mean(axis=0))
    face = still[row - 20 : row + 20, column - 20 : column + 20].reshape(-1, 3).astype(float)
    assert 70 < face.mean() < 230 and face.std() > 8  # lit, neither black nor burnt, and modelled by the light


def test_left_is_on_the_viewers_right(still: np.ndarray, rig: Rig) -> None:
    """Breaks if the picture is mirrored or upside down: a green mark on the subject's left brow must appear where it is."""
    brow = int(np.argmin(np.linalg.norm(rig.template - np.array([0.03, 0.035, 0.09]), axis=1)))
    assert rig.template[brow, 0] > 0.02 and rig.colors is not None
    near = np.linalg.norm(rig.template - rig.template[brow], axis=1) < 0.010
    colors = rig.colors.copy()
    colors[near] = (0, 255, 0)
    marked = render_frame(rig.template, replace(rig, colors=colors), size=SIZE, background=GREY).astype(int)
    green = (marked[..., 1] - marked[..., [0, 2]].max(axis=-1)) > 40
    rows, columns = np.nonzero(green)
    row, column = pixel_of(rig, rig.template[near].mean(axis=0))
    assert columns.mean() > 100 and rows.mean() < 96
    assert abs(rows.mean() - row) < 6 and abs(columns.mean() - column) < 6


def test_an_open_mouth_is_another_picture_where_the_mouth_is(still: np.ndarray, rig: Rig) -> None:
    """Breaks if the vertex buffers are not updated: the face would speak without moving."""
    closed, opened, again = draw_frames([rig.template, pose(rig, jawOpen=0.7), rig.template], rig, size=SIZE, background=GREY)
    changed = np.abs(opened.astype(int) - closed).max(axis=-1) > 30
    row, column = pixel_of(rig, rig.template[rig.regions["lips"]].mean(axis=0))
    assert changed[row : row + 16, column - 8 : column + 8].mean() > 0.5
    assert changed[: row - 40].mean() < 0.01  # the brow does not move with the jaw
    assert (again == closed).all() and (closed == still).all()


def test_the_normals_move_too(rig: Rig) -> None:
    """Breaks if only positions are uploaded: turned away from the light, the face would stay as bright."""
    turn = np.array([[-1, 0, 0], [0, 1, 0], [0, 0, -1]], np.float32)
    turned = (rig.template - rig.template.mean(axis=0)) @ turn.T + rig.template.mean(axis=0)
    drawn = list(draw_frames([rig.template, turned], rig, size=SIZE, framed_by=rig.template, background=GREY))
    fresh = render_frame(turned, rig, size=SIZE, framed_by=rig.template, background=GREY)
    assert (drawn[1] == fresh).all()


@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
@pytest.mark.parametrize("size", [(192, 192), (256, 144), (144, 256)])
@pytest.mark.slow
def test_any_scale_and_shape_is_framed(ball: Rig, scale: float, size: tuple[int, int]) -> None:
    """Breaks if millimetres or a wide picture push the subject out of it."""
    scaled = replace(ball, template=ball.template * np.float32(scale), basis=ball.basis * np.float32(scale))
    image = render_frame(scaled.template, scaled, size=size, background=GREY)
    ground = is_background(image)
    assert ground[0].all() and ground[-1].all() and ground[:, 0].all() and ground[:, -1].all()
    assert (~ground).any(axis=0).sum() > 0.6 * size[0] or (~ground).any(axis=1).sum() > 0.6 * size[1]


def test_a_turned_camera_sees_the_side(rig: Rig) -> None:
    """Breaks if a positive yaw shows the wrong side: from the subject's left, the nose points to the picture's left."""
    image = render_frame(rig.template, rig, size=SIZE, yaw=90, background=GREY)
    row, _ = pixel_of(rig, rig.template[int(np.argmax(rig.template[:, 2]))])
    columns = np.flatnonzero(~is_background(image)[row])
    above = np.flatnonzero(~is_background(image)[row - 12])
    assert columns[0] < above[0] - 2  # the nose juts out on the left
    assert abs(int(columns[-1]) - int(above[-1])) < 12


def test_edges_are_smooth() -> None:
    """Breaks if anti-aliasing is lost: along a slanted edge, no pixel lay between the plate's shade and the ground's."""
    angle = np.radians(10)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) @ turn.T
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    empty = np.zeros((0, 4, 3), np.float32)
    plate = Rig(corners.astype(np.float32), faces, empty, (), {}, np.zeros((0, 2), np.int32), 30.0)
    image = render_frame(plate.template, plate, size=SIZE, background=GREY).astype(int).mean(axis=-1)
    ground, shade = 255 * np.mean(GREY), image[96, 96]
    between = (image > ground + 0.15 * (shade - ground)) & (image < ground + 0.7 * (shade - ground))
    assert shade > ground + 60
    assert between.sum() > 150


def test_the_sky_is_hidden_where_it_should_be() -> None:
    """Breaks if the depth maps and the points looked up in them disagree: a floor under a plate must be dark, its rim not."""
    side = np.linspace(-1, 1, 21)
    x, z = np.meshgrid(side, side, indexing="ij")
    floor = np.stack([x, np.zeros_like(x), z], -1).reshape(-1, 3)
    plate = np.stack([0.4 * x, np.full_like(x, 0.15), 0.4 * z], -1).reshape(-1, 3)
    vertices = np.concatenate([floor, plate]).astype(np.float32)
    corner = (np.arange(20)[:, None] * 21 + np.arange(20)).ravel()
    square = np.concatenate([
        np.stack([corner, corner + 1, corner + 21], 1), np.stack([corner + 1, corner + 22, corner + 21], 1)
    ])  # fmt: skip
    faces = np.concatenate([square, square + 441])
    with OffscreenRenderer(SIZE) as renderer:
        mesh = renderer.add(SurfaceMaterial(faces, np.ones((882, 3), np.float32), np.zeros(882, np.float32)))
        visibility = Visibility(vertices, faces, partial(depth_of, renderer, mesh))
    seen = visibility.sky()
    middle = 10 * 21 + 10
    assert seen[middle] < 0.35
    assert seen[21 + 1] > 0.85
    assert seen[441 + middle] > 0.95  # nothing over the plate


def test_the_inside_of_an_open_mesh_is_dark(ball: Rig) -> None:
    """Breaks if back faces are left out, or shine as the outside does: half a ball would look whole from behind."""
    front = ball.faces[(ball.template[ball.faces][:, :, 2] > 0).all(axis=1)]
    half = replace(ball, faces=front)
    before = render_frame(ball.template, half, size=SIZE, background=GREY)
    behind = render_frame(ball.template, half, size=SIZE, background=GREY, yaw=180)
    assert before[70:122, 70:122].mean() > 120
    inside = behind[70:122, 70:122].astype(int)
    assert (np.abs(inside - 255 * np.array(GREY)).max(axis=-1) > 3).all()  # drawn, not seen through
    assert inside.mean() < 0.55 * before[70:122, 70:122].mean()


@pytest.mark.slow
def test_two_stages_take_turns(rig: Rig, ball: Rig) -> None:
    """Breaks if a picture is drawn into the OpenGL context that was used last, or if the end of one stage ends the other."""
    alone = render_frame(rig.template, rig, size=SIZE), render_frame(ball.template, ball, size=(64, 96), background=GREY)
    with (
        closing(draw_frames([rig.template] * 2, rig, size=SIZE)) as first,
        closing(draw_frames([ball.template] * 3, ball, size=(64, 96), background=GREY)) as second,
    ):
        for _ in range(2):
            assert (next(first) == alone[0]).all()
            assert (next(second) == alone[1]).all()
        first.close()
        assert (next(second) == alone[1]).all()


@pytest.mark.slow
def test_little_light_falls_through_rounded_lips(rig: Rig, ball: Rig) -> None:
    """Breaks if teeth shine in "oo" as they do in "ee", or if the scale of the mesh decides how dark a mouth is."""
    spread = pose(rig, jawOpen=0.07, mouthLowerDownLeft=0.3, mouthLowerDownRight=0.3, mouthSmileLeft=0.24, mouthSmileRight=0.24)
    rounded = pose(rig, jawOpen=0.06, mouthLowerDownLeft=0.15, mouthLowerDownRight=0.15, mouthFunnel=0.3, mouthPucker=0.42)
    aperture, small = aperture_of(rig), aperture_of(replace(rig, template=rig.template / 1000))
    assert aperture is not None and small is not None
    assert aperture.share(rig.template) == pytest.approx(LEAST, abs=1e-3)
    assert aperture.share(pose(rig, jawOpen=0.4)) == 1.0
    assert aperture.share(rounded) < 0.5 < 0.8 < aperture.share(spread)
    assert small.share(rounded / 1000) == pytest.approx(aperture.share(rounded), abs=1e-4)
    assert aperture_of(ball) is None

    unknown = replace(rig, lip_pairs=rig.lip_pairs[:0])  # nobody knows how far it is open
    bright = render_frame(rounded, unknown, size=SIZE, framed_by=rig.template).astype(int)
    dark = render_frame(rounded, rig, size=SIZE, framed_by=rig.template).astype(int)
    changed = np.abs(bright - dark).max(axis=-1) > 12
    row, column = pixel_of(rig, rig.template[rig.regions["lips"]].mean(axis=0))
    near = np.zeros_like(changed)
    near[row - 8 : row + 9, column - 16 : column + 17] = True
    assert changed[near].sum() > 8 and (dark <= bright)[changed].all()
    assert not changed[~near].any()  # nothing but the mouth


def test_highlights_that_are_painted_into_the_eyes_are_not_drawn(rig: Rig) -> None:
    """Breaks if a white disc stands in the eyes beside the window that they mirror: nothing of it may be seen."""
    assert rig.colors is not None
    colors = rig.colors.copy()
    colors[rig.regions["glint"]] = (255, 0, 255)
    marked = render_frame(rig.template, replace(rig, colors=colors), size=SIZE, background=GREY)
    assert (marked == render_frame(rig.template, rig, size=SIZE, background=GREY)).all()


def test_what_the_pictures_edge_cuts_keeps_its_colour(head: RigFile) -> None:
    """Breaks where a triangle that the edge clips gets colours from beyond its corners: white shoulders on dark cloth."""
    wide = head.rig_of("FaceTalk_170915_00223_TA")
    image = render_frame(wide.template, wide, size=(250, 300))
    assert image[-12:].min(axis=-1).max() < 150
    row, column = np.unravel_index(image.min(axis=-1).argmax(), image.shape[:2])
    assert image[row, column].max() > 200 and row < 250  # the brightest place is in the face, as ever


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 3e38])
@pytest.mark.slow
def test_frames_that_are_not_finite_are_refused(tmp_path: Path, ball: Rig, wrong: float) -> None:
    """Breaks if NaN is drawn as a hole, framed as a black image, or half a video stays behind."""
    frames = ball.decode(np.zeros((8, 1), np.float32))
    frames[5, 3, 1] = wrong
    driven = np.zeros((8, 1), np.float32)
    driven[5] = wrong
    for moving in (frames, driven):
        track = MotionTrack(ball, moving, 30.0, "mine")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(InputError, match=r"mine at 0\.17 s holds the coordinate .*expected finite"):
                render_video([track], tmp_path / "a.mp4", RenderOptions((64, 64)))
            with pytest.raises(InputError, match="expected finite"):
                render_still([track], tmp_path / "a.png", RenderOptions((64, 64)), seconds=5 / 30)
    with pytest.raises(InputError, match="frame 5 holds"):
        list(draw_frames(frames, ball, size=(64, 64)))
    track = MotionTrack(ball, frames[:5], 30.0)
    for call, field in (
        (lambda: render_video([track], tmp_path / "a.mp4", RenderOptions(fps=wrong if wrong != wrong else 1e9)), "fps"),
        (lambda: render_still([track], tmp_path / "a.png", seconds=wrong), "at"),
        (lambda: render_contact_sheet([track], tmp_path / "a.png", every=np.nan), "every"),
    ):
        with pytest.raises(InputError) as refused:
            call()
        assert refused.value.field == field
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["osmesa", "glx", "nonsense"])
def test_the_environments_platform_is_set_aside(talker: Talker, motion: Path, tmp_path: Path, platform: str) -> None:
    """Breaks if what another program's instructions left in the environment ends all drawing."""
    ran = talker("render", motion, "--at", "0", "--size", "64x64", "-o", "a.png", PYOPENGL_PLATFORM=platform)
    assert ran.code == 0, ran.err


@pytest.mark.slow
def test_a_variable_that_leaves_no_driver_is_named(talker: Talker, motion: Path) -> None:
    """Breaks if the user is told to install drivers that an environment variable hides."""
    said = talker("render", motion, "--at", "0", "--size", "64x64", "-o", "a.png", __EGL_VENDOR_LIBRARY_FILENAMES="/none.json")
    assert "unset __EGL_VENDOR_LIBRARY_FILENAMES=/none.json" in said.mistake
