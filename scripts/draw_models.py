"""Pictures of where each model's condition enters, from what the modules themselves do with one crop.

    python scripts/draw_models.py    # writes docs/models/NAME.svg

Every box is a module that was called, with the shape of what came out of it; an arrow goes to a layer where its
own convolution was handed the condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor, nn

from wavenet_pl.config.tree import load_config
from wavenet_pl.inputs.input import Columns
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.model import Model
from wavenet_pl.shards.labels import Labels
from wavenet_pl.training.module import MODULES

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "models"
SAMPLE_RATE = 16_000
LABELS = Labels(
    tables={
        "speaker": tuple(f"speaker {number}" for number in range(1, 6)),
        "tags": tuple(f"tag {number}" for number in range(1, 13)),
    },
    frames={each.name: each.spec for each in (Notes.default(SAMPLE_RATE), Mel.default(SAMPLE_RATE))},
)
COLUMNS = 800
"""Predictions in the crop that is drawn."""
MODELS = {
    "unconditional": ("unconditional",),
    "speaker": ("speaker",),
    "music": ("music", "model.condition.inputs=[tags,notes]"),
    "vocoder": ("vocoder",),
}
"""Picture -> config, and what it changes."""


def shape(size: tuple[int, ...]) -> str:
    """As it is written in the pictures."""
    return " × ".join(map(str, size))


@dataclass(frozen=True)
class Stage:
    """One module, and the shape of what came out of it for one crop."""

    name: str
    kind: str
    size: tuple[int, ...]

    @property
    def text(self) -> str:
        """What stands in its box."""
        return "\n".join(filter(None, (self.name, self.kind, shape(self.size))))


@dataclass
class Trace:
    """What a module did with one crop, in order."""

    told: dict[str, list[Stage]] = field(default_factory=dict)
    """Input -> the batch's field, and the stages from there to its part of the condition."""
    condition: tuple[int, ...] | None = None
    """Shape of the sum of all inputs."""
    network: list[Stage] = field(default_factory=list)
    entered: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Layer whose own convolution was handed the condition -> what came out of that, to be added before the gate."""


def batch_of(model: Model) -> dict[str, Tensor]:
    """A crop's worth of whatever the model is told."""
    columns = Columns(0, COLUMNS, model.config.model.condition.frame_context)
    return {
        name: torch.from_numpy(np.asarray(value)[None])
        for each in model.inputs
        for name, value in each.blank(columns).items()
    }


def trace(model: Model) -> Trace:
    """Run one crop through the model and write down who was called with what."""
    found, batch = Trace(), batch_of(model)
    with torch.no_grad():
        condition = None
        if model.conditioner is not None:
            for name, each in zip(model.input_names, model.conditioner.inputs.values(), strict=True):
                given = Stage(name, "batch", tuple(batch[name].shape[1:]) or (1,))
                found.told[name] = [given]
                with watched(each, partial(note, found.told[name])):
                    out = each(batch, COLUMNS)
                found.told[name].append(Stage("", "condition", tuple(out.shape[1:])))
            condition = model.condition(batch, COLUMNS)
            assert condition is not None
            found.condition = tuple(condition.shape[1:])

        def see(name: str, part: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            layer, _, inner = name.rpartition(".")
            first = (
                out[0] if isinstance(out, tuple) else out
            )  # whose time is the first axis inside of the network
            if inner == "condition":
                found.entered[layer] = tuple(first.permute(1, 2, 0).shape[1:])
            elif name.count(".") < 2 and first is not None:
                note(found.network, name, part, args, first.permute(1, 2, 0))

        with watched(model.network, see):
            model.network(torch.full((1, COLUMNS), 128), condition)
    return found


def note(stages: list[Stage], name: str, part: nn.Module, args: tuple[Any, ...], out: Any) -> None:
    """Write a call down, without the batch dimension."""
    size = tuple((out[0] if isinstance(out, tuple) else out).shape[1:])
    stages.append(Stage(name, type(part).__name__, size))


@contextmanager
def watched(module: nn.Module, see: Any) -> Iterator[None]:
    """Let `see(name, part, args, output)` know of every call of a part."""
    hooks = [
        part.register_forward_hook(partial(lambda name, part, args, out: see(name, part, args, out), name))
        for name, part in module.named_modules()
        if name
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class Canvas:
    """Boxes in rows and arrows between them, as SVG whose text stays text.

    Args:
        width: in inches, as all lengths are.
        height: the same.
    """

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height), facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.axis("off")

    def box(self, x: float, y: float, width: float, text: str, colour: str) -> None:
        """One box, `HEIGHT` high, whose lower left corner is at x, y."""
        style = "round,pad=0,rounding_size=0.06"
        self.axes.add_patch(
            FancyBboxPatch((x, y), width, HEIGHT, style, facecolor=colour, edgecolor=INK, lw=0.8)
        )
        self.axes.text(x + width / 2, y + HEIGHT / 2, text, ha="center", va="center", fontsize=7.5, color=INK)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
        """From start to end."""
        self.axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.0})

    def row(self, y: float, texts: list[str], colour: str) -> list[float]:
        """Boxes from left to right with arrows between them; returns the middles."""
        width = (WIDTH - 2 * MARGIN - (MOST - 1) * GAP) / MOST
        lefts = [MARGIN + number * (width + GAP) for number in range(len(texts))]
        for left, text in zip(lefts, texts, strict=True):
            self.box(left, y, width, text, colour)
        for left in lefts[1:]:
            self.arrow((left - GAP, y + HEIGHT / 2), (left, y + HEIGHT / 2), INK)
        return [left + width / 2 for left in lefts]

    def save(self, path: Path) -> None:
        """The same bytes for the same picture."""
        with matplotlib.rc_context(
            {"svg.fonttype": "none", "svg.hashsalt": "models", "font.family": "sans-serif"}
        ):
            self.figure.savefig(path, metadata={"Date": None, "Creator": None})


