"""Settings as TOML: a dataclass's plain fields are one table, and each dataclass in it is a table of its own."""

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tomli_w
from pydantic import TypeAdapter, ValidationError

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
        config: Dataclass of settings.
        own: Name of the table of its own plain fields.
        tables: Tables as `tables_of` returns them, with lists for tuples. Tables and fields may be missing.
        origin: Where they come from, for messages.

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
    """Return TOML that reads as `content`: plain values, then tables of them; None is left out."""

    def kept(table: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: kept(value) if isinstance(value, Mapping) else value for name, value in table.items() if value is not None
        }

    return tomli_w.dumps(kept(content))


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
    try:  # as JSON, in which a list may be a tuple and a whole number a float
        checked = TypeAdapter(hint).validate_json(json.dumps(value, default=str), strict=True)
    except (ValidationError, RecursionError):
        checked = None
    if checked is None or (isinstance(checked, float) and not math.isfinite(checked)):
        raise InputError(f"{origin}: found {table}.{name} = {value}; expected {EXPECTED[hint]}")
    return checked


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
