"""A style for every voice: in part what its sound tells (see `identity.voice`), in part chance.

Each parameter of a style varies as among the eight characters of `styles`. A parameter that sound tells of is
`sqrt(share) * told + sqrt(1 - share) * chance`, both of variance 1 over the voices; all others are chance.
"""

from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from talker_cli.corpus.articulate.noise import generator
from talker_cli.corpus.articulate.styles import SPEAKERS, Style
from talker_cli.identity.voice import MEASURES, VoiceSums

# Mean and standard deviation of the measures over the 305 voices with 10 s or more in the corpus' training and validation, 268
# of them people's. Against fluent readers alone, 56 % of these people's rates lie beyond MOST, where styles no longer differ.
POPULATION: dict[str, tuple[float, float]] = {
    "f1_spread": (-1.22, 0.19), "f2_spread": (-1.18, 0.16), "rate": (1.19, 0.25), "unevenness": (0.42, 0.065),
    "pitch_range": (0.80, 0.43), "level_range": (1.56, 0.085), "effort": (-15.4, 4.5),
}  # fmt: skip
LEAST_SPEECH = 10.0  # seconds of a voice; less tells nothing
MOST = 2.2  # deviations from the mean, of measures and of parameters

# What sound tells of a parameter: the weights of the measures, and the share of the parameter's variance that they make.
TOLD: dict[str, tuple[dict[str, float], float]] = {
    "effort": ({"f1_spread": 0.6, "f2_spread": 0.6, "effort": 0.5}, 0.85),
    "jaw": ({"f1_spread": 0.8, "effort": 0.5}, 0.85),
    "lips": ({"f2_spread": 0.5, "level_range": 0.5}, 0.7),
    "rounding": ({"f2_spread": 1.0}, 0.85),
    "spread": ({"f2_spread": 0.7, "f1_spread": 0.4}, 0.85),
    "upper_lip": ({"effort": 1.0}, 0.7),
    "width": ({"rate": 0.8, "f1_spread": -0.4}, 0.85),
    "variation": ({"unevenness": 0.3, "pitch_range": 0.5, "level_range": 0.5}, 0.7),
    "press": ({"level_range": 1.0}, 0.5),
    "brows": ({"pitch_range": 1.0}, 0.85),
    "head": ({"pitch_range": 0.7, "level_range": 0.5}, 0.7),
    "gaze": ({"pitch_range": 0.7, "rate": 0.3}, 0.5),
}
SCALES = tuple(field.name for field in fields(Style) if field.default == 1.0)  # these vary by factors, others by differences


# The voice of each character: of the voices of its sex that training hears, those whose sound tells of styles like theirs.
VOICE_OF_IDENTITY: dict[str, str] = {
    "FaceTalk_170728_03272_TA": "espeak_f4", "FaceTalk_170904_00128_TA": "espeak_denis",
    "FaceTalk_170725_00137_TA": "fillets_cs_small", "FaceTalk_170915_00223_TA": "espeak_m3",
    "FaceTalk_170811_03274_TA": "ivrvoice_ru", "FaceTalk_170913_03279_TA": "festival_marathi",
    "FaceTalk_170904_03276_TA": "espeak_f2", "FaceTalk_170912_03278_TA": "flite_rms",
}  # fmt: skip
IDENTITY_OF_VOICE = {voice: name for name, voice in VOICE_OF_IDENTITY.items()}


def identity_of(voice: str) -> str:
    """Return the identity whose voice this is: a character's name, or the voice's own."""
    return IDENTITY_OF_VOICE.get(voice, voice)


def styles_of(voices: Mapping[str, VoiceSums]) -> dict[str, Style]:
    """Return the styles of all identities by name: the characters', then those of the other voices.

    Args:
        voices: What each voice's sound tells, by its name.
    """
    others = sorted(voice for voice in voices if voice not in IDENTITY_OF_VOICE)
    return {speaker.name: speaker.style for speaker in SPEAKERS} | {
        voice: style_of_voice(voices[voice], voice) for voice in others
    }


def style_of_voice(sums: VoiceSums, key: str, chance: float = 1.0) -> Style:
    """Return the style of a voice.

    Args:
        sums: What its sound tells.
        key: Seed of what sound does not tell, such as the voice's name.
        chance: Factor of what sound does not tell; 0 leaves what it tells.
    """
    measures = sums.measures() if sums.seconds >= LEAST_SPEECH else [mean for mean, _ in POPULATION.values()]
    mean, std = np.array(list(POPULATION.values())).T
    found = dict(zip(MEASURES, np.clip((measures - mean) / std, -MOST, MOST), strict=True))
    rng = generator(key, "style")
    parameters = {}
    for field in fields(Style):
        free = chance * float(np.clip(rng.normal(), -MOST, MOST))
        weights, share = TOLD.get(field.name, ({}, 0.0))
        told = sum(weight * found[name] for name, weight in weights.items())
        told /= max(sum(weight**2 for weight in weights.values()) ** 0.5, 1e-9)
        parameters[field.name] = _parameter(field.name, share**0.5 * told + (1.0 - share) ** 0.5 * free)
    return Style(**parameters)


def average_style() -> Style:
    """Return the style of the average voice."""
    return style_of_voice(VoiceSums.total([]), "", chance=0.0)


def _parameter(name: str, deviations: float) -> float:
    """Return a parameter so many deviations from its mean over the characters, hardly beyond their extremes."""
    values = np.array([getattr(speaker.style, name) for speaker in SPEAKERS])
    room = 0.1 * (values.max() - values.min())
    low, high = values.min() - (room if values.min() > 0 or name == "asymmetry" else 0.0), values.max() + room
    if name in SCALES:
        logs = np.log(values)
        return float(np.clip(np.exp(logs.mean() + deviations * logs.std()), low, high))
    return float(np.clip(values.mean() + deviations * values.std(), low, high))
