"""What the crops of a batch cost under a model: nats of its own and of comparable codes, and under wrong conditions.

Shapes: B crops, T time, K head parameters, C columns of a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wavenet_pl.model import Model

FIXED = 3
"""Columns of `costs_of` that every model has; each input has two more."""


def sum_by_row(values_BT: Tensor, counts_BT: Tensor) -> Tensor:
    """(B,) over the predictions that count; what the others have may be anything."""
    return values_BT.where(counts_BT, 0.0).sum(dim=1)


def nats_by_row(model: Model, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Nats (B,) of the counted predictions of each crop, and how many these are (B,)."""
    outputs_BKT, codes_BT, counts_BT = model.predict(batch)
    return sum_by_row(model.head.nats(outputs_BKT, codes_BT), counts_BT), counts_BT.sum(dim=1)


def costs_of(model: Model, batch: Mapping[str, Any]) -> Tensor:
    """A table (B, C) in float64, to be added up over the crops of a recording.

    Args:
        model: gives every sample its nats under the right condition and under wrong ones.
        batch: with wrong values of the inputs, as `Conditions` makes them with `others`.

    Returns:
        The columns are predictions, their nats, and the same in codes of the comparable codec; then for each input the
        predictions that have a wrong value of it, and the nats that they cost more with that.
    """
    outputs_BKT, codes_BT, counts_BT = model.predict(batch)
    predictions_B = counts_BT.sum(dim=1)
    nats_B = comparable_B = sum_by_row(model.head.nats(outputs_BKT, codes_BT), counts_BT)
    if model.comparable_codec != model.codec:
        comparable_B = sum_by_row(model.comparable_nats(outputs_BKT, codes_BT), counts_BT)
    columns = [predictions_B, nats_B, comparable_B]
    for name in model.input_names:
        changed_B = batch[f"changed_{name}"]
        wrong_B, _ = nats_by_row(model, {**batch, name: batch[f"other_{name}"]})
        columns += [predictions_B * changed_B, (wrong_B - nats_B) * changed_B]
    return torch.stack([column.double() for column in columns], dim=1)
