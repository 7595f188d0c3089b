"""Videos that play, with all their frames and their sound in time, or no file at all: by what ffmpeg finds in them."""

import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ffmpeg, spoken, streams
from PIL import Image, ImageSequence

from talker_cli.errors import InputError, OutputError
from talker_cli.formats.ffmpeg import executable
from talker_cli.render import MotionTrack, RenderOptions, draw_frames, render_contact_sheet, render_still, render_video
from talker_cli.render.encoder import encode
from talker_cli.rig import Rig

SIZE = (192, 192)


def swing(ball: Rig, frames: int) -> MotionTrack:
    """Return a ball that swings from side to side."""
    return MotionTrack(ball, ball.decode(np.sin(np.arange(frames, dtype=np.float32) / 3)[:, None]), ball.fps)


def decoded(path: Path, folder: Path) -> np.ndarray:
    ffmpeg("-i", path, "-vn", "-ar", "16000", "-ac", "1", folder / "heard.wav")
    return soundfile.read(folder / "heard.wav")[0]


def frames_of(video: Path) -> int:
    return int(re.findall(r"frame=\s*(\d+)", ffmpeg("-i", video, "-map", "0:v", "-f", "null", "-"))[-1])


def pixels(image: Path) -> np.ndarray:
    with Image.open(image) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize(
    "channels,sample_rate,name,kind,codecs",
    [
        (1, 16_000, "s.wav", ".mp4", ("h264", "aac")),
        (2, 44_100, "s.flac", ".mp4", ("h264", "aac")),
        (6, 48_000, "s.wav", ".mp4", ("h264", "aac")),
        (1, 16_000, "s.wav", ".webm", ("vp9", "opus")),
    ],
)
@pytest.mark.slow
def test_a_film_has_all_its_frames_and_its_sound_in_time(
    tmp_path: Path, ball: Rig, channels: int, sample_rate: int, name: str, kind: str, codecs: tuple[str, str]
) -> None:
    """Breaks if sound is missing, late or cut, a frame is lost or the rate is ffmpeg's default."""
    sound = spoken(1.0 + 0.02, sample_rate)
    soundfile.write(tmp_path / name, np.tile(sound[:, None], (1, channels)), sample_rate)
    counted: list[tuple[int, int]] = []
    video = tmp_path / f"f{kind}"
    render_video(
        [swing(ball, 30)], video, RenderOptions((96, 96)), audio=tmp_path / name,
        on_frame=lambda done, total: counted.append((done, total)),
    )  # fmt: skip
    assert counted == [(index + 1, 30) for index in range(30)]
    said = streams(video)
    assert re.search(rf"Video: {codecs[0]} .*yuv420p.* 96x96", said) and "30 fps" in said and f"Audio: {codecs[1]}" in said
    assert frames_of(video) == 30
    heard = decoded(video, tmp_path)
    expected = spoken(1.02)
    assert len(heard) >= len(expected) - 16
    lags = range(-480, 481)
    padded = np.pad(heard, (480, 480 + len(expected)))
    match = [float(expected @ padded[480 + lag : 480 + lag + len(expected)]) for lag in lags]
    assert abs(lags[int(np.argmax(match))]) <= 32  # 2 ms
    if kind == ".mp4":
        head = video.read_bytes()
        assert head.index(b"moov") < head.index(b"mdat")  # playable before all of it has arrived


