"""Capture: landmarks of a head in known coefficients and poses come back as these; videos of every kind are read or refused."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ffmpeg, spoken
from scipy.spatial.transform import Rotation

from talker_cli.capture import cover
from talker_cli.capture import landmarks as marks
from talker_cli.capture.fit import LandmarkModel
from talker_cli.capture.pose import Posed, remove_pose, similarity
from talker_cli.capture.video import open_video, read_frames
from talker_cli.errors import InputError
from talker_cli.model.built_in import built_in_head
from talker_cli.rig import ARKIT_NAMES, Rig

FPS, T = 25.0, 150
ALL = np.ones(T, bool)
LID_HEIGHT = 9.9e-3  # metres, of the head's open eyes
SPOKEN = (
    "jawOpen", "mouthPucker", "mouthSmileLeft", "mouthSmileRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "eyeBlinkLeft", "eyeBlinkRight", "browInnerUp",
)  # fmt: skip


@pytest.fixture(scope="module")
def head() -> Rig:
    return built_in_head().rig


@pytest.fixture(scope="module")
def model(head: Rig) -> LandmarkModel:
    return LandmarkModel(head, range(478))


def known_motion(seed: int) -> np.ndarray:
    """Return (T, 52) coefficients of a face that speaks and blinks, at rest first and once in between."""
    rng = np.random.default_rng(seed)
    t = np.arange(T) / FPS
    motion = np.zeros((T, len(ARKIT_NAMES)))
    for name in SPOKEN:
        wave = np.clip(np.sin(2 * np.pi * rng.uniform(0.8, 2.2) * t + rng.uniform(0, 6)), 0, None)
        motion[:, ARKIT_NAMES.index(name)] = wave * (0.35 if name.startswith(("jaw", "mouth")) else 0.6)
    blink = (np.arange(T) % 60 < 4).astype(float)
    for side in ("Left", "Right"):
        motion[:, ARKIT_NAMES.index(f"eyeBlink{side}")] = blink
    motion[:20] = 0.0
    motion[60:75] = 0.0  # lips closed
    return motion


def seen_as(model: LandmarkModel, motion: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return landmarks (T, 478, 3) in pixels of a moving camera's pictures, and the head's angles (T, 3), radians."""
    rng = np.random.default_rng(seed)
    points = model.rest + np.einsum("pdk,tk->tpd", model.basis, motion)
    t = np.arange(len(motion)) / FPS
    angles = np.stack([0.15 * np.sin(2 * np.pi * 0.3 * t), 0.25 * np.sin(2 * np.pi * 0.2 * t + 1), 0.1 * np.sin(t)], 1)
    turned = Rotation.from_euler("YXZ", angles[:, (1, 0, 2)]).as_matrix()
    points = np.einsum("tij,tpj->tpi", turned, points) * (1500 + 100 * np.sin(t))[:, None, None] + np.array(
        [180.0, -140.0, 0.0]
    )
    return points + rng.normal(scale=0.03, size=points.shape), angles


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_known_coefficients_and_poses_come_back(model: LandmarkModel, seed: int) -> None:
    """Breaks if a shape is taken for another, the gap is off by half a millimetre, or the head by half a degree."""
    motion = known_motion(seed)
    landmarks, angles = seen_as(model, motion, seed)
    posed = remove_pose(landmarks, ALL, model.still, model.rest[model.still])
    fit = model.fit(posed, model.neutral([(posed, ALL)]), ALL)
    truth = model.rest + np.einsum("pdk,tk->tpd", model.basis, motion)
    made = model.rest + np.einsum("pdk,tk->tpd", model.basis, fit.coefficients.astype(float))
    assert np.abs(model.gap(made) - model.gap(truth)).max() < 5e-4
    for name in ("jawOpen", "mouthPucker", "eyeBlinkLeft", "eyeBlinkRight", "browInnerUp"):
        column = ARKIT_NAMES.index(name)
        assert np.corrcoef(fit.coefficients[:, column], motion[:, column])[0, 1] > 0.95, name
    closed = model.gap(truth) < 1e-4
    assert closed.sum() > 20 and (model.gap(made)[closed] < 1e-3).all()
    error = posed.rotation - (angles - angles.mean(0))
    assert np.abs(np.degrees(error)).max() < 2.0
    assert fit.lip_error.mean() < 1e-3


