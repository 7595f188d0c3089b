"""The built-in head: a closed mouth that seals, lids that close on the ball, mirror symmetry, local shapes, people."""

from itertools import product

import numpy as np
import pytest
from head_contact import speech_like, tooth_clearance

from talker_cli.head import PEOPLE, STAND_INS, build_head
from talker_cli.head.assemble import rest_head
from talker_cli.head.build import PARTS, Layout
from talker_cli.head.field import Field
from talker_cli.head.skin import EYE_SPOKES
from talker_cli.head.surface import EYE_CENTER, EYE_RADIUS
from talker_cli.rig import ARKIT_NAMES, Rig, RigFile

MM = 1e-3


@pytest.fixture(scope="module")
def head() -> RigFile:
    return build_head(PEOPLE)


@pytest.fixture(scope="module")
def rig(head: RigFile) -> Rig:
    return head.rig


@pytest.fixture(scope="module")
def field() -> Field:
    return rest_head()[1]


@pytest.fixture(scope="module")
def layout(field: Field) -> Layout:
    return field.layout


def shape(rig: Rig, name: str) -> np.ndarray:
    """Return one shape's (V, 3) offsets; a name without its side gives both sides' sum."""
    if name in rig.names:
        return rig.basis[rig.names.index(name)].astype(np.float64)
    return shape(rig, name + "Left") + shape(rig, name + "Right")


def gap(rig: Rig, **amounts: float) -> np.ndarray:
    """Return (P,) signed openings, mm, at the lip pairs."""
    coefficients = np.zeros(len(rig.names))
    for name, amount in amounts.items():
        for side in ("", "Left", "Right"):
            if name + side in rig.names:
                coefficients[rig.names.index(name + side)] = amount
    return np.asarray(rig.lip_gap_rows().astype(np.float64) @ coefficients) / MM


@pytest.mark.slow
def test_it_is_the_same_head_every_time(head: RigFile) -> None:
    """Weights are trained on these arrays: a head that changes from build to build breaks them."""
    again = build_head(PEOPLE[:3])
    for name in ("template", "faces", "basis", "lip_pairs", "colors"):
        assert getattr(head.rig, name).tobytes() == getattr(again.rig, name).tobytes(), name
    for key, person in again.identities.items():
        assert person.template.tobytes() == head.identities[key].template.tobytes()


def test_names_types_and_sizes(rig: Rig, layout: Layout) -> None:
    """ARKit curves address shapes by Apple's order."""
    assert rig.names == ARKIT_NAMES and rig.basis.shape == (52, *rig.template.shape)
    assert rig.template.dtype == rig.basis.dtype == np.float32
    assert rig.faces.dtype == rig.lip_pairs.dtype == np.int32 and rig.colors is not None and rig.colors.dtype == np.uint8
    assert 6000 <= len(rig.template) <= 12000 and rig.fps == 30.0
    assert {"lips", "upper_face"} <= set(rig.regions)
    assert not np.any(rig.regions["lips"] & rig.regions["upper_face"])
    assert np.all(rig.regions["lips"][rig.lip_pairs])
    for region, part in (("hair", "hair"), ("glint", "glint"), ("tongue", "tongue")):  # materials go by them
        assert np.array_equal(rig.regions[region], layout.of(part))
    assert not rig.basis[:, rig.regions["hair"]].any()  # no shape moves hair
    assert all(np.abs(offsets).max() > 1 * MM for offsets in rig.basis), "a shape that does nothing"


def test_mirror_symmetry(rig: Rig, layout: Layout) -> None:
    """The template is its own mirror image, and each right shape is the mirror image of its left one."""
    mirror, flip = layout.mirror, np.array([-1.0, 1.0, 1.0])
    assert np.array_equal(mirror[mirror], np.arange(len(mirror)))
    assert np.abs(rig.template[mirror] * flip - rig.template).max() < 1e-6
    for name in rig.names:
        other = name.replace("Left", "\0").replace("Right", "Left").replace("\0", "Right")
        assert np.abs(shape(rig, name)[mirror] * flip - shape(rig, other)).max() < 1e-6, name
    triangles = {tuple(sorted(face)) for face in rig.faces.tolist()}
    assert {tuple(sorted(face)) for face in mirror[rig.faces].tolist()} == triangles


