"""The built-in head as what is registered: its skin and mouth, the lip of each vertex, and what meets when it shuts."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from talker_cli.capture.fit import BINDING, binding_weights, read_binding
from talker_cli.head.assemble import build_head, rest_head
from talker_cli.head.skin import EYE_SPOKES, MOUTH_RINGS, MOUTH_SPOKES
from talker_cli.rig import ARKIT_NAMES, Rig

MM = 1e3  # in a metre
FIRST_IRIS = 468  # landmarks from this one on are of the irises
CORNER = 1  # spokes beside the corner of the mouth that belong to both lips


@dataclass(frozen=True)
class Source:
    """The built-in head, millimetres.

    Args:
        rig: The head's rig, metres.
        vertices: (V, 3).
        faces: (F, 3).
        shapes: (52, V, 3) offsets in the order of ARKIT_NAMES.
        sheet: (V,) bool, skin and mouth: the surface that is registered.
        seen: (V,) bool, the skin that can be seen: without linings of lids, nostrils and lips.
        lip: (V,) int, 1 on the upper lip's half of the mouth, -1 on the lower one's, 0 on both and elsewhere.
        balls: (V,) bool, eyeballs.
        teeth: (V,) int, 1 on the upper teeth, -1 on the lower ones, 0 elsewhere.
        tongue: (V,) bool.
        lips: (P, 2) upper and lower vertices that meet when the mouth closes.
        lids: (Q, 2) upper and lower vertices that meet when the eyes close.
        numbers: N landmarks that it is bound to.
        weights: (N, V) of the vertices that each landmark is made of.
    """

    rig: Rig
    vertices: np.ndarray
    faces: np.ndarray
    shapes: np.ndarray
    sheet: np.ndarray
    seen: np.ndarray
    lip: np.ndarray
    balls: np.ndarray
    teeth: np.ndarray
    tongue: np.ndarray
    lips: np.ndarray
    lids: np.ndarray
    numbers: tuple[int, ...]
    weights: np.ndarray

    @cached_property
    def place(self) -> np.ndarray:
        """(V,) the number of each vertex of the sheet among them, -1 elsewhere."""
        place = np.full(len(self.vertices), -1)
        place[self.sheet] = np.arange(int(self.sheet.sum()))
        return place

    @cached_property
    def sheet_faces(self) -> np.ndarray:
        """(G, 3) the sheet's faces, of its own vertices."""
        return np.asarray(self.place[self.faces[self.sheet[self.faces].all(1)]])


@cache
def built_in() -> Source:
    """Return the built-in head with its labels."""
    pairs, field, _ = rest_head()
    layout, rig = field.layout, build_head(()).rig
    skin, mouth = layout.of("skin"), layout.of("mouth")
    ring, spoke = layout.ring, layout.spoke
    round_mouth = (skin | mouth) & (ring >= -6) & (ring < MOUTH_RINGS)
    half = MOUTH_SPOKES // 2
    lip = np.where(round_mouth & (spoke < half - CORNER), 1, 0) - np.where(round_mouth & (spoke > half + CORNER), 1, 0)
    lining = (ring > 90) & (ring < 100) | (ring > 60) & (ring < 64)
    margin = skin & (ring == 100)
    lids = []
    for side in (1, -1):
        rows = np.flatnonzero(margin & (layout.side == side))
        rows = rows[np.argsort(spoke[rows])]
        lids += [(rows[k], rows[EYE_SPOKES - k]) for k in range(1, EYE_SPOKES // 2)]
    binding = {number: entry for number, entry in read_binding(BINDING).items() if number < FIRST_IRIS}
    return Source(
        rig=rig,
        vertices=layout.points,
        faces=layout.faces,
        shapes=MM * rig.basis.astype(np.float64),
        sheet=skin | mouth,
        seen=skin & ~lining & ~((ring == 0) & round_mouth),
        lip=lip,
        balls=layout.of("eyeball") | layout.of("glint"),
        teeth=layout.of("upper_teeth") * 1 - layout.of("lower_teeth") * 1,
        tongue=layout.of("tongue"),
        lips=pairs,
        lids=np.array(lids),
        numbers=tuple(binding),
        weights=binding_weights(binding, tuple(binding), len(layout.points)),
    )  # fmt: skip


def shape(name: str) -> int:
    """Return the number of an ARKit shape."""
    return ARKIT_NAMES.index(name)
