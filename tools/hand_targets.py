"""Targets of lips and jaw set by hand: what `tools/fit_articulation.py` starts from and is drawn towards.

Values are in units of the ARKit shapes, by phone and track. Phones that the captured sentences lack keep them, corrected as
their neighbours were.
"""

from dataclasses import dataclass, field

# Reach of each articulator before and after a core, seconds: rounding is anticipated longest (Cohen & Massaro 1993).
REACH: dict[str, tuple[float, float]] = {
    "jaw": (0.075, 0.080), "lips": (0.060, 0.060), "rounding": (0.115, 0.075), "spreading": (0.095, 0.090),
}  # fmt: skip

# Gains of whole tracks: means and 95th percentiles then agree with captured speech in ARKit coefficients.
TRACK_GAIN = {"pucker": 0.75, "funnel": 0.86, "upper": 0.76, "lower": 0.98, "spread": 0.8, "tongue": 0.8}

# How far lips are closed over whatever opens them, 0…1.
CLOSE = {"P": 0.9, "B": 0.9, "M": 0.9, "W": 0.7, "R": 0.4, "UW": 0.3, "F": 0.3, "V": 0.3}


@dataclass(frozen=True)
class Target:
    """Targets of one phone or of one half of a diphthong.

    Args:
        values: Target by track; 0 for tracks left out.
        pull: Weight against the neighbours.
        pulls: Weight by track, in place of `pull`.
    """

    values: dict[str, float]
    pull: float = 1.0
    pulls: dict[str, float] = field(default_factory=dict)

    def weight(self, track: str) -> float:
        """Return the weight of this target in one track."""
        return self.pulls.get(track, self.pull)


def _vowel(
    jaw: float,
    lower: float,
    upper: float,
    funnel: float = 0.0,
    pucker: float = 0.0,
    spread: float = 0.0,
    stretch: float = 0.0,
    pull: float = 1.0,
    **more: float,
) -> Target:
    values = {"jaw": jaw, "lower": lower, "upper": upper, "funnel": funnel}
    values |= {"pucker": pucker, "spread": spread, "stretch": stretch}
    return Target(values | more, pull)


_ROUNDED = {"funnel": 1.8, "pucker": 2.2}

