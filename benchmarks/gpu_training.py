"""Trainings on a GPU, held against the same ones on the CPU of the machine; and what ends them."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cached_property
from statistics import mean
from typing import Any

import lightning.pytorch as L
import torch

import wavenet_pl
from benchmarks.gpu_checks import WITHIN, Bench
from benchmarks.trials import Start, Training, prepare_set
from wavenet_pl.runs.checkpoints import validation_bits
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.tracking.rows import read_metrics

SETTINGS = (
    "data.batch_size=8", "data.crop_samples=1000", "data.num_workers=0", "model.network.stacks=1",
    "model.network.layers_per_stack=6", "model.network.residual_channels=32", "model.network.gate_channels=64",
    "model.network.skip_channels=32", "optim.lr=4e-3", "optim.warmup_steps=10", "samples.every_n_steps=0",
    "trainer.check_val_every_n_epoch=null", "trainer.devices=1", "trainer.enable_progress_bar=false",
    "trainer.gradient_clip_val=1.0", "wandb.mode=disabled",
)  # fmt: skip
SIXTEEN_BITS = (
    "model.head.kind=logistics", "model.codec.kind=linear", "model.codec.quantization_channels=65536",
)  # fmt: skip
LAST = 10
"""Steps at the end whose mean is compared: a single one is noise."""
ACCELERATORS = {"cpu": "cpu", "cuda": "gpu"}


class InterruptAt(L.Callback):
    """Ctrl-C, when a step is done."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_end(self, trainer: L.Trainer, *others: Any) -> None:
        """Sends it."""
        if trainer.global_step == self._step:
            os.kill(os.getpid(), signal.SIGINT)


