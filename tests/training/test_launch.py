"""Ranks that a launcher started, against those that a config asks for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.shards.made import write_shard_set
from tests.small import SETTINGS
from wavenet_pl.errors import UserError
from wavenet_pl.training.launch import check_launch, check_processes

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
BATCH = {"SLURM_NTASKS": "2", "SLURM_NNODES": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7"}
STEP = {**BATCH, "SLURM_STEP_ID": "0"}
ONE_TASK = {**STEP, "SLURM_NTASKS": "1"}


@pytest.mark.parametrize(
    ("environment", "options", "message"),
    [
        (TORCHRUN, {"devices": 2}, r"torchrun started 4 .* is 2 x 1; set trainer.devices=2 trainer.num_nodes=2, or"),
        (TORCHRUN, {"accelerator": "cpu"}, r"torchrun started 4 processes, and .* is 1 x 1"),
        (BATCH, {"devices": 2}, r"this job has 2 tasks, .* without srun, so it would wait .* for ever; write `srun`"),
        (BATCH, {}, r"this job has 2 tasks, .* without srun"),
        (STEP, {"devices": 1}, r"SLURM started 2 tasks, and .* is 1 x 1; set trainer.devices=2, or submit it with"),
        ({**STEP, "SLURM_NNODES": "2"}, {"devices": "2"}, r"is 2 x 1; set trainer.devices=1 trainer.num_nodes=2,"),
        (ONE_TASK, {"devices": 2}, r"SLURM started 1 task, and .* is 2 x 1; set trainer.devices=1, or"),
        ({"WORLD_SIZE": "4"}, {"devices": [0]}, r"the environment has WORLD_SIZE=4, and .* is 1 x 1; .* `unset WORLD"),
    ],
)  # fmt: skip
def test_ranks_that_were_not_asked_for_are_refused_by_both_numbers(environment, options, message):
    with pytest.raises(UserError, match=message):
        check_launch(options, environment)


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ({}, {"devices": 8, "num_nodes": 4}),
        (TORCHRUN, {"devices": 2, "num_nodes": 2}),
        (TORCHRUN, {"devices": "0,1", "num_nodes": 2}),
        (TORCHRUN, {"devices": "auto"}),  # the machine decides, and `check_processes` looks again
        (TORCHRUN, {"devices": -1}),
        (STEP, {"devices": 2}),
        (ONE_TASK, {"devices": 1}),
        ({**BATCH, "SLURM_NTASKS": "1"}, {"devices": 1}),
        ({**BATCH, "SLURM_JOB_NAME": "interactive"}, {"devices": 1}),
        ({**BATCH, **TORCHRUN}, {"devices": 2, "num_nodes": 2}),
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "1"}, {"devices": 2}),  # as Lightning's own ranks have it
        ({"WORLD_SIZE": ""}, {"devices": 2}),
    ],
)
def test_ranks_as_they_were_asked_for_pass(environment, options):
    check_launch(options, environment)


def test_what_the_machine_decided_is_compared_too():
    check_processes(2, 2, TORCHRUN)
    with pytest.raises(UserError, match=r"torchrun started 4 processes, and .* is 1 x 1"):
        check_processes(1, 1, TORCHRUN)


@pytest.mark.cold("launched by another than us")
@pytest.mark.parametrize(
    ("variables", "settings"), [(BATCH, ()), (TORCHRUN, ("trainer.devices=auto", "trainer.accelerator=auto"))]
)
def test_a_training_without_its_ranks_ends_before_it_begins(tmp_path, variables, settings):
    shards, runs = write_shard_set(tmp_path / "set", train=2, val=1), tmp_path / "runs"
    command = [sys.executable, "-m", "wavenet_pl", "train", f"data.path={shards}", *SETTINGS, *settings]
    ranks = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    ended = subprocess.run(
        [*command, "--runs", str(runs)],
        env={**os.environ, **ranks, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr and ended.stderr.count("error:") == 1
    assert not runs.exists()
