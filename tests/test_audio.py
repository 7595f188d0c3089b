"""Every format, width, rate and channel count arrives as the same sound; what is no recording is refused in one line."""

import io
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ffmpeg, spoken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talker_cli.errors import InputError
from talker_cli.formats.audio import load_intact_speech, load_speech, playable, read_speech
from talker_cli.formats.wav import ByteSource, read_wav

TONE = 440.0  # hertz
EDGE = 400  # samples at either end where the resampling filter sees silence


def tone(seconds: float, sample_rate: int, hertz: float = TONE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * sample_rate)) / sample_rate)


def assert_is_tone(speech: np.ndarray, tolerance: float) -> None:
    expected = tone(len(speech) / 16_000, 16_000)
    assert speech.dtype == np.float32
    assert np.abs(speech - expected)[EDGE:-EDGE].max() < tolerance


@pytest.mark.parametrize("subtype,tolerance", [("PCM_U8", 8e-3), ("PCM_16", 4e-5), ("PCM_24", 1e-6), ("PCM_32", 1e-6),
                                               ("FLOAT", 1e-6), ("DOUBLE", 1e-6)])  # fmt: skip
def test_sample_widths(tmp_path: Path, subtype: str, tolerance: float) -> None:
    """Breaks if a width is read with the wrong scale or offset."""
    soundfile.write(tmp_path / "a.wav", tone(1, 16_000), 16_000, subtype=subtype)
    speech = load_speech(tmp_path / "a.wav")
    assert len(speech) == 16_000
    assert_is_tone(speech, tolerance)


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_sample_rates(tmp_path: Path, sample_rate: int) -> None:
    """Breaks if resampling shifts, stretches, or loses samples: motion would run away from the sound."""
    soundfile.write(tmp_path / "a.wav", tone(2, sample_rate), sample_rate, subtype="FLOAT")
    speech = load_speech(tmp_path / "a.wav")
    assert len(speech) == 32_000
    assert_is_tone(speech, 1e-4)


def test_what_16_khz_cannot_carry_is_gone(tmp_path: Path) -> None:
    """Breaks if a tone of 10 kHz folds back to 6 kHz instead of vanishing."""
    soundfile.write(tmp_path / "a.wav", tone(1, 48_000, 10_000.0), 48_000, subtype="FLOAT")
    assert np.abs(load_speech(tmp_path / "a.wav"))[EDGE:-EDGE].max() < 1e-3


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    """Breaks if a channel is dropped or weighted: ffmpeg's own downmix does both."""
    rng = np.random.default_rng(channels)
    sound = rng.uniform(-0.9, 0.9, (16_000, channels))
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    assert np.abs(load_speech(tmp_path / "a.wav") - sound.mean(axis=1)).max() < 1e-6