def test_lips_touch_at_rest_and_the_close_is_exact(rig: Rig) -> None:
    """`mouthClose` is the inverse of `jawOpen` on the lips: p, b and m must seal at every opening of the jaw."""
    upper, lower = rig.lip_pairs.T
    assert np.abs(rig.template[upper] - rig.template[lower]).max() == 0.0
    for amount in (0.1, 0.5, 1.0):
        assert np.abs(gap(rig, jawOpen=amount, mouthClose=amount)).max() * MM < 1e-6
    difference = shape(rig, "mouthClose") + shape(rig, "jawOpen")
    assert np.abs(difference[upper] - difference[lower]).max() < 1e-6


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("jawOpen", 33.0, 37.0), ("mouthLowerDown", 8.5, 9.5), ("mouthUpperUp", 5.5, 6.5), ("mouthFunnel", 6.5, 7.5)],
)
def test_openings(rig: Rig, name: str, low: float, high: float) -> None:
    """Motion is made and measured in these millimetres; the opening is an oval that ends at the corners."""
    opening = gap(rig, **{name: 1.0})
    middle = len(opening) // 2
    assert low <= opening[middle] <= high
    assert opening.min() > 0 and opening[0] < 0.5 * opening[middle]
    assert np.all(np.diff(opening[: middle + 1]) > -0.1)


@pytest.mark.parametrize(
    "name",
    ["mouthPucker", "mouthStretch", "mouthSmile", "mouthDimple", "mouthFrown", "mouthLeft", "mouthRight", "mouthPress",
     "mouthRollUpper", "mouthRollLower", "mouthShrugUpper", "mouthShrugLower", "cheekPuff", "jawForward", "jawLeft"],
)  # fmt: skip
def test_shapes_that_do_not_open(rig: Rig, name: str) -> None:
    """A smile or a pucker alone must not part the lips."""
    assert np.abs(gap(rig, **{name: 1.0})).max() < 0.5


