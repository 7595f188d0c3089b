"""What a file's JSON may hold: everything else is refused in one line that names the place."""

import json
from typing import Any

import pytest
from pydantic import Field

from talker_cli.errors import InputError, ModelError
from talker_cli.formats.schema import PathText, Schema, parse, reading


class Sidecar(Schema):
    fps: float = Field(gt=0)
    identity: str
    shape: tuple[int, int] = (1, 1)


def test_a_whole_structure_is_returned() -> None:
    """Breaks if lists are no tuples, or whole numbers no rates."""
    assert parse(Sidecar, {"fps": 30, "identity": "a", "shape": [2, 3]}, "f").model_dump() == {
        "fps": 30.0, "identity": "a", "shape": (2, 3),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"identity": "a"}, "fps"), ({"fps": "30", "identity": "a"}, "fps"), ({"fps": float("nan"), "identity": "a"}, "fps"),
        ({"fps": 0, "identity": "a"}, "fps"), ({"fps": 30, "identity": ["a"]}, "identity"),
        ({"fps": True, "identity": "a"}, "fps"),
        ({"fps": 30, "identity": "a", "shape": [1]}, "shape"), ([], "content"), (None, "content"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(value: Any, place: str) -> None:
    """Breaks if a field of another type, out of bounds or missing passes for whole."""
    with pytest.raises(ModelError, match=rf"out\.json is damaged \({place}") as caught:
        parse(Sidecar, value, "out.json", ModelError)
    assert "\n" not in str(caught.value)


def test_nesting_without_end_is_refused() -> None:
    """Breaks if brackets inside brackets end in a traceback."""
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InputError):
        parse(Sidecar, value, "out.json")


@pytest.mark.parametrize(
    "error", [RecursionError("deep"), OverflowError("big"), MemoryError(), KeyError("x"), OSError(5, "I/O error")]
)
def test_no_exception_of_a_reader_passes_the_boundary(error: Exception) -> None:
    """Breaks if a third-party reader's exception reaches the user."""
    with pytest.raises(InputError, match=r"face\.obj.*expected a mesh"), reading("face.obj", "a mesh"):
        raise error


def test_interruptions_and_our_own_errors_pass_the_boundary() -> None:
    """Breaks if Ctrl-C reads as a damaged file, or one of our messages is wrapped in another."""
    with pytest.raises(KeyboardInterrupt), reading("f", "a mesh"):
        raise KeyboardInterrupt
    with pytest.raises(ModelError, match=r"^ours$"), reading("f", "a mesh"):
        raise ModelError("ours")


def test_deep_json_text_is_read_or_refused() -> None:
    """Breaks if the decoder's own recursion limit passes."""
    with pytest.raises(InputError), reading("deep.json", "JSON"):
        json.loads("[" * 200_000)


@pytest.mark.parametrize("extra", [float("nan"), [float("-inf")], {"a": {"b": 1e400}}])
def test_numbers_that_are_not_finite_are_refused_in_fields_that_are_copied(extra: Any) -> None:
    """Breaks if a field that the schema does not name carries NaN into the outputs; the words alone are text."""
    whole = {"fps": 30.0, "identity": "a"}
    with pytest.raises(InputError, match=r"^a\.json is damaged \(.* no finite number\)"):
        parse(Sidecar, {**whole, "extra": extra}, "a.json")
    assert parse(Sidecar, {**whole, "extra": "NaN and Infinity"}, "a.json") == parse(Sidecar, whole, "a.json")


@pytest.mark.parametrize("text", ["a" * 256, "é" * 128, "a/" * 2049, "a\0b", "ok/" + "b" * 300])
def test_paths_that_no_file_system_takes_are_refused(text: str) -> None:
    """Breaks if a path in a file ends in the operating system's own error."""

    class Named(Schema):
        path: PathText

    with pytest.raises(InputError, match=r"path: .*no path"):
        parse(Named, {"path": text}, "out.json")
    assert parse(Named, {"path": "é/" + "a" * 255}, "out.json").path.startswith("é/")
