"""Options of a job: what they say to sbatch, and what is refused by the name that is typed."""

from __future__ import annotations

import argparse
from dataclasses import fields

import pytest

from wavenet_pl.cluster.options import JobOptions, add_arguments, read_options
from wavenet_pl.errors import UserError


def read(*arguments: str, **environment: str) -> JobOptions:
    """As the command line does, in this environment."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_options(parser.parse_args(arguments), environment)


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


def test_a_variable_of_sbatch_says_what_was_not_typed():
    said = {
        "SBATCH_ACCOUNT": "lab",
        "SBATCH_PARTITION": "gold",
        "SBATCH_TIMELIMIT": "2:00:00",
        "SBATCH_QOS": "",
    }
    assert read("--partition", "low", **said) == JobOptions(account="lab", partition="low", time="2:00:00")


def test_a_variable_that_says_what_no_job_can_have_is_named():
    with pytest.raises(UserError, match=r"SBATCH_TIMELIMIT is set here: --time is 'soon', .*; type --time"):
        read(SBATCH_TIMELIMIT="soon")


def test_other_options_of_sbatch_are_passed_on_as_they_are():
    typed = (
        "--reservation=a b",
        "--exclusive",
        "--time-min=10",
        "--gres-flags=enforce-binding",
        "--wait-all-nodes=1",
    )
    assert read(*(f"--sbatch={option}" for option in typed)).directives()[-5:] == [
        ("reservation", "a b"),
        ("exclusive", None),
        ("time-min", "10"),
        ("gres-flags", "enforce-binding"),
        ("wait-all-nodes", "1"),
    ]


@pytest.mark.parametrize(
    ("option", "taken", "instead"),
    [
        ("--output=x.log", "--output", "slurm logs"),
        ("--signal=B:USR1@60", "--signal", "use --signal-lead"),
        ("--nodes=2", "--nodes", "use --nodes"),
        ("--gres=gpu:2", "--gres", "use --gpus-per-node"),
        ("--no-requeue", "--no-requeue", "use --max-restarts"),
        ("--export=NONE", "--export", "jobs inherit the environment"),
        ("--wait", "--wait", "reads what sbatch prints"),
        ("--outp=x.log", "--output", "slurm logs"),
    ],
)
def test_an_option_of_sbatch_that_is_set_elsewhere_is_refused_with_what_to_use(option, taken, instead):
    with pytest.raises(UserError, match=rf"--sbatch is '{option}', .* sets {taken} itself, .*; .*{instead}"):
        read(f"--sbatch={option}")


@pytest.mark.parametrize(
    "option",
    ["reservation=x", "--reservation x", "-N2", "", "--x=\n#SBATCH --uid=0", "--reservation=", "--X=1"],
)
def test_what_is_no_option_of_sbatch_is_refused(option):
    with pytest.raises(UserError, match=r"--sbatch is .*, expected one long option"):
        read(f"--sbatch={option}")


def test_an_option_of_sbatch_twice_is_refused():
    with pytest.raises(UserError, match="--sbatch sets --nice twice"):
        read("--sbatch=--nice=1", "--sbatch=--nice=2")


def test_setup_is_a_line_or_what_is_in_a_file(tmp_path):
    (tmp_path / "modules.sh").write_bytes(b"module load cuda\r\n\r\nconda activate x\r\n")
    options = read("--setup", "module load python", "--setup", str(tmp_path / "modules.sh"))
    assert options.setup == ("module load python", "module load cuda\n\nconda activate x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modules.sh", "is no file, expected one that is there, or a line of bash"),
        ("/shared/modules", "is no file"),
        ("if true; then", "unexpected end of file"),
        ("echo 'a", "unexpected EOF while looking for matching"),
        ("cat <<END", "here-document"),
        (" ", "nothing is in it"),
    ],
)
def test_a_setup_that_bash_cannot_read_is_refused(text, said, monkeypatch):
    monkeypatch.setenv("LC_ALL", "xx_XX")  # of which bash would say something, too
    with pytest.raises(UserError, match=f"--setup .*{said}"):
        read(f"--setup={text}")


def test_a_long_line_of_bash_is_one():
    line = f"module load {'gcc ' * 90}cuda"
    assert read(f"--setup={line}").setup == (line,)


def test_a_setup_that_cannot_be_read_as_text_is_refused(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"--setup .*binary cannot be read \(it is no text\)"):
        read("--setup", str(tmp_path / "binary"))
    assert read("--setup=PATH=/bin:$PATH").setup == ("PATH=/bin:$PATH",)