FORMATS = {
    "a.flac": [], "a.ogg": ["-c:a", "libvorbis"], "a.opus": [], "a.mp3": [], "a.m4a": [], "a.mp4": [], "a.webm": [],
    "a.aiff": [], "a.mkv": [], "a.g722": [],
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.slow
def test_formats(tmp_path: Path, name: str) -> None:
    """Breaks if a format is not read, or read with a delay: lossy ones are compared by correlation at no lag."""
    sound = spoken(2)
    soundfile.write(tmp_path / "source.wav", sound, 16_000)
    ffmpeg("-i", tmp_path / "source.wav", *FORMATS[name], tmp_path / name)
    speech = load_intact_speech(tmp_path / name)
    assert abs(len(speech) - len(sound)) < 1600  # lossy formats end on their own frames
    common = min(len(speech), len(sound))
    lags = range(-320, 321)
    padded = np.pad(sound, (320, 320 + len(speech)))
    match = [float(speech[:common] @ padded[320 + lag : 320 + lag + common]) for lag in lags]
    best = lags[int(np.argmax(match))]
    assert abs(best) <= (24 if name.endswith(".g722") else 1), best  # the codec's filters delay by 22 samples
    aligned = padded[320 + best : 320 + best + common]
    assert np.corrcoef(speech[:common], aligned)[0, 1] > 0.97


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.opus", "a.m4a", "a.mp3"])
@pytest.mark.slow
def test_lost_sound_is_counted_and_silent(tmp_path: Path, name: str) -> None:
    """Breaks if a recording that lost its middle is animated as if it were whole, or moves up, or is learned from."""
    sound = spoken(8.0)
    soundfile.write(tmp_path / "source.wav", sound, 16_000)
    ffmpeg("-i", tmp_path / "source.wav", *FORMATS.get(name, []), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    middle = len(whole) // 2
    rng = np.random.default_rng(0)
    (tmp_path / name).write_bytes(whole[:middle] + rng.bytes(len(whole) // 5) + whole[middle + len(whole) // 5 :])
    notes: list[str] = []
    speech = load_speech(tmp_path / name, notes.append)
    assert len(notes) == 1 and f"{name} is damaged (" in notes[0]
    with pytest.raises(InputError, match="expected an intact recording"):
        load_intact_speech(tmp_path / name)
    found = re.search(r"(?:ends|: )\s*(\d\.\d\d) s", notes[0])
    assert found and 1.2 < float(found[1]) < 3.5
    if name == "a.mp3":  # its packets have no times
        assert len(speech) < 7 * 16_000
    else:
        end = slice(7 * 16_000, 8 * 16_000 - EDGE)
        shifts = (np.roll(speech[: len(sound)], shift)[end] for shift in range(-160, 161, 2))  # jitter of Vorbis' times
        assert max(np.corrcoef(each, sound[end])[0, 1] for each in shifts) > 0.95
        assert not speech[int(4.1 * 16_000) : int(5.0 * 16_000)].any()


@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.flac", "a.webm", "a.mkv", "a.mp3", "a.aac"])
@pytest.mark.slow
def test_joined_files_are_read_and_not_called_damaged(tmp_path: Path, name: str) -> None:
    """Breaks if what a decoder mutters at a joint is taken for lost sound, or if the second part is not read."""
    sound = spoken(1.5)
    soundfile.write(tmp_path / "source.wav", sound, 16_000)
    ffmpeg("-i", tmp_path / "source.wav", *FORMATS.get(name, []), tmp_path / name)
    one = load_intact_speech(tmp_path / name)
    (tmp_path / name).write_bytes(2 * (tmp_path / name).read_bytes())
    notes: list[str] = []
    both = load_speech(tmp_path / name, notes.append)
    assert notes == []
    assert np.array_equal(both, load_intact_speech(tmp_path / name))
    assert abs(len(both) - 2 * len(one)) < 0.15 * 16_000


@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mkv"])
def test_sound_that_starts_after_the_picture_is_late(tmp_path: Path, name: str) -> None:
    """Breaks if the motion runs ahead of the picture by what the sound was late."""
    sound = spoken(2.0)
    soundfile.write(tmp_path / "s.wav", sound, 16_000)
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x64:duration=2.5"]
    ffmpeg(*picture, "-itsoffset", "0.5", "-i", tmp_path / "s.wav", "-c:a", "pcm_s16le" if name != "a.mp4" else "flac",
           "-strict", "-2", tmp_path / name)  # fmt: skip
    notes: list[str] = []
    speech = load_speech(tmp_path / name, notes.append)
    assert np.abs(speech[:7900]).max() == 0.0
    assert np.corrcoef(speech[8000 : 8000 + 30_000], sound[:30_000])[0, 1] > 0.999
    assert len(notes) == 1 and "starts at 0.50 s" in notes[0]
    assert np.array_equal(load_intact_speech(tmp_path / name), speech)


def test_a_pause_of_the_recorder_is_silent(tmp_path: Path) -> None:
    """Breaks if what follows a gap in a container's times moves up."""
    sound = spoken(3.0)
    soundfile.write(tmp_path / "s.wav", sound, 16_000)
    times = "asetpts='PTS+if(gte(PTS,24000),32000,0)'"
    ffmpeg("-i", tmp_path / "s.wav", "-af", f"asetnsamples=800,{times}", "-c:a", "pcm_s16le", tmp_path / "gap.mkv")
    notes: list[str] = []
    speech = load_speech(tmp_path / "gap.mkv", notes.append)
    assert abs(len(speech) - 5 * 16_000) < 32 and not speech[24_100:55_900].any()
    assert np.corrcoef(speech[56_032:79_000], sound[24_032:47_000])[0, 1] > 0.99
    assert len(notes) == 1 and "no sound for 2.00 s in 1 gaps, the first at 1.50 s" in notes[0]


@pytest.mark.parametrize("jump", ["8e7", "1e10", "1e17"])
def test_times_that_make_no_sense_do_not_fill_the_memory(tmp_path: Path, jump: str) -> None:
    """Breaks if one wrong number in a file is hours of silence."""
    soundfile.write(tmp_path / "s.wav", spoken(3.0), 16_000)
    times = f"asetpts='PTS+if(gte(PTS,24000),{jump},0)'"
    ffmpeg("-i", tmp_path / "s.wav", "-af", f"asetnsamples=800,{times}", "-c:a", "pcm_s16le", tmp_path / "gap.mkv")
    notes: list[str] = []
    assert len(load_speech(tmp_path / "gap.mkv", notes.append)) == 48_000
    assert all("the jump is left out" in line for line in notes)


def wave_bytes(samples: np.ndarray, rate: int = 16_000, **options: str) -> bytes:
    wave = io.BytesIO()
    soundfile.write(wave, samples, rate, format=options.pop("format", "WAV"), **options)
    return wave.getvalue()


def with_size(wave: bytes, size: int) -> bytes:
    """Return a WAV whose header says `size` bytes of samples."""
    at = wave.index(b"data") + 4
    return wave[:at] + size.to_bytes(4, "little") + wave[at + 4 :]


@pytest.mark.parametrize("size", [None, 0, 0x7FFFFFFF, 0xFFFFFFFF, 20_000])
def test_wavs_one_behind_the_other_are_all_read(tmp_path: Path, size: int | None) -> None:
    """Breaks if only the first answer of a speech service is animated, whatever sizes it wrote."""
    sound = spoken(0.5)
    one = wave_bytes(sound) if size is None else with_size(wave_bytes(sound), size)
    title = b"LIST" + (10).to_bytes(4, "little") + b"INFOabcdef"
    (tmp_path / "a.wav").write_bytes(one + (title if size is None else b"") + one + one)
    notes: list[str] = []
    speech = load_speech(tmp_path / "a.wav", notes.append)
    assert np.abs(speech - np.tile(sound, 3)).max() < 1e-4
    assert any("holds 3 WAVs one behind the other" in line for line in notes)


def test_joined_wavs_of_two_rates(tmp_path: Path) -> None:
    """Breaks if the second part is read with the rate of the first."""
    (tmp_path / "a.wav").write_bytes(wave_bytes(tone(1, 48_000), 48_000) + wave_bytes(tone(1, 16_000)))
    speech = load_speech(tmp_path / "a.wav")
    assert len(speech) == 32_000
    assert_is_tone(speech[:16_000], 1e-3)
    assert_is_tone(speech[16_000:], 1e-3)


def test_a_size_that_is_too_small(tmp_path: Path) -> None:
    """Breaks if a header decides that most of a recording is not there."""
    sound = spoken(1.0)
    (tmp_path / "a.wav").write_bytes(with_size(wave_bytes(sound), 8000))
    notes: list[str] = []
    speech = load_speech(tmp_path / "a.wav", notes.append)
    assert np.abs(speech - sound).max() < 1e-4
    assert notes == [f"{tmp_path / 'a.wav'} holds more sound than its header says; all of it is read"]


def test_a_wav_that_was_cut_off(tmp_path: Path) -> None:
    """Breaks if half a recording is learned from beside a whole motion."""
    (tmp_path / "a.wav").write_bytes(wave_bytes(spoken(2.0))[: 44 + 32_000])
    notes: list[str] = []
    assert len(load_speech(tmp_path / "a.wav", notes.append)) == 16_000
    assert len(notes) == 1 and "ends 1.00 s before its header says" in notes[0]
    with pytest.raises(InputError, match="expected an intact recording"):
        load_intact_speech(tmp_path / "a.wav")


@pytest.mark.parametrize(("container", "valid"), [(4, 24), (4, 20), (3, 20), (2, 12)])
def test_fewer_valid_bits_than_stored(tmp_path: Path, container: int, valid: int) -> None:
    """Breaks if 24 valid bits in 32 are read as three bytes a sample, as ffmpeg does."""
    sound = spoken(0.5)
    bits = np.round(sound * 2 ** (valid - 1)).astype(np.int64) << (8 * container - valid)
    data = b"".join(int(each).to_bytes(container, "little", signed=True) for each in bits)
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    body = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16_000, 16_000 * container, container, 8 * container, 22, valid, 4) + guid
    chunks = b"WAVEfmt " + struct.pack("<I", len(body)) + body + b"data" + struct.pack("<I", len(data)) + data
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    assert np.abs(load_speech(tmp_path / "a.wav") - sound).max() < 2.0 ** (2 - valid)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "ULAW"), ("RF64", "PCM_16"), ("W64", "PCM_24"), ("AIFF", "PCM_24")],
)
def test_kin_of_wav(tmp_path: Path, container: str, subtype: str) -> None:
    """Breaks if a kind of WAV that is not walked here is no longer read."""
    sound = spoken(1.0)
    (tmp_path / "a.wav").write_bytes(wave_bytes(sound, format=container, subtype=subtype))
    assert np.corrcoef(load_speech(tmp_path / "a.wav")[:16_000], sound)[0, 1] > 0.99


