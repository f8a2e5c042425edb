"""What one understands after some minutes of training on all cores: networks, crops and rates of a vocoder.

Each row is a training on the demo's recordings as a user starts it, with as many steps as fit in the minutes, down a
cosine to a twentieth of its rate; then recordings that it never saw are resynthesised, and judged as
`wavenet-pl evaluate` judges them.

    python benchmarks/vocoders.py --json vocoders.json --folder runs
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command import train, wavenet_pl
from benchmarks.records import Records, build_parser, run, workplace
from wavenet_pl.evaluation.clips import make_clips
from wavenet_pl.evaluation.judges.intelligibility import EXTENDED_STOI
from wavenet_pl.evaluation.judges.resynthesis import STOI, UNDERSTOOD, Pair, ResynthesisJudge, mean_of
from wavenet_pl.evaluation.recordings import open_recordings
from wavenet_pl.runs.checkpoints import validation_bits
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.runs.loading import load
from wavenet_pl.shards.index import INDEX_NAME
from wavenet_pl.tracking.rows import read_metrics

RECORDINGS, SECONDS = 20, 4.0
TIMED = 14
"""Steps whose time says how many there can be; the first ones warm up."""


@dataclass(frozen=True)
class Row:
    """What differs from the first one."""

    layers: tuple[int, int] = (2, 5)
    """Stacks, and layers of each."""
    channels: tuple[int, int] = (32, 64)
    """Residual and skip channels; gate channels are twice the residual ones."""
    batch: tuple[int, int] = (8, 1000)
    """Crops, and samples of each."""
    condition: int = 32
    """Channels of the condition."""
    more: str = ""

    @property
    def settings(self) -> list[str]:
        """As on the command line."""
        return (
            f"model.network.stacks={self.layers[0]} model.network.layers_per_stack={self.layers[1]} "
            f"model.network.residual_channels={self.channels[0]} model.network.gate_channels={2 * self.channels[0]} "
            f"model.network.skip_channels={self.channels[1]} data.batch_size={self.batch[0]} "
            f"data.crop_samples={self.batch[1]} model.condition.channels={self.condition} {self.more}"
        ).split()


ROWS = {
    "2 x 5 layers": Row(),
    "2 x 5 layers, crops of 2,000": Row(batch=(8, 2000)),
    "2 x 6 layers": Row(layers=(2, 6)),
    "2 x 6 layers, crops of 2,000": Row(layers=(2, 6), batch=(8, 2000)),
    "2 x 7 layers, crops of 2,000": Row(layers=(2, 7), batch=(8, 2000)),
    "2 x 8 layers": Row(layers=(2, 8)),
    "2 x 8 layers, crops of 2,000": Row(layers=(2, 8), batch=(8, 2000)),
    "2 x 8 layers, crops of 2,000, bfloat16": Row(
        layers=(2, 8), batch=(8, 2000), more="trainer.precision=bf16-mixed"
    ),
    "2 x 9 layers, crops of 2,000": Row(layers=(2, 9), batch=(8, 2000)),
    "1 x 9 layers": Row(layers=(1, 9)),
    "2 x 7 layers of 48, crops of 2,000": Row(layers=(2, 7), channels=(48, 96), batch=(8, 2000)),
    "condition of 64": Row(condition=64),
    "condition of 16": Row(condition=16),
    "rate 8e-3": Row(more="optim.lr=8e-3"),
    "rate 2.4e-2": Row(more="optim.lr=2.4e-2"),
    "one layer of frames": Row(more="model.condition.frame_layers=1"),
    "average of weights": Row(more="optim.ema_decay=0.99"),
}
COMMON = [
    "model.kind=speaker",
    "model.condition.inputs=[mel]",
    "data.num_workers=1",
    "optim.kind=muon",
    "optim.weight_decay=0.1",
    "optim.schedule=cosine",
    "optim.final_lr_fraction=0.05",
    "samples.every_n_steps=0",
    "wandb.mode=disabled",
    "trainer.gradient_clip_val=1.0",
    "trainer.check_val_every_n_epoch=null",
    "trainer.enable_progress_bar=false",
]


def trained(folder: Path, data: Path, settings: Sequence[str], steps: int, name: str) -> RunFolder:
    """A run of so many steps, or what an interrupted start left of it."""
    return train(folder, [
        f"name={name}", f"data.path={data}", f"optim.decay_steps={steps}", f"trainer.max_steps={steps}",
        f"optim.warmup_steps={min(50, steps // 2)}", f"trainer.val_check_interval={steps}", "--runs", f"runs/{name}",
        *COMMON, *settings,
    ])  # fmt: skip


def seconds_per_step(folder: Path, data: Path, settings: Sequence[str], name: str) -> float:
    """The median of a few steps."""
    run = trained(folder, data, settings, TIMED, f"{name}-timed")
    times = [row["time"] for row in read_metrics(run.metrics) if "train/loss" in row]
    return statistics.median(after - before for before, after in itertools.pairwise(times[3:]))


def measure(
    folder: Path, data: Path, row: Row, name: str, minutes: float, temperatures: Sequence[float]
) -> dict[str, Any]:
    """Trains, resynthesises and judges."""
    settings = ["optim.lr=1.6e-2", *row.settings]
    seconds = seconds_per_step(folder, data, settings, name)
    steps = max(20, round(60 * minutes / seconds))
    done = trained(folder, data, settings, steps, name)
    model = load(done.path)
    found = open_recordings(model, name, str(data), "val", seed=0, max_seconds=3600, lang=None)
    judge = ResynthesisJudge(model.sample_rate, model.through_codec)
    judge.measures = {measure: judge.measures[measure] for measure in (STOI, EXTENDED_STOI)}
    english = {found.drawn[position].key for position in found.english}
    record: dict[str, Any] = {
        "steps": steps, "step_s": seconds, "parameters": model.num_parameters,
        "bits": min(validation_bits(done, model.comparable_key).values(), default=math.nan),
    }  # fmt: skip
    for temperature in temperatures:
        clips, speed = make_clips(
            model, found.drawn, seconds=SECONDS, count=min(RECORDINGS, len(found.drawn)), seed=0,
            temperature=temperature, progress=lambda share: None,
        )  # fmt: skip
        pairs = [Pair(clip.recorded, clip.generated, clip.key in english) for clip in clips]
        record[f"real_time_{temperature:g}"] = speed.real_time_factor
        for measure, tallies in judge.tallies(pairs).items():
            record[f"{measure}_{temperature:g}"] = mean_of(tallies).mean
    return record


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it all."""
    records, minutes = Records(args.json), 0.1 if args.quick else args.minutes
    with workplace(args.folder) as folder:
        data = folder / "data" / f"demo-{args.sample_rate}"
        if not (data / INDEX_NAME).exists():  # which is written last
            wavenet_pl(folder, [
                "prepare", "demo", str(data), "--mel", "--val-fraction", "0.1",
                "--sample-rate", str(args.sample_rate),
            ])  # fmt: skip
        for name in args.only or ROWS:
            slug = "".join(letter if letter.isalnum() else "-" for letter in f"{name} {args.sample_rate}")
            facts = {
                "benchmark": "vocoders", "who": name, "minutes": minutes, "sample_rate": args.sample_rate,
                "cores": len(os.sched_getaffinity(0)),
            }  # fmt: skip
            records.measure(
                facts, lambda: measure(folder, data, ROWS[name], slug, minutes, args.temperature)  # noqa: B023
            )  # fmt: skip
    for record in records.of("vocoders"):
        who, rate = f"{record['who']:40s}", f"{record['sample_rate']} Hz"
        parts = [
            f"{who} {rate}, {record['minutes']:g} min, {record['steps']:5d} steps, {record['bits']:.3f} bits"
        ]
        for temperature in args.temperature:
            values = (
                record.get(f"{measure}_{temperature:g}", math.nan)
                for measure in (STOI, EXTENDED_STOI, UNDERSTOOD)
            )
            parts.append(f"T {temperature:g}: " + " ".join(f"{value:.3f}" for value in values))
        print("  ".join(parts))
    return 0


if __name__ == "__main__":
    parser = build_parser("what is understood of vocoders after some minutes of training")
    parser.add_argument("--sample-rate", type=int, default=8000, metavar="HZ", help="(%(default)d)")
    parser.add_argument("--minutes", type=float, default=4.5, help="of training (%(default)g)")
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.6, 0.8], metavar="T")
    parser.add_argument("--only", nargs="+", choices=sorted(ROWS), help="some of the rows")
    run(main, parser.parse_args())
