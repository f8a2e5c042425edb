"""Threads that keep the shards near which a node is about to read: one keeper for each node, in its first rank."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from wavenet_pl.data.agenda import Agenda, changes
from wavenet_pl.errors import BadDataError
from wavenet_pl.shards.near import NearFolder, NearStorage
from wavenet_pl.shards.part import StoredShard

THREADS = 4
"""That fetch at a time."""
LOOK = 1.0
"""Seconds between two looks at the folder where there is nothing to do: others may have removed what was there."""
REST, LONGEST_REST = 5.0, 300.0
"""Seconds before the next try where one has failed, and after many."""


class Keeper:
    """Fetches shards ahead of the training and removes those that lie behind, until it is stopped.

    Args:
        shards: of the split; those that copies are made of are in a `NearStorage`.
        agenda: which shards are needed when.
        limit: bytes of copies.
    """

    def __init__(self, shards: Sequence[StoredShard], agenda: Agenda, limit: int) -> None:
        self._shards, self._agenda, self._limit = shards, agenda, limit
        self._numbers: dict[NearFolder, dict[str, int]] = {}
        for number, (storage, name, *_) in enumerate(shards):
            if isinstance(storage, NearStorage) and agenda.sizes[number]:
                self._numbers.setdefault(storage.near, {})[name] = number
        self._position = (0, 0)
        self._under_way: set[int] = set()
        self._changed: set[int] = set()  # not the shards of which the index speaks
        self._fetched: set[NearFolder] = set()
        self._rest = REST
        self._resting_until = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(THREADS)]

    def at(self, epoch: int, batch: int) -> None:
        """The training has come to this batch. The first call starts the threads."""
        self._position = (epoch, batch)
        if not self._threads[0].ident:
            for near in self._numbers:
                near.sweep()
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """Let the threads end after the chunk that they are at; a copy that is not whole goes."""
        self._stopped.set()

    def _work(self) -> None:
        while not self._stopped.is_set():
            number = self._next()
            if number is None:
                self._stopped.wait(LOOK)
                continue
            self._fetch(number)
            with self._lock:
                self._under_way.discard(number)

    def _next(self) -> int | None:
        """The shard that is the next to be fetched, if there is one; what lies behind is removed before."""
        with self._lock:
            if time.monotonic() < self._resting_until:
                return None
            try:
                fetch, remove = self._look()
                for near, behind in remove:
                    near.remove(self._shards[behind].name)
            except OSError as error:
                within = (near for near in self._numbers if str(error.filename).startswith(str(near.path)))
                near = next(within, next(iter(self._numbers)))
                self._fail(near, "folder", f"{near.path} cannot be used ({error.strerror or error})")
                return None
            number = next((each for each in fetch if each not in self._under_way | self._changed), None)
            if number is not None:
                self._under_way.add(number)
            return number

    def _look(self) -> tuple[list[int], list[tuple[NearFolder, int]]]:
        """What is to be fetched, and what is to be removed before."""
        sizes, folder_of = {}, {}
        for near, numbers in self._numbers.items():
            if near in self._fetched and not near.path.is_dir():
                near.say_once("gone", f"{near.path} was removed while it was in use")
            for name, size in near.sizes().items():
                if name in numbers:
                    sizes[numbers[name]], folder_of[numbers[name]] = size, near
        wanted = self._agenda.wanted(*self._position, self._limit)
        fetch, remove = changes(wanted, self._agenda.sizes, sizes)
        return fetch, [(folder_of[number], number) for number in remove]

    def _fetch(self, number: int) -> None:
        storage, name, size, sha256, _ = self._shards[number]
        assert isinstance(storage, NearStorage)
        near = storage.near
        try:
            near.fetch(storage, name, size, sha256, lambda: not self._stopped.is_set())
            self._rest = REST
            self._fetched.add(near)
        except InterruptedError:
            return
        except BadDataError as error:
            self._changed.add(number)
            near.say_once("changed", f"{storage.path(name)} is not copied: {error}")
        except OSError as error:
            reason = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
            with self._lock:
                self._fail(near, "fetch", f"{name} could not be copied to {near.path} ({reason})")

    def _fail(self, near: NearFolder, kind: str, text: str) -> None:
        near.say_once(kind, text)
        if (now := time.monotonic()) < self._resting_until:
            return  # another thread failed a moment ago
        self._resting_until = now + self._rest
        self._rest = min(2 * self._rest, LONGEST_REST)
