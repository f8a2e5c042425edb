"""Audio as the rest needs it: whole, mono, at the rate that is wanted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.resampling import Resampler
from wavenet_pl.audio.streams import Unreadable
from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import printable

if TYPE_CHECKING:
    from wavenet_pl.audio.decoding import AudioReader

_log = logging.getLogger(__name__)


def read_audio(path: str, sample_rate: int, what: str = "") -> npt.NDArray[np.float32]:
    """Mono audio (samples,) of a file; what is odd about it is logged.

    Args:
        path: of the file.
        sample_rate: wanted, in Hz.
        what: stands before the path in messages.

    Raises:
        UserError: it cannot be read, is empty, or has samples that are no numbers.
    """
    from wavenet_pl.audio.decoding import open_audio  # late: it loads soundfile

    name = f"{what}{printable(path)}"
    try:
        with open_audio(path) as reader:
            audio = read_mono(reader, sample_rate)
    except Unreadable as error:
        raise UserError(f"{name} cannot be read ({error.reason}), expected an audio file") from None
    if not np.isfinite(audio).all():
        raise UserError(f"{name} is not finite, expected audio")
    for flaw, seen in reader.flaws.items():
        _log.warning(f"{name} has a flaw and is taken as it is: {flaw}, {seen}")
    return audio


def read_mono(
    reader: AudioReader,
    sample_rate: int,
    look: Callable[[npt.NDArray[np.float32]], object] = lambda block: None,
) -> npt.NDArray[np.float32]:
    """All that a reader has, channels averaged, at another rate.

    Args:
        reader: at its beginning.
        sample_rate: wanted, in Hz.
        look: is shown every block (samples, channels) before anything is done to it.

    Returns:
        (samples,) in [-1, 1], with more or what is no number where the file has that.

    Raises:
        Unreadable: it cannot be decoded, or has no samples.
    """
    resampler = Resampler(reader.sample_rate, sample_rate)
    made = []
    for block in reader.blocks():
        look(block)
        with np.errstate(all="ignore"):  # of what is no number
            mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
            made.append(resampler.push(mono))
    if not reader.at:
        raise Unreadable("no samples in it")
    with np.errstate(all="ignore"):
        made.append(resampler.finish())
    return np.concatenate(made)
