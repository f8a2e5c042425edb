"""What an evaluation, or a page to listen, can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from wavenet_pl.errors import UserError
from wavenet_pl.numbers.bounds import SECONDS, SEEDS, TEMPERATURES, THREADS
from wavenet_pl.shards.index import SPLITS


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What both are made of."""

    data: str | None = None
    """A shard set; None for that of the run, or of the first one."""
    split: str = "val"
    """Whose recordings."""
    lang: str | None = None
    """Language of the recordings whose table lang says nothing, such as en: words are judged in English only."""
    seed: int = 0
    """Another seed draws others of all."""
    threads: int | None = None
    """CPU threads; None for all cores, and as many as help where clips are generated."""

    def check(self) -> None:
        """Refuse what is out of range.

        Raises:
            UserError: names the option.
        """
        if self.split not in SPLITS:
            raise UserError(f"split is {self.split!r}, expected one of {', '.join(SPLITS)}")
        if self.threads is not None:
            THREADS.check("threads", self.threads)
        SEEDS.check("seed", self.seed)


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(DataOptions):
    """What is measured, and on how much."""

    max_seconds: float = 300.0
    """Score so much audio, of recordings drawn by their hash."""
    predictions: int = 256
    """Measure bits against context on so many predictions; 0 for not at all."""
    count: int = 4
    """Clips to generate, in one batch."""
    seconds: float = 2.0
    """Length of each clip."""
    temperature: float = 1.0
    """Of the clips: 1 draws from the model, below 1 is more cautious."""

    def check(self) -> None:
        """Refuse what is out of range.

        Raises:
            UserError: names the option.
        """
        super().check()
        for name in ("predictions", "count"):
            if (value := getattr(self, name)) < 0:
                raise UserError(f"{name} is {value}, expected 0 or more")
        TEMPERATURES.check("temperature", self.temperature)
        SECONDS.check("seconds", self.seconds)
        if not 0 < self.max_seconds < float("inf"):
            raise UserError(f"max_seconds is {self.max_seconds}, expected a number above 0")


@dataclass(frozen=True, kw_only=True)
class ListeningOptions(DataOptions):
    """What is made."""

    count: int = 6
    """Recordings."""
    seconds: float = 4.0
    """Length of each clip, where its recording lasts so long."""
    prompt_seconds: float = 0.5
    """How much of the recording a clip begins with, where the model is not told what all of it sounds like."""
    temperatures: tuple[float, ...] = (1.0,)
    """Each makes clips of its own."""
    engines: tuple[str, ...] = ("auto",)
    """Each makes clips of its own."""
    weights: str = "float32"
    """Their number format."""

    def check(self) -> None:
        """Refuse what is out of range.

        Raises:
            UserError: names the option.
        """
        super().check()
        if not 1 <= self.count <= 200:
            raise UserError(f"count is {self.count}, expected 1 to 200; a page of more opens slowly")
        if not 0 < self.seconds <= 60:
            raise UserError(f"seconds is {self.seconds:g}, expected more than 0 and up to 60")
        if not 0 <= self.prompt_seconds < self.seconds:
            raise UserError(
                f"prompt_seconds is {self.prompt_seconds:g}, expected from 0 to less than seconds={self.seconds:g}"
            )
        for temperature in self.temperatures:
            TEMPERATURES.check("temperature", temperature)
