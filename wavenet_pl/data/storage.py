"""Where a shard set lies: a folder or a URL, read by range."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Any

from wavenet_pl.errors import UserError

_MAX_OPEN_FILES = 64


class Storage:
    """Reads bytes below one folder or fsspec URL. Copies, and processes that are forked, open their own files.

    Args:
        location: a folder, or a URL that fsspec knows (`s3://bucket/set`, `https://...`, `memory://...`).

    Raises:
        UserError: a location that would start a program (`pipe:`), or of a kind that fsspec does not know.
    """

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/") or "/"
        if location.startswith("pipe:"):
            raise UserError(
                f"{location} would run a program, expected a folder or a URL; copy the shards to a folder first"
            )
        self._is_url = "://" in location
        self._files: OrderedDict[str, int] = OrderedDict()
        self._owner = os.getpid()
        self._filesystem: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"location": self.location, "_is_url": self._is_url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _files=OrderedDict(), _owner=os.getpid(), _filesystem=None)

    def __del__(self) -> None:
        for descriptor in self.__dict__.get("_files", {}).values():
            os.close(descriptor)

    def path(self, name: str) -> str:
        """The full path or URL of a name below the location."""
        return f"{self.location.rstrip('/')}/{name}"

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return bool(self._remote().exists(self.path(name))) if self._is_url else os.path.isfile(self.path(name))

    def read(self, name: str) -> bytes:
        """The whole file.

        Raises:
            OSError: it cannot be read.
        """
        if self._is_url:
            return bytes(self._remote().cat_file(self.path(name)))
        with open(self.path(name), "rb") as file:
            return file.read()

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer where the file ends before.

        Raises:
            OSError: the file cannot be read.
        """
        if self._is_url:
            return bytes(self._remote().cat_file(self.path(name), start=offset, end=offset + size))
        return os.pread(self._descriptor(name), size, offset)

    def _descriptor(self, name: str) -> int:
        if self._owner != os.getpid():  # forked: the parent closes its own
            self._files, self._owner = OrderedDict(), os.getpid()
        if name not in self._files:
            if len(self._files) >= _MAX_OPEN_FILES:
                os.close(self._files.popitem(last=False)[1])
            self._files[name] = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        self._files.move_to_end(name)
        return self._files[name]

    def _remote(self) -> Any:
        if self._filesystem is None:
            import fsspec

            try:
                self._filesystem = fsspec.core.url_to_fs(self.location)[0]
            except (ImportError, ValueError) as error:
                raise UserError(f"{self.location} cannot be opened: {error}; expected a folder or a URL") from None
        return self._filesystem
