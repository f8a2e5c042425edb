"""What torch.save wrote, read from a file that anyone may have written: it runs no code, and takes the memory it has.

torch reads an archive with a reader of its own, and builds what a pickle asks for before anybody can look at it. So the
file is looked at first, and is refused wherever another reader could find something else in it.
"""

from __future__ import annotations

import os
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any, BinaryIO

import torch

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import open_file

_END, _END64, _LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
"""What stands at the end of an archive: where its directory is, the same with 64 bits, and where that is."""
_NAME = re.compile(r"[^/]+/(data/[0-9]+|(?!data/)[a-z_./]+)")
"""Of a member: torch takes large and small letters for the same, so that one could have many names."""
_CALLED = re.compile(
    r"torch (Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage|torch\._utils _rebuild_tensor_v2|"
    r"collections OrderedDict"
)
"""What a pickle of tensors and plain values names. torch allows more, some of which makes gigabytes of nothing."""
_COST = {"REDUCE": 1024, "EMPTY_SET": 256}
_COST_OF_OTHERS = 128
"""Bytes of memory that an operation of a pickle takes at most, beside what it reads: a tensor, a set, anything else."""
_MOST_MEMORY = 2**27
"""Bytes that a pickle may take beyond the size of the file."""


def read_archive(path: str | os.PathLike[str]) -> Any:
    """What torch.save wrote: tensors and plain values. Nothing in the file can run code or grow when it is read.

    Raises:
        UserError: it is damaged, or holds anything else.
    """
    try:
        with open_file(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensors that are refused when a model is built of them
            _check_archive(file)
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        reason = "it is damaged, or holds objects that could run code"
    except Exception as error:  # noqa: BLE001 - where a pickle is damaged, its reader fails in every possible way
        reason = reason_of(error)
    raise UserError(
        f"{path} cannot be loaded ({reason}), expected a checkpoint that `wavenet-pl train` wrote; use another one"
    )


def reason_of(error: BaseException) -> str:
    """An error's own words on one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.strip().split("\n")[0] or type(error).__name__


def _check_archive(file: BinaryIO) -> None:
    """Whether all of it is there as it is: what is packed may be a thousand times larger when it is read."""
    with zipfile.ZipFile(file) as archive:
        members, size = archive.infolist(), file.seek(0, os.SEEK_END)
        _check_directory(file, size)
        claimed = sum(member.file_size for member in members)
        if claimed > size or any(
            member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size
            for member in members
        ):
            raise ValueError(f"it is compressed, or claims to hold {claimed} bytes in a file of {size}")
        _check_names([member.filename for member in members])
        content = archive.read(f"{members[0].filename.partition('/')[0]}/data.pkl")
    _check_pickle(content, _MOST_MEMORY + size)


def _check_directory(file: BinaryIO, size: int) -> None:
    """Whether the archive is the whole file, and its directory right before the end: not all readers look elsewhere."""
    file.seek(0)
    sound = file.read(4) == b"PK\3\4"  # or torch reads a format of long ago
    file.seek(max(0, size - _END64.size - _LOCATOR.size - _END.size))
    tail, end = file.read(), size - _END.size
    signature, _, _, _, _, length, offset, comment = _END.unpack(tail[-_END.size :])
    sound &= signature == b"PK\5\6" and comment == 0
    if tail[-_LOCATOR.size - _END.size :].startswith(b"PK\6\7"):
        end -= _END64.size + _LOCATOR.size
        _, _, end64, _ = _LOCATOR.unpack(tail[_END64.size : -_END.size])
        signature, rest, *_, length, offset = _END64.unpack(tail[: _END64.size])
        sound &= (signature, rest, end64) == (b"PK\6\6", _END64.size - 12, end)
    if not sound or offset + length != end:
        raise ValueError("it holds more than one archive, or bytes around it")


def _check_names(names: Sequence[str]) -> None:
    """Whether each member is there once, by one name, in one folder."""
    odd = [name for name in names if not _NAME.fullmatch(name)]
    if odd or len(set(names)) < len(names) or len({name.partition("/")[0] for name in names}) != 1:
        raise ValueError(
            f"it holds {(odd or list(names))[:1]!r:.80} in a place, or twice, where torch puts no member"
        )


def _check_pickle(content: bytes, most: int) -> None:
    """Whether a pickle makes tensors and plain values only, and not millions of them out of a byte each.

    Raises:
        pickle.UnpicklingError: it does more.
        ValueError: it is damaged, or takes too much memory.
    """
    memory = 0
    for operation, argument, _ in pickletools.genops(content):
        text = argument if isinstance(argument, str) else ""
        if operation.name == "GLOBAL" and not _CALLED.fullmatch(text):
            raise pickle.UnpicklingError
        if "\0" in text:  # where the name of a member ends, for torch
            raise ValueError(f"it names {text!r:.40}")
        memory += _COST.get(operation.name, _COST_OF_OTHERS)
        if memory > most:
            raise ValueError(f"it takes more than {most} bytes of memory when it is read")
