"""Curves in other programs' formats, each read back by a reader of its own."""

import csv
import json
import struct
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Command

from talker_cli.avatar.drive import lip_gap, set_drive
from talker_cli.avatar.table import built_in
from talker_cli.export.cues import mouth_cues
from talker_cli.export.formats import write_motion_clip
from talker_cli.export.motion_clip import MotionClip
from talker_cli.export.programs import METAHUMAN, OCULUS, oculus_visemes
from talker_cli.rig import ARKIT_NAMES, Rig

AT = {name: place for place, name in enumerate(ARKIT_NAMES)}


@pytest.fixture
def clip(rig: Rig) -> MotionClip:
    """Two seconds of a mouth at 25 frames a second that opens twice, shuts between, and a head that turns."""
    turning = rig.with_head()
    rows = np.zeros((50, len(turning.names)), np.float32)
    wave = np.clip(np.sin(np.linspace(0, 4 * np.pi, 50)) ** 2, 0, 1)
    for name, size in {"jawOpen": 0.35, "mouthLowerDownLeft": 0.4, "mouthLowerDownRight": 0.4}.items():
        rows[:, turning.names.index(name)] = size * wave
    rows[:, turning.names.index("eyeBlinkLeft")] = np.linspace(0, 1, 50)
    rows[:, -3:] = (0.1, 0.2, 0.3)
    return MotionClip(rows, turning, 25.0, {"identity": "me", "audio": {"path": "/somewhere/a <b>.wav"}})


def arkit(clip: MotionClip) -> np.ndarray:
    return clip.coefficients[:, [clip.rig.names.index(name) for name in ARKIT_NAMES]]


def written(clip: MotionClip, path: Path) -> Path:
    write_motion_clip(clip, path)
    return path


def test_rhubarb(clip: MotionClip, tmp_path: Path) -> None:
    """Breaks if the four formats disagree, leave a gap, or a program would show an open mouth where lips are shut."""
    lines = [line.split("\t") for line in written(clip, tmp_path / "a.tsv").read_text().splitlines()]
    starts, shapes = [float(start) for start, _ in lines], [shape for _, shape in lines]
    assert starts[0] == 0 and starts == sorted(set(starts)) and starts[-1] == 2.0 and shapes[-1] == "X"
    assert set(shapes) <= set("ABCDEFGX") and shapes[0] == "X" and "D" in shapes
    found = json.loads(written(clip, tmp_path / "a.rhubarb.json").read_text())
    assert found["metadata"] == {"soundFile": "a <b>.wav", "duration": 2.0}
    cues = found["mouthCues"]
    assert [(cue["start"], cue["value"]) for cue in cues] == list(zip(starts[:-1], shapes[:-1], strict=True))
    assert [cue["end"] for cue in cues] == [*starts[1:-1], 2.0]
    tree = ET.parse(written(clip, tmp_path / "a.xml")).getroot()
    assert tree.tag == "rhubarbResult" and tree.findtext("metadata/soundFile") == "a <b>.wav"
    assert tree.findtext("metadata/duration") == "2.00"
    listed = [(float(cue.get("start", "")), float(cue.get("end", "")), cue.text) for cue in tree.iter("mouthCue")]
    assert listed == [(cue["start"], cue["end"], cue["value"]) for cue in cues]
    first, *rows = written(clip, tmp_path / "a.dat").read_text().splitlines()
    assert first == "MohoSwitch1" and rows[0] == "1 rest" and rows[-1] == "49 rest"
    names = {"A": "MBP", "B": "etc", "C": "E", "D": "AI", "E": "O", "F": "U", "G": "FV", "X": "rest"}
    expected = {1 + round(24 * cue["start"]): names[cue["value"]] for cue in cues} | {49: "rest"}
    assert {int(row.split()[0]): row.split()[1] for row in rows} == expected


def test_cues_follow_the_lips() -> None:
    """Breaks if closed lips are not A or X, a rest is A, poses are not their own shape, or a shape flickers for one frame."""
    poses = built_in().rhubarb
    motion = np.zeros((90, 52), np.float32)
    for number, (name, pose) in enumerate(poses.items()):
        motion[20 + 8 * number : 28 + 8 * number] = pose
        assert [cue.shape for cue in mouth_cues(np.tile(pose, (9, 1)), 30.0)] == [name], name
    motion[44:47] = 0.0  # lips that close for a tenth of a second
    cues = mouth_cues(motion, 30.0)
    assert cues[0].start == 0 and cues[-1].end == 3.0
    assert all(one.end == other.start and one.shape != other.shape for one, other in pairwise(cues))
    shapes = {round(30 * cue.start): cue.shape for cue in cues}
    assert shapes[0] == "X" and shapes[44] == "A" and shapes[68] == "X"
    flickering = np.tile(poses["D"], (30, 1))
    flickering[15] = poses["F"]
    assert [cue.shape for cue in mouth_cues(flickering, 30.0)] == ["D"]


def test_azure(clip: MotionClip, tmp_path: Path) -> None:
    """Breaks if Azure's players would read other curves, another rate or another roll."""
    found = json.loads(written(clip, tmp_path / "a.azure.json").read_text())
    rows = np.array(found["BlendShapes"])
    assert found["FrameIndex"] == 0 and rows.shape == (120, 55)  # two seconds of 60
    times = np.arange(120) / 60
    motion = arkit(clip)
    for name in ("jawOpen", "eyeBlinkLeft"):
        assert np.abs(rows[:, AT[name]] - np.interp(times, np.arange(50) / 25, motion[:, AT[name]])).max() < 1e-6
    assert np.abs(rows[:, 52] - 0.3).max() < 1e-6 and not rows[:, 53:].any()


