"""The curve of bits against context: positions and words in the drawing that `curve.svg.j2` makes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wavenet_pl.evaluation.context import ContextPoint, effective_receptive_field

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 608, 34, 252
"""Edges of the plot within the drawing, from its upper left corner."""


@dataclass(frozen=True)
class Curve:
    """Context doubles with each step to the right; the band is the interval over recordings. Places are SVG's."""

    label: str
    """All of it in one sentence."""
    line: str
    band: str
    nominal: str
    """How far to the right the nominal receptive field is."""
    effective: str
    """The same of the effective one."""
    across: tuple[tuple[str, str], ...]
    """(x, samples of context) of each tick."""
    up: tuple[tuple[str, str], ...]
    """(y, bits) of each line of the grid."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


def lay_out_curve(points: Sequence[ContextPoint], receptive_field: int) -> Curve:
    """Where everything is.

    Args:
        points: at least one.
        receptive_field: nominal, in samples; marked, as is the effective one.
    """
    lows = [_finite(point.bits.low, point.bits.mean) for point in points]
    highs = [_finite(point.bits.high, point.bits.mean) for point in points]
    least, most = min(lows), max(*highs, min(lows) + 0.1)
    doublings = math.log2(points[-1].context) or 1.0

    def x(context: float) -> float:
        return LEFT + (RIGHT - LEFT) * math.log2(context) / doublings

    def y(bits: float) -> float:
        return TOP + (BOTTOM - TOP) * (most - bits) / (most - least)

    xs = [x(point.context) for point in points]
    upper, lower = list(map(y, highs)), list(map(y, lows))
    effective = effective_receptive_field(points)
    step = max(1, round(doublings / 8))
    grid = [least + share * (most - least) for share in (0, 0.25, 0.5, 0.75, 1)]
    first, last = points[0], points[-1]
    return Curve(
        label=(
            f"Bits per sample against context: {first.bits.mean:.2f} with {first.context} "
            f"{'sample' if first.context == 1 else 'samples'}, {last.bits.mean:.2f} with {last.context}; "
            f"{effective} of {receptive_field} samples are used"
        ),
        line=_path(xs, [y(point.bits.mean) for point in points]),
        band=_path([*xs, *reversed(xs)], [*upper, *reversed(lower)]),
        nominal=f"{x(receptive_field):.1f}",
        effective=f"{x(effective):.1f}",
        across=tuple((f"{x(2**power):.1f}", f"{2**power}") for power in range(0, int(doublings) + 1, step)),
        up=tuple((f"{y(bits):.1f}", f"{bits:.2f}") for bits in grid),
    )


def _path(xs: Sequence[float], ys: Sequence[float]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))


def _finite(bound: float, mean: float) -> float:
    return bound if math.isfinite(bound) else mean
