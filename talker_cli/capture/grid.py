"""The GRID corpus (Cooke et al. 2006) as captured faces: one speaker's landmarks, sound and phone times in a folder.

Layout: `landmarks.npz` (`landmarks` int16 times `scale`: pixels, (frames of all clips, P, 3), y down; `ids`; `ok`; `fps`),
`clips.json` (name -> first frame, frames, words of [phone, start, end]) and `audio/NAME.flac`.
"""

import hashlib
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from pydantic import Field

from talker_cli.capture.fit import LandmarkModel
from talker_cli.capture.pose import Posed, remove_pose
from talker_cli.data.sequences import CaptureSequence, Source
from talker_cli.errors import InputError
from talker_cli.formats.audio import load_intact_speech
from talker_cli.formats.files import read_json
from talker_cli.formats.schema import Schema, parse, reading
from talker_cli.rig import Rig

LICENCE = (
    "GRID corpus, M. Cooke, J. Barker, S. Cunningham, X. Shao 2006: CC BY 4.0 by its Zenodo record 3625687, which could not be "
    "opened from here; check it before publishing, and name the authors"
)
HELD_OUT = 50  # sentences in each of test and validation, chosen by a hash of their names
NEUTRAL_CLIPS = 100  # clips whose frames give the person's neutral face


class _Clip(Schema):
    first: int = Field(ge=0)
    frames: int = Field(ge=2)
    phones: list[tuple[str, list[tuple[str, float, float]]]] | None  # null where the aligner found none


class _Clips(Schema):
    clips: dict[str, _Clip]


class GridSpeaker:
    """One speaker's landmarks.

    Args:
        folder: Folder with `landmarks.npz`, `clips.json` and `audio/`.
        head: The built-in head.

    Raises:
        InputError: a file is missing or damaged, or the clips do not lie within the landmarks.
    """

    def __init__(self, folder: Path, head: Rig) -> None:
        self.folder = folder
        self.clips = parse(_Clips, {"clips": read_json(folder / "clips.json")}, str(folder / "clips.json")).clips
        path = folder / "landmarks.npz"
        with reading(path, "landmarks, ids, ok, scale and fps"), np.load(path, allow_pickle=False) as file:
            self.landmarks, self.seen = file["landmarks"], file["ok"].astype(bool)
            self.scale, self.fps = float(file["scale"]), float(file["fps"])
            ids = [int(number) for number in file["ids"]]
        if self.landmarks.ndim != 3 or self.landmarks.shape[1:] != (len(ids), 3) or len(self.seen) != len(self.landmarks):
            raise InputError(f"{path} holds landmarks {self.landmarks.shape} for {len(ids)} ids; expected (frames, ids, 3)")
        for name, clip in self.clips.items():
            if clip.first + clip.frames > len(self.landmarks):
                raise InputError(f"{folder / 'clips.json'} places {name} beyond the {len(self.landmarks)} frames of {path}")
        self.model = LandmarkModel(head, ids)

    def posed(self, name: str) -> tuple[Posed, np.ndarray]:
        """Return a clip's landmarks in the head's space, and which frames were seen."""
        clip = self.clips[name]
        rows = slice(clip.first, clip.first + clip.frames)
        points = self.landmarks[rows].astype(np.float64) * self.scale * [1, -1, -1]
        return remove_pose(points, self.seen[rows], self.model.still, self.model.rest[self.model.still]), self.seen[rows]

    @cached_property
    def neutral(self) -> np.ndarray:
        """The speaker's landmarks at rest (P, 3), metres."""
        names = sorted(self.clips)
        chosen = names[:: max(1, len(names) // NEUTRAL_CLIPS)]
        return self.model.neutral(map(self.posed, chosen))

    def coefficients(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return rows of a clip's fitted coefficients and the head's rotation (N, 55)."""
        posed, seen = self.posed(name)
        fitted = self.model.fit(posed, self.neutral, seen).coefficients
        return np.concatenate([fitted, posed.steady(self.fps)], 1, dtype=np.float32)[rows]


def open_grid(folder: Path, head: Rig, identity: str | None = None) -> Source:
    """Return one speaker's folder as captured sequences.

    Args:
        folder: See the module.
        head: The built-in head.
        identity: Name of the speaker; None takes the folder's.

    Raises:
        InputError: a file is missing or damaged.
    """
    speaker = GridSpeaker(folder, head)
    who = identity or folder.resolve().name
    splits = split_names(speaker.clips)
    sequences = []
    for name, clip in speaker.clips.items():
        sound = folder / "audio" / f"{name}.flac"
        phones = tuple(phone for _, phones in clip.phones or () for phone in phones)
        words = (word.removeprefix("ltr_").partition("(")[0] for word, _ in clip.phones or ())  # ltr_a, white(2)
        text = " ".join(word for word in words if not word.startswith("<"))
        files = (folder / "landmarks.npz", sound)
        motion = partial(speaker.coefficients, name)
        speech = partial(load_intact_speech, sound)
        sequences.append(CaptureSequence(name, who, splits[name], clip.frames, speech, motion, files, text, "en", phones))
    notes = {"landmarks": "MediaPipe Face Mesh with refined lips, fitted by the built-in head"}
    return Source("GRID", LICENCE, speaker.fps, tuple(sequences), (who,), notes, head=True)


def split_names(names: "dict[str, _Clip] | list[str]") -> dict[str, str]:
    """Return each sentence's split: 50 of test and 50 of validation by a hash of their names, or a tenth of fewer."""
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    count = min(HELD_OUT, len(order) // 10)
    return {
        name: "test" if place < count else "validation" if place < 2 * count else "train" for place, name in enumerate(order)
    }
