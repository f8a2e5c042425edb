"""Partitions and nodes that are down, and which of the others have what is asked for."""

from __future__ import annotations

import pytest

from wavenet_pl.cluster.options import JobOptions
from wavenet_pl.cluster.partitions import partitions, read_memory
from wavenet_pl.cluster.states import read_partitions

TIMED = JobOptions(time="60")
NODES = "2/2/0/4|16|64000"


def said(options: JobOptions, *lines: str) -> list[str]:
    """The findings, each in one line."""
    return [
        " ".join(str(finding).split()) for finding in partitions(options, read_partitions("\n".join(lines)))
    ]


@pytest.mark.parametrize(
    ("state", "finding"),
    [
        ("down", "warn --partition gpu is down; the job waits until it is up"),
        ("drain", "fail --partition gpu takes no jobs (drain); submit later"),
        ("inactive", "fail --partition gpu takes no jobs (inactive); submit later"),
    ],
)
def test_a_partition_that_is_down_only_queues_and_one_that_is_up_and_fits_is_named(
    state: str, finding: str
) -> None:
    lines = [
        f"gpu*|{state}|infinite|{NODES}|gpu:8|",
        f"aaa|down|infinite|{NODES}|gpu:8|",
        f"cpu|up|infinite|{NODES}|(null)|",
        f"new|up|infinite|{NODES}|gpu:8|",
    ]
    options = JobOptions(time="60", gpus_per_node=8)
    assert said(options, *lines) == [f"{finding}, or use --partition new"]
    assert said(options, *lines[:3]) == [finding], "none that is up has what is asked for"


def test_nodes_that_are_down_are_waited_for_and_no_failure() -> None:
    lines = ["low*|up|infinite|1/0/3/4|16|64000|(null)|", "high|up|infinite|0/2/0/2|16|64000|(null)|"]
    assert said(TIMED, *lines) == []
    [line] = said(JobOptions(time="60", nodes=2), *lines)
    assert line.startswith(
        "warn --nodes 2, and 1 of 4 such in low are up: see `sinfo -R` for the others; the job waits"
    )
    assert line.endswith("; the job waits for them; lower it, or use --partition high")
    [line] = said(JobOptions(time="60", nodes=5), *lines)
    assert line == "fail --nodes 5, and low has 4 such; lower it"


def test_of_several_partitions_one_that_fits_is_enough() -> None:
    lines = [f"old|drain|infinite|{NODES}|(null)|", f"new|up|infinite|{NODES}|(null)|"]
    [line] = said(JobOptions(time="60", partition="old,new"), *lines)
    assert line.startswith("warn --partition old takes no jobs")
    [line] = said(JobOptions(time="60", partition="old,gone,new"), *lines)[:1]
    assert line == "fail --partition there is no gone; use new"


def test_where_no_partition_is_shown_or_none_is_the_default() -> None:
    assert said(TIMED, "") == ["warn --partition `sinfo` names none; whether there is one only sbatch knows"]
    assert said(TIMED, f"new|up|infinite|{NODES}|(null)|") == [
        "fail --partition the cluster has no default; use new"
    ]


def test_a_limit_is_asked_for_where_there_is_none() -> None:
    assert said(JobOptions(), f"new*|up|infinite|{NODES}|(null)|") == [
        "warn --time not set, and new has no limit; set it: short jobs start earlier"
    ]


@pytest.mark.parametrize(("text", "size"), [("64G", 65536), ("512", 512), ("1T", 2**20), ("0", 0), (None, 0)])
def test_memory(text: str | None, size: float) -> None:
    assert read_memory(text) == size
