"""Frames of the user's own, an array beside each recording: F0, linguistic features (WaveNet, section 3.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import UserError
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Array
from wavenet_pl.inputs.settings import read_number
from wavenet_pl.shards.arrays import read_npy

_MOST_FEATURES = 4096
_LARGEST = 1e30
_NUMBERS = "fiu"  # kinds of them, as NumPy calls these


@dataclass(frozen=True, kw_only=True)
class UserFrames(Frames):
    """Rows of numbers from a file KEY.NAME.npy; the model is given them less `mean` and over `std`."""

    name: str
    mean: tuple[float, ...]
    """Of each feature, over recordings to train on."""
    std: tuple[float, ...]
    """The same of its standard deviation."""

    dtype = "float32"
    rule = "frames"
    rule_help = "drop what has no array that fits"

    @classmethod
    def from_spec(cls, name: str, spec: Mapping[str, Any]) -> UserFrames:
        """What an index or a checkpoint holds.

        Raises:
            ValueError: settings are missing, unknown or out of range.
        """
        if not isinstance(spec, Mapping) or set(spec) != {"hop_length", "mean", "std"}:
            raise ValueError(f"{name} has the settings {spec!r:.80}, expected hop_length, mean, std")
        numbers: dict[str, tuple[float, ...]] = {}
        for setting, lowest in (("mean", -_LARGEST), ("std", 1e-30)):
            values = spec[setting]
            if (
                not isinstance(values, Sequence)
                or isinstance(values, str)
                or not 1 <= len(values) <= _MOST_FEATURES
            ):
                raise ValueError(
                    f"{name} has {setting} {values!r:.80}, expected 1 to {_MOST_FEATURES} numbers, one for each feature"
                )
            numbers[setting] = tuple(read_number(name, setting, value, lowest, _LARGEST) for value in values)
        if len(numbers["mean"]) != len(numbers["std"]):
            raise ValueError(
                f"{name} has {len(numbers['mean'])} means and {len(numbers['std'])} deviations, expected as many"
            )
        hop = read_number(name, "hop_length", spec["hop_length"], 1, 2**16)
        return cls(name=name, hop_length=hop, mean=numbers["mean"], std=numbers["std"])

    @property
    def spec(self) -> dict[str, Any]:
        """Without the name, under which it is kept."""
        return {"hop_length": self.hop_length, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def prepare_option(cls, name: str) -> str:
        """With the hop of the user's own arrays."""
        return f"--frames {name}:hop=N"

    @property
    def num_features(self) -> int:
        """Numbers in a row (F): one for each mean."""
        return len(self.mean)

    def scaled(self, stored_NF: Array) -> npt.NDArray[np.float32]:
        """Less the mean, over the deviation: 0 is the mean."""
        mean_F, std_F = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return np.asarray((stored_NF.astype(np.float32) - mean_F) / std_F)

    def valid(self, stored_NF: Array) -> bool:
        """Whether what the model would be given is finite: float32 holds less than float64."""
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(self.scaled(stored_NF)).all())

    @property
    def range_words(self) -> str:
        """The range of stored numbers, in words for a message."""
        return "finite numbers, in float32 too"

    def file_suffixes(self) -> tuple[str, ...]:
        """Arrays are called KEY.NAME.npy."""
        return (f".{self.name}.npy",)

    def load(self, path: str, num_samples: int, sample_rate: int) -> Array:
        """The array (N, F) of a recording; one frame more or less than its audio has is mended at the end.

        Raises:
            UserError: it cannot be read, has another shape, or another length than the audio.
        """
        stored_NF = read_frames(path)
        if stored_NF.shape[1] != self.num_features:
            raise UserError(
                f"{path} has {stored_NF.shape[1]} numbers in a frame, expected {self.num_features}, as in other arrays"
            )
        expected = self.num_frames(num_samples)
        if abs(len(stored_NF) - expected) > 1:  # tools differ in whether they count the last frame
            raise UserError(
                f"{path} has {len(stored_NF)} frames, expected {expected}: one for each {self.hop_length} of the "
                f"{num_samples} samples at {sample_rate} Hz"
            )
        return stored_NF

    @property
    def file_kinds(self) -> str:
        """Integers and floats, as `prepare` takes them."""
        return _NUMBERS

    def as_rows(self, array: Array) -> Array:
        """One number a frame, as most pitch trackers write it, is a row too."""
        return array[:, None] if array.ndim == self.num_features == 1 else array

    def make(self, material: Any, audio: npt.NDArray[np.int16], sample_rate: int, start: int) -> Array:
        """For each frame of a part, that of the whole which its middle lies in."""
        middles_N = start + self.hop_length * np.arange(self.num_frames(len(audio))) + self.hop_length // 2
        return np.asarray(material[np.minimum(middles_N // self.hop_length, len(material) - 1)], np.float32)


@dataclass(frozen=True, kw_only=True)
class FramesOption:
    """What ``--frames NAME:hop=N`` asks for; without mean and std they are measured on the arrays."""

    name: str
    hop_length: int
    mean: float | None = None
    std: float | None = None


def read_option(text: str) -> FramesOption:
    """Read ``f0:hop=80`` or ``f0:hop=80,mean=120,std=40``.

    Raises:
        UserError: it is something else.
    """
    name, _, rest = text.partition(":")
    expected = "NAME:hop=N such as f0:hop=80, with mean=M,std=S if you like"
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise UserError(
            f"--frames is {text!r:.60}, expected {expected}; the name in small letters, digits and _"
        )
    settings: dict[str, float] = {}
    for part in filter(None, rest.split(",")):
        setting, equals, value = part.partition("=")
        try:
            if not equals or setting not in ("hop", "mean", "std") or setting in settings:
                raise ValueError(part)
            settings[setting] = int(value) if setting == "hop" else float(value)
            if not abs(settings[setting]) <= _LARGEST:
                raise ValueError(part)
        except ValueError:
            raise UserError(f"--frames {text!r:.60} has {part!r:.40}, expected {expected}") from None
    if "hop" not in settings or not 1 <= settings["hop"] <= 2**16:
        raise UserError(f"--frames {text!r:.60} has no hop from 1 to {2**16}, expected {expected}")
    if ("mean" in settings) != ("std" in settings) or not settings.get("std", 1.0) > 0:
        raise UserError(f"--frames {text!r:.60} has a mean without a std above 0, expected both or none")
    return FramesOption(
        name=name, hop_length=int(settings["hop"]), mean=settings.get("mean"), std=settings.get("std")
    )


def read_frames(path: str) -> Array:
    """The array (N, F) of a file, finite.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    array = read_npy(path)
    if array.ndim == 1:  # one number a frame, as most pitch trackers write it
        array = array[:, None]
    if array.ndim == 2 and len(array) and array.dtype.kind in _NUMBERS:
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite
            stored_NF = array.astype(np.float32)
        if np.isfinite(stored_NF).all():
            return stored_NF
    raise UserError(
        f"{path} has {array.dtype} of shape {array.shape}, expected finite numbers of shape (frames, features)"
    )


def measure(option: FramesOption, paths: Iterable[str]) -> UserFrames:
    """The input that an option asks for, with what is known of some recordings' arrays.

    Args:
        option: of `prepare`.
        paths: arrays of recordings to train on; each is read before the next one is asked for.

    Raises:
        UserError: there is none that can be read, or they differ in their number of features.
    """
    count, sums_F, squares_F = 0, np.zeros(0), np.zeros(0)
    reason = f"no recording has a file .{option.name}.npy beside it"
    for path in paths:
        try:
            stored_NF = read_frames(path).astype(np.float64)
        except UserError as error:  # the rules drop the recording, and say why
            reason = str(error)
            continue
        if count and stored_NF.shape[1] != len(sums_F):
            raise UserError(
                f"{path} has {stored_NF.shape[1]} numbers in a frame, expected {len(sums_F)}, as in other arrays of "
                f"--frames {option.name}; mend it or remove it"
            )
        sums_F = sums_F + stored_NF.sum(axis=0) if count else stored_NF.sum(axis=0)
        squares_F = squares_F + (stored_NF**2).sum(axis=0) if count else (stored_NF**2).sum(axis=0)
        count += len(stored_NF)
    if not count:
        raise UserError(
            f"--frames {option.name} cannot be used: {reason}, expected an array (frames, features)"
        )
    mean_F = sums_F / count
    std_F = np.sqrt(np.maximum(squares_F / count - mean_F**2, 0))
    std_F = np.where(std_F > 1e-12, std_F, 1.0)  # a feature that never changes says nothing, and is 0
    if option.mean is not None and option.std is not None:
        mean_F, std_F = np.full_like(mean_F, option.mean), np.full_like(std_F, option.std)
    # As float32 has them: the same on every machine, and short enough to read.
    mean, std = ([float(f"{value:.6g}") for value in numbers_F] for numbers_F in (mean_F, std_F))
    try:
        return UserFrames.from_spec(option.name, {"hop_length": option.hop_length, "mean": mean, "std": std})
    except ValueError as error:  # what could be written could not be read
        raise UserError(f"--frames {option.name} cannot be used: {error}; make other arrays") from None
