"""Motion beside the recordings: it is read in either form, and the style that made it is found again."""

from pathlib import Path

import numpy as np
import pytest
from conftest import IDENTITY, Talker
from test_enroll import SPEECH, make_model, write

from talker_cli.animate.animator import load_animator
from talker_cli.enroll.fit import MOST_FRAMES, MotionExample, _split, _trimmed
from talker_cli.enroll.motion import read_coefficients
from talker_cli.errors import InputError
from talker_cli.export.livelink import write_csv
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.audio import load_speech
from talker_cli.formats.motion import write_motion
from talker_cli.identity.file import load_identity
from talker_cli.rig import Rig, RigFile


def curves(frames: int) -> np.ndarray:
    """Return (T, 52) smooth curves of a jaw, a smile and a blink."""
    from talker_cli.rig import ARKIT_NAMES

    result = np.zeros((frames, 52), np.float32)
    for name, speed in (("jawOpen", 0.3), ("mouthSmileLeft", 0.1), ("eyeBlinkRight", 0.2)):
        result[:, ARKIT_NAMES.index(name)] = 0.3 + 0.3 * np.sin(speed * np.arange(frames))
    return result


@pytest.mark.parametrize("form", ["csv", "npy", "bare"])
def test_motion_is_read_as_it_was(rig: Rig, tmp_path: Path, form: str) -> None:
    """Breaks if the curves of a capture are shifted, mixed up or scaled before a style is fitted to them."""
    truth = curves(90)
    path = tmp_path / ("take.csv" if form == "csv" else "take.npy")
    if form == "csv":
        write_csv(MotionClip(truth, rig, 30.0), path)
    elif form == "npy":
        write_motion(path, rig.decode(truth), truth, {"fps": 30.0})
    else:  # twice as fast, and nothing says so
        np.save(path, rig.decode(np.repeat(truth, 2, axis=0)))
    read = read_coefficients(path, 3.0, rig, rig)
    assert abs(len(read) - 90) <= 1
    assert np.abs(read[:89] - truth[:89]).max() < 2e-2
    if form == "bare":
        with pytest.raises(InputError, match="a camera's rate"):
            read_coefficients(path, 4.2, rig, rig)
        with pytest.raises(InputError, match="--template"):
            read_coefficients(path, 3.0, rig, None)
        with pytest.raises(InputError, match="expected the template's"):
            read_coefficients(
                path, 3.0, rig, Rig(rig.template[:9], rig.faces, rig.basis[:, :9], rig.names, {}, rig.lip_pairs, 30.0)
            )


def test_the_style_is_found_again(invoke: Talker, head: RigFile, tmp_path: Path) -> None:
    """Breaks if fitting to the motion of a known style does not come closer to it on motion that it did not see."""
    model = make_model(tmp_path / "model", head, 7)
    rest = ("--model", model, "--library", tmp_path / "library", "--device", "cpu")
    sound = load_speech(SPEECH)
    for name, part in (("one", sound[:60_000]), ("two", sound[60_000:120_000])):
        path = write(tmp_path / "clips" / f"{name}.wav", part)
        # From the noise that fitting starts from too: what is left of the error is the style's.
        motion = load_animator(model, "8", "cpu").coefficients(load_speech(path), IDENTITY, seed=0)
        write_csv(MotionClip(motion, head.rig, head.rig.fps), path.with_suffix(".csv"))
    ran = invoke("enroll", tmp_path / "clips", "--name", "anna", *rest)
    assert ran.code == 0 and "fitted to motion" in ran.err, ran.err
    person = load_identity(tmp_path / "library" / "anna.safetensors")
    fit = person.record["fit"]
    assert fit["after"] < 0.7 * fit["before"]
    assert fit["seconds"] == pytest.approx(3 * fit["held_out"], rel=0.02)

    (tmp_path / "clips" / "two.csv").write_text("Timecode,jawOpen\n")
    ran = invoke("enroll", tmp_path / "clips", "--name", "anna", "--replace", *rest)
    assert ran.code == 0 and "motion not used" in ran.err and "two.csv" in ran.err


def test_a_quarter_of_all_frames_is_held_out() -> None:
    """Breaks if one long take is held out whole and hardly anything is left to learn from, or a frame is lost or seen twice."""
    for lengths in ((300, 3000), (3000, 300), (900, 900), (400,), (30, 30, 30, 30, 30), (125, 40), (20, 9, 9), (3, 7), (16,)):
        motion = np.arange(sum(lengths), dtype=np.float32)[:, None]
        parts = np.split(motion, np.cumsum(lengths)[:-1])
        takes = [
            MotionExample(str(place), np.zeros(len(part) * 16_000 // 30, np.float32), part) for place, part in enumerate(parts)
        ]
        learned, held = _split(takes, 30.0)
        frames = [sum(len(take.coefficients) for take in some) for some in (learned, held)]
        assert abs(frames[1] - sum(lengths) / 4) < 15 and min(frames) > 0
        if min(lengths) >= 15 and sum(lengths) >= 60:
            assert min(len(take.coefficients) for take in (*learned, *held)) >= 15
        assert sorted(np.concatenate([take.coefficients for take in (*learned, *held)])[:, 0]) == sorted(motion[:, 0])
        for take in (*learned, *held):
            assert abs(len(take.sound) - len(take.coefficients) * 16_000 / 30) <= 534  # a frame


def test_an_hour_of_motion_is_cut() -> None:
    """Breaks if one long take goes through the network whole: its activations would fill the memory."""
    sound, coefficients = np.zeros(MOST_FRAMES * 2 * 16_000 // 30, np.float32), np.zeros((MOST_FRAMES * 2, 1), np.float32)
    cut = _trimmed(MotionExample("long", sound, coefficients), 30.0)
    assert len(cut.coefficients) == MOST_FRAMES and len(cut.sound) == MOST_FRAMES * 16_000 // 30
