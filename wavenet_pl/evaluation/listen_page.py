"""The page to listen and compare: one HTML file with its sounds, styles and script in it.

Without a script it is a list of players. The script puts one player over them, that switches between the clips of a
recording where it is, and asks blindly which of two is better.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wavenet_pl.evaluation.listening import Item, Listening, Take
from wavenet_pl.evaluation.report import TEMPLATES, as_plain_text, measures_table, sound_url
from wavenet_pl.files.durable import write_durably

Values = dict[str, Any]


def write_page(listening: Listening, path: Path) -> Path:
    """Write the page; returns its path."""
    write_durably(path, render(listening))
    return path


def render(listening: Listening) -> str:
    """The page."""
    return TEMPLATES.get_template("listen.html.j2").render(as_plain_text(_values(listening)))


def _values(listening: Listening) -> Values:
    options = listening.options
    tables = {
        name: measures_table(name, measures) for name, measures in listening.measures.items() if measures
    }
    return {
        "data": listening.data,
        "split": listening.split,
        "seed": options.seed,
        "weights": options.weights,
        "sample_rate": listening.sample_rate,
        "complete": listening.complete,
        "systems": listening.systems,
        "items": [_item(item, listening) for item in listening.items],
        "tables": list(tables.values()),
        "remarks": [remark[:1].upper() + remark[1:] for remark in listening.remarks],
    }


def _item(item: Item, listening: Listening) -> Values:
    takes = zip(("recorded", *listening.systems), (item.recorded, *item.takes), strict=True)
    return {
        "key": item.key,
        "condition": item.condition,
        "takes": [_take(name, take, listening.sample_rate) for name, take in takes],
    }


def _take(name: str, take: Take, sample_rate: int) -> Values:
    return {"name": name, "sound": sound_url(take.audio, sample_rate), "facts": " · ".join(take.facts)}
