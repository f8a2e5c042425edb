"""Markdown tables: whatever a cell says, a reader of Markdown sees that text in its place and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt  # rich brings it along

from wavenet_pl.files.markdown import cell, table

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = (
    "<script>alert(1)</script>", "![x](http://x)", "[a](javascript:b)", "a|b", "a\\|b", "a\\", "`x`", "``",
    "*a* **b** _c_", "__d__", "~~e~~", "&lt;&amp;", "$x_1$", "{{x}}", "# h #", "a\nb\r\n| c |", "\x1b[2J\u202e",
    "\udcff", "<!-- x", "https://a_b_.c/_d_",
)  # fmt: skip
TEXT = st.text() | st.text(alphabet="ab1 _*`|\\<>[]()!&#~$;:-+.\n") | st.sampled_from(HOSTILE)


def shown(text: str) -> str:
    """What a reader sees of a cell: it has no space at its ends, and no control character."""
    return "".join(letter if letter.isprintable() else "?" for letter in text).strip(" ")


def read(markdown: str) -> list[list[str]]:
    """The cells of a page that is one table, as text; nothing but text may be in them."""
    tokens = READER.parse(markdown)
    assert [token.type for token in tokens if token.level == 0] == ["table_open", "table_close"]
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline":
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special"}, children
            rows[-1].append("".join(child.content for child in children))
    return rows


@given(
    heads=st.lists(TEXT, min_size=2, max_size=2),
    rows=st.lists(st.lists(TEXT, min_size=2, max_size=2), max_size=4),
)
def test_a_reader_sees_each_text_in_its_cell(heads: list[str], rows: list[list[str]]) -> None:
    assert read(table(heads, rows)) == [[shown(text) for text in row] for row in (heads, *rows)]


@given(text=TEXT)
def test_text_within_a_line_stays_text(text: str) -> None:
    [opened, inline, _] = READER.parse(f"# A heading of {cell(text)}")
    assert opened.tag == "h1"
    assert {child.type for child in inline.children or []} <= {"text", "text_special"}
    said = "".join(child.content for child in inline.children or [])
    assert said == f"A heading of {shown(f'-{text}-')[1:-1]}".rstrip(" ")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("p225", "p225"),
        ("allison_en", "allison_en"),
        ("256 mu-law codes, +0.250", "256 mu-law codes, +0.250"),
        ("日本 Grüße", "日本 Grüße"),
        ("a|b", "a\\|b"),
        ("_a_", "\\_a\\_"),
        ("a\tb", "a?b"),
    ],
)
def test_only_what_would_act_is_changed(text: str, written: str) -> None:
    assert cell(text) == written


def test_a_table_has_its_lines_and_no_more() -> None:
    assert table(["", "bits"], [["this model", "3.000"]]) == "|  | bits |\n|---|---|\n| this model | 3.000 |"
    assert table(["name"], []) == "| name |\n|---|"


def test_a_row_that_does_not_fit_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="more or fewer cells"):
        table(["a", "b"], [["1"]])
