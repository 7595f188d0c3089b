"""A model that animates live sounds, any number of them, loaded once: what `animate --stream` and `serve` share."""

from dataclasses import dataclass
from pathlib import Path

from talker_cli.animate.live import LiveMotion, check_live, head_line
from talker_cli.animate.postprocess import column_factors
from talker_cli.animate.talker import Talker
from talker_cli.data.emotions import Spans, check_names
from talker_cli.errors import InputError

LONGEST_LOOK_AHEAD = 60_000  # milliseconds


@dataclass(frozen=True)
class Speaker:
    """One who speaks: full name, and the motion that starts with the sound.

    Args:
        name: Full name of the identity.
        motion: Motion of the sound.
        about: What the first line of the frames says beside rate and names.
    """

    name: str
    motion: LiveMotion
    about: dict[str, object]


class LiveTalker:
    """A model and the options that all its live sounds share.

    Args:
        talker: Model, loaded.
        look_ahead: Look-ahead in milliseconds.
        style_scale: Strength of the identity's style, 1 = as it is.
        library: Folder of enrolled identities, None for the user's own.
        head: Scale of the head's rotation.
        only: Part of the face that moves, None for all.
        emotion: Emotions over the time of the sound.

    Raises:
        InputError: the model cannot follow sound as it comes in, or an option does not fit it.
    """

    def __init__(
        self,
        talker: Talker,
        *,
        look_ahead: float = 300.0,
        style_scale: float = 1.0,
        library: Path | None = None,
        head: float = 1.0,
        only: str | None = None,
        emotion: Spans = (),
    ) -> None:
        config = talker.animator.config
        check_look_ahead(look_ahead)
        check_names(emotion, config.emotions)
        check_live(talker.animator)
        self.talker, self.fps, self.names = talker, config.fps, config.names
        self.look_ahead = round(look_ahead / 1000 * config.fps)  # frames
        self._style_scale, self._library, self._head, self._emotion = style_scale, library, head, emotion
        self._factors = column_factors(config.names, head=head, only=only)

    def start(self, identity: str, seed: int) -> Speaker:
        """Begin a sound; one thread may do so while others animate.

        Args:
            identity: Name, mix or file.
            seed: Seed of the noise.

        Raises:
            IdentityError: no identity fits, or more than one.
            InputError: the style's scale is out of range.
        """
        who = self.talker.who(identity, style_scale=self._style_scale, library=self._library)
        motion = LiveMotion(
            self.talker.animator, who.condition, look_ahead=self.look_ahead, seed=seed, factors=self._factors,
            emotion=self._emotion, head=self._head,
        )  # fmt: skip
        sampler = self.talker.animator.sampler
        about = {"identity": who.name, "sampler": sampler, "seed": seed, "look_ahead": self.look_ahead / self.fps}
        return Speaker(who.name, motion, about)

    def head_line(self, speaker: Speaker) -> str:
        """Return the JSON that comes before a speaker's frames."""
        return head_line(self.names, self.fps, speaker.about)


def check_look_ahead(milliseconds: float) -> None:
    """Refuse a look-ahead that is none.

    Raises:
        InputError: it is negative, longer than a minute, or no number.
    """
    if not 0 <= milliseconds <= LONGEST_LOOK_AHEAD:
        raise InputError(f"found {milliseconds:g}; expected 0 to {LONGEST_LOOK_AHEAD} milliseconds", field="look_ahead")
