"""Several prepared datasets as one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import Talker
from tiny import SMALL, tiny_dataset

from talker_cli.data.dataset import Dataset, write_dataset
from talker_cli.rig import RigFile


def renamed(folder: Path, identity: str) -> Path:
    """Write a dataset of one other person, whose recordings and clips have names of their own; returns the folder."""
    source = Dataset(tiny_dataset(folder / "source"))
    info = source.info
    own = [clip for clip in info.clips if clip.identity == "Ada"]
    recordings = tuple(replace(each, name=f"x/{each.name}") for each in info.recordings)
    clips = tuple(replace(clip, name=f"x/{clip.name}", recording=f"x/{clip.recording}", identity=identity) for clip in own)
    speech = [(f"x/{name}", (source.speech(name) * 32768).astype(np.int16)) for name in source.recordings]
    motion = [(f"x/{clip.name}", 1.0 - source.coefficients(clip.name)) for clip in own]
    about = replace(info, source="a camera", licence="by", identities=(identity,), recordings=recordings, clips=clips)
    write_dataset(folder / "one", about, RigFile(source.rig.rig, {}), speech, motion)
    return folder / "one"


def test_two_datasets_train_as_one(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if joining loses or changes speech, motion, phones, a split, a person or a licence, or training cannot read it."""
    first, second, both = tiny_dataset(tmp_path / "a"), renamed(tmp_path, "captured_1"), tmp_path / "both"
    done = invoke("preprocess", "join", first, second, "-o", both)
    assert done.code == 0 and done.out.strip() == str(both)
    joined, parts = Dataset(both), [Dataset(first), Dataset(second)]
    assert joined.info.recordings == parts[0].info.recordings + parts[1].info.recordings
    assert joined.info.clips == parts[0].info.clips + parts[1].info.clips
    assert joined.info.identities == (*parts[0].info.identities, "captured_1")
    assert list(joined.rig.identities) == list(parts[0].rig.identities)
    assert "a camera" in joined.info.source and joined.info.licence.endswith("; by")
    assert [round(minutes, 1) for minutes in joined.info.notes["minutes"].values()] == [
        round(sum(map(part.seconds, part.recordings)) / 60, 1) for part in parts
    ]
    for part in parts:
        for name in part.recordings:
            assert (joined.speech(name) == part.speech(name)).all()
        for clip in part.info.clips:
            assert (joined.coefficients(clip.name) == part.coefficients(clip.name)).all()
    assert invoke("train", both, "-o", tmp_path / "m", "--steps", 2, *SMALL).code == 0


def test_what_does_not_fit_is_not_joined(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if a mixture is written whose names or coefficients mean two things."""
    first, second, both = tiny_dataset(tmp_path / "a"), renamed(tmp_path, "captured_1"), tmp_path / "both"
    assert "expected two or more" in invoke("preprocess", "join", first, "-o", both).mistake
    assert "tone00 in two of the datasets" in invoke("preprocess", "join", first, tmp_path / "source", "-o", both).mistake
    assert "among the datasets to join" in invoke("preprocess", "join", first, second, "-o", first).mistake
    turned = tiny_dataset(tmp_path / "turned", head=True)
    assert "52 coefficients at 30 fps" in invoke("preprocess", "join", second, turned, "-o", both).mistake
    about = json.loads((second / "dataset.json").read_text())
    (second / "dataset.json").write_text(json.dumps(about | {"fps": 29.9}))
    assert "perhaps with --fps" in invoke("preprocess", "join", first, second, "-o", both).mistake
    assert not both.exists() and Dataset(first).info.fps == 30.0
