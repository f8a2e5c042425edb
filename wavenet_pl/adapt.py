"""The command `adapt`: a folder of recordings becomes a new speaker of a trained model."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wavenet_pl.config import Config, load_config, split_arguments
from wavenet_pl.errors import UserError
from wavenet_pl.features import MelSpec
from wavenet_pl.signals import StopFlag

if TYPE_CHECKING:
    from data_prep.choice import Choice
    from wavenet_pl.adaptation.base import Base

METHODS = ("embedding", "all")
ALL_FROM_MINUTES = 1.0
"""Method auto trains every weight from so many minutes of audio on: less leaves too few seconds to stop by."""
_PATIENCE_FOR_RANK_ZERO = 1800.0
"""Seconds that other ranks wait for the audio to be prepared."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl adapt`."""
    parser.add_argument(
        "run", metavar="RUN", help="the base: a run, a checkpoint, an export or an adaptation"
    )
    parser.add_argument(
        "settings", nargs="*", metavar="CONFIG | key=value", help="settings of the training, as of `train`"
    )
    parser.add_argument("--audio", metavar="DIR", help="recordings of the new voice: WAV, FLAC, OGG, MP3")
    parser.add_argument("--speaker", metavar="NAME", help="what the new voice is called from now on")
    parser.add_argument(
        "--method", choices=(*METHODS, "auto"), default="auto",
        help="train its row of the speaker table alone, or that first and then every weight (default: by minutes)",
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, metavar="M", help="use so much of the audio (default: all)")
    parser.add_argument(
        "--replay",
        metavar="PATH",
        help="method all: mix in crops of this shard set, so that less is forgotten",
    )
    parser.add_argument(
        "--replay-share",
        type=float,
        default=0.5,
        metavar="S",
        help="share of the crops that are mixed in (0.5)",
    )
    parser.add_argument(
        "--continue", action="store_true", dest="go_on",
        help="the base has this speaker already: train its row on, instead of refusing",
    )  # fmt: skip
    parser.add_argument("--runs", default="runs", metavar="DIR", help="where run folders lie (default: runs)")
    parser.add_argument("--fresh", action="store_true", help="start over; an earlier run is set aside")
    parser.add_argument("--dry-run", action="store_true", help="examine the audio and say what would be done")
    parser.add_argument(
        "--merge", metavar="OUT.ckpt", help="write RUN, an adaptation, as one whole checkpoint"
    )
    parser.add_argument("--base", metavar="RUN", help="with --merge: where the base is now")


