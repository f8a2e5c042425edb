"""Sets that no node holds, on one node and on a thousand: simulated, and on one node for real.

    python benchmarks/data_scale.py --json scale.json           # the simulation
    python benchmarks/data_scale.py --real --json scale.json    # a slow server on this machine, beside webdataset

The simulation asks the product's own order and the agenda of its cache; only the network, the disk and the training
are made up. With --real each row says how long it takes in the simulation, too, and a real training how long it waits.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.command import wavenet_pl
from benchmarks.data_costs import pace
from benchmarks.data_node import Circumstances, Costs, MadeSet, Node
from benchmarks.data_readers import BATCH, WINDOW
from benchmarks.data_server import ROOT, slow_server
from benchmarks.records import Records, build_parser, print_table, run, workplace
from data_prep.corpora import DEMO
from wavenet_pl.audio.reading import read_audio
from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.shards.index import INDEX_NAME
from wavenet_pl.tracking.rows import read_metrics

GIB = 2**30
NODES = (1, 4, 16, 64, 256, 1024)
RECORDINGS = (300_000, 1_000_000, 5_000_000, 100_000_000)
RANKS, ROWS, WORKERS, CORES = 8, 64, 4, 64
"""Of a node."""
CROP, LANES = 16_000, 4
SAMPLES_PER_SECOND = 12e6
"""That a node with eight fast GPUs trains on."""
LATENCY, BANDWIDTH, STORAGE, DISK = 0.03, 1e9, 100e9, 1000 * GIB
"""Of the storage, of a node's network, of all nodes together, and of a node's disk."""
CROP_SECONDS = 1e-3
"""Of a core, for a crop."""
BATCHES = 600
WAIT, READ = 0.02, 1.5
"""More is more than is bearable: of the time waited for data, and of bytes read for each that is used."""
REAL_BANDWIDTH = 100e6


def simulate(recordings: int, nodes: int, batches: int) -> dict[str, Any]:
    """The first node of so many."""
    made = MadeSet(recordings=recordings, seconds=12, per_shard=128)
    facts = Circumstances(
        ranks=range(RANKS), world_size=RANKS * nodes, batch_size=ROWS * nodes, crop_samples=CROP, window=LANES,
        workers=WORKERS, latency=LATENCY, bandwidth=min(BANDWIDTH, STORAGE / nodes), disk=DISK,
        step_seconds=ROWS * CROP / SAMPLES_PER_SECOND, costs=Costs(crop=CROP_SECONDS), cores=CORES,
    )  # fmt: skip
    node = Node(made, facts)
    need, ratio = node.agenda.need(0), node.read() / node.used
    seen = node.run(batches)
    breaks = [
        text
        for text, so in (
            ("the cache is larger than the disk", need > DISK),
            (f"reads more than {READ:g} bytes for each that it uses", ratio > READ),
            (f"waits for more than {WAIT:.0%} of the time", seen["waited"] > WAIT),
        )
        if so
    ]
    return {
        "read_per_used": ratio,
        "requests_per_second": nodes * seen["requests"] / seen["seconds"],
        "cache_gib": need / GIB,
        "first_batch_s": seen["first_batch_s"],
        "waited": seen["waited"],
        "breaks": "; ".join(breaks) or "no",
    }


def write_set(folder: Path, seconds: int, minutes: int) -> Path:
    """Speech that comes with the project, in recordings of one length."""
    data = folder / f"set-{seconds}"
    if not (data / INDEX_NAME).exists():
        rate, source = 16_000, folder / f"source-{seconds}"
        source.mkdir(exist_ok=True)
        speech = np.concatenate([read_audio(str(path), rate) for path in sorted(DEMO.rglob("*.flac"))])
        speech = np.resize(speech, 60 * minutes * rate)
        for number, audio in enumerate(speech.reshape(-1, seconds * rate)):
            soundfile.write(source / f"{number:05d}.flac", audio, rate)
        split = [
            "--val-fraction",
            "0.02",
            "--test-fraction",
            "0",
            "--recordings-per-shard",
            str(96 // seconds),
        ]
        wavenet_pl(folder, ["prepare", "folder", str(source), str(data), *split])
    return data


def read(
    who: str, url: str, cache: Path, crop_samples: int, workers: int, epochs: int, shards: list[str]
) -> Any:
    """(epochs, 3) seconds to the first batch and to the last, and batches, of a process of its own."""
    command = [
        sys.executable, "-m", "benchmarks.data_readers", who, url, str(cache), str(crop_samples), str(workers),
        str(epochs),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, input=json.dumps(shards), stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def costs_of(folder: Path, seconds: int, crop_samples: int, minutes: int) -> dict[str, float]:
    """What reading costs a core of this machine."""
    data, cache = write_set(folder, seconds, minutes), folder / f"cache-{seconds}-{crop_samples}-costs"
    shutil.rmtree(cache, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.data_costs", str(data), str(cache), str(crop_samples)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    costs: dict[str, float] = json.loads(done.stdout)
    return costs


def for_real(
    folder: Path, seconds: int, crop_samples: int, workers: int, minutes: int, costs: dict[str, float]
) -> dict[str, Any]:
    """Ours beside webdataset, and what the simulation says of ours."""
    data = write_set(folder, seconds, minutes)
    config = DataConfig(path=str(data), window=WINDOW, crop_samples=crop_samples, batch_size=BATCH)
    module = AudioDataModule(config, receptive_field=1, seed=0)
    split, plan = module.splits["train"], module.plan("train", 0)
    names = [shard.name for shard in split.shards]
    audio = sum(span.size for _, span in (split[each].audio for each in range(len(split))))
    with slow_server(data, LATENCY, REAL_BANDWIDTH) as server:
        cache = folder / f"cache-{seconds}-{crop_samples}-{workers}"
        shutil.rmtree(cache, ignore_errors=True)  # what an interrupted start left would be near already
        before, paces = server.counts()[0], [pace(data)]
        far, near = read("ours", server.url, cache, crop_samples, workers, 2, names)
        paces.append(pace(data))
        sent = server.counts()[0] - before
        [other] = read("webdataset", server.url, cache, crop_samples, workers, 1, names)
    epochs = {"far": far, "near": near, "webdataset": other}
    made = MadeSet(
        recordings=len(split), seconds=plan.predictions / len(split) / module.sample_rate, per_shard=96 // seconds,
        bytes_per_sample=audio / plan.predictions,
    )  # fmt: skip
    facts = Circumstances(
        ranks=range(1), world_size=1, batch_size=BATCH, crop_samples=crop_samples, window=WINDOW, workers=workers,
        latency=LATENCY, bandwidth=REAL_BANDWIDTH, disk=DISK, step_seconds=0.0, decoded=True,
        costs=Costs(**{each.name: costs[each.name] * np.mean(paces) / costs["pace"] for each in fields(Costs)}),
        cores=len(os.sched_getaffinity(0)),
    )  # fmt: skip
    simulated = Node(made, facts).run(plan.num_batches)
    rates = {name: (count - 1) / (last - first) for name, (first, last, count) in epochs.items()}
    return {
        "read_per_used": sent / audio,
        "first_batch_s": epochs["far"][0],
        **{f"batches_per_second_{name}": rate for name, rate in rates.items()},
        "ratio": rates["far"] / rates["webdataset"],
        "simulated_by_real": float(
            rates["far"] * (simulated["seconds"] - simulated["first_batch_s"]) / (plan.num_batches - 1)
        ),
    }


def train(folder: Path, steps: int, minutes: int) -> dict[str, Any]:
    """A real training of the `small` config on a set behind the server: how much of its time it waits for data."""
    data = write_set(folder, 12, minutes)
    runs, cache = folder / f"runs-{steps}", folder / "cache-training"
    for earlier in (runs, cache):
        shutil.rmtree(earlier, ignore_errors=True)
    with slow_server(data, LATENCY, REAL_BANDWIDTH) as server:
        settings = {
            "data.path": server.url, "data.cache": cache, "data.window": WINDOW,
            "data.num_workers": 1, "trainer.max_steps": steps, "trainer.limit_val_batches": 0,
            "trainer.accelerator": "cpu", "samples.every_n_steps": 0, "wandb.mode": "disabled",
        }  # fmt: skip
        words = [f"{name}={value}" for name, value in settings.items()]
        wavenet_pl(folder, ["train", "unconditional", "small", *words, "--runs", str(runs)])
    [run_folder] = runs.glob("*/metrics.jsonl")
    rows = [row for row in read_metrics(run_folder) if "perf/data_wait" in row]
    return {
        "predictions_per_second": rows[-1]["perf/samples_per_second"],
        "data_wait": max(row["perf/data_wait"] for row in rows),
    }


def main(args: argparse.Namespace) -> int:
    """Measure what is missing, and show all."""
    records, rows = Records(args.json), []
    if args.real:
        minutes = 8 if args.quick else 64
        sizes = [(12, CROP, 2)] if args.quick else [*product((12, 60), (4_000, CROP), (0, 2, 4))]
        with workplace(args.folder) as folder:
            for seconds, crop_samples, workers in sizes:
                facts = {"recording_s": seconds, "crop_samples": crop_samples, "minutes": minutes}
                measure = partial(costs_of, folder, seconds, crop_samples, minutes)
                costs = records.measure({"benchmark": "data_scale_costs", **facts}, measure)
                measure = partial(for_real, folder, seconds, crop_samples, workers, minutes, costs)
                rows.append(
                    records.measure({"benchmark": "data_scale_real", "workers": workers, **facts}, measure)
                )
            steps = 50 if args.quick else 150
            facts = {"benchmark": "data_scale_training", "steps": steps, "minutes": minutes}
            rows.append(records.measure(facts, partial(train, folder, steps, minutes)))
    else:
        batches = 60 if args.quick else BATCHES
        for recordings, nodes in product(RECORDINGS[: 1 if args.quick else None], NODES):
            facts = {"benchmark": "data_scale", "recordings": recordings, "nodes": nodes, "batches": batches}
            rows.append(records.measure(facts, partial(simulate, recordings, nodes, batches)))
            print(
                f"{recordings:,} recordings, {nodes} nodes: {rows[-1]['breaks']}", file=sys.stderr, flush=True
            )
    print_table(rows)
    return 0


if __name__ == "__main__":
    parser = build_parser("sets that no node holds, on one node and on a thousand")
    parser.add_argument("--real", action="store_true", help="one node, with a slow server on this machine")
    run(main, parser.parse_args())
