"""Write docs/cli.md, the reference of every command, from the command line itself: `python tools/cli_reference.py`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from talker_cli.cli.app import app

PLACE = Path(__file__).parents[1] / "docs" / "cli.md"
HEAD = """# Command line reference

Written by `tools/cli_reference.py` from the help texts; `talker COMMAND --help` shows the same.
"""


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield (path, command) of a group and of everything in it that is not hidden."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield from commands(each, f"{path} {name}")


def section(path: str, command: Any) -> str:
    """Return one command's part: what it does, examples, arguments and options."""
    text, _, shown = (command.help or "").partition("\b\n")
    context = command.context_class(command, info_name=path)
    parts = [f"{'##' if path.count(' ') < 2 else '###'} `{path}`", text.strip()]
    if shown:
        parts.append("```sh\n" + "\n".join(re.sub("^  ", "", line) for line in shown.splitlines()[1:]) + "\n```")
    records: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and "--help" not in parameter.opts and not parameter.opts[0].endswith("-completion"):
            kind = "Argument" if parameter.param_type_name == "argument" else "Option"
            records.setdefault(kind, []).append(record)
    for kind, rows in records.items():
        table = [f"| {kind} | Meaning |", "|---|---|"]
        for name, meaning in rows:
            cells = (f"`{name}`", meaning.replace("\\[", "["))
            table.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
        parts.append(re.sub("  \\[", " [", "\n".join(table)))
    return "\n\n".join(part for part in parts if part)


def reference() -> str:
    """Return the page."""
    return "\n\n".join([HEAD.strip(), *(section(*each) for each in commands(typer.main.get_command(app), "talker"))]) + "\n"


if __name__ == "__main__":
    PLACE.write_text(reference(), encoding="utf-8")
