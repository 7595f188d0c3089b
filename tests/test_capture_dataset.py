# ruff: noqa: F401, F811 - fixtures of another file
"""Videos as training data: GRID and a folder a speaker become a prepared dataset; a killed run ends in the same bytes.

They need the extra `capture` and MediaPipe's `face_landmarker.task` (`$TALKER_TRACKER`, or the user's data folder).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from conftest import Talker, ffmpeg
from test_enroll_video import film, tracker, truth

from talker_cli.capture.video import open_video, read_frames
from talker_cli.data.dataset import Dataset
from talker_cli.rig import ARKIT_NAMES


@pytest.fixture(scope="module")
def folder(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers in GRID's layout; among them a video without sound, one without a face, only sound, and a black start."""
    place = tmp_path_factory.mktemp("grid")
    for name in ("s1", "s2", "alignments/s1", "alignments/s2"):
        (place / name).mkdir(parents=True)
    for name, start in (("s1/bbaf2n", 0), ("s1/lgbs7s", 2.6), ("s2/pbai4n", 0)):
        ffmpeg("-ss", str(start), "-i", film, "-t", "1.2", "-r", "25", "-q:v", "4", place / f"{name}.mpg")
    ffmpeg("-i", place / "s2/pbai4n.mpg", "-an", "-c", "copy", place / "s2" / "silent.mpg")
    ffmpeg("-i", place / "s2/pbai4n.mpg", "-vn", "-c", "copy", place / "s2" / "sound.mpg")
    black = ("-f", "lavfi", "-i", "color=size=64x48:rate=25:duration=0.5", "-f", "lavfi", "-i", "sine=duration=0.5")
    ffmpeg(*black, place / "s2" / "black.mp4")
    ffmpeg("-i", place / "s2/pbai4n.mpg", "-vf", "drawbox=t=fill:color=black:enable='lt(t,0.62)'", place / "s2" / "late.mkv")
    for name in ("s1/bbaf2n", "s2/late"):
        spoken = "0 4000 was\n4000 17000 unable\n17000 18000 sp\n18000 20000 to\n20000 29000 create\n29000 30000 sil\n"
        (place / "alignments" / f"{name}.align").write_text(spoken)
    return place


@pytest.mark.slow
def test_grids_videos_become_a_dataset(
    folder: Path,
    tracker: Path,
    truth: np.ndarray,
    invoke: Talker,
    tmp_path: Path,
) -> None:
    """Breaks if speaker, words, motion or sound is lost, or a video that cannot be used is passed over without a word."""
    ran = invoke("preprocess", "grid", folder, "-o", tmp_path / "p", "--processes", "1")
    assert ran.code == 0, ran.err
    for name in ("silent.mpg has no sound", "sound.mpg holds only sound", "black.mp4 shows no face"):
        assert name in ran.err, ran.err
    data = Dataset(tmp_path / "p")
    assert sorted(data.recordings) == ["s1_bbaf2n", "s1_lgbs7s", "s2_late", "s2_pbai4n"]
    assert data.recordings["s1_bbaf2n"].text == "was unable to create" and data.recordings["s1_bbaf2n"].language == "en"
    assert {recording.voice for recording in data.recordings.values()} == {"s1", "s2"}
    jaw = ARKIT_NAMES.index("jawOpen")
    found = data.coefficients("s1_bbaf2n")[:, jaw]
    wanted = np.interp(np.arange(len(found)) / 25, np.arange(len(truth)) / 30, truth[:, jaw])
    assert len(found) >= 29 and np.corrcoef(found, wanted)[0, 1] > 0.7
    if find_spec("pocketsphinx"):
        starts = {name: start for name, start, _ in data.recordings["s1_bbaf2n"].phones}
        assert starts["B"] == pytest.approx(0.55, abs=0.03)
    # the black start is left out, of sound, picture and phones alike
    whole, late = data.speech("s2_pbai4n"), data.speech("s2_late")
    first = len(whole) - len(late)
    assert 0.5 < first / 16_000 < 0.9
    if find_spec("pocketsphinx"):
        last = [start for name, start, _ in data.recordings["s2_late"].phones if name == "T"][-1]
        assert last == pytest.approx(1.14 - first / 16_000, abs=0.04)
    assert np.corrcoef(whole[first : first + 4000], late[:4000])[0, 1] > 0.9
    assert not (tmp_path / "p" / "tracked").exists() and not (tmp_path / "p" / "unfinished").exists()


