"""Resolution of an identity: a name, a file, a mix or the nearest to a voice, to a style and a face.

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
from talker_cli.formats.schema import Schema, Text
from talker_cli.identity.file import SUFFIX, Enrolled, digest, load_identity
from talker_cli.identity.library import Library
from talker_cli.rig import Rig, RigFile

STAND_IN_NOTE = (
    "The FaceTalk names are stand-ins: built-in styles and heads under VOCASET's training names, not its people; "
    "their motion was learned from a model of articulation, not from captures."
)
CAPTURED = "captured"  # the description of a real person whose motion was captured begins so
VOICE = "a voice: a modelled style, without a face of its own"
AUTO = "auto"
MOST_SCALE = 2.0
SHOWN = 12  # names in an error

EncodeStyle = Callable[[], np.ndarray]  # () -> the style (S,) of the recording


class TrainedIdentities(Schema):
    """The part of a model's configuration that names its identities."""

    identities: tuple[Text, ...]


class ModelHeader(Schema):
    """The part of a model's metadata that a style space needs."""

    config: TrainedIdentities


@dataclass(frozen=True)
class StyleSpace:
    """The styles of a model: all lie on a sphere of radius sqrt(S).

    Args:
        names: Names of the identities that the model was trained on.
        table: (N, S) float32, their styles.
        key: Hash of the space; an identity is enrolled for one space.
    """

    names: tuple[str, ...]
    table: np.ndarray
    key: str

    @property
    def average(self) -> np.ndarray:
        """The (S,) mean of the known styles, inside the sphere."""
        return np.asarray(self.table.mean(0))

    def nearest(self, style: np.ndarray, enrolled: Sequence[Enrolled] = ()) -> list[tuple[str, float]]:
        """Return (name, similarity) of all known styles and of enrolled ones, the nearest first.

        The similarity is the cosine between deviations from the average style: how far a style deviates does not count, since
        one that was read off sound is shrunk.
        """
        rows = np.concatenate([self.table, *(each.style[None] for each in enrolled)]) - self.average
        similarity = on_sphere(rows) @ on_sphere(style - self.average) / rows.shape[1]
        names = (*self.names, *(each.name for each in enrolled))
        return sorted(zip(names, map(float, similarity), strict=True), key=lambda pair: -pair[1])


