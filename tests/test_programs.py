"""Programs of the machine that are missing, fail or hang: one line, and a bounded wait."""

import pytest

from talker_cli.corpus.align.phonetics import check_voice, ipa_clauses
from talker_cli.corpus.align.programs import run_program
from talker_cli.errors import InputError, MachineError


def test_a_working_program() -> None:
    """Breaks if its input does not reach it, or its output does not come back."""
    assert run_program(["cat"], "coreutils", stdin=b"a\xff") == b"a\xff"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["no-such-program"], "no-such-program was not found"),
        (["ls", "/no/such/folder"], r"ls failed with exit code 2 \(.*ls: cannot access"),
        (["false"], r"exit code 1 \(no message\)"),
        (["sleep", "9"], r"sleep did not end within 0.1 s"),
    ],
)
def test_a_failing_program(command: list[str], message: str) -> None:
    """Breaks if a synthesiser's failure is a traceback, gives no reason, or hangs."""
    with pytest.raises(MachineError, match=message) as caught:
        run_program(command, "coreutils", seconds=0.1)
    assert "\n" not in str(caught.value) and "apt-get install coreutils" in str(caught.value)


def test_a_voice_missing_from_espeak() -> None:
    """Breaks if a missing voice ends in a traceback."""
    try:
        ipa_clauses("a", "en")
    except MachineError as error:
        pytest.skip(str(error))
    with pytest.raises(MachineError, match="espeak-ng failed with exit code 1"):
        ipa_clauses("a", "zzz")
    with pytest.raises(InputError, match="found the language 'zzz'"):
        check_voice("zzz")
