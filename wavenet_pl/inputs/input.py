"""The interface of all inputs: what the rest of the project asks of any of them.

Shapes: a field of one crop; batches stack them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import Index
from wavenet_pl.shards.split import Split

Array = npt.NDArray[Any]
Fields = dict[str, Array]
"""Name of a batch's field -> the part of one crop."""


class Rows(Protocol):
    """Stored frames (N, F) of which some at a time are taken: an array, or what makes them when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Array: ...


class Columns(NamedTuple):
    """The samples that a condition describes: one for each output of the network."""

    first: int
    """The sample that column 0 describes, from the recording's beginning, or from the clip's, prompt included."""
    number: int
    frame_context: int = 0
    """Frames before and after those of the samples that a local input's layers see."""


class Input(ABC):
    """One thing that a model is conditioned on: where it comes from, what its numbers mean, how people write it.

    Its layers are in `conditioning`. The batch's field of an input has its name; `other_NAME` is a wrong value of the
    same shape, and `changed_NAME` says whether there was one.
    """

    name: str
    """Of the input, of its table or frames in an index, and of its fields in a batch."""
    heard_as: ClassVar[str] = ""
    """What a judge of clips hears of it: voice or notes; empty for nothing."""
    resynthesises: ClassVar[bool] = False
    """Whether a clip that is conditioned on it should be the recording that it was made of."""
    metavar: ClassVar[str]
    """What its option of `wavenet-pl generate` takes."""
    help: ClassVar[str]
    """What that option is for."""

    # --- what a set says about a recording ---

    @classmethod
    @abstractmethod
    def missing(cls, name: str, index: Index) -> str:
        """What a set lacks of the input of this name, and what to do; empty where every recording has it."""

    @abstractmethod
    def read(self, split: Split, position: int, columns: Columns) -> Fields | Damage:
        """The fields of a crop of a recording, or what is wrong with it."""

    @abstractmethod
    def blank(self, columns: Columns) -> Fields:
        """Fields of the same shapes that say nothing: for padding."""

    @abstractmethod
    def wrong(
        self, split: Split, position: int, columns: Columns, own: Array, draws: Sequence[int]
    ) -> Array | None:
        """Another value of the field than a crop's own, to see what it costs; None where the set has none.

        Args:
            split: where other values come from.
            position: of the recording.
            columns: of the crop.
            own: the crop's right value.
            draws: random numbers that are the crop's own.
        """

    # --- the condition of a clip ---

    @abstractmethod
    def resolve(self, value: Any, sample_rate: int) -> Any:
        """What `fields` takes, from what people give: a name, names, an array or a file; None where nothing is given.

        Raises:
            ValueError: it is missing or unknown, or a file is not what was expected.
        """

    @abstractmethod
    def fields(self, value: Any, columns: Columns) -> Fields:
        """The fields of a clip that is conditioned on this value."""

    def num_samples(self, value: Any) -> int:
        """How long a resolved value lasts; 0 where it says nothing of time."""
        return 0

    # --- words ---

    @abstractmethod
    def describe(self, batch: Mapping[str, Any], row: int) -> str:
        """The condition of a row of a batch, in a few words for a caption."""

    @property
    @abstractmethod
    def example(self) -> str:
        """What an example of a command gives: a name, or what a user's own file might be called."""

    @abstractmethod
    def summary(self) -> str:
        """The values that it can have, or how it is made, for a model card."""


def crop_fields(
    inputs: Sequence[Input],
    split: Split,
    position: int,
    columns: Columns,
    draws: Mapping[str, Sequence[int]] | None,
) -> Fields | Damage:
    """The fields of all inputs for one crop; with draws, wrong values too.

    Args:
        inputs: of the model.
        split: where the recording is.
        position: of the recording; -1 gives fields that say nothing.
        columns: of the crop.
        draws: input -> random numbers; None for no wrong values.
    """
    fields: Fields = {}
    for each in inputs:
        fields_or_damage = each.blank(columns) if position < 0 else each.read(split, position, columns)
        if isinstance(fields_or_damage, Damage):
            return fields_or_damage
        fields |= fields_or_damage
        if draws is not None:
            own = fields_or_damage[each.name]
            other = None if position < 0 else each.wrong(split, position, columns, own, draws[each.name])
            fields[f"other_{each.name}"] = own if other is None else other
            fields[f"changed_{each.name}"] = np.bool_(other is not None)  # type: ignore[assignment]
    return fields