class Trainings:
    """Those of one part: on the same data, each in a folder of its own."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.data = bench, prepare_set(bench.folder)
        self.steps, self.threads = (12, ["train.threads=1"]) if bench.tiny else (60, ["train.threads=4"])
        self.log = open(bench.folder / "trainings.log", "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - logging keeps it

    def train(
        self,
        name: str,
        *settings: str,
        device: str = "",
        callbacks: Sequence[L.Callback] = (),
        fresh: bool = True,
    ) -> RunFolder:
        """Train, or go on, and return the run's folder."""
        config = [
            f"data.path={self.data}", *SETTINGS, f"trainer.max_steps={self.steps}",
            f"trainer.val_check_interval={self.steps}",
            f"trainer.accelerator={ACCELERATORS[device or self.bench.device]}", *self.threads, *settings,
        ]  # fmt: skip
        runs = self.bench.folder / name.replace(" ", "-")
        with redirect_stdout(self.log), redirect_stderr(self.log):
            return RunFolder(wavenet_pl.train(config, callbacks, runs=runs, fresh=fresh))

    def held_against(self, row: Mapping[str, Any], run: RunFolder) -> dict[str, Any]:
        """How far a training is off another one, of which there is a row."""
        found = figures(run)
        off = abs(found["bits"] - row["bits"])
        val_off = abs(found["val_bits"] - row["val_bits"])
        good = off < WITHIN and val_off < WITHIN and not (run.path / "skipped_steps.jsonl").exists()
        seen = f"{found['bits']:.4f} bits, off by {off:.4f}; validation {found['val_bits']:.4f}, off by {val_off:.4f}"
        return {"passed": good, "seen": seen, **found}

    def reference(self, *settings: str) -> dict[str, Any]:
        """A training on the CPU."""
        found = figures(self.train("reference", *settings, device="cpu"))
        seen = f"{found['bits']:.4f} bits in the last {LAST} of {self.steps} steps, validation {found['val_bits']:.4f}"
        return {"passed": True, "seen": seen, **found}

    def on(self, row: Mapping[str, Any], name: str, *settings: str) -> Callable[[], dict[str, Any]]:
        """A training on the device, held against what a row says."""
        return lambda: self.held_against(row, self.train(name, *settings))

    def stopped(self, first: str, then: str) -> dict[str, Any]:
        """A training that is stopped on one device and goes on on another, against one that is not stopped."""
        name, half = f"stopped on {first} for {then}", self.steps // 2
        try:
            self.train(name, device=first, callbacks=[InterruptAt(half)])
            raise RuntimeError("Ctrl-C did not end the training")
        except KeyboardInterrupt:
            pass
        losses, whole = (
            bits_of(self.train(name, device=then, fresh=False)), bits_of(self.train("whole", device=then)),
        )  # fmt: skip
        off = max(abs(losses[step] - whole[step]) for step in whole)
        good = losses.keys() == whole.keys() and off < WITHIN
        return {
            "passed": good,
            "seen": f"{len(losses)} steps, none off by more than {off:.5f} bits",
            "off": off,
        }

    def sixteen_bits(self) -> dict[str, Any]:
        """bf16-mixed against float32, with amplitudes in and out."""
        bits = []
        for precision in ("32-true", "bf16-mixed"):
            run = self.train(f"16 bits {precision}", *SIXTEEN_BITS, f"trainer.precision={precision}")
            bits += validation_bits(run, "val/bits_mulaw256").values()
        off = abs(bits[0] - bits[1])
        return {"passed": off < WITHIN, "seen": f"{bits[1]:.4f} bits, off by {off:.4f}", "off": off}

    def clips(self) -> dict[str, Any]:
        """Clips that a training makes on its way."""
        run = self.train(
            "clips", "trainer.max_steps=4", "samples.every_n_steps=2", "samples.count=2", "samples.seconds=0.05",
            "samples.prompt_seconds=0.01",
        )  # fmt: skip
        clips = sorted(path.relative_to(run.clips) for path in run.clips.rglob("*.wav"))
        return {
            "passed": len(clips) >= 4,
            "seen": f"{len(clips)} WAV files in {len({path.parts[0] for path in clips})} sets",
        }

    def speed(self) -> dict[str, Any]:
        """The newest perf/* of a training of the default network."""
        size = () if self.bench.tiny else (
            "model.network.stacks=3", "model.network.layers_per_stack=10", "model.network.residual_channels=64",
            "model.network.gate_channels=128", "model.network.skip_channels=128", "data.batch_size=32",
            "data.crop_samples=4000", "data.num_workers=4", f"data.path={prepare_set(self.bench.folder, 700)}",
        )  # fmt: skip
        run = self.train(
            "speed",
            *size,
            f"trainer.max_steps={50 if self.bench.tiny else 100}",
            "trainer.precision=bf16-mixed",
            "trainer.limit_val_batches=0",
        )
        [*_, row] = [row for row in read_metrics(run.metrics) if "perf/samples_per_second" in row]
        found = {name.removeprefix("perf/"): value for name, value in row.items() if name.startswith("perf/")}
        mfu = f", {found['mfu']:.1%} of the device's peak" if "mfu" in found else ""
        seen = (
            f"{found['samples_per_second']:,.0f} predictions/s{mfu}, {found['data_wait']:.0%} of the time waiting for "
            f"data, {found['peak_memory']:.2f} GiB"
        )
        return {"passed": True, "seen": seen, **found}

    def compiled(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """With compiled layers, against what a row says."""
        from torch._dynamo.utils import counters

        torch.compiler.reset()
        counters.clear()
        found = self.held_against(row, self.train("compiled", "train.compile=true"))
        graphs = counters["stats"]["unique_graphs"]
        seen = f"{found['seen']}; {graphs} graphs"
        return {**found, "passed": found["passed"] and graphs <= 3, "seen": seen, "graphs": graphs}


def bits_of(run: RunFolder) -> dict[int, float]:
    """Step -> bits of its batch."""
    return {row["step"]: row["train/bits"] for row in read_metrics(run.metrics) if "train/bits" in row}


def figures(run: RunFolder) -> dict[str, float]:
    """Bits of the last steps, and of the validation at the end."""
    return {"bits": mean([*bits_of(run).values()][-LAST:]), "val_bits": validation_bits(run).popitem()[1]}


def losses(bench: Bench) -> None:
    """The part of this name."""
    trainings = Trainings(bench)
    device = bench.device
    reference = bench.row("the CPU's losses", trainings.reference)
    if not reference.get("passed"):
        return
    bench.row("float32", trainings.on(reference, "float32"))
    for precision in ("bf16-mixed", "16-mixed"):
        bench.row(precision, trainings.on(reference, precision, f"trainer.precision={precision}"))
    muon = ("optim.kind=muon", "optim.weight_decay=0.1")
    bench.row(
        "Muon", lambda: trainings.held_against(trainings.reference(*muon), trainings.train("muon", *muon))
    )
    bench.row("16-bit audio, bf16-mixed", trainings.sixteen_bits)
    bench.row("stop and go on", lambda: trainings.stopped(device, device))
    bench.row("stop here, go on on the CPU", lambda: trainings.stopped(device, "cpu"))
    bench.row("stop on the CPU, go on here", lambda: trainings.stopped("cpu", device))
    bench.row("clips while training", trainings.clips)
    bench.row("speed of train", trainings.speed)
    bench.row("train.compile", lambda: trainings.compiled(reference))


class Ranks:
    """Trainings in processes: two ranks, and one for comparison."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.data = bench, prepare_set(bench.folder)
        self.settings = (
            f"trainer.accelerator={ACCELERATORS[bench.device]}",
            "wandb.mode=disabled",
            "samples.every_n_steps=0",
            "data.num_workers=0",
        )

    def training(self, name: str, steps: int, *settings: str) -> Training:
        """One, in a folder of its own."""
        folder = self.bench.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return Training(folder, self.data, steps, (*self.settings, *settings))

    def ended(
        self, training: Training, launcher: Sequence[str] = (sys.executable,), *program: str
    ) -> tuple[int, set[int], str]:
        """Start it, with another launcher or another program: its exit code, processes left, and what it said."""
        command = [*launcher, "-m", *(program or ("wavenet_pl", "train")), *training.arguments]
        with Start(command, training.folder) as start:
            code = start.wait()
            if code is None:
                raise RuntimeError(f"it did not end: {start.said()}")
            return code, start.orphans(), start.said(5)

    @cached_property
    def losses_of_one(self) -> dict[int, float]:
        """Of a training on one rank."""
        one = self.training("one", 12, "trainer.devices=1")
        self.ended(one)
        return bits_of(one.run)

    def same_losses(self, launcher: Sequence[str] = (sys.executable,)) -> dict[str, Any]:
        """Two ranks against one."""
        two = self.training("two", 12, "trainer.devices=2")
        code, _, said = self.ended(two, launcher)
        found, expected = bits_of(two.run), self.losses_of_one
        if code or found.keys() != expected.keys():
            return {"passed": False, "seen": f"exit {code}, {len(found)} steps: {said}"[:300]}
        off = max(abs(found[step] - expected[step]) for step in expected)
        runs = len(list(two.folder.glob("wavenet-*")))
        return {
            "passed": off < 1e-3 and runs == 1,
            "seen": f"exit 0, off by {off:.6f} bits at most, {runs} run folder",
        }

    def troubled(self, trouble: str, *settings: str) -> tuple[Training, int, set[int]]:
        """Rank 1 meets trouble at step 5; how the training ends, and what is left of it."""
        training = self.training(trouble, 12, "trainer.devices=2", *settings)
        code, left, _ = self.ended(training, (sys.executable,), "tests.troubled_train", trouble, "1", "5")
        return training, code, left

    def no_number(self) -> dict[str, Any]:
        """A loss of NaN."""
        training, code, _ = self.troubled("nan")
        skipped, steps = (training.run.path / "skipped_steps.jsonl"), len(bits_of(training.run))
        lines = skipped.read_text().splitlines() if skipped.exists() else []
        return {
            "passed": code == 0 and len(lines) == 1,
            "seen": f"exit {code}, {len(lines)} of {steps} steps skipped",
        }

    def hang(self) -> dict[str, Any]:
        """A rank that falls asleep."""
        patience = 8 if self.bench.tiny else 20
        settings = (
            f"train.hang_after={patience}",
            "samples.budget_seconds=5",
            "train.checkpoint_every_n_steps=2",
        )
        training, code, left = self.troubled("forward", *settings)
        stacks = sorted(training.run.logs.glob("hang-rank-*.txt"))
        phases = [path.read_text().split("\n")[0] for path in stacks]
        good = code == 85 and not left and [phase.split(",")[0] for phase in phases] == ["step 5"] * 2
        return {"passed": good, "seen": f"exit {code}, {len(left)} processes left; {'; '.join(phases)}"}


def ranks(bench: Bench) -> None:
    """The part of this name; of one GPU there is nothing to see."""
    if not bench.tiny and torch.cuda.device_count() < 2:
        return
    both = Ranks(bench)
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    bench.row("two devices", both.same_losses)
    bench.row("torchrun", lambda: both.same_losses(torchrun))
    bench.row("a loss that is no number on one of two ranks", both.no_number)
    bench.row("a rank that hangs", both.hang)
