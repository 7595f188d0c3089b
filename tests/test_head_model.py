"""A model whose data turn their heads: losses, training, animation, its options, evaluation; and models that keep still."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Command
from scipy.spatial.transform import Rotation
from tiny import SMALL, tiny_dataset

from talker_cli.animate.animator import load_animator
from talker_cli.animate.live import JsonLines, LiveMotion, SpeechPipe, run_live
from talker_cli.animate.postprocess import UPPER_FACE, column_factors, scaled
from talker_cli.corpus.articulate.eyes import NAMES as EYES
from talker_cli.corpus.articulate.eyes import WIDE
from talker_cli.data.beat import open_beat
from talker_cli.data.bvh import read_head
from talker_cli.data.coefficients import prepare_coefficients
from talker_cli.data.dataset import Dataset
from talker_cli.data.livelink import open_livelink
from talker_cli.errors import InputError
from talker_cli.export.formats import write_motion_clip
from talker_cli.export.motion_clip import MotionClip
from talker_cli.identity.resolve import StyleCondition, style_space
from talker_cli.model.built_in import built_in_head
from talker_cli.rig import ARKIT_NAMES, HEAD_NAMES, head_angles

NAMES = (*ARKIT_NAMES, *HEAD_NAMES)
MOUTH = {name for name in ARKIT_NAMES if name.startswith(("jaw", "mouth", "tongue")) or name == "cheekPuff"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("head") / "prepared", head=True)


def test_the_head_is_scaled_alone() -> None:
    """Breaks if a still head moves the face, or a size beyond the range is taken."""
    assert column_factors(NAMES) is None and column_factors(ARKIT_NAMES, head=0) is None
    for amount in (0.0, 0.5, 2.0):
        assert column_factors(NAMES, head=amount).tolist() == [1.0] * 52 + [amount] * 3
    for names, amount, words in ((NAMES, 2.1, "found 2.1; expected 0"), (ARKIT_NAMES, 0.5, "keeps still")):
        with pytest.raises(InputError, match=words):
            column_factors(names, head=amount)


def test_one_part_moves_alone() -> None:
    """Breaks if the mouth alone blinks or nods, the rest alone speaks, or the two are not the whole."""
    motion = np.random.default_rng(0).uniform(-1, 1, (9, 55)).astype(np.float32)
    mouth, upper = (scaled(motion, column_factors(NAMES, only=part)) for part in ("mouth", "upper"))
    assert {name for name, column in zip(NAMES, mouth.T, strict=True) if column.any()} == MOUTH
    assert (mouth + upper == motion).all() and not (mouth * upper).any() and upper[:, 52:].all()
    assert not np.signbit(mouth[mouth == 0]).any()
    factors = column_factors(NAMES, expression=0.5, head=2.0, only="upper")
    assert dict(zip(NAMES, factors.tolist(), strict=True)) == {
        name: 0.0 if name in MOUTH else 2.0 if name in HEAD_NAMES else 0.5 if name.startswith(UPPER_FACE) else 1.0
        for name in NAMES
    }
    for names, part in ((NAMES, "nose"), (("pca_000",), "mouth")):
        with pytest.raises(InputError, match="expected"):
            column_factors(names, only=part)


@pytest.mark.slow
def test_a_model_learns_to_nod_and_says_so_in_its_files(dataset: Path, invoke: Command, tmp_path: Path) -> None:
    """Breaks if the head is lost between corpus and mesh, `--head 0` is not today's mesh, or metrics see the head."""
    train = ("train", dataset, "-o", "model", *SMALL, "--steps", 60, "--learning-rate", "0.01")
    assert invoke(*train).code == 0
    assert "52 components, and the head's rotation" in invoke("data", "info", dataset).out
    data = Dataset(dataset)
    soundfile.write(tmp_path / "tone.wav", data.speech("tone15"), 16_000)
    made = {}
    for name, options in {"whole": (), "still": ("--head", 0), "double": ("--head", 2), "mouth": ("--only", "mouth")}.items():
        ran = invoke(
            "animate", "tone.wav", "--model", "model", "--identity", "Ada", "--steps", 4, "-o", f"{name}.npy", *options
        )
        assert ran.code == 0, ran.err
        made[name] = np.load(tmp_path / f"{name}.coefficients.npy")
        about = json.loads((tmp_path / f"{name}.json").read_text())
        assert about["head"] is True and made[name].shape[1] == 55
    whole = made["whole"]
    rig = data.rig.rig_of("Ada")
    assert np.abs(whole[:, 52:]).max() > 0.02 and (np.load(tmp_path / "whole.npy") == rig.decode(whole)).all()
    own = [place for place, name in enumerate(ARKIT_NAMES) if name not in (*EYES, *WIDE)]  # the eyes turn against the head
    assert (made["still"][:, own] == whole[:, own]).all() and not made["still"][:, 52:].any()
    assert (np.load(tmp_path / "still.npy") == rig.face.decode(made["still"][:, :52])).all()
    assert (made["double"][:, own] == whole[:, own]).all() and (made["double"][:, 52:] == 2 * whole[:, 52:]).all()
    assert np.abs(made["double"] - whole)[:, ARKIT_NAMES.index("eyeLookUpLeft")].max() > 0.01
    assert not made["mouth"][:, [place for place, name in enumerate(NAMES) if name not in MOUTH]].any()
    assert whole[:, :52].min() >= 0 and whole[:, :52].max() <= 1

    animator = load_animator(tmp_path / "model", "4", "cpu")
    lines = {}
    for amount in (1.0, 0.0):
        read, write = os.pipe()
        with os.fdopen(write, "wb") as pipe:
            pipe.write((32767 * data.speech("tone15")).astype("<i2").tobytes()[:48_000])  # less than a pipe holds
        stream, factors = io.StringIO(), column_factors(NAMES, head=amount)
        with os.fdopen(read) as sound:
            average = StyleCondition(style_space(tmp_path / "model" / "teacher.safetensors").average)
            motion = LiveMotion(animator, average, look_ahead=9, seed=0, factors=factors)
            run_live(motion, 30.0, SpeechPipe(sound.fileno()), JsonLines(stream, NAMES, 30.0, {}), lambda seconds: None)
        lines[amount] = np.array([json.loads(line)["coefficients"] for line in stream.getvalue().splitlines()[1:]])
    assert np.abs(lines[1.0][:, 52:]).max() > 0.02 and not lines[0.0][:, 52:].any()
    assert (lines[1.0][:, :52] == lines[0.0][:, :52]).all()

    # Measured with the head at rest: a dataset without the head gives the same errors.
    still = tiny_dataset(tmp_path / "still", head=False)
    rows = []
    for folder in (dataset, still):
        ran = invoke("evaluate", "model", folder, "--split", "test", "--systems", "truth,mean,teacher-4", "--json")
        assert ran.code == 0, ran.err
        rows.append(json.loads(ran.out)["scores"])
    assert rows[0] == rows[1]
    assert "55" in invoke("distill", "model", still, "--stage-steps", 1, "--device", "cpu").mistake

    export = invoke("export", "whole.npy", "-o", "whole.csv", "-o", "whole.glb")
    assert export.code == 0, export.err
    header, first = (tmp_path / "whole.csv").read_text().splitlines()[:2]
    pitch = float(dict(zip(header.split(","), first.split(","), strict=True))["HeadPitch"])
    assert pitch == pytest.approx(whole[0, 52], abs=1e-5)