WIDTH, MARGIN, GAP, HEIGHT, ROW = 12.0, 0.2, 0.22, 0.62, 1.05
MOST = 9
"""Boxes in a row."""
INK, TOLD, SUM, AUDIO, ENTERS = "#22223b", "#e9e3f5", "#c9b6e8", "#e3eef5", "#5b2a86"


def draw(found: Trace, title: str, path: Path) -> None:
    """One picture: a row for each input, their sum, and the network below."""
    rows = len(found.told) + (found.condition is not None) + 1
    canvas = Canvas(WIDTH, rows * ROW + 0.5)
    top = rows * ROW - 0.75
    canvas.axes.text(MARGIN, top + HEIGHT + 0.22, title, fontsize=10, fontweight="bold", color=INK)
    # The longest on top: what goes down from its end passes the others by.
    told = sorted(found.told.values(), key=len, reverse=True)
    heights = [top - number * ROW for number in range(rows)]
    ends = [
        canvas.row(y, [stage.text for stage in stages], TOLD)[-1]
        for stages, y in zip(told, heights, strict=False)
    ]
    texts, shown = network_row(found)
    middles = canvas.row(heights[-1], texts, AUDIO)
    if found.condition is not None:
        y, parts = heights[-2], list(found.told)
        sum_of = f" = {' + '.join(parts)}" if len(parts) > 1 else ""
        canvas.box(MARGIN, y, WIDTH - 2 * MARGIN, f"condition {shape(found.condition)}{sum_of}", SUM)
        for x, end in zip(ends, heights, strict=False):
            canvas.arrow((x, end), (x, y + HEIGHT), ENTERS)
        for name, middle in zip(shown, middles, strict=True):
            if name in found.entered:
                canvas.arrow((middle, y), (middle, heights[-1] + HEIGHT), ENTERS)
        sizes = " or ".join(sorted({shape(size) for size in found.entered.values()}))
        words = (
            f"a 1 × 1 convolution to {sizes} in each\nof {len(found.entered)} layers, added before the gate"
        )
        canvas.axes.text(MARGIN, y - 0.22, words, fontsize=7.5, color=ENTERS, va="center")
    canvas.save(path)


def network_row(found: Trace) -> tuple[list[str], list[str]]:
    """Texts of the network's boxes, and the modules they show: the first layers, and the last for all others."""
    layers = [stage for stage in found.network if stage.name.startswith("layers.")]
    left_out = layers[2:-1]
    stages = [stage for stage in found.network if stage not in left_out]
    texts = [f"codes\n{COLUMNS}", *(stage.text for stage in stages)]
    names = ["", *(stage.name for stage in stages)]
    place = names.index(layers[-1].name)
    return [*texts[:place], f"…\n{len(left_out)} more", *texts[place:]], [*names[:place], "", *names[place:]]


def build(name: str) -> Model:
    """The model of a picture."""
    config, *changes = MODELS[name]
    return Model(load_config([config], ["data.path=.", *changes]), sample_rate=SAMPLE_RATE, labels=LABELS)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        model = build(name)
        kind = MODULES[model.config.model.kind].__name__
        told = " and ".join(model.input_names) or "nothing"
        draw(trace(model), f"{kind}, told {told} (configs/{MODELS[name][0]}.yaml)", FOLDER / f"{name}.svg")
        print(FOLDER / f"{name}.svg")
