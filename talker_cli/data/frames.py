"""Files of captured vertices, (T, V, 3) or (T, V*3), float32 or float64, read a few rows at a time.

Each read maps the file anew, so that the pages it touched do not stay in memory.
"""

from pathlib import Path

import numpy as np

from talker_cli.errors import InputError
from talker_cli.formats.npy import read_npy


class FrameFile:
    """An `.npy` file of vertices.

    Args:
        path: the file.
        vertex_count: V of the mesh that it must fit.
        scale: metres of the file's unit.

    Raises:
        InputError: the file is missing, cut short, not of floats, or of another mesh.
    """

    def __init__(self, path: Path, vertex_count: int, scale: float = 1.0) -> None:
        self.path, self.vertex_count, self.scale = Path(path), vertex_count, scale
        array = self._map()
        if array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8):
            raise InputError(f"{path} holds {array.dtype}; expected float32 or float64 vertices; export it again")
        if array.shape[1:] not in ((vertex_count, 3), (vertex_count * 3,)):
            raise InputError(
                f"{path} has the shape {array.shape}; expected (T, {vertex_count}, 3) or (T, {vertex_count * 3}), "
                f"as the template has {vertex_count} vertices; give the clips and the template of one mesh"
            )
        self.frames = len(array)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return rows (N, V, 3) float32, metres."""
        array = self._map()
        if len(rows) > 1 and (np.diff(rows) == rows[1] - rows[0]).all() and rows[1] > rows[0]:
            block = array[rows[0] : rows[-1] + 1 : rows[1] - rows[0]]  # read in one sweep
        else:
            block = array[rows]
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(np.multiply(block, self.scale, dtype=np.float64), np.float32).reshape(-1, self.vertex_count, 3)

    def _map(self) -> np.ndarray:
        array = read_npy(self.path, "vertices (T, V, 3) as a whole .npy file")
        if array.ndim < 2:
            raise InputError(f"{self.path} holds no frames of vertices; expected a .npy array (T, V, 3)")
        return array
