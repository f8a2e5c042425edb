#!/bin/bash
# The body of every batch script that `wavenet-pl slurm` writes. A head of #SBATCH lines, and of what is set here, stands
# before it there.
folder=$PWD records=$PWD max_restarts=0 setup=() command=(true)
# --- the head ends here ---

id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID:-}}
id=${id:-${SLURM_JOB_ID:?this is a batch script: hand it to sbatch}}
restart=${SLURM_RESTART_COUNT:-0}
python=${command[0]}
say() { echo "[$(date '+%F %T') job $id, start $((restart + 1))] $*"; }
guard() { "$python" -m wavenet_pl.cluster.guard "$1" "$records/$id.starts.jsonl" "$restart" "$max_restarts"; }

cd "$folder" || { say "expected the folder $folder on $SLURMD_NODENAME: is it shared by all nodes?"; exit 2; }
say "on $SLURM_JOB_NODELIST"

# --setup, in this shell, so that what it loads and exports reaches every rank. The first command that fails ends the job,
# and so does one that would end this script. It may change the command, and nothing else of what is used below.
readonly folder records max_restarts id restart python
# shellcheck disable=SC2154  # rc is what failed with
trap 'rc=$? at=$BASH_COMMAND; trap - ERR EXIT; [ "$at" != "eval \"\$lines\"" ] || at=$lines
    say "not started: --setup failed with $rc at: $at"; exit 2' ERR EXIT
for lines in "${setup[@]}"; do eval "$lines"; done
trap - ERR EXIT
set +eux
cd "$folder" || exit 2

# Every node has to see the records, beside which the run folders lie, and the interpreter. A file made a moment ago may
# take a while to appear over NFS.
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    token=$records/.token-$id-$restart
    : >"$token" || exit 2
    # `command`: on the node itself, where --setup made a function of srun.
    # shellcheck disable=SC2016  # for the shell on each node
    command srun --export=ALL --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
        --input=none bash -c '
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            [ -x "$2" ] && [ -e "$1" ] && exit 0
            sleep 1
        done
        missing=$2; [ -x "$2" ] && missing=${1%/*}
        echo "node $SLURMD_NODENAME does not see $missing, expected a file system that all nodes share;" \
            "move it there, or leave the node out with --exclude=$SLURMD_NODENAME"
        exit 2' - "$token" "$python"
    seen=$?
    rm -f "$token"
    [ "$seen" -eq 0 ] || { say "not started: nodes differ"; exit 2; }
fi

guard start || exit 3

# Rendezvous on the first node. Ports below 32768 are given to nobody by chance; jobs that share a node begin to look at
# different ones and go on in strides, so that two that start together do not meet.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
offset=$((SLURM_JOB_ID % 10000))
while (exec 3<>"/dev/tcp/127.0.0.1/$((20000 + offset))") 2>/dev/null; do offset=$(((offset + 7919) % 10000)); done
MASTER_PORT=$((20000 + offset))
export MASTER_ADDR MASTER_PORT
# The ranks find their logs by this, and put them into the run folder too.
export WAVENET_PL_START=$records/slurm-$id-$restart

# Where a network is not what NCCL or gloo take it for, choose by hand; wrong guesses show as hangs at the first step:
#   export NCCL_SOCKET_IFNAME=ib0 GLOO_SOCKET_IFNAME=ib0  # several networks: ranks must meet on the same one
#   export NCCL_IB_DISABLE=1                              # InfiniBand that is there and does not work
#   export NCCL_DEBUG=INFO                                # what NCCL chose, in the logs of the ranks
# SLURM binds each rank to its own cores where the cluster is set up so. Ranks that share cores are slow, not wrong:
#   srun --cpu-bind=cores                                 # asks for it
# --export=ALL: where SBATCH_EXPORT is NONE they would see nothing of what is set here.
srun --export=ALL --kill-on-bad-exit=1 --input=none --open-mode=append --output="$WAVENET_PL_START-%t.log" \
    ${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} "${command[@]}" 2>&1 | tee "$WAVENET_PL_START.srun"
rc=${PIPESTATUS[0]} # of the ranks the highest

# Whether SLURM is about to end this job: it was cancelled, preempted or ran out of time.
ending() {
    local state
    state=$(scontrol show job --oneliner "$SLURM_JOB_ID") || return 0
    [[ $state != *" JobState=RUNNING "* || $state =~ PreemptTime=[0-9] ]]
}

# When one rank fails, srun ends the others: their 143 or 137 is the highest, and hides why. The first that failed counts.
if [[ $rc = 137 || $rc = 143 ]] && ! ending; then
    first=$(sed -n 's/^srun: error: [^:]*: tasks\{0,1\} [^:]*: //p' "$WAVENET_PL_START.srun" | head -n 1)
    case $first in
        "Exited with exit code "*) rc=${first##* } ;;
        "User defined signal 1"*) rc=138 ;;
        Aborted*) rc=134 ;;
        "Bus error"*) rc=135 ;;
        Killed* | "Out Of Memory"*) rc=137 ;;
        "Segmentation fault"*) rc=139 ;;
    esac
fi
reason=$(guard "$rc") || no_more=yes

case $rc in
    0) say "done" ;;
    85 | 138) # saved; or told to save before there was anything to save
        [ -z "${no_more:-}" ] || { say "saved; $reason"; exit 3; }
        say "saved; asks to be started again"
        scontrol requeue "$id" || say "SLURM does not start it again: submit it once more, and it goes on"
        ;;
    143)
        # Never requeued from here: a cancelled job would come back. Who leaves now counts as failed, even when
        # preempted; who waits to be killed is started again by SLURM, or is not when it was cancelled.
        if ending; then
            say "stopped by SLURM, which decides what follows"
            while ending; do sleep 2; done
        fi
        say "stopped by SIGTERM, and not by SLURM: see $WAVENET_PL_START-*.log"
        ;;
    *) say "failed with $rc: see $WAVENET_PL_START-*.log" ;;
esac
exit "$rc"
