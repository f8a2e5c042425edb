"""Where a shard set lies: a folder or a URL, read by range."""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from contextlib import ExitStack
from typing import Any, BinaryIO

from wavenet_pl.errors import UserError

_MAX_OPEN_FILES = 64
_CHUNK = 2**23


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
        return (
            bool(self._remote().exists(self.path(name))) if self._is_url else os.path.isfile(self.path(name))
        )

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

    def size(self, name: str) -> int:
        """Length of a file in bytes.

        Raises:
            OSError: it is not there, or the server does not say.
        """
        if not self._is_url:
            return os.stat(self.path(name)).st_size
        size = self._remote().size(self.path(name))
        if size is None:
            raise OSError(f"the server does not say how long {self.path(name)} is")
        return int(size)

    def open(self, name: str) -> BinaryIO:
        """A whole file for reading from end to end; one that is far away is copied to a temporary file first.

        Raises:
            OSError: it cannot be read.
        """
        if not self._is_url:
            return open(self.path(name), "rb")
        size = self.size(name)
        with ExitStack() as stack:
            copy = stack.enter_context(tempfile.TemporaryFile())
            for at in range(0, size, _CHUNK):
                copy.write(self.read_range(name, at, min(_CHUNK, size - at)))
            if copy.tell() != size:
                raise OSError(f"{copy.tell()} of its {size} bytes came")
            copy.seek(0)
            stack.pop_all()  # the caller closes it
            return copy

    def names(self) -> list[str]:
        """Names of all files in the folder and in the folders directly below it, sorted.

        Raises:
            OSError: there is no such folder, or it cannot be listed.
        """
        if self._is_url:
            remote = self._remote()
            root = remote._strip_protocol(self.location).rstrip("/")
            return sorted(path[len(root) :].lstrip("/") for path in remote.find(root, maxdepth=2))
        found = []
        for entry in os.scandir(self.location):
            below = os.listdir(entry.path) if entry.is_dir() else None
            found += [entry.name] if below is None else [f"{entry.name}/{name}" for name in below]
        return sorted(name for name in found if not os.path.isdir(self.path(name)))

    def _keep_to_process(self) -> None:
        if self._owner != os.getpid():  # forked: what is open belongs to the parent, threads of a client died
            self._files, self._owner, self._filesystem = OrderedDict(), os.getpid(), None

    def _descriptor(self, name: str) -> int:
        self._keep_to_process()
        if name not in self._files:
            if len(self._files) >= _MAX_OPEN_FILES:
                os.close(self._files.popitem(last=False)[1])
            self._files[name] = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        self._files.move_to_end(name)
        return self._files[name]

    def _remote(self) -> Any:
        self._keep_to_process()
        if self._filesystem is None:
            import fsspec

            try:
                self._filesystem = fsspec.core.url_to_fs(self.location)[0]
            except (ImportError, ValueError) as error:
                raise UserError(
                    f"{self.location} cannot be opened: {error}; expected a folder or a URL"
                ) from None
        return self._filesystem
