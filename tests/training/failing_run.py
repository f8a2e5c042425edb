"""A program: 20 rows through the loggers, with something going wrong in the middle.

Run as ``python -m tests.training.failing_run FOLDER DONE SECONDS``: it goes on with a run of which so many steps are
done, and waits so long for W&B, a minute by default. It writes READY after 10 rows and waits for a line on its input.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from wavenet_pl.config.training import WandbConfig
from wavenet_pl.tracking.rows import cut_back
from wavenet_pl.training.metrics_file import NAME, MetricsFile
from wavenet_pl.training.wandb_logger import build_wandb_logger


def main(run_dir: Path, done: int, seconds: float = 60.0) -> None:
    """Log."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = WandbConfig(log_every_n_steps=1, init_timeout=seconds, finish_timeout=seconds)
    cut_back(run_dir / NAME, done)
    tracker = build_wandb_logger(
        config, run_dir=run_dir, run_id="r1", run_config={"a": 1}, index_fingerprint="f" * 64
    )
    assert tracker is not None
    tracker.catch_up()
    loggers = [MetricsFile(run_dir / NAME), tracker]
    for step in range(done + 1, done + 21):
        for logger in loggers:
            logger.log_metrics({"train/loss": 1 / step}, step=step)
        if step == done + 10:
            print("READY", flush=True)
            sys.stdin.readline()
    tracker.finish(85)
    print("DONE", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:]))
