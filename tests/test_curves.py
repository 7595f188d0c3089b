"""ARKit curves of BEAT and of Live Link Face: columns by name, rows by their time."""

import contextlib
import json
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from captured import write_wav
from conftest import Talker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talker_cli.data.beat import read_coefficients
from talker_cli.data.dataset import Dataset
from talker_cli.data.livelink import even_coefficients
from talker_cli.data.timecode import Clock, Labels, find_clock, parse_labels, times
from talker_cli.errors import InputError, TalkerError
from talker_cli.rig import ARKIT_NAMES

JAW = ARKIT_NAMES.index("jawOpen")


def curves(frames: int, fps: float, number: int) -> np.ndarray:
    """Return (T, 52) smooth curves in 0…1, slow enough to be seen at 30 frames a second."""
    rng = np.random.default_rng(number)
    t = np.arange(frames)[:, None] / fps
    return 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.2, 2, 52) * t + rng.uniform(0, 6, 52))


def write_beat(folder: Path, name: str, values: np.ndarray, seed: int) -> None:
    """Write BEAT's JSON, without the tongue, its names in an order of its own, and the recording."""
    order = np.random.default_rng(seed).permutation(51)
    names = [name[0].upper() + name[1:] if seed % 2 else name for name in ARKIT_NAMES]
    frames = [{"weights": row[order].tolist(), "time": number / 60} for number, row in enumerate(values)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"names": [names[place] for place in order], "frames": frames}))
    write_wav(folder / f"{name}.wav", len(values) / 60, 16_000)


