"""The page of results: one HTML file with its styles, sounds and pictures in it.

Here are the values that the page shows, all of them plain; `report.html.j2` has the sentences that they stand in. Names
come from data that anyone may have written: control characters are spelled out here, and jinja2 escapes the rest.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from wavenet_pl.audio.pictures import encode_spectrograms
from wavenet_pl.audio.wav import to_int16
from wavenet_pl.evaluation.clips import Clip
from wavenet_pl.evaluation.context import TOLERANCE, effective_receptive_field
from wavenet_pl.evaluation.curve import lay_out_curve
from wavenet_pl.evaluation.judges.likeness import Measure, shown
from wavenet_pl.evaluation.judging import Judgement
from wavenet_pl.evaluation.results import Results
from wavenet_pl.evaluation.scoring import Group, gaps
from wavenet_pl.files.durable import write_durably
from wavenet_pl.files.foreign import printable
from wavenet_pl.numbers.intervals import LEVEL, Interval
from wavenet_pl.signals import interrupts_wait

PAGE_NAME = "report.html"
_MOST_ROWS = 200
"""Of a table: a page of ten thousand recordings opens in no browser."""
TEMPLATES = Environment(
    autoescape=True,
    undefined=StrictUndefined,
    loader=FileSystemLoader(Path(__file__).parent),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)

Values = dict[str, Any]
"""Name in the template -> text, number, or lists and such dictionaries of them."""


def write_report(results: Results, folder: Path) -> Path:
    """Write the page into a folder; returns its path."""
    path = folder / PAGE_NAME
    write_durably(path, render(results))
    return path


def render(results: Results) -> str:
    """The page."""
    return TEMPLATES.get_template("report.html.j2").render(as_plain_text(_values(results)))


def as_plain_text(value: Any) -> Any:
    """The same with control characters spelled out in each text."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {name: as_plain_text(each) for name, each in value.items()}
    return [as_plain_text(each) for each in value] if isinstance(value, (list, tuple)) else value


def _values(results: Results) -> Values:
    """All that the page shows; what was not reached or not asked for is empty."""
    subject = results.subject
    groups = [
        *(_group(f"By {table}", results.by_name(table), results) for table in results.tables),
        _group("Recordings, costliest first", results.by_recording(), results),
    ]
    return {
        "run": subject.run,
        "data": subject.data,
        "split": subject.split,
        "seed": subject.seed,
        "sample_rate": subject.sample_rate,
        "parameters": f"{subject.parameters:,}",
        "scored": len(results.scores),
        "recordings": subject.recordings,
        "scored_seconds": f"{results.overall.samples / subject.sample_rate:.1f}",
        "seconds": f"{subject.seconds:.1f}",
        "complete": results.complete,
        "figures": _figures(results),
        "bits": _bits(results),
        "gaps": _gaps(results),
        "context": _context(results),
        "clips": _clips(results),
        "judgements": [_judgement(each) for each in results.judgements],
        "groups": [group for group in groups if group["table"]["rows"]],
        "damaged": _damaged(results.damaged),
        "level": f"{100 * LEVEL:.0f}",
    }


def _figures(results: Results) -> list[tuple[str, str]]:
    """The four numbers that one looks for first."""
    figures = []
    if results.scores:
        figures.append((f"{results.overall.comparable_bits.mean:.3f}", "bits per sample"))
    if results.baselines is not None and results.scores:
        name, bits = results.baselines.strongest
        figures.append((f"{bits - results.overall.comparable_bits.mean:+.3f}", f"bits below {name}"))
    if results.context:
        rate = results.subject.sample_rate
        effective = effective_receptive_field(results.context)
        figures.append((f"{1000 * effective / rate:.1f} ms", f"of context used ({effective} samples)"))
    if results.clips:
        good = sum(not clip.faults for clip in results.clips)
        figures.append((f"{good} of {len(results.clips)}", "clips without faults"))
    return figures


def _bits(results: Results) -> list[Values]:
    """Tables, in the codes of the baselines, and in the model's own where these are others."""
    if not results.scores:
        return []
    subject, overall = results.subject, results.overall
    known = {} if results.baselines is None else results.baselines.explained
    rows = [(name, f"{bits:.3f}", "") for name, bits in known.items()]
    tables = {subject.comparable_codes: [*rows, ("this model", *_interval(overall.comparable_bits))]}
    tables.setdefault(subject.codes, [("this model", *_interval(overall.bits))])
    return [
        _table(f"Bits per sample of {codes}", ("", "bits", "interval"), rows)
        for codes, rows in tables.items()
    ]


def _gaps(results: Results) -> Values:
    increases = gaps(results.scores)
    if not increases:
        return {}
    rows = [
        (name, shown(results.overall.bits.mean + gap.mean), *_interval(gap))
        for name, gap in increases.items()
    ]
    unknown = [name for name, gap in increases.items() if math.isnan(gap.mean)]
    heads = ("wrong value of", "bits", "increase", "interval of the increase")
    return {
        "unused": [name for name, gap in increases.items() if name not in unknown and not gap.low > 0],
        "unknown": unknown,
        "used": len(increases) > len(unknown),
        "table": _table(f"Bits per sample of {results.subject.codes} under a wrong condition", heads, rows),
    }


