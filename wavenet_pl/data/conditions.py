"""What a batch says beside its audio: the fields of all inputs for each crop, and wrong values of them.

Shapes: fields of one crop; see `inputs`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Columns, Fields, Input, crop_fields
from wavenet_pl.numbers import counter
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.split import Split

_TRIES = 4


@dataclass(frozen=True)
class Conditions:
    """Reads what a model is conditioned on, for the crops of a split."""

    split: Split
    inputs: tuple[Input, ...] = ()
    """What the model is conditioned on."""
    num_columns: int = 0
    """Samples that a condition describes: one for each output of the network."""
    frame_context: int = 0
    others: bool = False
    """Whether crops also have ``other_NAME``, a wrong value, and ``changed_NAME``, whether there was one."""

    def read(self, recording: int, first: int) -> Fields | Damage:
        """The fields of one crop.

        Args:
            recording: position in the split; -1 gives fields of the same shapes that say nothing.
            first: the sample that column 0 describes.
        """
        columns = Columns(first, self.num_columns, self.frame_context)
        draws = None
        if self.others:
            draws = {each.name: self._draws(each.name, recording, first) for each in self.inputs}
        return crop_fields(self.inputs, self.split, recording, columns, draws)

    def crop(self, recording: int, begin: int, stop: int) -> tuple[npt.NDArray[np.float32], Fields] | Damage:
        """Samples begin to stop - 1 of a recording, those that there are, and the fields of what follows each.

        Args:
            recording: position in the split.
            begin: below 0 where the crop begins before the recording; -1 is the silence before its first sample.
            stop: behind the last sample.
        """
        samples = self.split.try_read(recording, max(begin, 0), stop)
        fields = self.read(recording, begin + 1)
        if isinstance(samples, Damage):
            return samples
        return fields if isinstance(fields, Damage) else (samples, fields)

    def at_hand(self, recording: int) -> bool:
        """Whether a crop of a recording can be read without waiting for a file."""
        frames = any(isinstance(each, Frames) for each in self.inputs)
        return recording < 0 or (not frames and self.split.is_decoded(recording))

    def _draws(self, name: str, recording: int, first: int) -> list[int]:
        """Random bits from which a wrong value is chosen, the same for the same crop each time."""
        if recording < 0:
            return []
        key = counter.stream_key("other", name, self.split[recording].key, first)
        draws: list[int] = counter.random_bits(key, np.arange(_TRIES)).tolist()
        return draws
