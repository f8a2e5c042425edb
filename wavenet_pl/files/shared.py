"""Arrays that several processes map from one file: what one hands to another is a place in it, and no copy."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_SMALL = 2**16
"""Bytes of an array that is handed over whole: opening a file takes as long."""


class SharedFile:
    """A file that this process has open and mapped, for reading. Another one that is handed it opens the same.

    It need have no name, or another file may have its name by now: it is there as long as this process holds it.

    Args:
        file: not empty. It may be closed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._number = os.dup(file.fileno())

    def __del__(self) -> None:
        if "_number" in vars(self):
            os.close(self._number)

    def array(self, dtype: npt.DTypeLike, shape: tuple[int, ...], offset: int) -> SharedArray:
        """What lies from this byte on, to be read only.

        Raises:
            ValueError: it would end behind the file.
        """
        size = np.dtype(dtype).itemsize * math.prod(shape)
        if min((offset, *shape)) < 0 or offset + size > len(self.bytes):  # numpy's own check of it overflows
            raise ValueError(f"{size} bytes from {offset} on are not in a file of {len(self.bytes)}")
        array = SharedArray(shape, dtype, self.bytes, offset)  # type: ignore[arg-type]  # it is a buffer
        array.origin = (self, offset)
        return array

    def __reduce__(self) -> tuple[Callable[..., SharedFile], tuple[Any, ...]]:
        return _open, (f"/proc/{os.getpid()}/fd/{self._number}", _identity(self._number))


class SharedArray(np.ndarray[Any, np.dtype[Any]]):
    """An array in a `SharedFile`. Pickled it is a place there; what is computed from it is an array like any other."""

    origin: tuple[SharedFile, int] | None = None

    def __getitem__(self, position: Any) -> Any:
        return np.asarray(self)[position]

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.origin is None:
            return super().__reduce_ex__(protocol)
        file, offset = self.origin
        return SharedFile.array, (file, self.dtype, self.shape, offset)


def nameless_file() -> BinaryIO:
    """A new file in memory, for writing and reading, which is gone when nobody has it open any more."""
    return os.fdopen(os.memfd_create("wavenet-pl"), "w+b")


def share(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same, in a file in memory if it is large, so that other processes need no copy of their own."""
    if array.nbytes < _SMALL or (isinstance(array, SharedArray) and array.origin is not None):
        return array
    with nameless_file() as file:
        file.write(np.ascontiguousarray(array).data)
        file.flush()
        return SharedFile(file).array(array.dtype, array.shape, 0)


def _open(path: str, identity: tuple[int, int]) -> SharedFile:
    with open(path, "rb") as file:
        if _identity(file.fileno()) != identity:
            raise OSError(f"{path} is another file by now, expected the one that a process was handed")
        return SharedFile(file)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
