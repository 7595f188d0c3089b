"""Videos among the recordings: a film of the built-in head, tracked by MediaPipe, gives its motion back to an identity.

They need the extra `capture` and MediaPipe's `face_landmarker.task` (`$TALKER_TRACKER`, or the user's data folder).
"""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import IDENTITY, Talker, ffmpeg
from test_enroll import SPEECH, make_model

from talker_cli.capture.tracker import tracker_file
from talker_cli.enroll.video import VideoMotion, captured_motion, is_video
from talker_cli.errors import InputError, MachineError
from talker_cli.evaluate.face_measures import FaceMeasures
from talker_cli.formats.audio import load_speech
from talker_cli.formats.files import file_hash
from talker_cli.formats.motion import write_motion
from talker_cli.identity.file import load_identity
from talker_cli.model.built_in import built_in_head
from talker_cli.model.folder import model_folder
from talker_cli.rig import RigFile, load_rig

FPS, SECONDS = 30.0, 4.0


@pytest.fixture(scope="module")
def tracker() -> Path:
    pytest.importorskip("mediapipe")
    try:
        return tracker_file(None)
    except MachineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """Coefficients of the shipped model's motion for four seconds of speech."""
    from talker_cli.animate.animator import load_animator

    sound = load_speech(SPEECH)[16_000 : 16_000 + int(SECONDS * 16_000)]
    return load_animator(model_folder("talker-base"), "8", "cpu").coefficients(sound, IDENTITY)


@pytest.fixture(scope="module")
def film(truth: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of that motion with its sound; half a second in the middle is black."""
    from typer.testing import CliRunner

    from talker_cli.cli.app import app

    folder = tmp_path_factory.mktemp("film")
    soundfile.write(folder / "s.wav", load_speech(SPEECH)[16_000 : 16_000 + int(SECONDS * 16_000)], 16_000)
    path = model_folder("talker-base") / "rig.safetensors"
    about = {"fps": FPS, "rig": {"path": str(path.resolve()), "sha256": file_hash(path)}, "face": {"identity": IDENTITY}}
    write_motion(folder / "m.npy", load_rig(path).rig_of(IDENTITY).decode(truth), truth, about)
    options = ["-o", str(folder / "film.mp4"), "--size", "256x256", "--audio", str(folder / "s.wav")]
    done = CliRunner().invoke(app, ["render", str(folder / "m.npy"), *options])
    assert done.exit_code == 0, done.output
    return folder / "film.mp4"


@pytest.mark.slow
def test_a_films_motion_comes_back_with_its_sound(truth: np.ndarray, film: Path, tracker: Path) -> None:
    """Breaks if captured motion is late, at another rate, or beside another part of the sound."""
    video = captured_motion({"film": film}, FPS, tracker)["film"]
    assert isinstance(video, VideoMotion)
    (example,) = video.examples
    assert video.seen == pytest.approx(SECONDS, abs=0.1) and video.seconds == pytest.approx(SECONDS, abs=0.1)
    assert abs(len(example.sound) - len(example.coefficients) / FPS * 16_000) < 1_600 and video.lip_error < 2e-3
    measures = FaceMeasures(built_in_head().rig)
    made, true = (measures(each[: len(example.coefficients)], FPS).curves for each in (example.coefficients, truth))
    assert np.corrcoef(made["gap"], true["gap"])[0, 1] > 0.9 and np.corrcoef(made["jaw"], true["jaw"])[0, 1] > 0.8
    shut = true["gap"] < 0.3
    assert shut.sum() >= 5 and (made["gap"][shut] < 1.5).mean() > 0.9


@pytest.mark.slow
def test_a_style_is_fitted_to_films_and_recordings_together(
    film: Path, tracker: Path, head: RigFile, invoke: Talker, tmp_path: Path
) -> None:
    """Breaks if a mixed folder loses its sound or its motion, or a face that is not seen all the time shifts the two."""
    clips = tmp_path / "anna"
    clips.mkdir()
    black = "drawbox=enable='between(t,1.6,2.2)':color=black:t=fill"
    ffmpeg("-i", film, "-vf", black, "-c:a", "copy", clips / "film.mp4")
    soundfile.write(clips / "voice.wav", load_speech(SPEECH)[84_000:], 16_000)
    picture = ("-f", "lavfi", "-i", "color=red:size=64x64:rate=25")
    ffmpeg("-i", clips / "voice.wav", *picture, "-t", "3", clips / "wall.mp4")
    ffmpeg(
        "-i", clips / "voice.wav", *picture, "-t", "2.5", "-frames:v", "1", "-disposition:v", "attached_pic", clips / "tune.mp3"
    )
    assert is_video(clips / "wall.mp4") and not is_video(clips / "voice.wav") and not is_video(clips / "tune.mp3")
    model = make_model(tmp_path / "model", head, 7)
    rest = ("--model", model, "--library", tmp_path / "library", "--device", "cpu")
    ran = invoke("enroll", clips, *rest)
    assert ran.code == 0, ran.err
    assert "anna: 4 clips" in ran.err and "fitted to motion: lips " in ran.err and "film.mp4: no face at 1.6" in ran.err
    assert "motion not used" in ran.err and "wall.mp4 shows no face" in ran.err and "tune.mp3 shows" not in ran.err
    record = load_identity(tmp_path / "library" / "anna.safetensors").record
    captured = record["captured"]
    assert captured["videos"] == 1 and captured["seconds"] == pytest.approx(SECONDS, abs=0.1)
    assert 2.0 < captured["seen"] < SECONDS - 0.5 and captured["lip_error_mm"] < 2.0
    assert record["fit"]["seconds"] + record["fit"]["held_out"] == pytest.approx(captured["seen"], abs=0.5)
    video = captured_motion({"film.mp4": clips / "film.mp4"}, FPS, tracker)["film.mp4"]
    assert isinstance(video, VideoMotion)
    assert len(video.examples) == 2
    sound = load_speech(clips / "film.mp4")
    first, second = (example.sound for example in video.examples)
    assert (sound[: len(first)] == first).all() and (sound[len(sound) - len(second) :] == second).mean() > 0.9
    assert "1 video" in invoke("identities", "show", "anna", "--library", tmp_path / "library").out


@pytest.mark.slow
def test_without_a_tracker_a_films_sound_is_enrolled(
    film: Path, head: RigFile, invoke: Talker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if a machine without the extra cannot enroll a film's voice, or does not say what its motion would need."""
    monkeypatch.setenv("TALKER_TRACKER", str(tmp_path / "none.task"))
    model = make_model(tmp_path / "model", head, 7)
    rest = ("--model", model, "--library", tmp_path / "library", "--device", "cpu", "--name", "anna", "--json")
    ran = invoke("enroll", film, *rest)
    assert ran.code == 0 and "motion not used: found no" in ran.err and "fetch_tracker.sh" in ran.err, ran.err
    assert json.loads(ran.out)["captured"] is None and json.loads(ran.out)["fit"] is None
    assert "(--tracker)" in invoke("enroll", film, *rest, "--tracker", "none.task", "--replace").mistake


def test_a_film_without_a_face_is_no_motion(tracker: Path, tmp_path: Path) -> None:
    """Breaks if a wall becomes somebody's motion."""
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc=duration=1.2:size=96x96:rate=10",
        "-f",
        "lavfi",
        "-i",
        "sine",
        "-t",
        "1.2",
        tmp_path / "v.mp4",
    )
    refused = captured_motion({"v": tmp_path / "v.mp4"}, FPS, tracker)["v"]
    assert isinstance(refused, InputError) and "shows no face" in str(refused)
