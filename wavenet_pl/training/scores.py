"""Scores: what steps and validations add up, and what the sums say about the model and its condition.

Shapes: B rows of a batch, N recordings, C columns of the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import lightning.pytorch as L
import torch
from torch import Tensor

from wavenet_pl.evaluation.costs import FIXED
from wavenet_pl.numbers.intervals import Interval, mean_and_interval


class Scores:
    """One table, a row for each recording, summed over batches and in the end over ranks.

    Args:
        num_recordings: of the split (N).
        inputs: names of the inputs, of each of which wrong values are tried too.
        device: where the table lies.
    """

    def __init__(self, num_recordings: int, inputs: Sequence[str], device: torch.device) -> None:
        self._inputs = tuple(inputs)
        columns = FIXED + 2 * len(self._inputs)
        self._table_NC = torch.zeros(num_recordings, columns, dtype=torch.float64, device=device)

    def add(self, recording_B: Tensor, costs_BC: Tensor) -> None:
        """Count a batch.

        Args:
            recording_B: position of each row's recording; -1 for padding, which costs nothing.
            costs_BC: of its crops, as `costs_of` gives them.
        """
        self._table_NC.index_add_(0, recording_B.clamp(min=0), costs_BC)

    def reduce(self, trainer: L.Trainer) -> Summary:
        """The sums over all ranks, which call this together."""
        table_NC = trainer.strategy.reduce(self._table_NC, reduce_op="sum")
        return Summary(table_NC.cpu(), self._inputs)


class Summary:
    """What came of a validation; bits are NaN where nothing was predicted.

    Args:
        table_NC: of all ranks.
        inputs: of the model.
    """

    def __init__(self, table_NC: Tensor, inputs: Sequence[str]) -> None:
        self._table_NC, self._inputs = table_NC, tuple(inputs)
        predictions, nats, comparable = table_NC[:, :FIXED].sum(dim=0).tolist()
        per_bit = (predictions or math.nan) * math.log(2)
        self.bits, self.comparable_bits = nats / per_bit, comparable / per_bit

    def gap(self, name: str) -> Interval:
        """Bits per sample that a wrong value of an input costs more; NaN where no recording had a wrong one."""
        column = FIXED + 2 * self._inputs.index(name)
        counts_N, extra_N = self._table_NC[:, column : column + 2].numpy().T
        return mean_and_interval(extra_N / math.log(2), counts_N)


class Sums:
    """Nats, predictions and bad slots of a step, over all ranks in the end."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None

    def add(self, nats: Tensor, count: Tensor, bad: int) -> None:
        """Adds a batch to the step's sums."""
        sums = torch.stack([nats.detach().double(), count.double(), count.new_tensor(bad).double()])
        self._sums = sums if self._sums is None else self._sums + sums

    def reduce(self, trainer: L.Trainer) -> tuple[float, int, int]:
        """The sums over all ranks; afterwards they begin anew."""
        assert self._sums is not None
        nats, count, bad = trainer.strategy.reduce(self._sums, reduce_op="sum").tolist()
        self._sums = None
        return nats, int(count), int(bad)
