"""README and docs: links lead somewhere, and every command shown is one that the command line parses."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from mutations import CHANGES

from talker_cli.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("weights/*/*.md"), *ROOT.glob("examples/*.md")])


def name(page: Path) -> str:
    """Return a page's path in the checkout."""
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in re.findall(r"^#+ (.+)$", text, re.M))
    return {heading.replace(" ", "-") for heading in headings}


def shown(page: Path) -> Iterator[str]:
    """Yield each `talker …` command of a page: of its blocks, lines joined, and of inline code."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:sh|console)?\n(.*?)^```", text, re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.search(r"(?:^|\| |-m )(?:\$ )?(talker(?:_cli)? [a-z].*)", line)
            if command and not re.match(r"talker(?:_cli)?:", command[1]) and re.match(r"\$ |talker |arecord |torchrun ", line):
                yield re.split(r" \| | #|; ", command[1])[0]
    yield from re.findall(r"`(talker [a-z][^`…]*)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def parse(line: str) -> None:
    """Let the command line parse a command without running it."""
    command = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    path = "talker"
    while getattr(command, "commands", None) and words and not words[0].startswith("-"):
        word = words.pop(0)
        assert word in command.commands, f"{path} has no command {word}: {line}"
        command, path = command.commands[word], f"{path} {word}"
    if words:  # else it is named, not run
        command.make_context(path, words)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """If this fails, a reader clicks on nothing."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{name(page)}: {link}, expected one of {sorted(anchors(target))}"


@pytest.mark.parametrize("page", PAGES, ids=name)
@pytest.mark.slow
def test_commands_shown_are_commands(page: Path) -> None:
    """If this fails, somebody who copies a line of the documentation gets an error."""
    for line in shown(page):
        parse(line)


def test_commands_are_found() -> None:
    """If this fails, the test of the commands looks at nothing."""
    commands = list(shown(ROOT / "README.md"))
    assert "talker render out.npy" in commands
    assert sum(len(list(shown(page))) for page in PAGES) > 60
    for wrong in (
        "talker animate x.wav --samplse 2",
        "talker animte x.wav",
        "talker render a.npy b.npy",
        "talker head --person",
    ):
        with pytest.raises(Exception):  # noqa: B017
            parse(wrong)


def test_every_command_has_a_place_in_the_readme() -> None:
    """If this fails, a command is in no table and no link leads to it."""
    table = re.findall(r"^\| \[(.+?)\]", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    commands = typer.main.get_command(app).commands
    assert {each for each in commands if not commands[each].hidden} <= set(re.findall(r"`([\w-]+)`", " ".join(table)))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_on_purpose_can_still_be_made(name: str) -> None:
    """Breaks if the code has moved on and a change of `benchmarks/mutations.py` would find nothing to change."""
    file, before, _ = CHANGES[name]
    assert before in (ROOT / "talker_cli" / file).read_text()