def test_talkinghead(clip: MotionClip, tmp_path: Path) -> None:
    """Breaks if a value is reached at another time than its frame's: TalkingHead reaches value k at the sum of dt[0…k]."""
    found = json.loads(written(clip, tmp_path / "a.anim.json").read_text())
    reached = np.cumsum(found["dt"]) / 1000
    assert found["name"] == "me" and np.abs(reached - np.arange(50) / 25).max() < 1e-3
    assert all(len(values) == 50 for values in found["vs"].values())
    assert np.abs(np.array(found["vs"]["jawOpen"]) - arkit(clip)[:, AT["jawOpen"]]).max() < 1e-6
    assert found["vs"]["headRotateX"][0] == 0.1 and found["vs"]["headRotateY"][0] == 0.2 and "tongueOut" not in found["vs"]
    visemes = json.loads(written(replace(clip, visemes=True), tmp_path / "b.anim.json").read_text())
    assert max(visemes["vs"]["viseme_aa"]) > 0.3 and "jawOpen" not in visemes["vs"]


def test_metahuman(clip: MotionClip, tmp_path: Path) -> None:
    """Breaks if a control of MetaHuman's follows another curve, or its name is spelled otherwise than Unreal spells it."""
    with written(clip, tmp_path / "a.metahuman.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    motion = arkit(clip)
    assert len(rows) == 50 and float(rows[10]["time"]) == 0.4
    for control, name in {
        "jawOpen": "jawOpen", "eyeBlinkL": "eyeBlinkLeft", "mouthLowerLipDepressR": "mouthLowerDownRight",
        "mouthFunnelUL": "mouthFunnel", "mouthLipsTogetherDR": "mouthClose", "browRaiseInL": "browInnerUp",
        "eyeLookRightL": "eyeLookInLeft", "jawFwd": "jawForward",
    }.items():  # fmt: skip
        values = np.array([float(row[f"CTRL_expressions_{control}"]) for row in rows])
        assert np.abs(values - motion[:, AT[name]]).max() < 1e-6, control
    assert float(rows[0]["HeadYaw"]) == 0.2 and float(rows[0]["HeadPitch"]) == 0.1 and float(rows[0]["HeadRoll"]) == 0.3
    found = json.loads(written(clip, tmp_path / "a.metahuman.json").read_text())
    assert found["fps"] == 25 and found["names"] == list(rows[0])[1:] and len(found["frames"]) == 50
    # Every shape of ARKit's has its control, each control one shape.
    controls = set_drive(METAHUMAN, built_in()).controls
    assert {name for control in controls for name in control.meaning.weights} == set(ARKIT_NAMES)
    assert all(len(control.meaning.weights) == 1 for control in controls)


def test_oculus_visemes(clip: MotionClip, tmp_path: Path) -> None:
    """Breaks if the fifteen have other names, do not sum to one at rest, or open the mouth elsewhere than the curves do."""
    names, weights = oculus_visemes(arkit(clip))
    assert names == tuple(f"viseme_{name}" for name in "sil PP FF TH DD kk CH SS nn RR aa E I O U".split())
    assert (weights >= 0).all() and (weights <= 1).all() and weights[0, 0] > 0.99 and weights[6, 0] < 0.5
    looks = np.array([[control.meaning.weights.get(name, 0.0) for name in ARKIT_NAMES]
                      for control in set_drive(OCULUS, built_in()).controls])  # fmt: skip
    assert np.abs(lip_gap(weights @ looks) - lip_gap(arkit(clip))).max() < 0.001
    spoken = replace(clip, visemes=True)
    with written(spoken, tmp_path / "a.csv").open() as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["time", *names] and np.abs(np.array(rows[1:], float)[:, 1:] - weights).max() < 1e-6
    found = json.loads(written(spoken, tmp_path / "a.json").read_text())
    assert found["names"] == list(names) and np.abs(np.array(found["frames"]) - weights).max() < 1e-6


def test_usdz_is_stored_and_aligned(clip: MotionClip, tmp_path: Path) -> None:
    """Breaks if QuickLook refuses the package: compressed, not aligned, the layer not first, or the sound not in it."""
    soundfile.write(tmp_path / "speech.wav", np.zeros(3200, np.float32), 16_000)
    sounding = replace(clip, audio=tmp_path / "speech.wav")
    place = written(sounding, tmp_path / "a.usdz")
    plain = written(sounding, tmp_path / "a.usda").read_text()
    data = place.read_bytes()
    with zipfile.ZipFile(place) as package:
        assert package.namelist() == ["speech.usda", "sound.wav"] and package.testzip() is None
        for entry in package.infolist():
            name, extra = struct.unpack_from("<HH", data, entry.header_offset + 26)
            start = entry.header_offset + 30 + name + extra
            assert entry.compress_type == zipfile.ZIP_STORED and start % 64 == 0
            assert data[start : start + entry.file_size] == package.read(entry)
        layer = package.read("speech.usda").decode()
        assert package.read("sound.wav") == (tmp_path / "speech.wav").read_bytes()
    assert layer == plain.replace("@@@speech.wav@@@", "@@@sound.wav@@@") != plain
    write_motion_clip(clip, tmp_path / "silent.usdz")
    with zipfile.ZipFile(tmp_path / "silent.usdz") as package:
        assert package.namelist() == ["speech.usda"] and b"Sound" not in package.read("speech.usda")


def test_visemes_where_nothing_holds_them(invoke: Command, motion: Path) -> None:
    """Breaks if an option does nothing."""
    assert "no output that holds them" in invoke("export", motion, "--visemes", "oculus", "-o", "a.glb").mistake
    assert invoke("export", motion, "--visemes", "oculus", "-o", "a.csv", "-o", "a.tsv").code == 0
