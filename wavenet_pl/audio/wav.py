"""WAV files that grow: valid at any time, whatever happens to the process that writes them."""

from __future__ import annotations

import io
import os
import wave
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLE_BYTES = 2
"""Of 16 bits."""


class _Whole(io.FileIO):
    """A file without a buffer that takes all of what is written to it: a full disk is an error and no short count."""

    def write(self, content: Any) -> int:
        """Write all of it, in as many pieces as the disk takes.

        Raises:
            OSError: it does not take the rest.
        """
        left = memoryview(content).cast("B")
        try:
            while left:
                left = left[super().write(left) :]
        except OSError as error:
            error.filename = os.fspath(self.name)  # a full disk does not say for whom
            raise
        return len(content)


class WavWriter:
    """A mono file of 16-bit samples.

    Samples go to the file at once, and are counted in its header after that: a reader, or a kill, finds a valid file.

    Args:
        path: of the file.
        sample_rate: in Hz.
        replace: whether one that is there is replaced.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be written.
    """

    most_samples = (2**32 - 1 - 36) // SAMPLE_BYTES
    """What its header can count: 4 GiB."""

    def __init__(self, path: str | os.PathLike[str], sample_rate: int, *, replace: bool = True) -> None:
        self._file = _Whole(path, "wb" if replace else "xb")  # `close` closes it
        self._wave = wave.open(self._file, "wb")  # noqa: SIM115
        self._wave.setparams((1, SAMPLE_BYTES, sample_rate, 0, "NONE", "not compressed"))
        self._wave.writeframes(b"")  # the header

    def write(self, audio: npt.NDArray[np.float32]) -> None:
        """Float audio (samples,), as loud as it is; what is over full scale is clipped.

        Raises:
            OSError: the disk does not take it.
        """
        self._wave.writeframes(to_int16(audio).tobytes())

    def close(self) -> None:
        """Close the file, whose header is right already."""
        self._wave.close()
        self._file.close()


def from_int16(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Float audio of 16-bit samples, as decoders give it."""
    return samples * np.float32(2**-15)


def to_int16(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """16-bit samples of float audio, as loud as it is; what is over full scale is clipped."""
    with np.errstate(over="ignore"):
        steps = audio * np.float32(32768)  # a power of two: nothing is rounded
    return np.clip(np.rint(steps, out=steps), -32768, 32767, out=steps).astype("<i2")
