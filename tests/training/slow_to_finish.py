"""A script: `wavenet-pl train` whose tracker takes some seconds to finish.

python -m tests.training.slow_to_finish ARGUMENT ...
"""

from __future__ import annotations

import sys
import time

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from tests.training.stopped_script import LONGER_THAN_LIGHTNING_LOOKS_AWAY
from wavenet_pl import cli
from wavenet_pl.training.wandb_logger import RunTracker

if __name__ == "__main__":
    finish = RunTracker.finish

    @rank_zero_only
    def late(self: RunTracker, exit_code: int = 0) -> None:
        """As before, some time later."""
        time.sleep(LONGER_THAN_LIGHTNING_LOOKS_AWAY)
        finish(self, exit_code)

    RunTracker.finish = late  # type: ignore[method-assign]
    sys.exit(cli.main(["train", *sys.argv[1:]]))
