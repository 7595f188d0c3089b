"""What happens on a bad day, and live: odd recordings, interrupted runs, two runs at once, pipes. The real command line."""

import hashlib
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import IDENTITY, Command, ffmpeg, spoken

from talker_cli.animate.live import RAW, Listener, LiveLink, PcmFormat, parse_udp, read_header
from talker_cli.errors import InputError, OutputError
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


def test_two_runs_with_one_output_leave_one_motion(model: Path, head: RigFile, wav: Path, tmp_path: Path) -> None:
    """Breaks if vertices of one run lie beside the sidecar of the other."""
    people = [IDENTITY, "FaceTalk_170915_00223_TA"]
    runs = [start("animate", wav, "-i", who, "--model", model, "--device", "cpu", cwd=tmp_path) for who in people]
    assert [run.communicate(timeout=120)[0] for run in runs] == [b"out.npy\n"] * 2
    winner = json.loads((tmp_path / "out.json").read_text())["identity"]
    assert (np.load(tmp_path / "out.npy") == head.identities[winner].template).all()
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


def test_sound_from_a_pipe_becomes_lines_of_json(model: Path, tmp_path: Path) -> None:
    """Breaks if raw samples and a WAV of them are not the same, frames are lost, or a reader that leaves is a traceback."""
    sound = (32767 * spoken(0.9)).astype("<i2")
    wave = io.BytesIO()
    soundfile.write(wave, sound, 16_000, format="WAV", subtype="PCM_16")
    said = []
    for data in (sound.tobytes(), wave.getvalue()):
        process = start("animate", "-", "--stream", "--model", model, cwd=tmp_path, stdin=subprocess.PIPE)
        out, err = process.communicate(data, timeout=120)
        assert process.returncode == 0, err
        said.append([json.loads(line) for line in out.splitlines()])
        assert b"27 frames" in err and b"look-ahead 300 ms" in err
    head, *frames = said[0]
    assert said[1] == said[0] and head["identity"] == IDENTITY and len(head["names"]) == 52
    assert [frame["frame"] for frame in frames] == list(range(27))
    assert all(len(frame["coefficients"]) == 52 for frame in frames) and frames[-1]["time"] == pytest.approx(26 / 30, abs=1e-4)

    process = start("animate", "-", "--stream", "--model", model, cwd=tmp_path, stdin=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(sound.tobytes(), timeout=120)
    assert b"Traceback" not in err and process.returncode not in (0, 130)


def test_a_header_says_how_samples_lie() -> None:
    """Breaks if music files are heard as noise, or chunks before the samples as sound."""
    for subtype, rate, channels, codec in (
        ("PCM_24", 48_000, 2, "s24le"),
        ("FLOAT", 44_100, 6, "f32le"),
        ("PCM_16", 8000, 1, "s16le"),
    ):
        wave = io.BytesIO()
        soundfile.write(wave, np.zeros((10, channels)), rate, format="WAV", subtype=subtype)
        wave.seek(0)
        size = 10 * channels * int(re.findall(r"\d+", codec)[0]) // 8
        assert read_header(wave.read) == (PcmFormat(codec, rate, channels), b"", size)
        unknown = wave.getvalue().replace(b"data" + size.to_bytes(4, "little"), b"data\xff\xff\xff\xff")
        assert read_header(io.BytesIO(unknown).read)[2] is None
    assert read_header(io.BytesIO(b"\x01\x00" * 20).read) == (RAW, b"\x01\x00" * 6, None)
    for data, words in (
        (b"", "found nothing"),
        (b"OggS" + bytes(20), "of another format"),
        (b"RF64" + bytes(20), "of another format"),
        (b"RIFF\0\0\0\0WAVE", "without sound"),
    ):
        with pytest.raises(InputError, match=words):
            read_header(io.BytesIO(data).read)


def test_packets_are_live_link_faces() -> None:
    """Breaks if Unreal would read other numbers: decoded here field by field, as published readers of the protocol do."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        address = parse_udp(f"udp://127.0.0.1:{listener.getsockname()[1]}")
        assert address is not None
        LiveLink(*address, "Zoë", 30.0).send(7, np.linspace(0, 1, 52, dtype=np.float32))
        data = listener.recv(2048)
    assert struct.unpack("<i", data[:4]) == (6,) and data[4:5] == b"$" and len(data[4:41].decode()) == 37
    assert struct.unpack("!i", data[41:45]) == (4,) and data[45:49].decode() == "Zoë"
    assert struct.unpack("!if2ib", data[49:66]) == (7, 0.0, 30, 1, 61)
    values = np.array(struct.unpack("!61f", data[66:]))
    assert np.allclose(values[:52], np.linspace(0, 1, 52), atol=1e-6) and not values[52:].any()
    assert parse_udp("udp:/localhost:11111") == ("localhost", 11111) and parse_udp("out.npy") is None


def test_a_pipe_that_is_none_is_a_mistake(tmp_path: Path) -> None:
    """Breaks if a folder in place of a pipe, or no standard input at all, ends in a traceback."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(InputError, match="cannot read stdin"):
            next(Listener(descriptor).parts())
    finally:
        os.close(descriptor)
    command = f'exec "{sys.executable}" -m talker_cli animate - --stream <&-'
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "without sound on stdin" in ran.stderr, ran.stderr


def piped(data: bytes) -> np.ndarray:
    """Return what a listener hears of a pipe with these bytes."""
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    try:
        return np.concatenate(list(Listener(read).parts()))
    finally:
        os.close(read)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (16_000, 2)])
def test_what_lies_behind_a_waves_sound_is_not_heard(rate: int, channels: int) -> None:
    """Breaks if a title or a cover behind the samples becomes noise."""
    wave = io.BytesIO()
    soundfile.write(wave, np.zeros((4000, channels)), rate, format="WAV", subtype="PCM_16")
    heard = piped(wave.getvalue() + b"LIST" + (4000).to_bytes(4, "little") + np.random.default_rng(0).bytes(4000))
    assert len(heard) == 4000 and not heard.any()


def test_packets_keep_their_pace_after_a_pause() -> None:
    """Breaks if all that is said after a pause is sent at once."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    link = LiveLink("127.0.0.1", listener.getsockname()[1], "face", 30.0)
    link.send(0, np.zeros(52, np.float32))
    time.sleep(0.6)
    began = time.monotonic()
    for frame in range(1, 11):
        link.send(frame, np.zeros(52, np.float32))
    assert time.monotonic() - began >= 9 / 30 - 0.01
    listener.close()


def test_an_address_that_is_none_is_a_mistake() -> None:
    """Breaks if a mistyped address ends in a traceback."""
    with pytest.raises(OutputError, match=r"found no host 192\.168\.\.1"):
        LiveLink("192.168..1", 11111, "face", 30.0)


def test_an_address_out_of_reach_is_a_mistake() -> None:
    """Breaks if packets that cannot be sent end in a traceback: the broadcast address needs a right that we do not ask for."""
    with pytest.raises(OutputError, match=r"cannot send to 255\.255\.255\.255:11111"):
        LiveLink("255.255.255.255", 11111, "face", 30.0).send(0, np.zeros(52, np.float32))


def test_what_live_sound_cannot_have_is_refused(talker: Command) -> None:
    """Breaks if an option is taken and does nothing."""
    for option in (("--samples", 2), ("--guidance", 2), ("--expression", 0.5), ("--smooth", 1), ("--skip-existing",)):
        assert f"found {option[0]} with --stream" in talker("animate", "-", "--stream", *option).mistake
