#!/usr/bin/env bash
# A real SLURM on this machine, for tests: `cluster.sh up FOLDER`, then SLURM_CONF=FOLDER/etc/slurm.conf for whoever talks
# to it; `cluster.sh down FOLDER` ends its daemons; `cluster.sh node FOLDER n2` starts one node again. Needs root, and
# slurmctld, slurmd, slurm-client and munge.
#
# Two nodes, n1 and n2, on the loopback interface, which claim more cores, memory and GPUs than there are. Partition `low`
# is the default one, and gives way to `high`: its jobs are requeued. FOLDER/private is empty on n2, and its own.
# No cgroups and no accounting. Clusters in different folders run side by side.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

D=${2:?the folder of the cluster}
NODES=(n1 n2)
TAG="# slurm in $D"
export SLURM_CONF=$D/etc/slurm.conf
die() { echo "cluster.sh: $*" >&2; exit 1; }
[[ $D == /?* && ${#D} -le 70 && ! $D =~ [[:space:]] ]] || die "expected a short absolute path without blanks, not '$D'"

free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Prints the first of three free ports in a row. Where to look is left to chance, so that two clusters that start together
# do not meet.
find_ports() {
    local port try
    for ((try = 0; try < 200; try++)); do
        port=$((10000 + RANDOM % 5000 * 2))
        free "$port" && free $((port + 1)) && free $((port + 2)) && { echo "$port"; return; }
    done
    die "found no three free ports"
}

write_config() {
    local port=$1 host node
    host=$(hostname -s)
    cat <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
# cred_expire is also how long a requeued job waits before it may start again (120 s where nothing is said)
AuthInfo=socket=$D/run/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd-%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
# believe this file, not what the machine has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
JobRequeue=1
KillWait=60
InactiveLimit=0
MinJobAge=3600
SlurmctldTimeout=60
# how soon a node whose daemon was killed counts as down
SlurmdTimeout=20
MessageTimeout=30
UnkillableStepTimeout=120
TmpFS=/tmp
GresTypes=gpu
CONF
    for node in "${NODES[@]}"; do
        port=$((port + 1))
        echo "NodeName=$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$port CPUs=64 RealMemory=262144 Gres=gpu:8 State=UNKNOWN"
    done
    echo "PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=30 MaxTime=INFINITE State=UP"
    echo "PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP"
}

# The last node sees a folder of its own where the first one's private folder lies.
start_node() {
    local node=$1 own=(env)
    if [[ $node == "${NODES[-1]}" ]] && unshare -m true 2>/dev/null; then
        # shellcheck disable=SC2016  # for the shell inside
        own=(unshare -m bash -c 'mount -t tmpfs own "$0/private" && exec "$@"' "$D")
    fi
    mkdir -p "$D/spool/$node"
    setsid "${own[@]}" slurmd -f "$SLURM_CONF" -N "$node" </dev/null >>"$D/log/slurmd-$node.out" 2>&1 ||
        die "slurmd of $node did not start, see $D/log/slurmd-$node.log"
}

usable() {
    local count
    count=$(timeout 10 sinfo -h -N -p low -o %T 2>/dev/null | grep -cE '^(idle|mixed|allocated|completing)$') || return 1
    [[ $count -eq ${#NODES[@]} ]]
}

up() {
    local program try gpu
    for program in munged slurmctld slurmd sbatch; do
        command -v "$program" >/dev/null || die "$program is not installed (slurmctld slurmd slurm-client munge)"
    done
    [[ $(id -u) -eq 0 ]] || die "slurmd needs root"
    mkdir -p "$D"/{etc,log,run,state,spool,dev,private}
    chmod 755 "$D" "$D"/*
    (umask 077 && head -c 1024 /dev/urandom >"$D/etc/munge.key")
    for gpu in 0 1 2 3 4 5 6 7; do : >"$D/dev/gpu$gpu"; done
    echo "NodeName=n[1-2] Name=gpu File=$D/dev/gpu[0-7]" >"$D/etc/gres.conf"
    echo "CgroupPlugin=cgroup/v1" >"$D/etc/cgroup.conf" # has to be there, though nothing uses it
    write_config "$(find_ports)" >"$SLURM_CONF"
    # Ranks meet at the first node's name.
    grep -qxF "127.0.0.1 ${NODES[*]} $TAG" /etc/hosts || echo "127.0.0.1 ${NODES[*]} $TAG" >>/etc/hosts

    # --force: munged refuses a socket below a folder that others may write, such as /tmp
    setsid munged --force --key-file="$D/etc/munge.key" --socket="$D/run/munge.socket" --pid-file="$D/run/munged.pid" \
        --log-file="$D/log/munged.log" --seed-file="$D/run/munged.seed" </dev/null >>"$D/log/munged.out" 2>&1 ||
        die "munged did not start, see $D/log/munged.out"
    for ((try = 0; try < 50; try++)); do munge -n --socket="$D/run/munge.socket" &>/dev/null && break; sleep 0.1; done
    setsid slurmctld -f "$SLURM_CONF" -c </dev/null >>"$D/log/slurmctld.out" 2>&1 ||
        die "slurmctld did not start, see $D/log/slurmctld.log"
    for node in "${NODES[@]}"; do start_node "$node"; done
    for ((try = 0; try < 120; try++)); do usable && return; sleep 0.5; done
    sinfo -N -l >&2 || true
    die "nodes did not come up, see $D/log"
}

# Whether a process is that program, started from this folder.
ours() {
    local pid=$1 name=$2
    [[ $pid =~ ^[0-9]+$ && $(cat "/proc/$pid/comm" 2>/dev/null) == "$name"* ]] || return 1
    { tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qF -- "$D/" ||
        tr '\0' '\n' <"/proc/$pid/environ" | grep -qxF -- "SLURM_CONF=$SLURM_CONF"; } 2>/dev/null
}

stop() {
    local pid=$1 name=$2 try
    ours "$pid" "$name" || return 0
    kill -TERM "$pid" 2>/dev/null || true
    for ((try = 0; try < 100; try++)); do ours "$pid" "$name" || return 0; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
}

down() {
    local job file pid try
    if [[ -s $D/run/slurmctld.pid ]]; then # jobs first, so that none outlives its node
        for job in $(timeout 10 squeue -h -o %A 2>/dev/null | sort -u); do timeout 10 scancel --full "$job" || true; done
        for ((try = 0; try < 100; try++)); do [[ -z $(timeout 10 squeue -h 2>/dev/null) ]] && break; sleep 0.2; done
    fi
    for file in "$D"/run/slurmd-*.pid; do [[ ! -s $file ]] || stop "$(<"$file")" slurmd; done
    [[ ! -s $D/run/slurmctld.pid ]] || stop "$(<"$D/run/slurmctld.pid")" slurmctld
    for pid in /proc/[0-9]*; do stop "${pid#/proc/}" slurmstepd; done
    [[ ! -s $D/run/munged.pid ]] || stop "$(<"$D/run/munged.pid")" munged
    # It may be mounted from outside: written in place.
    local kept
    kept=$(grep -v -- " $TAG\$" /etc/hosts) && printf '%s\n' "$kept" >/etc/hosts
}

case ${1:-} in
    up) (up) || { code=$?; down; exit "$code"; } ;;
    down) down ;;
    node) start_node "${3:?the name of the node}" ;;
    *) die "expected up, down or node" ;;
esac