def test_rates_that_nothing_has_are_refused(tmp_path: Path) -> None:
    """Breaks if a wrong rate makes hours, and gigabytes, of a second."""
    wave = bytearray(wave_bytes(tone(1, 16_000)))
    for rate in (0, 1, 400, 4_000_000_000):
        wave[24:28] = rate.to_bytes(4, "little")
        (tmp_path / "a.wav").write_bytes(wave)
        with pytest.raises(InputError, match=r"a\.wav"):
            load_speech(tmp_path / "a.wav")
    soundfile.write(tmp_path / "a.au", tone(1, 16_000), 16_000)
    sun = bytearray((tmp_path / "a.au").read_bytes())
    sun[16:20] = (2).to_bytes(4, "big")
    (tmp_path / "a.au").write_bytes(sun)
    with pytest.raises(InputError, match="a sample rate of 2 Hz"):
        load_speech(tmp_path / "a.au")


@pytest.mark.parametrize("decibels", [-45.0, -55.0])
@pytest.mark.parametrize("silence", [0.0, 75.0])
def test_quiet_speech_is_amplified_and_said(tmp_path: Path, decibels: float, silence: float) -> None:
    """Breaks if whispered levels leave the mouth shut without a word, or if the gain changes within a recording."""
    sound = np.concatenate([np.zeros(int(silence * 16_000)), spoken(3.0) * 10 ** (decibels / 20)])
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    notes: list[str] = []
    speech = load_speech(tmp_path / "a.wav", notes.append)
    heard = slice(-48_000, None)
    gain = speech[heard] @ sound[heard] / (sound[heard] @ sound[heard])
    assert gain > 5 and np.allclose(speech, np.clip(gain * sound, -1, 1), atol=1e-4)
    assert len(notes) == 1 and "is quiet (" in notes[0]