def _context(results: Results) -> Values:
    if not results.context:
        return {}
    receptive_field = results.subject.receptive_field
    rows = [
        (f"{point.context:,}", f"{point.bits.mean:.3f}", *_interval(point.lost)) for point in results.context
    ]
    return {
        "nominal": f"{receptive_field:,}",
        "effective": f"{effective_receptive_field(results.context):,}",
        "tolerance": f"{TOLERANCE:g}",
        "curve": asdict(lay_out_curve(results.context, receptive_field)),
        "table": _table("Bits with less context", ("samples", "bits", "loss", "interval of the loss"), rows),
    }


def _clips(results: Results) -> Values:
    if not results.clips or results.speed is None:
        return {}
    clips, speed = results.clips, results.speed
    rows = [
        (kind, f"{made} of {len(clips)}", f"{real} of {len(clips)}")
        for kind, (made, real) in results.faults().items()
    ]
    return {
        "batch": _count(speed.clips, "clip"),
        "speed": f"{speed.real_time_factor:.3f}",
        "temperature": f"{speed.temperature:g}",
        "engine": speed.engine,
        "weights": speed.weights,
        "threads": _count(speed.threads, "thread"),
        "each": [_clip(number, clip, results.subject.sample_rate) for number, clip in enumerate(clips)],
        "faults": _table("What the screen found", ("fault", "generated", "recorded"), rows),
    }


def _clip(number: int, clip: Clip, sample_rate: int) -> Values:
    sides = [("generated", clip.generated, clip.faults)]
    if len(clip.recorded):
        sides.append((f"recorded: {clip.key}", clip.recorded, clip.recorded_faults))
    picture = encode_spectrograms([(printable(label), audio) for label, audio, _ in sides], sample_rate)
    return {
        "title": f"Clip {number}{f': {clip.condition}' if clip.condition else ''}",
        "sides": [
            {
                "label": label,
                "sound": sound_url(audio, sample_rate),
                "faults": list(faults.values()),
            }
            for label, audio, faults in sides
        ],
        "shown": f"generated above, {clip.key} below" if len(sides) > 1 else "generated",
        "picture": _url("image/png", picture),
    }


def _judgement(judgement: Judgement) -> Values:
    return {
        "title": judgement.title,
        "table": measures_table("Generated clips, between recorded ones and chance", judgement.measures),
        "remarks": [remark[:1].upper() + remark[1:] for remark in judgement.remarks],
    }


def measures_table(caption: str, measures: Iterable[Measure]) -> Values:
    """A row for each measure."""
    rows = [
        (
            measure.name,
            *_interval(measure.generated),
            shown(measure.recorded.mean),
            shown(measure.chance.mean) if measure.chance else "–",
        )
        for measure in measures
    ]
    return _table(caption, ("", "generated", "interval over clips", "recorded", "chance"), rows)


def _group(title: str, groups: Sequence[Group], results: Results) -> Values:
    rate = results.subject.sample_rate
    single = all(group.recordings == 1 for group in groups)  # then there is no interval to show
    heads = ("name", "seconds", "bits") if single else ("name", "seconds", "bits", "interval", "recordings")
    rows: list[tuple[str, ...]] = [
        (group.name, f"{group.samples / rate:.1f}", *_interval(group.comparable_bits), str(group.recordings))
        for group in groups[:_MOST_ROWS]
    ]
    caption = f"Bits per sample of {results.subject.comparable_codes}"
    return {
        "title": title,
        "table": _table(caption, heads, [row[: len(heads)] for row in rows]),
        "hidden": _hidden(groups),
    }


def _damaged(damaged: Sequence[str]) -> Values:
    if not damaged:
        return {}
    return {
        "count": _count(len(damaged), "recording"),
        "lines": damaged[:_MOST_ROWS],
        "hidden": _hidden(damaged),
    }


def _table(caption: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Values:
    """The first column names its row."""
    return {"caption": caption, "heads": list(heads), "rows": [list(row) for row in rows]}


def _hidden(all_rows: Sequence[object]) -> str:
    """How many rows a table leaves out; empty for none."""
    return f"{len(all_rows) - _MOST_ROWS:,}" if len(all_rows) > _MOST_ROWS else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _interval(interval: Interval) -> tuple[str, str]:
    known = math.isfinite(interval.low)
    return shown(interval.mean), f"{interval.low:.3f} to {interval.high:.3f}" if known else "–"


def sound_url(audio: npt.NDArray[np.float32], sample_rate: int) -> str:
    """A clip as a WAV file within a page."""
    file = io.BytesIO()
    with interrupts_wait():
        soundfile.write(file, to_int16(audio), sample_rate, format="WAV", subtype="PCM_16")
    return _url("audio/wav", file.getvalue())


def _url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
