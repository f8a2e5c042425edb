"""Draws what docs/what-it-hears.md shows, and prints its captions and its table.

    python -m scripts.draw_hearing speech=speech.json sines=sines-1.json sines=sines-2.json    # of `analyze --json`
    python -m scripts.draw_hearing                                                            # again

Numbers are kept beside the pictures. Models of one name were trained alike from other seeds: their pictures are of the
first, their effects of all.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import run
from wavenet_pl.analysis.charts import Series, line_chart
from wavenet_pl.analysis.claims import Verdict
from wavenet_pl.analysis.probes.probe import Figure, Numbers
from wavenet_pl.analysis.study import KNOWN, with_nan
from wavenet_pl.errors import UserError

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "hears"
SHOWN = {
    "speech": (
        "What each layer answers to", "Differences across the dilation", "How loud each octave is",
        "Which phase each octave is in", "Which layer knows which octave", "Without one layer", "Bits by context",
    ),
    "piano": ("What each layer answers to", "Bits by context"),
    "sines": ("The error of the next sample", "Sines of recordings, moved up"),
}  # fmt: skip
"""Name -> titles of the figures that the page shows of it."""
_MOST = 9
"""Models of one name: a digit numbers them."""
RATE, TONES, LAYERS = 16_000, (3_000.0, 370.0), 6
"""Of the drawing of the essay's idea: two sines, and layers of Haar wavelets."""


def draw_idea() -> str:
    """Two sines, and what a stack of differences makes of them: one line above the other."""
    time = np.arange(-(2**LAYERS), 160)
    stream = sum(0.45 * np.sin(2 * np.pi * tone / RATE * time) for tone in TONES)
    lines = [stream]
    for layer in range(LAYERS):
        before = np.concatenate([np.zeros(2**layer), stream[: -(2**layer)]])
        lines.append((stream - before) / 2)
        stream = (stream + before) / 2
    shown = time >= 0
    series = [
        Series("", time[shown].tolist(), (number + 0.8 * line)[shown].tolist())
        for number, line in enumerate(lines)
    ]
    return line_chart(series, "samples", "layer; 0 is the sound")


def kept() -> dict[str, list[Any]]:
    """Name -> the probes of its models."""
    names: dict[str, list[Any]] = {}
    for path in sorted(FOLDER.glob("*-[0-9].json")):
        names.setdefault(path.stem[:-2], []).append(with_nan(json.loads(path.read_text())))
    return names


def keep(name: str, files: Sequence[Path]) -> None:
    """Keep the probes of analyses of models of one name, `_MOST` at most, and of no others.

    Raises:
        UserError: there are more, or a file is not what `wavenet-pl analyze --json` writes; nothing is changed then.
    """
    if len(files) > _MOST:
        raise UserError(f"{name} has {len(files)} studies, expected {_MOST} at most; leave some out")
    texts = []
    for file in files:
        try:
            probes = json.loads(file.read_text())["probes"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{file} is no file of `wavenet-pl analyze --json`: {error!r}") from error
        texts.append(json.dumps(_rounded(probes), separators=(",", ":")) + "\n")
    for path in FOLDER.glob(f"{name}-[0-9].json"):
        path.unlink()
    for number, text in enumerate(texts, start=1):
        (FOLDER / f"{name}-{number}.json").write_text(text)


def _rounded(tree: Any) -> Any:
    """With five digits of each number."""
    if isinstance(tree, dict):
        return {key: _rounded(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_rounded(value) for value in tree]
    return float(f"{tree:.5g}") if isinstance(tree, float) else tree


def figures_of(study: dict[str, Numbers]) -> dict[str, Figure]:
    """Title -> figure, of all probes that are finished."""
    return {
        figure.title: figure for name, numbers in study.items() for figure in KNOWN[name].figures(numbers)
    }


def verdicts_of(study: dict[str, Numbers]) -> dict[str, Verdict]:
    """Claim -> verdict, of all probes that are finished."""
    return {
        verdict.claim.key: verdict
        for name, numbers in study.items()
        for verdict in KNOWN[name].verdicts(numbers)
    }


def picture_of(name: str, title: str) -> str:
    """Its file."""
    return f"{name}-{'-'.join(title.lower().replace(',', '').split())}.svg"


def cell(verdicts: Sequence[Verdict]) -> str:
    """What was measured of one claim on models of one name: the answer, the effect of each, and its controls."""
    answers = ", ".join(dict.fromkeys(each.answer for each in verdicts))
    effects = ", ".join("–" if math.isnan(each.effect) else f"{each.effect:.2f}" for each in verdicts)
    largest = max((each for one in verdicts for each in one.controls.values()), default=None)
    beside = (
        "" if largest is None else f" (controls at most {round(largest[0], 2) + 0.0:.2f} ± {largest[1]:.2f})"
    )
    return f"**{answers}**: {effects}{beside}"


def table(names: dict[str, list[Any]]) -> str:
    """A row for each claim, a column for each name."""
    every = {name: [verdicts_of(study) for study in those] for name, those in names.items()}
    lines = [f"| the essay says | {' | '.join(every)} |", "|---" * (len(every) + 1) + "|"]
    for key in dict.fromkeys(key for those in every.values() for key in those[0]):
        cells = [
            cell([each[key] for each in those]) if key in those[0] else "not measured"
            for those in every.values()
        ]
        [quote] = {those[0][key].claim.quote for those in every.values() if key in those[0]}
        lines.append(f"| {quote} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(args: argparse.Namespace) -> int:
    """Keep what is new, and draw and print it all."""
    added: dict[str, list[Path]] = {}
    for given in args.study:
        name, _, file = given.partition("=")
        if not name or not file:
            raise UserError(f"{given} is neither kept nor drawn, expected NAME=FILE")
        added.setdefault(name, []).append(Path(file))
    FOLDER.mkdir(exist_ok=True)
    for name, files in added.items():
        keep(name, files)
    (FOLDER / "idea.svg").write_text(draw_idea())
    for name, (first, *_) in kept().items():
        for title, figure in figures_of(first).items():
            if title in SHOWN.get(name, ()):
                (FOLDER / picture_of(name, title)).write_text(figure.svg)
                print(f"![{title}](hears/{picture_of(name, title)})\n\n{figure.caption}\n")
    print(table(kept()))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="what docs/what-it-hears.md shows")
    parser.add_argument("study", nargs="*", metavar="NAME=FILE", help=f"names: {', '.join(SHOWN)}, or others")
    run(main, parser.parse_args())
