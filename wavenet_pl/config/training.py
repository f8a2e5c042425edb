"""Settings of a training run beside the model: data, optimizer, samples, run and tracking."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

from wavenet_pl.config.mistakes import check
from wavenet_pl.numbers.bounds import COUNTS, SECONDS, TEMPERATURES, THREADS, TOP_P
from wavenet_pl.numbers.shares import FINEST, are_parts


def read_seconds(value: object) -> float:
    """A duration as `HH:MM:SS` or in seconds."""
    if isinstance(value, str) and ":" in value:
        match = re.fullmatch(r"(\d+):([0-5]\d):([0-5]\d)", value.strip())
        if match is None:
            raise ValueError(value)
        hours, minutes, seconds = map(int, match.groups())
        return 3600.0 * hours + 60.0 * minutes + seconds
    if isinstance(value, (bool, list, dict)):
        raise ValueError(value)
    return float(value)  # type: ignore[arg-type]  # text that is no number raises ValueError, as it should


def read_path(value: object) -> str | dict[str, float]:
    """A folder or URL, or several and their shares of the crops that are trained on."""
    if isinstance(value, dict):
        return {path: float(share) for path, share in value.items()}
    if isinstance(value, str):
        return value
    raise ValueError(value)


LATER = {"later": True}
"""Of a setting that came after runs had their names: at its default it leaves them as they are."""
DURATION = {"read": read_seconds, "expected": "HH:MM:SS, a number of seconds or null"}
"""Metadata of a field that is a duration or null."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read and how much at once."""

    path: str | dict[str, float] = field(
        default="",
        metadata={"read": read_path, "expected": "a folder or URL, or several as {a: 0.7, b: 0.3}"},
    )
    """Folder or URL that `wavenet-pl prepare` wrote, or several and their shares, as {a: 0.7, b: 0.3}; required."""
    batch_size: int = 8
    """Crops per optimizer step, over all ranks and accumulations."""
    crop_samples: int = 16000
    """Predictions per crop; the loader adds the context before them."""
    num_workers: int = 2
    """DataLoader processes per rank; 0 reads in the training process."""
    worker_start: Literal["forkserver", "spawn"] = "forkserver"
    """How worker processes are started; spawn takes longer, for where a fork server is not to be had."""
    max_bad_fraction: float = 0.01
    """The run stops when more than this share of a split's recordings cannot be read."""
    window: int | None = field(default=None, metadata=LATER)
    """Shards that are shuffled together, each row of a batch going through its own; null shuffles the whole set."""
    cache: str | None = None
    """Folder of the node's own that shards are copied to ahead, tmpdir for where the node keeps what is temporary."""
    cache_gib: float | None = None
    """GiB of shards that are kept there at most; null for as much as the order needs."""
    decoded_mib: int = 512
    """MiB of memory per rank for recordings that stay decoded; where those in use at a time need more, none does."""

    def __post_init__(self) -> None:
        if isinstance(self.path, dict):
            shares = list(self.path.values())
            good = bool(shares) and all(0 < share < math.inf for share in shares) and "" not in self.path
            expected = "a folder or URL, or several and their shares, finite numbers above 0"
            check(self, "path", good, expected)
            expected = f"shares of {1 / FINEST:g} of all at least; leave the smallest out"
            check(self, "path", are_parts(shares), expected)
        check(self, "batch_size", self.batch_size >= 1, "1 or more")
        check(self, "crop_samples", self.crop_samples >= 1, "1 or more")
        check(self, "num_workers", self.num_workers >= 0, "0 or more")
        check(self, "decoded_mib", self.decoded_mib >= 0, "0 or more")
        check(self, "max_bad_fraction", 0 <= self.max_bad_fraction <= 1, "a share from 0 to 1")
        check(
            self,
            "window",
            self.window is None or self.window >= 1,
            "1 or more, or null to shuffle the whole set",
        )
        check(self, "cache", self.cache != "", "a folder, tmpdir, or null for none")
        expected = "a finite number above 0, or null for as much as the order needs"
        check(self, "cache_gib", self.cache_gib is None or 0 < self.cache_gib < math.inf, expected)
        expected = "null where data.cache is null, as nothing is kept; set data.cache, or remove it"
        check(self, "cache_gib", self.cache_gib is None or self.cache is not None, expected, "cache")


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """The optimizer, its learning rate over the steps, and the average of the weights."""

    kind: Literal["adamw", "muon"] = field(default="adamw", metadata=LATER)
    """adamw for all weights, or muon for the matrices of the layers and adamw for the others."""
    lr: float = 1e-3
    """Learning rate after the warm-up."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of Adam's two averages."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    warmup_steps: int = 100
    """Steps in which the learning rate grows from 0 to lr; 0 for none."""
    schedule: Literal["constant", "cosine", "inverse_sqrt"] = "constant"
    """Learning rate after the warm-up: lr, half a cosine down, or lr * sqrt(warmup_steps / step)."""
    decay_steps: int | None = None
    """Step at which the cosine has come down, counted from the start of the run; null for trainer.max_steps."""
    final_lr_fraction: float = 0.0
    """Share of lr that is left at the cosine's end."""
    ema_decay: float = 0.0
    """Decay of the averaged weights that validation and export use; 0 for none."""

    def __post_init__(self) -> None:
        check(self, "lr", 0 < self.lr < math.inf, "a finite number above 0")
        check(self, "betas", all(0 <= beta < 1 for beta in self.betas), "two numbers from 0 to less than 1")
        check(self, "weight_decay", 0 <= self.weight_decay < math.inf, "a finite number from 0 on")
        check(self, "warmup_steps", self.warmup_steps >= 0, "0 or more")
        check(self, "ema_decay", 0 <= self.ema_decay < 1, "a number from 0 to less than 1")
        check(self, "final_lr_fraction", 0 <= self.final_lr_fraction <= 1, "a share from 0 to 1")
        if self.schedule == "cosine":
            end, warmup = self.decay_steps, self.warmup_steps
            expected = (
                f"null, or the step at which the cosine ends, more than warmup_steps, which is {warmup}"
            )
            check(self, "decay_steps", end is None or end > warmup, expected, "schedule", "warmup_steps")
            return
        unused = f"as only schedule cosine uses it, and schedule is {self.schedule}; remove it"
        check(self, "decay_steps", self.decay_steps is None, f"null, {unused}", "schedule")
        check(self, "final_lr_fraction", self.final_lr_fraction == 0, f"0, {unused}", "schedule")
        if self.schedule == "inverse_sqrt":
            expected = "1 or more: schedule inverse_sqrt falls from the end of the warm-up on"
            check(self, "warmup_steps", self.warmup_steps >= 1, expected, "schedule")

    def lr_factor(self, step: int, end: int | None) -> float:
        """`Config.lr_factor`, where a cosine comes down at this end."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.schedule == "inverse_sqrt":
            return math.sqrt(self.warmup_steps / (step + 1))
        if self.schedule == "cosine":
            assert end is not None
            progress = min(1.0, (step - self.warmup_steps) / max(1, end - self.warmup_steps))
            left = (1 + math.cos(math.pi * progress)) / 2
            return self.final_lr_fraction + (1 - self.final_lr_fraction) * left
        return 1.0


@dataclass(frozen=True, kw_only=True)
class SamplesConfig:
    """Clips generated while training, to listen to."""

    every_n_steps: int = 1000
    """Steps between two sets of clips; 0 for none."""
    count: int = 4
    """Clips per set, over all ranks."""
    seconds: float = 2.0
    """Length of a clip, its prompt included."""
    prompt_seconds: float = 0.5
    """How much of a validation recording a clip starts with; 0 starts from silence."""
    temperature: float = 1.0
    """Exponent of the draw: below 1 cautious, 0 always the likeliest code (which is soon silence)."""
    top_p: float = 1.0
    """Draw from the likeliest codes that together have this probability; 1 for all."""
    seed: int = 0
    """Seed of the draw; the same at every step, so that clips differ by the training alone."""
    budget_seconds: float = 120.0
    """Time that one set may take; clips are cut short to keep it."""

    def __post_init__(self) -> None:
        check(self, "every_n_steps", self.every_n_steps >= 0, "0 or more")
        expected = f"{COUNTS.expected}; for no clips set samples.every_n_steps=0"
        check(self, "count", self.count in COUNTS, expected)
        check(self, "seconds", self.seconds in SECONDS, SECONDS.expected)
        expected = f"0 to less than seconds, which is {self.seconds} and includes the prompt"
        check(self, "prompt_seconds", 0 <= self.prompt_seconds < self.seconds, expected, "seconds")
        check(self, "temperature", self.temperature in TEMPERATURES, TEMPERATURES.expected)
        check(self, "top_p", self.top_p in TOP_P, TOP_P.expected)
        expected = "1 with temperature 0, which always takes the likeliest code; set one of the two"
        check(self, "top_p", self.temperature > 0 or self.top_p == 1, expected, "temperature")
        check(self, "seed", 0 <= self.seed < 2**32, "0 to 4294967295")
        check(self, "budget_seconds", 0 < self.budget_seconds < math.inf, "a finite number above 0")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a run uses its machine and keeps what it made."""

    threads: int | None = None
    """CPU threads per rank; null shares the cores between the ranks of a node."""
    stop_after: float | None = field(default=None, metadata=DURATION)
    """Save and exit with 85 after this time, as HH:MM:SS or in seconds; null for never."""
    init_from: str | None = None
    """A run, checkpoint, export or pretrained:NAME whose weights it begins with, as another run; null for new ones."""
    compile: bool = False
    """Whether torch.compile makes the layers of the steps, one for all; it takes a C++ compiler, and pays on GPUs."""
    recompute: bool = False
    """Whether layers compute their gates again for the gradients, which saves memory, instead of keeping them."""
    checkpoint_every_n_steps: int = 1000
    """Steps between two checkpoints."""
    keep_last: int = 2
    """How many of the newest checkpoints stay."""
    keep_best: int = 1
    """How many checkpoints of the lowest val/bits stay beside those."""
    repository: bool = False
    """Whether commit and diff of the git repository that the command runs in are kept, beside those of this code."""
    failed_save: Literal["go_on", "stop"] = "go_on"
    """What follows when a checkpoint cannot be written, as on a full disk: train on to the next one, or exit with 3."""
    max_skipped_steps: int = 10
    """The run stops, exit 3, after so many steps in a row whose loss or gradient is not finite; each is skipped."""
    hang_after: float | None = field(default=1800.0, metadata=DURATION)
    """After this time without a batch every rank writes down its stacks and exits with 85; null for never."""

    def __post_init__(self) -> None:
        threads = self.threads
        check(
            self,
            "threads",
            threads is None or threads in THREADS,
            f"{THREADS.expected}, or null to share the cores",
        )
        expected = "a time above 0, as HH:MM:SS or in seconds, or null for never"
        for name in ("stop_after", "hang_after"):
            seconds = getattr(self, name)
            check(self, name, seconds is None or 0 < seconds < math.inf, expected)
        expected = "false with train.compile, which chooses itself what is kept; set one of the two"
        check(self, "recompute", not (self.compile and self.recompute), expected, "compile")
        check(self, "init_from", self.init_from != "", "a run, a checkpoint or an export, or null for none")
        check(self, "max_skipped_steps", self.max_skipped_steps >= 1, "1 or more")
        for name in ("checkpoint_every_n_steps", "keep_last"):
            check(
                self, name, getattr(self, name) >= 1, "1 or more: without checkpoints a stopped run is lost"
            )
        check(self, "keep_best", self.keep_best >= 0, "0 or more")


