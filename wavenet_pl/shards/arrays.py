"""The bytes of an array of frames: in a shard, a .npy file that is the same with every release of NumPy."""

from __future__ import annotations

import io
import tokenize
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import BadDataError, UserError
from wavenet_pl.files.foreign import printable, read_file

_MAGIC = b"\x93NUMPY\x01\x00"
_ALIGNMENT = 64  # of what follows the header of a .npy file
_BAD = "bad features"
_LARGEST_ARRAY = 2**28  # bytes of a file that a user names
_HEADER_ERRORS = (OverflowError, TypeError, LookupError, SyntaxError, RecursionError, tokenize.TokenError)
"""What NumPy raises beside ValueError for headers that are none."""


def encode_array(stored_NF: npt.NDArray[Any]) -> bytes:
    """An array (N, F) of numbers as the content of a .npy file."""
    assert stored_NF.ndim == 2, stored_NF.shape
    text = _header(stored_NF.dtype, stored_NF.shape)
    text += " " * (-(len(_MAGIC) + 2 + len(text) + 1) % _ALIGNMENT) + "\n"
    head = _MAGIC + len(text).to_bytes(2, "little") + text.encode()
    return head + np.ascontiguousarray(stored_NF, _little(stored_NF.dtype)).tobytes()


def decode_array(content: bytes, dtype: str, shape: tuple[int, int], name: str) -> npt.NDArray[Any]:
    """The array (N, F) whose bytes `encode_array` made.

    The header is compared, not believed: nothing of what it claims is evaluated or allocated.

    Args:
        content: of the member.
        dtype: of its numbers.
        shape: (N, F) that it has to have.
        name: of the frames, for messages.

    Raises:
        BadDataError: it is something else.
    """
    start = len(_MAGIC) + 2
    if content[: len(_MAGIC)] != _MAGIC:
        raise BadDataError(f"is no .npy file of version 1.0, expected {name} frames", _BAD)
    end = start + int.from_bytes(content[len(_MAGIC) : start], "little")
    header, expected = content[start:end].decode("latin-1").strip(), _header(np.dtype(dtype), shape)
    if header != expected:
        raise BadDataError(f"has the header {header!r:.120}, expected {expected!r}", _BAD)
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    if len(content) - end != size:
        raise BadDataError(f"has {max(len(content) - end, 0)} bytes of {name}, expected {size}", _BAD)
    return np.frombuffer(content, _little(np.dtype(dtype)), offset=end).astype(dtype).reshape(shape)


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    return f"{{'descr': '{_little(dtype).str}', 'fortran_order': False, 'shape': {shape}, }}"


def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<")


def read_npy(path: str, what: str = "") -> npt.NDArray[Any]:
    """The array of a .npy file; nothing in it is evaluated.

    Args:
        path: the file.
        what: stands before the path in messages.

    Raises:
        UserError: it cannot be read, or is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the header: it is old, or odd
            return np.asarray(
                np.lib.format.read_array(io.BytesIO(read_file(path, _LARGEST_ARRAY)), allow_pickle=False)
            )
    except (OSError, ValueError, EOFError, MemoryError, *_HEADER_ERRORS) as error:
        reason = printable(str(getattr(error, "strerror", None) or error))
        raise UserError(
            f"{what}{printable(path)} cannot be read ({reason:.100}), expected a .npy file"
        ) from None
