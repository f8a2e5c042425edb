"""The command `slurm`: any other command as a job on a cluster, and what follows the jobs. Only the grammar is here."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from wavenet_pl.commands.grammar import COMMANDS, PROGRAM, Parser, command_module, parse
from wavenet_pl.errors import UserError, did_you_mean

SUBMITTED = ("prepare", "index", "train", "adapt", "evaluate", "analyze", "listen", "generate", "export")
"""Commands that may run as jobs."""
FOLLOWING = {
    "status": "state, step, bits and time left of jobs, and why they wait",
    "logs": "what a job wrote",
    "stop": "end a job; what it trained is saved",
    "resume": "submit a job that has ended once more: it goes on where it was",
    "summary": "the tasks of a sweep by their bits, the best first",
}
"""What follows jobs, and what for."""
_DRY_RUN = "show the script and the checks; write nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl slurm`."""
    parser.usage = f"%(prog)s {'|'.join(SUBMITTED)} ...\n       %(prog)s {'|'.join(FOLLOWING)} ..."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "following jobs:\n"
        + "\n".join(f"  {name:9}{purpose}" for name, purpose in FOLLOWING.items())
        + f"\n\n`{PROGRAM} slurm train --help` lists the options of that command and of its job."
    )
    parser.add_argument(
        "command", metavar="COMMAND", help=f"{', '.join(SUBMITTED)}, or one that follows jobs"
    )
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments, and those of the job"
    )


def main(args: argparse.Namespace) -> int:
    """Submit, or follow; returns the exit code."""
    name, arguments = args.command, args.arguments
    if name in SUBMITTED:
        return _submit(name, arguments)
    if name in FOLLOWING:
        return _follow(name, arguments)
    known = (*SUBMITTED, *FOLLOWING)
    reason = "runs where it is typed" if name in COMMANDS else "is no command"
    raise UserError(f"{name!r} {reason}, expected one of {', '.join(known)}{did_you_mean(name, known)}")


def build_parser(name: str) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """The parser of a command with its job's options, and one of the job's options alone."""
    from wavenet_pl.cluster import options

    whole = Parser(
        prog=f"{PROGRAM} slurm {name}", description=f"As a job: {COMMANDS[name][1]}.", allow_abbrev=False
    )
    command_module(name).add_arguments(whole)
    if whole.usage:
        whole.usage = f"{whole.usage}\n       with options of the job"
    own = {option: action for action in whole._actions for option in action.option_strings}
    if "--dry-run" in own:
        own["--dry-run"].help = _DRY_RUN
    if "--fresh" in own:
        own[
            "--fresh"
        ].help = argparse.SUPPRESS  # it would start over at each restart of the job, and is refused
    job = Parser(prog=whole.prog, add_help=False, allow_abbrev=False)
    for parser in (whole, job):
        options.add_arguments(parser)
        group = parser.add_argument_group("submission")
        group.add_argument(
            "--array", action="append", default=[], metavar="SWEEP",
            help="train: a task for each of 'seed=0..4', 'optim.lr=1e-3,3e-4', both, or a YAML file of overrides",
        )  # fmt: skip
        group.add_argument("--max-parallel", type=int, metavar="N", help="tasks of --array that run at once")
        group.add_argument(
            "--cache",
            metavar="DIR",
            help="train: data.cache, a folder of each node's own, or tmpdir for the disk that SLURM gives a job",
        )
        group.add_argument(
            "--slices", type=int, metavar="N", help="prepare: as N jobs, and one that merges what they made"
        )
        group.add_argument(
            "--after",
            action="append",
            default=[],
            metavar="JOB",
            help="wait until this job has come to a good end",
        )
        if parser is job or "--dry-run" not in own:
            group.add_argument("--dry-run", action="store_true", help=_DRY_RUN)
        if "--runs" not in own:
            group.add_argument(
                "--runs",
                default="runs",
                metavar="DIR",
                help="folder of runs that remembers the job (default: runs)",
            )
    return whole, job


def _submit(name: str, arguments: Sequence[str]) -> int:
    from wavenet_pl.cluster import environment, options
    from wavenet_pl.cluster.plan import Wish, plan
    from wavenet_pl.cluster.submission import submit

    whole, job = build_parser(name)
    arguments = _with_values(arguments)
    args = parse(whole, arguments)
    _, words = job.parse_known_args(arguments)
    dry_run, args.dry_run = args.dry_run, False  # of the submission, and not of the command
    asked = options.read_options(args, environment.sbatch_variables())
    wish = Wish(name=name, args=args, words=words, options=asked)
    return submit(plan(wish), after=args.after, dry_run=dry_run)


def _with_values(arguments: Sequence[str]) -> list[str]:
    """`--sbatch --exclusive` as one word: argparse would take the second for an option of ours."""
    words: list[str] = []
    for word in arguments:
        if words and words[-1] == "--sbatch":
            word = f"{words.pop()}={word}"
        words.append(word)
    return words


def _follow(name: str, arguments: Sequence[str]) -> int:
    purpose = FOLLOWING[name]
    parser = Parser(
        prog=f"{PROGRAM} slurm {name}", description=f"{purpose[0].upper()}{purpose[1:]}.", allow_abbrev=False
    )
    parser.add_argument(
        "job", nargs="?", metavar="JOB | RUN", help="a job's id, or a run folder (default: see below)"
    )
    parser.add_argument("--runs", default="runs", metavar="DIR", help="where run folders lie (default: runs)")
    if name == "logs":
        parser.add_argument("-f", "--follow", action="store_true", help="go on until the job is over")
        parser.add_argument("--rank", type=int, default=0, metavar="N", help="of which rank (default: 0)")
    if name == "resume":
        parser.add_argument("--dry-run", action="store_true", help="say what would be submitted")
    defaults = {
        "status": "all jobs",
        "summary": "the newest sweep",
        "stop": "nothing is stopped; name one",
    }
    parser.epilog = f"Without JOB | RUN: {defaults.get(name, 'the newest job')}."
    args = parser.parse_args(list(arguments))
    return _action(name)(args)


def _action(name: str) -> Callable[[argparse.Namespace], int]:
    from wavenet_pl.cluster import control, logs, status

    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "status": status.main,
        "logs": logs.main,
        "stop": control.stop,
        "resume": control.resume,
        "summary": status.summary,
    }
    return actions[name]
