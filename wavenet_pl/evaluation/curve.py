"""The curve of bits against context, as an SVG that takes its colours from the page around it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wavenet_pl.evaluation.context import ContextPoint, effective_receptive_field

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 32, 34, 48


def draw_curve(points: Sequence[ContextPoint], receptive_field: int) -> str:
    """An SVG element: context doubles with each step to the right; the band is the interval over recordings.

    Args:
        points: at least one.
        receptive_field: nominal, in samples; marked, as is the effective one.
    """
    lows, highs = zip(
        *((_finite(p.bits.low, p.bits.mean), _finite(p.bits.high, p.bits.mean)) for p in points), strict=True
    )
    bottom, top = min(lows), max(max(highs), min(lows) + 0.1)
    most = math.log2(points[-1].context) or 1.0

    def place(context: float, bits: float) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log2(context) / most
        return x, _TOP + (_HEIGHT - _TOP - _BOTTOM) * (top - bits) / (top - bottom)

    line = [place(point.context, point.bits.mean) for point in points]
    upper = [place(point.context, high) for point, high in zip(points, highs, strict=True)]
    lower = [place(point.context, low) for point, low in zip(points, lows, strict=True)]
    effective = effective_receptive_field(points)
    base = _HEIGHT - _BOTTOM
    marks = [
        f'<path class="{name}" d="M{place(context, top)[0]:.1f} {_TOP - 6}V{base}"/>'
        for name, context in (("nominal", receptive_field), ("effective", effective))
    ]
    step = max(1, round(most / 8))
    ticks = [
        f'<text x="{place(2**power, top)[0]:.1f}" y="{base + 18}" text-anchor="middle">{2**power}</text>'
        for power in range(0, int(most) + 1, step)
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        bits = bottom + share * (top - bottom)
        y = place(1, bits)[1]
        ticks.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        ticks.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{bits:.2f}</text>')
    title = (
        f"Bits per sample against context: {points[0].bits.mean:.2f} with {points[0].context} sample, "
        f"{points[-1].bits.mean:.2f} with {points[-1].context}; {effective} samples are used of {receptive_field}"
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">{"".join(ticks)}'
        f'<polygon class="band" points="{_points([*upper, *reversed(lower)])}"/>'
        f'{"".join(marks)}<polyline class="line" points="{_points(line)}"/>'
        f'<text x="{_LEFT}" y="16">bits per sample</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">samples of context</text></svg>'
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _finite(bound: float, mean: float) -> float:
    return bound if math.isfinite(bound) else mean
