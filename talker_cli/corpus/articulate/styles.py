"""Styles: articulation parameters of the eight identities."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """Articulation of one person. 1 is the average speaker unless stated.

    Args:
        effort: Size of all mouth movements: 0.7 mumbles, 1.3 over-articulates.
        jaw: Share of an opening that the jaw makes (JALI's jaw axis, Edwards et al. 2016).
        lips: Share of it that the lips make (JALI's lip axis).
        rounding: Protrusion and rounding of w, oo, sh, r.
        spread: Sideways pull of ee, s and the like.
        upper_lip: Share of the upper lip in an opening; above 1 shows the upper teeth.
        smile: Constant smile under all speech, 0…0.25.
        frown: Constant pull down of the corners, 0…0.1.
        press: Pressure of the lips in p, b, m, 0…1.
        funnel: Constant forward push of the lips, 0…0.08.
        jaw_forward: Constant forward jaw, 0…0.06.
        asymmetry: -1…1, the mouth's stronger side: positive is the subject's left.
        width: Width of coarticulation; above 1 slurs, below 1 is crisp.
        variation: Size of the random changes from sound to sound and second to second.
        blinks: Blinks a minute in calm speech.
        blink_depth: Peak of a usual blink, 0.8…1.
        lid: Constant lid position: positive a little closed, negative wide, -0.05…0.15.
        brows: Size of the brows' motion at accents.
        brow_rest: Constant inner brow raise, 0…0.25.
        brow_down: Constant lowered brow, 0…0.2.
        squint: Constant squint, 0…0.3.
        cheek: Cheek raise with the smile, 0…1.
        gaze: Size of the gaze's saccades.
        sneer: Wrinkling of the nose, 0…0.2.
        head: Size of the head's motion.
    """

    effort: float = 1.0
    jaw: float = 1.0
    lips: float = 1.0
    rounding: float = 1.0
    spread: float = 1.0
    upper_lip: float = 1.0
    smile: float = 0.05
    frown: float = 0.0
    press: float = 0.4
    funnel: float = 0.02
    jaw_forward: float = 0.0
    asymmetry: float = 0.0
    width: float = 1.0
    variation: float = 1.0
    blinks: float = 16.0
    blink_depth: float = 0.92
    lid: float = 0.0
    brows: float = 1.0
    brow_rest: float = 0.08
    brow_down: float = 0.02
    squint: float = 0.06
    cheek: float = 0.4
    gaze: float = 1.0
    sneer: float = 0.03
    head: float = 1.0


@dataclass(frozen=True)
class Speaker:
    """An identity and its style."""

    name: str
    style: Style
    about: str


# Stand-ins under the names of VOCASET's training subjects: the people behind those names neither moved nor spoke for this.
SPEAKERS: tuple[Speaker, ...] = (
    Speaker(
        "FaceTalk_170728_03272_TA",
        Style(effort=0.92, jaw=0.75, lips=1.2, rounding=1.25, spread=0.85, upper_lip=0.9, smile=0.04, press=0.7, funnel=0.05,
              width=1.0, blinks=22, blink_depth=0.98, brows=0.8, brow_rest=0.16, squint=0.03, asymmetry=-0.2, cheek=0.25,
              head=0.8),
        "soft-spoken woman, rounded lips, raised brows, blinks often",
    ),
    Speaker(
        "FaceTalk_170904_00128_TA",
        Style(effort=0.84, jaw=1.25, lips=0.75, rounding=0.8, spread=0.7, upper_lip=0.6, smile=0.0, frown=0.05, press=0.3,
              width=1.2, blinks=11, brows=0.45, brow_rest=0.03, brow_down=0.10, squint=0.10, asymmetry=0.15,
              gaze=0.7, lid=0.08, head=0.65),
        "calm man, jaw does the work, quiet lips and brows",
    ),
    Speaker(
        "FaceTalk_170725_00137_TA",
        Style(effort=1.15, jaw=1.0, lips=1.1, rounding=1.05, spread=1.15, upper_lip=1.15, smile=0.10, press=0.5, width=0.9,
              blinks=17, brows=1.35, brow_rest=0.12, squint=0.05, asymmetry=0.05, cheek=0.6, gaze=1.1, head=1.2),
        "lively woman, clear speaker with expressive brows",
    ),
    Speaker(
        "FaceTalk_170915_00223_TA",
        Style(effort=1.30, jaw=1.15, lips=1.0, rounding=0.95, spread=1.2, upper_lip=1.5, smile=0.03, press=0.8, width=0.85,
              variation=1.2, blinks=14, brows=1.1, brow_rest=0.05, brow_down=0.06, squint=0.16,
              asymmetry=0.3, sneer=0.09, gaze=1.3, head=1.15),
        "energetic man, over-articulates and shows his upper teeth",
    ),
    Speaker(
        "FaceTalk_170811_03274_TA",
        Style(effort=0.95, jaw=0.9, lips=0.95, rounding=0.75, spread=1.5, upper_lip=1.1, smile=0.20, press=0.35, width=1.0,
              blinks=19, brows=1.0, brow_rest=0.10, squint=0.14, asymmetry=-0.1, cheek=1.0, head=1.1),
        "smiling woman, speaks with spread lips",
    ),
    Speaker(
        "FaceTalk_170913_03279_TA",
        Style(effort=0.75, jaw=0.85, lips=0.85, rounding=0.7, spread=0.75, upper_lip=0.7, smile=0.01, frown=0.02, press=0.15,
              width=1.3, variation=0.8, blinks=26, blink_depth=0.85, brows=0.3, brow_rest=0.04, lid=0.13, squint=0.04,
              asymmetry=0.1, gaze=0.6, head=0.7),
        "fast mumbling man with heavy lids",
    ),
    Speaker(
        "FaceTalk_170904_03276_TA",
        Style(effort=1.08, jaw=1.35, lips=0.8, rounding=1.1, spread=0.9, upper_lip=0.8, smile=0.05, press=0.5, width=1.05,
              blinks=9, blink_depth=0.9, brows=0.7, brow_rest=0.20, lid=-0.03, squint=0.0, asymmetry=0.2, cheek=0.2,
              jaw_forward=0.02, head=0.85),
        "deliberate woman, wide slow jaw, open eyes",
    ),
    Speaker(
        "FaceTalk_170912_03278_TA",
        Style(effort=1.02, jaw=0.7, lips=1.3, rounding=1.4, spread=0.8, upper_lip=1.0, smile=0.0, frown=0.03, press=0.6,
              funnel=0.06, width=0.95, blinks=15, brows=1.5, brow_rest=0.02, brow_down=0.12, squint=0.10,
              asymmetry=-0.3, jaw_forward=0.03),
        "earnest man, protruding lips and active brows",
    ),
)  # fmt: skip
