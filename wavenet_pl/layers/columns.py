"""Columns of time: the last of them, and those before a recording begins.

Inside the network time comes first: a shift in time is a slice, and a convolution works on rows that lie side by side.

Shapes: T time, M the first columns, in which a recording may not have begun, B batch, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def as_TBC(x_BCT: Tensor) -> Tensor:
    """Time at the beginning, as layers have it; a view."""
    return x_BCT.permute(2, 0, 1)


def as_BCT(x_TBC: Tensor) -> Tensor:
    """Time at the end, where everybody else has it; a view."""
    return x_TBC.permute(1, 2, 0)


def last_columns(x_TBC: Tensor, number: int) -> Tensor:
    """The last so many, or the one that stands for all."""
    return x_TBC if x_TBC.shape[0] == 1 else x_TBC[x_TBC.shape[0] - number :]


def begun(begins_B: Tensor, num_columns: int, look: bool) -> Tensor | None:
    """(M, B, 1): whether each recording has begun, up to where all have. None where all have from the first column on.

    Args:
        begins_B: the column where each begins.
        num_columns: how many there are.
        look: whether the numbers are looked at. On an accelerator every step would wait for it, and what is compiled
            wants columns that are as many at each step.
    """
    latest = int(begins_B.max()) if look else num_columns
    if latest == 0:
        return None
    return (torch.arange(latest, device=begins_B.device)[:, None] >= begins_B)[:, :, None]


def of_last(begun_MB1: Tensor | None, num_columns: int, number: int) -> Tensor | None:
    """The part of it that is about the last columns; None where all have begun by then."""
    if begun_MB1 is None or begun_MB1.shape[0] <= num_columns - number:
        return None
    return begun_MB1[num_columns - number :]


def silenced(x_TBC: Tensor, begun_MB1: Tensor | None) -> Tensor:
    """Zeros in the columns where a recording has not begun."""
    if begun_MB1 is None:
        return x_TBC
    return torch.cat([x_TBC[: begun_MB1.shape[0]] * begun_MB1, x_TBC[begun_MB1.shape[0] :]])
