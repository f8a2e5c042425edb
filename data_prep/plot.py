"""report.png: lengths, speakers, levels and rules in four panels; the same bytes for the same corpus."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np

from data_prep.report import count_of, decibels
from data_prep.results import Result
from wavenet_pl.audio.pictures import FAINT, INK, STYLE
from wavenet_pl.shards.index import SPLITS

_COLOURS = {"train": "#5b2a86", "val": "#2a9d8f", "test": "#e9a23b"}
_DROPPED = "#c1403d"
_STYLE: dict[Any, Any] = {
    **STYLE,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
_MOST_SPEAKERS = 16
_LONGEST_NAME = 24


def draw_report(result: Result) -> bytes:
    """The bytes of the PNG."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plain: dict[Any, Any] = {
        key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")
    }
    with matplotlib.rc_context({**plain, **_STYLE}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters that the font lacks
        figure = Figure(figsize=(10.5, 7.2), dpi=110, facecolor="white")
        FigureCanvasAgg(figure)
        panels = figure.subplots(2, 2)
        figure.subplots_adjust(left=0.07, right=0.98, top=0.96, bottom=0.07, hspace=0.27, wspace=0.44)
        _draw_lengths(panels[0][0], result)
        _draw_speakers(panels[0][1], result)
        _draw_levels(panels[1][0], result)
        _draw_rules(panels[1][1], result)
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _draw_lengths(axes: Any, result: Result) -> None:
    lengths = {split: result.measures(split)["frames"] / result.sample_rate for split in SPLITS}
    axes.set_title("Lengths")
    axes.set(xlabel="seconds", ylabel="recordings")
    if not result.count():
        return
    edges = np.linspace(0, max(each.max(initial=0) for each in lengths.values()), 31)
    axes.hist(
        [lengths[split] for split in SPLITS],
        bins=edges,
        stacked=True,
        color=[_COLOURS[split] for split in SPLITS],
        label=[f"{split}, {len(lengths[split])}" for split in SPLITS],
    )
    axes.set_xlim(0, edges[-1])
    axes.legend()


def _draw_speakers(axes: Any, result: Result) -> None:
    speakers = result.speakers
    axes.set_title(f"Speakers: {sum(name != '(none)' for name in speakers)}")
    axes.set_xlabel("minutes")
    size = {name: sum(frames for _, frames in splits.values()) for name, splits in speakers.items()}
    ordered = sorted(size, key=lambda name: (-size[name], name))
    shown = ordered if len(ordered) <= _MOST_SPEAKERS else ordered[: _MOST_SPEAKERS - 1]
    labels = [_short(name) for name in shown]
    if others := ordered[len(shown) :]:
        labels.append(f"{len(others)} others")
    positions, left = np.arange(len(labels)), np.zeros(len(labels))
    for split in SPLITS:
        frames = [speakers[name][split][1] for name in shown]
        if others:
            frames.append(sum(speakers[name][split][1] for name in others))
        widths = np.array(frames) / result.sample_rate / 60
        axes.barh(positions, widths, left=left, color=_COLOURS[split], height=0.72)
        left += widths
    axes.set_yticks(positions, labels)
    axes.set_ylim(max(len(labels), 4) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _draw_levels(axes: Any, result: Result) -> None:
    axes.set_title("Levels")
    axes.set(xlabel="dBFS", ylabel="recordings")
    rows = result.measures()
    if not len(rows):
        return
    peaks, means = decibels(rows["peak"]), decibels(rows["rms"])
    edges = np.arange(np.floor(means.min()) - 1, 1.5, 1.0)
    axes.hist(means, bins=edges, color=_COLOURS["train"], alpha=0.85, label="RMS")
    axes.hist(peaks, bins=edges, color=_COLOURS["test"], alpha=0.75, label="peak")
    axes.set_xlim(edges[0], 1)
    axes.legend(loc="upper center")


def _draw_rules(axes: Any, result: Result) -> None:
    rules = result.rules
    names = list(rules)
    dropped = np.array([rules[name]["dropped"] for name in names])
    axes.set_title("Dropped by each rule")
    axes.set_xlabel("seconds")
    axes.barh(np.arange(len(names)), dropped, color=_DROPPED, height=0.72)
    for position, name in enumerate(names):
        count = rules[name]["recordings_dropped"]
        text = f"{dropped[position]:.1f} s" + (f", {count_of(count)}" if count else "")
        axes.text(
            dropped[position],
            position,
            f"  {text}",
            va="center",
            color=INK if dropped[position] or count else FAINT,
        )
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, max(dropped.max(), 1e-9) * 1.6 if dropped.max() else 1)
    axes.tick_params(axis="y", length=0)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
