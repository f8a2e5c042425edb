"""Where commands write is tried before they work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nobody import not_ours
from wavenet_pl.commands.grammar import file_to_write, page_folder
from wavenet_pl.errors import UserError


def test_a_folder_that_may_not_be_written_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    theirs = Path("run/page")
    theirs.mkdir(parents=True)
    assert page_folder("run", "run/page", "page") == theirs
    with not_ours(theirs, mode=0o555):
        for out in (None, "run/page"):
            with pytest.raises(
                UserError,
                match="--out run/page cannot be made or written to .the folder may not be written to.; name",
            ):
                page_folder("run", out, "page")
        with pytest.raises(
            UserError, match="--json run/page/x cannot be written .the folder may not be written to"
        ):
            file_to_write("--json", "run/page/x")
