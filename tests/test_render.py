"""Pictures that cannot be black, mirrored or frozen, and films that play: by pixels, and by what ffmpeg finds in the file."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ffmpeg, spoken, streams

from talker_cli.errors import InputError, OutputError
from talker_cli.ffmpeg import executable
from talker_cli.motion import Motion
from talker_cli.render import draw_frames, render_frame, render_video
from talker_cli.render.camera import frame
from talker_cli.render.encoder import encode
from talker_cli.render.occlusion import sky_seen
from talker_cli.render.stage import BACKGROUND, Stage
from talker_cli.rig import Rig

SIZE = (192, 192)


def pose(rig: Rig, **shapes: float) -> np.ndarray:
    coefficients = np.zeros((1, len(rig.names)), np.float32)
    for name, value in shapes.items():
        coefficients[0, rig.names.index(name)] = value
    return rig.decode(coefficients)[0]


def pixel_of(rig: Rig, point: np.ndarray, size: tuple[int, int] = SIZE) -> tuple[int, int]:
    """Return the row and column where a point of the template is drawn: our own projection, not the renderer's."""
    view = frame(rig.template, size, lips=rig.regions["lips"])
    x, y, z = view.pose[:3, :3].T @ (point - view.pose[:3, 3])
    scale = 1 / (np.tan(view.field_of_view / 2) * -z)
    return round((1 - y * scale) / 2 * size[1]), round((1 + x * scale * size[1] / size[0]) / 2 * size[0])


def is_background(image: np.ndarray) -> np.ndarray:
    return np.abs(image - 255 * np.array(BACKGROUND)).max(axis=-1) < 2