def test_beat_takes_the_order_from_the_file(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a curve moves another shape: each file has an order of its own."""
    for number in range(4):
        write_beat(tmp_path / "beat" / "1", f"1_wayne_0_{number}_{number}", curves(61, 60, number), number)
    write_beat(tmp_path / "beat" / "2", "2_scott_0_1_1", curves(60, 60, 9), 3)
    ran = invoke("preprocess", "beat", tmp_path / "beat", "-o", "out")
    assert (ran.code, ran.out) == (0, "out\n"), ran.err
    dataset = Dataset(tmp_path / "out")
    assert dataset.info.fps == 30.0 and dataset.rig.rig.names == ARKIT_NAMES
    assert dataset.info.identities == ("scott", "wayne") and "research" in dataset.info.licence
    for name, number, frames in (("1_wayne_0_2_2", 2, 30), ("2_scott_0_1_1", 9, 30)):
        truth = curves(61, 60, number)[: 2 * frames : 2]
        truth[:, ARKIT_NAMES.index("tongueOut")] = 0
        assert np.abs(dataset.coefficients(name) - truth).max() < 1e-3
        assert len(dataset.speech(name)) == frames * 16_000 // 30
    whole = invoke("preprocess", "beat", tmp_path / "beat", "-o", "all", "--fps", 60, "--identity", "somebody")
    assert whole.code == 0 and Dataset(tmp_path / "all").info.identities == ("somebody",)
    assert np.abs(Dataset(tmp_path / "all").coefficients("1_wayne_0_1_1")[:, JAW] - curves(61, 60, 1)[:, JAW]).max() < 1e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.update(names=[*content["names"][:-1], "earWiggle"]), "names the shape 'earWiggle'"),
        (lambda content: content.update(names=content["names"][:-1] + content["names"][:1]), "names 50 shapes"),
        (lambda content: content["frames"][7].update(weights=[0.5] * 50), "frame 7 has 50 weights; expected 51"),
        (
            lambda content: content["frames"][7]["weights"].__setitem__(3, "x"),
            "frame 7 holds something else than finite numbers",
        ),
        (
            lambda content: content["frames"][8]["weights"].__setitem__(3, float("nan")),
            "frames.8.weights.3 is nan, no finite number",
        ),
        (lambda content: content["frames"][8]["weights"].__setitem__(3, 75.0), "at 75; expected coefficients from 0 to 1"),
        (lambda content: content.pop("frames"), "lacks names or frames"),
    ],
)
def test_broken_beat(invoke: Talker, tmp_path: Path, change: object, words: str) -> None:
    """Breaks if a broken file is animated, or anything is written."""
    write_beat(tmp_path / "beat", "1_wayne_0_1_1", curves(61, 60, 1), 2)
    path = tmp_path / "beat" / "1_wayne_0_1_1.json"
    content = json.loads(path.read_text())
    change(content)  # type: ignore[operator]
    path.write_text(json.dumps(content))
    assert words in invoke("preprocess", "beat", tmp_path / "beat", "-o", "out").mistake
    path.write_text(path.read_text()[:-30])
    assert "is damaged" in invoke("preprocess", "beat", tmp_path / "beat", "-o", "out").mistake
    assert not (tmp_path / "out").exists()


def timecode(seconds: float, fps: float) -> str:
    """Return HH:MM:SS:FF.mmm of a time of day that counts so many frames a second."""
    whole, part = divmod(seconds, 1)
    minutes, second = divmod(int(whole), 60)
    hours, minute = divmod(minutes, 60)
    frame = f"{part * fps + 1e-9:06.3f}"
    return f"{hours % 24:02}:{minute:02}:{second:02}:{frame}"


def write_livelink(path: Path, values: np.ndarray, at: np.ndarray, *, fps: float = 60.0, start: float = 43_000.0) -> None:
    """Write rows at times `at`, seconds, with columns in Live Link's spelling, turned round, and the angles it adds."""
    names = [name[0].upper() + name[1:] for name in ARKIT_NAMES][::-1]
    lines = [",".join(["Timecode", "BlendShapeCount", *names, "HeadYaw", "HeadPitch"])]
    for row, instant in zip(values, at, strict=True):
        cells = [f"{value:.6f}" for value in row[::-1]]
        lines.append(",".join([timecode(start + instant, fps), "61", *cells, "0.1", "-0.2"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(("fps", "start"), [(60.0, 43_000.0), (30.0, 86_398.5), (25.0, 7.0), (24.0, 3599.0)])
def test_rows_lie_where_their_timecode_says(tmp_path: Path, fps: float, start: float) -> None:
    """Breaks if dropped frames shift what follows, another rate is taken for 60, or midnight ends a take."""
    whole = curves(round(4 * fps), fps, 5)
    at = np.arange(len(whole)) / fps
    kept = np.random.default_rng(0).random(len(whole)) > 0.2  # a fifth of the frames were dropped
    kept[[0, -1]] = True
    write_livelink(tmp_path / "a.csv", whole[kept], at[kept], fps=fps, start=start)
    even = even_coefficients(tmp_path / "a.csv")
    assert len(even) == int(at[-1] * 60 + 1e-6) + 1
    exact = curves(len(even), 60.0, 5)
    assert np.abs(even - exact).max() < (0.15 if fps < 60 else 0.06)
    assert np.sqrt(np.square(even - exact).mean()) < (0.03 if fps < 60 else 0.01)
    every = even_coefficients(tmp_path / "a.csv", source_fps=fps)
    assert (every == even).all()


def label_of(number: int, count: int, dropped: int, mark: str = ":") -> str:
    """Return the timecode of the frame with this number since midnight, drop-frame by SMPTE's own formula."""
    if dropped:
        tens, rest = divmod(number, count * 600 - 9 * dropped)
        number += 9 * dropped * tens + (max(0, (rest - dropped) // (count * 60 - dropped)) * dropped if rest >= dropped else 0)
    seconds, frame = divmod(number, count)
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}:{second:02}{mark}{frame:02}.000"


RATES = [
    *((count, float(count), 0, ":") for count in (12, 15, 20, 24, 25, 27, 28, 29, 30, 40, 48, 50, 60)),
    (30, 30000 / 1001, 2, ";"), (30, 30000 / 1001, 2, ":"), (60, 60000 / 1001, 4, ";"),
]  # fmt: skip


def labels_from(first: int, frames: int, count: int, dropped: int, mark: str) -> Labels:
    codes = [(row + 2, label_of(first + row, count, dropped, mark)) for row in range(frames)]
    return parse_labels(Path("a.csv"), codes)


@pytest.mark.parametrize(("count", "fps", "dropped", "mark"), RATES)
def test_labels_tell_what_they_count(count: int, fps: float, dropped: int, mark: str) -> None:
    """Breaks if a rate is guessed: 27 frames a second read as 60, or drop-frame labels that drift by 3.6 s in an hour."""
    minute = count * 60 - dropped  # within the minute that begins at 0:01, over the end of which drop-frame labels jump
    labels = labels_from(2 * minute - 3 * count, 8 * count, count, dropped, mark)
    clock = find_clock(labels)
    assert clock == Clock(count, pytest.approx(fps), dropped)
    assert np.abs(times(labels, clock) - np.arange(8 * count) / fps).max() < 1e-6
    with pytest.raises(InputError, match="has timecodes that count") as caught:
        find_clock(labels, 2.0 * count)
    assert caught.value.field == "source_fps"


@pytest.mark.parametrize(("fps", "count", "dropped", "mark"), [
    (29.97, 30, 0, ":"), (23.976, 24, 0, ":"), (59.94, 60, 0, ":"), (29.97, 30, 2, ";"), (59.94, 60, 4, ";"),
])  # fmt: skip
def test_ten_minutes_of_labels_do_not_drift(fps: float, count: int, dropped: int, mark: str) -> None:
    """Breaks if whole seconds of labels are taken for seconds: at 29.97 they are a thousandth longer."""
    frames = round(600 * fps)
    labels = labels_from(86_398 * count - dropped * (1440 - 144), frames, count, dropped, mark)  # over midnight
    clock = find_clock(labels, fps)
    assert clock is not None and clock.fps == fps
    assert np.abs(times(labels, clock) - np.arange(frames) / fps).max() < 1e-6


def test_labels_that_do_not_tell_are_asked_for(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a recording within one second is taken for 60 frames a second, or its neighbour's rate is not used."""
    folder = tmp_path / "t"
    at = np.arange(20) / 30
    write_livelink(folder / "Eve_1.csv", curves(20, 30, 1), at, fps=30.0)
    write_wav(folder / "Eve_1.wav", 0.7, 16_000)
    for number in (2, 3):
        write_wav(folder / f"Eve_{number}.wav", 2.0, 16_000)
    mistake = invoke("preprocess", "livelink", folder, "-o", "out").mistake
    assert "do not show how many frames a second" in mistake and "--source-fps" in mistake
    for number in (2, 3):
        write_livelink(folder / f"Eve_{number}.csv", curves(60, 30, number), np.arange(60) / 30, fps=30.0)
    assert invoke("preprocess", "livelink", folder, "-o", "out").code == 0
    made = Dataset(tmp_path / "out").coefficients("Eve_1")
    assert made.shape == (20, 52) and np.abs(made - curves(20, 30, 1)).max() < 2e-3
    (folder / "Eve_1.csv").write_text(
        "\n".join(line.partition(",")[2] for line in (folder / "Eve_1.csv").read_text().splitlines())
    )
    assert "no column Timecode" in invoke("preprocess", "livelink", folder, "-o", "no").mistake


def test_beat_rows_lie_at_their_times(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if frames behind a gap come early, or a gap is passed over without a word."""
    write_beat(tmp_path / "beat" / "1", "1_ada_0_1_1", curves(120, 60, 1), 2)
    path = tmp_path / "beat" / "1" / "1_ada_0_1_1.json"
    content = json.loads(path.read_text())
    del content["frames"][40:70]
    path.write_text(json.dumps(content))
    ran = invoke("preprocess", "beat", tmp_path / "beat", "-o", "out")
    assert ran.code == 0 and "gaps between the times of frames, bridged: clips 1, seconds 0.5" in ran.err, ran.err
    made, truth = Dataset(tmp_path / "out").coefficients("1_ada_0_1_1"), curves(120, 60, 1)[::2]
    truth[:, ARKIT_NAMES.index("tongueOut")] = 0
    assert len(made) == 60 and np.abs(made - truth)[np.r_[0:20, 35:60]].max() < 1e-3
    for time, words in ((-1.0, "jumps to"), (99.0, "jumps to"), ("1", "no number as its time"), (10**400, "no number as its")):
        content["frames"][7]["time"] = time
        path.write_text(json.dumps(content))
        assert (
            "frame 7" in (mistake := invoke("preprocess", "beat", tmp_path / "beat", "-o", "no").mistake) and words in mistake
        )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_refused_or_finite(tmp_path: Path, data: st.DataObject) -> None:
    """Breaks if damage ends in a traceback, or in numbers that are not finite."""
    reader, text = data.draw(st.sampled_from(list(small_files().items())))
    raw = bytearray(text)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 9))] = data.draw(
            st.sampled_from([b"", b"nan", b"1e999", b"9" * 5000, b"\0", b"[" * 3000, b'"' * 3, b"-", b",", b":"])
            | st.binary(max_size=5)
        )
    path = tmp_path / "file"
    path.write_bytes(raw)
    with contextlib.suppress(TalkerError), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(reader(path)).all()


@cache
def small_files() -> dict[Callable[[Path], np.ndarray], bytes]:
    """Return readers and a whole file for each."""
    with tempfile.TemporaryDirectory() as folder:
        write_livelink(Path(folder) / "a.csv", curves(40, 30, 1), np.arange(40) / 30, fps=30.0)
        write_beat(Path(folder), "a", curves(6, 60, 1), 1)
        return {
            even_coefficients: (Path(folder) / "a.csv").read_bytes(), read_coefficients: (Path(folder) / "a.json").read_bytes()
        }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(count=st.sampled_from([12, 15, 24, 25, 28, 30, 50, 60]), first=st.integers(0, 5_000_000), lost=st.floats(0, 0.2))
def test_lost_frames_do_not_change_the_count(count: int, first: int, lost: float) -> None:
    """Breaks if frames that were lost make another rate of it: the labels tell the right one, or nothing."""
    kept = np.random.default_rng(first).random(8 * count) >= lost
    codes = [(row + 2, label_of(first + row, count, 0)) for row in np.flatnonzero(kept).tolist()]
    clock = find_clock(parse_labels(Path("a.csv"), codes))
    assert clock is None or clock.count == count


def test_livelink_from_the_command_line(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if takes and their sounds do not find each other, or the clip is not as long as the shorter of the two."""
    at = np.arange(120) / 60
    for number in range(3):
        write_livelink(tmp_path / "t" / f"take{number}" / f"Eve_{number}.csv", curves(120, 60, number), at)
        write_wav(tmp_path / "t" / f"take{number}" / f"Eve_{number}.wav", 1.5, 44_100)
    write_livelink(tmp_path / "t" / "Eve_raw.csv", curves(120, 60, 1), at)  # without a sound
    ran = invoke("preprocess", "livelink", tmp_path / "t", "-o", "out")
    assert ran.code == 0 and "without sound: Eve_raw" in ran.err, ran.err
    dataset = Dataset(tmp_path / "out")
    assert dataset.info.identities == ("Eve",) and dataset.info.licence == "not stated"
    assert sorted(dataset.recordings[clip.name].split for clip in dataset.info.clips) == ["test", "train", "validation"]
    for number in range(3):
        made = dataset.coefficients(f"Eve_{number}")
        assert made.shape == (45, 52) and np.abs(made - curves(120, 60, number)[:90:2]).max() < 1e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("JawOpen", "JawOpened"), "lacks 1 columns (jawOpen)"),
        (lambda text: text[:-300], "the last line has"),
        (lambda text: text.replace("\n11:56:41:", "\n11:56:41,", 1), "line 62 has"),
        (lambda text: text.replace("\n11:56:41:", "\nnoon ", 1), "line 62 has the timecode 'noon"),
        (lambda text: text.replace("\n11:56:41:", "\n09:56:41:", 1), "line 62 jumps by -7199.00 s"),
        (lambda text: text.split("\n")[0] + "\n", "holds no frames"),
        (lambda text: "", "lacks 51 columns"),
    ],
)
def test_broken_livelink(tmp_path: Path, change: object, words: str) -> None:
    """Breaks if a torn or foreign CSV is read as far as it goes."""
    path = tmp_path / "Eve_1.csv"
    write_livelink(path, curves(120, 60, 1), np.arange(120) / 60, start=43_000.0)
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    with pytest.raises(InputError) as caught:
        even_coefficients(path)
    assert words in str(caught.value)


def test_livelink_mistakes_write_nothing(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a number that is none, or nothing at all, becomes a dataset."""
    folder = tmp_path / "t"
    folder.mkdir()
    assert "found 0 .csv files" in invoke("preprocess", "livelink", folder, "-o", "out").mistake
    path = folder / "Eve_1.csv"
    write_livelink(path, curves(120, 60, 1), np.arange(120) / 60)
    assert "none with a recording beside it" in invoke("preprocess", "livelink", folder, "-o", "out").mistake
    write_wav(folder / "Eve_1.wav", 1.0, 16_000)
    lines = path.read_text().splitlines()
    lines[9] = lines[9].replace(lines[9].split(",")[5], "high")
    path.write_text("\n".join(lines))
    assert "line 10, column cheekSquintRight, holds 'high'" in invoke("preprocess", "livelink", folder, "-o", "out").mistake
    lines[9] = lines[9].replace("high", "nan")
    path.write_text("\n".join(lines))
    assert "line 10, column cheekSquintRight, holds 'nan'" in invoke("preprocess", "livelink", folder, "-o", "out").mistake
    assert not (tmp_path / "out").exists()
