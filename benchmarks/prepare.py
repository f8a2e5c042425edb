"""How many hours of audio `prepare` takes in for each minute of a CPU, beside a plain loop; and what planning costs.

The loop reads with soundfile, resamples with soxr (`pip install soxr`) and writes FLAC: nothing is checked, counted or
indexed. Both are timed once they have begun: `prepare` as a slice, without report and picture. The audio is the speech
that comes with the project.

    python benchmarks/prepare.py --json prepare.json
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from benchmarks.records import Progress, Records, build_parser, print_table, run, workplace
from data_prep.corpora import DEMO
from data_prep.options import Options
from data_prep.shared_plan import plan_of_slice
from wavenet_pl.audio.reading import read_audio
from wavenet_pl.audio.resampling import resample
from wavenet_pl.errors import UserError

RATE = Options(corpus="folder").rules.sample_rate
SOURCES = {
    "16 kHz FLAC": 16_000,
    "22.05 kHz FLAC": 22_050,
    "44.1 kHz FLAC": 44_100,
    "48 kHz FLAC": 48_000,
    "MP3": 44_100,
}
CLIP_SECONDS = 12
SLICES = 16
PROGRAMS = {
    "prepare": """
from wavenet_pl.cli import main
def work(source, dest):
    assert main(["prepare", "folder", source, dest, "--jobs", "1", "--slice", "1/1"]) == 0
""",
    "loop": f"""
import os, pathlib, soundfile, soxr
def work(source, dest):
    os.mkdir(dest)
    for path in pathlib.Path(source).iterdir():
        audio, rate = soundfile.read(path, dtype="float32")
        audio = audio if rate == {RATE} else soxr.resample(audio, rate, {RATE})
        soundfile.write(os.path.join(dest, path.stem + ".flac"), audio, {RATE}, subtype="PCM_16")
""",
}
"""What is compared, ours first, each in a process of its own, which has done a little of it before it is timed."""
TIMED = """
import os, sys, time
few, many = sys.argv[1:]
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what a command prints
for dest in sys.stdin:
    work(few, dest.strip() + "/few")
    began = time.process_time()
    work(many, dest.strip() + "/many")
    print(time.process_time() - began, file=answers, flush=True)
