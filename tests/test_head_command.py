"""`talker head`: one's own head as a file, the lists, the contact sheet of regions, and mistakes in one line."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import Talker
from head_sheets import VISEMES, posed, write_regions
from PIL import Image

from talker_cli.head import PEOPLE, build_head
from talker_cli.head.shape import parameters
from talker_cli.rig import ARKIT_NAMES, load_rig


@pytest.mark.slow
def test_ones_own_head(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a shape parameter does nothing, moves the topology, or comes out differently by format."""
    wide = ("head", "--person", "mei", "--shape", "nose_width=2", "--shape", "age=0.6")
    for suffix in (".npz", ".safetensors"):
        ran = invoke(*wide, "-o", f"mine{suffix}")
        assert (ran.code, ran.out) == (0, f"mine{suffix}\n"), ran.err
    arrays, rig = np.load(tmp_path / "mine.npz"), load_rig(tmp_path / "mine.safetensors").rig
    plain = build_head([person for person in PEOPLE if person.name == "mei"])
    assert tuple(arrays["names"]) == ARKIT_NAMES == rig.names
    assert (arrays["faces"] == plain.rig.faces).all() and (arrays["basis"] == plain.rig.basis).all()
    assert (arrays["template"] == rig.template).all() and (arrays["colors"] == rig.colors).all()
    moved = np.abs(rig.template - plain.identities["mei"].template).max(1)
    assert 1e-3 < moved.max() < 8e-3 and moved[rig.regions["eyes"]].max() < 1e-6


@pytest.mark.slow
def test_a_little_of_a_shape_changes_little(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if who asks for a shape of the template gets another haircut and other paint with it; or if .NPZ is no .npz."""
    assert invoke("head", "-o", "plain.NPZ").code == 0
    assert invoke("head", "--shape", "age=0.001", "-o", "older.npz").code == 0
    plain, older = np.load(tmp_path / "plain.NPZ"), np.load(tmp_path / "older.npz")
    assert 0 < np.abs(plain["template"] - older["template"]).max() < 1e-4
    assert np.abs(plain["colors"].astype(int) - older["colors"].astype(int)).max() <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["older.npz", "plain.NPZ"]


@pytest.mark.slow
def test_a_head_for_other_programs(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a GLB has not the 52 shapes by name."""
    ran = invoke("head", "-o", "mine.glb")
    assert (ran.code, ran.out) == (0, "mine.glb\n") and "52 shapes" in ran.err
    data = (tmp_path / "mine.glb").read_bytes()
    tree = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    assert tuple(tree["meshes"][0]["extras"]["targetNames"]) == ARKIT_NAMES
    assert all(len(part["targets"]) == 52 for part in tree["meshes"][0]["primitives"])


def test_the_list(invoke: Talker) -> None:
    """Breaks if somebody or some parameter cannot be found out about."""
    shown = invoke("head", "--list").out
    for name in (*(person.name for person in PEOPLE), *(field.name for field in parameters())):
        assert f"  {name} " in shown
    for field in parameters():
        assert field.metadata["low"] <= field.default <= field.metadata["high"]


def test_mistakes_are_one_line(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a wrong name, number, range, person or suffix goes through, or leaves a file."""
    for arguments, said in (
        ((), "nothing to do"),
        (("--shape", "nose=1", "-o", "a.glb"), "nose_width"),
        (("--shape", "age", "-o", "a.glb"), "NAME=VALUE"),
        (("--shape", "age=old", "-o", "a.glb"), "from 0 to 1.2"),
        (("--shape", "size=3", "-o", "a.glb"), "from 0.85 to 1.12"),
        (("--person", "nobody", "-o", "a.glb"), "george"),
        (("--person", "FaceTalk_170904", "-o", "a.glb"), "FaceTalk_170904_00128_TA, FaceTalk_170904_03276_TA"),
        (("-o", "a.fbx"), ".glb"),
        (("-o", "no/a.glb"), "does not exist"),
    ):
        assert said in invoke("head", *arguments).mistake, arguments
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_sheet_of_regions(tmp_path: Path) -> None:
    """Breaks if the regions that metrics are measured on are not drawn, or a viseme names a shape that is none."""
    rig = build_head(()).rig
    write_regions(rig, tmp_path / "regions.jpg")
    picture = np.asarray(Image.open(tmp_path / "regions.jpg")).astype(int)
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    assert (red > 1.8 * green).mean() > 0.01 and (blue > 1.3 * red).mean() > 0.05
    assert (tmp_path / "regions.jpg").stat().st_size < 600_000
    for name, amounts in VISEMES.items():
        moved = np.abs(posed(rig, amounts) - rig.template).max()
        assert (moved > 5e-4) == bool(amounts), name
