"""Mel frames: how much sounds in each band of the mel scale (HTK's), in dB. They make of any model a vocoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.mel import MelSettings, mel_frames
from wavenet_pl.audio.reading import read_audio
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Array, Rows
from wavenet_pl.inputs.settings import read_settings


@dataclass(frozen=True, kw_only=True)
class Mel(Frames):
    """Log energies in bands of the mel scale, around the middle of each frame: 0 is silence, 1 a full-scale sine."""

    window_length: int
    """Samples of the Hann window, which reaches beyond the frame on both sides."""
    num_mels: int
    lowest_hz: float
    highest_hz: float
    floor_db: float
    """What is as quiet or more so is 0, in dB of a full-scale sine in the middle of the band, which is 1."""

    name = "mel"
    heard_as = "voice"
    resynthesises = True
    dtype = "float16"
    bounds = (0, 1)
    metavar = "FILE"
    help = "audio to resynthesise, or its mel spectrogram as .npy, for a model conditioned on mel"
    has_settings = True
    prepare_help = (
        "mel spectrograms: 80 bands, 80 frames a second, in windows of 50 ms, but for settings such as "
        "hop_length=80,window_length=320,num_mels=80,lowest_hz=55,highest_hz=7600,floor_db=-80"
    )

    @classmethod
    def default(cls, sample_rate: int) -> Mel:
        """What `prepare --mel` makes: 80 bands, 80 frames a second, windows of 50 ms."""
        hop = max(1, sample_rate // 80)
        return cls(
            hop_length=hop,
            window_length=4 * hop,
            num_mels=80,
            lowest_hz=55.0,
            highest_hz=0.475 * sample_rate,
            floor_db=-80.0,
        )

    @classmethod
    def from_spec(cls, name: str, spec: Mapping[str, Any]) -> Mel:
        """What an index or a checkpoint holds.

        Raises:
            ValueError: settings are missing, unknown or out of range.
        """
        mel = cls(
            **read_settings(
                cls.name,
                spec,
                hop_length=(1, 2**16),
                window_length=(1, 2**16),
                num_mels=(1, 512),
                lowest_hz=(0.0, 384_000.0),  # half of the highest sample rate bounds a frequency
                highest_hz=(0.0, 384_000.0),
                floor_db=(-200.0, -10.0),
            )
        )
        if mel.window_length < mel.hop_length:
            raise ValueError(
                f"mel has window_length {mel.window_length}, expected hop_length {mel.hop_length} or more"
            )
        if mel.lowest_hz >= mel.highest_hz:
            raise ValueError(
                f"mel has lowest_hz {mel.lowest_hz:g}, expected less than highest_hz {mel.highest_hz:g}"
            )
        return mel

    @classmethod
    def from_option(cls, text: str, sample_rate: int) -> Mel:
        """What ``--mel SETTINGS`` asks for: the usual frames, but for settings such as ``hop_length=80,num_mels=40``.

        Raises:
            UserError: a setting is unknown, no number, or out of range.
        """
        settings = cls.default(sample_rate).spec
        try:
            for part in filter(None, text.split(",")):
                name, equals, value = part.partition("=")
                if not equals or name not in settings:
                    known = ", ".join(f"{known}=N" for known in settings)
                    raise ValueError(f"{part!r:.60} is none of {known}")
                settings[name] = type(settings[name])(value)
            return cls.from_spec(cls.name, settings)
        except ValueError as error:
            raise UserError(
                f"--mel {text} cannot be used ({error}), expected settings such as hop_length=80,window_length=320"
            ) from None

    @property
    def num_features(self) -> int:
        """Numbers in a row (F): one for each band."""
        return self.num_mels

    def make(self, material: Any, audio: npt.NDArray[np.int16], sample_rate: int, start: int) -> Array:
        """Mel frames (N, F) of the audio alone."""
        return self.of_audio(audio.astype(np.float32) / np.float32(32768), sample_rate)

    def of_audio(self, audio: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float16]:
        """(N, F) of audio (samples,) in [-1, 1]; as `audio.mel.mel_frames`."""
        return mel_frames(
            audio,
            sample_rate,
            MelSettings(
                self.hop_length,
                self.window_length,
                self.num_mels,
                self.lowest_hz,
                self.highest_hz,
                self.floor_db,
            ),
        )

    @property
    def example(self) -> str:
        """Name of an audio file."""
        return "recording.wav"

    def read_file(self, path: str, sample_rate: int) -> Rows:
        """Frames of a .npy file, or those of an audio file."""
        if path.endswith(".npy"):
            return super().read_file(path, sample_rate)
        return self.of_audio(read_audio(path, sample_rate, f"{self.name} "), sample_rate)