def test_a_films_pixels_are_the_stills(tmp_path: Path, ball: Rig) -> None:
    """Breaks if colours are converted by the wrong matrix, channels are swapped, or rows run upwards."""
    track = swing(ball, 6)
    render_video([track], tmp_path / "f.mp4", RenderOptions(SIZE))
    raw = subprocess.run(
        [executable(), "-loglevel", "error", "-i", str(tmp_path / "f.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    video = np.frombuffer(raw, np.uint8).reshape(-1, *SIZE, 3).astype(int)
    stills = list(draw_frames(track.frames, ball, size=SIZE))
    assert len(video) == 6 and "Audio" not in streams(tmp_path / "f.mp4")
    for shown, drawn in zip(video, stills, strict=True):
        difference = shown - drawn
        assert np.abs(difference).mean() < 4
        assert np.abs(difference.mean(axis=(0, 1))).max() < 2  # no cast of colour


@pytest.mark.parametrize("seconds,shortest,longest", [(0.3, 0.99, 1.06), (3.0, 0.99, 1.06)])
def test_sound_of_another_length(tmp_path: Path, ball: Rig, seconds: float, shortest: float, longest: float) -> None:
    """Breaks if a short sound cuts the image, or a long one plays on over a frozen face."""
    soundfile.write(tmp_path / "s.wav", spoken(seconds), 16_000)
    render_video([swing(ball, 30)], tmp_path / "f.mp4", RenderOptions((64, 64)), audio=tmp_path / "s.wav")
    assert frames_of(tmp_path / "f.mp4") == 30
    heard = decoded(tmp_path / "f.mp4", tmp_path)
    assert min(seconds, shortest) - 0.03 < len(heard) / 16_000 < longest


def test_a_gif(tmp_path: Path, ball: Rig) -> None:
    """Breaks if the README's image cannot be made."""
    render_video([swing(ball, 5)], tmp_path / "f.gif", RenderOptions((64, 64)))
    assert "Video: gif" in streams(tmp_path / "f.gif")


@pytest.mark.parametrize("rate", [30.0, 60.0, 120.0])
@pytest.mark.slow
def test_a_gif_keeps_its_time(tmp_path: Path, ball: Rig, rate: float) -> None:
    """Breaks if a frame stays for a hundredth of a second, which players track for a tenth."""
    render_video([swing(replace(ball, fps=rate), round(rate))], tmp_path / "f.gif", RenderOptions((64, 64)))
    with Image.open(tmp_path / "f.gif") as image:
        lasting = [frame.info["duration"] for frame in ImageSequence.Iterator(image)]
    assert min(lasting) >= 20 and sum(lasting) == pytest.approx(1000, abs=40)


@pytest.mark.slow
def test_a_long_gif_takes_no_more_memory(tmp_path: Path, ball: Rig) -> None:
    """Breaks if the encoder keeps all frames of a video that would not fit."""
    video, held = tmp_path / "long.gif", []
    with encode(video, (128, 128), 30.0, 1300) as encoder:
        (child,) = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        for index in range(1300):
            encoder.write(np.full((128, 128, 3), index % 256, np.uint8))
            if index in (100, 1299):
                held.append(int(re.findall(r"VmRSS:\s*(\d+)", Path(f"/proc/{child}/status").read_text())[0]))
    assert video.is_file() and held[1] - held[0] < 10_000, held  # kB; all frames have 59 MB


@pytest.mark.parametrize(("channels", "kind"), [(3, ".webm"), (3, ".mp4"), (10, ".webm"), (10, ".mp4"), (16, ".mp4")])
@pytest.mark.slow
def test_any_number_of_channels_sounds(tmp_path: Path, ball: Rig, channels: int, kind: str) -> None:
    """Breaks if a recording that is animated cannot be filmed."""
    soundfile.write(tmp_path / "s.wav", np.tile(spoken(0.5, 48_000)[:, None], (1, channels)), 48_000)
    video = tmp_path / f"f{kind}"
    render_video([swing(ball, 15)], video, RenderOptions((64, 64)), audio=tmp_path / "s.wav")
    assert np.abs(decoded(video, tmp_path)).max() > 0.05


def test_a_folder_of_pictures(tmp_path: Path, ball: Rig) -> None:
    """Breaks if an image is lost, counted from one, or changed on its way: PNGs keep every bit."""
    track = swing(ball, 3)
    render_video([track], tmp_path / "100%d", RenderOptions((64, 64)))
    names = sorted(path.name for path in (tmp_path / "100%d").iterdir())
    assert names == ["000000.png", "000001.png", "000002.png"]
    for name, drawn in zip(names, draw_frames(track.frames, ball, size=(64, 64)), strict=True):
        assert (pixels(tmp_path / "100%d" / name) == drawn).all()
    assert [path.name for path in tmp_path.iterdir()] == ["100%d"]


@pytest.mark.parametrize("rate,count", [(60.0, 60), (10.0, 10), (24.0, 24)])
@pytest.mark.slow
def test_another_frame_rate_keeps_the_time(tmp_path: Path, ball: Rig, rate: float, count: int) -> None:
    """Breaks if --fps plays the motion faster or slower: the image of an instant must be that instant's."""
    track = swing(ball, 30)
    render_video([track], tmp_path / "f", RenderOptions((64, 64), fps=rate))
    assert len(list((tmp_path / "f").iterdir())) == count
    for index in (0, count // 2, count - 1):
        between = min(index / rate * 30, 29)
        low = int(between)
        vertices = track.frames[low] + (between - low) * (track.frames[min(low + 1, 29)] - track.frames[low])
        *_, drawn = draw_frames([vertices], ball, size=(64, 64), framed_by=track.frames[0])
        assert np.abs(pixels(tmp_path / "f" / f"{index:06d}.png") - drawn).max() <= 2


def test_a_turntable_goes_once_round(tmp_path: Path, ball: Rig) -> None:
    """Breaks if the camera stands still, turns the other way, or comes nearer on its way round."""
    track = MotionTrack(ball, np.repeat(ball.template[None], 8, axis=0), 8.0)
    render_video([track], tmp_path / "f", RenderOptions((64, 64), view="turntable"))
    turned = [pixels(tmp_path / "f" / f"{index:06d}.png") for index in range(8)]
    expected = draw_frames(track.frames, ball, size=(64, 64), yaw=[45.0 * index for index in range(8)])
    assert all((shown == drawn).all() for shown, drawn in zip(turned, expected, strict=True))
    assert np.abs(turned[2] - turned[6]).max() > 60  # its colours differ from side to side


def test_a_contact_sheet(tmp_path: Path, ball: Rig) -> None:
    """Breaks if an image is missing from the sheet, stands in another's place, or shows another instant."""
    track = swing(ball, 30)
    render_contact_sheet([track], tmp_path / "s.png", RenderOptions((64, 48)), every=0.2)
    sheet = pixels(tmp_path / "s.png")
    rows, columns = sheet.shape[0] // 48, sheet.shape[1] // 64
    assert sheet.shape == (rows * 48, columns * 64, 3) and rows * columns >= 5
    for index, drawn in enumerate(draw_frames(track.frames[::6], ball, size=(64, 48), framed_by=track.frames[0])):
        cell = sheet[index // columns * 48 :, index % columns * 64 :][:48, :64]
        assert np.abs(cell[:24] - drawn[:24]).max() <= 1  # its time is written below
        assert (cell[-24:] != drawn[-24:]).any()
    with pytest.raises(InputError, match=r"expected at least 0\.\d+ s"):
        render_contact_sheet([track], tmp_path / "t.png", RenderOptions((2048, 2048)), every=0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["s.png"]


def test_an_instant_that_is_not_there(tmp_path: Path, ball: Rig) -> None:
    """Breaks if --at past the end shows the last frame as if it were that instant."""
    with pytest.raises(InputError, match=r"no frame at 1 s; expected 0 to 0\.97 s"):
        render_still([swing(ball, 30)], tmp_path / "f.png", seconds=1.0)
    assert not list(tmp_path.iterdir())


def test_a_suffix_nobody_knows(tmp_path: Path, ball: Rig) -> None:
    """Breaks if ffmpeg is left to guess a format."""
    with pytest.raises(OutputError, match=r"'\.avi'; expected \.mp4"):
        render_video([swing(ball, 2)], tmp_path / "f.avi", RenderOptions((64, 64)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["f.mp4", "f.webm", "f.gif", "folder"])
def test_a_failure_while_drawing_leaves_nothing(tmp_path: Path, name: str) -> None:
    """Breaks if a half-written video stays behind, or the failure is swallowed."""
    black = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(RuntimeError, match="the renderer"), encode(tmp_path / name, (64, 64), 25.0, 9) as encoder:
        encoder.write(black)
        raise RuntimeError("the renderer")
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a program that stops half-way, or ends badly, passes for a finished video."""
    scripts = {"dies": "head -c 20000 >/dev/null; echo out of paint >&2; exit 3", "lies": "cat >/dev/null; exit 1"}
    for name, script in scripts.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
        black = np.zeros((64, 64, 3), np.uint8)
        for place in ("f.mp4", "folder"):
            said = pytest.raises(OutputError, match="the encoder stopped")
            with said, encode(tmp_path / place, (64, 64), 25.0, 99) as encoder:
                for _ in range(99):
                    encoder.write(black)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dies", "lies"]


def test_a_film_that_is_too_big_for_the_place(tmp_path: Path) -> None:
    """Breaks if a full disk is reported in the encoder's words, or leaves half a video."""
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


def test_a_sheet_of_one_tall_picture(tmp_path: Path, ball: Rig) -> None:
    """Breaks if a sheet wants more columns than it has images."""
    track = MotionTrack(ball, np.zeros((1, 1), np.float32), 30.0)
    render_contact_sheet([track], tmp_path / "sheet.png", RenderOptions((32, 256)), every=1.0)
    assert Image.open(tmp_path / "sheet.png").size == (32, 256)
