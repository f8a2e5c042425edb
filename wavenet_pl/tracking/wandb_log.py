"""The log that W&B keeps of a run in its local folder, read back.

run-ID.wandb, in RUN/wandb/offline-run-DATE-ID or run-DATE-ID, is a header of 7 bytes and then LevelDB log records in
blocks of 32 KiB (u32 crc, u16 length, u8 kind: 1 whole, 2 first, 3 middle, 4 last), whose payloads are protobuf
Records. wandb itself has no reader for them.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _HEADER = 32768, 7


def read_log(folder: Path) -> Iterator[Any]:
    """The Records of a run's local folder, in order.

    A run that was killed has a torn log, or none yet: the records end there.

    Raises:
        ValueError: the log is not one that the installed wandb writes.
    """
    from wandb.proto import wandb_internal_pb2

    protobuf: Any = wandb_internal_pb2
    for path in folder.glob("run-*.wandb"):
        for payload, _ in _payloads(path.read_bytes()):
            try:
                yield protobuf.Record.FromString(payload)
            except Exception as error:  # noqa: BLE001 - protobuf's own
                raise ValueError(f"a record is damaged: {error}") from None


def rows_in_log(folder: Path) -> int:
    """How many rows, counted from the first of the run, the log of an offline run holds.

    Raises:
        ValueError: as `read_log`.
    """
    steps = [record.history.step.num for record in read_log(folder) if record.HasField("history")]
    return max(steps, default=-1) + 1


def first_row_on_server(folder: Path) -> int | None:
    """W&B's number of an offline run's first row on the server; None if `wandb sync` has not sent the folder yet.

    None too where what it noted of that is torn or foreign: whoever asks then takes nothing for sent from here.
    """
    for path in folder.glob("run-*.wandb.syncstate"):
        try:
            return int(json.loads(path.read_text(encoding="utf-8"))["starting_step"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None
    return None


def mark_as_sent(folder: Path) -> None:
    """Make `wandb sync` pass over a folder, as it does over those that it has sent."""
    for path in folder.glob("run-*.wandb"):
        path.with_name(path.name + ".synced").touch()


def mend_log(folder: Path) -> None:
    """Cut a log that a kill tore back to its last whole record.

    `wandb sync` stops at what is torn, before it comes to the later folders of the run, whenever it is tried.
    """
    for path in folder.glob("run-*.wandb"):
        data = path.read_bytes()
        end = max((end for _, end in _payloads(data)), default=_HEADER)
        if end < len(data):
            os.truncate(path, end)


def _payloads(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Each payload, and where it ends in the log."""
    if data[:4] != b":W&B"[: len(data)]:
        raise ValueError(f"the log begins with {data[:4]!r}, expected b':W&B'")
    position, parts = _HEADER, []
    while position + _HEADER <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:  # the end of a block is padded
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        payload = data[position + _HEADER : position + _HEADER + length]
        if kind == 0 or len(payload) < length:
            return
        position += _HEADER + length
        parts.append(payload)
        if kind in (1, 4):
            yield b"".join(parts), position
            parts = []
