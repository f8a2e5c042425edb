"""A picture of what Weights & Biases was given of a run, as read from its offline run.

    python scripts/draw_tracking.py RUN OUT.svg

Draws numbers, load of the machine, clips by kind and step, and the facts of the config: what is there, in plain panels.
W&B's own workspace looks different.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wavenet_pl.tracking.wandb_log import read_log

STEP = "trainer/global_step"
CLIPS, KINDS = "val/clips/", ["recorded", "teacher-forced", "free-running"]
NUMBERS = ("train/bits", "val/bits", "val/gap/speaker", "optim/lr", "perf/samples_per_second", "system")
LOAD = ("cpu", "memory_percent", "gpu.0.gpu")
MOST_SETS = 3


@dataclass
class Tracked:
    """What the starts of a run gave to W&B."""

    name: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """Key -> (step or seconds, value)."""
    clips: dict[str, dict[int, Path]] = field(default_factory=lambda: defaultdict(dict))
    """Kind -> step -> the first clip of the set."""


def read(run: Path) -> Tracked:
    """All offline starts of a run."""
    tracked, began = Tracked(), None
    for folder in sorted((run / "wandb").glob("offline-run-*")):
        for record in read_log(folder):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                tracked.name, tracked.job_type = record.run.display_name, record.run.job_type
                tracked.tags = list(record.run.tags)
                tracked.config |= values_of(record.run.config.update)
            elif kind == "summary":
                tracked.summary |= values_of(record.summary.update)
            elif kind == "stats":
                began = began or record.stats.timestamp.seconds
                for key, value in values_of(record.stats.item).items():
                    tracked.numbers[key].append((record.stats.timestamp.seconds - began, value))
            elif kind == "history":
                add_row(tracked, values_of(record.history.item), folder / "files")
    return tracked


def values_of(items: Iterable[Any]) -> dict[str, Any]:
    """Key -> value; what is nested has its names joined by a blank."""
    return {
        " ".join(getattr(item, "nested_key", ())) or item.key: json.loads(item.value_json) for item in items
    }


def add_row(tracked: Tracked, row: dict[str, Any], files: Path) -> None:
    """One row of the history."""
    for key, value in row.items():
        if key.startswith(CLIPS) and key.endswith(" audio"):
            kind = key.removeprefix(CLIPS).removesuffix(" audio")
            tracked.clips[kind][row[STEP]] = files / value[0]["path"]
        elif isinstance(value, (int, float)) and STEP in row:
            tracked.numbers[key].append((row[STEP], value))


def draw_number(axes: Axes, tracked: Tracked, key: str) -> None:
    """One key over the steps; validations beside what simple models reach."""
    axes.set_title(key, fontsize=9, loc="left")
    for each in LOAD if key == "system" else (key,):
        points = tracked.numbers.get(each, [])
        axes.plot(
            *zip(*points, strict=True), marker="." if len(points) < 12 else "", label=each
        ) if points else None
    if key == "val/bits":
        for name, bits in tracked.config["baselines"].items():
            axes.axhline(bits, color="0.7", linewidth=0.8)
            axes.text(
                0.99, bits, name, fontsize=6, ha="right", va="bottom", transform=axes.get_yaxis_transform()
            )
    if key == "system":
        axes.legend(fontsize=6)
        axes.set_xlabel("seconds", fontsize=7)
    axes.tick_params(labelsize=7)


def draw_clip(axes: Axes, path: Path, title: str) -> None:
    """The wave of a clip."""
    audio, rate = soundfile.read(path)
    axes.plot(np.arange(len(audio)) / rate, audio, linewidth=0.3, rasterized=True)
    axes.set_title(title, fontsize=7, loc="left")
    axes.set(ylim=(-1, 1), yticks=[])
    axes.tick_params(labelsize=6)


def facts(tracked: Tracked) -> dict[str, str]:
    """The run, its config and its summary, a line each."""
    config = tracked.config
    hours = ", ".join(f"{split} {value:.2f}" for split, value in config["hours"].items())
    names = ", ".join(f"{table} {count}" for table, count in config["names"].items())
    size = f"parameters {config['parameters']:,} · receptive_field {config['receptive_field']}"
    best = [f"{key} {value:.3f}" for key, value in tracked.summary.items() if key.startswith("best/")]
    return {
        "run": f"{tracked.name} · job type {tracked.job_type} · tags {', '.join(tracked.tags)}",
        "config": f"{size} · hours: {hours} · names: {names or 'none'}",
        "baselines": ", ".join(f"{name} {bits:.3f}" for name, bits in config["baselines"].items()),
        "summary": ", ".join(best),
    }


def draw(tracked: Tracked) -> Figure:
    """All of it on one page."""
    sets = {kind: sorted(tracked.clips[kind])[-MOST_SETS:] for kind in sorted(tracked.clips, key=KINDS.index)}
    figure = Figure(figsize=(11, 4.6 + 1.1 * len(sets)), layout="constrained")
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=[0.9, 3.4, 1.1 * len(sets)])
    for number, (name, line) in enumerate(facts(tracked).items()):
        height = 0.85 - 0.22 * number
        top.text(0.01, height, name, fontsize=8, weight="bold", va="center")
        top.text(0.09, height, line, fontsize=8, va="center")
    for axes, key in zip(middle.subplots(2, 3).flat, NUMBERS, strict=True):
        draw_number(axes, tracked, key)
    grid = bottom.subplots(len(sets), MOST_SETS, squeeze=False)
    for row, (kind, steps) in zip(grid, sets.items(), strict=True):
        for axes in row[len(steps) :]:
            axes.set_axis_off()
        for axes, step in zip(row, steps, strict=False):
            draw_clip(axes, tracked.clips[kind][step], f"{CLIPS}{kind}, step {step}, first clip")
    return figure


def main(run: Path, out: Path) -> None:
    """Read and draw."""
    matplotlib.rcParams["svg.hashsalt"], matplotlib.rcParams["svg.fonttype"] = "one", "none"
    matplotlib.rcParams["axes.spines.right"] = matplotlib.rcParams["axes.spines.top"] = False
    draw(read(run)).savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
