"""Motion beside the recordings: both forms are read, and a style is fitted to it."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import IDENTITY, Talker
from test_enroll import SPEECH, make_model, write

from talker_cli.animate.animator import load_animator
from talker_cli.enroll.enroller import fit_record
from talker_cli.enroll.fit import MAX_FRAMES, Fit, _split, _trimmed, fit
from talker_cli.enroll.motion import MotionExample, read_coefficients
from talker_cli.errors import InputError
from talker_cli.export.livelink import write_csv
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.audio import load_speech
from talker_cli.formats.motion import write_motion
from talker_cli.identity.file import load_identity
from talker_cli.identity.resolve import StyleCondition, style_space
from talker_cli.model.folder import main_weights
from talker_cli.rig import ARKIT_NAMES, Rig, RigFile


def smooth(frames: int) -> np.ndarray:
    """Return (T, 52) smooth coefficients of a jaw, a smile and a blink."""
    result = np.zeros((frames, 52), np.float32)
    for name, speed in (("jawOpen", 0.3), ("mouthSmileLeft", 0.1), ("eyeBlinkRight", 0.2)):
        result[:, ARKIT_NAMES.index(name)] = 0.3 + 0.3 * np.sin(speed * np.arange(frames))
    return result


@pytest.mark.parametrize("form", ["csv", "npy", "bare"])
def test_motion_is_read_as_it_was(rig: Rig, tmp_path: Path, form: str) -> None:
    """Breaks if the coefficients of a capture are shifted, mixed up or scaled before a style is fitted to them."""
    truth = smooth(90)
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
        with pytest.raises(InputError, match="a camera's rate") as caught:
            read_coefficients(path, 4.2, rig, rig)
        assert caught.value.field == "source_fps"
        assert len(read_coefficients(path, 4.2, rig, rig, source_fps=60.0)) == 90
        with pytest.raises(InputError, match="its neutral face") as caught:
            read_coefficients(path, 3.0, rig, None)
        assert caught.value.field == "template"
        with pytest.raises(InputError, match="expected the template's"):
            read_coefficients(
                path, 3.0, rig, Rig(rig.template[:9], rig.faces, rig.basis[:, :9], rig.names, {}, rig.lip_pairs, 30.0)
            )


@pytest.mark.parametrize("fps", [float("nan"), 0, -30, True, "60", [30], 1e300])
def test_a_sidecar_with_another_frame_rate_is_refused(rig: Rig, tmp_path: Path, fps: object) -> None:
    """Breaks if motion is stretched by whatever a sidecar holds, or ends in a traceback."""
    path = tmp_path / "take.npy"
    np.save(path, rig.decode(smooth(40)))
    path.with_suffix(".json").write_text(json.dumps({"fps": fps}))
    with pytest.raises(InputError, match=r"fps"):
        read_coefficients(path, 40 / 30, rig, rig)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", ["csv", "npy"])
def test_motion_that_is_not_finite_is_refused_at_the_reader(rig: Rig, tmp_path: Path, form: str, bad: float) -> None:
    """Breaks if one NaN cell goes into the fit, where it silently voids it."""
    truth = smooth(45)
    path = tmp_path / f"take.{form}"
    if form == "csv":
        write_csv(MotionClip(truth, rig, 30.0), path)
        lines = path.read_text().splitlines()
        cells = lines[21].split(",")
        cells[10] = str(bad)
        path.write_text("\n".join([*lines[:21], ",".join(cells), *lines[22:]]))
    else:
        vertices = rig.decode(truth)
        vertices[20, 7, 1] = bad
        np.save(path, vertices)
    with pytest.raises(InputError, match=r"take\.(csv|npy)"):
        read_coefficients(path, 1.5, rig, rig)


def test_a_loss_that_is_not_finite_stops_the_fit(head: RigFile, tmp_path: Path) -> None:
    """Breaks if a fit to broken numbers ends as if it had found nothing better."""
    model = make_model(tmp_path / "model", head, 7)
    animator = load_animator(model, "8", "cpu")
    coefficients = smooth(60)
    coefficients[:, 3] = np.nan
    example = MotionExample("one.wav", load_speech(SPEECH)[:32_000], coefficients)
    with pytest.raises(InputError, match=r"motion of one\.wav is not finite at step 0"):
        fit(animator, head.rig, np.full(8, 1.0, np.float32), [example])


@pytest.mark.slow
def test_fitting_comes_nearer_to_a_known_style(invoke: Talker, head: RigFile, tmp_path: Path) -> None:
    """Breaks if fitting to the motion of a known style does not come closer to it on motion that it did not see."""
    model = make_model(tmp_path / "model", head, 7)
    rest = ("--model", model, "--library", tmp_path / "library", "--device", "cpu")
    sound = load_speech(SPEECH)
    for name, part in (("one", sound[:84_000]), ("two", sound[84_000:])):
        path = write(tmp_path / "clips" / f"{name}.wav", part)
        # From the noise that fitting starts from too: what is left of the error is the style's.
        motion = load_animator(model, "8", "cpu").coefficients(load_speech(path), IDENTITY, seed=0)
        write_csv(MotionClip(motion, head.rig, head.rig.fps), path.with_suffix(".csv"))
    ran = invoke("enroll", tmp_path / "clips", "--name", "anna", *rest)
    assert ran.code == 0 and "fitted to motion" in ran.err, ran.err
    person = load_identity(tmp_path / "library" / "anna.safetensors")
    fitted = person.record["fit"]
    assert fitted["after"] < 0.7 * fitted["before"] and fitted["unseen"]
    assert fitted["seconds"] == pytest.approx(3 * fitted["held_out"], rel=0.05)  # 60 %, 20 % choose, 20 % are measured on

    (tmp_path / "clips" / "two.csv").write_text("Timecode,jawOpen\n")
    ran = invoke("enroll", tmp_path / "clips", "--name", "anna", "--replace", *rest)
    assert ran.code == 0 and "motion not used" in ran.err and "two.csv" in ran.err


@pytest.mark.slow
def test_a_known_style_is_found_and_an_offset_never_parts_the_lips(head: RigFile, tmp_path: Path) -> None:
    """Breaks if a fit misses the style that the model knows already, or holds a mouth open that the model closes."""
    folder = make_model(tmp_path / "model", head, 7)
    animator, space = load_animator(folder, "8", "cpu"), style_space(main_weights(folder))
    sound = load_speech(SPEECH)[:128_000]
    moved = animator.coefficients(sound, IDENTITY, seed=0)
    smiling, opened = moved.copy(), moved.copy()
    smile = [ARKIT_NAMES.index(f"mouthSmile{side}") for side in ("Left", "Right")]
    smiling[:, smile] += 0.5
    opened[:, ARKIT_NAMES.index("jawOpen")] += 0.5
    own = space.table[space.names.index(IDENTITY)]
    fits = {}
    for name, motion in (("same", moved), ("smiling", smiling), ("opened", opened)):
        fits[name] = fit(animator, head.rig, -own, [MotionExample(name, sound, motion)], tuple(space.table))
    far = fit(animator, head.rig, -own, [MotionExample("same", sound, moved)])
    assert fits["same"].before == far.before and fits["same"].after < 0.7 * far.after
    offset = fits["smiling"].condition.offset
    assert offset is not None and offset[smile] == pytest.approx([0.5, 0.5], abs=0.1)
    parting = np.abs(head.rig.lip_gap_rows()).max(0) > 1e-3
    assert parting[ARKIT_NAMES.index("jawOpen")] and not parting[smile].any()
    for found in (offset, fits["opened"].condition.offset):
        assert found is None or not found[parting].any()


@pytest.mark.slow
def test_frame_rates_are_asked_for(invoke: Talker, head: RigFile, tmp_path: Path) -> None:
    """Breaks if motion of an unknown frame rate is stretched without a word, or the rate that is given is forgotten."""
    model = make_model(tmp_path / "model", head, 7)
    rest = ("--model", model, "--library", tmp_path / "library", "--device", "cpu", "--template", "me.obj")
    vertices, faces = head.rig.template, head.rig.faces + 1
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices] + [f"f {a} {b} {c}" for a, b, c in faces]
    (tmp_path / "me.obj").write_text("\n".join(lines))
    write(tmp_path / "clips" / "one.wav", load_speech(SPEECH)[:48_000])
    np.save(tmp_path / "clips" / "one.npy", head.rig.decode(smooth(60)))  # 20 frames a second: no camera's
    line = invoke("enroll", "clips", "--name", "anna", *rest).mistake
    assert "one.npy has 60 frames for 3.0 s of sound" in line and line.endswith("(--source-fps)")
    ran = invoke("enroll", "clips", "--name", "anna", "--source-fps", 20, *rest)
    assert ran.code == 0 and "fitted to motion" in ran.err, ran.err
    record = load_identity(tmp_path / "library" / "anna.safetensors").record
    assert record["source_fps"] == 20.0 and not record["fit"]["unseen"]
    ran = invoke("identities", "refit", "anna", *rest[:-2])
    assert ran.code == 0 and "fitted to motion" in ran.err, ran.err


def test_learning_choosing_and_testing_share_no_frame() -> None:
    """Breaks if the error is measured on frames that chose, one long example is held out whole, or a frame is lost."""
    for lengths in ((300, 3000), (3000, 300), (900, 900), (400,), (30, 30, 30, 30, 30), (125, 40), (20, 9, 9), (3, 7), (16,)):
        motion, total = np.arange(sum(lengths), dtype=np.float32)[:, None], sum(lengths)
        examples = [
            MotionExample(str(place), np.zeros(len(part) * 16_000 // 30, np.float32), part)
            for place, part in enumerate(np.split(motion, np.cumsum(lengths)[:-1]))
        ]
        parts = _split(examples, 30.0)
        frames = [sum(len(example.coefficients) for example in part) for part in parts]
        assert (frames[2] > 0) == (total >= 300) and min(frames[:2]) > 0
        assert abs(frames[2] - (total / 5 if total >= 300 else 0)) < 15
        assert abs(frames[1] - (total - frames[2]) / 4) < 15
        every = [example for part in parts for example in part]
        if min(lengths) >= 15 and total >= 60:
            assert min(len(example.coefficients) for example in every) >= 15
        assert sorted(np.concatenate([example.coefficients for example in every])[:, 0]) == sorted(motion[:, 0])
        for example in every:
            assert abs(len(example.sound) - len(example.coefficients) * 16_000 / 30) <= 534  # a frame


def test_a_fit_says_which_motion_its_errors_are_of() -> None:
    """Breaks if the error on frames that chose the style passes for one on unseen frames."""
    condition = StyleCondition(np.zeros(8, np.float32))
    unseen = fit_record(Fit(condition, 2e-5, 1e-5, 30.0, 10.0, unseen=True, steps=40, fitted=True)).summary
    assert "lips 4.47 mm off with the style of the voice, 3.16 mm fitted (29 % less), on 10.0 s of unseen motion" in unseen
    chose = fit_record(Fit(condition, 2e-5, 2e-5, 6.0, 2.0, unseen=False, steps=0, fitted=False)).summary
    assert "on 2.0 s of the motion that chose the style" in chose and chose.endswith("kept the style of the voice")


def test_an_hour_of_motion_is_cut() -> None:
    """Breaks if one long example goes through the network whole: its activations would fill the memory."""
    sound, coefficients = np.zeros(MAX_FRAMES * 2 * 16_000 // 30, np.float32), np.zeros((MAX_FRAMES * 2, 1), np.float32)
    cut = _trimmed(MotionExample("long", sound, coefficients), 30.0)
    assert len(cut.coefficients) == MAX_FRAMES and len(cut.sound) == MAX_FRAMES * 16_000 // 30
