"""Whom a model knows by name. No torch here: listing and completing names must be instant."""

from collections.abc import Sequence

from talker_cli.errors import IdentityError
from talker_cli.model.folder import model_folder
from talker_cli.rig import Identity, load_rig

STAND_IN_NOTE = (
    "The FaceTalk names are stand-ins: built-in styles and heads under VOCASET's training names, not its people; "
    "the motion was learned from a model of articulation, not from captures."
)


def resolve_identity(name: str, known: Sequence[str]) -> str:
    """Return the identity that `name` is or uniquely begins.

    Raises:
        IdentityError: none fits, or more than one.
    """
    if name in known:
        return name
    fitting = [candidate for candidate in known if name and candidate.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise IdentityError(f"identity '{name}' fits {len(fitting)}: {', '.join(fitting)}; give more of the name")
    raise IdentityError(f"no identity '{name}'; expected one of {', '.join(known)}, or the beginning of one")


def list_identities(model: str) -> list[Identity]:
    """Return the identities a model knows by name."""
    return list(load_rig(model_folder(model) / "rig.safetensors").identities.values())
