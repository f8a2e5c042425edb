"""`report.md` of an adaptation, with its plot."""

from __future__ import annotations

import json
import math
from pathlib import Path

from wavenet_pl.adaptation.results import Results
from wavenet_pl.audio.pictures import encode_curve
from wavenet_pl.files.durable import write_durably
from wavenet_pl.numbers.intervals import Interval

REPORT, NUMBERS, PLOT = "report.md", "report.json", "report.png"
_MOST_ROWS = 20
_JUDGED = (
    "How like the voice's recordings they sound to a network that was trained to tell speakers apart: the cosine of "
    "the angle between embeddings, 1 for the same."
)
_HONEST = (
    "From nothing but the condition, at temperature 1: before, after, and recorded. Whether a clip sounds like speech "
    "depends on the base: a small or briefly trained one gives sounds of the right colour, and no words."
)


def write_report(results: Results, folder: Path, clips: list[str]) -> Path:
    """The page, its numbers and its plot; returns the page.

    Args:
        results: all of it.
        folder: of the run.
        clips: pictures of clips, by path below the folder.
    """
    levels = {
        f"{results.beginning.nearest}, before": results.beginning.before.mean,
        f"lowest, step {results.best_step}": results.after.mean,
    }
    write_durably(
        folder / PLOT, encode_curve(results.curve, levels, "optimizer steps", "held-out bits per sample")
    )
    write_durably(folder / REPORT, _page(results, clips))
    # Last: where the numbers are, all is there.
    write_durably(folder / NUMBERS, json.dumps(results.to_plain(), indent=1) + "\n")
    return folder / REPORT


def summary(results: Results) -> list[str]:
    """The most important lines, for the terminal and the top of the page."""
    before, after, rows = results.beginning.before, results.after, results.rows
    won = f"of {len(rows)} rows {results.best_row} has the lowest bits on the new voice"
    if results.best_row != results.speaker:
        won += (
            f", {rows[results.best_row]:.3f} against {rows[results.speaker]:.3f}: the new row does not win; more "
            "audio, or method all, may help"
        )
    told = f"{_interval(before)} before, as {results.beginning.nearest}; {_interval(after)} after"
    lines = [f"held-out bits per sample: {told}, {before.mean - after.mean:+.3f} gained", won]
    if results.forgetting:
        lines.append(
            f"the speakers of the base cost {results.forgotten:+.4f} bits per sample more than before"
        )
    else:
        lines.append(f"forgetting: {results.not_measured}")
    lines.append(
        f"{results.steps} steps in {results.seconds / 60:.1f} minutes, the best is step {results.best_step}; "
        f"{results.stopped}"
    )
    return lines


def _page(results: Results, clips: list[str]) -> str:
    rows = sorted(results.rows, key=lambda name: results.rows[name])
    lines = [
        f"# {results.speaker}: a new speaker, method {results.method}",
        "",
        *(f"- {line}" for line in summary(results)),
        f"- base: {results.base}, hash {results.base_hash[:12]}",
        f"- replay: {results.replay}",
        "",
        "## The audio",
        "",
        *(f"- {line}" for line in results.audio),
        "",
        "## Held-out bits while training",
        "",
        f"![held-out bits by step]({PLOT})",
        "",
        "## Rows on the new voice",
        "",
        "Bits per sample of the held-out recordings, under each row of the speaker table.",
        "",
        "| row | base | adapted |",
        "|---|---|---|",
        *(
            f"| {_cell(name)} | {_number(results.beginning.rows.get(name))} | {results.rows[name]:.3f} |"
            for name in rows[:_MOST_ROWS]
        ),
        *([f"| {len(rows) - _MOST_ROWS} more, all higher | | |"] if len(rows) > _MOST_ROWS else []),
        "",
        "## The speakers of the base",
        "",
    ]
    if results.forgetting:
        lines += [
            "Bits per sample of their own validation recordings.",
            "",
            "| speaker | base | adapted | forgotten |",
            "|---|---|---|---|",
            *(
                f"| {_cell(name)} | {each.before:.4f} | {each.after:.4f} | {each.after - each.before:+.4f} |"
                for name, each in results.forgetting.items()
            ),
        ]
    else:
        lines.append(f"{results.not_measured[:1].upper()}{results.not_measured[1:]}.")
    lines += [
        "",
        "## Clips",
        "",
        _HONEST,
        "",
        *_heard(results),
        "",
        *(f"![clips]({clip})" for clip in clips),
        "",
    ]
    return "\n".join(lines)


def _heard(results: Results) -> list[str]:
    if not results.similarity:
        return [f"{results.not_judged}." if results.not_judged else "No judge of voices was asked."]
    return [
        _JUDGED,
        "",
        "| clips | similarity |",
        "|---|---|",
        *(f"| {kind} | {_interval(found)} |" for kind, found in results.similarity.items()),
    ]


def _interval(interval: Interval) -> str:
    if not math.isfinite(interval.low):
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
