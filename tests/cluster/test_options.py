"""Options of a job: what they say to sbatch, and what is refused by the name that is typed."""

from __future__ import annotations

import argparse
from dataclasses import fields

import pytest

from wavenet_pl.cluster.options import JobOptions, add_arguments, read_options
from wavenet_pl.errors import UserError


def read(*arguments: str) -> JobOptions:
    """As the command line does."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_options(parser.parse_args(arguments))


def test_nothing_said_is_the_default():
    assert read() == JobOptions()


def test_every_option_can_be_typed():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert {field.name for field in fields(JobOptions)} <= vars(parser.parse_args([])).keys()


@pytest.mark.parametrize(
    ("arguments", "tasks"),
    [
        ("", 1),
        ("--gpus-per-node 8", 8),
        ("--tasks-per-node 3", 3),
        ("--gpus-per-node 8 --tasks-per-node 1", 1),
    ],
)
def test_there_is_a_task_for_each_gpu_unless_told_otherwise(arguments, tasks):
    assert read(*arguments.split()).tasks == tasks


def test_directives_say_what_was_asked_and_nothing_else():
    asked = (
        "--nodes 2 --gpus-per-node 8 --gpu-type a100 --time 24:00:00 --mem 0 --constraint a&b --mail a@b.org"
    )
    assert dict(read(*asked.split()).directives()) == {
        "nodes": "2",
        "ntasks-per-node": "8",
        "gres": "gpu:a100:8",
        "time": "24:00:00",
        "mem": "0",
        "constraint": "a&b",
        "mail-user": "a@b.org",
        "mail-type": "END,FAIL,REQUEUE,TIME_LIMIT_90",
    }
    assert dict(JobOptions().directives()) == {"nodes": "1", "ntasks-per-node": "1"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5_400),
        ("90:30", 5_430),
        ("24:00:00", 86_400),
        ("1-12", 129_600),
        ("1-12:30", 131_400),
        ("2-00:00:01", 172_801),
    ],
)
def test_times_are_read_as_sbatch_reads_them(text, seconds):
    assert JobOptions(time=text).seconds == seconds


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nodes", "0"],
        ["--gpus-per-node", "-1"],
        ["--tasks-per-node", "0"],
        ["--cpus-per-task", "0"],
        ["--time", "soon"],
        ["--time", "0"],
        ["--time", "1:00:00:00"],
        ["--partition", "a b"],
        ["--account", "x;y"],
        ["--qos", ""],
        ["--constraint", "a b"],
        ["--exclude", "n1\n#SBATCH --uid=0"],
        ["--mem", "64 GB"],
        ["--mail", "nobody"],
        ["--signal-lead", "0"],
        ["--max-restarts", "-1"],
        ["--gpu-type", "a100"],
    ],
)
def test_what_no_job_can_have_is_refused_by_name(arguments):
    option = "--gpus-per-node" if arguments[0] == "--gpu-type" else arguments[0]
    with pytest.raises(UserError, match=f"{option} is .*, expected "):
        read(*[f"{arguments[0]}={arguments[1]}"])
