"""What the ranks tell each other beside gradients: rare, and small."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from typing import Any

import lightning.pytorch as L
import torch
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.rank_zero import rank_zero_only

_WRITTEN = "rank-zero-has-written"
_AS_LONG_AS_IT_TAKES = timedelta(days=20)  # the store counts milliseconds in 31 bits
_UNTIL_IT_KNOWS = 10.0
"""Seconds in which an error that all ranks meet has come to the first process of a node too."""


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

    A rank that leaves while others still write would have them killed by whoever started them. Rank 0 may take hours,
    and a barrier gives up after half of one.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # A line of its own: threads of the process group use the other one meanwhile.
        store: Any = torch.distributed.distributed_c10d._get_default_store()
        store = store.clone()
        is_first = torch.distributed.get_rank() == 0
        if is_first:
            store.set(_WRITTEN, "")
        else:
            store.wait([_WRITTEN], _AS_LONG_AS_IT_TAKES)
        torch.distributed.barrier()
        if is_first:
            store.delete_key(_WRITTEN)  # a launcher may keep the store for the next training
        torch.distributed.destroy_process_group()


def is_started_by_lightning(trainer: L.Trainer) -> bool:
    """Whether this process is a child of the first one of its node."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return isinstance(environment, LightningEnvironment) and trainer.local_rank != 0


def end_by_itself() -> None:
    """From here on the first process of a node ends by itself, with what it has to write and with its own exit code.

    Until then Lightning kills it, within seconds, where a rank that it started has ended with another code than 0.
    """
    for thread in threading.enumerate():
        if isinstance(thread, _ChildProcessObserver):
            thread._child_processes.clear()


def let_first_process_end(trainer: L.Trainer) -> None:
    """In a rank that Lightning started, and that ends with an error: give the first process time to end by itself.

    It may have met the same. Where it has not, it waits for this rank, and Lightning has to kill it.
    """
    parent, until = os.getppid(), time.monotonic() + _UNTIL_IT_KNOWS
    while is_started_by_lightning(trainer) and os.getppid() == parent and time.monotonic() < until:
        time.sleep(0.1)
