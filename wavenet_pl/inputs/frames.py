"""Local inputs: rows of numbers for frames of a recording, stored beside its audio.

Row f of a recording's array describes samples f * hop_length to (f + 1) * hop_length - 1. `scaled` brings the stored
numbers to what the model is given.

Shapes: N frames, F features of a frame.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import BadDataError, UserError
from wavenet_pl.inputs.input import Array, Columns, Fields, Input, Rows
from wavenet_pl.shards.arrays import decode_array, read_npy
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import Index
from wavenet_pl.shards.labels import spec_fingerprint
from wavenet_pl.shards.split import Split

if TYPE_CHECKING:
    from typing_extensions import Self

_BAD = "bad features"


@dataclass(frozen=True, kw_only=True)
class Frames(Input):
    """Frames of one kind, and how they were made: the fields are the spec. Its field is (N, F), float32.

    There is a second field, `NAME_phase`: by how many samples column 0 is behind the beginning of its frame.
    """

    hop_length: int
    """Samples in a frame."""

    dtype: ClassVar[str]
    """Of the stored numbers."""
    bounds: ClassVar[tuple[float, float] | None] = None
    """The least and the greatest that a stored number may be; any finite one if None."""
    rule: ClassVar[str] = ""
    """Rule of `prepare` that drops recordings without a file that fits; empty where none is needed."""
    rule_help: ClassVar[str] = ""
    """What that rule does."""
    flaw_help: ClassVar[Mapping[str, str]] = {}
    """Flaw that a recording may have and be kept -> what it means."""
    has_settings: ClassVar[bool] = False
    """Whether the option of `prepare` takes settings."""
    prepare_help: ClassVar[str] = ""
    """What that option is for."""
    file_column: ClassVar[str] = ""
    """Column of metadata.csv that may name the file of a recording."""

    # --- how they are made ---

    @classmethod
    def default(cls, sample_rate: int) -> Self:
        """The settings that `prepare --NAME` uses by default."""
        raise NotImplementedError

    @classmethod
    def from_option(cls, text: str, sample_rate: int) -> Self:
        """What ``prepare --NAME SETTINGS`` asks for; the same as without settings where `has_settings` is false.

        Raises:
            UserError: a setting is unknown, no number, or out of range.
        """
        return cls.default(sample_rate)

    @classmethod
    @abstractmethod
    def from_spec(cls, name: str, spec: Mapping[str, Any]) -> Self:
        """What an index or a checkpoint holds, which anyone may have written.

        Raises:
            ValueError: settings are missing, unknown or out of range.
        """

    @property
    @abstractmethod
    def num_features(self) -> int:
        """Numbers in a row (F)."""

    def scaled(self, stored_NF: Array) -> npt.NDArray[np.float32]:
        """(N, F) as the model is given them: as they are stored, where a class says nothing else."""
        return stored_NF.astype(np.float32)

    def valid(self, stored_NF: Array) -> bool:
        """Whether stored numbers are within `bounds`, and none is nan."""
        least, greatest = self.bounds or (-np.inf, np.inf)
        return bool((np.isfinite(stored_NF) & (stored_NF >= least) & (stored_NF <= greatest)).all())

    @property
    def range_words(self) -> str:
        """The range of stored numbers, in words for a message."""
        return "finite numbers" if self.bounds is None else "numbers from {:g} to {:g}".format(*self.bounds)

    @property
    def spec(self) -> dict[str, Any]:
        """How they were made, as plain values: what an index and a checkpoint keep."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @property
    def fingerprint(self) -> str:
        """16 hex digits of a hash over name and spec."""
        return spec_fingerprint(self.name, self.spec)

    @property
    def extension(self) -> str:
        """Extension of the member of a shard that holds them."""
        return f"{self.name}.npy"

    def num_frames(self, num_samples: int) -> int:
        """Rows of a recording (N)."""
        return -(-num_samples // self.hop_length)

    def num_rows(self, columns: Columns) -> int:
        """Rows that the field of so many columns has, which begin anywhere in a frame and may touch one more."""
        return self.num_frames(columns.number + self.hop_length - 1) + 2 * columns.frame_context

    # --- making them, in `prepare` ---

    def file_suffixes(self) -> tuple[str, ...]:
        """What follows a recording's name in that of the file which they are made from; none if of its audio."""
        return ()

    def load(self, path: str, num_samples: int, sample_rate: int) -> Any:
        """What `make` takes, from the file of a recording of so many samples.

        Raises:
            UserError: it cannot be read, or does not fit the recording; without its name.
        """
        return None

    @abstractmethod
    def make(self, material: Any, audio: npt.NDArray[np.int16], sample_rate: int, start: int) -> Array:
        """Stored frames (N, F) of a part of a recording.

        Args:
            material: from `load`.
            audio: of the part, (samples,).
            sample_rate: in Hz.
            start: samples from the beginning of the recording to that of the part.
        """

    def flaws(
        self, material: Any, audio: npt.NDArray[np.float32], sample_rate: int, start: int
    ) -> dict[str, str]:
        """Of `flaw_help`, what a recording has, with what was found."""
        return {}

    def tally(self, stored_NF: Array) -> dict[str, float]:
        """Numbers of one recording for the report, by name."""
        return {self.name: round(float(stored_NF.mean(dtype=np.float64)), 6)}

    def report(self, rows: Sequence[Mapping[str, Any]], sample_rate: int) -> str:
        """What the tallies of all recordings say together; each row has `frames`, its length in samples."""
        frames = sum(row["frames"] for row in rows)
        return f"mean {sum(row[self.name] * row['frames'] for row in rows) / max(frames, 1):.3f}"

    # --- what a set says about a recording ---

    @classmethod
    def missing(cls, name: str, index: Index) -> str:
        """What a set without these frames lacks, and how to prepare it with them."""
        if name in index.labels.frames:
            return ""
        return (
            f"no {name} frames, expected some, as model.condition.inputs has {name}; prepare it again with "
            f"{cls.prepare_option(name)}"
        )

    @classmethod
    def prepare_option(cls, name: str) -> str:
        """Option that makes `prepare` store them."""
        return f"--{name}"

    def read(self, split: Split, position: int, columns: Columns) -> Fields | Damage:
        """The frames of the columns, and `frame_context` more on both sides; what is outside of the recording is 0."""
        stored = self.stored(split, position)
        return stored if isinstance(stored, Damage) else self.fields(stored, columns)

    def stored(self, split: Split, position: int) -> Array | Damage:
        """All stored frames (N, F) of a recording, or what is wrong with them."""
        num_samples = split[position].frames
        return split.try_read_member(position, self.extension, lambda data: self.decode(data, num_samples))

    def decode(self, content: bytes, num_samples: int) -> Array:
        """Stored frames (N, F) of a recording of so many samples.

        Raises:
            BadDataError: they are something else.
        """
        shape = self.num_frames(num_samples), self.num_features
        stored_NF = decode_array(content, self.dtype, shape, self.name)
        if not self.valid(stored_NF):
            raise BadDataError(f"has {self.name} out of range, expected {self.range_words}", _BAD)
        return stored_NF

    def blank(self, columns: Columns) -> Fields:
        """Frames of zeros."""
        frames_NF = np.zeros((self.num_rows(columns), self.num_features), dtype=np.float32)
        return {self.name: frames_NF, f"{self.name}_phase": self._phase(columns)}

    def wrong(
        self, split: Split, position: int, columns: Columns, own: Array, draws: Sequence[int]
    ) -> Array | None:
        """Frames of another recording, or of this one half its length away where it is the only one."""
        for draw in draws:
            number = len(split)
            chosen = (position + 1 + draw % (number - 1)) % number if number > 1 else position
            stored_NF = self.stored(split, chosen)
            if isinstance(stored_NF, Damage):
                continue
            rows = self.num_rows(columns)
            begin = columns.first // self.hop_length + (len(stored_NF) // 2 if chosen == position else 0)
            begin %= max(1, len(stored_NF) - rows + 1)
            other_NF = self._window(stored_NF, begin - columns.frame_context, rows)
            if not np.array_equal(other_NF, own):
                return other_NF
        return None

    # --- the condition of a clip ---

    def resolve(self, value: Any, sample_rate: int) -> Rows:
        """Stored frames (N, F) of an array or a file.

        Raises:
            ValueError: there are none, or they are others than this model's.
        """
        if value is None:
            raise ValueError(
                f"{self.name} is missing, expected frames of {self.num_features} numbers for this model"
            )
        if isinstance(value, (str, os.PathLike)):
            return self.read_file(os.fspath(value), sample_rate)
        try:
            stored_NF = self.as_rows(np.asarray(value))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{self.name} cannot be an array ({error}), expected {self.range_words}"
            ) from None
        if stored_NF.ndim != 2 or stored_NF.shape[1] != self.num_features or not len(stored_NF):
            raise ValueError(
                f"{self.name} has shape {stored_NF.shape}, expected (frames, {self.num_features}), a frame for "
                f"{self.hop_length} samples; make it with the settings {self.spec}"
            )
        if stored_NF.dtype.kind not in "fiu":
            raise ValueError(f"{self.name} is an array of {stored_NF.dtype}, expected {self.range_words}")
        if not self.valid(stored_NF):
            raise ValueError(f"{self.name} has numbers out of range, expected {self.range_words}")
        return stored_NF

    def read_file(self, path: str, sample_rate: int) -> Rows:
        """Stored frames (N, F) that another program has made by the same settings, of a .npy file.

        Raises:
            UserError: it cannot be read, or holds something else.
        """
        stored_NF = self.as_rows(read_npy(path, f"{self.name} "))
        good = stored_NF.ndim == 2 and len(stored_NF) > 0 and stored_NF.shape[1:] == (self.num_features,)
        if not good or stored_NF.dtype.kind not in self.file_kinds or not self.valid(stored_NF):
            raise UserError(
                f"{self.name} {path} has {stored_NF.dtype} of shape {stored_NF.shape}, expected {self.range_words} of "
                f"shape (frames, {self.num_features}), made with the settings {self.spec}"
            )
        return stored_NF

    @property
    def file_kinds(self) -> str:
        """Kinds of numbers that such a file may have, as NumPy calls them."""
        return np.dtype(self.dtype).kind

    def as_rows(self, array: Array) -> Array:
        """An array as rows, where it can be given in another shape."""
        return array

    def num_samples(self, value: Rows) -> int:
        """How many samples the frames last."""
        return len(value) * self.hop_length

    def fields(self, value: Rows, columns: Columns) -> Fields:
        """The frames of the columns; those that are not there are 0."""
        begin = columns.first // self.hop_length - columns.frame_context
        frames_NF = self._window(value, begin, self.num_rows(columns))
        return {self.name: frames_NF, f"{self.name}_phase": self._phase(columns)}

    # --- words ---

    def describe(self, batch: Mapping[str, Any], row: int) -> str:
        """Their name, and the recording that they are of where the batch has keys."""
        keys = batch.get("keys")
        return f"{self.name} of {keys[row]}" if keys else self.name

    @property
    def example(self) -> str:
        """Name of an array file."""
        return f"{self.name}.npy"

    def summary(self) -> str:
        """The settings that they are made with."""
        return str(self.spec)

    def _phase(self, columns: Columns) -> Array:
        return np.int64(columns.first % self.hop_length)  # type: ignore[return-value]

    def _window(self, stored_NF: Rows, begin: int, number: int) -> npt.NDArray[np.float32]:
        """So many frames (number, F) from `begin` on, which may be negative; those that are not there are 0."""
        frames_NF = np.zeros((number, self.num_features), dtype=np.float32)
        first, last = max(begin, 0), min(begin + number, len(stored_NF))
        if first < last:
            frames_NF[first - begin : last - begin] = self.scaled(stored_NF[first:last])
        return frames_NF
