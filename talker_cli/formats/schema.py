"""Checked structures of files: JSON parsed by pydantic models, and a boundary that turns any exception into one line."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from talker_cli.errors import InputError, TalkerError


class Schema(BaseModel):
    """Base class of a file's JSON structure: exact types and finite numbers; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, strict=True, extra="ignore")


S = TypeVar("S", bound=BaseModel)
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]  # without control characters, which move a terminal's cursor

FrameRate = Annotated[float, Field(ge=1, le=1000)]  # frames a second; of smaller ones the times of frames overflow


def _path(text: str) -> str:
    """Refuse what no file system takes for a path."""
    size = len(text.encode(errors="surrogatepass"))
    if "\0" in text or size > 4096 or any(len(part.encode(errors="surrogatepass")) > 255 for part in text.split("/")):
        raise ValueError("no path that a file system allows")
    return text


PathText = Annotated[str, AfterValidator(_path)]


def parse(
    schema: type[S],
    value: Any,
    what: str,
    kind: type[TalkerError] = InputError,
    expected: str = "a file that talker wrote",
) -> S:
    """Return a JSON value as a checked structure.

    Args:
        schema: The structure: fields, types and bounds.
        value: JSON-able: dictionaries, lists, strings, numbers.
        what: The file that holds it, for the message.
        kind: The error to raise.
        expected: What the file should have been, for the message.

    Raises:
        TalkerError: of `kind`; a field is missing, of another type or out of bounds.
    """
    try:
        # As JSON, whose lists may be tuples; names of files that are not UTF-8 lose the bytes that JSON cannot hold.
        text = json.dumps(value, ensure_ascii=False).encode(errors="replace")
        checked = schema.model_validate_json(text)
        # The schema's fields are finite; those that it ignores are copied to outputs.
        if (b"NaN" in text or b"Infinity" in text) and (place := _not_finite(value)):
            raise kind(f"{what} is damaged ({place}, no finite number); expected {expected}")
        return checked
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "content"
        found = "" if first["type"] == "missing" else f", found {_short(first['input'])}"
        raise kind(f"{what} is damaged ({place}: {first['msg']}{found}); expected {expected}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise kind(f"{what} is damaged ({_first_line(error)}); expected {expected}") from error


@contextmanager
def reading(path: Path | str, expected: str, kind: type[TalkerError] = InputError) -> Iterator[None]:
    """Turn every exception of the block that is not a `TalkerError` into one: third-party readers raise what they like.

    Args:
        path: The file being read, for the message.
        expected: What it should have been: "a Wavefront OBJ of triangles or quads".
        kind: The error to raise.

    Raises:
        TalkerError: of `kind`; the file cannot be read or is damaged.
    """
    try:
        yield
    except TalkerError:
        raise
    except FileNotFoundError as error:
        raise kind(f"{path} does not exist; expected {expected}") from error
    except MemoryError as error:
        raise kind(f"{path} needs more memory than there is; expected {expected}") from error
    except OSError as error:
        raise kind(f"cannot read {path} ({error.strerror or _first_line(error)}); expected {expected}") from error
    except Exception as error:
        raise kind(f"{path} is damaged ({type(error).__name__}: {_first_line(error)}); expected {expected}") from error


def _not_finite(value: Any) -> str | None:
    """Return the place of the first number that is not finite, as "frames.8.weights.3 is nan"."""
    todo: list[tuple[str, Any]] = [("", value)]
    while todo:
        place, each = todo.pop()
        if isinstance(each, float) and not math.isfinite(each):
            return f"{place} is {each}"
        inner = each.items() if isinstance(each, dict) else enumerate(each) if isinstance(each, list | tuple) else ()
        todo += [(f"{place}.{key}" if place else str(key), item) for key, item in inner]
    return None


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _short(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."
