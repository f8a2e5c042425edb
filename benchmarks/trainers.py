"""A process that trains for as long as it is told to, again and again: see `training_steps.py`, which it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from wavenet_pl.config.model import NetworkConfig
from wavenet_pl.errors import UserError
from wavenet_pl.network import WaveNet
from wavenet_pl.training.utilization import FLOPS, multiplications

STEPS = Path(__file__).with_name("training_steps.py")


@dataclass(frozen=True)
class Shape:
    """A network, and what one step of it is trained on."""

    stacks: int
    layers: int
    residual: int
    skip: int
    crops: int
    crop_samples: int = 4000

    @property
    def network(self) -> NetworkConfig:
        """Its config."""
        return NetworkConfig(
            stacks=self.stacks, layers_per_stack=self.layers, residual_channels=self.residual,
            gate_channels=2 * self.residual, skip_channels=self.skip,
        )  # fmt: skip

    @property
    def flops(self) -> int:
        """Of one prediction, with its gradients."""
        return FLOPS * multiplications(WaveNet(self.network))


class Trainer:
    """One of them, to be used in a `with`.

    Args:
        shape: of the network.
        variables: its environment.
        who: ours, or the checkout of another implementation.
        precision: as `training_steps.py` has it.
        threads: of torch.
    """

    def __init__(
        self,
        shape: Shape,
        variables: Mapping[str, str],
        *,
        who: str = "ours",
        precision: str = "float32",
        threads: int = 1,
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(STEPS), who, precision, str(threads), *map(str, astuple(shape))],
            env=dict(variables), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def __enter__(self) -> Trainer:
        self.end()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self, seconds: float) -> None:
        """Train for so long."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")

    def end(self) -> dict[str, float]:
        """What came out of the last time, once that is over: predictions a second, and the peak memory.

        Raises:
            UserError: the process has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise UserError("a process that trains ended early; what it said is above")
        figures: dict[str, float] = json.loads(line)
        return figures
