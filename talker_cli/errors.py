"""The mistakes a user can make, each with one line that says what was found, what was expected and what to do."""

import re


class TalkerError(Exception):
    """A failure that the user can fix. The command line prints it as one line and exits with code 2.

    Args:
        message: What was found, what was expected, what to do, without option names.
        field: The parameter at fault, as Python spells it; the command line adds its option: `fps` -> `--fps`.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(re.sub(r"\s*[\r\n]+\s*", " ", message))  # strings of foreign files may hold line breaks
        self.field = field


class InputError(TalkerError):
    """A file, recording, motion or dataset that cannot be used as it is."""


class ModelError(TalkerError):
    """Weights that are missing, damaged, or of another kind than the one asked for."""


class IdentityError(TalkerError):
    """A name that fits no identity, or more than one."""


class OutputError(TalkerError):
    """A place that cannot be written to."""


class MachineError(TalkerError):
    """Something of the machine is missing: a GPU, OpenGL, an external program."""
