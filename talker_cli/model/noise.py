"""Noise of samplers: standard Gaussian numbers that are a function of seed, step and frame alone, on every machine."""

import zlib

import numpy as np

WORDS = 4  # 64-bit numbers that Philox gives at each count


def noise_seed(seed: int, recording: str) -> int:
    """Return the seed of a recording's noise: under one seed, two recordings do not blink at the same frames."""
    return zlib.crc32(f"{seed} {recording}".encode())


def frame_noise(seed: int, frames: int, width: int, index: int, start: int = 0) -> np.ndarray:
    """Return Gaussian noise (1, frames, width) float32 of frames start … start + frames - 1 at step `index`.

    Philox counts (Salmon et al. 2011), so any frame's numbers are drawn without those before it. Box and Muller's method turns
    two uniform numbers into two normal ones, in the same way in any language.

    Args:
        seed: Seed of the recording.
        frames: Number of frames.
        width: Numbers a frame.
        index: Step; each has noise of its own.
        start: First frame.
    """
    counts = -(-width // WORDS)  # a frame
    generator = np.random.Philox(key=[seed % 2**64, index], counter=[start * counts, 0, 0, 0])
    words = generator.random_raw(frames * counts * WORDS).reshape(frames, -1, 2)
    uniform = (words >> np.uint64(11)) * 2.0**-53  # in 0…1, 1 excluded
    radius = np.sqrt(-2.0 * np.log1p(-uniform[..., 0]))
    angle = 2.0 * np.pi * uniform[..., 1]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    return pairs.reshape(1, frames, -1)[..., :width].astype(np.float32)