def on_sphere(vector: np.ndarray) -> np.ndarray:
    """Return `vector` (…, S) scaled to the length sqrt(S), the radius of the network's styles."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.asarray(vector / np.maximum(length, 1e-12) * vector.shape[-1] ** 0.5, dtype=np.float32)


def style_space(path: Path) -> StyleSpace:
    """Return the styles in a model's weights, a teacher's or a student's.

    Two models share a style space if their personalizers have the same weights, so distilling a teacher again leaves its
    identities valid.

    Raises:
        ModelError: the weights are missing, damaged or foreign.
    """
    file = ArrayFile(path, f"{path.stem} model")
    names = file.header(ModelHeader, "model").config.identities
    arrays = {name: file.array(name) for name in file.names if name.startswith("personalizer.")}
    table = file.array("personalizer.table", None, (len(names), None)).astype(np.float32)
    return StyleSpace(names, on_sphere(table), digest(arrays))


@dataclass(frozen=True)
class StyleCondition:
    """The condition that the network gets of an identity.

    Args:
        style: (S,) float32.
        offset: (K,) float32 added to all coefficients, or None.
    """

    style: np.ndarray
    offset: np.ndarray | None = None


@dataclass(frozen=True)
class ResolvedIdentity:
    """An identity that was resolved.

    Args:
        name: Full name, or the names of a mix with their shares.
        condition: Style and offset.
        rig: Rig of the face.
        face: Reference to that face for the motion's sidecar.
        notes: Lines for the user.
    """

    name: str
    condition: StyleCondition
    rig: Rig
    face: dict[str, str | None]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class IdentityResolver:
    """The identities of one model: its own, and those enrolled for it.

    Args:
        rigs: Rig file of the model.
        space: Styles of the model.
        library: The user's identities.
        scale: Scale of the styles: 1 keeps them, 0 is the average one, 2 is twice as far from it.
        encode: Function that encodes the style of the recording, for "auto"; None without a recording.
    """

    rigs: RigFile
    space: StyleSpace
    library: Library = field(default_factory=Library)
    scale: float = 1.0
    encode: EncodeStyle | None = None

    def resolve(self, text: str) -> ResolvedIdentity:
        """Return the identity that a text names.

        Args:
            text: Name or its unique beginning, identity file, "auto", or a mix as `anna:0.7,bert:0.3`.

        Raises:
            IdentityError: it fits none or several, or the identity belongs to another model.
            InputError: the scale is out of range.
        """
        if not 0.0 <= self.scale <= MOST_SCALE:
            raise InputError(f"found {self.scale:g}; expected 0 (the average style) to {MOST_SCALE:g}", "style_scale")
        parts = _parts(text)
        members = [(self._one(name), share) for name, share in parts]
        if len(members) == 1:
            chosen = members[0][0]
            return replace(chosen, condition=self._scaled(chosen.condition))
        heaviest = max(members, key=lambda member: member[1])[0]
        offsets = [share * member.condition.offset for member, share in members if member.condition.offset is not None]
        style = on_sphere(np.sum([share * member.condition.style for member, share in members], axis=0))
        condition = StyleCondition(style, np.stack(offsets).sum(0).astype(np.float32) if offsets else None)
        notes = dict.fromkeys(note for member, _ in members for note in member.notes)
        name = ",".join(f"{member.name}:{share:.3g}" for member, share in members)
        return ResolvedIdentity(name, self._scaled(condition), heaviest.rig, heaviest.face, tuple(notes))

    def enrolled(self) -> list[Enrolled]:
        """Return the identities of the library that were enrolled for this model; damaged files are left out."""
        return [each for _, each in self.library.load_all() if isinstance(each, Enrolled) and each.model == self.space.key]

    def _one(self, text: str) -> ResolvedIdentity:
        if text == AUTO:
            return self._auto()
        if text.endswith(SUFFIX) or {os.sep, os.altsep} & set(text):
            path = Path(text)
            return self._resolve_enrolled(load_identity(path), path)
        known = list(dict.fromkeys((*self.rigs.identities, *self.space.names)))
        if text in known:
            return self._resolve_own(text)
        beginning = [name for name in known if text and name.startswith(text)]
        if len(beginning) == 1:  # before enrolled ones: scripts name the model's own by their beginnings
            return self._resolve_own(beginning[0])
        usable = [identity.name for identity in self.enrolled()]
        if text not in usable:
            foreign = self._of_another_model(text, known + usable)
            if foreign is not None:
                self._check_model(foreign)
            text = resolve_identity(text, known + usable)
        if text in known:
            return self._resolve_own(text)
        return self._resolve_enrolled(self.library.load(text), self.library.path(text))

    def _of_another_model(self, text: str, usable: Sequence[str]) -> Enrolled | None:
        """Return the identity of another model that `text` names, if it names one."""
        if text in self.library.names():
            return self.library.load(text)
        if any(name.startswith(text) for name in usable):
            return None
        fitting = [name for name in self.library.names() if text and name.startswith(text)]
        return self.library.load(fitting[0]) if len(fitting) == 1 else None

    def _resolve_own(self, name: str) -> ResolvedIdentity:
        if name not in self.space.names:
            raise ModelError(
                f"the model's weights lack the identity {name} of its rig file; expected those it came with", "model"
            )
        condition = StyleCondition(self.space.table[self.space.names.index(name)])
        person = self.rigs.identities.get(name)
        if person is None:
            return ResolvedIdentity(name, condition, self.rigs.rig, {"identity": None}, (f"{name} is {VOICE}",))
        notes = (STAND_IN_NOTE,) if name.startswith("FaceTalk_") and "stand-in" in person.about else ()
        notes = (f"{name} is {person.about}",) if person.about.startswith(CAPTURED) else notes
        return ResolvedIdentity(name, condition, self.rigs.rig_of(name), {"identity": name}, notes)

    def _resolve_enrolled(self, identity: Enrolled, path: Path) -> ResolvedIdentity:
        self._check_model(identity)
        own = {"path": str(path.resolve()), "sha256": file_hash(path)}
        face: dict[str, str | None] = {"identity": identity.base_face} if identity.face is None else {**own}
        return ResolvedIdentity(identity.name, StyleCondition(identity.style, identity.offset), identity.rig(self.rigs), face)

    def _auto(self) -> ResolvedIdentity:
        if self.encode is None:
            raise IdentityError("found the identity 'auto' without a recording; expected a name; see talker identities")
        nearest = self.space.nearest(self.encode(), self.enrolled())
        # Voices without a face are what the styles were learned from, not who speaks.
        faceless = set(self.space.names) - set(self.rigs.identities)
        (name, first), *others = [pair for pair in nearest if pair[0] not in faceless]
        then = f", then {others[0][0]} ({others[0][1]:.2f})" if others else ""
        chosen = self._resolve_own(name) if name in self.space.names else self._one(name)
        note = f"auto: the nearest to this voice is {name} (similarity {first:.2f}){then}"
        return replace(chosen, notes=(note, *chosen.notes))

    def _check_model(self, identity: Enrolled) -> None:
        if identity.model != self.space.key or identity.style.shape != self.space.table.shape[1:]:
            raise IdentityError(
                f"identity '{identity.name}' was enrolled for another model (styles {identity.model}, this model's are "
                f"{self.space.key}); expected one of this model; enrol it again: talker identities refit {identity.name}"
            )
        count = len(self.rigs.rig.names)
        if identity.offset is not None and len(identity.offset) != count:
            found = f"identity '{identity.name}' has an offset of {len(identity.offset)} coefficients"
            raise IdentityError(
                f"{found}; expected the model's {count}; enrol it again: talker identities refit {identity.name}"
            )

    def _scaled(self, condition: StyleCondition) -> StyleCondition:
        if self.scale == 1.0:
            return condition
        offset = None if condition.offset is None else condition.offset * np.float32(self.scale)
        style = self.space.average + self.scale * (condition.style - self.space.average)
        return StyleCondition(style.astype(np.float32), offset)


def _parts(text: str) -> list[tuple[str, float]]:
    """Return the names of a mix with their shares, which sum to 1.

    Raises:
        IdentityError: a share is no positive finite number.
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
    more = f" and {len(names) - SHOWN} more (talker identities --voices)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def check_new(name: str, own: Iterable[str]) -> None:
    """Refuse the names of a model's own identities and their beginnings for enrolled ones, which none could select.

    Args:
        name: Name of the enrolled identity.
        own: Names of the model's own.

    Raises:
        IdentityError: it is one of them, or the beginning of one.
    """
    meant = next((each for each in own if each.startswith(name)), None)
    if meant is not None:
        what = "is one of the model's own identities" if meant == name else f"means the model's own {meant}, which begins so"
        raise IdentityError(f"'{name}' {what}; expected a new name; choose another", "name")


def face_of(about: dict[str, Any], content: RigFile, sidecar: Path) -> Rig:
    """Return the rig of the identity that a motion moves; without an identity, the model's neutral one.

    Args:
        about: Content of the motion's sidecar.
        content: Rig file that the sidecar names.
        sidecar: Place of the sidecar.

    Raises:
        InputError: the face has changed, or is missing.
    """
    face = about.get("face") or {"identity": about.get("identity")}
    path, identity = face.get("path"), face.get("identity")
    if path is not None:
        place = sidecar.parent / path
        if not place.is_file() or file_hash(place) != face.get("sha256"):
            raise InputError(f"the identity {place}, whose face {sidecar} names, is missing or has changed; animate again")
        return load_identity(place).rig(content)
    if identity is None:
        return content.rig
    if identity not in content.identities:
        raise InputError(f"{sidecar} names the identity {identity}, which its rig file lacks; animate again")
    return content.rig_of(identity)