@dataclass(frozen=True, kw_only=True)
class WandbConfig:
    """Tracking in Weights & Biases, beside metrics.jsonl."""

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    """auto is online where a key is set, and offline otherwise."""
    project: str = "wavenet_pl"
    """Project that the run appears in."""
    entity: str | None = None
    """User or team that the project belongs to; null for the key's own."""
    group: str | None = None
    """Group of runs that belong together."""
    tags: tuple[str, ...] = ()
    """Words to find the run by."""
    system_metrics: bool = True
    """Whether the load of GPU, memory, CPU and network is recorded."""
    console: bool = False
    """Whether what the command prints is recorded; it names paths."""
    machine: bool = False
    """Whether host, user, run folder and whole paths of settings are shown; else of an absolute path its last name."""
    artifacts: bool = False
    """Whether the best and the last checkpoint are kept as model artifacts."""
    init_timeout: float = 30.0
    """Seconds to wait for the server at the start; after that the run goes on offline."""
    finish_timeout: float = 60.0
    """Seconds to wait for the upload at the end."""
    log_every_n_steps: int = 10
    """Steps between two rows; metrics.jsonl has every step."""

    def __post_init__(self) -> None:
        good = re.fullmatch(r"[^/\\#?%:]{1,128}", self.project) is not None
        check(self, "project", good, "1 to 128 characters without / \\ # ? % :")
        for name in ("entity", "group"):
            check(self, name, getattr(self, name) != "", "a name, or null for none")
        check(self, "tags", all(1 <= len(tag) <= 64 for tag in self.tags), "words of 1 to 64 characters")
        for name in ("init_timeout", "finish_timeout"):
            check(self, name, 0 < getattr(self, name) < math.inf, "a finite number of seconds above 0")
        check(self, "log_every_n_steps", self.log_every_n_steps >= 1, "1 or more")
