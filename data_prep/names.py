"""Names of files as tables spell them: which file of a corpus is meant."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from itertools import takewhile


class Ambiguous(Exception):
    """Several files are meant by a name equally well."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        super().__init__(", ".join(self.names))


class Names:
    """Finds files by paths below the corpus or the end of such a path, with or without what their names end with.

    Args:
        names: paths of the files below the corpus.
        suffix: what their names end with; empty for the extension.
    """

    def __init__(self, names: Iterable[str], suffix: str = "") -> None:
        self._by_last: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            whole = spelled(name)
            for text in (whole, whole.removesuffix(suffix) if suffix else os.path.splitext(whole)[0]):
                self._by_last.setdefault(text.rpartition("/")[2], []).append((text, name))

    def find(self, text: str, folder: str = "") -> str | None:
        """The file that is called so; None where there is none.

        Where several paths end like the text, it is the one below the corpus, else the one that has most folders in
        common with the table, counted from its end: `txt/anna/1` means `wav/anna/1.wav`.

        Args:
            text: with `/` between parts.
            folder: below the corpus, of the table that names it.

        Raises:
            Ambiguous: there are several that are no better than each other.
        """
        text = spelled(text)
        full = f"{folder}/{text}" if folder else text
        fitting = {
            name: (path == text, _common_end(path, full))
            for path, name in self._by_last.get(text.rpartition("/")[2], ())
            if path == text or path.endswith(f"/{text}")
        }
        best = [name for name, fit in fitting.items() if fit == max(fitting.values())]
        if len(best) > 1:
            raise Ambiguous(best)
        return best[0] if best else None


def spelled(name: str) -> str:
    """A name as one of its spellings: an é may be one sign or two."""
    return unicodedata.normalize("NFC", name)


def _common_end(one: str, other: str) -> int:
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
