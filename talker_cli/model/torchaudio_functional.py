"""The one place that imports torchaudio, of which talker uses the functions in Python alone.

Its compiled part wants the very torch that it was built for: a build for CUDA beside a torch for the CPU fails at the import.
The filters and resamplers need none of it, so where it cannot be loaded a module that says so stands in for it.
"""

import sys
from types import ModuleType
from typing import Any

EXTENSION = "torchaudio._extension"


def functional() -> Any:
    """Return `torchaudio.functional`, whatever torch its compiled part was built for."""
    try:
        import torchaudio.functional
    except (ImportError, OSError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules[EXTENSION] = _without_extension()
        import torchaudio.functional
    return torchaudio.functional


def _without_extension() -> ModuleType:
    """Return a module with the names that torchaudio looks for, saying that the compiled part is absent."""

    def unavailable(function: Any) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("torchaudio's compiled part does not fit this torch; expected a build of both for one device")

        return fail

    module = ModuleType(EXTENSION)
    for name in ("_IS_TORCHAUDIO_EXT_AVAILABLE", "_IS_ALIGN_AVAILABLE", "_IS_RIR_AVAILABLE"):
        setattr(module, name, False)
    setattr(module, "fail_if_no_align", unavailable)  # noqa: B010, the module has no such attribute to mypy
    setattr(module, "_check_cuda_version", lambda: None)  # noqa: B010
    return module
