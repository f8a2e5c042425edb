"""Charts as SVG, whose colours follow the reader's scheme: lines, a matrix, bars."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.pictures import plain_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {
    "#010101": ("#22223b", "#ececf4"), "#020202": ("#c9c9d4", "#4a4a5c"), "#030303": ("#5b2a86", "#c39bea"),
    "#040404": ("#0b7a75", "#4fd1c5"), "#050505": ("#b5520a", "#f6ad55"), "#060606": ("#3a5bbf", "#8ab4f8"),
    "#070707": ("#a3210f", "#ff9c8a"), "#080808": ("#4d7c0f", "#bef264"), "#090909": ("#8a8a9c", "#8a8a9c"),
}  # fmt: skip
"""What a chart is drawn with -> what is seen in a light and in a dark scheme."""
INK, GRID, *SERIES = _COLOURS
"""Of text and axes, of lines behind, and of one series after another; the last is for controls."""
CONTROL = SERIES[-1]
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GRID, "xtick.color": GRID,
    "ytick.color": GRID, "xtick.labelcolor": INK, "ytick.labelcolor": INK, "grid.color": GRID, "grid.linewidth": 0.5,
    "legend.frameon": False, "legend.fontsize": 8.5, "figure.constrained_layout.use": True,
}  # fmt: skip


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    """Empty for one that the legend does not name again."""
    x: Sequence[float]
    y: Sequence[float]
    control: bool = False
    """Drawn thin and grey."""
    dashed: bool = False


def line_chart(
    series: Sequence[Series],
    across: str,
    up: str,
    *,
    log_across: bool = False,
    log_up: bool = False,
    levels: Mapping[str, float] | None = None,
) -> str:
    """Lines over one axis, with named horizontal ones."""

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import NullFormatter

        colours = iter(SERIES[:-1] * 4)
        for each in series:
            colour = CONTROL if each.control else next(colours)
            axes.plot(
                each.x, each.y, color=colour, label=each.name or None, linewidth=0.8 if each.control else 1.6,
                linestyle="--" if each.dashed else "-", marker="" if len(each.x) > 40 else ".",
            )  # fmt: skip
        for (name, height), dashes in zip((levels or {}).items(), (":", "-.", "--") * 2, strict=False):
            axes.axhline(height, color=INK, linewidth=0.9, linestyle=dashes, label=name)
        for logarithmic, set_scale, axis in (
            (log_across, axes.set_xscale, axes.xaxis), (log_up, axes.set_yscale, axes.yaxis)
        ):  # fmt: skip
            if logarithmic:
                set_scale("log")
                axis.set_major_formatter(lambda value, _: f"{value:g}")
                axis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y")
        axes.set(xlabel=across, ylabel=up)
        if any(each.name for each in series) or levels:
            _name_series(axes)

    return _chart(draw, 7.2, 3.4)


def matrix_chart(
    values: npt.ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    across: str,
    up: str,
    meaning: str,
    *,
    outlined: Sequence[tuple[int, int]] = (),
    span: tuple[float, float] | None = None,
) -> str:
    """A matrix in colours over a span, or on both sides of 0 as far as it goes; cells (row, column) of it outlined."""
    array = np.asarray(values, dtype=float)
    finite = np.abs(array[np.isfinite(array)])
    most = float(finite.max()) if len(finite) else 1.0
    low, high = span or (-most, most)

    def draw(axes: Axes) -> None:
        from matplotlib.patches import Rectangle

        drawn = axes.imshow(
            array, cmap="PuOr" if low == -high else "viridis", vmin=low, vmax=high, aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        for row, column in outlined:
            axes.add_patch(
                Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#d02020", linewidth=1.4)
            )
        every = math.ceil(len(rows) / 15)
        axes.set_yticks(range(0, len(rows), every), rows[::every])
        axes.set_xticks(range(len(columns)), columns)
        axes.set(xlabel=across, ylabel=up)
        bar = axes.figure.colorbar(drawn, ax=axes)
        bar.set_label(meaning)
        bar.outline.set_edgecolor(GRID)  # type: ignore[operator]

    return _chart(draw, 7.2, max(2.4, 0.9 + 0.17 * len(rows)))


def bar_chart(
    names: Sequence[str],
    groups: Mapping[str, Sequence[float]],
    across: str,
    up: str,
    levels: Mapping[str, float] | None = None,
) -> str:
    """Groups of bars side by side."""

    def draw(axes: Axes) -> None:
        width = 0.8 / len(groups)
        for number, ((name, heights), colour) in enumerate(
            zip(groups.items(), SERIES[:-1] * 2, strict=False)
        ):
            positions = np.arange(len(names)) + (number - (len(groups) - 1) / 2) * width
            axes.bar(positions, heights, width, color=colour, label=name)
        for (name, height), dashes in zip((levels or {}).items(), (":", "-.", "--") * 2, strict=False):
            axes.axhline(height, color=INK, linewidth=0.9, linestyle=dashes, label=name)
        every = math.ceil(len(names) / 20)
        axes.set_xticks(range(0, len(names), every), names[::every])
        if sum(map(len, names)) > 90:
            axes.tick_params(axis="x", labelrotation=20)
        axes.grid(axis="y")
        axes.set(xlabel=across, ylabel=up)
        if len(groups) > 1 or levels:
            _name_series(axes)

    return _chart(draw, 7.2, 3.2)


def _name_series(axes: Axes) -> None:
    """Above the chart, where nothing is hidden."""
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, loc="outside upper left", ncols=3)  # type: ignore[union-attr]


def _chart(draw: Callable[[Axes], None], width: float, height: float) -> str:
    """The text of an SVG that stands for itself."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    file = io.StringIO()
    with plain_style(), rc_context({**_STYLE, "svg.hashsalt": "wavenet_pl"}):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_facecolor("none")
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        draw(axes)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    for number, colour in enumerate(_COLOURS):
        text = text.replace(colour, f"var(--c{number})")
    light, dark = (
        ";".join(f"--c{number}:{pair[scheme]}" for number, pair in enumerate(_COLOURS.values()))
        for scheme in (0, 1)
    )
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    return re.sub(r"(<svg[^>]*>)", rf"\1{style}", text, count=1)