@pytest.mark.parametrize("fps", [25.0, 60.0])
def test_a_captured_head_neither_shakes_nor_loses_its_nods(fps: float) -> None:
    """Breaks if the tracker's noise shakes the head, or smoothing flattens a nod of a third of a second, or delays it."""
    t = np.arange(int(8 * fps)) / fps
    nods = np.radians(3) * np.stack(
        [np.exp(-(((t[:, None] - centre) / 0.12) ** 2)).sum(1) for centre in ([2, 4, 6], [3], [5])], 1
    )
    noise = np.radians(0.15) * np.random.default_rng(0).normal(size=nods.shape)
    empty = np.zeros((len(t), 1, 3))
    made = Posed(empty, np.arange(len(t)), t, empty, t, nods + noise).steady(fps)
    still = (t < 1) | (t > 7)
    assert np.diff(made[still], axis=0).std() < 0.4 * np.diff(noise[still], axis=0).std()
    for axis, centre in ((0, 2), (0, 6), (1, 3), (2, 5)):
        near = np.abs(t - centre) < 0.2
        assert made[near, axis].max() > 0.85 * np.radians(3) and abs(t[near][made[near, axis].argmax()] - centre) <= 1.01 / fps


def test_lips_that_never_meet_and_small_eyes_are_fitted_as_far_as_they_open(model: LandmarkModel) -> None:
    """Breaks if the least opening of a video is taken for closed lips, or a shut eye leaves a slit."""
    motion = known_motion(5)
    jaw, lids = ARKIT_NAMES.index("jawOpen"), model.places([n for side in marks.LID_UPPER for n in side[1:-1]])
    motion[:, jaw] = np.maximum(motion[:, jaw], 0.15)
    truth = model.rest + np.einsum("pdk,tk->tpd", model.basis, motion)
    assert model.gap(truth).min() > 1.5e-3
    small = truth.copy()
    lower = model.places([n for side in marks.LID_LOWER for n in side[1:-1]])
    small[:, lids, 1] = truth[:, lower, 1] + 0.7 * (truth[:, lids, 1] - truth[:, lower, 1]) + 0.056 * LID_HEIGHT
    posed = remove_pose(small, ALL, model.still, model.rest[model.still])
    made = model.rest + np.einsum("pdk,tk->tpd", model.basis, model.fit(posed, model.neutral([(posed, ALL)]), ALL).coefficients)
    assert np.abs(model.gap(made) - model.gap(truth)).max() < 6e-4
    shut = motion[:, ARKIT_NAMES.index("eyeBlinkLeft")] == 1
    assert shut.sum() >= 4 and (model.lids(made)[shut] < 8e-4).all() and np.median(model.lids(made)[~shut]) > 7e-3