@pytest.fixture(scope="module")
def ball() -> Rig:
    """A coloured ball that moves sideways: enough for what concerns cameras and films, and cheap to draw."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 32, endpoint=False), np.linspace(0, np.pi, 17), indexing="ij")
    template = 0.1 * np.stack([np.sin(v) * np.sin(u), np.cos(v), np.sin(v) * np.cos(u)], -1).reshape(-1, 3).astype(np.float32)
    i, j = (index.ravel() for index in np.meshgrid(np.arange(32), np.arange(16), indexing="ij"))
    a, b = i * 17 + j, (i + 1) % 32 * 17 + j
    faces = np.concatenate([np.stack([a, a + 1, b], 1), np.stack([b, a + 1, b + 1], 1)]).astype(np.int32)
    basis = np.zeros((1, len(template), 3), np.float32)
    basis[..., 0] = 0.02
    colors = (255 * (0.3 + 0.6 * (template / 0.2 + 0.5))).astype(np.uint8)
    return Rig(template, faces, basis, ("sideways",), {}, np.zeros((0, 2), np.int32), 30.0, colors)


@pytest.fixture(scope="module")
def still(rig: Rig) -> np.ndarray:
    return render_frame(rig.template, rig, size=SIZE)


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
    marked = render_frame(rig.template, replace(rig, colors=colors), size=SIZE).astype(int)
    green = (marked[..., 1] - marked[..., [0, 2]].max(axis=-1)) > 40
    rows, columns = np.nonzero(green)
    row, column = pixel_of(rig, rig.template[near].mean(axis=0))
    assert columns.mean() > 100 and rows.mean() < 96
    assert abs(rows.mean() - row) < 6 and abs(columns.mean() - column) < 6


def test_an_open_mouth_is_another_picture_where_the_mouth_is(still: np.ndarray, rig: Rig) -> None:
    """Breaks if the vertex buffers are not updated: the face would speak without moving."""
    closed, opened, again = draw_frames([rig.template, pose(rig, jawOpen=0.7), rig.template], rig, size=SIZE)
    changed = np.abs(opened.astype(int) - closed).max(axis=-1) > 30
    row, column = pixel_of(rig, rig.template[rig.regions["lips"]].mean(axis=0))
    assert changed[row : row + 16, column - 8 : column + 8].mean() > 0.5
    assert changed[: row - 40].mean() < 0.01  # the brow does not move with the jaw
    assert (again == closed).all() and (closed == still).all()


def test_the_normals_move_too(rig: Rig) -> None:
    """Breaks if only positions are uploaded: turned away from the light, the face would stay as bright."""
    turn = np.array([[-1, 0, 0], [0, 1, 0], [0, 0, -1]], np.float32)
    turned = (rig.template - rig.template.mean(axis=0)) @ turn.T + rig.template.mean(axis=0)
    drawn = list(draw_frames([rig.template, turned], rig, size=SIZE, framed_by=rig.template))
    fresh = render_frame(turned, rig, size=SIZE, framed_by=rig.template)
    assert (drawn[1] == fresh).all()


@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
@pytest.mark.parametrize("size", [(192, 192), (256, 144), (144, 256)])
def test_any_scale_and_shape_is_framed(ball: Rig, scale: float, size: tuple[int, int]) -> None:
    """Breaks if millimetres or a wide picture push the subject out of it."""
    scaled = replace(ball, template=ball.template * np.float32(scale), basis=ball.basis * np.float32(scale))
    image = render_frame(scaled.template, scaled, size=size)
    ground = is_background(image)
    assert ground[0].all() and ground[-1].all() and ground[:, 0].all() and ground[:, -1].all()
    assert (~ground).any(axis=0).sum() > 0.6 * size[0] or (~ground).any(axis=1).sum() > 0.6 * size[1]


def test_a_turned_camera_sees_the_side(rig: Rig) -> None:
    """Breaks if a positive yaw shows the wrong side: from the subject's left, the nose points to the picture's left."""
    image = render_frame(rig.template, rig, size=SIZE, yaw=90)
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
    image = render_frame(plate.template, plate, size=SIZE).astype(int).mean(axis=-1)
    ground, shade = 255 * np.mean(BACKGROUND), image[96, 96]
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
    with Stage(faces, np.ones((882, 3), np.float32), np.zeros(882, np.float32), SIZE) as stage:
        seen = sky_seen(vertices, faces, stage.draw_depth)
    middle = 10 * 21 + 10
    assert seen[middle] < 0.35
    assert seen[21 + 1] > 0.85
    assert seen[441 + middle] > 0.95  # nothing over the plate


def short_motion(ball: Rig, frames: int) -> Motion:
    """Return a ball that swings from side to side."""
    return Motion(ball.decode(np.sin(np.arange(frames, dtype=np.float32) / 3)[:, None]), {"fps": ball.fps})


def decoded(path: Path, folder: Path) -> np.ndarray:
    ffmpeg("-i", path, "-vn", "-ar", "16000", "-ac", "1", folder / "heard.wav")
    return soundfile.read(folder / "heard.wav")[0]


@pytest.mark.parametrize("channels,sample_rate,name", [(1, 16_000, "s.wav"), (2, 44_100, "s.flac"), (6, 48_000, "s.wav")])
def test_a_film_has_all_its_frames_and_its_sound_in_time(
    tmp_path: Path, ball: Rig, channels: int, sample_rate: int, name: str
) -> None:
    """Breaks if sound is missing, late or cut, a frame is lost or the rate is ffmpeg's default."""
    sound = spoken(1.0 + 0.02, sample_rate)
    soundfile.write(tmp_path / name, np.tile(sound[:, None], (1, channels)), sample_rate)
    counted: list[tuple[int, int]] = []
    render_video(
        short_motion(ball, 30), ball, tmp_path / "f.mp4", size=(96, 96), audio=tmp_path / name,
        on_frame=lambda done, total: counted.append((done, total)),
    )  # fmt: skip
    assert counted == [(index + 1, 30) for index in range(30)]
    said = streams(tmp_path / "f.mp4")
    assert re.search(r"Video: h264 .*yuv420p.* 96x96", said) and "30 fps" in said and "Audio: aac" in said
    frames = ffmpeg("-i", tmp_path / "f.mp4", "-map", "0:v", "-f", "null", "-")
    assert int(re.findall(r"frame=\s*(\d+)", frames)[-1]) == 30
    heard = decoded(tmp_path / "f.mp4", tmp_path)
    expected = spoken(1.02)
    assert len(heard) >= len(expected) - 16
    lags = range(-480, 481)
    padded = np.pad(heard, (480, 480 + len(expected)))
    match = [float(expected @ padded[480 + lag : 480 + lag + len(expected)]) for lag in lags]
    assert abs(lags[int(np.argmax(match))]) <= 32  # 2 ms
    head = (tmp_path / "f.mp4").read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")  # playable before all of it has arrived


