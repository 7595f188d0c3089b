"""Who speaks: a name, a file, a mix or the nearest to a voice, resolved to a style and a face.

No torch here: listing and completing names must be instant.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.errors import IdentityError, InputError, ModelError
from talker_cli.formats.files import ArrayFile, file_hash
from talker_cli.identity.file import SUFFIX, Enrolled, digest, load_identity
from talker_cli.identity.library import Library
from talker_cli.rig import Rig, RigFile

STAND_IN_NOTE = (
    "The FaceTalk names are stand-ins: built-in styles and heads under VOCASET's training names, not its people; "
    "the motion was learned from a model of articulation, not from captures."
)
AUTO = "auto"
MOST_SCALE = 2.0
SHOWN = 12  # names in an error

ReadStyle = Callable[[], np.ndarray]  # the style (S,) read off the speech at hand


@dataclass(frozen=True)
class StyleSpace:
    """The styles of a model: all lie on a sphere of radius sqrt(S).

    Args:
        names: of the identities the model was trained on.
        table: (N, S) float32, their styles.
        key: tells one space from another: identities are enrolled for one of them.
    """

    names: tuple[str, ...]
    table: np.ndarray
    key: str

    @property
    def average(self) -> np.ndarray:
        """The (S,) mean of the known styles; inside the sphere, for they point in different directions."""
        return np.asarray(self.table.mean(0))

    def nearest(self, style: np.ndarray, people: Sequence[Enrolled] = ()) -> list[tuple[str, float]]:
        """Return (name, cosine similarity) of all known styles and those of `people`, the nearest first."""
        rows = np.concatenate([self.table, *(person.style[None] for person in people)])
        similarity = on_sphere(rows) @ on_sphere(style) / rows.shape[1]
        names = (*self.names, *(person.name for person in people))
        return sorted(zip(names, map(float, similarity), strict=True), key=lambda pair: -pair[1])


def on_sphere(vector: np.ndarray) -> np.ndarray:
    """Return `vector` (…, S) scaled to the length sqrt(S), where the network's styles lie."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.asarray(vector / np.maximum(length, 1e-12) * vector.shape[-1] ** 0.5, dtype=np.float32)


def style_space(path: Path) -> StyleSpace:
    """Return the styles of a model's weights, a teacher's or a student's.

    Two models share a style space if their personalizers have the same weights, so distilling a teacher again leaves its
    identities valid.

    Raises:
        ModelError: the weights are missing, damaged or foreign.
    """
    file = ArrayFile(path, f"{path.stem} model")
    try:
        names = tuple(file.metadata["config"]["identities"])
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path} is no model; expected weights that talker train wrote; check --model") from error
    arrays = {name: file.array(name) for name in file.names if name.startswith("personalizer.")}
    table = arrays["personalizer.table"].astype(np.float32)
    return StyleSpace(names, on_sphere(table), digest(arrays))


@dataclass(frozen=True)
class StyleCondition:
    """How somebody moves: what the network needs of an identity.

    Args:
        style: (S,) float32.
        offset: (K,) float32 added to all coefficients, or None.
    """

    style: np.ndarray
    offset: np.ndarray | None = None


