"""What the batch script does around its command. Ranks are small programs here that stand for trainings."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster.submitting import TRAIN, slurm
from tests.shards.made import write_shard_set
from tests.slurm.jobs import SCRIPT, TWO_NODES, Cluster, log_of
from tests.small import SETTINGS
from wavenet_pl.cluster.options import JobOptions
from wavenet_pl.cluster.records import read_records
from wavenet_pl.cluster.script import Job, build_script
from wavenet_pl.runs.starts import read_starts

KEY = "planted0key0that0nobody0may0ever0see0again"
ONE_NODE = JobOptions(time="10", exclude="n2")


def stand_in(folder: Path, rank: str) -> Job:
    """A job whose ranks do this, in bash, instead of training; what else the script asks Python for is real."""
    program = folder / "python"
    program.write_text(f'#!/bin/bash\n[ "$2" = wavenet_pl ] || exec {sys.executable} "$@"\n{rank}\n')
    program.chmod(0o755)
    return Job(
        name="stand-in", command=["train"], folder=folder, records=folder / "runs/.slurm", requeues=True,
        python=str(program),
    )  # fmt: skip


def test_a_node_that_does_not_see_the_runs_is_named_before_anything_starts(
    cluster: Cluster, tmp_path: Path
) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("no node can have a folder of its own here: mount namespaces are not permitted")
    job = replace(stand_in(tmp_path, "exit 0"), records=cluster.folder / "private/runs/.slurm")
    id = cluster.submit(TWO_NODES, job)
    assert cluster.wait_for_end(id) == "FAILED" and cluster.state(id).exit_code == 2
    log = log_of(job.records, id)
    assert f"node n2 does not see {job.records}, expected a file system that all nodes share" in log
    assert "--exclude=n2" in log and "not started: nodes differ" in log
    assert not list(job.records.glob("slurm-*")) and not list(job.records.glob(".token*"))


def test_a_job_that_always_asks_for_more_time_is_stopped_with_the_reason(
    cluster: Cluster, tmp_path: Path
) -> None:
    job = stand_in(tmp_path, "exit 85")
    id = cluster.submit(ONE_NODE, job)
    assert cluster.wait_for_end(id) == "FAILED", log_of(job.records, id)
    assert (cluster.state(id).exit_code, cluster.state(id).restarts) == (3, 1)
    assert "stopped: the job was started 2 times in a row without a new checkpoint" in log_of(job.records, id)


def test_a_job_is_started_again_as_often_as_allowed(cluster: Cluster, tmp_path: Path) -> None:
    run = tmp_path / "runs/small-1a2b3c"
    rank = f"""
        mkdir -p {run}/checkpoints
        touch {run}/checkpoints/step-$(printf %09d "$((SLURM_RESTART_COUNT + 1))").ckpt
        echo '{{"run": "{run}", "restart": 0}}' >>"${{WAVENET_PL_START%/*}}/$SLURM_JOB_ID.starts.jsonl"
        exit 85"""
    job = stand_in(tmp_path, rank)
    id = cluster.submit(replace(ONE_NODE, max_restarts=2), job)
    assert cluster.wait_for_end(id) == "FAILED", log_of(job.records, id)
    assert (cluster.state(id).exit_code, cluster.state(id).restarts) == (3, 2)
    assert "was started again 2 times, which is --max-restarts" in log_of(job.records, id)
    assert [start.exit for start in read_starts(job.records / f"{id}.starts.jsonl").starts] == [85, 85, 85]


def test_a_signal_before_the_ranks_are_ready_for_it_starts_the_job_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    job = stand_in(tmp_path, '[ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] || kill -USR1 $$')
    id = cluster.submit(ONE_NODE, job)
    assert cluster.wait_for_end(id) == "COMPLETED", log_of(job.records, id)
    assert cluster.state(id).restarts == 1


def test_the_rank_that_fails_first_fails_the_job_with_its_code(cluster: Cluster, tmp_path: Path) -> None:
    """The other one is ended because of it, with the higher 143."""
    jobs = {}
    for fails, code in (("exit 2", 2), ("kill -SEGV $$", 139), ("kill -KILL $$", 137)):
        (folder := tmp_path / str(code)).mkdir()
        job = stand_in(folder, f'[ "$SLURM_PROCID" = 0 ] || exec sleep 100\n{fails}')
        jobs[cluster.submit(TWO_NODES, job)] = job, code
    for id, (job, code) in jobs.items():
        assert cluster.wait_for_end(id) == "FAILED" and cluster.state(id).exit_code == code
        assert f"failed with {code}: see" in log_of(job.records, id)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("", "this job has 2 tasks, and this process was started without srun"),
        ("srun ", "SLURM started 2 tasks, and trainer.devices x trainer.num_nodes is 1 x 1; set trainer.devices=2"),
    ],
)  # fmt: skip
def test_a_script_of_ones_own_that_starts_other_ranks_is_refused_at_once(
    cluster: Cluster, tmp_path: Path, start: str, message: str
) -> None:
    data, log = write_shard_set(tmp_path / "set", train=3, val=3), tmp_path / "job.log"
    settings = " ".join([*SETTINGS, f"data.path={data}", "trainer.max_steps=2"])
    train = f"{sys.executable} -m wavenet_pl train {settings} --runs {tmp_path}/runs"
    script = f"#!/bin/bash\n#SBATCH --ntasks=2 --nodes=1 --time=5 --output={log}\n{start}{train}\n"
    id = cluster.scheduler.submit(script)
    assert cluster.wait_for_end(id) == "FAILED" and cluster.state(id).exit_code == 2
    assert message in log.read_text() and not (tmp_path / "runs").exists()


def test_what_is_set_here_for_slurm_changes_no_job(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a site that exports nothing; from inside of an allocation; by somebody with other habits."""
    monkeypatch.setenv("GREETING", "hello")
    monkeypatch.setenv("SBATCH_EXPORT", "NONE")
    job = stand_in(tmp_path, 'echo "${GREETING:-nothing} $SLURM_NTASKS ${WAVENET_PL_START##*/} $MASTER_ADDR"')
    options = replace(ONE_NODE, tasks_per_node=2, partition="low")
    job.records.mkdir(parents=True)
    text = build_script(options, job)
    by_hand = subprocess.run(
        ["sbatch", "--parsable"], input=text, capture_output=True, text=True, check=True, timeout=60
    )
    for name, value in {
        "SLURM_JOB_ID": "1", "SLURM_NNODES": "2", "SLURM_NTASKS": "7", "SLURM_MEM_PER_CPU": "1",
        "SLURM_MEM_PER_NODE": "2", "SLURM_DISTRIBUTION": "nonsense", "SLURM_EXPORT_ENV": "NONE",
        "SBATCH_PARTITION": "gold", "SBATCH_TIMELIMIT": "1", "SBATCH_OUTPUT": str(tmp_path / "elsewhere"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    id = cluster.submit(options, job)
    for each, greeting in ((int(by_hand.stdout), "nothing"), (id, "hello")):
        assert cluster.wait_for_end(each) == "COMPLETED", log_of(job.records, each)
        logs = [(job.records / f"slurm-{each}-0-{rank}.log").read_text() for rank in (0, 1)]
        assert logs == [f"{greeting} 2 slurm-{each}-0 n1\n"] * 2
        assert cluster.state(each).limit == 600


def test_a_setup_reaches_every_rank_and_options_reach_sbatch_word_for_word(
    cluster: Cluster, tmp_path: Path
) -> None:
    comment = r"""a "b" 'c' $HOME `id` \ #d"""
    options = replace(
        TWO_NODES,
        sbatch=[f"--comment={comment}", "--nice=7"],
        setup=[
            'greet() { false; echo \'hello from\' "$1"; }\nGREETING=$(greet "$PWD")\nexport GREETING',
            'set -eu; cd /; command=(env WRAPPED=yes "${command[@]}"); srun() { BY=function command srun "$@"; }',
        ],
    )
    job = stand_in(tmp_path, 'echo "$GREETING $WRAPPED $BY"')
    fails = cluster.submit(replace(ONE_NODE, setup=["module load nowhere"]), job)
    id = cluster.submit(options, job)
    described = subprocess.run(
        ["scontrol", "show", "job", "--oneliner", str(id)], capture_output=True, text=True, check=True
    ).stdout
    assert f" Comment={comment} " in described and " Nice=7 " in described
    assert cluster.wait_for_end(id) == "COMPLETED", log_of(job.records, id)
    logs = [(job.records / f"slurm-{id}-0-{rank}.log").read_text() for rank in (0, 1)]
    assert logs == [f"hello from {tmp_path} yes function\n"] * 2
    assert cluster.wait_for_end(fails) == "FAILED" and cluster.state(fails).exit_code == 2
    assert "not started: --setup failed with 127 at: module load nowhere" in log_of(job.records, fails)
    assert not list(job.records.glob(f"slurm-{fails}-*"))


MEET = """
import os, socket, time
address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
job = os.environ["SLURM_JOB_ID"].encode()
if os.environ["SLURM_PROCID"] == "0":
    server = socket.create_server(address)
    other, _ = server.accept()
    assert other.recv(100) == job
    other.sendall(b"yes " + job)
    time.sleep(5)
else:
    for attempt in range(100):
        try:
            client = socket.create_connection(address)
            break
        except ConnectionRefusedError:
            time.sleep(0.2)
    client.sendall(job)
    assert client.recv(100) == b"yes " + job, "another job answers"
    print("met at", address[1])
"""


@pytest.mark.parametrize("jobs", [12, pytest.param(40, marks=pytest.mark.soak)])
def test_jobs_on_one_node_never_meet_at_the_same_port(cluster: Cluster, tmp_path: Path, jobs: int) -> None:
    """Some of the ports that they begin to look at are taken by others."""
    (tmp_path / "meet.py").write_text(MEET)
    job = stand_in(tmp_path, f"exec {sys.executable} -S -E {tmp_path}/meet.py")
    options = replace(ONE_NODE, tasks_per_node=2)
    first = cluster.submit(options, job)
    with ExitStack() as taken:
        for number in range(1, 40, 3):
            taken.enter_context(socket.create_server(("127.0.0.1", 20_000 + (first + number) % 10_000)))
        ids = [first] + [cluster.submit(options, job) for _ in range(jobs - 1)]
        ends = {id: cluster.wait_for_end(id) for id in ids}
    assert set(ends.values()) == {"COMPLETED"}, ends
    logs = [(job.records / f"slurm-{id}-0-1.log").read_text() for id in ids]
    assert len({log for log in logs if log.startswith("met at 2")}) == jobs


def test_keys_reach_the_ranks_and_nothing_that_is_written(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    job = stand_in(tmp_path, 'printf %s "$WANDB_API_KEY" | sha256sum')
    id = cluster.submit(ONE_NODE, job)
    assert cluster.wait_for_end(id) == "COMPLETED"
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    assert digest in (job.records / f"slurm-{id}-0-0.log").read_text(), "it was not inherited"

    write_shard_set(tmp_path / "data")
    assert slurm(*TRAIN, "trainer.max_steps=5", "wandb.mode=offline", "--time", "10") == 0
    [record] = read_records("runs")
    assert cluster.wait_for_end(record.job) == "COMPLETED"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {".sh", ".log", ".jsonl", ".yaml", ".wandb"} <= {path.suffix for path in written}
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_clusters_run_side_by_side(cluster: Cluster, tmp_path: Path) -> None:
    other = Path(f"{cluster.folder}-other")
    try:
        subprocess.run([SCRIPT, "up", other], check=True, timeout=120)
        monkey = {**os.environ, "SLURM_CONF": str(other / "etc/slurm.conf")}
        seen = subprocess.run(
            ["srun", "--nodes=2", "hostname"], env=monkey, capture_output=True, check=True, timeout=60
        )
        assert len(seen.stdout.split()) == 2
    finally:
        subprocess.run([SCRIPT, "down", other], check=True, timeout=120)
        subprocess.run(["rm", "-rf", other], check=True)
    assert len(cluster.scheduler.partitions()) == 2, "the first one is still up"


def test_a_rank_that_a_signal_ends_before_it_is_ready_starts_the_job_again_with_all(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The other one is ended because of it, with the higher 143."""
    rank = '[ "${SLURM_RESTART_COUNT:-0}" = 0 ] || exit 0\n[ "$SLURM_PROCID" = 0 ] || exec sleep 100\nkill -USR1 $$'
    job = stand_in(tmp_path, rank)
    id = cluster.submit(TWO_NODES, job)
    assert cluster.wait_for_end(id) == "COMPLETED", log_of(job.records, id)
    assert cluster.state(id).restarts == 1