def test_a_still_model_takes_a_still_head_alone(model: Path, wav: Path, invoke: Command) -> None:
    """Breaks if a size of the head is silently of no effect, or a still head is refused by a model that has none."""
    ran = invoke("animate", wav, "--model", model, "--device", "cpu", "--head", "0", "--only", "mouth", "-o", "a.npy")
    assert ran.code == 0, ran.err
    assert "keeps still" in invoke("animate", wav, "--model", model, "--device", "cpu", "--head", "0.5").mistake


def test_a_still_head_and_a_turning_one_are_told_apart(dataset: Path) -> None:
    """Breaks if a model of 52 coefficients is trained on with 55, or evaluation refuses it."""
    data = Dataset(dataset)
    still = data.rig.rig.face
    data.check_model(still.names, 30.0, still.basis, head=False)
    with pytest.raises(InputError, match="52 coefficients"):
        data.check_model(still.names, 30.0, still.basis)
    with pytest.raises(InputError):
        data.check_model(replace(still, names=("pca_000",)).names, 30.0, still.basis, head=False)


BVH = """HIERARCHY
ROOT Hips
{{
  OFFSET 0 90 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Neck
  {{
    OFFSET 0 50 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT Head
    {{
      OFFSET 0 10 0
      CHANNELS 3 Yrotation Xrotation Zrotation
      End Site
      {{
        OFFSET 0 10 0
      }}
    }}
  }}
}}
MOTION
Frames: {count}
Frame Time: 0.0083333
{rows}
"""


