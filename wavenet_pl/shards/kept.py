"""What was read last: who asks for the same again, or while it is on its way, waits for it and reads nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Content = TypeVar("Content")


class Kept(Generic[Content]):
    """The last contents by their keys, up to some bytes, and the last one however large it is.

    Args:
        most: bytes.
        size: of a content, in bytes.
    """

    def __init__(self, most: int, size: Callable[[Content], int]) -> None:
        self._contents: OrderedDict[Hashable, Future[Content]] = OrderedDict()
        self._most, self._size_of, self._size = most, size, 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], Content]) -> Content:
        """What is kept under this key, or what `read` gives. What it raises is raised, and asked for anew next time."""
        with self._lock:
            content = self._contents.pop(key, None)
            is_new = content is None
            content = self._contents[key] = content or Future()
        if is_new:
            self._fill(key, content, read)
        return content.result()

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            content = self._contents.get(key)
        return content is not None and content.done()

    def _fill(self, key: Hashable, content: Future[Content], read: Callable[[], Content]) -> None:
        try:
            data = read()
        except BaseException as error:
            with self._lock:
                del self._contents[key]
                content.set_exception(error)
            raise
        with self._lock:
            content.set_result(data)
            self._size += self._size_of(data)
            while self._size > self._most and self._contents[oldest := next(iter(self._contents))].done():
                if oldest == key:
                    break
                self._size -= self._size_of(self._contents.pop(oldest).result())
