"""Live animation: sound from a pipe in any format that needs no file, frames as JSON lines or Live Link Face packets."""

import io
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import IDENTITY, Command, ffmpeg, spoken
from hypothesis import given, settings
from hypothesis import strategies as st
from test_daily import start

from talker_cli.animate.live import SpeechPipe, format_of
from talker_cli.animate.udp import LiveLink, Vmc, parse_live
from talker_cli.errors import InputError, OutputError, TalkerError
from talker_cli.rig import ARKIT_NAMES


def piped(data: bytes, notes: list[str] | None = None, pieces: int = 1 << 20) -> np.ndarray:
    """Return the sound read from a pipe into which `data` is written, in pieces of so many bytes."""
    read, write = os.pipe()

    def write_all() -> None:
        with os.fdopen(write, "wb", buffering=0) as stream:
            try:
                for at in range(0, len(data), pieces):
                    stream.write(data[at : at + pieces])
            except BrokenPipeError:
                pass

    writer = threading.Thread(target=write_all)
    writer.start()
    try:
        return np.concatenate([np.zeros(0, np.float32), *SpeechPipe(read, ([] if notes is None else notes).append).parts()])
    finally:
        os.close(read)
        writer.join()


def wave_bytes(samples: np.ndarray, rate: int, subtype: str = "PCM_16") -> bytes:
    wave = io.BytesIO()
    soundfile.write(wave, samples, rate, format="WAV", subtype=subtype)
    return wave.getvalue()


@pytest.mark.parametrize("pieces", [7, 1 << 20])
@pytest.mark.parametrize(
    ("subtype", "rate", "channels"),
    [("PCM_U8", 16_000, 1), ("PCM_16", 16_000, 2), ("PCM_24", 48_000, 2), ("FLOAT", 44_100, 6), ("ULAW", 8_000, 1)],
)
def test_a_wav_on_a_pipe_is_read_as_its_header_says(subtype: str, rate: int, channels: int, pieces: int) -> None:
    """Breaks if a width, a rate or a channel is misread, or if samples are lost where a pipe splits them."""
    sound = spoken(0.4, rate)
    heard = piped(wave_bytes(np.tile(sound[:, None], channels), rate, subtype), pieces=pieces)
    expected = spoken(0.4)
    assert abs(len(heard) - len(expected)) <= 1
    common = slice(200, 6000)
    assert np.corrcoef(heard[common], expected[common])[0, 1] > (0.99 if subtype != "PCM_U8" else 0.98)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_wavs_on_a_pipe_follow_one_another(size: int) -> None:
    """Breaks if the answers of a speech service after the first are noise, or not heard: sizes may be unknown."""
    sound = spoken(0.5)
    one = wave_bytes(sound, 16_000).replace(b"data" + (16_000).to_bytes(4, "little"), b"data" + size.to_bytes(4, "little"))
    notes: list[str] = []
    heard = piped(3 * one, notes)
    assert np.abs(heard - np.tile(sound, 3)).max() < 1e-4
    assert notes == ["the sound on stdin holds 3 WAVs one behind the other; all of them are read"]


@pytest.mark.parametrize("channels", [1, 2])
def test_what_follows_the_samples_of_a_wav_is_not_sound(channels: int) -> None:
    """Breaks if a title or a cover behind the samples becomes noise."""
    wave = wave_bytes(np.zeros((4000, channels)), 16_000)
    heard = piped(wave + b"LIST" + (4000).to_bytes(4, "little") + np.random.default_rng(0).bytes(4000))
    assert len(heard) == 4000 and not heard.any()


COMPRESSED = {
    "a.mp3": ["-ar", "24000", "-write_xing", "0", "-id3v2_version", "0"], "b.mp3": ["-ar", "44100"],
    "a.ogg": ["-c:a", "libvorbis"], "a.opus": [], "a.flac": [], "a.webm": [], "a.aac": [], "a.aiff": [], "a.au": [],
}  # fmt: skip


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.slow
def test_formats_on_a_pipe_are_decoded(tmp_path: Path, name: str) -> None:
    """Breaks if what a speech service sends is taken for raw samples: it would be noise in the wrong time."""
    sound = spoken(2)
    soundfile.write(tmp_path / "s.wav", sound, 16_000)
    ffmpeg("-i", tmp_path / "s.wav", *COMPRESSED[name], tmp_path / name)
    heard = piped((tmp_path / name).read_bytes(), pieces=777)
    assert abs(len(heard) - len(sound)) < 2400
    padded = np.pad(sound, (1600, 1600 + len(heard)))
    match = [float(heard @ padded[1600 + lag : 1600 + lag + len(heard)]) for lag in range(-1600, 160)]
    best = int(np.argmax(match))
    aligned = padded[best : best + len(heard)]
    assert np.corrcoef(heard, aligned)[0, 1] > 0.97


