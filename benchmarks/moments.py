"""Random moments of a run, from the start of its process to the end, at which something is done to it."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.trials import PATIENCE, Start, Training
from wavenet_pl.tracking.rows import read_metrics


@dataclass(frozen=True)
class Timetable:
    """When a run that nobody stopped was where, in seconds since its start: what random moments are drawn from."""

    rows: dict[int, float]
    """Step -> its first row."""
    end: float
    """The end of the process."""

    @property
    def start(self) -> float:
        """Seconds until the first row."""
        return min(self.rows.values())

    @property
    def finale(self) -> float:
        """Seconds from the last step's row to the end."""
        return self.end - max(self.rows.values())

    def draw(self, step: int, share: float, draws: random.Random) -> tuple[int, float]:
        """A moment within the next share of what is left after a step: a step, and seconds after its row."""
        begin = min(seconds for other, seconds in self.rows.items() if other > step)
        moment = begin + draws.uniform(0, share * (max(self.rows.values()) - begin))
        return max((other, moment - seconds) for other, seconds in self.rows.items() if seconds <= moment)


def finish(training: Training, patience: float = 1800.0) -> Timetable:
    """Run to the end without a stop.

    Raises:
        RuntimeError: it does not end, or not with 0.
    """
    with training.start() as start:
        if (code := start.wait(patience)) != 0:
            raise RuntimeError(f"the training ended with {code}, expected 0:\n{start.said()}")
        rows = [(row["step"], row["time"] - start.began) for row in read_metrics(training.run.metrics)]
        return Timetable(dict(reversed(rows)), time.time() - start.began)


def strike(
    training: Training,
    blows: int,
    timetable: Timetable,
    draws: random.Random,
    blow: Callable[[Start], None],
    moments: Sequence[str] = ("start", "steps"),
) -> Iterator[Start]:
    """Start the training again and again, and strike each start at a random moment.

    Args:
        training: what to start.
        blows: how often to strike.
        timetable: of the same training without a stop.
        draws: where the randomness comes from.
        blow: strikes.
        moments: drawn from in equal shares. `start` lies between the start of the process and its first row; `steps`
            after that row, not so far on that the run would end before the last blow; `save` in the next save after
            that, which would be hit too seldom by chance. The last tenth of all blows falls on the run's end.

    Yields:
        each start that was struck while it was alive. After its end, the next one begins.

    Raises:
        RuntimeError: a start fails before it was struck, or stands still.
    """
    at_end = blows // 10
    coming = [moments[number % len(moments)] for number in range(blows - at_end)]
    draws.shuffle(coming)
    coming += ["end"] * at_end
    while coming:
        with training.start() as start:
            _wait_for_moment(coming, start, training, timetable, draws)
            if start.alive:
                blow(start)
                yield start
                coming.pop(0)
            elif start.wait() != 0:
                raise RuntimeError(f"it ended with {start.wait()} before it was struck:\n{start.said()}")


def _wait_for_moment(
    coming: Sequence[str], start: Start, training: Training, timetable: Timetable, draws: random.Random
) -> None:
    before = training.step
    if coming[0] == "start" or before >= training.steps:
        done = before >= training.steps
        _wait(start, draws.uniform(0, timetable.start + done * timetable.finale))
        return
    if coming[0] == "end":
        step, seconds = training.steps, draws.uniform(0, timetable.finale)
    else:
        left = len(coming) - coming.count("start")
        step, seconds = timetable.draw(before, 2 / (left + 1), draws)
    _wait(start, PATIENCE + 5 * timetable.end, lambda: training.passed(step, start.began))
    if start.alive and not training.passed(step, start.began):
        raise RuntimeError(f"it stands still after step {training.step}:\n{start.said()}")
    # Not past the next row, however much faster the machine is by now: the run has to last for the other blows.
    following = min((other for other in timetable.rows if other > step), default=training.steps + 1)
    _wait(start, seconds, lambda: training.passed(following, start.began))
    if coming[0] == "save":
        folder = training.run.checkpoints
        known = set(os.listdir(folder))
        _wait(
            start, PATIENCE, lambda: any(name.endswith(".tmp") for name in {*os.listdir(folder)} - known), 0.0
        )


def _wait(start: Start, seconds: float, condition: Callable[[], object] = bool, pause: float = 0.002) -> None:
    """For so long, until the condition holds, or until the process has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and start.alive and not condition():
        time.sleep(pause)