def test_pucker_narrows_and_protrudes(rig: Rig) -> None:
    pair = rig.lip_pairs[:, 0]
    rest, moved = rig.template[pair], rig.template[pair] + shape(rig, "mouthPucker")[pair]
    assert 0.55 < np.ptp(moved[:, 0]) / np.ptp(rest[:, 0]) < 0.66
    assert 6 * MM < shape(rig, "mouthPucker")[pair, 2][len(pair) // 2] < 8 * MM


def _lid(field: Field, spoke: int, ring: int = 0) -> int:
    match = (field.lid_ring == ring) & (field.layout.side > 0) & (field.layout.spoke == spoke % EYE_SPOKES)
    return int(np.flatnonzero(match)[0])


def test_blink_closes_every_identity(head: RigFile, field: Field) -> None:
    """Upper and lower lid meet within 0.3 mm all along; a slit would show white at each blink."""
    half = EYE_SPOKES // 2
    upper = [_lid(field, k) for k in range(half + 1)]
    lower = [_lid(field, EYE_SPOKES - k) for k in range(half + 1)]
    blink = shape(head.rig, "eyeBlinkLeft")
    for template in [head.rig.template, *(person.template for person in head.identities.values())]:
        closed = template + blink
        assert np.linalg.norm(closed[upper] - closed[lower], axis=1).max() < 0.3 * MM
        opened = template[upper[half // 2]] - template[lower[half // 2]]
        assert 9 * MM < np.linalg.norm(opened) < 12 * MM


@pytest.mark.parametrize(
    "name", ["eyeBlinkLeft", "eyeWideLeft", "eyeSquintLeft", "eyeLookDownLeft", "eyeLookUpLeft", "cheekSquintLeft"]
)
def test_lids_stay_outside_the_eyeball(head: RigFile, field: Field, name: str) -> None:
    """Blending is linear, so a lid cuts the corner of its arc: it must not cut the ball half-way."""
    lids = (field.lid_ring < 20) & (field.layout.side > 0)
    ball = field.layout.of("eyeball") & (field.layout.side > 0)
    offsets = shape(head.rig, name)
    for template in [head.rig.template, *(person.template for person in head.identities.values())]:
        center = template[ball].mean(0) - head.rig.template[ball].mean(0) + EYE_CENTER * MM
        for amount in (0.0, 0.25, 0.5, 0.75, 1.0):
            distance = np.linalg.norm(template[lids] + amount * offsets[lids] - center, axis=1)
            assert distance.min() > (EYE_RADIUS + 0.05) * MM


def test_blink_and_squint_together_stay_outside_the_eyeball(head: RigFile, field: Field) -> None:
    """Shapes add up: lids squeezed beyond where they meet must slide over each other, not into the ball."""
    lids = (field.lid_ring < 20) & (field.layout.side > 0)
    names = ("eyeBlinkLeft", "eyeSquintLeft", "cheekSquintLeft", "eyeLookDownLeft")
    offsets = np.stack([shape(head.rig, name)[lids] for name in names])
    for amounts in product((0.0, 0.5, 1.0), repeat=4):
        moved = head.rig.template[lids] + np.tensordot(amounts, offsets, 1)
        assert np.linalg.norm(moved - EYE_CENTER * MM, axis=1).min() > (EYE_RADIUS + 0.05) * MM, amounts


def test_the_upper_lid_covers_the_top_of_the_iris(rig: Rig, field: Field) -> None:
    """Eyes whose whole iris shows stare."""
    iris = field.layout.of("eyeball") & (field.layout.ring == 7)
    lid = rig.template[_lid(field, EYE_SPOKES // 4)]
    assert 0.5 * MM < rig.template[iris, 1].max() - lid[1] < 2.5 * MM


# Where each shape may move anything: mm from lowest to highest over the pupils, mm beside the middle, and the parts.
MOUTH = ("skin", "mouth")
JAW = ("skin", "mouth", "lower_teeth", "tongue")
LIDS = ("skin", "lash", "brow", "eyeball")
REACH: dict[str, tuple[float, float, float, tuple[str, ...]]] = {
    "eyeBlink": (-44, 36, 70, LIDS), "eyeLookDown": (-15, 15, 50, LIDS), "eyeLookUp": (-15, 15, 50, LIDS),
    "eyeLookIn": (-13, 13, 50, ("eyeball",)), "eyeLookOut": (-13, 13, 50, ("eyeball",)), "eyeSquint": (-44, 36, 70, LIDS),
    "eyeWide": (-15, 36, 70, LIDS),
    "jawForward": (-168, 2, 72, JAW), "jawLeft": (-168, 2, 72, JAW), "jawRight": (-168, 2, 72, JAW),
    "jawOpen": (-168, 2, 72, JAW),
    "mouthClose": (-100, -34, 56, MOUTH), "mouthFunnel": (-120, -8, 68, MOUTH), "mouthPucker": (-120, -8, 68, MOUTH),
    "mouthLeft": (-120, -12, 66, MOUTH), "mouthRight": (-120, -12, 66, MOUTH), "mouthSmile": (-120, 0, 70, MOUTH),
    "mouthFrown": (-120, -20, 64, MOUTH), "mouthDimple": (-102, -30, 60, MOUTH), "mouthStretch": (-120, -4, 70, MOUTH),
    "mouthRollLower": (-88, -64, 36, MOUTH), "mouthRollUpper": (-70, -48, 36, MOUTH), "mouthShrugLower": (-114, -34, 60, MOUTH),
    "mouthShrugUpper": (-70, -44, 44, MOUTH), "mouthPress": (-98, -36, 58, MOUTH), "mouthLowerDown": (-112, -64, 58, MOUTH),
    "mouthUpperUp": (-78, -16, 60, MOUTH),
    "browDown": (-8, 66, 64, ("skin", "brow")), "browInnerUp": (-8, 66, 68, ("skin", "brow")),
    "browOuterUp": (-8, 66, 72, ("skin", "brow")),
    "cheekPuff": (-116, 16, 70, MOUTH), "cheekSquint": (-62, 12, 70, LIDS), "noseSneer": (-68, 6, 44, ("skin",)),
    "tongueOut": (-86, -64, 20, ("tongue",)),
}  # fmt: skip


def test_shapes_are_local(rig: Rig, layout: Layout) -> None:
    """Each shape moves only what the table lets it, on its own side; none moves hair, ears, upper teeth or the back."""
    points = rig.template / MM
    for name in rig.names:
        side = 1 if name.endswith("Left") else -1 if name.endswith("Right") else 0
        base = name if name in REACH else name.removesuffix("Left").removesuffix("Right")
        low, high, aside, parts = REACH[base]
        moved = np.abs(shape(rig, name)).max(1) > 0
        x, y, z = points[moved].T
        assert low < y.min() and y.max() < high and np.abs(x).max() < aside and z.min() > -16, name
        assert {PARTS[part] for part in np.unique(layout.part[moved])} <= set(parts), name
        if side and base == name.removesuffix("Left").removesuffix("Right") and base in REACH and base != name:
            assert (side * x).min() > -10.5, name  # the middle eases out over a centimetre


def test_a_funnel_or_a_pucker_makes_an_open_mouth_round(rig: Rig) -> None:
    """An `oh` that stays a slot from corner to corner is no `oh`."""

    def slot(**amounts: float) -> float:
        opening = gap(rig, **amounts)
        x = rig.template[rig.lip_pairs[:, 0], 0] / MM
        moved = sum(amount * shape(rig, name)[rig.lip_pairs[:, 0], 0] / MM for name, amount in amounts.items())
        wide = np.ptp((x + moved)[opening > 0.15 * opening.max()])
        return float(wide / opening[len(opening) // 2])

    alone = slot(jawOpen=0.3)
    assert slot(jawOpen=0.3, mouthFunnel=1.0) < 0.5 * alone and slot(jawOpen=0.3, mouthPucker=1.0) < 0.65 * alone
    assert slot(jawOpen=0.5, mouthFunnel=0.5, mouthPucker=0.5) < 1.5


def test_lips_and_teeth_never_pass_through_each_other(head: RigFile, layout: Layout) -> None:
    """Teeth through a lip are what a viewer sees first; `benchmarks/head_contact.py` tries 2,000 vectors of speech."""
    coefficients = np.concatenate([np.zeros((1, 52)), speech_like(40, seed=3)])
    assert tooth_clearance(head.rig, layout, coefficients).min() > 0


def test_a_lip_would_be_found_among_the_teeth(rig: Rig, layout: Layout) -> None:
    """The measure sees what it is for: a jaw pushed forward as no speech does brings its teeth into the lip."""
    coefficients = np.zeros((1, 52))
    coefficients[0, rig.names.index("mouthRollLower")] = 1.0
    assert tooth_clearance(rig, layout, coefficients).min() < -0.5 * MM


def test_teeth_show_in_ee_and_ah_and_not_at_rest(rig: Rig, layout: Layout) -> None:
    """In `ee` both rows show their edges, in `ah` the lower ones more; a shut mouth shows none."""
    middle = len(rig.lip_pairs) // 2
    front = np.abs(rig.template[:, 0]) < 7 * MM

    def shown(**amounts: float) -> tuple[float, float]:
        vertices = rig.template + sum(amount * shape(rig, name) for name, amount in amounts.items())
        upper, lower = vertices[rig.lip_pairs[middle], 1]
        rows = [vertices[front & layout.of(part), 1] for part in ("upper_teeth", "lower_teeth")]
        return float(upper - rows[0].min()) / MM, float(rows[1].max() - lower) / MM

    ee = shown(jawOpen=0.07, mouthLowerDown=0.29, mouthUpperUp=0.11, mouthSmile=0.22, mouthStretch=0.16)
    ah = shown(jawOpen=0.30, mouthLowerDown=0.46, mouthUpperUp=0.14)
    assert 1.5 < ee[0] < 4 and 1.5 < ee[1] < 4
    assert 1.5 < ah[0] < 4 and 4 < ah[1] < 7
    assert gap(rig).max() == 0.0 and gap(rig, jawOpen=0.3, mouthClose=0.3).max() < 1e-3


def test_the_lower_lip_finds_the_upper_teeth_in_f(rig: Rig, field: Field) -> None:
    """f and v are made between lower lip and upper incisors."""
    layout, vertices = field.layout, rig.template.astype(np.float64)
    for name, amount in {"jawOpen": 0.05, "mouthClose": 0.04, "mouthRollLower": 0.30, "mouthUpperUp": 0.12}.items():
        vertices = vertices + amount * shape(rig, name)
    edge = vertices[layout.of("upper_teeth") & np.isin(layout.ring, (4, 5)) & (field.x < 8)]
    lip = vertices[(field.lip_ring >= -3) & (field.lip_ring <= 2) & (layout.spoke > 18) & (field.x < 8)]
    assert np.linalg.norm(edge[:, None] - lip[None], axis=-1).min() < 1.2 * MM


def test_teeth_belong_to_their_jaws(rig: Rig, layout: Layout) -> None:
    """The upper row never moves; the lower turns with the jaw as a rigid body (its full turn keeps distances)."""
    assert np.abs(rig.basis[:, layout.of("upper_teeth")]).max() == 0.0
    lower = np.flatnonzero(layout.of("lower_teeth"))
    rest, moved = rig.template[lower], rig.template[lower] + shape(rig, "jawOpen")[lower]
    before = np.linalg.norm(rest[:, None] - rest[None, ::7], axis=-1)
    after = np.linalg.norm(moved[:, None] - moved[None, ::7], axis=-1)
    assert np.abs(before - after).max() < 1e-5


def test_teeth_stay_behind_closed_lips(rig: Rig, layout: Layout) -> None:
    """Seen from the front, no tooth or tongue comes before the lips in shapes that keep the mouth shut."""
    inside = layout.of("upper_teeth") | layout.of("lower_teeth") | layout.of("tongue")
    pair = rig.lip_pairs[:, 0]
    for name in (None, "mouthPress", "mouthStretch", "mouthSmile", "mouthRollLower", "mouthPucker", "mouthDimple"):
        vertices = rig.template + (0 if name is None else shape(rig, name))
        line = vertices[pair]
        order = np.argsort(line[:, 0])
        within = inside & (np.abs(vertices[:, 0]) < np.abs(line[:, 0]).max())
        depth = np.interp(vertices[within, 0], line[order, 0], line[order, 2])
        assert np.all(vertices[within, 2] < depth), name


def test_faces_are_sound(head: RigFile, layout: Layout) -> None:
    """Faces turn outwards (positive volume, part by part), none is degenerate, every vertex is used."""
    faces = head.rig.faces
    assert np.array_equal(np.unique(faces), np.arange(len(head.rig.template)))
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges), "two faces turn the same way along one edge"
    for template in [head.rig.template, *(person.template for person in head.identities.values())]:
        corners = template[faces].astype(np.float64)
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
        assert area.min() > 1e-9
    corners = head.rig.template[faces].astype(np.float64)
    for part in ("skin", "eyeball", "upper_teeth", "lower_teeth", "tongue", "ear", "hair"):
        own = layout.of(part)[faces].all(1) & (layout.side[faces].max(1) > 0)
        at = corners[own] - corners[own].mean((0, 1))
        assert np.einsum("ij,ij->", at[:, 0], np.cross(at[:, 1], at[:, 2])) > 0, part


@pytest.mark.slow
def test_people(head: RigFile) -> None:
    """Twelve and more of one topology, all different, sealed; the stand-ins first, and said not to be the subjects."""
    assert tuple(head.identities) == tuple(person.name for person in PEOPLE) and len(PEOPLE) >= 12
    assert PEOPLE[:8] == STAND_INS and list(head.identities)[2] == "FaceTalk_170725_00137_TA"
    assert list(build_head().identities) == [person.name for person in STAND_INS]
    templates = [person.template for person in head.identities.values()]
    upper, lower = head.rig.lip_pairs.T
    for number, person in enumerate(head.identities.values()):
        assert person.template.shape == head.rig.template.shape and person.template.dtype == np.float32
        assert person.colors is not None and person.colors.shape == head.rig.template.shape
        stands_in = person.about.startswith("stand-in: ") and "not that person" in person.about
        assert stands_in == (number < 8) == person.name.startswith("FaceTalk_")
        assert np.abs(person.template[upper] - person.template[lower]).max() < 1e-6
    for i, one in enumerate(templates):
        for other in templates[:i]:
            assert np.sqrt(np.mean(np.sum((one - other) ** 2, axis=1))) > 2 * MM
