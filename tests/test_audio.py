"""Every format, width, rate and channel count arrives as the same sound; what is no recording is refused in one line."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ffmpeg, spoken

from talker_cli.errors import InputError
from talker_cli.formats.audio import load_intact_speech, load_speech, read_speech

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


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3", "a.m4a"])
def test_damage_is_told(tmp_path: Path, name: str) -> None:
    """Breaks if a recording that lost its middle is animated as if it were whole, or learned from beside a motion."""
    soundfile.write(tmp_path / "source.wav", spoken(8.0), 16_000)
    ffmpeg("-i", tmp_path / "source.wav", *FORMATS[name], tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    middle = len(whole) // 2
    rng = np.random.default_rng(0)
    (tmp_path / name).write_bytes(whole[:middle] + rng.bytes(len(whole) // 5) + whole[middle + len(whole) // 5 :])
    said: list[str] = []
    speech = load_speech(tmp_path / name, said.append)
    assert len(speech) > 16_000 and len(said) == 1 and f"{name} is damaged (" in said[0]
    with pytest.raises(InputError, match="expected an intact recording"):
        load_intact_speech(tmp_path / name)


def test_a_decoder_that_dies_is_an_error(tmp_path: Path) -> None:
    """Breaks if what was decoded until then passes for the recording."""
    soundfile.write(tmp_path / "long.wav", spoken(60.0), 16_000)
    parts = read_speech(tmp_path / "long.wav")
    next(parts)
    (child,) = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    with pytest.raises(InputError, match=r"the decoder of .*long\.wav ended before the recording did"):
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


def test_a_playlist_does_not_open_other_files(tmp_path: Path) -> None:
    """Breaks if a file that a stranger sent can make us read, or fetch, another."""
    soundfile.write(tmp_path / "secret.wav", tone(1, 16_000), 16_000)
    (tmp_path / "list.wav").write_text(f"ffconcat version 1.0\nfile http://127.0.0.1:9/{tmp_path}/secret.wav\n")
    with pytest.raises(InputError):
        load_speech(tmp_path / "list.wav")


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
