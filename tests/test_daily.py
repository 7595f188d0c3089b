"""What happens on a bad day: odd recordings, interrupted runs, two runs at once. The real command line."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import IDENTITY, Command, ffmpeg, spoken

from talker_cli.rig import RigFile

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}


def start(*arguments: str | Path, cwd: Path, **options: object) -> "subprocess.Popen[bytes]":
    """Start the real command line; it heeds Ctrl-C even where the tests run in the background."""
    command = [sys.executable, "-m", "talker_cli", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **options,
    )  # fmt: skip


def test_odd_recordings_are_animated(invoke: Command, model: Path, tmp_path: Path) -> None:
    """Breaks if a telephone's mu-law, six channels at 192 kHz, or a second sound track gets in the way."""
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "phone.wav", spoken(1, 8_000), 8_000, subtype="ULAW")
    soundfile.write(tmp_path / "in" / "studio.wav", np.tile(spoken(1, 192_000)[:, None], 6), 192_000)
    two = [
        "-i",
        tmp_path / "in" / "phone.wav",
        "-f",
        "lavfi",
        "-i",
        "sine=duration=3",
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-map",
        "2:a",
    ]
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:duration=1", *two, tmp_path / "in" / "two tracks.mkv")
    ran = invoke("animate", "in", "--model", model, "--device", "cpu", "-o", "{name}.npz")
    assert ran.code == 0, ran.err
    frames = [len(np.load(tmp_path / line)["coefficients"]) for line in ran.out.splitlines()]
    assert frames == [30, 30, 30]  # the first track's second, not the other's three


@pytest.mark.slow
@pytest.mark.parametrize("number,code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_nothing(model: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Breaks if Ctrl-C, or the end of a job, leaves gigabytes under a hidden name, or half a motion under the real one."""
    soundfile.write(tmp_path / "long.wav", spoken(120), 16_000)
    process = start("animate", "long.wav", "--model", model, "--device", "cpu", cwd=tmp_path)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.iterdir())) == 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(list(tmp_path.iterdir())) > 1  # it has begun to write
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code and out == b"" and b"Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["long.wav"]


@pytest.mark.slow
def test_two_runs_with_one_output_leave_one_motion(model: Path, head: RigFile, wav: Path, tmp_path: Path) -> None:
    """Breaks if vertices of one run lie beside the sidecar of the other."""
    people = [IDENTITY, "FaceTalk_170915_00223_TA"]
    runs = [start("animate", wav, "-i", who, "--model", model, "--device", "cpu", cwd=tmp_path) for who in people]
    assert [run.communicate(timeout=120)[0] for run in runs] == [b"out.npy\n"] * 2
    winner = json.loads((tmp_path / "out.json").read_text())["identity"]
    coefficients = np.load(tmp_path / "out.coefficients.npy")
    assert (np.load(tmp_path / "out.npy") == head.rig_of(winner).decode(coefficients)).all()
    assert {path.name for path in tmp_path.iterdir()} == {"speech.wav", "out.npy", "out.json", "out.coefficients.npy"}


def test_a_recording_that_grows_or_goes_away_while_it_is_read(model: Path, wav: Path) -> None:
    """Breaks if it is a traceback, if what came later is animated, or if nobody is told."""
    from talker_cli import Talker

    talker, whole = Talker.load(model, device="cpu"), wav.read_bytes()

    def grow(done: int) -> None:
        wav.write_bytes(whole + bytes(50_000))

    def leave(done: int) -> None:
        wav.unlink(missing_ok=True)

    for change in (grow, leave):
        notes: list[str] = []
        made = talker.animate(wav, on_frames=change, on_note=notes.append)
        assert len(made.coefficients) == 36
        assert any("changed while it was read; its first 1.2 s were animated" in line for line in notes)
        assert made.about["audio"]["sha256"] == hashlib.sha256(whole).hexdigest()
        wav.write_bytes(whole)
