"""What is measured of a face, in mm and degrees, a row a frame: from coefficients of the built-in head, or from any mesh.

| curve | shape | meaning |
|---|---|---|
| gap | (T,) | mean opening of nine inner-lip pairs, mm, never negative |
| width | (T,) | distance of the inner mouth corners, mm more than at rest |
| jaw | (T,) | how far the chin is under its place at rest, mm |
| lips | (T, P, 3) | offsets of the inner lips from rest, mm: the upper ones, the lower ones, the corners |
| lids | (T,) | mean height of both eyes' openings, mm |
| brows | (T,) | mean height of both brows over the eyes' corners, mm |
| gaze | (T, 2) | pitch (up is positive) and yaw (to the subject's left) of the eyes, degrees |
| head | (T, 3) | pitch, yaw and roll of the head, degrees |

A mesh has gap, width, jaw and lips alone.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import interp1d

from talker_cli.capture import landmarks as marks
from talker_cli.capture.fit import LandmarkModel
from talker_cli.errors import InputError
from talker_cli.rig import Rig

RATE = 100.0  # samples a second of all measures
MM = 1e3
EYEBALL = 12.9  # mm, radius
BROWS = (105, 66, 107, 334, 296, 336)
MIDDLE_OF_LIDS = (3, 4, 5)  # places in LID_UPPER and LID_LOWER
PAIR_SHARES = np.linspace(-0.82, 0.82, 9)  # of half the mouth's width: where a mesh's nine lip pairs are taken
MOUTH_WIDTHS = (25.0, 90.0)  # mm between the corners at rest: anything else is no mesh in metres
CHIN_BELOW = (30.0, 55.0)  # mm under the lips
OFF_MIDDLE = 3.0  # mm

Curves = dict[str, np.ndarray]


@dataclass(frozen=True)
class MeasuredMotion:
    """The curves of a motion, and their frames a second."""

    curves: Curves
    fps: float

    def resampled(self, seconds: float) -> Curves:
        """Return the curves at RATE over so many seconds: cubic between frames, held beyond them."""
        times = np.arange(int(seconds * RATE)) / RATE
        count = len(self.curves["gap"])
        if count < 4:
            nearest = np.clip(np.round(times * self.fps).astype(int), 0, count - 1)
            return {name: values[nearest] for name, values in self.curves.items()}
        frames = np.arange(count) / self.fps
        resampled = {
            name: np.asarray(
                interp1d(frames, values, kind="cubic", axis=0, bounds_error=False, fill_value=(values[0], values[-1]))(times)
            )
            for name, values in self.curves.items()
        }
        resampled["gap"] = np.maximum(resampled["gap"], 0.0)  # cubic curves swing below the frames
        return resampled


class FaceMeasures:
    """Measures of the built-in head from its coefficients, at the points that captures are bound to.

    Args:
        rig: The built-in head, with ARKit's coefficients.
    """

    def __init__(self, rig: Rig) -> None:
        lids = [row[k] for side in (*marks.LID_UPPER, *marks.LID_LOWER) for row, k in ((side, k) for k in MIDDLE_OF_LIDS)]
        pairs = [number for pair in marks.LIP_PAIRS for number in pair]
        still = (33, 133, 362, 263, marks.BRIDGE)
        ids = dict.fromkeys((*pairs, *marks.MOUTH_CORNERS, marks.CHIN, *still, *lids, *BROWS, *marks.IRIS))
        self.model = LandmarkModel(rig.face, tuple(ids))
        across = sorted(marks.LIP_PAIRS, key=lambda pair: self.model.rest[self.model.index[pair[0]], 0])  # as a mesh's
        upper, lower = zip(*across, strict=True)
        self._lips = self.model.places((*upper, *lower, *marks.MOUTH_CORNERS))
        self._corners = self.model.places(marks.MOUTH_CORNERS)
        self._brows, self._eyes = self.model.places(BROWS), self.model.places((33, 133, 362, 263))
        self._iris = self.model.places(marks.IRIS)

    def __call__(self, coefficients: np.ndarray, fps: float) -> MeasuredMotion:
        """Measure coefficients (T, 52), or (T, 55) with the head's rotation; the face is measured with the head at rest."""
        model = self.model
        face, rotation = np.split(coefficients.astype(np.float64), [model.basis.shape[2]], axis=1)
        points = MM * (model.rest + np.einsum("pdk,tk->tpd", model.basis, face))
        rest = MM * model.rest
        jaw = points[:, model.index[marks.CHIN], 1] - points[:, model.index[marks.BRIDGE], 1]
        at_rest = rest[model.index[marks.CHIN], 1] - rest[model.index[marks.BRIDGE], 1]
        iris = (points[:, self._iris] - rest[self._iris]).mean(1)
        curves = {
            "gap": model.gap(points),
            "width": _distance(points[:, self._corners]) - _distance(rest[None, self._corners]),
            "jaw": at_rest - jaw,
            "lips": points[:, self._lips] - rest[self._lips],
            "lids": model.lids(points),
            "brows": points[:, self._brows, 1].mean(1) - points[:, self._eyes, 1].mean(1),
            "gaze": np.degrees(np.arcsin(np.clip(iris[:, (1, 0)] / EYEBALL, -1, 1))),
        }
        if rotation.shape[1]:
            curves["head"] = np.degrees(rotation)
        return MeasuredMotion(curves, fps)


