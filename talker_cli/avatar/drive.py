"""How 52 ARKit coefficients drive a character: which of its shapes follow which, and which are solved for together.

A shape that stands for ARKit shapes follows them. Where a character lacks most of the mouth's shapes, its visemes if it has any
and those of the mouth that it has are solved for frame by frame: bounded least squares against what they look like on the
built-in head. A jaw alone that followed its own curve would stay ajar where the other shapes close the lips.
"""

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np

from talker_cli.avatar.file import AvatarFile, Expression, MorphMesh
from talker_cli.avatar.solve import bounded_least_squares
from talker_cli.avatar.table import ARKIT, Meaning, ShapeSet, Table, plain, table_with
from talker_cli.errors import InputError
from talker_cli.model.built_in import built_in_head
from talker_cli.rig import ARKIT_NAMES, Rig

INDEX = {name: place for place, name in enumerate(ARKIT_NAMES)}
MOUTH = tuple(name for name in ARKIT_NAMES if name.startswith(("jaw", "mouth")))
ENOUGH = 0.5  # share of the mouth's shapes, the jaw among them, from which each follows its own curve
LIPS, GAP = 10.0, 200.0  # how much more vertices of the lips count, and the distance between the lips
RIDGE = 1e-3  # of the largest diagonal: a shape that explains nothing stays at rest
PRESETS = ("aa", "ih", "ou", "ee", "oh", "blinkLeft", "blinkRight", "happy", "angry", "sad", "surprised")
# VRM 1.0's names of the presets of 0.x.
PRESETS_0 = {"a": "aa", "i": "ih", "u": "ou", "e": "ee", "o": "oh", "blinkl": "blinkLeft", "blinkr": "blinkRight",
             "joy": "happy", "sorrow": "sad", "fun": "relaxed"}  # fmt: skip
LOOK = {name for name in ARKIT_NAMES if name.startswith("eyeLook")}
FAMILIES = ("eye", "eyeBlink", "eyeLook", "eyeSquint", "eyeWide", "brow", "cheek", "jaw", "mouth", "noseSneer")
FEW = 3  # shapes that a note names one by one


@dataclass(frozen=True)
class Control:
    """One value that moves shapes of a character.

    Args:
        label: Name for people: ARKit's, or the shape's own.
        meaning: What it stands for.
    """

    label: str
    meaning: Meaning


