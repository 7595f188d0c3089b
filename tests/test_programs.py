"""Programs of the machine that are missing, fail or hang: one line, and no wait without end."""

import pytest

from talker_cli.corpus.align.phonetics import check_voice, ipa_clauses
from talker_cli.corpus.align.programs import run_program
from talker_cli.errors import InputError, MachineError


def test_a_program_that_works() -> None:
    """Breaks if its input does not reach it, or its output does not come back."""
    assert run_program(["cat"], "coreutils", stdin=b"a\xff") == b"a\xff"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["no-such-program"], "no-such-program was not found"),
        (["ls", "/no/such/folder"], r"ls failed with exit code 2 \(.*ls: cannot access"),
        (["false"], r"exit code 1 \(no message\)"),
        (["sleep", "9"], r"sleep did not end within 0.1 s"),
    ],
)
def test_a_program_that_does_not(command: list[str], words: str) -> None:
    """Breaks if a synthesiser's failure is a traceback, says nothing of why, or is waited for without end."""
    with pytest.raises(MachineError, match=words) as caught:
        run_program(command, "coreutils", seconds=0.1)
    assert "\n" not in str(caught.value) and "apt-get install coreutils" in str(caught.value)


def test_a_voice_that_espeak_has_not() -> None:
    """Breaks if a missing voice ends in a traceback."""
    try:
        ipa_clauses("a", "en")
    except MachineError as error:
        pytest.skip(str(error))
    with pytest.raises(MachineError, match="espeak-ng failed with exit code 1"):
        ipa_clauses("a", "zzz")
    with pytest.raises(InputError, match="found the language 'zzz'"):
        check_voice("zzz")
