"""A user's own captures: a folder of `NAME.npy`, (T, V, 3) or (T, V*3), with `NAME.wav` beside each and one template mesh."""

from pathlib import Path

import numpy as np

from talker_cli.data.captures import Captures
from talker_cli.data.folders import find_pairs, identities_of
from talker_cli.data.frames import FrameFile
from talker_cli.data.regions import read_lip_pairs, read_regions
from talker_cli.data.sequences import NOT_STATED, Source
from talker_cli.errors import InputError
from talker_cli.formats.mesh import Mesh, read_mesh

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
FACE = (0.08, 0.8)  # metres, the height of a face alone, and of a bust
MESHES = (".ply", ".obj", ".glb", ".npz")


def open_vertices(
    folder: Path,
    *,
    template: Path,
    source_fps: float,
    unit: str = "m",
    regions: tuple[Path, ...] = (),
    lip_pairs: Path | None = None,
    table: Path | None = None,
    identity: str | None = None,
    licence: str | None = None,
) -> Captures:
    """Return a folder of captured vertices.

    Args:
        template: Neutral face whose vertices the clips move; the folder's `templates/IDENTITY.ply` overrides it.
        source_fps: Frame rate of the captures, which the files do not state.
        unit: Length unit of the vertices, a key of METRES.
        regions: Region files; empty to derive the regions.
        lip_pairs: File of lip pairs, or None to find them.
        table: CSV table of the clips, or None.
        identity: Identity of all clips; None reads it from the file's name.
        licence: Licence of the captures, None if it is not stated.

    Raises:
        InputError: a file is damaged, or the folder holds no clips.
    """
    scale = METRES[unit]
    mesh = read_mesh(template)
    check_size(template, mesh, unit)
    clips, notes = find_pairs(folder, ".npy", table=table, identity=identity)
    count = len(mesh.vertices)
    sequences = []
    for clip in clips:
        frames = FrameFile(clip.motion, count, scale)
        sequences.append(clip.sequence(frames.frames, frames))
    identities = identities_of(clips)
    return Captures(
        source=Source(
            "captured vertices", licence or NOT_STATED, source_fps, tuple(sequences), identities, {"unit": unit, **notes}
        ),
        faces=mesh.faces,
        templates={name: _template_of(name, folder, template, mesh) * np.float32(scale) for name in identities},
        regions=read_regions(regions, count) if regions else {},
        regions_from=", ".join(path.name for path in regions),
        lip_pairs=read_lip_pairs(lip_pairs, count) if lip_pairs else None,
        about="captured",
    )


def check_size(path: Path, mesh: Mesh, unit: str) -> None:
    """Refuse a mesh whose height in a unit is no face's.

    Raises:
        InputError: it is not.
    """
    height = float(np.ptp(mesh.vertices[:, 1])) * METRES[unit]
    if FACE[0] <= height <= FACE[1]:
        return
    other = next((name for name, metres in METRES.items() if FACE[0] <= height / METRES[unit] * metres <= FACE[1]), None)
    hint = f"set the unit to {other}" if other else "scale it, and turn it so that +y is up"
    raise InputError(
        f"{path} is {height:.4g} m high in the unit {unit}; expected a face of {FACE[0]} to {FACE[1]} m; {hint}", field="unit"
    )


def _template_of(identity: str, folder: Path, template: Path, mesh: Mesh) -> np.ndarray:
    """Return an identity's own neutral face from the folder `templates` beside the clips, else the common one."""
    own = next((path for end in MESHES if (path := folder / "templates" / f"{identity}{end}").is_file()), None)
    if own is None:
        return mesh.vertices
    vertices = read_mesh(own).vertices
    if vertices.shape != mesh.vertices.shape:
        raise InputError(f"{own} has {len(vertices)} vertices, {template} {len(mesh.vertices)}; expected faces of one mesh")
    return vertices