def main(args: argparse.Namespace) -> int:
    """Adapt, or merge; returns the exit code."""
    began, flag = time.monotonic(), StopFlag()
    flag.install()
    if args.merge is not None:
        from wavenet_pl.adaptation.merge import merge

        return merge(Path(args.run), Path(args.merge), args.base)
    check_arguments(args)
    from wavenet_pl.train import quieten

    quieten()
    return _adapt(args, flag, began)


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse what needs no model to be refused.

    Raises:
        UserError: names the option.
    """
    for option, value, what in (("--audio", args.audio, "a folder"), ("--speaker", args.speaker, "a name")):
        if not value:
            raise UserError(f"{option} is missing, expected {what}; see `wavenet-pl adapt --help`")
    if args.base is not None:
        raise UserError(
            "--base is set without --merge, expected both or none; RUN is the base of an adaptation"
        )
    if not args.speaker.isprintable() or args.speaker != args.speaker.strip() or len(args.speaker) > 100:
        raise UserError(f"--speaker is {args.speaker!r:.60}, expected up to 100 printable characters")
    if args.minutes is not None and not 0 < args.minutes < 10_000:
        raise UserError(f"--minutes is {args.minutes:g}, expected a number above 0")
    if not 0 < args.replay_share < 1:
        raise UserError(f"--replay-share is {args.replay_share:g}, expected a share between 0 and 1")
    if own := next((text for text in args.settings if text.startswith(("model.", "data.path="))), None):
        raise UserError(
            f"{own} is set, expected nothing of it: the model is the base's, and the data are --audio"
        )


def _adapt(args: argparse.Namespace, flag: StopFlag, began: float) -> int:
    from wavenet_pl.adaptation.base import load_base
    from wavenet_pl.adaptation.stage import Replay, Stage, Voice
    from wavenet_pl.callbacks.ranks import is_rank_zero
    from wavenet_pl.checkpoint import load
    from wavenet_pl.train import fit

    base = load_base(args.run)
    _check_name(args, base.speakers)
    # Every mistake before the audio is read, which takes a while.
    for method in METHODS[:1] if args.method == "embedding" else METHODS:
        _config(args, base, method, last=True)
    choice, method, lines = _examine(args, base)
    for line in lines:
        print(f"{'audio':>10}  {line}", file=sys.stderr)
    if args.dry_run:
        print(f"would adapt {base.path}, hash {base.hash[:12]}, to {args.speaker}; nothing was written")
        return 0
    path = _prepared(args, base, choice)
    if flag:
        print("stopped before the training began; the same command goes on", file=sys.stderr)
        return flag.code
    voice = Voice(args.speaker, str(path), choice.seconds / 60, lines)
    replay = None if args.replay is None else Replay(args.replay, args.replay_share)
    start = base.module
    for each in METHODS[: METHODS.index(method) + 1]:
        config = _config(args, base, each, last=each == method)
        config = replace(config, data=replace(config.data, path=str(path)))
        stage = Stage(base, voice, config, each, replay if each == "all" else None, Path(args.runs))
        if stage.is_finished and not args.fresh:
            print(f"{stage.run.path} is finished", file=sys.stderr)
        elif code := fit(stage.task(start), flag, began, fresh=args.fresh):
            return code
        start = load(stage.run.path)
    if is_rank_zero():
        stage.say_where()
    return 0


def _check_name(args: argparse.Namespace, names: tuple[str, ...]) -> None:
    """A new name is new, and one that is trained on is there."""
    if args.speaker in names and not args.go_on:
        raise UserError(
            f"{args.run} has the speaker {args.speaker} already, expected a new name; choose another one, or train its "
            "row on with --continue"
        )
    if args.go_on and args.speaker not in names:
        known = ", ".join(names[:10])
        raise UserError(
            f"--continue is set, and {args.run} has no speaker {args.speaker}, but {known}; leave it out"
        )


def _examine(args: argparse.Namespace, base: Base) -> tuple[Choice, str, list[str]]:
    """What of the audio is used, the method, and what is to be said of both."""
    from data_prep.choice import choose
    from data_prep.hearing import examine
    from data_prep.voice import describe

    rate, field = base.module.sample_rate, base.module.config.model.network.receptive_field
    heard = examine(Path(args.audio), rate)
    choice = choose(heard, args.minutes, field / rate, rate)
    method, why = _method(args.method, choice.seconds / 60)
    if args.replay is not None and method == "embedding":
        raise UserError(
            f"--replay is set, and method embedding ({why}) trains nothing that could be forgotten; leave it out, or "
            "set --method all"
        )
    return choice, method, [*describe(heard, choice), f"method {method}: {why}"]


def _method(asked: str, minutes: float) -> tuple[str, str]:
    """The method, and why."""
    if asked != "auto":
        return asked, "as told"
    if minutes < ALL_FROM_MINUTES:
        return "embedding", f"{minutes:.1f} minutes are less than {ALL_FROM_MINUTES:g}"
    return "all", f"{minutes:.1f} minutes are {ALL_FROM_MINUTES:g} or more"


def _config(args: argparse.Namespace, base: Base, method: str, last: bool) -> Config:
    """Settings of one step: the base's model and crops, what is shipped for the method, and what is given.

    A learning rate that is given suits the last step: a row alone learns at a hundred times that of every weight.
    """
    from wavenet_pl.config import check_trainer, to_plain

    files, given = split_arguments(args.settings)
    overrides = [each for each in given if last or not each.startswith("optim.")]
    tree = to_plain(base.module.config)
    under = {"model": tree["model"], "data": {"crop_samples": tree["data"]["crop_samples"]}}
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", args.speaker).strip("-._")[:40] or "voice"
    mine = [f"name={slug}-{method}", "data.path=."]
    config = load_config([f"adapt/{method}", *files], [*overrides, *mine], under)
    if method == "embedding" and config.optim.weight_decay:
        raise UserError(
            f"optim.weight_decay is {config.optim.weight_decay:g}, expected 0: method embedding leaves every other row "
            "as it is; remove it"
        )
    check_trainer(config)
    return config


def _prepared(args: argparse.Namespace, base: Base, choice: Choice) -> Path:
    """The shard set of the new voice, which rank 0 makes."""
    from data_prep.voice import prepare_voice
    from wavenet_pl.callbacks.ranks import is_rank_zero
    from wavenet_pl.data.index import INDEX_NAME

    facts = [choice.fingerprint, args.speaker, base.module.labels.to_plain()["features"]]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]
    path = Path(args.runs).resolve() / "voices" / digest
    if is_rank_zero():
        spec = base.module.labels.features.get("mel")
        prepare_voice(choice, args.speaker, path, mel=spec if isinstance(spec, MelSpec) else None)
    until = time.monotonic() + _PATIENCE_FOR_RANK_ZERO
    while not (path / INDEX_NAME).exists():
        if time.monotonic() > until:
            raise UserError(f"{path} was not prepared by rank 0, expected an index; do all nodes see --runs?")
        time.sleep(0.5)
    return path