def working_in(folder: Path) -> list[str]:
    """Return the ids of processes whose working folder is `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(entry.name)
    return found


@pytest.mark.slow
def test_a_killed_preparation_ends_with_the_same_bytes(folder: Path, tracker: Path, tmp_path: Path) -> None:
    """Breaks if a killed run is begun again, or leaves a worker or a file behind."""
    clips = tmp_path / "clips"
    shutil.copytree(folder / "s1", clips / "s1")
    command = [sys.executable, "-m", "talker_cli", "preprocess", "video", "clips", "-o", "p", "--tracker", str(tracker)]

    def run() -> dict[str, bytes]:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return {path.name: path.read_bytes() for path in (tmp_path / "p").iterdir()}

    whole = run()
    shutil.rmtree(tmp_path / "p")
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list((tmp_path / "p").glob("tracked/[!.]*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 5
    while (left := working_in(tmp_path)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left
    assert list((tmp_path / "p" / "tracked").glob("[!.]*.safetensors"))
    assert run() == whole


def test_folders_that_no_dataset_can_be_made_of(invoke: Talker, tracker: Path, tmp_path: Path) -> None:
    """Breaks if an empty folder, or one of sounds and stills, makes a dataset or leaves something behind."""
    (tmp_path / "v").mkdir()
    assert "found no video" in invoke("preprocess", "video", tmp_path / "v", "-o", tmp_path / "p").mistake
    (tmp_path / "v" / "t.mp4").write_text("no video")
    ran = invoke("preprocess", "video", tmp_path / "v", "-o", tmp_path / "p")
    assert "none of which can be used" in ran.mistake and not list(tmp_path.glob("p/*"))
    (tmp_path / "v" / "t.align").write_text("0 x bin\n")
    assert "line 1" in invoke("preprocess", "grid", tmp_path / "v", "-o", tmp_path / "p").mistake


@pytest.mark.slow
def test_what_is_not_seen_is_named_and_the_rest_captured(film: Path, tracker: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a gap or a second face goes unnamed, or the preview lacks a frame, a part or the sound."""
    hidden = "drawbox=t=fill:color=black:enable='between(t,0.2,1.0)'"
    twice = "split[a][b];[a]pad=2*iw:ih[c];[c][b]overlay=x=W/2:enable='gt(t,1.5)'"
    ffmpeg("-t", "2", "-i", film, "-filter_complex", f"{hidden},{twice}", tmp_path / "v.mp4")
    ran = invoke("capture", tmp_path / "v.mp4", "-o", tmp_path / "v.json", "--preview", tmp_path / "p.mp4")
    assert ran.code == 0, ran.err
    assert "no face at 0.2" in ran.err and "more than one face at 1.5" in ran.err
    preview = open_video(tmp_path / "p.mp4")
    assert preview.sounds and abs(preview.width - 3 * preview.height) < 4 and len(list(read_frames(preview))) == 60
    refused = invoke("capture", tmp_path / "v.mp4", "-o", tmp_path / "w.json", "--preview", tmp_path / "p.txt")
    assert "(--preview)" in refused.mistake and not (tmp_path / "w.json").exists()


@pytest.mark.slow
def test_a_covered_mouth_and_another_shot_are_named(film: Path, tracker: Path, invoke: Talker, tmp_path: Path) -> None:
    """Breaks if lips that the tracker invents on a hand count as seen, or a cut goes unnamed."""
    hand = "drawbox=x=90:y=160:w=80:h=52:t=fill:color=0xc08a70:enable='between(t,0.5,1.3)'"
    near = "split[a][b];[b]crop=200:200:20:30,scale=256:256[c];[a][c]overlay=enable='gte(t,1.6)'"
    ffmpeg("-t", "2", "-i", film, "-filter_complex", f"{hand},{near}", tmp_path / "v.mp4")
    ran = invoke("capture", tmp_path / "v.mp4", "-o", tmp_path / "v.npy")
    for line in ("the mouth is covered at 0.5–1.3 s\n", "another shot begins at 1.6 s\n"):
        assert line in ran.err, ran.err
    seen = json.loads((tmp_path / "v.json").read_text())["captured"]["seen"]
    assert np.allclose(seen, [[0, 0.5], [1.3, 2.0]], atol=0.07)


@pytest.mark.slow
def test_without_the_extra_one_line_says_how_to_install_it(film: Path, tmp_path: Path) -> None:
    """Breaks if a missing MediaPipe is a traceback, or its line does not name the extra."""
    (tmp_path / "mediapipe.py").write_text("raise ImportError('none')")
    (tmp_path / "t.task").write_bytes(b"x")
    command = [sys.executable, "-m", "talker_cli", "capture", str(film), "-o", "o.csv", "--tracker", "t.task"]
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "talker-cli[capture]" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "o.csv").exists()