def test_usual_levels_are_not_touched(tmp_path: Path) -> None:
    """Breaks if recordings that need no gain get one: silence, noise, one click, speech from -30 dB up."""
    rng = np.random.default_rng(0)
    for name, sound, said in (
        ("speech", spoken(2.0) * 0.05, 0), ("silence", np.zeros(32_000), 1), ("hiss", 1e-3 * rng.standard_normal(32_000), 1),
        ("late", np.concatenate([np.zeros(80 * 16_000), spoken(2.0)]), 0),
    ):  # fmt: skip
        soundfile.write(tmp_path / f"{name}.wav", sound, 16_000, subtype="FLOAT")
        notes: list[str] = []
        assert np.array_equal(load_speech(tmp_path / f"{name}.wav", notes.append), sound.astype(np.float32)), name
        assert len(notes) == said, name


def test_channels_that_the_mean_loses_are_named(tmp_path: Path) -> None:
    """Breaks if channels of opposite sign cancel, or a voice in the centre of six drowns, without a word."""
    voice, rng = spoken(2.0), np.random.default_rng(0)
    mono = np.stack([voice, voice], 1)
    opposite = np.stack([voice, -0.98 * voice], 1)
    cinema = 1e-3 * rng.standard_normal((32_000, 6))
    cinema[:, 2] = voice
    for name, sound, said in (("mono", mono, 0), ("opposite", opposite, 1), ("cinema", cinema, 1), ("left", mono * [1, 0], 0)):
        soundfile.write(tmp_path / f"{name}.wav", sound, 16_000)
        ffmpeg("-i", tmp_path / f"{name}.wav", tmp_path / f"{name}.flac")
        for suffix in ("wav", "flac"):
            notes: list[str] = []
            load_speech(tmp_path / f"{name}.{suffix}", notes.append)
            assert sum("channels whose mean is" in line for line in notes) == said, (name, notes)


def test_a_decoder_that_dies_is_an_error(tmp_path: Path) -> None:
    """Breaks if what was decoded until then passes for the recording."""
    soundfile.write(tmp_path / "long.flac", spoken(60.0), 16_000)
    parts = read_speech(tmp_path / "long.flac")
    next(parts)
    (child,) = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    with pytest.raises(InputError, match=r"the decoder of .*long\.flac ended before the recording did"):
        list(parts)


