"""Features: numbers beside the audio, in frames of their own, and what these numbers mean.

A recording's features are an array of rows, one for each frame: row f describes samples f * hop_length to
(f + 1) * hop_length - 1. `scaled` brings the stored numbers to [0, 1], where 0 is nothing: no key pressed, or silence.

Shapes: N frames, F features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

LOWEST_KEY, NUM_KEYS = 21, 88
"""MIDI number of a piano's lowest key, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """How features were made. Two sets of features can be used for one another where their specs are equal."""

    hop_length: int
    """Samples in a frame."""

    name: ClassVar[str]
    """What they are; also the extension, ``<name>.npy``, of the member of a shard."""
    dtype: ClassVar[str]
    """Of the stored numbers."""
    full_scale: ClassVar[float]
    """The stored number that stands for 1."""

    @property
    def num_features(self) -> int:
        """Numbers in a row (F)."""
        raise NotImplementedError

    def num_frames(self, num_samples: int) -> int:
        """Rows of a recording (N)."""
        return -(-num_samples // self.hop_length)

    def scaled(self, stored_NF: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """(N, F) float32 in [0, 1]."""
        return np.asarray(stored_NF.astype(np.float32) / np.float32(self.full_scale))

    def to_plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @property
    def fingerprint(self) -> str:
        """16 hex digits of a hash over name and settings, to be shown beside another one."""
        text = json.dumps([self.name, self.to_plain()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class NotesSpec(FeatureSpec):
    """A piano roll: for each of the 88 keys its velocity while it sounds, then how far the sustain pedal is down."""

    name = "notes"
    dtype = "uint8"
    full_scale = 127.0

    @property
    def num_features(self) -> int:
        """The keys and the pedal."""
        return NUM_KEYS + 1


@dataclass(frozen=True, kw_only=True)
class MelSpec(FeatureSpec):
    """Log energies in bands of the mel scale (HTK's), around the middle of each frame."""

    window_length: int
    """Samples of the Hann window, which reaches beyond the frame on both sides."""
    num_mels: int
    lowest_hz: float
    highest_hz: float
    floor_db: float
    """What is as quiet or more so is 0, in dB of a full-scale sine's own band; full scale is 1."""

    name = "mel"
    dtype = "float16"
    full_scale = 1.0

    @property
    def num_features(self) -> int:
        """The bands."""
        return self.num_mels


SPECS: dict[str, type[FeatureSpec]] = {spec.name: spec for spec in (NotesSpec, MelSpec)}


def read_spec(name: str, plain: Mapping[str, Any]) -> FeatureSpec:
    """The spec that an index or a checkpoint holds.

    Raises:
        ValueError: there is none of this name, or settings are missing, unknown or out of range.
    """
    raise NotImplementedError


def decode_features(spec: FeatureSpec, content: bytes, num_samples: int) -> npt.NDArray[Any]:
    """What `encode_features` gave."""
    raise NotImplementedError
