"""Features: numbers beside the audio, in frames of their own, and what these numbers mean.

A recording's features are an array of rows, one for each frame: row f describes samples f * hop_length to
(f + 1) * hop_length - 1. `scaled` brings the stored numbers to [0, 1], where 0 is nothing: no key pressed, or silence.

Shapes: N frames, F features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import BadDataError

LOWEST_KEY, NUM_KEYS = 21, 88
"""MIDI number of a piano's lowest key, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """How features were made. Two sets of features can be used for one another where their specs are equal."""

    hop_length: int
    """Samples in a frame."""

    name: ClassVar[str]
    """What they are."""
    dtype: ClassVar[str]
    """Of the stored numbers."""
    full_scale: ClassVar[float]
    """The stored number that stands for 1."""

    @property
    def extension(self) -> str:
        """Of the member of a shard."""
        return f"{self.name}.npy"

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
    """What is as quiet or more so is 0, in dB of a full-scale sine in the middle of the band, which is 1."""

    name = "mel"
    dtype = "float16"
    full_scale = 1.0

    @property
    def num_features(self) -> int:
        """The bands."""
        return self.num_mels


SPECS: dict[str, type[FeatureSpec]] = {spec.name: spec for spec in (NotesSpec, MelSpec)}

_RANGES: dict[str, tuple[float, float]] = {
    "hop_length": (1, 2**16),
    "window_length": (1, 2**16),
    "num_mels": (1, 512),
    "lowest_hz": (0.0, 384_000.0),
    "highest_hz": (0.0, 384_000.0),
    "floor_db": (-200.0, -10.0),
}
"""Setting -> its least and largest value, of its type: half of the highest sample rate bounds a frequency."""
_MAGIC = b"\x93NUMPY\x01\x00"
_ALIGNMENT = 64  # of what follows the header of a .npy file
_BAD = "bad features"


def read_spec(name: str, plain: Mapping[str, Any]) -> FeatureSpec:
    """The spec that an index or a checkpoint holds.

    Raises:
        ValueError: there is none of this name, or settings are missing, unknown or out of range.
    """
    if name not in SPECS:
        raise ValueError(f"features are called {name!r:.80}, expected one of {', '.join(SPECS)}")
    kind = SPECS[name]
    names = [setting.name for setting in fields(kind)]
    if not isinstance(plain, Mapping) or set(plain) != set(names):
        raise ValueError(f"{name} has the settings {plain!r:.80}, expected {', '.join(names)}")
    settings: dict[str, Any] = {}
    for setting in names:
        lowest, highest = _RANGES[setting]
        value, kinds = plain[setting], (int,) if isinstance(lowest, int) else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not lowest <= value <= highest:
            raise ValueError(
                f"{name} has {setting} {value!r:.80}, expected {'a whole' if kinds == (int,) else 'a'} number from "
                f"{lowest} to {highest}"
            )
        settings[setting] = type(lowest)(value)  # 55 and 55.0 are one setting
    spec = kind(**settings)
    if isinstance(spec, MelSpec):
        if spec.window_length < spec.hop_length:
            raise ValueError(
                f"mel has window_length {spec.window_length}, expected hop_length {spec.hop_length} or more"
            )
        if spec.lowest_hz >= spec.highest_hz:
            raise ValueError(
                f"mel has lowest_hz {spec.lowest_hz:g}, expected less than highest_hz {spec.highest_hz:g}"
            )
    return spec


def encode_features(spec: FeatureSpec, stored_NF: npt.NDArray[Any]) -> bytes:
    """Stored features as the content of a .npy file: the same bytes with every release of NumPy."""
    assert stored_NF.dtype == spec.dtype and stored_NF.ndim == 2, (stored_NF.dtype, stored_NF.shape)
    assert stored_NF.shape[1] == spec.num_features, stored_NF.shape
    text = _header(spec, len(stored_NF))
    text += " " * (-(len(_MAGIC) + 2 + len(text) + 1) % _ALIGNMENT) + "\n"
    head = _MAGIC + len(text).to_bytes(2, "little") + text.encode()
    return head + np.ascontiguousarray(stored_NF, _stored_as(spec)).tobytes()


def decode_features(spec: FeatureSpec, content: bytes, num_samples: int) -> npt.NDArray[Any]:
    """What `encode_features` gave.

    The header is compared, not believed: nothing of what it claims is evaluated or allocated.

    Args:
        spec: how they were made.
        content: of the member.
        num_samples: of the recording.

    Raises:
        BadDataError: it is something else, or has numbers that are out of range.
    """
    num_frames = spec.num_frames(num_samples)
    start = len(_MAGIC) + 2
    if content[: len(_MAGIC)] != _MAGIC:
        raise BadDataError(f"is no .npy file of version 1.0, expected {spec.name} features", _BAD)
    end = start + int.from_bytes(content[len(_MAGIC) : start], "little")
    found, expected = content[start:end].decode("latin-1").strip(), _header(spec, num_frames)
    if found != expected:
        raise BadDataError(f"has the header {found!r:.120}, expected {expected!r}", _BAD)
    size = num_frames * spec.num_features * np.dtype(spec.dtype).itemsize
    if len(content) - end != size:
        raise BadDataError(f"has {max(len(content) - end, 0)} bytes of {spec.name}, expected {size}", _BAD)
    stored = np.frombuffer(content, _stored_as(spec), offset=end).astype(spec.dtype)
    if not ((stored >= 0) & (stored <= spec.full_scale)).all():  # nan is outside, too
        raise BadDataError(f"has {spec.name} out of range, expected 0 to {spec.full_scale:g}", _BAD)
    return stored.reshape(num_frames, spec.num_features)


def _header(spec: FeatureSpec, num_frames: int) -> str:
    shape = (num_frames, spec.num_features)
    return f"{{'descr': '{_stored_as(spec).str}', 'fortran_order': False, 'shape': {shape}, }}"


def _stored_as(spec: FeatureSpec) -> np.dtype[Any]:
    return np.dtype(spec.dtype).newbyteorder("<")