def test_sound_of_a_video(tmp_path: Path) -> None:
    """Breaks if a film's picture gets in the way of its sound."""
    soundfile.write(tmp_path / "s.wav", tone(1, 44_100), 44_100)
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:duration=1", "-i", tmp_path / "s.wav", "-c:a", "aac", tmp_path / "v.mp4")
    speech = load_speech(tmp_path / "v.mp4")
    expected = tone(len(speech) / 16_000, 16_000)
    assert np.corrcoef(speech[2000:14_000], expected[2000:14_000])[0, 1] > 0.99


@pytest.mark.parametrize("name", ["-loud.wav", "a:b.wav", "sp ace 'quoted'.wav", "%03d.wav", "concat:x.wav", "é.wav"])
def test_awkward_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Breaks if a name is taken for an option, an address or a pattern."""
    monkeypatch.chdir(tmp_path)
    with open(name, "wb") as stream:
        soundfile.write(stream, tone(1, 16_000), 16_000, format="WAV", subtype="PCM_16")
    assert_is_tone(load_speech(Path(name)), 4e-5)


PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.0,\n{}\n#EXT-X-ENDLIST\n",
    "m3u": "#EXTM3U\n{}\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="PT1S"><Period>'
    '<AdaptationSet mimeType="audio/mp4"><Representation id="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet>'
    "</Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\na=control:{}\n",
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["wav", "m3u8", "mp3", "ffconcat", "mpd"])
@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("address", ["secret.aac", "http://127.0.0.1:9/secret.aac"])
@pytest.mark.slow
def test_a_playlist_does_not_open_other_files(tmp_path: Path, kind: str, suffix: str, address: str) -> None:
    """Breaks if a file that a stranger sent can make us read, or fetch, another."""
    soundfile.write(tmp_path / "s.wav", tone(1, 16_000), 16_000)
    ffmpeg("-i", tmp_path / "s.wav", tmp_path / "secret.aac")
    (tmp_path / f"list.{suffix}").write_text(PLAYLISTS[kind].format(address))
    with pytest.raises(InputError, match="is not a recording"):
        load_speech(tmp_path / f"list.{suffix}")


def test_ffmpeg_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """Breaks if a decoder or an encoder works on for hours after talker was killed."""
    code = (
        "import subprocess, time; from talker_cli.formats import ffmpeg; null = subprocess.DEVNULL\n"
        "arguments = ['-re', '-f', 'lavfi', '-i', 'anullsrc', '-f', 'null', '-']\n"
        "print(ffmpeg.start(arguments, stdin=null, stdout=null, stderr=null).pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and is_running(child):
        time.sleep(0.02)
    parent.stdout.close()
    assert not is_running(child)


def test_a_player_gets_the_sound_that_is_animated(tmp_path: Path) -> None:
    """Breaks if a video's sound runs away from its motion: at gaps, joined WAVs and fewer valid bits than stored."""
    sound = spoken(1.5)
    usual = tmp_path / "usual.wav"
    soundfile.write(usual, np.tile(sound[:, None], 2), 48_000)
    with playable(usual) as path:
        assert path == usual
    (tmp_path / "joined.wav").write_bytes(2 * wave_bytes(sound))
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:duration=2", "-itsoffset", "0.5", "-i", tmp_path / "joined.wav",
           "-c:a", "pcm_s16le", tmp_path / "late.mov")  # fmt: skip
    for name in ("joined.wav", "late.mov"):
        with playable(tmp_path / name) as path:
            assert path.parent != tmp_path
            played = soundfile.read(path)[0]
            assert np.abs(played - load_speech(tmp_path / name)).max() < 1e-4
        assert not path.exists()


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_wavs_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Breaks if wrong bytes in a WAV end in a traceback, in gigabytes, or in samples beyond -1…1."""
    wave = bytearray(wave_bytes(spoken(0.2), subtype=data.draw(st.sampled_from(["PCM_16", "PCM_24", "FLOAT"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 60))
        value = data.draw(st.binary(min_size=1, max_size=4))
        wave[at : at + len(value)] = value
    (tmp_path / "a.wav").write_bytes(wave[: data.draw(st.integers(1, len(wave)))])
    try:
        speech = load_speech(tmp_path / "a.wav")
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert speech.dtype == np.float32 and np.abs(speech).max() <= 1.0 and np.isfinite(speech).all()
        assert len(speech) <= 16 * len(wave) + 1600


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["PCM_U8", "PCM_16", "PCM_24", "FLOAT"]), st.integers(1, 3), st.integers(1, 900)),
                min_size=1, max_size=3), st.integers(1, 3000))  # fmt: skip
def test_wavs_are_the_same_however_they_arrive(wavs: list[tuple[str, int, int]], piece: int) -> None:
    """Breaks if samples are lost, doubled or shifted where reads end: all parts, in any pieces, against libsndfile."""
    rng = np.random.default_rng(0)
    files = [wave_bytes(rng.uniform(-1, 1, (count, channels)), subtype=subtype) for subtype, channels, count in wavs]
    stream = io.BytesIO(b"".join(files))
    blocks = read_wav(ByteSource(lambda most: stream.read(min(most, piece))), lambda line: None, pytest.fail)
    expected = [soundfile.read(io.BytesIO(each), dtype="float32", always_2d=True)[0].ravel() for each in files]
    assert np.array_equal(np.concatenate([samples.ravel() for _, samples in blocks]), np.concatenate(expected))


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sample_rate,channels", [(16_000, 1), (44_100, 2)])
def test_broken_samples_are_reported(tmp_path: Path, subtype: str, value: float, sample_rate: int, channels: int) -> None:
    """Breaks if NaN or infinity reaches the model, or hides in a conversion."""
    sound = np.tile(tone(1, sample_rate)[:, None], (1, channels))
    sound[sample_rate // 2, 0] = value
    soundfile.write(tmp_path / "a.wav", sound, sample_rate, subtype=subtype)
    with pytest.raises(InputError, match=r"a\.wav holds NaN or infinity, first at 0\.(49|50)"):
        load_speech(tmp_path / "a.wav")


@pytest.mark.parametrize("pair", [(np.inf, -np.inf), (3e38, 3e38), (np.nan, np.inf)])
def test_channels_without_a_finite_mean_are_refused_without_a_warning(tmp_path: Path, pair: tuple[float, float]) -> None:
    """Breaks if numpy's warning about the mean of two channels reaches the terminal beside the one line."""
    sound = np.tile(tone(1, 16_000)[:, None], (1, 2))
    sound[8000] = pair
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    with warnings.catch_warnings(), pytest.raises(InputError, match=r"a\.wav holds NaN or infinity, first at 0\.500 s"):
        warnings.simplefilter("error")
        load_speech(tmp_path / "a.wav")


