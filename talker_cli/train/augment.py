"""Voices, rooms and microphones the corpus never had: augmentation of log-mel columns (B, columns, bands), vectorised.

Working on the spectrogram costs a hundredth of working on the sound, and a fresh draw for every batch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from talker_cli.model.mel import MEL_FLOOR, MEL_SCALE, MEL_SHIFT


# Under autocast too: powers span ten decades, bfloat16 has three digits.
@torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
def augment_mel(mel: Tensor, generator: torch.Generator) -> Tensor:
    """Return log-mel columns with another vocal tract, level, frequency response, room, noise and bandwidth.

    Args:
        mel: (B, columns, bands) as `log_mel` gives them.
        generator: on the CPU; the draw is a function of its state alone.
    """
    batch, columns, bands = mel.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator)

    def some(probability: float) -> Tensor:
        return (torch.rand(batch, 1, 1, generator=generator) < probability).float()

    log_power = mel * MEL_SCALE - MEL_SHIFT
    log_power = log_power @ _warp_matrices(uniform(-0.18, 0.18) * some(0.8)[:, 0, 0], bands)
    # Voices differ in how far their harmonics stand out.
    beside = F.pad(log_power, (1, 1), mode="replicate")
    power = log_power.lerp(0.5 * (beside[..., :-2] + beside[..., 2:]), uniform(0.0, 0.5, 1, 1) * some(0.4)).exp()

    # Room: an exponential tail of 0.05 to 0.3 s; columns are 1/120 s apart.
    reach = 36
    delay = torch.arange(1, reach + 1)
    decay = torch.exp(-delay / uniform(4.0, 22.0, 1))  # (B, reach)
    tail = decay / decay.sum(1, keepdim=True) * uniform(0.05, 0.5, 1) * some(0.35)[:, 0]
    kernel = torch.cat([tail.flip(1), torch.ones(batch, 1)], 1)[:, None]  # (B, 1, reach + 1): the present comes last
    padded = F.pad(power, (0, 0, reach, 0)).permute(2, 0, 1)  # (bands, B, columns + reach)
    power = F.conv1d(padded, kernel, groups=batch).permute(1, 2, 0)

    # Microphone and level: a smooth curve over the bands, and a gain of about -13 to +7 dB.
    band = torch.linspace(0.0, 1.0, bands)
    curve = sum(uniform(-1.0, 1.0, 1, 1) * torch.cos(torch.pi * order * band) for order in (1, 2, 3))
    gain = uniform(-3.0, 1.6, 1, 1) + curve * some(0.7)
    power = power * gain.exp()

    # Noise: coloured, slowly changing, 3 to 40 dB below the speech, with the spread of a periodogram.
    level = power.mean(dim=(1, 2), keepdim=True)
    ratio = uniform(-9.2, -0.7, 1, 1).exp() * some(0.6)
    colour = (-3.0 * band * uniform(-0.3, 1.0, 1, 1)).exp()
    slow = F.interpolate(torch.rand(batch, 1, 4, generator=generator), size=columns, mode="linear", align_corners=True)
    spread = torch.rand(batch, columns, bands, generator=generator).clamp(min=0.02).log().neg()
    power = power + level * ratio * colour * (0.3 + slow.transpose(1, 2)) * spread

    # Telephone: nothing over 3.4 kHz or so, little under 300 Hz, and the noise of the line.
    telephone = some(0.2)
    cut = telephone * (band > uniform(0.62, 0.75, 1, 1))
    low = telephone * some(0.7) * (band < uniform(0.08, 0.15, 1, 1))
    power = power * (1.0 - cut) * (1.0 - 0.99 * low)
    power = power + telephone * level * uniform(-10.0, -5.0, 1, 1).exp() * some(0.5) * spread * (1.0 - cut)
    return ((power + MEL_FLOOR).log() + MEL_SHIFT) / MEL_SCALE


def _warp_matrices(warp: Tensor, bands: int) -> Tensor:
    """Return (B, bands, bands) that stretch the frequency axis by 1 + warp (B,): another length of the vocal tract."""
    position = (torch.arange(bands) * (1.0 + warp)[:, None]).clamp(max=bands - 1)  # (B, bands)
    below = position.floor()
    share = position - below
    index = torch.arange(bands)[None, :, None]  # source bands
    lower = (index == below[:, None]).float() * (1 - share)[:, None]
    upper = (index == (below + 1).clamp(max=bands - 1)[:, None]).float() * share[:, None]
    return lower + upper
