"""Worker processes that read ahead: how they start, what they do not hear, and when they end."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from wavenet_pl.signals import EXIT_CODES

Batch = dict[str, Any]
_SMALL = 2**17
"""Bytes of a tensor that is sent as it is."""

_reading: weakref.WeakSet[Generator[Batch]] = weakref.WeakSet()


@dataclass(frozen=True)
class Workers:
    """Processes that read for this one."""

    number: int = 0
    """With 0 this one reads."""
    start_method: str = "forkserver"
    """forkserver or spawn. There is no plain fork: it deadlocks now and then in a process that has threads, as those of
    autograd, gloo and W&B. The fork server has none, and has imported already what a worker needs."""
    pin_memory: bool = False
    """Whether batches are put where a GPU fetches them fastest."""


NO_WORKERS = Workers()


def read_ahead(pipeline: IterableDataset[Batch], workers: Workers) -> Iterator[Batch]:
    """What the workers make, in turns, each with a pipeline of its own. They end with the iterator or this process."""
    loader: DataLoader[Batch] = DataLoader(
        _Sent(pipeline) if workers.number else pipeline,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers.number,
        multiprocessing_context=_context(workers.start_method) if workers.number else None,
        worker_init_fn=_end_with_trainer if workers.number else None,
    )
    batches = _batches(loader)
    _reading.add(batches)
    return batches


def _as_it_is(batch: Any) -> Any:
    return batch


def _batches(loader: DataLoader[Batch]) -> Generator[Batch]:
    for batch in _start(loader):
        yield {
            name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in batch.items()
        }


class _Sent(IterableDataset[Batch]):
    """Batches as they go to another process: a tensor goes as a file of its own, which takes longer than a small one.

    Args:
        pipeline: gives them, in the worker.
    """

    def __init__(self, pipeline: IterableDataset[Batch]) -> None:
        self._pipeline = pipeline

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._pipeline:
            yield {
                name: value.numpy() if isinstance(value, torch.Tensor) and value.nbytes <= _SMALL else value
                for name, value in batch.items()
            }


def _context(start_method: str) -> BaseContext:
    context = multiprocessing.get_context(start_method)
    if start_method == "forkserver":
        context.set_forkserver_preload([__name__, "wavenet_pl.data.pipeline", "soundfile"])
    return context


def _start(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """Start reading with the stop signals blocked in the workers: one sent to the whole group is for us to answer.

    So they are in the processes that Python starts beside them, which inherit them as well.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, EXIT_CODES)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, EXIT_CODES)  # starting that one let some through
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_trainer(worker: int) -> None:
    """End this worker when the training process ends, however it does.

    PyTorch's own watch is for its parent, which is the fork server, and that lives as long as its workers do.
    """
    trainer = multiprocessing.parent_process()
    assert trainer is not None

    def watch() -> None:
        trainer.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@atexit.register
def _end_all() -> None:
    """At exit multiprocessing would wait for workers that somebody still holds, and those hear no SIGTERM."""
    for batches in tuple(_reading):
        batches.close()