def raw(samples: np.ndarray, dtype: str = "<i2") -> bytes:
    return (samples * (32_767 if dtype.endswith("i2") else 1)).astype(dtype).tobytes()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "found nothing"),
        (b"\0\0\0 ftypisom" + bytes(5000), "has to be a file"),
        (b"RIFX" + bytes(5000), "has to be a file"),
        (b"RIFF\0\0\0\0WAVE", "header without samples"),
        (b"RIFF\0\0\0\0WAVEdata" + bytes(5000), "samples before their format"),
        (b'{"error": {"message": "invalid api key"}}', r"found text: \{.error.: \{.message.: .invalid api key"),
        (np.random.default_rng(0).bytes(9000), "no 16-bit samples of speech"),
        (raw(spoken(1), "<f4"), "no 16-bit samples of speech"),
        (raw(spoken(1), ">i2"), "no 16-bit samples of speech"),
    ],
)
def test_what_cannot_be_raw_samples_is_refused(data: bytes, words: str) -> None:
    """Breaks if an error message, another format or other samples than 16-bit ones are animated as noise."""
    with pytest.raises(InputError, match=words) as caught:
        piped(data)
    assert "\n" not in str(caught.value) and "--" not in str(caught.value)


def test_compressed_wavs_on_a_pipe_are_refused() -> None:
    """Breaks if blocks of ADPCM are taken for samples."""
    with pytest.raises(InputError, match="WAV of IMA ADPCM"):
        piped(wave_bytes(spoken(1), 16_000, "IMA_ADPCM"))


def test_samples_that_are_not_finite_are_refused() -> None:
    """Breaks if NaN is silently taken for silence."""
    sound = spoken(0.5)
    sound[4000] = np.nan
    with pytest.raises(InputError, match="found NaN or infinity in the sound on stdin"):
        piped(wave_bytes(sound, 16_000, "FLOAT"))


def test_a_muted_microphone_is_named() -> None:
    """Breaks if the mouth stays closed and nobody says why."""
    notes: list[str] = []
    piped(raw(spoken(1) * 1e-4), notes)
    assert len(notes) == 1 and "is quiet" in notes[0]


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.floats(80, 3400), st.floats(0, 0.2), st.integers(0, 2**32 - 1))
def test_raw_samples_are_recognised(level: float, hertz: float, noise: float, seed: int) -> None:
    """Breaks if speech, silence or a noisy microphone is refused as another format."""
    t = np.arange(2048) / 16_000
    sound = level * np.sin(2 * np.pi * hertz * t) + noise * np.random.default_rng(seed).standard_normal(2048)
    assert format_of(raw(np.clip(sound, -1, 1))) is None


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=5000))
def test_any_first_bytes_are_a_format_raw_samples_or_refused(start: bytes) -> None:
    """Breaks if bytes on a pipe can end in a traceback."""
    try:
        format_of(start)
    except TalkerError as error:
        assert "\n" not in str(error)


def test_a_pipe_of_noise_after_a_signature_is_refused() -> None:
    """Breaks if a decoder that finds nothing passes for silence."""
    for magic in (b"OggS", b"fLaC", b"ID3\4", b"\x1aE\xdf\xa3"):
        with pytest.raises(InputError, match="the sound on stdin is not a recording"):
            piped(magic + np.random.default_rng(1).bytes(20_000))


