"""Running synthesisers and other programs of the machine; a missing, failing or hanging one is a one-line error."""

import shutil
import subprocess
from collections.abc import Sequence

from talker_cli.errors import MachineError

SECONDS = 300.0  # time limit of one run


def program(name: str, packages: str) -> str:
    """Return a program's path.

    Args:
        name: Name of the program.
        packages: Debian packages that contain it.

    Raises:
        MachineError: The program is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise MachineError(f"{name} was not found; the corpus needs it; run: apt-get install {packages}")
    return path


def run_program(command: Sequence[str], packages: str, *, stdin: bytes = b"", seconds: float = SECONDS) -> bytes:
    """Run a program and return its standard output.

    Args:
        command: Name of the program and its arguments.
        packages: Debian packages that contain the program and its voices.
        stdin: Standard input.
        seconds: Time limit.

    Raises:
        MachineError: The program is missing, fails, or takes too long.
    """
    path = program(command[0], packages)
    advice = f"expected a working program with its voices; run: apt-get install {packages}"
    try:
        run = subprocess.run([path, *command[1:]], input=stdin, capture_output=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"{command[0]} did not end within {seconds:g} s; {advice}") from error
    except OSError as error:
        raise MachineError(f"{command[0]} cannot be run ({error.strerror}); {advice}") from error
    if run.returncode:
        message = " ".join(run.stderr.decode(errors="replace").split())[:100]
        raise MachineError(f"{command[0]} failed with exit code {run.returncode} ({message or 'no message'}); {advice}")
    return run.stdout
