"""What ranks tell each other, and that none waits for one that has nothing to say: two real processes each."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.slow

BEGIN = """
import sys, time
from datetime import timedelta
import numpy as np
import torch
rank, port = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group(
    "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2, timeout=timedelta(seconds=8)
)
"""
CLIPS = """
from tests.small import small_model
from wavenet_pl.config.training import SamplesConfig
from wavenet_pl.errors import BadDataError
from wavenet_pl.training.callbacks.clips import Prompt, make_clips

def gather(rows):
    gathered = [torch.empty_like(rows) for _ in range(2)]
    torch.distributed.all_gather(gathered, rows)
    return torch.cat(gathered)

model = small_model()
if rank == 1:
    torch.nn.init.constant_(model.network.output.weight, float("nan"))
prompts = [Prompt(str(number), number, np.zeros(240, dtype=np.float32), {}) for number in range(2)]
config = SamplesConfig(count=2, seconds=0.03, prompt_seconds=0.01)
try:
    make_clips(model, prompts, config, rank=rank, world_size=2, gather=gather)
except BadDataError as error:
    assert "outputs are not finite" in str(error)
    sys.exit(3)
"""
LATE = """
from wavenet_pl.training.callbacks.ranks import leave_together
if rank == 0:
    time.sleep(14)
leave_together()
assert not torch.distributed.is_initialized()
"""


def ends_of(program: str) -> list[int]:
    """The exit codes of two ranks that run it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        subprocess.Popen([sys.executable, "-c", BEGIN + program, str(rank), str(port)], cwd=ROOT)
        for rank in range(2)
    ]
    return [process.wait(timeout=120) for process in ranks]


def test_outputs_that_are_not_finite_on_one_rank_leave_all_ranks_without_clips() -> None:
    assert ends_of(CLIPS) == [3, 3]


def test_ranks_wait_for_the_first_one_for_longer_than_for_each_other() -> None:
    assert ends_of(LATE) == [0, 0]
