"""What an index of millions costs: to open it, in every process of a training, until the first batch; and to write it.

The indexes are written by the package from made-up rows. Of their shards, files of holes, only those recordings are
there that a start reads: so a training begins for real, on two ranks with two workers each. Beside the large sets is
one of a thousand recordings, by the same command. Then `prepare` and `merge` of tiny recordings.

    python benchmarks/index_scale.py --json index.json
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import Progress, Records, build_parser, print_table, run, workplace
from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.errors import UserError
from wavenet_pl.shards.format import Span, encode_audio
from wavenet_pl.shards.index import INDEX_NAME, Index, load_index, save_index
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.lazily import Lazily
from wavenet_pl.shards.recording import Recording, Shard

SIZES, QUICK_SIZES = (1_000, 1_000_000, 5_000_000), (1_000, 20_000)
PREPARED, QUICK_PREPARED = (50_000, 200_000), (60, 240)
RATE, FRAMES, PER_SHARD, SPEAKERS, BATCH = 8_000, 33_600, 156, 997, 4
BASELINES = 1_000
"""Recordings at the beginning that a start reads, to know what simple models reach."""
BATCHES = 40
"""More than workers read ahead of the first one."""
SETTINGS = (
    f"data.crop_samples={FRAMES}", f"data.batch_size={BATCH}", "data.num_workers=2", "seed=0",
    "model.network.stacks=1", "model.network.layers_per_stack=3", "model.network.residual_channels=4",
    "model.network.gate_channels=8", "model.network.skip_channels=4", "samples.every_n_steps=0",
    "wandb.mode=disabled", "train.threads=1", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_steps=1",
)  # fmt: skip


def members_of(key: str) -> dict[str, bytes]:
    """What each recording has: two seconds of a tone, and who speaks."""
    tone = np.round(3_000 * np.sin(np.arange(FRAMES) * 0.3)).astype(np.int16)
    return {"flac": encode_audio(tone, RATE), "json": json.dumps({"speaker": key.split("/")[0]}).encode()}


def key_of(number: int) -> str:
    """The key of a recording; all are as long."""
    return f"speaker{number % SPEAKERS:04d}/utterance-{number:08d}"


def tar_of(key: str, members: dict[str, bytes]) -> bytes:
    """The part of a shard that holds one recording."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for extension, content in members.items():
            member = tarfile.TarInfo(f"{key}.{extension}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        return file.getvalue()[: tar.offset]


class MadeSet:
    """A set of so many recordings, of which few are there.

    Args:
        folder: of the set.
        recordings: to train on.
    """

    def __init__(self, folder: Path, recordings: int) -> None:
        self.folder, self.recordings = folder, recordings
        self._audio = members_of(key_of(0))["flac"]
        self._size = len(tar_of(key_of(0), members_of(key_of(0))))

    def write(self) -> None:
        """The index, and what a start reads."""
        shards = -(-self.recordings // PER_SHARD)
        splits = {"train": Lazily(shards, partial(self._shard, "train")), "val": (self._shard("val", 0, 4),)}
        names = tuple(f"speaker{number:04d}" for number in range(SPEAKERS))
        save_index(Index(sample_rate=RATE, splits=splits, labels=Labels({"speaker": names})), self.folder)
        data = AudioDataModule(
            DataConfig(path=str(self.folder), batch_size=BATCH, crop_samples=FRAMES),
            receptive_field=1,
            seed=0,
        )
        plan = data.plan("train", 0)
        batches = [plan.batch(number) for number in range(min(BATCHES, plan.num_batches))]
        first = plan.windows(np.concatenate(batches)).recording
        wanted = {*range(min(BASELINES, self.recordings)), *first[first >= 0].tolist()}
        self._fill("train", sorted(wanted))
        self._fill("val", range(4))

    def _shard(self, split: str, number: int, per_shard: int = PER_SHARD) -> Shard:
        first = number * per_shard
        count = min(per_shard, (self.recordings if split == "train" else 4) - first)
        recordings = []
        for position in range(count):
            key, begin = key_of(first + position), position * self._size
            text = json.dumps({"speaker": key.split("/")[0]}).encode()
            audio = Span(begin + 512, len(self._audio), zlib.crc32(self._audio))
            beside = Span(begin + self._size - 512, len(text), zlib.crc32(text))
            row = (first + position) % SPEAKERS
            recordings.append(Recording(key, FRAMES, {"speaker": (row,)}, {"flac": audio, "json": beside}))
        return Shard(
            f"{split}/shard-{number:06d}.tar", count * self._size + 1_024, f"{number:064x}", recordings
        )

    def _fill(self, split: str, numbers: Iterable[int]) -> None:
        for number in numbers:
            path = self.folder / split / f"shard-{number // PER_SHARD:06d}.tar"
            path.parent.mkdir(exist_ok=True)
            with open(os.open(path, os.O_RDWR | os.O_CREAT), "r+b") as file:
                file.seek(number % PER_SHARD * self._size)
                file.write(tar_of(key_of(number), members_of(key_of(number))))


def measure_opening(made: MadeSet, repeats: int) -> dict[str, Any]:
    """How long it takes to open and check an index, and how large it is."""
    began = time.process_time()
    made.folder.mkdir(parents=True, exist_ok=True)
    made.write()
    written = time.process_time() - began
    times = []
    for _ in range(repeats):
        began = time.process_time()
        load_index(made.folder)
        times.append(time.process_time() - began)
    return {
        "bytes a recording": (made.folder / INDEX_NAME).stat().st_size / made.recordings,
        "to write, s": written,
        "to open and check, s": min(times),
    }


def measure_start(made: MadeSet) -> dict[str, Any]:
    """When a training has its first step done, and the memory that its processes have to themselves."""
    place = made.folder.with_name(f"{made.folder.name}-run-{time.time_ns()}")
    place.mkdir()
    command = [sys.executable, "-m", "wavenet_pl", "train", f"data.path={made.folder}", *SETTINGS]
    began = time.time()
    with subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        watch = Watch(process.pid, "VmRSS", "RssAnon")
        assert process.stdout is not None
        said = process.stdout.read()
    watch.end()
    if process.returncode:
        raise UserError(f"`wavenet-pl train` ended with {process.returncode}: {said[-1_000:]}")
    [metrics] = place.glob("runs/*/metrics.jsonl")
    step = json.loads(metrics.read_text().splitlines()[0])
    mib = {f"{kind}, {memory}, MiB": most for (kind, memory), most in sorted(watch.most.items())}
    return {"to the first step, s": step["time"] - began, **mib}


class Watch:
    """Looks at a process and all below it as long as it runs: the most memory that one of a kind had.

    Args:
        process: its number.
        memory: which of the kinds that the system tells apart.
    """

    def __init__(self, process: int, *memory: str) -> None:
        self._memory = memory
        self.most: dict[tuple[str, str], float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(process,))
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def _work(self, process: int) -> None:
        while not self._ended.wait(0.05):
            self._look(process, "")

    def _look(self, process: int, above: str) -> None:
        folder = Path(f"/proc/{process}")
        try:
            words = (folder / "cmdline").read_text()
            kind = "worker" if "forkserver" in above and "forkserver" in words else "rank"
            for line in (folder / "status").read_text().splitlines() if "tracker" not in words else ():
                name, _, size = line.partition(":")
                if name in self._memory and (kind == "worker" or "forkserver" not in words):
                    self.most[kind, name] = max(self.most.get((kind, name), 0), int(size.split()[0]) / 1024)
            for task in (folder / "task").iterdir():
                for child in (task / "children").read_text().split():
                    self._look(int(child), words)
        except OSError:
            return  # it has ended


def measure_prepare(recordings: int, folder: Path) -> dict[str, Any]:
    """`prepare` as one slice, and `merge`: seconds of a CPU for a recording, and the most memory."""
    made = [
        "many_sines",
        str(folder),
        "--recordings",
        str(recordings),
        "--seconds",
        "0.1",
        "--sample-rate",
        "8000",
    ]
    found: dict[str, Any] = {}
    for name, words in (
        ("prepare", [*made, "--jobs", "1", "--slice", "1/1"]),
        ("merge", ["merge", str(folder)]),
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "wavenet_pl", "prepare", *words], stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        watch = Watch(process.pid, "VmHWM")  # what `wait4` calls the most may have been this process's own
        _, status, usage = os.wait4(process.pid, 0)
        watch.end()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise UserError(f"`wavenet-pl prepare` ended with {process.returncode}; what it said is above")
        found[f"{name}, most memory, MiB"] = watch.most["rank", "VmHWM"]
        found[f"{name}, ms a recording"] = 1_000 * (usage.ru_utime + usage.ru_stime) / recordings
    return found


def main(args: argparse.Namespace) -> int:
    """Measure what is missing, and show all."""
    sizes, prepared = (QUICK_SIZES, QUICK_PREPARED) if args.quick else (SIZES, PREPARED)
    records, progress = Records(args.json), Progress("index", 2 * len(sizes) + len(prepared))
    opened, started, written = [], [], []
    with workplace(args.folder) as folder:
        for size in sizes:
            made = MadeSet(folder / f"set-{size}", size)
            facts = {"benchmark": "index_scale", "recordings": size, "quick": args.quick}
            opening = partial(measure_opening, made, 2 if args.quick else 5)
            opened.append(records.measure({**facts, "what": "open"}, opening))
            progress.step(f"{size} opened")
            if not made.folder.exists():
                made.folder.mkdir(parents=True)
                made.write()
            started.append(records.measure({**facts, "what": "start"}, partial(measure_start, made)))
            progress.step(f"{size} started")
        for size in prepared:
            facts = {"benchmark": "index_scale", "recordings": size, "what": "prepare", "quick": args.quick}
            written.append(
                records.measure(facts, partial(measure_prepare, size, folder / f"prepared-{size}"))
            )
            progress.step(f"{size} prepared")
    for rows in (opened, started, written):
        print_table(rows)
        print()
    return 0


if __name__ == "__main__":
    run(main, build_parser(__doc__ or "").parse_args())
