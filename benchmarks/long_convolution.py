"""Why not an FFT? What a convolution costs over the length of its kernel: by FFT, summed up directly, and dilated.

In floating-point operations and in time, forward, in training and sample by sample: they cross at different lengths.

    python benchmarks/long_convolution.py --json long_convolution.json
"""

from __future__ import annotations

import math
import statistics
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.records import Records, build_parser, run
from wavenet_pl.analysis.charts import Series, line_chart
from wavenet_pl.analysis.long_convolution import LongConv1d, fft_length
from wavenet_pl.layers.convolution import CausalConv1d

LENGTHS = tuple(2**power for power in range(1, 12))
CHANNELS, COLUMNS, BATCH = 64, 8192, 2
WAYS = ("FFT", "direct", "dilated")
PURPOSES = ("forward", "training", "generation")


class Direct(nn.Module):
    """The same as a `LongConv1d`, summed up lag by lag."""

    def __init__(self, channels: int, out_channels: int, length: int) -> None:
        super().__init__()
        self.context = length - 1
        self.kernel = nn.Parameter(torch.randn(channels, 1, length) / math.sqrt(length))
        self.mix = nn.Linear(channels, out_channels)

    def forward(self, x_TBC: Tensor, past_PBC: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `LongConv1d.forward`."""
        past_PBC = x_TBC.new_zeros(self.context, *x_TBC.shape[1:]) if past_PBC is None else past_PBC
        whole_TBC = torch.cat([past_PBC, x_TBC])
        made_BCT = F.conv1d(whole_TBC.permute(1, 2, 0), self.kernel, groups=len(self.kernel))
        return self.mix(made_BCT.permute(2, 0, 1)), whole_TBC[len(whole_TBC) - self.context :].detach()


def build(way: str, length: int) -> nn.Module:
    """One layer's convolution from `CHANNELS` to twice as many.

    The dilated one sees the two ends of as long a stretch: what a WaveNet has, whose stack of layers sees all of it.
    """
    if way == "FFT":
        return LongConv1d(CHANNELS, 2 * CHANNELS, length)
    if way == "direct":
        return Direct(CHANNELS, 2 * CHANNELS, length)
    return CausalConv1d(CHANNELS, 2 * CHANNELS, 2, length - 1)


def operations(way: str, length: int, columns: int) -> float:
    """Floating-point operations for each sample, forward; of the matrix over channels as well."""
    mix = 2 * CHANNELS * 2 * CHANNELS
    if way == "FFT":
        size = fft_length(columns + 2 * (length - 1))
        # One transform there, one back, each 2.5 N log2 N for real numbers, and a product of the spectra.
        return mix + CHANNELS * (5 * size * math.log2(size) + 3 * size) / columns
    if way == "direct":
        return mix + 2 * CHANNELS * length
    return 2 * mix


def seconds_of(work: Callable[[], Any], least: float) -> float:
    """The median of several times, over at least so long."""
    work()
    times: list[float] = []
    while sum(times) < least or len(times) < 3:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure(way: str, length: int, purpose: str, least: float) -> dict[str, float]:
    """Seconds for each sample of one clip, and operations."""
    torch.manual_seed(0)
    module = build(way, length)
    columns = 1 if purpose == "generation" else COLUMNS
    x_TBC = torch.randn(columns, BATCH, CHANNELS, requires_grad=purpose == "training")
    _, past = module(torch.randn(length, BATCH, CHANNELS))

    def forward() -> None:
        with torch.inference_mode():
            module(x_TBC, past)

    def training() -> None:
        module(x_TBC, past)[0].sum().backward()

    seconds = seconds_of(training if purpose == "training" else forward, least)
    return {
        "ns_per_sample": 1e9 * seconds / (columns * BATCH),
        "operations": operations(way, length, columns) * (3 if purpose == "training" else 1),
    }


def crossing(rows: list[dict[str, Any]], purpose: str, what: str) -> str:
    """From which length on the FFT costs less than the direct sum."""
    cost = {(row["way"], row["length"]): row[what] for row in rows if row["purpose"] == purpose}
    cheaper = [length for length in LENGTHS if cost.get(("FFT", length), 1) < cost.get(("direct", length), 0)]
    lasting = [
        length
        for length in cheaper
        if all(longer in cheaper for longer in LENGTHS if longer > length and ("FFT", longer) in cost)
    ]
    return f"from {lasting[0]} samples on" if lasting else "at no length"


def main(args: Namespace) -> int:
    """Measure what is not measured yet, print it, and draw it where that is asked for."""
    records = Records(args.json)
    torch.set_num_threads(args.threads)
    lengths = LENGTHS[::4] if args.quick else LENGTHS
    for purpose in PURPOSES:
        for length in lengths:
            for way in WAYS:
                facts = {
                    "benchmark": "long_convolution", "way": way, "length": length, "purpose": purpose,
                    "threads": args.threads, "quick": args.quick,
                }  # fmt: skip
                least = 0.05 if args.quick else 0.5
                records.measure(facts, lambda: measure(way, length, purpose, least))  # noqa: B023
    asked = {"threads": args.threads, "quick": args.quick}
    rows = [row for row in records.of("long_convolution") if asked.items() <= row.items()]
    for purpose in PURPOSES:
        print(f"{purpose}: ns a sample (operations)")
        for length in lengths:
            cells = [
                f"{row['way']} {row['ns_per_sample']:9.1f} ({row['operations']:9.0f})"
                for row in rows
                if row["purpose"] == purpose and row["length"] == length
            ]
            print(f"  {length:5d}  " + "  ".join(cells))
        by_time, by_count = (crossing(rows, purpose, what) for what in ("ns_per_sample", "operations"))
        print(f"  the FFT costs less than the direct sum {by_time}; by operations {by_count}")
    if args.draw is not None:
        args.draw.write_text(draw(rows), encoding="utf-8")
    return 0


def draw(rows: list[dict[str, Any]]) -> str:
    """Costs over the length, by time and by operations, in training."""
    series = [
        Series(
            f"{way}, {name}", [row["length"] for row in chosen], [row[what] for row in chosen],
            dashed=what == "operations",
        )
        for what, name in (("ns_per_sample", "ns"), ("operations", "operations"))
        for way in WAYS
        for chosen in [[row for row in rows if row["way"] == way and row["purpose"] == "training"]]
    ]  # fmt: skip
    return line_chart(series, "samples of the kernel", "for each sample", log_across=True, log_up=True)


if __name__ == "__main__":
    parser = build_parser("what a convolution costs by FFT, directly and dilated")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch (%(default)s)")
    parser.add_argument("--draw", type=Path, metavar="SVG", help="write a chart of it")
    run(main, parser.parse_args())
