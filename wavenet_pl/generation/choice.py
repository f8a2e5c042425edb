"""Which engine computes, in which weights, on how many threads."""

from __future__ import annotations

from dataclasses import dataclass

from wavenet_pl.errors import UserError
from wavenet_pl.numbers.bounds import THREADS

ENGINES = ("auto", "reference", "fused-cpu", "fused-gpu")
WEIGHTS = ("float32", "bf16", "int8")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to generate with; by default, what is fastest and exact.

    Raises:
        ValueError: a field is out of range.
    """

    engine: str = "auto"
    """One of `ENGINES`; ``auto`` takes the fastest that can do the work."""
    weights: str = "float32"
    """One of `WEIGHTS`: ``bf16`` and ``int8``, with a scale for each channel, are faster and cost a little quality."""
    threads: int | None = None
    """CPU threads; as many as help if None."""

    def __post_init__(self) -> None:
        for name, value, known in (("engine", self.engine, ENGINES), ("weights", self.weights, WEIGHTS)):
            if value not in known:
                raise ValueError(f"{name} is {value!r:.80}, expected one of {', '.join(known)}")
        if self.threads is not None:
            THREADS.check("threads", self.threads)
            if self.engine == "fused-gpu":
                raise UserError(
                    f"threads is {self.threads}, expected none: engine fused-gpu computes on the device; leave it out"
                )
