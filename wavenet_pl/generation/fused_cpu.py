"""The fused engine on CPUs: all layers of a sample in one compiled function."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from wavenet_pl.generation.job import Job
from wavenet_pl.heads import Head
from wavenet_pl.network import WaveNet


def refusal(network: WaveNet, head: Head) -> str:
    """Why this engine cannot generate with a network; nothing where it can."""
    return "it is not built yet"


class FusedCPU:
    """Generates clips with packed weights."""

    name = "fused-cpu"
    compile_seconds = 0.0

    def __init__(
        self, network: WaveNet, head: Head, *, weights: str = "float32", threads: int | None = None
    ) -> None:
        self.weights, self.threads = weights, threads or 1

    def refresh(self) -> None:
        """Pack the weights again."""

    def stream(self, job: Job) -> Iterator[Tensor]:
        """As `Reference.stream`."""
        raise NotImplementedError
