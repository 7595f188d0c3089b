"""Peak memory of this process."""

import resource
import sys

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in one of getrusage's ru_maxrss


def peak_memory() -> int:
    """Return the peak resident memory of this process, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