@dataclass(frozen=True)
class ResolvedIdentity:
    """What `--identity` came to.

    Args:
        name: what to call it: a full name, or a mix of them with their shares.
        manner: style and offset.
        rig: the face that moves.
        face: for the motion's sidecar, what leads back to that face.
        notes: lines that the user should read.
    """

    name: str
    manner: StyleCondition
    rig: Rig
    face: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class IdentityResolver:
    """Everybody who can speak through one model: those it knows, and those who were enrolled for it.

    Args:
        rigs: the model's rig file.
        space: its styles.
        library: where the user's identities lie.
        scale: of the styles, 1 = as they are, 0 = the average one, 2 = twice as far from it.
        read: reads the style off the speech at hand, for "auto"; None where there is none.
    """

    rigs: RigFile
    space: StyleSpace
    library: Library = field(default_factory=Library)
    scale: float = 1.0
    read: ReadStyle | None = None

    def resolve(self, text: str) -> ResolvedIdentity:
        """Return whom `--identity` names.

        Args:
            text: a name or its unique beginning, an identity file, "auto", or a mix as `anna:0.7,bert:0.3`.

        Raises:
            IdentityError: it fits nobody or several, or the identity belongs to another model.
            InputError: the scale is out of range.
        """
        if not 0.0 <= self.scale <= MOST_SCALE:
            raise InputError(f"found --style-scale {self.scale:g}; expected 0 (the average) to {MOST_SCALE:g}; 1 is as it is")
        parts = _parts(text)
        members = [(self._one(name), share) for name, share in parts]
        if len(members) == 1:
            chosen = members[0][0]
            return replace(chosen, manner=self._scaled(chosen.manner))
        heaviest = max(members, key=lambda member: member[1])[0]
        offsets = [share * member.manner.offset for member, share in members if member.manner.offset is not None]
        style = on_sphere(np.sum([share * member.manner.style for member, share in members], axis=0))
        manner = StyleCondition(style, np.stack(offsets).sum(0).astype(np.float32) if offsets else None)
        notes = dict.fromkeys(note for member, _ in members for note in member.notes)
        name = ",".join(f"{member.name}:{share:.3g}" for member, share in members)
        return ResolvedIdentity(name, self._scaled(manner), heaviest.rig, heaviest.face, tuple(notes))

    def people(self) -> list[Enrolled]:
        """Return the identities of the library that were enrolled for this model; damaged files are passed over."""
        return [person for person in self.library.people() if isinstance(person, Enrolled) and person.model == self.space.key]

    def _one(self, text: str) -> ResolvedIdentity:
        if text == AUTO:
            return self._auto()
        if text.endswith(SUFFIX) or os.sep in text:
            path = Path(text)
            return self._enrolled(load_identity(path), path)
        known = list(self.rigs.identities)
        if text in known:
            return self._known(text)
        beginning = [name for name in known if text and name.startswith(text)]
        if len(beginning) == 1:  # before those that were enrolled: scripts call the model's own by their beginnings
            return self._known(beginning[0])
        usable = [person.name for person in self.people()]
        if text not in usable:
            foreign = self._of_another_model(text, known + usable)
            if foreign is not None:
                self._check_model(foreign)
            text = resolve_identity(text, known + usable)
        return self._known(text) if text in known else self._enrolled(self.library.load(text), self.library.path(text))

    def _of_another_model(self, text: str, usable: Sequence[str]) -> Enrolled | None:
        """Return the identity that `text` would name, were it not another model's."""
        if text in self.library.names():
            return self.library.load(text)
        if any(name.startswith(text) for name in usable):
            return None
        fitting = [name for name in self.library.names() if text and name.startswith(text)]
        return self.library.load(fitting[0]) if len(fitting) == 1 else None

    def _known(self, name: str) -> ResolvedIdentity:
        style = self.space.table[self.space.names.index(name)]
        stand_in = name.startswith("FaceTalk_") and "stand-in" in self.rigs.identities[name].about
        notes = (STAND_IN_NOTE,) if stand_in else ()
        return ResolvedIdentity(name, StyleCondition(style), self.rigs.rig_of(name), {"identity": name}, notes)

    def _enrolled(self, person: Enrolled, path: Path) -> ResolvedIdentity:
        self._check_model(person)
        own = {"path": str(path.resolve()), "sha256": file_hash(path)}
        face = {"identity": person.base_face} if person.face is None else own
        return ResolvedIdentity(person.name, StyleCondition(person.style, person.offset), person.rig(self.rigs), face)

    def _auto(self) -> ResolvedIdentity:
        if self.read is None:
            raise IdentityError("found the identity 'auto' without a recording to hear; expected a name; see talker identities")
        people = self.people()
        (name, first), *others = self.space.nearest(self.read(), people)
        then = f", then {others[0][0]} ({others[0][1]:.2f})" if others else ""
        chosen = self._known(name) if name in self.space.names else self._one(name)
        note = f"auto: the nearest to this voice is {name} (similarity {first:.2f}){then}"
        return replace(chosen, notes=(note, *chosen.notes))

    def _check_model(self, person: Enrolled) -> None:
        if person.model != self.space.key or person.style.shape != self.space.table.shape[1:]:
            raise IdentityError(
                f"identity '{person.name}' was enrolled for another model (styles {person.model}, this model's are "
                f"{self.space.key}); it means nothing to this one; enrol it again: talker identities refit {person.name}"
            )

    def _scaled(self, manner: StyleCondition) -> StyleCondition:
        if self.scale == 1.0:
            return manner
        offset = None if manner.offset is None else manner.offset * np.float32(self.scale)
        style = self.space.average + self.scale * (manner.style - self.space.average)
        return StyleCondition(style.astype(np.float32), offset)


def _parts(text: str) -> list[tuple[str, float]]:
    """Return the names in `--identity` with their shares, which sum to 1.

    Raises:
        IdentityError: a share is no positive number.
    """
    if "," not in text and not re.search(r":[\d.]+$", text):
        return [(text, 1.0)]
    parts = []
    for piece in text.split(","):
        name, colon, weight = piece.strip().rpartition(":")
        if not colon:
            name, weight = weight, "1"
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9}", weight) or not float(weight) > 0:
            raise IdentityError(f"found '{piece}' in {text}; expected NAME:SHARE, as anna:0.7,bert:0.3", field="identity")
        parts.append((name, float(weight)))
    total = sum(weight for _, weight in parts)
    return [(name, weight / total) for name, weight in parts]


def resolve_identity(name: str, known: Sequence[str]) -> str:
    """Return the identity that `name` is or uniquely begins.

    Raises:
        IdentityError: none fits, or more than one.
    """
    if name in known:
        return name
    fitting = [candidate for candidate in known if name and candidate.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise IdentityError(f"identity '{name}' fits {len(fitting)}: {_list(fitting)}; give more of the name")
    raise IdentityError(f"no identity '{name}'; expected one of {_list(known)}, or the beginning of one")


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more (talker identities)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def check_new(name: str, own: Iterable[str]) -> None:
    """Refuse to call an enrolled identity as one of the model's `own`, or as one begins: nobody could ask for it.

    Raises:
        IdentityError: it is one of them, or the beginning of one.
    """
    meant = next((each for each in own if each.startswith(name)), None)
    if meant is not None:
        what = "is one of the model's own identities" if meant == name else f"means the model's own {meant}, which begins so"
        raise IdentityError(f"'{name}' {what}; expected a new name; choose another --name")


def face_of(about: dict[str, Any], content: RigFile, beside: Path) -> Rig | None:
    """Return the rig that a motion's sidecar says its identity has, or None if it says nothing of a face.

    Args:
        about: the sidecar.
        content: the rig file it names.
        beside: the sidecar's place.

    Raises:
        InputError: the face has changed, or is gone.
    """
    face = about.get("face")
    if not isinstance(face, dict):
        return None
    if "identity" in face:
        if face["identity"] not in content.identities:
            raise InputError(f"{beside} names the face of {face['identity']}; the model's rig holds no such; animate again")
        return content.rig_of(face["identity"])
    path = beside.parent / str(face.get("path"))
    if not path.is_file() or file_hash(path) != face.get("sha256"):
        raise InputError(f"the identity {path}, whose face {beside} moves, is gone or another one now; animate again")
    return load_identity(path).rig(content)
