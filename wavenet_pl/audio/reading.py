"""Audio files as they are given to a command: whole, mono, at the rate that is wanted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.channels import describe_scale
from wavenet_pl.audio.resampling import resample
from wavenet_pl.errors import UserError


def read_audio(path: str, sample_rate: int, what: str = "") -> npt.NDArray[np.float32]:
    """Mono audio (samples,) in [-1, 1].

    Args:
        path: of the file.
        sample_rate: wanted, in Hz.
        what: stands before the path in messages.

    Raises:
        UserError: it cannot be read, is empty, or has samples that are no numbers or far beyond full scale.
    """
    import soundfile

    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise UserError(f"{what}{path} cannot be read ({error}), expected an audio file") from None
    if len(audio) == 0 or not np.isfinite(audio).all():
        raise UserError(f"{what}{path} is empty or not finite, expected audio")
    if scale := describe_scale(float(np.abs(audio).max())):
        raise UserError(f"{what}{path} has {scale}; divide its samples by 32768")
    mono = audio.mean(axis=1, dtype=np.float32)
    return mono if rate == sample_rate else resample(mono, rate, sample_rate)
