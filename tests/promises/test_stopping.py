"""A run that is stopped anywhere, by anything, saves and goes on as if nothing had happened."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import kill_soak, signal_soak
from benchmarks.moments import Timetable
from benchmarks.trials import Training, prepare_set
from tests.data.test_datamodule import data_of, loader_of, read_from, rows
from tests.processes import losses, start, the_run, train, wait_for_step, weights
from tests.shards.made import write_shard_set
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.tracking.rows import read_metrics

BATCH_SIZE = 12

RANKS = [(1, 1), (2, 1), (3, 1), (1, 2), (4, 1), (6, 1), (12, 1), (1, 3), (2, 2), (3, 4)]
"""World size and accumulated batches, which all divide the batch size."""


def legs(ranks: list[tuple[int, int]], workers: int, most: int) -> st.SearchStrategy[list[Any]]:
    """Starts of one run: ranks and accumulated batches, workers, global batches until the stop."""
    leg = st.tuples(st.sampled_from(ranks), st.integers(0, workers), st.integers(1, 6))
    return st.lists(leg, min_size=2, max_size=most)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> AudioDataModule:
    """Forty-nine crops of six recordings, in five batches an epoch, the last one nearly empty."""
    frames = (4_000, 7_000, 2_500, 5_501, 1_200, 3_200)
    folder = write_shard_set(tmp_path_factory.mktemp("elastic"), train=6, val=1, frames=frames)
    return data_of(folder, batch_size=BATCH_SIZE)


@pytest.fixture(scope="module")
def batches(data: AudioDataModule) -> list[Counter[Any]]:
    """Every global batch of as many epochs as the longest run has, read by one process without a stop."""
    loader = loader_of(data)
    epochs = [[Counter(rows(batch)) for batch in loader] for _ in range(6)]
    assert {len(epoch) for epoch in epochs} == {5}
    for epoch in epochs:
        slots = Counter({row: count for batch in epoch for row, count in batch.items() if row[0] >= 0})
        assert sum(slots.values()) == data.plan("train", 0).num_slots == 49 and set(slots.values()) == {1}
    return [batch for epoch in epochs for batch in epoch]


def go_on(data: AudioDataModule, batches: list[Counter[Any]], starts: list[Any]) -> None:
    """Every start gives the next global batches, each as the same set."""
    state, seen = {"epoch": 0, "batches": 0}, 0
    for (world_size, parts), workers, stop in starts:
        found, state = read_from(data, state, world_size, parts, workers, stop)
        assert found == batches[seen : seen + stop]
        seen += stop


@settings(max_examples=50)
@given(starts=legs(RANKS, workers=0, most=5))
def test_a_run_that_is_stopped_anywhere_gives_the_same_batches_to_any_ranks(
    data: AudioDataModule, batches: list[Counter[Any]], starts: list[Any]
) -> None:
    go_on(data, batches, starts)


@pytest.mark.slow
@settings(max_examples=15)
@given(starts=legs(RANKS[:4], workers=3, most=3))
def test_a_run_that_is_stopped_anywhere_gives_the_same_batches_to_any_ranks_and_workers(
    data: AudioDataModule, batches: list[Counter[Any]], starts: list[Any]
) -> None:
    go_on(data, batches, starts)


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(max_examples=300)
@given(starts=legs(RANKS, workers=3, most=5))
def test_so_it_is_for_all_numbers_of_ranks(
    data: AudioDataModule, batches: list[Counter[Any]], starts: list[Any]
) -> None:
    go_on(data, batches, starts)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("elastic") / "set", train=10, val=3)


def train_in_legs(shards: Path, folder: Path, legs: list[tuple[int, int, int]]) -> Path:
    """Train, on so many ranks with so many workers each, until such a step; then on others from there.

    With Muon, which has AdamW for a part of the weights.
    """
    folder.mkdir()
    for ranks, workers, step in legs:
        train(
            shards, folder, f"data.batch_size={BATCH_SIZE}", f"trainer.devices={ranks}", f"data.num_workers={workers}",
            f"trainer.max_steps={step}", "optim.kind=muon",
        )  # fmt: skip
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_two_three_and_one_rank_learn_what_one_learns(shards, tmp_path):
    """An epoch has nine steps: the stops at 7, 15 and 20 lie in the middle of three of them."""
    whole = losses(train_in_legs(shards, tmp_path / "whole", [(1, 0, 30)]))
    parts = losses(train_in_legs(shards, tmp_path / "parts", [(1, 1, 7), (2, 1, 15), (3, 0, 20), (1, 0, 30)]))
    assert parts.keys() == whole.keys()
    assert all(parts[step] == whole[step] for step in range(1, 8)), (
        "as long as there was one rank, bit by bit"
    )
    assert parts == pytest.approx(whole, rel=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ranks", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_other_workers_change_no_bit(shards, tmp_path, ranks):
    whole = train_in_legs(shards, tmp_path / "whole", [(ranks, 0, 20)])
    parts = train_in_legs(shards, tmp_path / "parts", [(ranks, 2, 6), (ranks, 0, 13), (ranks, 3, 20)])
    assert losses(parts) == losses(whole)
    one, other = weights(parts), weights(whole)
    assert one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def group_ends(group: int) -> bool:
    """Whether the last process of a group leaves within some time."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.2)
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "told"),
    [
        pytest.param("data", "waiting for data", marks=pytest.mark.soak),
        ("forward", "forward"),
        ("save", "save"),
        pytest.param("clips", "clips", marks=pytest.mark.soak),
    ],
)
def test_a_rank_that_sleeps_ends_the_run_on_all_ranks(shards, tmp_path, phase, told):
    settings = (
        "trainer.devices=2", "trainer.max_steps=50", "train.hang_after=6", "train.checkpoint_every_n_steps=2",
        "trainer.limit_val_batches=0", "samples.every_n_steps=6", "samples.count=2", "samples.seconds=0.05",
        "samples.prompt_seconds=0.02", "samples.budget_seconds=5",
    )  # fmt: skip
    sleeper, step = (0, "4") if phase == "save" else (1, "6")
    process = start(shards, tmp_path, *settings, trouble=(phase, sleeper, step))
    _, error = process.communicate(timeout=120)
    assert process.returncode == 85, error[-3000:]
    assert re.search(rf"rank {sleeper} hangs at step {step}: no batch for 6 s, in: {told}", error), error
    assert f"rank {1 - sleeper} hangs at step" in error
    for rank in (0, 1):
        stacks = (the_run(tmp_path).logs / f"hang-rank-{rank}.txt").read_text()
        assert "most recent call first" in stacks and "in: " in stacks
    assert group_ends(process.pid)
    text = train(shards, tmp_path, *settings[:1], "trainer.max_steps=8")
    assert "going on from step-00000000" in text and len(losses(tmp_path)) == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "trouble", "rank"),
    [
        pytest.param(1, "stop", 0, marks=pytest.mark.soak),
        pytest.param(2, "stop", 1, marks=pytest.mark.soak),
        pytest.param(1, "stop-clips", 0, marks=pytest.mark.soak),
        pytest.param(2, "stop-clips", 1, marks=pytest.mark.soak),
        (1, "stop-validation", 0),
        pytest.param(2, "stop-validation", 1, marks=pytest.mark.soak),
    ],
)
@pytest.mark.parametrize(
    "validated",
    [
        ("trainer.val_check_interval=4", "trainer.check_val_every_n_epoch=null"),
        ("trainer.limit_train_batches=4", "trainer.check_val_every_n_epoch=1"),
    ],
    ids=["within epochs", "between epochs"],
)
def test_what_a_stopped_step_owes_is_made_up_for(shards, tmp_path, devices, trouble, rank, validated):
    """Stopped where a validation and clips were due, and once more at the end: both are there after it went on, once,
    and before later ones.
    """
    (tmp_path / "parts").mkdir(), (tmp_path / "whole").mkdir()
    settings = (
        f"trainer.devices={devices}", *validated, "samples.every_n_steps=4", "samples.count=2",
        "samples.seconds=0.05", "samples.prompt_seconds=0.02",
        "train.checkpoint_every_n_steps=100", "optim.ema_decay=0.9", "trainer.max_steps=12",
    )  # fmt: skip
    for step in (8, 12):
        train(shards, tmp_path / "parts", *settings, trouble=(trouble, rank, str(step)), code=85)
        rows = read_metrics(the_run(tmp_path / "parts").metrics)
        assert [row["step"] for row in rows if "val/bits" in row] == list(range(4, step, 4))
        assert rows[-1]["step"] == step
    for folder in ("parts", "whole"):
        train(shards, tmp_path / folder, *settings)
    told = [
        [(row["step"], row["val/bits"]) for row in read_metrics(the_run(folder).metrics) if "val/bits" in row]
        for folder in (tmp_path / "parts", tmp_path / "whole")
    ]
    assert told[0] == told[1] and [step for step, _ in told[0]] == [4, 8, 12]
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    one, other = (weights(tmp_path / folder) for folder in ("parts", "whole"))
    assert one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)
    for name in ("step-000000004", "step-000000008", "step-000000012"):
        one, other = (the_run(tmp_path / folder).clips / name for folder in ("parts", "whole"))
        assert (one / "00-free-running.wav").read_bytes() == (other / "00-free-running.wav").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 85)]
)
@pytest.mark.parametrize("devices", [1, 2])
def test_a_signal_to_the_whole_group_saves_and_the_same_command_goes_on(
    shards, tmp_path, number, code, devices
):
    settings = ("trainer.max_steps=100000", f"trainer.devices={devices}", f"data.num_workers={devices - 1}")
    process = start(shards, tmp_path, *settings)
    wait_for_step(tmp_path, 15, process)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err[-3000:]
    assert "Traceback" not in err and "the same command goes on from there" in err
    done = len(losses(tmp_path))
    assert max(the_run(tmp_path).checkpoints.glob("*.ckpt")).name == f"step-{done:09d}.ckpt"
    again = ("trainer.max_steps=" + str(done + 3), *settings[1:])
    assert f"going on from step-{done:09d}.ckpt" in train(shards, tmp_path, *again)
    assert len(losses(tmp_path)) == done + 3