@dataclass(frozen=True)
class Drive:
    """A character's controls and what each moves.

    Args:
        controls: C controls.
        targets: Mesh number -> (M, C) weights of its morph targets for one unit of each control.
        stilled: Mesh number -> (M,) bool, targets that stay at 0 because another one does what they do.
        expressions: Expression's name -> its control's number.
        missing: ARKit shapes that move nothing.
        solves: Whether the mouth's controls are solved for together.
        idle: Numbers of controls whose targets move no vertex.
    """

    controls: tuple[Control, ...]
    targets: dict[int, np.ndarray]
    stilled: dict[int, np.ndarray] = field(default_factory=dict)
    expressions: dict[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    solves: bool = False
    idle: frozenset[int] = frozenset()

    @property
    def solved(self) -> list[int]:
        """Numbers of the controls that are solved for together."""
        if not self.solves:
            return []
        found = []
        for number, control in enumerate(self.controls):
            plainly = not control.meaning.above and control.meaning.weights.keys() <= set(MOUTH)
            if number not in self.idle and (control.meaning.mix or plainly):
                found.append(number)
        return found

    def values(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the (T, C) values of the controls, 0…1, of coefficients (T, 52)."""
        weights = np.array([_row(control.meaning) for control in self.controls]).reshape(-1, len(ARKIT_NAMES))
        above = np.array([control.meaning.above for control in self.controls])
        values = np.clip((coefficients.astype(np.float64) @ weights.T - above) / (1 - above), 0.0, 1.0)
        if solved := self.solved:
            looks = np.array([look(self.controls, number) for number in solved])  # (S, 52)
            gram = looks @ mouth_metric() @ looks.T
            gram += RIDGE * np.diag(gram).max() * np.eye(len(gram))
            mouth = np.zeros_like(coefficients, np.float64)
            places = [INDEX[name] for name in MOUTH]
            mouth[:, places] = coefficients[:, places]
            values[:, solved] = bounded_least_squares(gram, mouth @ mouth_metric() @ looks.T)
        return values


def plan(avatar: AvatarFile, table: Table) -> Drive:
    """Return how a character is driven; without controls where none of its names is known."""
    return _Planner(avatar, table).drive()


@dataclass(frozen=True)
class DrivenAvatar:
    """A character that can be driven.

    Args:
        file: Its file.
        table: Names of shapes and bones.
        drive: How it is driven.
    """

    file: AvatarFile
    table: Table
    drive: Drive

    @property
    def notes(self) -> list[str]:
        """Lines for the user: what moves nothing, and what is solved for."""
        lines = []
        bones = self.file.bones(self.table)
        turned = LOOK if {"leftEye", "rightEye"} <= bones.keys() and set(self.drive.missing) >= LOOK else set()
        if missing := [name for name in self.drive.missing if name not in turned]:
            lines.append(f"{self.file.path} has no morph target for {listed(missing)}: they move nothing")
        if numbers := self.drive.solved:
            labels = [self.drive.controls[number].label for number in numbers]
            which = " and ".join(labels) if len(labels) <= FEW else f"{len(labels)} of its shapes"
            lines.append(f"{self.file.path}: its mouth is solved for, by {which}")
        return lines


def read_driven_avatar(path: Path, shape_map: Path | None = None) -> DrivenAvatar:
    """Read a character and plan how it is driven.

    Args:
        path: A .glb or .vrm.
        shape_map: What its shapes are (.toml), where their names are not known.

    Raises:
        InputError: the file or the map cannot be used, it has no morph targets, they have no names, or none is known.
    """
    table = table_with(shape_map)
    avatar = AvatarFile(path)
    drive = plan(avatar, table)
    if not avatar.meshes:
        raise InputError(f"{avatar.path} has no morph targets; expected a character with ARKit's names, as jawOpen; export its "
                         "shape keys with it")  # fmt: skip
    if not avatar.names and not avatar.expressions:
        raise InputError(f"{avatar.path} has morph targets without names (extras.targetNames); expected ARKit's names, as "
                         "jawOpen; export it with them")  # fmt: skip
    if not drive.controls:
        raise InputError(f"{avatar.path} has the morph targets {', '.join(avatar.names)[:160]}; expected ARKit's names, as "
                         "jawOpen, or visemes; rename them in it, or give a map", field="map")  # fmt: skip
    return DrivenAvatar(avatar, table, drive)


def listed(names: Collection[str]) -> str:
    """Return ARKit names for a note; families of which all are there are named once, as `brow…`."""
    left, found = list(names), []
    for family in FAMILIES:
        members = {name for name in ARKIT_NAMES if name.startswith(family)}
        if members <= set(left):
            found.append(f"{family}…")
            left = [name for name in left if name not in members]
    return ", ".join(found + left)


def expressions_drive(avatar: AvatarFile | None, table: Table) -> Drive:
    """Return how a VRM's expressions are driven, whatever else its file has; the presets of any VRM 1.0 without a file.

    Args:
        avatar: The character, or None.
        table: Names of shapes.
    """
    own = avatar.expressions if avatar is not None else tuple(Expression(name, name, ((0, 0, 1.0),)) for name in PRESETS)
    controls: list[Control] = []
    expressions: dict[str, int] = {}
    covered: set[str] = set()
    for group in (group for group in table.sets if group.expressions or group.name == ARKIT):
        before = frozenset(covered)
        for expression in own:
            key = _expression_key(group, expression)
            name = PRESETS_0.get(plain(expression.preset), expression.preset) if expression.preset else expression.name
            if key is None or name in expressions or name.startswith("look"):
                continue
            meaning = group.meanings[key]
            if _speaks(before) if meaning.mix else meaning.weights.keys() <= before:
                continue
            covered.update(() if meaning.mix or meaning.above else meaning.weights)
            expressions[name] = len(controls)
            controls.append(Control(name, meaning))
    return Drive(tuple(controls), {}, {}, expressions, solves=any(control.meaning.mix for control in controls))


def set_drive(name: str, table: Table) -> Drive:
    """Return how all shapes of one program's set are driven; their labels are its own spelling."""
    meanings = table.named(name).meanings.values()
    controls = tuple(Control(meaning.spelled, meaning) for meaning in meanings)
    return Drive(controls, {}, solves=any(meaning.mix for meaning in meanings))


def _expression_key(group: ShapeSet, expression: Expression) -> str | None:
    """Return what a VRM expression is called in a set: ARKit's names count for the author's own, the others for presets."""
    if (group.name == ARKIT) != (expression.preset is None) or not expression.binds:
        return None
    return group.find(expression.name if expression.preset is None else expression.preset)


class _Planner:
    """The choice among the names of a file."""

    def __init__(self, avatar: AvatarFile, table: Table) -> None:
        self.avatar, self.table = avatar, table
        self.controls: list[Control] = []
        self.numbers: dict[tuple[str, str, frozenset[str]], int] = {}  # set, plain name, shapes -> control
        self.weighted: list[tuple[int, int, int, float]] = []  # mesh, target, control, weight
        self.named: set[tuple[int, int]] = set()  # mesh and target of those that a set's plain shape drives by name
        self.covered: dict[int, set[str]] = {mesh.index: set() for mesh in avatar.meshes}
        self.present: dict[int, set[str]] = {mesh.index: set() for mesh in avatar.meshes}  # driven by name, if nothing moves
        self.expressions: dict[str, int] = {}
        self._empty = {mesh.index: mesh.empty for mesh in avatar.meshes}
        self.mesh_of = {node: mesh.index for mesh in avatar.meshes for node in mesh.nodes}

    def drive(self) -> Drive:
        """Return the plan: ARKit's names and the user's first, then expressions, then other programs' names, then visemes."""
        first = [group for group in self.table.sets if group.name in (ARKIT, "map")]
        for group in first:
            self._shapes(group)
        if not self._enough():
            self._expressions()
        for group in self.table.sets:
            if group not in first and not group.expressions:
                self._shapes(group)
        solves = not self._enough() and (self._visemes() or "jawOpen" in self._everywhere())
        everywhere = self._everywhere() | (set(MOUTH) if solves else set())
        driven = {mesh.index: np.zeros((len(mesh.names), len(self.controls))) for mesh in self.avatar.meshes}
        for index, target, control, weight in self.weighted:
            driven[index][target, control] = weight
        stilled = {mesh.index: self._meant(mesh) & ~driven[mesh.index].any(axis=1) for mesh in self.avatar.meshes}
        missing = tuple(name for name in ARKIT_NAMES if name not in everywhere)
        moving = {control for index, target, control, _ in self.weighted if not self._empty[index][target]}
        idle = frozenset(range(len(self.controls))) - moving
        return Drive(tuple(self.controls), driven, stilled, self.expressions, missing, solves, idle)

    def _everywhere(self) -> set[str]:
        return set().union(*self.covered.values())

    def _enough(self) -> bool:
        return _speaks(self._everywhere())

    def _control(self, group: ShapeSet, key: str, label: str, meaning: Meaning) -> int:
        place = (group.name, key, frozenset(meaning.weights))
        if place not in self.numbers:
            self.numbers[place] = len(self.controls)
            name = key if group.name == ARKIT else label
            taken = {control.label for control in self.controls}
            free = name if name not in taken else next(f"{name} {n}" for n in count(2) if f"{name} {n}" not in taken)
            self.controls.append(Control(free, meaning))
        return self.numbers[place]

    def _found(self, group: ShapeSet, mesh_names: Sequence[str]) -> list[tuple[int, str]]:
        return [(number, key) for number, name in enumerate(mesh_names) if name and (key := group.find(name)) is not None]

    def _counts(self, group: ShapeSet) -> bool:
        keys = {key for mesh in self.avatar.meshes for _, key in self._found(group, mesh.names)}
        return len(keys) >= group.least

    def _meant(self, mesh: MorphMesh) -> np.ndarray:
        """Return (M,) bool, the targets of a mesh that stand for ARKit shapes by any set that counts."""
        meant = np.zeros(len(mesh.names), dtype=bool)
        for group in self.table.sets:
            if not group.expressions and self._counts(group):
                for number, key in self._found(group, mesh.names):
                    meant[number] |= bool(group.meanings[key].weights)
        return meant

    def _shapes(self, group: ShapeSet) -> None:
        """Let a set's plain shapes follow what no earlier set's do."""
        if not self._counts(group):
            return
        everywhere = self._everywhere()
        for mesh in self.avatar.meshes:
            # A shape that is empty in this mesh but moves another, as the right eye's in the left one, is not stood in for.
            before = frozenset(self.covered[mesh.index] | self.present[mesh.index] & everywhere)
            taken: set[str] = set()
            found = self._found(group, mesh.names)
            # A mesh may have a shape under several spellings: it moves by one of them, the set's own if that moves anything.
            for number, key in sorted(found, key=lambda each: (mesh.empty[each[0]], mesh.names[each[0]] != each[1])):
                meaning = group.meanings[key]
                if meaning.mix or (mesh.index, number) in self.named:
                    continue
                left = {name: weight for name, weight in meaning.weights.items() if name not in before}
                if key in taken or (meaning.weights and not left):
                    continue
                taken.add(key)
                if left:
                    control = self._control(group, key, mesh.names[number], Meaning(left, above=meaning.above))
                    self.weighted.append((mesh.index, number, control, 1.0))
                    self.named.add((mesh.index, number))
                    self.present[mesh.index].update(left)
                    if not mesh.empty[number]:
                        self.covered[mesh.index].update(left)

    def _expressions(self) -> None:
        """Let VRM expressions follow: those that have ARKit's names, then the presets."""
        everywhere = self._everywhere()
        chosen: list[tuple[ShapeSet, str, Expression, Meaning]] = []
        arkit = next(group for group in self.table.sets if group.name == ARKIT)
        for group in (arkit, *(group for group in self.table.sets if group.expressions)):
            before = frozenset(everywhere)
            for expression in self.avatar.expressions:
                key = _expression_key(group, expression)
                if key is None:
                    continue
                meaning = group.meanings[key]
                left = {name: weight for name, weight in meaning.weights.items() if name not in before}
                if meaning.mix:
                    if not _speaks(before):
                        chosen.append((group, key, expression, meaning))
                elif left:
                    chosen.append((group, key, expression, Meaning(left, above=meaning.above)))
                    everywhere |= left.keys() if not meaning.above else set()
        for group, key, expression, meaning in chosen:
            if expression.name in self.expressions:
                continue
            control = self._control(group, key, expression.name, meaning)
            self.expressions[expression.name] = control
            for node, target, weight in expression.binds:
                mesh = self.mesh_of[node]
                self.weighted.append((mesh, target, control, weight))
                if not meaning.mix and not meaning.above:
                    for each in self.covered.values():
                        each.update(meaning.weights)

    def _visemes(self) -> bool:
        """Let the set with the most visemes be solved for; say whether there are any."""
        if any(control.meaning.mix for control in self.controls):  # VRM's presets
            return True
        best: tuple[int, ShapeSet] | None = None
        for group in self.table.sets:
            if group.expressions or not self._counts(group):
                continue
            keys = {key for mesh in self.avatar.meshes for _, key in self._found(group, mesh.names) if group.meanings[key].mix}
            if keys and (best is None or len(keys) > best[0] or best[1].name == "map"):
                best = len(keys), group
                if group.name == "map":
                    break
        if best is None:
            return False
        group = best[1]
        for mesh in self.avatar.meshes:
            for number, key in self._found(group, mesh.names):
                if group.meanings[key].mix and group.meanings[key].weights:
                    control = self._control(group, key, mesh.names[number], group.meanings[key])
                    self.weighted.append((mesh.index, number, control, 1.0))
        return True


def _speaks(shapes: Set[str]) -> bool:
    """Say whether ARKit shapes are enough for a mouth to speak by their own curves."""
    return "jawOpen" in shapes and len(shapes & set(MOUTH)) >= ENOUGH * len(MOUTH)


def _row(meaning: Meaning) -> np.ndarray:
    row = np.zeros(len(ARKIT_NAMES))
    for name, weight in meaning.weights.items():
        row[INDEX[name]] = weight
    return row


def look(controls: Sequence[Control], number: int) -> np.ndarray:
    """Return (52,) coefficients that look like one unit of a control: all that it follows, shared among those that do."""
    meaning = controls[number].meaning
    if meaning.mix:
        return _row(meaning)
    row = np.zeros(len(ARKIT_NAMES))
    for name in meaning.weights:
        others = [each for each in controls if not each.meaning.mix and not each.meaning.above and name in each.meaning.weights]
        row[INDEX[name]] = 1.0 / len(others)
    return row


def lip_gap(coefficients: np.ndarray) -> np.ndarray:
    """Return the (T,) metres between the lips of the built-in head, at their middle, of coefficients (T, 52)."""
    return np.asarray((coefficients @ _gap_rows().T).mean(axis=1))


@cache
def _head() -> Rig:
    return built_in_head().rig


@cache
def _gap_rows() -> np.ndarray:
    return _head().lip_gap_rows().astype(np.float64)


@cache
def mouth_metric() -> np.ndarray:
    """Return G (52, 52), square metres: how unlike two mouths of the built-in head look."""
    rig, gap = _head(), _gap_rows()
    weights = np.where(rig.regions["lips"], LIPS, 1.0)
    scale = GAP * weights.sum() / len(weights) / len(gap) * rig.regions["lips"].sum()
    return np.asarray(rig.gram(weights) + scale * gap.T @ gap)
