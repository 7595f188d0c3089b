"""Bind MediaPipe's landmarks to a mesh, as they are seen on it: tools/bind_mesh.py MESH face_landmarker.task > table.json.

This made talker_cli/rigging/gnm.json, of the template of GNM 3 in its paint. The table names for each landmark up to three
vertices and their weights.
"""

import json
import sys
from pathlib import Path

import numpy as np

from talker_cli.formats.mesh import read_mesh
from talker_cli.rigging.landmarks import cast, find_landmarks


def main() -> None:
    """Print the table."""
    path = Path(sys.argv[1])
    mesh = read_mesh(path)
    points = find_landmarks(path, mesh, Path(sys.argv[2]))
    hit, shares = cast(mesh.vertices, mesh.faces, np.array(list(points.values()))[:, :2])
    rows = []
    for number, face, weights in zip(points, hit, shares, strict=True):
        entry = [[int(v), round(float(w), 4)] for v, w in zip(mesh.faces[face], weights, strict=True) if w > 5e-5]
        rows += [f'"{number}": {json.dumps(entry)}'] if face >= 0 else []
    print("{\n" + ",\n".join(rows) + "\n}")


if __name__ == "__main__":
    main()