@pytest.mark.slow
def test_a_time_limit_saves_and_asks_to_be_started_again(shards, tmp_path):
    text = train(shards, tmp_path, "train.stop_after=6", code=85)
    assert "the same command goes on from there" in text and losses(tmp_path)


@pytest.mark.slow
def test_a_second_signal_forces(shards, tmp_path):
    settings = ("trainer.max_steps=50", "train.hang_after=null")
    process = start(shards, tmp_path, *settings, trouble=("forward", 0, "6"))
    assert "asleep\n" in iter(process.stdout.readline, "")
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)  # it sleeps, and the flag waits for the end of the step
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    process.communicate()


@pytest.mark.slow
def test_ctrl_c_is_answered_at_once_and_the_second_ends_it(shards, tmp_path):
    process = start(
        shards, tmp_path, "trainer.max_steps=50", "train.hang_after=null", trouble=("forward", 0, "6")
    )
    assert "asleep\n" in iter(process.stdout.readline, "")
    process.send_signal(signal.SIGINT)
    answer = "stopping after this step, and saving; Ctrl-C again stops without saving"
    assert any(answer in line for line in iter(process.stderr.readline, "")), "while it sleeps"
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 130
    assert rest.split("\n") == [
        "",
        "stopped without saving; the same command goes on from the newest checkpoint",
        "",
    ]


