"""ARKit curves of BEAT and of Live Link Face: columns by name, rows by their time."""

import json
from pathlib import Path

import numpy as np
import pytest
from captured import write_wav
from conftest import Talker

from talker_cli.data.dataset import Dataset
from talker_cli.data.livelink import even_curves
from talker_cli.errors import InputError
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
        (lambda content: content["frames"][7]["weights"].__setitem__(3, "x"), "frame 7 holds something else than numbers"),
        (
            lambda content: content["frames"][8]["weights"].__setitem__(3, float("nan")),
            "holds NaN or infinity, first in frame 8",
        ),
        (lambda content: content["frames"][8]["weights"].__setitem__(3, 75.0), "at 75; expected curves from 0 to 1"),
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
    assert "not readable JSON" in invoke("preprocess", "beat", tmp_path / "beat", "-o", "out").mistake
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
    even = even_curves(tmp_path / "a.csv")
    assert len(even) == int(at[-1] * 60 + 1e-6) + 1
    exact = curves(len(even), 60.0, 5)
    assert np.abs(even - exact).max() < (0.15 if fps < 60 else 0.06)
    assert np.sqrt(np.square(even - exact).mean()) < (0.03 if fps < 60 else 0.01)
    every = even_curves(tmp_path / "a.csv", source_fps=fps)
    assert (every == even).all()


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
        (lambda text: text.replace("\n11:56:41:", "\n09:56:41:", 1), "line 62 jumps from"),
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
        even_curves(path)
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
    assert "line 10 holds 'high'" in invoke("preprocess", "livelink", folder, "-o", "out").mistake
    lines[9] = lines[9].replace("high", "nan")
    path.write_text("\n".join(lines))
    assert "holds NaN" in invoke("preprocess", "livelink", folder, "-o", "out").mistake
    assert not (tmp_path / "out").exists()