# (Target, share of the phone's duration where its core lies) one after the other; diphthongs have two.
TARGETS: dict[str, tuple[tuple[Target, float], ...]] = {
    "AA": ((_vowel(0.30, 0.46, 0.14, 0.09, stretch=0.05, pull=1.5), 0.5),),
    "AE": ((_vowel(0.27, 0.50, 0.18, 0.04, spread=0.10, stretch=0.14, pull=1.5), 0.5),),
    "AO": ((Target({"jaw": 0.26, "lower": 0.40, "upper": 0.11, "funnel": 0.26, "pucker": 0.08}, 1.5, {"pucker": 1.0}), 0.5),),
    "AW": ((_vowel(0.31, 0.47, 0.15, 0.08, stretch=0.06, pull=1.5), 0.32),
           (Target({"jaw": 0.13, "lower": 0.24, "upper": 0.06, "funnel": 0.28, "pucker": 0.24}, 0.9, _ROUNDED), 0.88)),
    "AY": ((_vowel(0.31, 0.47, 0.15, 0.05, spread=0.04, stretch=0.09, pull=1.5), 0.35),
           (_vowel(0.11, 0.30, 0.11, 0.04, spread=0.15, stretch=0.12, pull=0.8), 0.9)),
    "AH": ((_vowel(0.15, 0.33, 0.09, 0.09, spread=0.02, stretch=0.04, pull=0.8), 0.5),),
    "EH": ((_vowel(0.18, 0.39, 0.12, 0.05, spread=0.09, stretch=0.10), 0.5),),
    "ER": ((Target({"jaw": 0.10, "lower": 0.28, "upper": 0.11, "funnel": 0.24, "pucker": 0.10, "forward": 0.03}, 1.0), 0.5),),
    "EY": ((_vowel(0.17, 0.37, 0.12, 0.04, spread=0.10, stretch=0.11), 0.3),
           (_vowel(0.08, 0.29, 0.11, 0.02, spread=0.19, stretch=0.14), 0.85)),
    "IH": ((_vowel(0.11, 0.29, 0.09, 0.07, spread=0.07, stretch=0.08, pull=0.8), 0.5),),
    "IY": ((_vowel(0.07, 0.29, 0.11, 0.02, spread=0.22, stretch=0.16, dimple=0.03, pull=1.1), 0.5),),
    "OW": ((Target({"jaw": 0.18, "lower": 0.30, "upper": 0.08, "funnel": 0.28, "pucker": 0.14}, 1.0, _ROUNDED), 0.3),
           (Target({"jaw": 0.08, "lower": 0.17, "upper": 0.05, "funnel": 0.30, "pucker": 0.34}, 1.0, _ROUNDED), 0.85)),
    "OY": ((Target({"jaw": 0.23, "lower": 0.36, "upper": 0.10, "funnel": 0.28, "pucker": 0.16}, 1.3), 0.3),
           (_vowel(0.09, 0.28, 0.10, 0.04, spread=0.15, stretch=0.12), 0.88)),
    "UH": ((Target({"jaw": 0.11, "lower": 0.25, "upper": 0.07, "funnel": 0.24, "pucker": 0.14}, 0.9), 0.5),),
    "UW": ((Target({"jaw": 0.06, "lower": 0.15, "upper": 0.05, "funnel": 0.30, "pucker": 0.40}, 1.0, _ROUNDED), 0.55),),
    # The lips' contact in p b m and f v comes from the closure signals of `contact`; these are the targets of the rest.
    "P": ((Target({"jaw": 0.05, "lower": 0.16, "upper": 0.06, "funnel": 0.06},
                  0.7, {"jaw": 0.9, "funnel": 0.3, "pucker": 0.2}), 0.5),),
    "B": ((Target({"jaw": 0.05, "lower": 0.16, "upper": 0.06, "funnel": 0.06},
                  0.7, {"jaw": 0.9, "funnel": 0.3, "pucker": 0.2}), 0.5),),
    "M": ((Target({"jaw": 0.05, "lower": 0.16, "upper": 0.06, "funnel": 0.05},
                  0.7, {"jaw": 0.8, "funnel": 0.3, "pucker": 0.2}), 0.5),),
    "F": ((Target({"jaw": 0.05, "lower": 0.14, "upper": 0.17, "roll_lower": 0.30, "shrug": 0.05},
                  1.2, {"funnel": 0.4, "pucker": 0.4}), 0.5),),
    "V": ((Target({"jaw": 0.05, "lower": 0.15, "upper": 0.16, "roll_lower": 0.26, "shrug": 0.04},
                  1.1, {"funnel": 0.4, "pucker": 0.4}), 0.5),),
    "TH": ((_vowel(0.07, 0.24, 0.10, 0.04, stretch=0.06, tongue=0.22, pull=0.9), 0.5),),
    "DH": ((_vowel(0.07, 0.2, 0.09, 0.05, stretch=0.04, tongue=0.14, pull=0.6), 0.5),),
    "T": ((Target({"jaw": 0.05, "lower": 0.17, "upper": 0.08, "funnel": 0.09, "stretch": 0.05},
                  0.65, {"jaw": 0.8, "pucker": 0.25}), 0.5),),
    "D": ((Target({"jaw": 0.055, "lower": 0.17, "upper": 0.08, "funnel": 0.09, "stretch": 0.05},
                  0.6, {"jaw": 0.7, "pucker": 0.25}), 0.5),),
    "N": ((Target({"jaw": 0.06, "lower": 0.17, "upper": 0.07, "funnel": 0.09, "stretch": 0.04},
                  0.55, {"jaw": 0.6, "pucker": 0.2}), 0.5),),
    "L": ((Target({"jaw": 0.09, "lower": 0.22, "upper": 0.08, "funnel": 0.08, "stretch": 0.04, "tongue": 0.03},
                  0.6, {"pucker": 0.4}), 0.5),),
    "S": ((Target({"jaw": 0.03, "lower": 0.21, "upper": 0.10, "funnel": 0.06, "spread": 0.09, "stretch": 0.12, "forward": 0.05},
                  0.8, {"jaw": 1.4, "funnel": 0.4, "pucker": 0.3}), 0.5),),
    "Z": ((Target({"jaw": 0.03, "lower": 0.21, "upper": 0.10, "funnel": 0.06, "spread": 0.08, "stretch": 0.11, "forward": 0.05},
                  0.8, {"jaw": 1.3, "funnel": 0.4, "pucker": 0.3}), 0.5),),
    "SH": ((Target({"jaw": 0.03, "lower": 0.24, "upper": 0.17, "funnel": 0.40, "pucker": 0.12, "shrug": 0.06, "forward": 0.06},
                   1.2, {"jaw": 1.3, "funnel": 1.8}), 0.5),),
    "ZH": ((Target({"jaw": 0.035, "lower": 0.23, "upper": 0.16, "funnel": 0.37, "pucker": 0.11, "shrug": 0.05, "forward": 0.06},
                   1.2, {"jaw": 1.2, "funnel": 1.7}), 0.5),),
    "CH": ((Target({"jaw": 0.03, "lower": 0.22, "upper": 0.15, "funnel": 0.36, "pucker": 0.12, "shrug": 0.05, "forward": 0.06},
                   1.1, {"jaw": 1.3, "funnel": 1.6}), 0.55),),
    "JH": ((Target({"jaw": 0.035, "lower": 0.22, "upper": 0.14, "funnel": 0.34, "pucker": 0.11, "shrug": 0.05, "forward": 0.06},
                   1.1, {"jaw": 1.2, "funnel": 1.6}), 0.55),),
    "R": ((Target({"jaw": 0.07, "lower": 0.18, "upper": 0.08, "funnel": 0.28, "pucker": 0.15, "forward": 0.03},
                  0.8, {"funnel": 1.2}), 0.5),),
    "W": ((Target({"jaw": 0.05, "lower": 0.07, "upper": 0.03, "funnel": 0.20, "pucker": 0.55},
                  1.4, {"pucker": 2.5, "funnel": 1.6}), 0.5),),
    "Y": ((_vowel(0.06, 0.21, 0.09, 0.03, spread=0.17, stretch=0.12, pull=0.8), 0.5),),
    "K": ((Target({"jaw": 0.085, "lower": 0.22, "upper": 0.08, "funnel": 0.07, "stretch": 0.04},
                  0.4, {"jaw": 0.5, "pucker": 0.15, "spread": 0.2}), 0.5),),
    "G": ((Target({"jaw": 0.085, "lower": 0.21, "upper": 0.08, "funnel": 0.07, "stretch": 0.04},
                  0.4, {"jaw": 0.5, "pucker": 0.15, "spread": 0.2}), 0.5),),
    "NG": ((Target({"jaw": 0.09, "lower": 0.22, "upper": 0.08, "funnel": 0.06, "stretch": 0.05},
                   0.4, {"pucker": 0.15, "spread": 0.2}), 0.5),),
    "HH": ((Target({"jaw": 0.14, "lower": 0.30, "upper": 0.09, "funnel": 0.05}, 0.15), 0.5),),
    "SIL": ((Target({"jaw": 0.005}, 0.9), 0.5),),
}  # fmt: skip
