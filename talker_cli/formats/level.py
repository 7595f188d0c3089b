"""Loudness of speech, and the gain for quiet recordings."""

import numpy as np

BLOCK = 640  # samples, 40 ms
QUIET = 10 ** (-50 / 20)  # RMS of a block: a recording without LOUD_BLOCKS beyond is amplified
LOUD_BLOCKS = 5
SILENT = 10 ** (-80 / 20)  # RMS of silence, which is not amplified
SPEECH_LEVEL = 10 ** (-26 / 20)  # RMS that the loudest blocks (95th percentile) are amplified to
DYNAMICS = 2.0  # times that the loudest blocks of speech exceed the softest fifth; steady noise is not amplified


class Level:
    """Loudness of a recording, measured over blocks of 40 ms."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []  # RMS
        self._rest = np.zeros(0, np.float32)
        self._loud = 0

    def add(self, part: np.ndarray) -> None:
        """Add samples (S,)."""
        if self.is_loud:
            return
        part = np.concatenate([self._rest, part])
        whole = len(part) // BLOCK * BLOCK
        self._rest = part[whole:]
        self._blocks.append(np.sqrt(np.square(part[:whole].reshape(-1, BLOCK)).mean(1)))
        self._loud += int((self._blocks[-1] > QUIET).sum())

    @property
    def is_loud(self) -> bool:
        """Whether the recording has sound of a usual level."""
        return self._loud >= LOUD_BLOCKS

    def quiet(self) -> float | None:
        """Return the level of the loudest blocks (95th percentile) in decibels if there is no loud sound, else None."""
        loud = self._percentile(95)
        return None if self.is_loud or loud > QUIET else 20 * np.log10(max(loud, 1e-6))

    def gain(self, notes: list[str]) -> np.float32:
        """Return the factor that brings quiet speech to a usual level, else 1; describe a quiet recording in `notes`."""
        decibels = self.quiet()
        if decibels is None:
            return np.float32(1.0)
        soft, loud = self._percentile(20), self._percentile(95)
        if loud < SILENT or loud < DYNAMICS * soft:
            notes.append(f"holds no speech that could be amplified: its level is {decibels:.0f} dB; record it louder")
            return np.float32(1.0)
        notes.append(f"is quiet ({decibels:.0f} dB) and is amplified by {20 * np.log10(SPEECH_LEVEL / loud):.0f} dB")
        return np.float32(SPEECH_LEVEL / loud)

    def _percentile(self, percent: float) -> float:
        """Return a percentile of the blocks' levels, silent blocks left out unless all are silent."""
        blocks = np.concatenate(self._blocks) if self._blocks else np.zeros(0)
        sounding = blocks[blocks > SILENT]
        if not len(sounding):
            return float(blocks.max()) if len(blocks) else np.inf
        return float(np.percentile(sounding, percent))
