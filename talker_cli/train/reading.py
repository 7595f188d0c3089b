"""The reading of styles off voices, fitted anew to the finished table of identities (`Personalizer.reading_loss`).

The steps of a training hear few crops of each of many voices, and chase rows that still move. The likelihood needs no crops:
the measures of every voice, over stretches of its speech, and its row. What the sound leaves open is learned from readings of
voices that were left out, or few voices, which fit anything, would be believed.
"""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from talker_cli.model.personalizer import Personalizer, VoiceReader

ITERATIONS = 300  # of L-BFGS, which ends sooner where nothing is gained
FOLDS = 4  # parts of the voices, each left out once
LEAST_VOICES = 2 * FOLDS


def settle_reading(personalizer: Personalizer, measures: Tensor, identity: Tensor) -> None:
    """Fit the reading, and nothing else, to the table; of few voices it stays as it is.

    Args:
        personalizer: One that reads measures.
        measures: (N, M + 1) of stretches of speech, on the personalizer's device.
        identity: (N,) rows of the speakers.
    """
    voice, place = personalizer.voice, torch.unique(identity, return_inverse=True)[1]
    assert voice is not None
    if not len(place) or int(place.max()) + 1 < LEAST_VOICES:
        return
    unread = torch.zeros(len(place), voice.direction.out_features, device=measures.device)
    for fold in range(FOLDS):
        left_out = place % FOLDS == fold
        _restart(voice)
        _minimise(voice.parameters(), partial(_loss, personalizer, measures[~left_out], identity[~left_out]))
        with torch.no_grad():
            unread[left_out] = voice(measures[left_out])[0]
    _minimise(voice.log_spread.parameters(), lambda: personalizer.row_loss(unread, voice(measures)[1], identity).mean())
    _minimise(voice.direction.parameters(), partial(_loss, personalizer, measures, identity))


def _loss(personalizer: Personalizer, measures: Tensor, identity: Tensor) -> Tensor:
    return personalizer.reading_loss(measures, identity).mean()


def _restart(voice: VoiceReader) -> None:
    """Set a reading to the average."""
    for parameter in voice.parameters():
        nn.init.zeros_(parameter)


def _minimise(parameters: Iterable[nn.Parameter], loss: Callable[[], Tensor]) -> None:
    """Change parameters until the loss falls no further."""
    moved = list(parameters)
    was = [parameter.requires_grad for parameter in moved]
    for parameter in moved:
        parameter.requires_grad_(True)
    optimizer = torch.optim.LBFGS(moved, max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def measured() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward(inputs=moved)  # type: ignore[no-untyped-call]
        return value

    optimizer.step(measured)  # type: ignore[arg-type, no-untyped-call, unused-ignore]
    for parameter, learned in zip(moved, was, strict=True):
        parameter.requires_grad_(learned)
        parameter.grad = None
