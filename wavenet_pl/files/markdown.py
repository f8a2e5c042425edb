"""Tables in Markdown, with text from anywhere in their cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# An underscore within a word or a number is nothing but that.
_MARKUP = re.compile(r"[\\`*{}\[\]<>|#&~$]|(?<![^\W_])_|_(?![^\W_])")


def cell(text: str) -> str:
    """Text that stays the same text in a cell or within a line: neither markup nor a control character acts.

    An address may become a link to itself. What begins a block, such as a hyphen, stays: something else has to stand
    before it.
    """
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return _MARKUP.sub(r"\\\g<0>", plain)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table without a line break at its end. Every head and every cell is shown as the text that it is.

    Args:
        heads: of the columns.
        rows: cells from the left; as many as there are heads.
    """
    lines = [heads, *rows]
    assert all(len(line) == len(heads) for line in lines), (
        "a row has more or fewer cells than there are heads"
    )
    first, *others = ("| " + " | ".join(map(cell, line)) + " |" for line in lines)
    return "\n".join([first, "|" + "---|" * len(heads), *others])
