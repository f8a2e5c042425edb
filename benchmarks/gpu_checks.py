"""What is checked on a GPU, in the order of its worth, and the rows in which it is kept."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.records import Records

BENCHMARK = "gpu"
BROKEN = 76
"""How the process of a part ends that can do nothing more with its device."""
WITHIN = 0.05
"""Bits that trainings may differ by in another precision or on another device."""


@dataclass(frozen=True)
class Check:
    """One thing that is looked at, as the page shows it."""

    name: str
    expected: str
    devices: int = 1
    """It takes so many."""


PARTS: dict[str, tuple[Check, ...]] = {
    "setup": (
        Check("wavenet-pl doctor", "nothing to put right first; the device is named"),
        Check("pytest -m gpu", "green, none skipped"),
    ),
    "losses": (
        Check("the CPU's losses", "of float32 on the CPU of this machine: what the next ones are held against"),
        Check("float32", f"bits of the last steps and of validation within {WITHIN} of the CPU's"),
        Check("bf16-mixed", f"within {WITHIN} of the CPU's"),
        Check("16-mixed", f"within {WITHIN} of the CPU's; no step is skipped for good"),
        Check("Muon", f"within {WITHIN} of the CPU's with Muon"),
        Check("16-bit audio, bf16-mixed", f"val/bits_mulaw256 within {WITHIN} of float32's on the same device"),
        Check("stop and go on", "Ctrl-C saves; the same call goes on, and its losses are those of one training"),
        Check("stop here, go on on the CPU", "the same"),
        Check("stop on the CPU, go on here", "the same"),
        Check("clips while training", "WAV files at the step that was asked for, within samples.budget_seconds"),
        Check("speed of train", "what wavenet-pl train reaches with its loader and all its callbacks: no limit"),
        Check("train.compile", f"within {WITHIN} of the CPU's, and three graphs, whatever the number of layers"),
    ),
    "engines": (
        Check("engines are exact", "each code is the one that float64 draws after the same past, but for ties"),
        Check("generation", "samples per second of all clips: below"),
    ),
    "steps": (Check("training", "predictions per second: below"),),
    "ranks": (
        Check("two devices", "the losses of one device within float32's rounding; exit 0", 2),
        Check("torchrun", "the same, and one run folder", 2),
        Check("a loss that is no number on one of two ranks", "both skip that step and go on; exit 0", 2),
        Check("a rank that hangs", "all ranks write their stacks and exit with 85; no process is left", 2),
    ),
}  # fmt: skip
"""Name of a part, which is a process of its own -> what it checks."""


def driver() -> str:
    """Its version, as the driver's own tool says it."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


@dataclass
class Bench:
    """Where a part's rows go, and what it may use."""

    records: Records
    device: str
    """cuda; or cpu, where everything is tiny and only shows that it works."""
    until: float
    """By `time.time`; what has not begun by then is left for the next call."""
    folder: Path
    peers: tuple[Path, ...] = ()
    left: list[str] = field(default_factory=list)
    """What was not begun, as there was no time left."""

    @property
    def tiny(self) -> bool:
        """Whether nothing is learned from how fast it is."""
        return self.device == "cpu"

    @cached_property
    def machine(self) -> dict[str, str]:
        """Device, driver and versions."""
        import torch

        name = platform.machine() if self.tiny else torch.cuda.get_device_name()
        versions = f"Python {platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda}"
        return {
            "device": f"{self.device}: {name}",
            "versions": versions + ("" if self.tiny else f", driver {driver()}"),
        }

    def is_usable(self) -> bool:
        """Whether the device still computes: after some errors it does nothing more for the process."""
        import torch

        try:
            return float(torch.ones(2, device=self.device).sum()) == 2
        except RuntimeError:
            return False

    def row(self, check: str, measure: Callable[[], Mapping[str, Any]], **facts: Any) -> Mapping[str, Any]:
        """The row of a check, which is there or is measured now; an empty one where there is no time left.

        Args:
            check: its name.
            measure: gives `passed`, what was `seen`, and any numbers. What it raises is a row that did not pass.
            facts: what else the row is known by.
        """
        identity = {"benchmark": BENCHMARK, "check": check, "device": self.machine["device"], **facts}

        def guarded() -> Mapping[str, Any]:
            try:
                found = measure()
            except Exception as error:  # noqa: BLE001 - whatever it is, the others can still be measured
                found = {
                    "passed": False,
                    "seen": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
                }
            return {**found, **self.machine, "date": time.strftime("%Y-%m-%d")}

        named = " ".join(str(value) for value in (check, *facts.values()))
        if not any(identity.items() <= row.items() for row in self.records.rows) and time.time() > self.until:
            self.left.append(named)
            return {}
        row = self.records.measure(identity, guarded)
        if not row["passed"] and not self.is_usable():
            raise SystemExit(BROKEN)
        print(
            f"{'ok    ' if row['passed'] else 'FAILED'} {named}: {row['seen']}", file=sys.stderr, flush=True
        )
        return row