def test_samples_of_another_scale_are_refused(tmp_path: Path) -> None:
    """Breaks if a float file in 16-bit units is clipped to noise instead of being named."""
    soundfile.write(tmp_path / "a.wav", 32_768 * tone(1, 16_000), 16_000, subtype="FLOAT")
    with pytest.raises(InputError, match="expected -1…1"):
        load_speech(tmp_path / "a.wav")


def test_full_scale_stays_in_range(tmp_path: Path) -> None:
    """Breaks if the resampler's overshoot of a full-scale square leaves -1…1."""
    soundfile.write(tmp_path / "a.wav", np.sign(tone(1, 44_100)), 44_100, subtype="PCM_16")
    speech = load_speech(tmp_path / "a.wav")
    assert np.abs(speech).max() == 1.0


@pytest.mark.parametrize(
    "make,words",
    [
        (lambda path: None, "no file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: os.mkfifo(path), "is a pipe"),  # nobody writes to it: opened, it would never return
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("Not a sound.\n" * 50), "not a recording"),
        (lambda path: path.write_bytes(bytes(range(256)) * 40), "a.wav"),
        (lambda path: soundfile.write(path, tone(0.05, 16_000), 16_000), "0.050 s of sound"),
        (lambda path: soundfile.write(path, np.zeros(0), 16_000), "0.000 s of sound"),
    ],
)
def test_what_is_no_recording(tmp_path: Path, make: object, words: str) -> None:
    """Breaks if a mistake is taken for sound, or the line does not name the file."""
    path = tmp_path / "a.wav"
    make(path)  # type: ignore[operator]
    with pytest.raises(InputError, match=words) as caught:
        load_speech(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_film_without_sound(tmp_path: Path) -> None:
    """Breaks if the absence of sound is reported as damage."""
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:duration=1", tmp_path / "v.mp4")
    with pytest.raises(InputError, match="no audio stream"):
        load_speech(tmp_path / "v.mp4")
