"""What the libraries below say that is no news to the user."""

from __future__ import annotations

import logging
import warnings


def quieten() -> None:
    """Let them say it no more."""
    import lightning.pytorch  # noqa: F401 - it sets the levels of its loggers when it is imported

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("wavenet_pl").setLevel(logging.INFO)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*`srun` command is available.*",
        ".*litlogger.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*Trying to infer the `batch_size`.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*This DataLoader will create.*",
        ".*mid-epoch checkpoint.*",
        ".*all_gather is deprecated.*",
        ".*recommended to use `self.log.*sync_dist=True.*",  # val/bits is reduced already
    ):
        warnings.filterwarnings("ignore", message=message)
