"""The page of results: one HTML file with its styles, sounds and pictures in it.

Names come from data that anyone may have written: every text goes through `_text`.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from wavenet_pl.audio.pictures import encode_spectrograms
from wavenet_pl.evaluation.clips import Clip
from wavenet_pl.evaluation.context import TOLERANCE, effective_receptive_field
from wavenet_pl.evaluation.curve import draw_curve
from wavenet_pl.evaluation.judging import Judgement
from wavenet_pl.evaluation.likeness import shown
from wavenet_pl.evaluation.results import Results
from wavenet_pl.evaluation.scoring import Group, gaps
from wavenet_pl.files.durable import write_durably
from wavenet_pl.files.foreign import printable
from wavenet_pl.numbers.intervals import LEVEL, Interval

PAGE_NAME = "report.html"
_MOST_ROWS = 200
"""Of a table: a page of ten thousand recordings opens in no browser."""
_STYLE = (Path(__file__).parent / "report.css").read_text()


def write_report(results: Results, folder: Path) -> Path:
    """Write the page into a folder; returns its path."""
    path = folder / PAGE_NAME
    write_durably(path, render(results))
    return path


def render(results: Results) -> str:
    """The page."""
    subject = results.subject
    sections = [
        _figures(results),
        _bits(results),
        _gaps(results),
        _context(results),
        _clips(results),
        *map(_judgement, results.judgements),
        _groups("Speakers", results.by_speaker(), results),
        _groups("Tags", results.by_tag(), results),
        _groups("Recordings, costliest first", results.by_recording(), results),
        _damage(results),
    ]
    part = (
        ""
        if results.complete
        else '<p class="warning">Stopped before its end: only what was finished is here.</p>'
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{_text(subject.run)}, evaluated</title><style>{_STYLE}</style></head><body><main>\n"
        f"<header><h1>{_text(subject.run)}</h1><p>{subject.parameters:,} parameters, evaluated on "
        f"{len(results.scores)} of {subject.recordings} recordings of split {_text(subject.split)} of "
        f"{_text(subject.data)}: {results.overall.samples / subject.sample_rate:.1f} of {subject.seconds:.1f} s "
        f"at {subject.sample_rate} Hz, drawn with seed {subject.seed}.</p>{part}</header>\n"
        + "\n".join(filter(None, sections))
        + f"\n<footer><p>Intervals hold {100 * LEVEL:.0f} % of the time, over recordings: "
        "other recordings of the same kind would put the mean there. One recording has none.</p></footer>"
        "</main></body></html>\n"
    )


def _figures(results: Results) -> str:
    """The four numbers that one looks for first."""
    figures = []
    if results.scores:
        figures.append((f"{results.overall.comparable_bits.mean:.3f}", "bits per sample"))
    if results.baselines is not None and results.scores:
        below = results.baselines.order1 - results.overall.comparable_bits.mean
        figures.append((f"{below:+.3f}", "bits below order-1"))
    if results.context:
        rate = results.subject.sample_rate
        effective = effective_receptive_field(results.context)
        figures.append((f"{1000 * effective / rate:.1f} ms", f"of context used ({effective} samples)"))
    if results.clips:
        good = sum(not clip.faults for clip in results.clips)
        figures.append((f"{good} of {len(results.clips)}", "clips without faults"))
    items = "".join(f"<div><dd>{_text(value)}</dd><dt>{_text(name)}</dt></div>" for value, name in figures)
    return f'<dl class="figures">{items}</dl>' if items else ""


def _bits(results: Results) -> str:
    if not results.scores:
        return ""
    subject, overall = results.subject, results.overall
    rows: list[tuple[str, ...]] = []
    if (baselines := results.baselines) is not None:
        for name, bits in (
            ("uniform: every code alike", baselines.uniform),
            ("unigram: how often each code comes", baselines.unigram),
            ("order-1: how often each code follows the one before", baselines.order1),
        ):
            rows.append((name, f"{bits:.3f}", ""))
    rows.append(("this model", *_interval(overall.comparable_bits)))
    table = _table(f"Bits per sample of {subject.comparable_codes}", ("", "bits", "interval"), rows)
    if subject.codes != subject.comparable_codes:
        own = _table(
            f"Bits per sample of {subject.codes}",
            ("", "bits", "interval"),
            [("this model", *_interval(overall.bits))],
        )
        table += own
    return f"<section><h2>Bits</h2>{table}</section>"


def _gaps(results: Results) -> str:
    found = gaps(results.scores)
    if not found:
        return ""
    rows = [
        (name, f"{results.overall.bits.mean + gap.mean:.3f}", *_interval(gap)) for name, gap in found.items()
    ]
    names = ("told wrongly", "bits", "more", "interval of more")
    table = _table(f"Bits per sample of {results.subject.codes} under a wrong condition", names, rows)
    deaf = [name for name, gap in found.items() if not gap.low > 0]
    said = (
        f"It may not hear: {', '.join(deaf)}." if deaf else "What it is told makes a difference that is sure."
    )
    return f"<section><h2>Is the condition used?</h2><p>{_text(said)}</p>{table}</section>"


def _context(results: Results) -> str:
    if not results.context:
        return ""
    field = results.subject.receptive_field
    effective = effective_receptive_field(results.context)
    rows = [
        (f"{point.context:,}", f"{point.bits.mean:.3f}", *_interval(point.lost)) for point in results.context
    ]
    table = _table("Bits with less context", ("samples", "bits", "lost", "interval of lost"), rows)
    return (
        f"<section><h2>How far back it listens</h2><p>The receptive field is {field:,} samples; with the last "
        f"{effective:,} the bits are within {TOLERANCE:g} of those with all.</p><figure>"
        f"{draw_curve(results.context, field)}<figcaption>Solid line: <b>{effective:,}</b> samples, used. "
        f"Dashed: <b>{field:,}</b>, the receptive field. With less context the network knows only the last "
        "samples, as if a recording began there.</figcaption></figure>"
        f"<details><summary>Numbers</summary>{table}</details></section>"
    )


def _clips(results: Results) -> str:
    if not results.clips or results.speed is None:
        return ""
    rows = [
        (kind, f"{made} of {len(results.clips)}", f"{real} of {len(results.clips)}")
        for kind, (made, real) in results.faults().items()
    ]
    speed = results.speed
    figures = "".join(
        _clip(number, clip, results.subject.sample_rate) for number, clip in enumerate(results.clips)
    )
    return (
        "<section><h2>Clips</h2><p>Generated from nothing, at temperature 1, each beside the beginning of a recording. "
        f"{speed.clips} at once at {speed.real_time_factor:.3f} times real time, engine {_text(speed.engine)}, "
        f"weights {_text(speed.weights)}, {speed.threads} {'thread' if speed.threads == 1 else 'threads'}.</p>{figures}"
        + _table("What the screen found", ("fault", "generated", "recorded"), rows)
        + "</section>"
    )


def _clip(number: int, clip: Clip, sample_rate: int) -> str:
    title = f"Clip {number}{f': {clip.told}' if clip.told else ''}"
    sides = [
        ("generated", clip.generated, clip.faults),
        (f"recorded: {clip.key}", clip.recorded, clip.recorded_faults),
    ]
    sides = [side for side in sides if len(side[1])]
    players = "".join(
        f'<div><p>{_text(label)}</p><audio controls preload="metadata" aria-label="{_text(f"{title}, {label}")}" '
        f'src="{_url("audio/wav", _wav(audio, sample_rate))}"></audio>'
        + "".join(f'<p class="warning">{_text(fault)}</p>' for fault in faults.values())
        + "</div>"
        for label, audio, faults in sides
    )
    picture = encode_spectrograms([(printable(label), audio) for label, audio, _ in sides], sample_rate)
    return (
        f'<article><h3>{_text(title)}</h3><div class="players">{players}</div><img alt="Waveforms and spectrograms of '
        f'{_text(f"{title}: generated above, {clip.key} below")}" src="{_url("image/png", picture)}"></article>'
    )


def _judgement(judgement: Judgement) -> str:
    rows = [
        (
            measure.name,
            *_interval(measure.generated),
            shown(measure.recorded.mean),
            shown(measure.chance.mean) if measure.chance else "–",
        )
        for measure in judgement.measures
    ]
    names = ("", "generated", "interval over clips", "recorded", "chance")
    table = _table("Generated clips, between recorded ones and chance", names, rows) if rows else ""
    remarks = "".join(f"<p>{_text(remark[:1].upper() + remark[1:])}.</p>" for remark in judgement.remarks)
    return f"<section><h2>{_text(judgement.title)}</h2>{table}{remarks}</section>"


def _groups(title: str, groups: Sequence[Group], results: Results) -> str:
    if not groups:
        return ""
    rate = results.subject.sample_rate
    single = all(group.recordings == 1 for group in groups)  # then there is no interval to show
    names = ("name", "seconds", "bits") if single else ("name", "seconds", "bits", "interval", "recordings")
    rows: list[tuple[str, ...]] = [
        (group.name, f"{group.samples / rate:.1f}", *_interval(group.comparable_bits), str(group.recordings))
        for group in groups[:_MOST_ROWS]
    ]
    rows = [row[: len(names)] for row in rows]
    more = f"<p>{len(groups) - _MOST_ROWS:,} more are left out.</p>" if len(groups) > _MOST_ROWS else ""
    caption = f"Bits per sample of {results.subject.comparable_codes}"
    return f"<section><h2>{title}</h2>{_table(caption, names, rows)}{more}</section>"


def _damage(results: Results) -> str:
    if not results.damaged:
        return ""
    items = "".join(f"<li>{_text(text)}</li>" for text in results.damaged[:_MOST_ROWS])
    return f"<section><h2>Left out</h2><p>These {len(results.damaged)} could not be read.</p><ul>{items}</ul></section>"


def _table(caption: str, names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """The first column names its row."""
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{_text(first)}</th>{"".join(f"<td>{_text(cell)}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{_text(caption)}"><table><caption>{_text(caption)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _interval(interval: Interval) -> tuple[str, str]:
    known = math.isfinite(interval.low)
    return (
        shown(interval.mean),
        f"{interval.low:.3f} to {interval.high:.3f}" if known else "–",
    )


def _text(text: str) -> str:
    return html.escape(printable(text))


def _wav(audio: npt.NDArray[np.float32], sample_rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, audio, sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
