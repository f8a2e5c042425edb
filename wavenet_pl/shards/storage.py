"""Where a shard set lies: a folder or a URL, read by range; what is far away is asked for again, within bounds."""

from __future__ import annotations

import errno
import os
import ssl
import sys
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import open_file
from wavenet_pl.files.open_files import OpenFiles
from wavenet_pl.files.temporary import temporary_copy
from wavenet_pl.shards.format import BLOCK, Span, read_member
from wavenet_pl.shards.kept import Kept

IN_FLIGHT = 8
"""Requests at a time of one process: with an answer after 30 ms, 250 a second."""
_KEPT = 2**22
"""Bytes of what was read last: arrays of a recording belong to crops that follow one another in validation."""
CHUNK = 2**22
"""Bytes that are asked for at once: with `Patience.request`, a line of 2 Mbit/s is fast enough."""
_BUSY = (408, 425, 429)
"""HTTP says with these, as with all from 500 on, that the same request may succeed later."""
_BEYOND_THE_END = 416
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""No time mends these."""


_EXTRAS = {"s3": "s3", "s3a": "s3"}
"""Scheme -> the extra of this package that brings its client along."""
_TRUST = "; name who is to be trusted in SSL_CERT_FILE, for s3:// in AWS_CA_BUNDLE"


@dataclass(frozen=True)
class Patience:
    """How long is waited for what is behind a URL. A local file is never asked for twice."""

    request: float = 20.0
    """Seconds for one request. A connection that hangs has no other end."""
    total: float = 60.0
    """Seconds for all requests of one piece: a server that restarts is back by then, and a run that is told to stop
    meanwhile has not waited longer than schedulers do."""
    pause: float = 0.5
    """Seconds between the first two requests; then twice as long each time."""


class Storage:
    """Reads bytes below one folder or fsspec URL. Copies, and processes that are forked, open their own files.

    Threads may share it.

    Args:
        location: a folder, or a URL that fsspec knows (`s3://bucket/set`, `https://...`, `memory://...`).
        patience: with a URL.

    Raises:
        UserError: a location that would start a program (`pipe:`), or of a kind that fsspec does not know.
    """

    def __init__(self, location: str, patience: Patience = Patience()) -> None:
        self.location, self.patience = location.rstrip("/") or "/", patience
        if location.startswith("pipe:"):
            raise UserError(
                f"{location} would run a program, expected a folder or a URL; copy the shards to a folder first"
            )
        self._is_url = "://" in location
        self._begin()

    def _begin(self) -> None:
        """Have nothing open, and nothing read."""
        self._files, self._owner = OpenFiles(), os.getpid()
        self._kept: Kept[bytes] = Kept(_KEPT, len)
        self._filesystem: Any = None

    def __getstate__(self) -> dict[str, Any]:
        own = ("_files", "_kept", "_owner", "_filesystem")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def in_flight(self) -> int:
        """How many requests at a time are worth while: a folder's answers come at once."""
        return IN_FLIGHT if self._is_url else 1

    def path(self, name: str) -> str:
        """The full path or URL of a name below the location."""
        return f"{self.location.rstrip('/')}/{name}"

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        if self._is_url:
            return bool(self._ask("exists", self.path(name)))
        return os.path.isfile(self.path(name))

    def read(self, name: str, limit: int) -> bytes:
        """The whole of a file that should have at most `limit` bytes.

        Raises:
            OSError: it cannot be read, or is larger.
        """
        with self.open(name, limit) as file:
            return file.read()

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer where the file ends before.

        Raises:
            OSError: the file cannot be read.
        """
        if not self._is_url:
            self._keep_to_process()
            return self._files.read(self.path(name), offset, size)
        pieces = []
        for at in range(offset, offset + size, CHUNK):
            wanted = min(CHUNK, offset + size - at)
            pieces.append(self._piece(name, at, wanted))
            if len(pieces[-1]) < wanted:
                break
        return b"".join(pieces)

    def read_member(self, shard: str, key: str, extension: str, span: Span) -> bytes:
        """The content of a member of a shard, checked; arguments as `format.read_member`. The last ones are kept.

        Raises:
            OSError: the shard cannot be read.
            BadDataError: it is cut, not there, or changed.
        """
        self._keep_to_process()
        return self._kept.get((shard, span), lambda: self._member(shard, key, extension, span))

    def _member(self, shard: str, key: str, extension: str, span: Span) -> bytes:
        data = self.read_range(shard, span.offset - BLOCK, BLOCK + span.size)
        return read_member(data, key, extension, span)

    def size(self, name: str) -> int:
        """Length of a file in bytes.

        Raises:
            OSError: it is not there, or the server does not say.
        """
        if not self._is_url:
            return os.stat(self.path(name)).st_size
        size = self._ask("size", self.path(name))
        if size is None:
            raise OSError(f"the server does not say how long {self.path(name)} is")
        return int(size)

    def open(self, name: str, limit: int | None = None) -> BinaryIO:
        """A whole file for reading from end to end; one that is far away is copied to a temporary file first.

        Args:
            name: of the file.
            limit: bytes that it should have at most.

        Raises:
            OSError: it cannot be read, or is larger.
            UserError: the temporary file cannot be written.
        """
        size = self.size(name)
        if limit is not None and size > limit:
            raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", self.path(name))
        if not self._is_url:
            return open_file(self.path(name))
        copy = temporary_copy(
            self.read_range(name, at, min(CHUNK, size - at)) for at in range(0, size, CHUNK)
        )
        if (length := os.fstat(copy.fileno()).st_size) != size:
            copy.close()
            raise OSError(f"{length} of its {size} bytes came")
        return copy

    def names(self, needed: Container[str] = ()) -> list[str]:
        """Names of all files in the folder and in the folders directly below it, sorted.

        Args:
            needed: folders below that have to be listed. Others that may not be looked into, as the lost+found at the
                root of a disk, are passed over.

        Raises:
            OSError: there is no such folder, or it or one that is needed cannot be listed.
        """
        if self._is_url:
            remote = self._remote()
            root = remote._strip_protocol(self.location).rstrip("/")
            return sorted(path[len(root) :].lstrip("/") for path in self._ask("find", root, maxdepth=2))
        names = os.listdir(self.location)
        for folder in [name for name in names if os.path.isdir(self.path(name))]:
            try:
                names += [f"{folder}/{name}" for name in os.listdir(self.path(folder))]
            except PermissionError:
                if folder in needed:
                    raise
        return sorted(name for name in names if not os.path.isdir(self.path(name)))

    def _piece(self, name: str, offset: int, size: int) -> bytes:
        for _ in range(2):  # a short one may have been cut on its way, or the file ends there
            piece = bytes(self._ask("cat_file", self.path(name), start=offset, end=offset + size))
            if len(piece) > size:
                raise OSError(
                    f"the server sends all of {self.path(name)}, expected one that answers range requests"
                )
            if len(piece) == size:
                break
        return piece

    def _ask(self, call: str, *args: Any, **options: Any) -> Any:
        """Call the file system, again while what goes wrong may pass.

        Raises:
            OSError: what came in the end, whatever the client calls it.
        """
        remote = self._remote()
        deadline, pause = time.monotonic() + self.patience.total, self.patience.pause
        while True:
            left = deadline - time.monotonic()
            # Asynchronous clients, which are those of networks, take a limit with each call and keep to it.
            limit = {"timeout": min(self.patience.request, left)} if remote.async_impl else {}
            try:
                return getattr(remote, call)(*args, **options, **limit)
            except Exception as error:
                answer, final = _judge(error)
                if answer == _BEYOND_THE_END:
                    return b""
                if final and isinstance(error, FileNotFoundError) and answer in (None, 404):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), args[0]) from error
                if final or time.monotonic() + pause > deadline:
                    more = "" if final else f", after repeated requests for {self.patience.total:g} s"
                    more += _TRUST if _is_untrusted(error) else ""
                    raise OSError(f"{args[0]}: {str(error) or 'no answer'}{more}") from error
            time.sleep(pause)
            pause *= 2

    def _keep_to_process(self) -> None:
        if self._owner != os.getpid():  # forked: threads that were reading, or a client's, are not here
            self._begin()

    def _remote(self) -> Any:
        self._keep_to_process()
        if self._filesystem is None:
            import fsspec

            try:
                # What it keeps of listings hides what is written later. (A chain of URLs takes options by its links.)
                options = {} if "::" in self.location else {"use_listings_cache": False}
                self._filesystem = fsspec.core.url_to_fs(self.location, **options)[0]
            except ImportError as error:
                scheme = self.location.partition("://")[0]
                advice = (
                    f"run `pip install 'wavenet-pl[{_EXTRAS[scheme]}]'`"
                    if scheme in _EXTRAS
                    else "install it"
                )
                raise UserError(
                    f"{self.location} takes a package that is not installed ({error}); {advice}"
                ) from None
            except ValueError as error:
                raise UserError(
                    f"{self.location} cannot be opened: {error}; expected a folder or a URL"
                ) from None
        return self._filesystem


def _judge(error: BaseException) -> tuple[int | None, bool]:
    """HTTP status of what went wrong, if it has one, and whether asking again is of no use."""
    if _is_untrusted(error) or _is_setting(error):
        return None, True
    final = False
    cause: BaseException | None = error
    while cause is not None:  # a client may call it "not found" when no answer came: the cause knows better
        status = getattr(cause, "status", None)
        if isinstance(response := getattr(cause, "response", None), Mapping):  # botocore's
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if isinstance(status, int):
            return status, status < 500 and status not in _BUSY
        if isinstance(cause, OSError):
            final = isinstance(cause, _FINAL)
        cause = cause.__cause__
    return None, final


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether a server has a certificate that nobody here vouches for."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def _is_setting(error: BaseException) -> bool:
    """Whether S3 was not asked at all, as there are no credentials, or they or other settings cannot be used."""
    known = sys.modules.get("botocore.exceptions")
    if known is None or not isinstance(error, known.BotoCoreError):
        return False
    return not isinstance(error, (known.HTTPClientError, known.ConnectionError))