@pytest.mark.slow
def test_a_signal_before_the_handlers_is_kept(tmp_path):
    """Between the first line of `main` and the handlers a signal waits; without that it would kill the process."""
    program = (
        "import os, signal\n"
        "from wavenet_pl import cli, signals\n"
        "import wavenet_pl.commands.train as train\n"
        "def main(args):\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    flag = signals.StopFlag()\n"
        "    assert not flag\n"
        "    flag.install()\n"
        "    return flag.code\n"
        "train.main = main\n"
        "raise SystemExit(cli.main(['train']))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 85


@pytest.mark.cold("ranks are found by the variables they began with, before they have handlers")
@pytest.mark.slow
def test_a_signal_while_ranks_are_started_is_kept(shards, tmp_path):
    """A rank that it killed as it began would be waited for, for half an hour."""
    process = start(shards, tmp_path, "trainer.max_steps=50", "trainer.devices=2")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    second = ""
    while not second and process.poll() is None:
        with suppress(OSError):  # one that was there for a moment
            for pid in children.read_text().split():
                second = pid if b"LOCAL_RANK=1" in Path(f"/proc/{pid}/environ").read_bytes() else second
    os.kill(int(second), signal.SIGUSR1)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 85, err[-3000:]


@pytest.fixture(scope="module")
def struck_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_set(tmp_path_factory.mktemp("struck"))


@pytest.mark.cold("a kill may come in the imports, and processes are found by the variables they began with")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("layout", "kills"),
    [pytest.param("1x0", 2, marks=pytest.mark.slow), pytest.param("2x2", 5, marks=pytest.mark.soak)],
)
def test_kills_at_random_moments_lose_nothing(struck_set, tmp_path, layout, kills):
    record = kill_soak.measure(layout, kills, tmp_path, struck_set)
    assert kill_soak.broken(record, kills) == [], record
    assert record["losses_compared"] == record["steps"] == 16 * kills
    if kills > 2:  # few kills may all come before the first checkpoint
        assert record["checkpoints_checked"] >= kills
        assert sum(record[f"killed_in_{phase}"] > 0 for phase in kill_soak.PHASES) >= 2


@pytest.fixture(scope="module")
def unstopped(tmp_path_factory) -> Callable[[signal_soak.Work], tuple[Training, Timetable]]:
    return cache(partial(signal_soak.unstopped, tmp_path_factory.mktemp("signals"), 3, "forkserver"))


@pytest.mark.soak
@pytest.mark.cold("a signal may come in the imports, and ranks are found by the variables they began with")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pattern", signal_soak.PATTERNS)
def test_signals_at_random_moments_save_and_the_run_goes_on(unstopped, pattern):
    record = signal_soak.measure(pattern, 2, *unstopped(signal_soak.PATTERNS[pattern].work))
    assert signal_soak.broken(record, 2) == [], record


@pytest.mark.soak
@pytest.mark.cold("processes are found by the variables they began with")
@pytest.mark.timeout(900)
def test_a_signal_does_not_reach_spawned_workers(unstopped):
    """Compared with the run of others: how workers are started changes no number."""
    pattern = "usr1-all"
    whole, timetable = unstopped(signal_soak.PATTERNS[pattern].work)
    spawning = replace(whole, settings=(*signal_soak.SETTINGS, "data.worker_start=spawn"))
    record = signal_soak.measure(pattern, 1, spawning, timetable)
    assert signal_soak.broken(record, 1) == [], record
