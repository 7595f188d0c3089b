"""The one module that imports ONNX Runtime: graphs, on one thread of the CPU."""

from pathlib import Path
from typing import Any

from talker_cli.errors import MachineError, ModelError
from talker_cli.formats.schema import reading


def open_graph(path: Path, expected: str) -> Any:
    """Return a session of a graph, whose weights lie in its own file alone.

    Raises:
        ModelError: it is missing or damaged.
        MachineError: ONNX Runtime is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MachineError("found no ONNX Runtime; expected it to run a student; pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    # Ten seconds take half a second on one core; two threads on a busy machine wait for each other.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    with reading(path, expected, ModelError):
        # From its bytes: a graph that names other files is refused.
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
