"""FLAC files that grow: half the size of a WAV file, and whole when they are closed."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
import soundfile

from wavenet_pl.audio.decoding import AudioReader
from wavenet_pl.audio.streams import Unreadable
from wavenet_pl.audio.wav import to_int16
from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import open_file


class FlacWriter:
    """A mono file of 16-bit samples. Where the process is killed, its header does not know how long it is.

    Args:
        path: of the file.
        sample_rate: in Hz.
        replace: whether one that is there is replaced.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be written.
        UserError: FLAC has no such sample rate.
    """

    most_samples = 2**36 - 1
    """What its header can count."""

    def __init__(self, path: str | os.PathLike[str], sample_rate: int, *, replace: bool = True) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if replace else os.O_EXCL)
        descriptor = os.open(path, flags, 0o666)  # closed by the library, also where it refuses it
        try:
            self._file = soundfile.SoundFile(
                descriptor, "w", sample_rate, channels=1, format="FLAC", subtype="PCM_16"
            )
        except soundfile.SoundFileError as error:
            os.unlink(path)
            raise self._refusal(error) from None
        self._written = 0

    def write(self, audio: npt.NDArray[np.float32]) -> None:
        """Float audio (samples,), as loud as it is; what is over full scale is clipped.

        Raises:
            UserError: the disk does not take it.
        """
        try:
            self._file.write(to_int16(audio))
        except soundfile.SoundFileError as error:
            raise self._refusal(error) from None
        self._written += len(audio)

    def close(self) -> None:
        """Complete the file and close it.

        Raises:
            UserError: the disk does not take its end, of which the library says nothing.
        """
        self._file.close()
        if not self._written:
            return
        last = self._written - 1
        try:
            with open_file(self.path) as file, AudioReader(file, last, self._written) as reader:
                if not len(reader.read(1)):
                    raise Unreadable("its end is missing", cut=True)
        except (OSError, Unreadable) as error:
            raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> UserError:
        return UserError(
            f"{self.path} cannot be written ({str(error).strip()}), expected a disk with room and a sample rate that "
            "FLAC has; make room, or write a .wav file"
        )
