"""The platform's places for programs' files: this user's data, and what can be fetched again."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def user_folder(variables: Mapping[str, str], below_home: Mapping[str, str]) -> Path | None:
    """Return talker's folder in one of these places, None where there is no home folder.

    Args:
        variables: Names of the environment variables that may name the place, by `sys.platform`; "" stands for all others.
        below_home: Where it is below the home folder otherwise, likewise.
    """
    given = os.environ.get(variables.get(sys.platform, variables[""]), "")
    # The specification says that a relative path is to be ignored. macOS has no such variable.
    if sys.platform != "darwin" and Path(given).is_absolute():
        return Path(given) / "talker"
    try:
        return Path.home() / below_home.get(sys.platform, below_home[""]) / "talker"
    except RuntimeError:  # a container's user without an entry in passwd
        return None
