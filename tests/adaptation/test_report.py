"""What the report says follows from the numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from wavenet_pl.adaptation.report import NUMBERS, PLOT, summary, write_report
from wavenet_pl.adaptation.results import Beginning, Forgetting, Results
from wavenet_pl.files.markdown import cell
from wavenet_pl.numbers.intervals import Interval


def results(**changes: Any) -> Results:
    """Of a voice that was learned."""
    facts: dict[str, Any] = {
        "speaker": "dora", "method": "all", "base": "runs/base/step-000000600.ckpt", "base_hash": "ab" * 32,
        "audio": ["4 files, 1.0 minutes"], "minutes": 1.0, "replay": "nothing",
        "beginning": Beginning("ben", Interval(4.5, 4.4, 4.6), 4.55, {"anna": 4.7, "ben": 4.5}),
        "steps": 90, "best_step": 60, "limit": 200, "early": True, "seconds": 120.0,
        "stopped": "stopped early: it rose",
        "after": Interval(4.2, 4.1, 4.3), "rows": {"anna": 4.6, "ben": 4.4, "dora": 4.2},
        "forgetting": {"anna": Forgetting(4.0, 4.2), "ben": Forgetting(4.1, 4.2)},
        "curve": [(0, 4.55), (30, 4.3), (60, 4.22), (90, 4.25)],
    }  # fmt: skip
    return Results(**{**facts, **changes})


def test_the_summary_says_what_was_gained_who_wins_and_what_was_forgotten() -> None:
    text = "\n".join(summary(results()))
    assert "4.500 (4.400 to 4.600) before, as ben; 4.200 (4.100 to 4.300) after, +0.300 gained" in text
    assert "of 3 rows dora has the lowest bits" in text and "does not win" not in text
    assert "cost +0.1500 bits per sample more than before" in text
    assert "90 steps in 2.0 minutes, the best is step 60; stopped early: it rose" in text


def test_levels_are_points_of_the_curve() -> None:
    """Which may be of more audio than what is scored under every row."""
    assert results().levels == {"ben, before": 4.55, "lowest, step 60": 4.22}
    assert results(curve=[(0, 4.55)]).levels["lowest, step 60"] == 4.2, "nothing else is known"


def test_a_row_that_does_not_win_is_said() -> None:
    text = "\n".join(summary(results(rows={"anna": 4.6, "ben": 4.1, "dora": 4.2})))
    assert "ben has the lowest bits on the new voice, 4.100 against 4.200: the new row does not win" in text


def test_one_recording_has_no_interval_and_what_was_not_measured_has_a_reason() -> None:
    alone = Interval(4.2, -math.inf, math.inf)
    text = "\n".join(summary(results(after=alone, forgetting={}, not_measured="nobody asked")))
    assert "; 4.200 after" in text
    assert "forgetting: nobody asked" in text


def test_the_page_has_all_of_it_and_stands_beside_its_numbers(tmp_path: Path) -> None:
    page = write_report(results(), tmp_path, ["clips/clips-0.png"]).read_text()
    assert "| dora |  | 4.200 |" in page and "| ben | 4.500 | 4.400 |" in page
    assert "| anna | 4.0000 | 4.2000 | +0.2000 |" in page
    assert "![clips](clips/clips-0.png)" in page and f"]({PLOT})" in page
    assert "- 4 files, 1.0 minutes" in page
    assert (tmp_path / PLOT).read_bytes().startswith(b"\x89PNG")
    numbers = json.loads((tmp_path / NUMBERS).read_text())
    assert (numbers["best_row"], numbers["after"]) == ("dora", [4.2, 4.1, 4.3])
    assert math.isclose(numbers["forgotten"], 0.15)


def test_what_was_not_measured_is_no_zero_among_the_numbers(tmp_path: Path) -> None:
    def forgotten(method: str) -> float | None:
        write_report(results(method=method, forgetting={}, not_measured="nobody asked"), tmp_path, [])
        number: float | None = json.loads((tmp_path / NUMBERS).read_text())["forgotten"]
        return number

    assert forgotten("all") is None
    assert forgotten("embedding") == 0  # whose base is as it was


def test_a_long_table_is_cut_at_its_end(tmp_path: Path) -> None:
    rows = {f"voice {number:02}": 4.0 + number / 100 for number in range(40)} | {"dora": 3.9}
    page = write_report(results(rows=rows), tmp_path, []).read_text()
    assert "voice 18" in page and "voice 19" not in page and "| 21 more, all higher |  |  |" in page


def test_what_a_judge_heard_is_a_table_and_what_is_missing_is_said(tmp_path: Path) -> None:
    heard = {"before": Interval(0.5, 0.4, 0.6), "after": Interval(0.7, 0.6, 0.8)}
    page = write_report(results(similarity=heard), tmp_path, []).read_text()
    assert "| after | 0.700 (0.600 to 0.800) |" in page
    page = write_report(results(not_judged="it is not installed"), tmp_path, []).read_text()
    assert "it is not installed." in page and "| after |" not in page


def test_names_are_text_whatever_they_say(tmp_path: Path) -> None:
    hostile = "![x](http://x)<b>|\n# `h`"
    rows = {hostile: 4.1, "dora": 4.2}
    found = results(
        speaker=hostile, base=hostile, audio=[hostile], replay=hostile, stopped=hostile, rows=rows,
        forgetting={hostile: Forgetting(4.0, 4.2)}, similarity={hostile: Interval(0.5, 0.4, 0.6)},
    )  # fmt: skip
    lines = write_report(found, tmp_path, []).read_text().splitlines()
    written = cell(hostile)
    assert lines[0] == f"# {written}: a new speaker, method all"
    for line in (f"- {written}", f"| {written} |  | 4.100 |", f"| {written} | 4.0000 | 4.2000 | +0.2000 |"):
        assert line in lines, line
    assert f"| {written} | 0.500 (0.400 to 0.600) |" in lines and f"- replay: {written}" in lines
    [picture] = [line for line in lines if line.startswith("![") or "<b>" in line]
    assert PLOT in picture


def test_speakers_of_the_base_who_do_not_count_are_named(tmp_path: Path) -> None:
    some = results(forgetting={"anna": Forgetting(4.0, 4.2)})
    assert "1 of 2 speakers of the base cost +0.2000 bits per sample more" in "\n".join(summary(some))
    assert (
        "recordings. Without ben, of whom none can be read." in write_report(some, tmp_path, []).read_text()
    )
    assert "none can be read" not in write_report(results(), tmp_path, []).read_text()
