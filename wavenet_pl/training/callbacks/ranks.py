"""What the ranks tell each other beside gradients: rare, and small."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only


def gather(trainer: L.Trainer, rows: list[Any]) -> list[Any]:
    """The rows of all ranks in order of rank, on every rank. All call it together."""
    if trainer.world_size == 1:
        return rows
    gathered: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(gathered, rows)
    return [row for rank in gathered for row in rank]


def is_rank_zero() -> bool:
    """Whether this process is rank 0, where there is no trainer yet that could say so."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def any_rank(trainer: L.Trainer, here: bool) -> bool:
    """Whether it is so on any rank. All call it together."""
    flag = torch.tensor(float(here), device=trainer.strategy.root_device)
    return bool(trainer.strategy.reduce(flag, reduce_op="max"))


def leave_together() -> None:
    """Wait for all ranks, then end what connects them; to be called at the very end, when all is written.

    A rank that leaves while others still write would have them killed by whoever started them.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
