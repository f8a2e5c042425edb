"""Which English words are understood: by PocketSphinx, whose model is in its package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.resampling import resample
from wavenet_pl.audio.wav import to_int16
from wavenet_pl.errors import UserError
from wavenet_pl.runs.versions import INSTALL_JUDGES

_RATE = 16_000


class Recogniser:
    """A recogniser of American English (Huggins-Daines et al., 2006): old and small, and the same on every machine.

    Raises:
        UserError: its package is not installed.
    """

    def __init__(self) -> None:
        try:
            import pocketsphinx
        except ImportError as error:
            raise UserError(
                f"pocketsphinx cannot be imported ({error}), so no words are judged; run {INSTALL_JUDGES}"
            ) from None
        self._decoder = pocketsphinx.Decoder(samprate=_RATE, loglevel="FATAL")

    def hear(self, audio: npt.NDArray[np.float32], sample_rate: int) -> list[str]:
        """The words of a clip (samples,) of full scale 1."""
        samples = to_int16(resample(np.asarray(audio, np.float32), sample_rate, _RATE))
        if not len(samples):
            return []
        # It goes on with what it has learned of the last clip's level, and never recovers from digital silence.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), no_search=False, full_utt=True)
        self._decoder.end_utt()
        best = self._decoder.hyp()
        return [] if best is None else best.hypstr.split()


class Alignment(NamedTuple):
    """Words of a clip beside those of its recording, in the way that needs the fewest changes."""

    same: int
    """Words that are in both, in the same order."""
    errors: int
    """Words that are missing, added or others."""


def align(reference: Sequence[str], heard: Sequence[str]) -> Alignment:
    """The fewest changes that make one of the other, and of such ways the one with the most words in common."""
    row = [(added, 0) for added in range(len(heard) + 1)]
    for missing, word in enumerate(reference, start=1):
        diagonal, row[0] = row[0], (missing, 0)
        for column, other in enumerate(heard, start=1):
            equal = word == other
            ways = (
                (diagonal[0] + (not equal), diagonal[1] - equal),
                (row[column][0] + 1, row[column][1]),
                (row[column - 1][0] + 1, row[column - 1][1]),
            )
            diagonal, row[column] = row[column], min(ways)
    errors, same = row[-1]
    return Alignment(-same, errors)
