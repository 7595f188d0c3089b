"""Settings as TOML: a dataclass's plain fields are one table, and each dataclass in it is a table of its own."""

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from talker_cli.errors import InputError
from talker_cli.formats.schema import reading

Tables = dict[str, dict[str, Any]]
ConfigT = TypeVar("ConfigT")

EXPECTED: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text in quotes",
    str | None: "a text in quotes",
    tuple[int, ...]: "whole numbers, as [1, 2, 4]",
}


def tables_of(config: Any, own: str) -> Tables:
    """Return a dataclass as tables: `own` with its plain fields, then a table for each dataclass in it, by its field's name."""
    tables: Tables = {own: {}}
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            tables[field.name] = {each.name: getattr(value, each.name) for each in fields(value)}
        else:
            tables[own][field.name] = value
    return tables


def changed(config: ConfigT, own: str, tables: Mapping[str, Any], origin: str) -> ConfigT:
    """Return a config in which the fields that `tables` names have its values.

    Args:
        config: a dataclass.
        own: what its own plain fields' table is called.
        tables: as `tables_of` gives them, with lists for tuples; they may lack tables and fields.
        origin: where they come from, for the error.

    Raises:
        InputError: a table or a field is unknown, or a value is of the wrong type or out of bounds.
    """
    known = _types(config, own)
    by_table: Tables = {}
    for table, values in tables.items():
        if not isinstance(values, dict):
            raise InputError(f"{origin}: found {table} outside a table; expected {_listed(known)}, each with its settings")
        for name, value in values.items():
            by_table.setdefault(table, {})[name] = _checked(known, table, name, value, origin)
    try:
        inner = {name: replace(getattr(config, name), **by_table[name]) for name in known if name != own and name in by_table}
        return replace(config, **by_table.get(own, {}), **inner)  # type: ignore[type-var]
    except InputError as error:
        raise InputError(f"{origin}: {error}") from error


def read_settings(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: it is missing or is not TOML.
    """
    expected = "a TOML file such as the run.toml of a training"
    if path.exists() and not path.is_file():  # a device without end, or a pipe that nobody writes to
        raise InputError(f"{path} is not a file; expected {expected}; check the path")
    with reading(path, expected):
        return tomllib.loads(path.read_text(encoding="utf-8"))


def parse_assignments(texts: Iterable[str], config: Any, own: str) -> Tables:
    """Return the tables that texts like "loss.velocity=0.7" ask for; of two for one field the last counts.

    Args:
        texts: TABLE.FIELD=VALUE, the value as in TOML; a text may do without its quotes.
        config, own: see `changed`.

    Raises:
        InputError: a text has another form, or names an unknown field.
    """
    known = _types(config, own)
    tables: Tables = {}
    for text in texts:
        place, equals, given = (part.strip() for part in text.partition("="))
        table, dot, name = place.partition(".")
        if not equals or not dot:
            raise InputError(f"found --set {text}; expected TABLE.FIELD=VALUE, for example --set {own}.seed=1")
        _check_known(known, table, name, "--set")
        value: Any = given
        if known[table][name] not in (str, str | None) or given[:1] in ("'", '"'):
            try:
                value = tomllib.loads(f"value = {given}")["value"]
            except (ValueError, RecursionError):
                value = given  # of the wrong type, which `changed` says
        tables.setdefault(table, {})[name] = value
    return tables


def format_toml(content: Mapping[str, Any]) -> str:
    """Return TOML that reads as `content`: plain values, then tables of them; what is None is left out."""
    plain = {name: value for name, value in content.items() if not isinstance(value, Mapping)}
    blocks = ["".join(_lines(plain))] if plain else []
    blocks += [f"[{name}]\n" + "".join(_lines(table)) for name, table in content.items() if isinstance(table, Mapping)]
    return "\n".join(blocks)


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}\n" for name, value in table.items() if value is not None]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # JSON's escapes are TOML's too; DEL alone JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return "[" + ", ".join(_value(each) for each in value) + "]"


def _types(config: Any, own: str) -> dict[str, dict[str, Any]]:
    """Return table -> field -> type."""
    known: dict[str, dict[str, Any]] = {own: {}}
    for name, hint in get_type_hints(type(config)).items():
        if is_dataclass(hint):
            known[name] = get_type_hints(hint)
        else:
            known[own][name] = hint
    return known


def _check_known(known: Mapping[str, Mapping[str, Any]], table: str, name: str, origin: str) -> None:
    if table not in known:
        raise InputError(f"{origin}: found {table}.{name}; expected one of the tables {_listed(known)}")
    if name not in known[table]:
        raise InputError(f"{origin}: found {table}.{name}; expected one of {_listed(known[table])} in {table}")


def _checked(known: Mapping[str, Mapping[str, Any]], table: str, name: str, value: Any, origin: str) -> Any:
    """Return a value as its field wants it: TOML writes whole numbers for floats too, and lists for tuples."""
    _check_known(known, table, name, origin)
    hint = known[table][name]
    if hint is float and type(value) is int:
        value = float(value)
    if hint == tuple[int, ...]:
        fits = isinstance(value, list | tuple) and all(type(each) is int for each in value)
        value = tuple(value) if fits else value
    elif hint == str | None:
        fits = isinstance(value, str)
    else:
        fits = type(value) is hint and (hint is not float or math.isfinite(value))
    if not fits:
        raise InputError(f"{origin}: found {table}.{name} = {value}; expected {EXPECTED[hint]}")
    return value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
