"""Temporary files: what goes wrong with them says something of this machine, and nothing of what they are to hold."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

from wavenet_pl.errors import UserError


@contextmanager
def on_temporary_disk() -> Iterator[None]:
    """A block that makes or writes a temporary file, and does nothing else.

    Raises:
        UserError: it cannot. An OSError would be taken for one of the file that is read meanwhile.
    """
    try:
        yield
    except OSError as error:
        # It is chosen with the first file, if one can be.
        folder = tempfile.tempdir or "any of the usual folders"
        raise UserError(
            f"temporary files cannot be written to {folder} ({error.strerror or error}), expected room for them; make "
            "room there, or name another folder in TMPDIR, and run the same command again"
        ) from None


def temporary_copy(pieces: Iterable[bytes], suffix: str | None = None) -> BinaryIO:
    """A file with some bytes in it, open at its beginning, which is gone when it is closed.

    Args:
        pieces: the bytes. What they raise passes.
        suffix: how its name ends; None for a file without a name, of which a kill leaves nothing.

    Raises:
        UserError: it cannot be written.
    """
    with on_temporary_disk():
        file = cast(
            BinaryIO,
            tempfile.TemporaryFile() if suffix is None else tempfile.NamedTemporaryFile(suffix=suffix),  # noqa: SIM115
        )
    try:
        for piece in pieces:
            with on_temporary_disk():
                file.write(piece)
        with on_temporary_disk():
            file.flush()
    except BaseException:
        with suppress(OSError):  # it tries once more to write what it has
            file.close()
        raise
    file.seek(0)
    return file
