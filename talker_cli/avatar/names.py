"""ARKit's names of shapes as other tools spell them: any case, any separator, any usual prefix, sides in any place.

`jaw_open`, `JAWOPEN`, `Face.JawOpen`, `blendShape1.jawOpen`, `A25_Jaw_Open` and `ARKit_jawOpen` are jawOpen; `eyeBlink.L`,
`eyeBlink_l`, `EyeBlinkL`, `L_eye_blink`, `Left_Eye_Blink` and `eyeLeftBlink` are eyeBlinkLeft.
"""

import re

from talker_cli.rig import ARKIT_NAMES

SIDES = {"left": "left", "l": "left", "lf": "left", "lt": "left", "right": "right", "r": "right", "rt": "right", "rg": "right"}
# In front of a name, these make another shape of it: a correction, a part of its way, its opposite.
CHANGES = {"anti", "combo", "corr", "correction", "corrective", "correct", "fix", "half", "inbetween", "inverse", "neg",
           "negative", "no", "non", "not", "old", "un", "without"}  # fmt: skip
LONGEST = 250  # characters of a name: matching takes their square
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")  # "A25_JawOpenL" -> A 25 Jaw Open L
_OWNER = re.compile(r"[.:|/]")  # between an object and its shape; or before a side
APPENDED = re.compile(r"(_div\d+)?(\.\d{3})?$")  # by Daz Studio, and by Blender to a name that exists already


def _known() -> dict[str, str]:
    """Return each ARKit name by its letters in lower case, the side last or first."""
    known = {}
    for name in ARKIT_NAMES:
        plain = name.lower()
        known[plain] = name
        for side in ("left", "right"):
            if plain.endswith(side):
                known[side + plain.removesuffix(side)] = name
    return known


_KNOWN = _known()
_STEMS = {re.sub("(left|right)$", "", name.lower()) for name in ARKIT_NAMES} - {"jaw", "mouth"}


def arkit_name(name: str) -> str | None:
    """Return the ARKit shape that a morph target's name means; None if it means none, or a combination of some."""
    if len(name) > LONGEST:
        return None
    plain = APPENDED.sub("", name.strip())
    return _match(_OWNER.split(plain)[-1]) or _match(plain)


def _match(text: str) -> str | None:
    words = [word.lower() for word in _WORD.findall(text)]
    sides = [SIDES[word] for word in words if word in SIDES]
    if sides:
        found = _without_prefix([word for word in words if word not in SIDES], sides[-1])
        if found is not None:
            return found
    return _without_prefix(words, "")


def _without_prefix(words: list[str], side: str) -> str | None:
    """Return the shape that the last words and a side name, whatever stands in front of them."""
    for start in range(len(words)):
        prefix = words[:start]
        if CHANGES.intersection(prefix) or any(stem in "".join(prefix) for stem in _STEMS):
            return None
        found = _KNOWN.get("".join(words[start:]) + side)
        if found is not None:
            return found
    return None
