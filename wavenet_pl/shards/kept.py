"""What was read last: who asks for the same again, or while it is on its way, waits for it and reads nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future

_BYTES = 2**22
"""Of what is kept: crops of one recording follow one another in validation, and there is no more to gain."""


class Kept:
    """The last contents by their keys, up to some bytes, and the last one however large it is."""

    def __init__(self) -> None:
        self._contents: OrderedDict[Hashable, Future[bytes]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], bytes]) -> bytes:
        """What is kept under this key, or what `read` gives. What it raises is raised, and asked for anew next time."""
        with self._lock:
            content = self._contents.pop(key, None)
            is_new = content is None
            content = self._contents[key] = content or Future()
        if is_new:
            self._fill(key, content, read)
        return content.result()

    def _fill(self, key: Hashable, content: Future[bytes], read: Callable[[], bytes]) -> None:
        try:
            data = read()
        except BaseException as error:
            with self._lock:
                del self._contents[key]
                content.set_exception(error)
            raise
        with self._lock:
            content.set_result(data)
            self._size += len(data)
            while self._size > _BYTES and self._contents[oldest := next(iter(self._contents))].done():
                if oldest == key:
                    break
                self._size -= len(self._contents.pop(oldest).result())
