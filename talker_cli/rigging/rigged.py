"""A neutral mesh with ARKit's 52 shapes: landmarks, registration, transfer; and how far the registration is off."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from talker_cli.capture.tracker import tracker_file
from talker_cli.formats.mesh import Mesh, Surface
from talker_cli.rig import ARKIT_NAMES, Rig
from talker_cli.rigging.bind import bound_shapes, lip_pairs_of
from talker_cli.rigging.contours import on_contours
from talker_cli.rigging.landmarks import Points, cast, find_landmarks, known_landmarks, read_landmarks
from talker_cli.rigging.register import FACING, Registered, register
from talker_cli.rigging.source import MM, Source, built_in, shape
from talker_cli.rigging.target import Target
from talker_cli.rigging.transfer import sealing, transferred

FPS = 30.0
MEASURED = 1500  # vertices, at most, that a distance is measured at
SEEN = 0.5  # mm behind the foremost point of the skin
LARGEST = 20.0  # mm of a distance that counts
REGION = 4.0  # mm from a vertex of a region of the built-in head to one of the mesh that belongs to it


@dataclass(frozen=True)
class Rigged:
    """A mesh with shapes.

    Args:
        rig: Its rig, metres.
        face: Mean distance, mm, of the mesh's face, as seen from the front, from the registered head.
        lips: The same of its lips.
    """

    rig: Rig
    face: float
    lips: float

    @property
    def summary(self) -> str:
        """One line for the user."""
        return (
            f"{len(self.rig.template)} vertices, {len(self.rig.face_names)} shapes; registered to {self.face:.2f} mm over the "
            f"face and {self.lips:.2f} mm at the lips (means), {len(self.rig.lip_pairs)} lip pairs"
        )


def rig_mesh(path: Path, mesh: Mesh, landmarks: Path | None = None, tracker: Path | None = None) -> Rigged:
    """Give a neutral mesh ARKit's shapes.

    Args:
        path: File that errors name.
        mesh: The mesh, metres, +y up, +z out of the face.
        landmarks: File of landmarks, None for those of a known topology, or found in a picture of the mesh.
        tracker: MediaPipe's `face_landmarker.task`; None looks for it where `capture` does.

    Raises:
        InputError: it is no head, two heads, or one whose mouth cannot open.
        MachineError: landmarks are to be found, and what that needs is not there.
    """
    vertices = MM * mesh.vertices.astype(np.float64)
    if landmarks is not None:
        points = read_landmarks(landmarks, vertices)
    elif (known := known_landmarks(vertices)) is not None:
        points = known
    else:
        points = {number: MM * point for number, point in find_landmarks(path, mesh, tracker_file(tracker)).items()}
    return rig_at(path, mesh, points)


def rig_at(path: Path, mesh: Mesh, points: Points) -> Rigged:
    """Give a neutral mesh, metres, with known landmarks, millimetres, ARKit's shapes.

    Raises:
        InputError: it is no head, two heads, or one whose mouth cannot open.
    """
    target = Target(path, MM * mesh.vertices.astype(np.float64), mesh.faces, points)
    target.points.update(on_contours(target))
    source = built_in()
    registered = register(source, target)
    shapes = bound_shapes(source, registered, transferred(source, registered), target)
    regions = _regions(source, registered, target)
    pairs = lip_pairs_of(source, registered, target)
    if len(pairs):
        shapes[shape("mouthClose")] += sealing(shapes, pairs, target.vertices, target.skin_faces, pairs)
    rig = Rig(
        template=mesh.vertices.astype(np.float32),
        faces=mesh.faces,
        basis=(shapes / MM).astype(np.float32),
        names=ARKIT_NAMES,
        regions=regions,
        lip_pairs=pairs,
        fps=FPS,
        colors=mesh.colors,
    )
    return Rigged(rig, *_errors(source, registered, target, regions["lips"]))


def _regions(source: Source, registered: Registered, target: Target) -> dict[str, np.ndarray]:
    """Return the built-in head's regions of the skin, on the mesh; and its eyeballs."""
    skin = np.flatnonzero(source.seen)
    distance, nearest = cKDTree(registered.vertices[skin]).query(target.vertices)
    near = target.skin & (distance < REGION)
    regions = {name: near & source.rig.regions[name][skin[nearest]] for name in ("lips", "upper_face")}
    eyes = np.zeros(len(target.vertices), dtype=bool)
    for ball in target.eyeballs:
        eyes |= ball.vertices
    return {**regions, "eyes": eyes}


def _errors(source: Source, registered: Registered, target: Target, lips: np.ndarray) -> tuple[float, float]:
    """Return the mean distances, mm, of the mesh's face and of its lips, as seen from the front, from the registered skin."""
    chin, root, tip = (target.points[number] for number in (152, 168, 1))
    x, y, z = target.vertices.T
    aside = np.linalg.norm(target.points[33] - target.points[263])  # of the middle, where cheeks turn to the side
    face = (
        target.skin & (y > chin[1]) & (y < 2 * root[1] - tip[1]) & (np.abs(x - tip[0]) < 0.75 * aside) & (z > root[2] - aside)
    )
    places = np.flatnonzero(face)
    places = places[:: -(-len(places) // MEASURED)]
    places = np.union1d(places, np.flatnonzero(lips)[:: -(-int(lips.sum()) // MEASURED)])
    hit, shares = cast(target.vertices, target.skin_faces, target.vertices[places, :2])
    depth = np.einsum("nk,nk->n", shares, target.vertices[target.skin_faces[hit], 2])
    places = places[(hit >= 0) & (np.abs(depth - z[places]) < SEEN)]
    surface = Surface(registered.vertices, source.faces[source.sheet[source.faces].all(1)])
    distance = np.minimum(surface.nearest(target.vertices[places], target.normals[places], FACING)[2], LARGEST)
    return float(distance[face[places]].mean()), float(distance[lips[places]].mean())
