"""Files that stay open for reading, as many as a process may well have: opening one that is far takes time."""

from __future__ import annotations

import os
import resource
import threading
from collections import OrderedDict

from wavenet_pl.files.foreign import open_file

_MOST = 4096


class OpenFiles:
    """Reads ranges of files; those that were read least recently are closed. Threads may share it."""

    def __init__(self) -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = _MOST if soft < 0 else max(1, min(_MOST, soft // 2))
        self._files: OrderedDict[str, _Descriptor] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer where the file ends before.

        Raises:
            OSError: as `open_file`.
        """
        with self._lock:
            file = self._files.pop(path, None)
            if file is not None:
                self._files[path] = file
        if file is None:
            file = _Descriptor(path)
            with self._lock:
                self._files[path] = file
                if len(self._files) > self._most:
                    self._files.popitem(last=False)
        return os.pread(file.number, size, offset)


class _Descriptor:
    """Closed when nobody reads from it any more."""

    def __init__(self, path: str) -> None:
        with open_file(path) as file:
            self.number = os.dup(file.fileno())

    def __del__(self) -> None:
        if "number" in self.__dict__:
            os.close(self.number)
