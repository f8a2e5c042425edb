"""The steps of an adaptation: from a folder of recordings to a model that has one more voice."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

from data_prep.choice import Choice, choose
from data_prep.hearing import examine
from data_prep.voice import describe, prepare_voice
from wavenet_pl.adaptation.base import Base, load_base
from wavenet_pl.adaptation.request import METHODS, OWN, Request
from wavenet_pl.adaptation.stage import Replay, Stage, Voice
from wavenet_pl.config.mistakes import spelled
from wavenet_pl.config.tree import Config, load_config, split_arguments, to_plain
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.known import frames_for_audio
from wavenet_pl.runs.loading import load
from wavenet_pl.shards.index import index_name
from wavenet_pl.shards.storage import Storage
from wavenet_pl.signals import StopFlag
from wavenet_pl.training.callbacks.ranks import is_rank_zero
from wavenet_pl.training.fit import fit
from wavenet_pl.training.trainer_options import check_trainer

ALL_FROM_MINUTES = 1.0
"""Method auto trains every weight from so many minutes of audio on: less leaves too few seconds to stop by."""
_PATIENCE_FOR_RANK_ZERO = 1800.0
"""Seconds that other ranks wait for the audio to be prepared."""


def adapt(request: Request, flag: StopFlag, began: float) -> int:
    """Trains the new voice, step by step; returns the exit code.

    Args:
        request: what is asked for.
        flag: set by signals from the first training on. Before that nothing is lost where they end the process.
        began: when the command did, by `time.monotonic`.

    Raises:
        UserError: the base, the audio or a setting is not what was expected.
    """

    base = load_base(request.run)
    _check_name(request, base.speakers)
    # Every mistake before the audio is read, which takes a while.
    for method in METHODS[:1] if request.method == "embedding" else METHODS:
        _config(request, base, method, last=True)
    choice, method, lines = _examine(request, base)
    for line in lines:
        print(f"{'audio':>10}  {line}", file=sys.stderr)
    if request.dry_run:
        print(f"would adapt {base.path}, hash {base.hash[:12]}, to {request.speaker}; nothing was written")
        return 0
    path = _prepared(request, base, choice)
    voice = Voice(request.speaker, str(path), choice.seconds / 60, lines)
    replay = None if request.replay is None else Replay(request.replay, request.replay_share)
    start = base.model
    for each in METHODS[: METHODS.index(method) + 1]:
        config = _config(request, base, each, last=each == method)
        config = replace(config, data=replace(config.data, path=str(path)))
        stage = Stage(base, voice, config, each, replay if each == "all" else None, Path(request.runs))
        if stage.is_finished and not request.fresh:
            print(f"{stage.run.path} is finished", file=sys.stderr)
        else:
            task = stage.task(start)
            flag.install()
            if code := fit(task, flag, began, fresh=request.fresh):
                return code
        start = load(stage.run.path)
    if is_rank_zero():
        stage.print_summary()
    return 0


def _check_name(request: Request, names: tuple[str, ...]) -> None:
    """A new name is new, and one that is trained on is there."""
    if request.speaker in names and not request.go_on:
        raise UserError(
            f"{request.run} has the speaker {request.speaker} already, expected a new name; choose another one, or "
            "train its row on with --continue"
        )
    if request.go_on and request.speaker not in names:
        known = ", ".join(names[:10])
        raise UserError(
            f"--continue is set, and {request.run} has no speaker {request.speaker}, but {known}; leave it out"
        )


def _examine(request: Request, base: Base) -> tuple[Choice, str, list[str]]:
    """What of the audio is used, the method, and lines for the user about both."""
    rate, receptive_field = base.model.sample_rate, base.model.config.model.network.receptive_field
    heard = examine(Path(request.audio), rate)
    choice = choose(heard, request.minutes, receptive_field / rate, rate)
    method, why = _method(request.method, choice.seconds / 60)
    if request.replay is not None and method == "embedding":
        raise UserError(
            f"--replay is set, and method embedding ({why}) trains nothing that could be forgotten; leave it out, or "
            "set --method all"
        )
    return choice, method, [*describe(heard, choice), f"method {method}: {why}"]


def _method(asked: str, minutes: float) -> tuple[str, str]:
    """The method, and the reason for it in words."""
    if asked != "auto":
        return asked, "as asked"
    if minutes < ALL_FROM_MINUTES:
        return "embedding", f"{minutes:.1f} minutes are less than {ALL_FROM_MINUTES:g}"
    return "all", f"{minutes:.1f} minutes are {ALL_FROM_MINUTES:g} or more"


def _config(request: Request, base: Base, method: str, last: bool) -> Config:
    """Settings of one step: the base's model and crops, what is shipped for the method, and what is given.

    A learning rate that is given suits the last step: a row alone learns at a hundred times that of every weight.
    """

    files, given = split_arguments(request.settings)
    overrides = [each for each in given if last or not each.startswith("optim.")]
    tree = to_plain(base.model.config)
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", request.speaker).strip("-._")[:40] or "voice"
    mine = {"name": f"{slug}-{method}", "data.path": "--audio"}
    data = {"crop_samples": tree["data"]["crop_samples"], "path": mine["data.path"]}
    under = {"name": mine["name"], "model": tree["model"], "data": data}
    config = load_config([f"adapt/{method}", *files], overrides, under)
    for name, own in mine.items():
        if (given := attrgetter(name)(config)) != own:
            raise UserError(f"{config.origins[name]}: {name} is {spelled(given)}, {OWN}")
    for name in (each for each in config.origins if each.startswith("model.")):
        given, own = (attrgetter(name)(each) for each in (config, base.model.config))
        if given != own:
            raise UserError(
                f"{config.origins[name]}: {name} is {spelled(given)}, expected {spelled(own)}: the model is the "
                "base's; remove it"
            )
    if method == "embedding" and config.optim.weight_decay:
        raise UserError(
            f"optim.weight_decay is {config.optim.weight_decay:g}, expected 0: method embedding leaves every other row "
            "as it is; remove it"
        )
    if config.train.init_from is not None:
        raise UserError(
            f"train.init_from is {config.train.init_from}, expected none: an adaptation begins with the base that it "
            "is given; remove it"
        )
    check_trainer(config)
    return config


def _prepared(request: Request, base: Base, choice: Choice) -> Path:
    """The shard set of the new voice, which rank 0 makes."""

    facts = [choice.fingerprint, request.speaker, base.model.labels.to_plain()["frames"]]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]
    path = Path(request.runs).resolve() / "voices" / digest
    if is_rank_zero():
        prepare_voice(choice, request.speaker, path, frames=frames_for_audio(base.model.labels))
    until = time.monotonic() + _PATIENCE_FOR_RANK_ZERO
    while index_name(Storage(str(path))) is None:
        if time.monotonic() > until:
            raise UserError(f"{path} was not prepared by rank 0, expected an index; do all nodes see --runs?")
        time.sleep(0.5)
    return path
