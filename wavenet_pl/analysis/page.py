"""The page of an analysis: claims and verdicts first, then probe by probe what was measured, in one HTML file."""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from wavenet_pl.analysis.claims import Verdict
from wavenet_pl.analysis.probes.probe import Figure, Probe
from wavenet_pl.analysis.study import Study
from wavenet_pl.evaluation.report import TEMPLATES as EVALUATION
from wavenet_pl.evaluation.report import as_plain_text

PAGE_NAME = "analysis.html"
Values = dict[str, Any]
_loader = EVALUATION.loader
assert isinstance(_loader, FileSystemLoader)
TEMPLATES = Environment(
    autoescape=True,
    undefined=StrictUndefined,
    loader=FileSystemLoader([Path(__file__).parent, *_loader.searchpath]),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(study: Study) -> str:
    """The page."""
    return TEMPLATES.get_template("analysis.html.j2").render(as_plain_text(_values(study)))


def _values(study: Study) -> Values:
    verdicts = study.verdicts
    return {
        "subject": vars(study.subject),
        "complete": study.complete,
        "quick": study.options.quick,
        "control_seeds": study.options.control_seeds,
        "verdicts": [_row(verdict) for verdict in verdicts],
        "probes": [_probe(probe, study) for probe in study.probes if probe.name in study.numbers],
        "missing": [
            {"title": probe.title, "reason": study.missing[probe.name]}
            for probe in study.probes
            if probe.name in study.missing
        ],
    }


def _probe(probe: Probe, study: Study) -> Values:
    numbers = study.numbers[probe.name]
    return {
        "title": probe.title,
        "about": probe.about,
        "verdicts": [_row(verdict) for verdict in probe.verdicts(numbers)],
        "figures": [_figure(figure) for figure in probe.figures(numbers)],
    }


def _row(verdict: Verdict) -> Values:
    unit = verdict.claim.unit and f" {verdict.claim.unit}"
    return {
        "quote": verdict.claim.quote,
        "answer": verdict.answer,
        "effect": "–" if math.isnan(verdict.effect) else f"{verdict.effect:.2f}{unit}",
        "controls": verdict.beside() or "none",
        "largest": f"{max(mean for mean, _ in verdict.controls.values()):.2f}" if verdict.controls else "–",
        "criterion": verdict.claim.criterion,
        "note": verdict.note,
    }


def _figure(figure: Figure) -> Values:
    picture = base64.b64encode(figure.svg.encode()).decode()
    return {
        "title": figure.title,
        "caption": figure.caption,
        "url": f"data:image/svg+xml;base64,{picture}",
    }