@pytest.mark.slow
def test_sound_from_a_pipe_becomes_lines_of_json(
    model: Path, invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if raw samples and a WAV of them are not the same, frames are lost, or a reader that leaves is a traceback."""
    sound = (32767 * spoken(0.9)).astype("<i2")
    wave = io.BytesIO()
    soundfile.write(wave, sound, 16_000, format="WAV", subtype="PCM_16")
    process = start("animate", "-", "--stream", "--model", model, cwd=tmp_path, stdin=subprocess.PIPE)
    out, err = process.communicate(sound.tobytes(), timeout=120)
    assert process.returncode == 0, err
    assert b"27 frames" in err and b"look-ahead 300 ms" in err
    head, *frames = map(json.loads, out.splitlines())
    assert head["identity"] == IDENTITY and len(head["names"]) == 52
    assert [frame["frame"] for frame in frames] == list(range(27))
    assert all(len(frame["coefficients"]) == 52 for frame in frames) and frames[-1]["time"] == pytest.approx(26 / 30, abs=1e-4)

    read, write = os.pipe()
    with os.fdopen(write, "wb") as pipe:
        pipe.write(wave.getvalue())  # less than a pipe holds
    with os.fdopen(read) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ran = invoke("animate", "-", "--stream", "--model", model)
    assert ran.code == 0 and list(map(json.loads, ran.out.splitlines())) == [head, *frames]

    process = start("animate", "-", "--stream", "--model", model, cwd=tmp_path, stdin=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(sound.tobytes(), timeout=120)
    assert b"Traceback" not in err and process.returncode not in (0, 130)


def test_packets_are_live_link_faces() -> None:
    """Breaks if Unreal would read other numbers: decoded here field by field, as published readers of the protocol do."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        address = parse_live(f"udp://127.0.0.1:{listener.getsockname()[1]}")
        assert address is not None and address[0] == "udp"
        LiveLink(*address[1:3], "Zoë", 30.0).send(7, np.linspace(0, 1, 52, dtype=np.float32))
        data = listener.recv(2048)
    assert struct.unpack("<i", data[:4]) == (6,) and data[4:5] == b"$" and len(data[4:41].decode()) == 37
    assert struct.unpack("!i", data[41:45]) == (4,) and data[45:49].decode() == "Zoë"
    assert struct.unpack("!if2ib", data[49:66]) == (7, 0.0, 30, 1, 61)
    values = np.array(struct.unpack("!61f", data[66:]))
    assert np.allclose(values[:52], np.linspace(0, 1, 52), atol=1e-6) and not values[52:].any()
    assert parse_live("udp:/localhost:11111") == ("udp", "localhost", 11111, False) and parse_live("out.npy") is None


def osc_messages(data: bytes) -> list[tuple[str, list[object]]]:
    """Decode an OSC bundle by the specification, apart from our own code."""

    def text(at: int) -> tuple[str, int]:
        end = data.index(0, at)
        return data[at:end].decode(), at + (end - at) // 4 * 4 + 4

    assert data[:16] == b"#bundle\0\0\0\0\0\0\0\0\1"
    at, found = 16, []
    while at < len(data):
        (size,) = struct.unpack_from("!i", data, at)
        start, at = at + 4, at + 4 + size
        address, place = text(start)
        tags, place = text(place)
        values: list[object] = []
        for tag in tags[1:]:
            if tag == "s":
                value, place = text(place)
            else:
                (value,), place = struct.unpack_from(f"!{tag}", data, place), place + 4
            values.append(value)
        assert place == at
        found.append((address, values))
    return found


def test_vmc_is_what_receivers_read() -> None:
    """Breaks if VSeeFace or Warudo would read other shapes, other values, or a head that turns the other way."""
    values = np.linspace(0, 1, 52, dtype=np.float32)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        address = parse_live(f"vmc:/127.0.0.1:{listener.getsockname()[1]}")
        assert address is not None
        Vmc(*address[1:3], 30.0).send(3, np.r_[values, 0.2, 0.4, 0.0].astype(np.float32))
        messages = osc_messages(listener.recv(1 << 16))
    names = [name for name, _ in messages]
    assert names[:3] == ["/VMC/Ext/OK", "/VMC/Ext/T", "/VMC/Ext/Bone/Pos"] and names[-1] == "/VMC/Ext/Blend/Apply"
    assert messages[0][1] == [1] and abs(messages[1][1][0] - 0.1) < 1e-6
    shapes = {entry[0]: entry[1] for name, entry in messages if name == "/VMC/Ext/Blend/Val"}
    assert list(shapes) == [name[0].upper() + name[1:] for name in ARKIT_NAMES]
    assert np.allclose(list(shapes.values()), values, atol=1e-6)
    # In Unity's space, where x points to the subject's right, the face looks down (-y) and to its left (-x).
    x, y, z, w = messages[2][1][4:]
    forward = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
    assert np.allclose(forward, (-np.sin(0.4) * np.cos(0.2), -np.sin(0.2), np.cos(0.4) * np.cos(0.2)), atol=1e-6)
    assert messages[2][1][0] == "Head"


def test_vmc_presets() -> None:
    """Breaks if an avatar without perfect sync gets no vowels and no blinks."""
    assert parse_live("vmc://h/presets") == ("vmc", "h", 39539, True) and parse_live("vmc://h") == ("vmc", "h", 39539, False)
    assert parse_live("udp://h") is None and parse_live("vmc://h:99999") is None
    motion = np.zeros(52, np.float32)
    motion[[ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("eyeBlinkLeft")]] = 0.4, 0.7
    messages = osc_messages(Vmc("127.0.0.1", 39539, 30.0, presets=True).packet(0, motion))
    shapes = {entry[0]: entry[1] for name, entry in messages if name == "/VMC/Ext/Blend/Val"}
    assert set(shapes) == {"A", "I", "U", "E", "O", "Blink_L", "Blink_R", "Joy", "Angry", "Sorrow", "Surprised"}
    assert shapes["A"] > 0.4 and abs(shapes["Blink_L"] - 0.7) < 1e-6 and shapes["Blink_R"] == 0


def test_a_pipe_that_is_none_is_a_mistake(tmp_path: Path) -> None:
    """Breaks if a folder in place of a pipe, or no standard input at all, ends in a traceback."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(InputError, match="cannot read stdin"):
            next(SpeechPipe(descriptor).parts())
    finally:
        os.close(descriptor)
    command = f'exec "{sys.executable}" -m talker_cli animate - --stream <&-'
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "without sound on stdin" in ran.stderr, ran.stderr


@pytest.mark.slow
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


def test_what_live_sound_cannot_have_is_refused(invoke: Command) -> None:
    """Breaks if an option is taken and does nothing."""
    for option in (("--samples", 2), ("--guidance", 2), ("--expression", 0.5), ("--smooth", 1), ("--skip-existing",)):
        assert f"found {option[0]} with --stream" in invoke("animate", "-", "--stream", *option).mistake