def test_a_films_pixels_are_the_stills(tmp_path: Path, ball: Rig) -> None:
    """Breaks if colours are converted by the wrong matrix, channels are swapped, or rows run upwards."""
    motion = short_motion(ball, 6)
    render_video(motion, ball, tmp_path / "f.mp4", size=SIZE)
    raw = subprocess.run(
        [executable(), "-loglevel", "error", "-i", str(tmp_path / "f.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    film = np.frombuffer(raw, np.uint8).reshape(-1, *SIZE, 3).astype(int)
    stills = list(draw_frames(motion.vertices, ball, size=SIZE))
    assert len(film) == 6 and "Audio" not in streams(tmp_path / "f.mp4")
    for shown, drawn in zip(film, stills, strict=True):
        difference = shown - drawn
        assert np.abs(difference).mean() < 4
        assert np.abs(difference.mean(axis=(0, 1))).max() < 2  # no cast of colour


@pytest.mark.parametrize("seconds,shortest,longest", [(0.3, 0.99, 1.06), (3.0, 0.99, 1.06)])
def test_sound_of_another_length(tmp_path: Path, ball: Rig, seconds: float, shortest: float, longest: float) -> None:
    """Breaks if a short sound cuts the picture, or a long one plays on over a frozen face."""
    soundfile.write(tmp_path / "s.wav", spoken(seconds), 16_000)
    render_video(short_motion(ball, 30), ball, tmp_path / "f.mp4", size=(64, 64), audio=tmp_path / "s.wav")
    frames = ffmpeg("-i", tmp_path / "f.mp4", "-map", "0:v", "-f", "null", "-")
    assert int(re.findall(r"frame=\s*(\d+)", frames)[-1]) == 30
    heard = decoded(tmp_path / "f.mp4", tmp_path)
    assert min(seconds, shortest) - 0.03 < len(heard) / 16_000 < longest


def test_a_gif(tmp_path: Path, ball: Rig) -> None:
    """Breaks if the README's picture cannot be made."""
    render_video(short_motion(ball, 5), ball, tmp_path / "f.gif", size=(64, 64))
    assert "Video: gif" in streams(tmp_path / "f.gif")


def test_a_motion_of_another_mesh(tmp_path: Path, ball: Rig) -> None:
    """Breaks if vertices of another mesh are drawn with these faces."""
    with pytest.raises(InputError, match=f"has 5 vertices; its rig has {len(ball.template)}"):
        render_video(Motion(np.zeros((2, 5, 3), np.float32), {"fps": 30.0}), ball, tmp_path / "f.mp4")
    assert not list(tmp_path.iterdir())


def test_a_suffix_nobody_knows(tmp_path: Path, ball: Rig) -> None:
    """Breaks if ffmpeg is left to guess a format."""
    with pytest.raises(OutputError, match=r"'\.avi'; expected \.mp4"):
        render_video(short_motion(ball, 2), ball, tmp_path / "f.avi", size=(64, 64))
    assert not list(tmp_path.iterdir())


def test_a_failure_while_drawing_leaves_nothing(tmp_path: Path) -> None:
    """Breaks if a half-written film stays behind, or the failure is swallowed."""
    black = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(RuntimeError, match="the renderer"), encode(tmp_path / "f.mp4", (64, 64), 25.0, 9) as encoder:
        encoder.write(black)
        raise RuntimeError("the renderer")
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a program that stops half-way, or ends badly, passes for a finished film."""
    scripts = {"dies": "head -c 20000 >/dev/null; echo out of paint >&2; exit 3", "lies": "cat >/dev/null; exit 1"}
    for name, script in scripts.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
        black = np.zeros((64, 64, 3), np.uint8)
        with pytest.raises(OutputError, match="the encoder stopped"), encode(tmp_path / "f.mp4", (64, 64), 25.0, 99) as encoder:
            for _ in range(99):
                encoder.write(black)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dies", "lies"]


def test_a_film_that_is_too_big_for_the_place(tmp_path: Path) -> None:
    """Breaks if a full disk is reported in the encoder's words, or leaves half a film."""
    script = (
        "import resource, sys; import numpy as np; from pathlib import Path\n"
        "from talker_cli.errors import OutputError; from talker_cli.render.encoder import encode\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); rng = np.random.default_rng(0)\n"
        "try:\n"
        "    with encode(Path(sys.argv[1]), (128, 128), 25.0, 60) as encoder:\n"
        "        for _ in range(60): encoder.write(rng.integers(0, 255, (128, 128, 3), np.uint8))\n"
        "except OutputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "f.mp4")], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert "cannot write" in done.stdout and "the disk is full" in done.stdout, done
    assert not list(tmp_path.iterdir())
