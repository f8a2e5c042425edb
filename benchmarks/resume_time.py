"""How long a stopped run waits for its first batch: near the end of an epoch as at its beginning?

Our loader takes its place in the epoch from a checkpoint. Beside it a plain webdataset pipeline gets there by skipping
recordings, which are not even decoded.

    python benchmarks/resume_time.py --recordings 10000
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import soundfile
import webdataset

from benchmarks.records import Progress, Records, build_parser, print_table, run, workplace
from benchmarks.trials import prepare_set
from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.datamodule import AudioDataModule, CropLoader
from wavenet_pl.data.pipeline import Share
from wavenet_pl.shards.index import load_index
from wavenet_pl.shards.shard_set import open_set
from wavenet_pl.signals import interrupts_wait

BATCH_SIZE = 8
PLACES = {"at_0": 0.0, "at_99": 0.99}
"""Shares of the epoch that are over when the run goes on."""


def our_batch(data: Path) -> Callable[[float], Callable[[], object]]:
    """(share of the epoch) -> what makes our loader and takes its first batch."""
    shard_set = open_set(data)
    config = DataConfig(path=str(data), batch_size=BATCH_SIZE, crop_samples=4000, num_workers=0)

    def prepare(share: float) -> Callable[[], object]:
        module = AudioDataModule(
            config, receptive_field=1000, seed=0, shard_set=shard_set
        )  # with no shard open

        def first() -> object:
            loader = CropLoader(
                module.conditions("train", 0), partial(module.plan, "train"), Share(), receptive_field=1000
            )
            loader.load_state_dict({"epoch": 0, "batches": int(share * len(loader))})
            return next(iter(loader))

        return first

    return prepare


def plain_batch(data: Path) -> Callable[[float], Callable[[], object]]:
    """The same of a plain webdataset pipeline."""
    shards = sorted((data / "train").glob("*.tar"))
    recordings = sum(len(shard.recordings) for shard in load_index(data).splits["train"])

    def prepare(share: float) -> Callable[[], object]:
        def first() -> object:
            pipeline = webdataset.DataPipeline(
                partial(opened, shards),
                webdataset.tariterators.tar_file_expander,
                webdataset.tariterators.group_by_keys,
                partial(skipped, int(share * recordings)),
            )
            with interrupts_wait():
                return [
                    soundfile.read(io.BytesIO(sample["flac"]))[0] for sample in islice(pipeline, BATCH_SIZE)
                ]

        return first

    return prepare


def opened(shards: list[Path]) -> Iterator[dict[str, Any]]:
    """Shard after shard, as webdataset's own opener hands them on; that one refuses local files where WDS_SECURE=1."""
    for shard in shards:
        with open(shard, "rb") as stream:
            yield {"url": str(shard), "stream": stream}


def skipped(number: int, samples: Iterator[Any]) -> Iterator[Any]:
    """All but the first."""
    return islice(samples, number, None)


LOADERS = {"CropLoader": our_batch, "webdataset": plain_batch}


def measure(name: str, repeats: int, data: Path) -> dict[str, Any]:
    """Medians over so many fresh loaders, as a flat record."""
    prepare, progress = LOADERS[name](data), Progress(name, repeats)
    seconds: dict[str, list[float]] = {place: [] for place in PLACES}
    read: dict[str, list[int]] = {place: [] for place in PLACES}
    for share in PLACES.values():
        prepare(share)()  # what is imported late and what the system has not cached yet
    for _ in range(repeats):
        for place, share in PLACES.items():  # in turn: a machine that slows down slows all alike
            first, before, began = prepare(share), bytes_read(), time.perf_counter()
            first()
            seconds[place].append(time.perf_counter() - began)
            read[place].append(bytes_read() - before)
        progress.step(", ".join(f"{place} {values[-1]:.3f} s" for place, values in seconds.items()))
    record: dict[str, Any] = {}
    for unit, values in (("seconds", seconds), ("bytes", read)):
        record |= {f"{unit}_{place}": statistics.median_low(values[place]) for place in PLACES}
        record[f"{unit}_ratio"] = record[f"{unit}_at_99"] / record[f"{unit}_at_0"]
    return record


def bytes_read() -> int:
    """How many bytes this process has read, whatever from."""
    return int(Path("/proc/self/io").read_text().split()[1])


def main(args: Any) -> int:
    """Measure what is not measured yet, and print it."""
    recordings = 500 if args.quick else args.recordings
    records = Records(args.json)
    with workplace(args.folder) as folder:
        for name in LOADERS:
            facts = {
                "benchmark": "resume_time",
                "loader": name,
                "recordings": recordings,
                "repeats": args.repeats,
            }
            records.measure(facts, lambda: measure(name, args.repeats, prepare_set(folder, recordings)))  # noqa: B023
    print_table(records.of("resume_time"))
    return 0


if __name__ == "__main__":
    parser = build_parser(
        "how long a stopped run waits for its first batch, near the end of an epoch and at its beginning"
    )
    parser.add_argument("--recordings", type=int, default=10_000, metavar="N", help="of the epoch (10000)")
    parser.add_argument(
        "--repeats",
        type=int,
        default=50,
        metavar="N",
        help="fresh loaders, of whose times the median counts (50)",
    )
    run(main, parser.parse_args())
