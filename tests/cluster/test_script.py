"""Batch scripts: their text, what bash and shellcheck say of it, and what reaches the command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet_pl.cluster.options import JobOptions
from wavenet_pl.cluster.script import Job, build_script
from wavenet_pl.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
ALL = JobOptions(
    nodes=4, gpus_per_node=8, gpu_type="a100", cpus_per_task=12, time="1-00:00:00", partition="long,short",
    account="lab", qos="high", constraint="a100&nvlink", mem="0", exclude="n[7,9-12]", mail="you@example.org",
    signal_lead=300, max_restarts=9,
)  # fmt: skip


def job(*command: str, **more: object) -> Job:
    """A job in made-up folders."""
    settings = {"name": "demo", "folder": Path("/a b/project"), "records": Path("/a b/runs/.slurm")}
    return Job(command=command or ("train", "demo"), **{**settings, **more})


JOBS = {
    "plain": (JobOptions(), job()),
    "all": (ALL, job("train", "demo", "name=it's", "x=$(date)", "data.path=a b", requeues=True)),
    "array": (JobOptions(), job(requeues=True, tasks=[["seed=0"], ["seed=1", "name=a b"]], max_parallel=1)),
    "dependent": (JobOptions(tasks_per_node=2), job(after=["afterok:12", "afterany:13"])),
    "long": (JobOptions(), job(*[f"setting.number_{n}={n}" for n in range(60)])),
    "set up": (
        JobOptions(sbatch=["--exclusive"], setup=["module load cuda", "if true; then\n  x='$HOME'\nfi"]),
        job(),
    ),
    "empty task": (JobOptions(), job(tasks=[[], [""]])),
}


@pytest.mark.parametrize("name", JOBS)
def test_bash_and_shellcheck_have_nothing_to_say(name, tmp_path):
    path = tmp_path / "job.sh"
    path.write_text(build_script(*JOBS[name]))
    assert subprocess.run(["bash", "-n", path], capture_output=True, text=True).stderr == ""
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed: scripts were read by bash -n alone")
    done = subprocess.run(["shellcheck", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", [*ROOT.glob("slurm/*.sh"), *ROOT.glob("tests/slurm/*.sh")], ids=str)
def test_shellcheck_has_nothing_to_say_of_what_is_kept(path):
    assert subprocess.run(["bash", "-n", path], capture_output=True, text=True).stderr == ""
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed: scripts were read by bash -n alone")
    done = subprocess.run(["shellcheck", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def command_of(script: str, task: int | None = None) -> list[str]:
    """The command as bash understands the head of a script."""
    head = script[: script.index("\nid=")]
    show = f"SLURM_ARRAY_TASK_ID={'' if task is None else task}\n{head}\nprintf '%s\\0' \"${{command[@]}}\""
    done = subprocess.run(["bash"], input=show, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


WORDS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=30)


@settings(max_examples=40)
@given(st.lists(WORDS, min_size=1, max_size=8), st.lists(WORDS, max_size=4))
def test_the_command_arrives_word_for_word(words, extra):
    script = build_script(JobOptions(), job("train", *words, tasks=[[], extra], python="python"))
    assert command_of(script, 1) == ["python", "-m", "wavenet_pl", "train", *words, *extra]


def test_the_same_job_gives_the_same_text():
    assert build_script(*JOBS["all"]) == build_script(*JOBS["all"])


def test_the_head_says_what_was_asked():
    lines = build_script(*JOBS["all"]).split("\n")
    assert [line for line in lines if line.startswith("#SBATCH")] == [
        "#SBATCH --job-name=demo", "#SBATCH --nodes=4", "#SBATCH --ntasks-per-node=8", "#SBATCH --gres=gpu:a100:8",
        "#SBATCH --cpus-per-task=12", "#SBATCH --mem=0", "#SBATCH --time=1-00:00:00", "#SBATCH --partition=long,short",
        "#SBATCH --account=lab", "#SBATCH --qos=high", "#SBATCH --constraint=a100&nvlink",
        "#SBATCH --exclude=n[7,9-12]", "#SBATCH --mail-user=you@example.org",
        "#SBATCH --mail-type=END,FAIL,REQUEUE,TIME_LIMIT_90", "#SBATCH --signal=USR1@300",
        '#SBATCH --output="/a b/runs/.slurm/%j.log"', "#SBATCH --open-mode=append", "#SBATCH --requeue",
    ]  # fmt: skip


def test_what_cannot_go_on_is_not_requeued_or_signalled():
    script = build_script(*JOBS["plain"])
    assert "#SBATCH --no-requeue" in script and "--signal" not in script


def test_an_array_has_a_log_for_each_task_and_waits_as_told():
    array, dependent = build_script(*JOBS["array"]), build_script(*JOBS["dependent"])
    assert "#SBATCH --array=0-1%1" in array and "/%A_%a.log" in array
    assert "#SBATCH --dependency=afterok:12,afterany:13" in dependent


def test_a_value_for_sbatch_is_quoted_as_it_reads_it():
    options = JobOptions(sbatch=["--nice=7", "--exclusive", r"""--comment=a "b" 'c' $HOME \ #d"""])
    lines = build_script(options, job()).split("\n")
    assert lines[4:7] == [
        "#SBATCH --nice=7",
        "#SBATCH --exclusive",
        r"""#SBATCH --comment="a \"b\" 'c' $HOME \\ #d" """.rstrip(),
    ]


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        (
            ["true", "echo one\nnothing-of-that-name load cuda\necho two"],
            "127 at: nothing-of-that-name load cuda",
        ),
        (["export A=1", "source ./nowhere"], r"1 at: source ./nowhere"),
        (["exit 0"], "0 at: exit 0"),
        (["set -e; false"], "1 at: false"),
        (["records=/elsewhere"], "1 at: records=/elsewhere"),
        (['eval "echo \'"'], '2 at: eval "echo \'"'),
    ],
)
def test_a_setup_that_fails_ends_the_job_with_what_failed(setup, said, tmp_path):
    own = job(folder=tmp_path, records=tmp_path, python="/bin/false")
    text = build_script(JobOptions(setup=setup), own)
    environment = {
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NODELIST": "n1",
        "SLURM_JOB_NUM_NODES": "1",
        "PATH": "/bin:/usr/bin",
    }
    done = subprocess.run(["bash"], input=text, env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done
    assert f"start 1] not started: --setup failed with {said}" in done.stdout
    assert "two" not in done.stdout


def test_no_script_shows_the_environment():
    """Keys are inherited; a script that printed the environment would put them into a log."""
    body = (ROOT / "slurm/job.sh").read_text()
    assert not any(line.split() in (["env"], ["printenv"], ["export"], ["set"]) for line in body.split("\n"))
    assert "set -x" not in body


@pytest.mark.parametrize("name", ["", "bash", "interactive", "a b", "x\n#SBATCH --uid=0", "-x"])
def test_names_that_queues_or_lightning_misread_are_refused(name):
    with pytest.raises(UserError, match="the job's name is .*, expected"):
        job(name=name)


@pytest.mark.parametrize("folder", ["relative", "/a\nb", '/a"b', "/a%j"])
def test_folders_that_a_script_cannot_name_are_refused(folder):
    with pytest.raises(UserError, match="cannot stand in a batch script"):
        job(folder=Path(folder))
