"""Temporary files: whole, gone when they are closed, and never to blame for what they hold."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

from tests.full_disk import full_disk
from wavenet_pl.errors import UserError
from wavenet_pl.files.temporary import temporary_copy


@pytest.mark.parametrize("suffix", [None, ".wav"])
def test_a_copy_has_all_pieces_and_is_gone_when_it_is_closed(suffix: str | None) -> None:
    with temporary_copy([b"ab", b"", b"c"], suffix) as copy:
        assert copy.read() == b"abc"
        if suffix:
            assert copy.name.endswith(suffix) and os.path.getsize(copy.name) == 3
    assert not suffix or not os.path.exists(copy.name)


@pytest.mark.parametrize("suffix", [None, ".wav"])
@pytest.mark.parametrize("sizes", [[9_000], [10] * 600])  # past the buffer, and what stays in it to the end
def test_a_full_disk_is_the_users_to_mend_and_leaves_nothing(
    tmp_path: str, monkeypatch: pytest.MonkeyPatch, suffix: str | None, sizes: list[int]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with full_disk(5_000), pytest.raises(UserError) as raised:
        temporary_copy(map(bytes, sizes), suffix)
    assert f"temporary files cannot be written to {tmp_path} (File too large), expected room" in str(
        raised.value
    )
    assert not os.listdir(tmp_path)


def test_no_folder_for_them_is_the_users_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/null/none"])
    with pytest.raises(UserError, match="cannot be written to any of the usual folders .No usable temporary"):
        temporary_copy([])


def test_what_the_pieces_raise_is_theirs() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        temporary_copy(pieces())
