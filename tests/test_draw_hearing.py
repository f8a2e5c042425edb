"""What docs/what-it-hears.md shows is what the numbers beside its pictures say."""

from __future__ import annotations

import re

from scripts import draw_hearing

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