class MeshMeasures:
    """Measures of any mesh with known inner-lip pairs, +y up, +z out of the face, metres.

    Args:
        template: (V, 3) the neutral face.
        lip_pairs: (P, 2) upper and lower inner-lip vertices; the outermost on either side are the corners.

    Raises:
        InputError: there are too few pairs, or the mouth has no human size.
    """

    def __init__(self, template: np.ndarray, lip_pairs: np.ndarray) -> None:
        self.rest = MM * template.astype(np.float64)
        if len(lip_pairs) < 3:
            raise InputError(f"found {len(lip_pairs)} lip pairs; expected 3 or more, from corner to corner", field="lip_pairs")
        across = self.rest[lip_pairs, 0].mean(1)
        self.corners = np.array([lip_pairs[across.argmin(), 0], lip_pairs[across.argmax(), 0]])
        width = float(_distance(self.rest[None, self.corners])[0])
        if not MOUTH_WIDTHS[0] <= width <= MOUTH_WIDTHS[1]:
            raise InputError(
                f"found a mouth {width:.3g} mm wide at rest; expected 25 to 90 mm, lip pairs from corner to corner of a face "
                "in metres; scale the face and its motions",
                field="lip_pairs",
            )
        middle = across.mean()
        wanted = middle + PAIR_SHARES * np.abs(across - middle).max()
        self.upper, self.lower = lip_pairs[np.abs(across[None] - wanted[:, None]).argmin(1)].T
        self.lips = np.concatenate([self.upper, self.lower, self.corners])
        self.chin = self._chin(middle)

    def _chin(self, middle: float) -> int | None:
        """Return the frontmost vertex of the chin, None where the mesh has none."""
        below = self.rest[self.upper, 1].mean() - self.rest[:, 1]
        inside = (np.abs(self.rest[:, 0] - middle) < OFF_MIDDLE) & (below > CHIN_BELOW[0]) & (below < CHIN_BELOW[1])
        places = np.flatnonzero(inside)
        return int(places[self.rest[places, 2].argmax()]) if len(places) else None

    def __call__(self, vertices: np.ndarray, fps: float) -> MeasuredMotion:
        """Measure vertices (T, V, 3), metres."""
        lips = MM * vertices[:, self.lips].astype(np.float64)
        offsets = lips - self.rest[self.lips]
        pairs = len(self.upper)
        curves = {
            "gap": np.maximum(offsets[:, :pairs, 1] - offsets[:, pairs:-2, 1], 0).mean(1),
            "width": _distance(lips[:, -2:]) - _distance(self.rest[None, self.corners]),
            "lips": offsets,
        }
        if self.chin is not None:
            curves["jaw"] = self.rest[self.chin, 1] - MM * vertices[:, self.chin, 1].astype(np.float64)
        return MeasuredMotion(curves, fps)


def _distance(points: np.ndarray) -> np.ndarray:
    """Return (T,) the distance of two points (T, 2, 3)."""
    return np.asarray(np.linalg.norm(points[:, 1] - points[:, 0], axis=-1))
