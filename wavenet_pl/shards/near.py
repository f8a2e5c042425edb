"""Shards near: whole copies of them in a folder of the node, and a storage that reads there what is there already.

A copy is an optimisation and never a condition. It has its name when it is whole and its checksum holds; what is not
there, or cannot be read, or is damaged, is read where the set lies. So readers, who fetches and who removes need to
know nothing of each other, and a kill at any moment leaves nothing but a temporary file.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from wavenet_pl.errors import BadDataError
from wavenet_pl.files.durable import replacing
from wavenet_pl.files.foreign import open_file
from wavenet_pl.files.redaction import redact
from wavenet_pl.shards.format import BLOCK, Span, read_member
from wavenet_pl.shards.storage import CHUNK, Storage

_log = logging.getLogger(__name__)

TEMPORARY = "tmpdir"
"""Setting that stands for the folder where the node, or its scheduler, keeps what is temporary."""
_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
_OLD = 600
"""Seconds after which nobody writes a temporary file any more: who does adds a chunk every few seconds."""


class NearFolder:
    """Copies of the shards of one set.

    Args:
        path: of the folder, which need not be there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._warned: set[str] = set()

    @classmethod
    def of(cls, setting: str, fingerprint: str) -> NearFolder:
        """The folder of a set below that of all.

        Args:
            setting: a folder, or `TEMPORARY`.
            fingerprint: of the set's index.
        """
        folder = Path(setting)
        if setting == TEMPORARY:
            # Some sites have a disk of the node's own here, and a small /tmp beside it.
            temporary = os.environ.get("SLURM_TMPDIR") or tempfile.gettempdir()
            folder = Path(temporary) / f"wavenet-pl-{os.getuid()}"
        return cls(folder / fingerprint[:16])

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        """Bytes of the copy of a shard, fewer where it ends before; None where there is none that can be read."""
        try:
            with open_file(self.path / name) as file:
                return os.pread(file.fileno(), size, offset)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.say_once(
                "read", f"the copy of {name} in {self.path} cannot be read ({error.strerror or error})"
            )
            return None

    def sizes(self) -> dict[str, int]:
        """Name -> bytes of all copies that are there."""
        return {
            path.relative_to(self.path).as_posix(): size
            for path, size in self._files()
            if path.name[0] != "."
        }

    def fetch(
        self, storage: Storage, name: str, size: int, sha256: str, goes_on: Callable[[], bool] = lambda: True
    ) -> None:
        """Copy a shard. Until it is whole, or if `goes_on` says no in between, there is no file of its name.

        Raises:
            OSError: it cannot be read, or not be written.
            BadDataError: it is not the shard of which the index speaks.
        """
        digest = hashlib.sha256()
        with replacing(self.path / name) as file:
            for at in range(0, size, CHUNK):
                if not goes_on():
                    raise InterruptedError
                piece = storage.read_range(name, at, min(CHUNK, size - at))
                digest.update(piece)
                file.write(piece)
            if digest.hexdigest() != sha256:
                raise BadDataError(
                    "it has other bytes than the index says (SHA-256); run `wavenet-pl index` to see which "
                    "recordings are damaged",
                    "changed",
                )

    def remove(self, name: str) -> bool:
        """Whether there was a copy, and this call removed it.

        Raises:
            OSError: it cannot be removed.
        """
        try:
            os.unlink(self.path / name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def reject(self, name: str, reason: str) -> None:
        """Remove a copy that is damaged."""
        text = f"the copy of {name} in {self.path} is damaged ({reason})"
        try:
            if self.remove(name):  # of all who read it at this time, one removes it, and that one says it
                self.say_once("damaged", f"{text} and was removed")
        except OSError as error:
            self.say_once("damaged", f"{text} and cannot be removed ({error.strerror})")

    def sweep(self) -> None:
        """Remove what was half copied by processes that are gone."""
        for path, _ in self._files():
            match = _TEMPORARY.fullmatch(path.name)
            if match is not None and (not _is_alive(int(match[1])) or _age(path) > _OLD):
                with suppress(OSError):  # whoever fetches says what is wrong with the folder
                    path.unlink()

    def say_once(self, kind: str, text: str) -> None:
        """Warn, once for each kind of trouble: it may come again with every batch."""
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning(
                redact(f"{text}; shards are read from the set itself meanwhile, and no batch changes")
            )

    def _files(self) -> Iterator[tuple[Path, int]]:
        for folder, _, names in os.walk(self.path):
            for path in (Path(folder, name) for name in names):
                try:
                    yield path, path.stat().st_size
                except OSError:  # who fetched it, or removed it, was faster; or it is out of reach
                    continue


class NearStorage(Storage):
    """A storage whose shards are read from their copies, where there are any.

    Args:
        storage: which has the set.
        near: which may have copies.
    """

    def __init__(self, storage: Storage, near: NearFolder) -> None:
        super().__init__(storage.location, storage.patience)
        self.near = near

    def _member(self, shard: str, key: str, extension: str, span: Span) -> bytes:
        data = self.near.read_range(shard, span.offset - BLOCK, BLOCK + span.size)
        if data is None:
            return super()._member(shard, key, extension, span)
        try:
            return read_member(data, key, extension, span)
        except BadDataError as error:
            content = super()._member(shard, key, extension, span)  # else the copy is not to blame
            self.near.reject(shard, str(error))
            return content


def room_of(folders: Sequence[NearFolder]) -> int:
    """Bytes that copies may take on the disk of some folders: what is free, and what copies in them take now."""
    path = folders[0].path
    nearest = next(folder for folder in (path, *path.parents) if os.path.isdir(folder))
    return shutil.disk_usage(nearest).free + sum(size for each in folders for size in each.sizes().values())


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
