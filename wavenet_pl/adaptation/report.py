"""`report.md` of an adaptation, with its plot."""

from __future__ import annotations

import json
from pathlib import Path

from wavenet_pl.adaptation.base import TABLE
from wavenet_pl.adaptation.results import Results
from wavenet_pl.audio.pictures import encode_curve
from wavenet_pl.files.durable import write_durably
from wavenet_pl.files.foreign import printable
from wavenet_pl.files.markdown import cell, table

REPORT, NUMBERS, PLOT = "report.md", "report.json", "report.png"
_MOST_ROWS = 20
_JUDGED = (
    "How much the clips sound like the recordings of the voice to a network that was trained to tell speakers apart: "
    "the cosine of the angle between embeddings, 1 for the same."
)
_HONEST = (
    "Without a prompt, at temperature 1: before, after, and recorded. Whether a clip sounds like speech depends on the "
    "base: a small or briefly trained one makes sounds of the right colour, and no words."
)


def write_report(results: Results, folder: Path, clips: list[str]) -> Path:
    """The page, its numbers and its plot; returns the page.

    Args:
        results: all of it.
        folder: of the run.
        clips: pictures of clips, by path below the folder.
    """
    plot = encode_curve(results.curve, results.levels, "optimizer steps", "held-out bits per sample")
    write_durably(folder / PLOT, plot)
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
    gained = f"{before.mean - after.mean:+.3f} gained"
    beginning = f"{before:.3f} before, as {results.beginning.nearest}"
    lines = [f"held-out bits per sample: {beginning}; {after:.3f} after, {gained}", won]
    if results.forgetting:
        left = f"{len(results.forgetting)} of {len(results.beginning.rows)}" if results.left_out else "the"
        lines.append(
            f"{left} speakers of the base cost {results.forgotten:+.4f} bits per sample more than before"
        )
    else:
        lines.append(f"forgetting: {results.not_measured}")
    lines.append(
        f"{results.steps} steps in {results.seconds / 60:.1f} minutes, the best is step {results.best_step}; "
        f"{results.stopped}"
    )
    return list(map(printable, lines))


def _page(results: Results, clips: list[str]) -> str:
    facts = [
        *summary(results),
        f"base: {results.base}, hash {results.base_hash[:12]}",
        f"replay: {results.replay}",
    ]
    sections = [
        f"# {cell(results.speaker)}: a new speaker, method {cell(results.method)}",
        _list(facts),
        "## The audio",
        _list(results.audio),
        "## Held-out bits while training",
        f"![held-out bits by step]({PLOT})",
        "## Rows on the new voice",
        "Bits per sample of the held-out recordings, under each row of the speaker table.",
        _rows(results),
        "## The speakers of the base",
        *_forgetting(results),
        "## Clips",
        _HONEST,
        *_heard(results),
        "\n".join(f"![clips]({clip})" for clip in clips),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _rows(results: Results) -> str:
    names = sorted(results.rows, key=lambda name: results.rows[name])
    before = results.beginning.rows
    lines = [
        (name, f"{before[name]:.3f}" if name in before else "", f"{results.rows[name]:.3f}")
        for name in names[:_MOST_ROWS]
    ]
    if len(names) > _MOST_ROWS:
        lines.append((f"{len(names) - _MOST_ROWS} more, all higher", "", ""))
    return table(["row", "base", "adapted"], lines)


def _forgetting(results: Results) -> list[str]:
    if not results.forgetting:
        return [cell(f"{results.not_measured[:1].upper()}{results.not_measured[1:]}.")]
    lines = [
        (name, f"{each.before:.4f}", f"{each.after:.4f}", f"{each.after - each.before:+.4f}")
        for name, each in results.forgetting.items()
    ]
    without = f" Without {', '.join(results.left_out)}, of whom none can be read." if results.left_out else ""
    return [
        f"Bits per sample of their own validation recordings.{cell(without)}",
        table([TABLE, "base", "adapted", "forgotten"], lines),
    ]


def _heard(results: Results) -> list[str]:
    if not results.similarity:
        return [cell(f"{results.not_judged}.") if results.not_judged else "No judge of voices was asked."]
    lines = [(kind, f"{similarity:.3f}") for kind, similarity in results.similarity.items()]
    return [_JUDGED, table(["clips", "similarity"], lines)]


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {cell(line)}" for line in lines)
