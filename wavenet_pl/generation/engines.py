"""The engines behind one interface, and which of them does the work.

Shapes: B clips, N new samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from wavenet_pl.errors import UserError
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.fused_cpu.fitness import why_not as why_not_on_cpu
from wavenet_pl.generation.fused_gpu.engine import FusedGpu
from wavenet_pl.generation.fused_gpu.fitness import why_not as why_not_on_gpu
from wavenet_pl.generation.fused_gpu.trial import find_way
from wavenet_pl.generation.job import Job
from wavenet_pl.generation.memory import check_memory
from wavenet_pl.generation.reference import Reference
from wavenet_pl.heads import Head
from wavenet_pl.network import WaveNet


class Engine(Protocol):
    """Something that generates clips with one network."""

    @property
    def name(self) -> str:
        """One of `choice.ENGINES`, and not auto."""

    @property
    def weights(self) -> str:
        """One of `choice.WEIGHTS`."""

    @property
    def threads(self) -> int:
        """CPU threads that it may use."""

    @property
    def compile_seconds(self) -> float:
        """How long it took until it could begin."""

    def refresh(self) -> None:
        """Take the network's weights as they are now, where the engine has them in another form."""

    def stream(self, job: Job) -> Iterator[Tensor]:
        """Codes (B, N), int64, with N = job.chunk until the last; what is after a clip's end means nothing."""


def build_engine(network: WaveNet, head: Head, choice: Choice) -> Engine:
    """The engine that was chosen; with ``auto``, the fastest that can do the work.

    Raises:
        UserError: the one that was asked for cannot do the work.
    """
    reasons = {
        "fused-cpu": why_not_on_cpu(network, head),
        "fused-gpu": why_not_on_gpu(network, head, choice.weights),
    }
    way = ""
    if choice.engine in ("auto", "fused-gpu") and not reasons["fused-gpu"]:
        way, reasons["fused-gpu"] = find_way(network, head, choice.weights)
    fastest = next((name for name, reason in reasons.items() if not reason), "reference")
    name = fastest if choice.engine == "auto" else choice.engine
    if reason := reasons.get(name):
        other = "the reference engine" if fastest == "reference" else f"engine {fastest}"
        raise UserError(f"engine {name} cannot generate here: {reason}; use {other}")
    if name == "fused-cpu":
        from wavenet_pl.generation.fused_cpu.engine import FusedCPU  # numba takes a while to import

        return FusedCPU(network, head, weights=choice.weights, threads=choice.threads)
    if name == "fused-gpu":
        return FusedGpu(network, head, weights=choice.weights, way=way)
    if choice.weights != "float32":
        why = "".join(f", and {other} cannot: {reason}" for other, reason in reasons.items() if reason)
        raise UserError(
            f"weights is {choice.weights}, expected float32: the reference engine computes with the weights as they "
            f"are{why}; leave it out"
        )
    return Reference(network, head, threads=choice.threads)


def stream(engine: Engine, network: WaveNet, job: Job) -> Iterator[Tensor]:
    """Codes (B, N) of an engine, int64, with silence after each clip's end.

    Raises:
        UserError: there is too little memory for so many clips.
        BadDataError: the network's outputs are not finite.
    """
    check_memory(network, job)
    return (
        job.ended(start, codes_BN)
        for (start, _), codes_BN in zip(job.chunks, engine.stream(job), strict=True)
    )