"""


def write_corpus(kind: str, folder: Path, clips: int) -> Path:
    """So many recordings of one kind; those of the project, again and again."""
    speech = np.concatenate([read_audio(str(path), RATE) for path in sorted(DEMO.rglob("*.flac"))])
    audio, size = resample(speech, RATE, SOURCES[kind]), CLIP_SECONDS * SOURCES[kind]
    kept = [audio[start : start + size] for start in range(0, len(audio) - size, size)]
    folder.mkdir()
    for number in range(clips):
        path = folder / f"{number:05d}.{'mp3' if kind == 'MP3' else 'flac'}"
        if number < len(kept):
            soundfile.write(path, np.clip(kept[number], -1, 1), SOURCES[kind])
        else:
            os.link(folder / f"{number % len(kept):05d}{path.suffix}", path)
    return folder


class Worker:
    """A process that does one of them whenever it is asked to: two that take turns meet the same moods of a machine.

    Args:
        name: of `PROGRAMS`.
        few: a folder with some recordings, which are not timed.
        many: a folder with those that are.
    """

    def __init__(self, name: str, few: Path, many: Path) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAMS[name] + TIMED, few, many],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def cpu_seconds(self, dest: Path) -> float:
        """What it takes for the many recordings, whatever else runs on the machine."""
        assert self._process.stdin is not None and self._process.stdout is not None
        dest.mkdir()
        with suppress(BrokenPipeError):  # it has ended, and does not answer
            print(dest, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        shutil.rmtree(dest)
        if not answer:
            raise UserError(f"{self.name} ended with {self._process.wait()}, see above")
        return float(answer)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def measure(kind: str, clips: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Hours a CPU-minute of both, and their ratio, as medians of pairs: a machine that slows down slows both of one.

    Eight in ten pairs have a ratio from `ratio_from` to `ratio_to`.
    """
    many, few = write_corpus(kind, folder / "many", clips), folder / "few"
    few.mkdir()
    for path in sorted(many.iterdir())[:3]:
        os.link(path, few / path.name)
    progress = Progress(kind, repeats)
    speeds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with ExitStack() as stack:
        workers = [stack.enter_context(closing(Worker(name, few, many))) for name in PROGRAMS]
        for number in range(repeats):
            for worker in workers[:: 1 if number % 2 else -1]:
                seconds = worker.cpu_seconds(folder / "out")
                speeds[worker.name].append(60 * clips * CLIP_SECONDS / 3600 / seconds)
            progress.step(", ".join(f"{name} {values[-1]:.1f} h" for name, values in speeds.items()))
    shutil.rmtree(many)
    shutil.rmtree(few)
    ratios = sorted(ours / theirs for ours, theirs in zip(*speeds.values(), strict=True))
    return {
        **{f"hours_per_cpu_minute_{name}": statistics.median(values) for name, values in speeds.items()},
        "ratio": statistics.median(ratios),
        "ratio_from": ratios[len(ratios) // 10],
        "ratio_to": ratios[-1 - len(ratios) // 10],
    }


def write_tiny(folder: Path, count: int) -> Path:
    """So many recordings of a tenth of a second, from 500 speakers."""
    seed: npt.NDArray[Any] = np.random.default_rng(0).integers(-3000, 3000, RATE // 10).astype(np.int16)
    for number in range(count):
        path = folder / f"p{number % 500:03d}" / f"{number:06d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 10_000 == 0:  # a file system counts links, and not far
            soundfile.write(first := path, seed, RATE)
        else:
            os.link(first, path)
    return folder


def plan(count: int, folder: Path) -> dict[str, Any]:
    """What each slice takes before it packs."""
    source, dest, options = write_tiny(folder / "tiny", count), folder / "planned", Options(corpus="folder")
    dest.mkdir()
    times, progress = [], Progress("planning", SLICES)
    for number in range(1, SLICES + 1):
        began = time.process_time()
        found = plan_of_slice(options, source, dest, number, SLICES)
        times.append(time.process_time() - began)
        assert all(shard.sources for shard in found.shards[number - 1 :: SLICES])
        progress.step(f"slice {number}: {times[-1]:.2f} CPU-seconds")
    return {
        "cpu_seconds_first_slice": times[0],
        "cpu_seconds_other_slices": statistics.median(times[1:]),
        "ratio": statistics.median(times[1:]) / times[0],
    }


def main(args: Any) -> int:
    """Measure what is not measured yet, and print it."""
    if importlib.util.find_spec("soxr") is None:
        raise UserError("soxr is not installed, expected it for the loop; run `pip install soxr`")
    minutes, repeats, tiny = (1, 1, 2_000) if args.quick else (args.minutes, args.repeats, args.files)
    records = Records(args.json)
    for kind in SOURCES:
        facts = {"benchmark": "prepare", "source": kind, "minutes": minutes, "repeats": repeats}
        with workplace(args.folder) as folder:
            records.measure(facts, partial(measure, kind, minutes * 60 // CLIP_SECONDS, repeats, folder))
    with workplace(args.folder) as folder:
        records.measure(
            {"benchmark": "prepare_plan", "files": tiny, "slices": SLICES}, partial(plan, tiny, folder)
        )
    for benchmark in ("prepare", "prepare_plan"):
        print_table(records.of(benchmark))
    return 0


if __name__ == "__main__":
    parser = build_parser(
        "how many hours of audio `prepare` takes in for each minute of a CPU, beside a plain loop"
    )
    parser.add_argument("--minutes", type=int, default=20, metavar="N", help="of audio of each kind (20)")
    parser.add_argument("--files", type=int, default=200_000, metavar="N", help="to plan (200000)")
    parser.add_argument("--repeats", type=int, default=30, metavar="N", help="of each, in pairs (30)")
    run(main, parser.parse_args())