def test_a_long_videos_parts_are_fitted_as_the_whole(model: LandmarkModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if the motion depends on where a long video is cut into parts."""
    landmarks, _ = seen_as(model, known_motion(6), 6)
    known = ALL.copy()
    known[35:60] = False
    posed = remove_pose(landmarks, known, model.still, model.rest[model.still])
    neutral = model.neutral([(posed, known)])
    whole = model.fit(posed, neutral, known)
    monkeypatch.setattr("talker_cli.capture.fit.PART", 40)
    parts = model.fit(posed, neutral, known)
    assert (parts.coefficients == whole.coefficients).all() and np.allclose(parts.lip_error, whole.lip_error, atol=1e-9)


def test_frames_without_a_face_are_bridged(model: LandmarkModel) -> None:
    """Breaks if frames that nobody saw pull the fit to zeros, or lose it."""
    motion = known_motion(4)
    landmarks, _ = seen_as(model, motion, 4)
    seen = np.ones(T, bool)
    seen[90:95] = False
    landmarks[~seen] = 0.0
    posed = remove_pose(landmarks, seen, model.still, model.rest[model.still])
    fit = model.fit(posed, model.neutral([(posed, seen)]), seen)
    jaw = ARKIT_NAMES.index("jawOpen")
    ends = fit.coefficients[[89, 95], jaw]
    assert (fit.coefficients[90:95, jaw] >= ends.min() - 0.02).all() and (
        fit.coefficients[90:95, jaw] <= ends.max() + 0.02
    ).all()
    assert np.isfinite(fit.coefficients).all() and (fit.coefficients >= 0).all() and (fit.coefficients <= 1).all()


def test_a_mouth_is_covered_where_its_colours_are_not_those_of_the_pose() -> None:
    """Breaks if a head that turns in the light counts as covered, or a hand is taken for a part of the face."""
    rng = np.random.default_rng(0)
    yaw = 0.6 * np.sin(np.arange(T) / 9)
    side, own = rng.uniform(-1, 1, len(cover.POINTS)), rng.uniform(80, 170, (len(cover.POINTS), 3))
    skin = slice(-len(marks.SKIN), None)
    own[skin], side[skin] = own[skin].mean(0), side[skin] - side[skin].mean()
    looks = own * (1 + 0.4 * yaw[:, None] * side - 0.3 * np.square(yaw[:, None]))[..., None] + rng.normal(
        scale=2, size=(T, 1, 1)
    )
    hand = (np.arange(T) >= 60) & (np.arange(T) < 85)
    lips = slice(0, len(cover.LIPS))
    looks[hand, lips] = looks[hand, lips] * (0.5, 1.0, 1.2)
    seen = np.arange(T) != 30
    rotation = np.stack([np.zeros(T), yaw, np.zeros(T)], 1)
    assert (cover.covered(looks.astype(np.uint8), rotation, seen) == hand).all()


def test_a_similarity_is_found_again() -> None:
    """Breaks if scale, rotation or shift is wrong, or a reflection is taken for a rotation."""
    rng = np.random.default_rng(0)
    source = rng.normal(size=(5, 12, 3))
    turned = Rotation.random(5, random_state=1).as_matrix()
    target = source[0] * 2 @ turned[0].T + 3
    scale, rotation, shift = similarity(source[:1], target)
    assert np.allclose(scale, 2) and np.allclose(rotation[0], turned[0]) and np.allclose(shift[0], 3)
    mirrored = source[0] * [-1, 1, 1]
    assert np.linalg.det(similarity(source[:1], mirrored)[1][0]) == pytest.approx(1.0)


def film(path: Path, *options: str, seconds: float = 1.0, size: str = "64x48", rate: str = "25") -> Path:
    ffmpeg("-f", "lavfi", "-i", f"testsrc=size={size}:rate={rate}:duration={seconds}", *options, path)
    return path


def test_a_video_is_read_at_its_own_rate(tmp_path: Path) -> None:
    """Breaks if the rate, the count or the size of frames is another than the file's."""
    for rate, expected in (("25", 25.0), ("30000/1001", 29.97), ("15", 15.0), ("50", 50.0)):
        video = open_video(film(tmp_path / "v.mp4", rate=rate))
        assert video.fps == expected and (video.width, video.height) == (64, 48) and not video.sounds
        frames = list(read_frames(video))
        assert len(frames) == round(expected) and frames[0].shape == (48, 64, 3)
        assert np.abs(frames[0].astype(int) - frames[-1]).max() > 20


@pytest.mark.slow
def test_portraits_and_large_videos(tmp_path: Path) -> None:
    """Breaks if a rotation tag is passed over, or a 4K video is read at its full size."""
    film(tmp_path / "flat.mp4", "-pix_fmt", "yuv420p")
    ffmpeg("-display_rotation", "90", "-i", tmp_path / "flat.mp4", "-c", "copy", tmp_path / "turned.mp4")
    video = open_video(tmp_path / "turned.mp4")
    assert (video.width, video.height) == (48, 64) and next(read_frames(video)).shape == (64, 48, 3)
    large = open_video(film(tmp_path / "large.mp4", size="3840x2160", seconds=0.2))
    assert (large.width, large.height) == (1280, 720) and next(read_frames(large)).shape == (720, 1280, 3)
    deep = film(tmp_path / "deep.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv420p10le", seconds=0.2)
    assert next(read_frames(open_video(deep))).shape == (48, 64, 3)


def test_frames_lie_where_their_timestamps_say(tmp_path: Path) -> None:
    """Breaks if a picture that starts late, or frames that are missing, move what comes after."""
    film(tmp_path / "v.mp4", seconds=2.0)
    sound = ("-f", "lavfi", "-i", "sine=duration=2.4")
    late = ("-itsoffset", "0.4", "-i", tmp_path / "v.mp4")
    ffmpeg(*sound, *late, "-c:v", "copy", "-map", "0", "-map", "1", tmp_path / "late.mkv")
    late, whole = (list(read_frames(open_video(tmp_path / name))) for name in ("late.mkv", "v.mp4"))
    assert len(late) == len(whole) + 10
    assert all(np.abs(late[number].astype(int) - whole[0]).mean() < 3 for number in range(11))
    assert np.abs(late[30].astype(int) - whole[20]).mean() < 3
    ffmpeg("-i", tmp_path / "v.mp4", "-vf", "select='not(between(n,10,19))'", "-fps_mode", "vfr", tmp_path / "gap.mkv")
    gap = list(read_frames(open_video(tmp_path / "gap.mkv")))
    assert np.abs(gap[35].astype(int) - whole[35]).mean() < 6


def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path) -> None:
    """Breaks if sound, a still, text or nothing passes for a video."""
    import soundfile

    soundfile.write(tmp_path / "s.wav", spoken(0.5), 16_000)
    film(tmp_path / "p.png", "-frames:v", "1")
    (tmp_path / "t.mp4").write_text("no video")
    (tmp_path / "e.mp4").write_bytes(b"")
    refused = {
        "s.wav": "only sound",
        "p.png": "still picture|nothing",
        "t.mp4": "nothing that can be read",
        "e.mp4": "empty",
        "none.mp4": "no file",
    }
    for name, words in refused.items():
        with pytest.raises(InputError, match=words) as caught:
            open_video(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_truncated_video_gives_what_there_is(tmp_path: Path) -> None:
    """Breaks if the end of a cut-off file hangs or loses its beginning."""
    film(tmp_path / "v.mkv", "-g", "5", seconds=2.0)
    data = (tmp_path / "v.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    assert 5 <= len(list(read_frames(open_video(tmp_path / "cut.mkv")))) < 50