def bvh(path: Path, count: int) -> np.ndarray:
    """Write a head and a neck that turn at 120 frames a second on hips that turn too; return the head's angles (T, 3)."""
    instant = np.arange(count) / 120
    neck = np.stack([0 * instant, 5 * np.sin(3 * instant), 0 * instant], 1)  # z, x, y
    head = np.stack([9 * np.cos(2 * instant), 7 * np.sin(3 * instant), 4 * np.sin(5 * instant)], 1)  # y, x, z
    hips = np.stack([0 * instant, 0 * instant, 0 * instant, 30 * instant, 5 + instant, 9 * instant], 1)
    rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in np.concatenate([hips, neck, head], 1))
    path.write_text(BVH.format(count=count, rows=rows))
    both = Rotation.from_euler("X", neck[:, 1:2], degrees=True) * Rotation.from_euler("YXZ", head, degrees=True)
    return head_angles(both.as_matrix())


def test_the_heads_of_bvh_come_back(tmp_path: Path) -> None:
    """Breaks if the body turns the head, an axis or an order is swapped, or a damaged file is taken."""
    expected = bvh(tmp_path / "a.bvh", 240)
    times, angles = read_head(tmp_path / "a.bvh")
    assert np.allclose(times, np.arange(240) / 120, atol=1e-4) and np.allclose(angles, expected, atol=1e-6)
    assert np.degrees(np.ptp(angles, axis=0)) == pytest.approx([24, 17, 8], abs=3)
    whole = (tmp_path / "a.bvh").read_text()
    damages = (whole[:-40], whole.replace("JOINT Head", "JOINT Hat").replace("JOINT Neck", "JOINT Belt"), "HIERARCHY",
               whole.replace("Frame Time: 0.0083333", "Frame Time: 0"), whole.replace("5.000000", "nan"))  # fmt: skip
    for text in damages:
        (tmp_path / "b.bvh").write_text(text)
        with pytest.raises(InputError, match=r"b\.bvh"):
            read_head(tmp_path / "b.bvh")


def test_beat_and_live_link_turn_the_head(tmp_path: Path) -> None:
    """Breaks if a dataset loses the head of its clips, has one that keeps still, or gives a clip without one a still head."""
    sound = np.zeros(2 * 16_000, np.float32)
    weights = {"names": list(ARKIT_NAMES[:51]), "frames": [{"weights": [0.1] * 51, "time": place / 60} for place in range(120)]}
    for name in ("1_wayne_0_1_1", "1_wayne_0_2_2"):
        soundfile.write(tmp_path / f"{name}.wav", sound, 16_000)
        (tmp_path / f"{name}.json").write_text(json.dumps(weights))
        angles = bvh(tmp_path / f"{name}.bvh", 240)
    source = open_beat(tmp_path, source_fps=None, table=None, identity=None)
    rows = source.sequences[0].motion(np.arange(120))
    assert source.head and np.abs(rows[:, 52:] - angles[::2]).max() < 1e-3
    (tmp_path / f"{name}.bvh").unlink()
    source = open_beat(tmp_path, source_fps=None, table=None, identity=None)
    assert not source.head and source.sequences[0].motion(np.arange(9)).shape == (9, 52)

    phone = tmp_path / "phone"
    phone.mkdir()
    motion = np.zeros((150, 55), np.float32)
    motion[:, 52:] = 0.1 * np.sin(np.arange(150) / 20)[:, None] * [1, -1, 0.5] + [0.3, 0, 0]
    soundfile.write(phone / "Ada_1.wav", sound, 16_000)
    turning = built_in_head().with_head()
    write_motion_clip(MotionClip(motion, turning.rig, 60.0), phone / "Ada_1.csv")
    source = open_livelink(phone, source_fps=60.0, table=None, identity=None, licence=None)
    assert source.head
    prepare_coefficients(source, built_in_head(), tmp_path / "out", on_progress=lambda stage, done, total: None)
    data = Dataset(tmp_path / "out")
    assert data.rig.rig.names == NAMES
    found = data.coefficients(data.info.clips[0].name)
    assert np.abs(found[:, 52:] - (motion - motion.mean(0))[: 2 * len(found) : 2, 52:]).max() < 1e-3
    write_motion_clip(MotionClip(motion[:, :52], built_in_head().rig, 60.0), phone / "Ada_1.csv")
    assert not open_livelink(phone, source_fps=60.0, table=None, identity=None, licence=None).head
