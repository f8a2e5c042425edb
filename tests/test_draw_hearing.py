"""What docs/what-it-hears.md shows is what the numbers beside its pictures say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import draw_hearing
from wavenet_pl.errors import UserError

PAGE = (draw_hearing.FOLDER.parent / "what-it-hears.md").read_text()


def test_the_page_has_the_table_of_the_kept_numbers() -> None:
    names = draw_hearing.kept()
    assert names and all(len(draw_hearing.verdicts_of(study)) == 10 for study in names["speech"])
    missing = [line for line in draw_hearing.table(names).splitlines()[2:] if line not in PAGE]
    assert not missing, "run `python -m scripts.draw_hearing`, and put its table on the page"


def test_every_picture_is_drawn_and_every_drawn_one_is_shown() -> None:
    shown = set(re.findall(r"\(hears/([^)]+\.svg)\)", PAGE))
    assert shown == {path.name for path in draw_hearing.FOLDER.glob("*.svg")}
    for name, titles in draw_hearing.SHOWN.items():
        for first in draw_hearing.kept().get(name, ())[:1]:
            known = draw_hearing.figures_of(first)
            assert {draw_hearing.picture_of(name, title) for title in titles} <= shown
            assert set(titles) <= set(known)


def test_a_cell_says_answer_effects_and_the_largest_control() -> None:
    studies = draw_hearing.kept()["speech"]
    verdict = draw_hearing.verdicts_of(studies[0])["amplitudes"]
    made = draw_hearing.cell([verdict, verdict])
    assert made.startswith(
        f"**{verdict.answer}**: {verdict.effect:.2f}, {verdict.effect:.2f} (controls at most "
    )
    mean, _ = max(verdict.controls.values())
    assert f"{mean:.2f}" in made


def test_more_studies_than_digits_are_refused_and_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draw_hearing, "FOLDER", tmp_path)
    study = tmp_path / "study.json"
    study.write_text('{"probes": {}}')
    draw_hearing.keep("speech", [study] * 9)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="speech has 10 studies, expected 9 at most"):
        draw_hearing.keep("speech", [study] * 10)
    assert sorted(tmp_path.iterdir()) == before and len(draw_hearing.kept()["speech"]) == 9
