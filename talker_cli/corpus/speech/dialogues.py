"""Human dialogues: the spoken lines of the game Fish Fillets, Czech and Dutch, with their subtitles (some 3,200 recordings).

Acted speech of 16 characters: whispers, shouts and laughter, where telephone prompts all have one speaking style. What it gives
by the model card: the only acted speech to train on and to measure (the student closes .79 of the held-out Czech bilabials, .65
of the Dutch). Its price: most of the 2,470 dropped recordings, and the worst phones (62 to 70 % of the stops dip, of the
prompts' 93 to 98 %). No ablation measures what it adds to a model.
"""

import re
from pathlib import Path

from talker_cli.corpus.speech.sources import Prompt, PromptVoice
from talker_cli.errors import MachineError
from talker_cli.formats.schema import reading

GAME = Path("/usr/share/games/fillets-ng")
DIALOGUE_LICENCE = "GPL-2.0, ALTAR interactive and the Fish Fillets team"
DIALOGUE_LANGUAGES = ("cs", "nl")

# dialogId("NAME", "FONT", "English subtitle") and on the next line dialogStr("subtitle"); a character has a font of its own.
LINE = re.compile(r'dialogId\("([^"]+)",\s*"font_([a-z0-9]+)",\s*"(?:[^"\\]|\\.)*"\)\s*dialogStr\("((?:[^"\\]|\\.)*)"\)')

# Two characters speaking at once, and a robot.
LEFT_OUT_FONTS = frozenset({"both", "robodog"})


def list_dialogues(language: str) -> list[Prompt]:
    """Return the lines of one language that were recorded, sorted by character and name.

    Raises:
        MachineError: The packages are not installed.
    """
    package = f"fillets-ng-data-{language}"
    sounds = GAME / "sound"
    paths = sorted(sounds.rglob(f"{language}/*.ogg"))
    subtitles = _read_subtitles(language)
    if not paths or not subtitles:
        raise MachineError(
            f"{sounds} holds {len(paths)} recordings in '{language}', with {len(subtitles)} subtitles; the corpus is made of "
            f"them; run: apt-get install fillets-ng-data {package}"
        )
    prompts = []
    for path in paths:
        level = path.parent.parent.relative_to(sounds).as_posix()
        for place in (level, "share"):
            subtitle = subtitles.get((place, path.stem))
            if subtitle:
                font, text = subtitle
                voice, packages = f"fillets_{language}_{font}", f"fillets-ng-data {package}"
                source = PromptVoice(voice, language, "", language, DIALOGUE_LICENCE, packages, suffix="ogg")
                prompts.append(Prompt(source, f"{level}/{path.stem}", path, text))
                break
    return sorted(prompts, key=lambda prompt: (prompt.source.voice, prompt.name))


def _read_subtitles(language: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Return (level, name) -> (font, subtitle)."""
    subtitles: dict[tuple[str, str], tuple[str, str]] = {}
    scripts = GAME / "script"
    for path in sorted(scripts.rglob(f"*dialogs_{language}.lua")):
        level = path.parent.relative_to(scripts).as_posix()
        with reading(path, "a script of dialogues in UTF-8; reinstall its package", MachineError):
            lines = LINE.findall(path.read_text(encoding="utf-8"))
        for name, font, text in lines:
            spoken = re.sub(r"\s+", " ", re.sub(r"\\n|\.\.+|[“”„»«…]|\\\"", " ", text)).strip()
            if re.search(r"\w", spoken) and font not in LEFT_OUT_FONTS:
                subtitles[level, name] = (font, spoken)
    return subtitles
