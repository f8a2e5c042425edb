"""Settings as the agent of a W&B sweep writes them on the command line."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from wavenet_pl import cli
from wavenet_pl.commands import adapt, slurm, train
from wavenet_pl.commands.grammar import Parser, parse
from wavenet_pl.config.tree import Config, load_config, split_arguments

PARAMETERS = {
    "optim.lr": 0.002,
    "optim.weight_decay": 1e-05,
    "optim.warmup_steps": 7,
    "optim.betas": [0.8, 0.95],
    "optim.schedule": "cosine",
    "optim.decay_steps": 900,
    "train.compile": True,
    "train.recompute": False,
    "train.stop_after": None,
    "seed": 3,
    "model": {"network": {"stacks": 2}},
}


def parse_train(arguments: list[str]) -> Namespace:
    parser = Parser(prog="train", allow_abbrev=False)
    train.add_arguments(parser)
    return parse(parser, arguments)


def config_of(arguments: list[str]) -> Config:
    args = parse_train(["small", "data.path=x", *arguments, "--runs", "elsewhere", "wandb.mode=offline"])
    assert args.runs == "elsewhere" and not args.fresh
    return load_config(*split_arguments(args.settings))


@pytest.mark.parametrize("macro", ["args", "args_no_hyphens", "args_no_equals", "args_no_boolean_flags"])
def test_every_form_of_the_agent_s_own_arguments_is_the_same_config(macro: str) -> None:
    command = {"args": {name: {"value": value} for name, value in PARAMETERS.items()}}
    arguments = create_sweep_command_args(command)[macro]
    config = config_of(arguments)
    assert config == config_of([f"{name}={json.dumps(value)}" for name, value in PARAMETERS.items()])
    assert (config.optim.lr, config.optim.weight_decay, config.optim.betas) == (0.002, 1e-5, (0.8, 0.95))
    assert (config.train.compile, config.train.recompute, config.train.stop_after) == (True, False, None)
    assert (config.seed, config.model.network.stacks, config.wandb.mode) == (3, 2, "offline")


def test_a_setting_without_a_value_is_true() -> None:
    config = config_of(["--train.compile", "--optim.lr=0.1"])
    assert (config.train.compile, config.optim.lr) == (True, 0.1)
    assert config_of(["--optim.lr=0.1", "--train.compile"]).train.compile


def test_the_sweep_of_the_page_is_one_that_train_understands() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tracking.md").read_text()
    [block] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    sweep = yaml.safe_load(block)  # as W&B does
    rate = sweep["parameters"]["optim.lr"]
    assert isinstance(rate["min"], float) and isinstance(rate["max"], float)
    values = {name: each.get("values", [rate["max"]])[-1] for name, each in sweep["parameters"].items()}
    known = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    known["program"] = [sweep["program"]]
    command = [
        word for part in create_sweep_command(sweep["command"]) for word in known.get(part[2:-1], [part])
    ]
    assert command[:2] == ["wavenet-pl", "train"]
    config = load_config(*split_arguments(parse_train(command[2:]).settings))
    assert (config.optim.lr, config.model.network.stacks) == (0.03, 3)
    assert config.train.recompute and config.data.path == "data/mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optim.lrr=0.1"], "optim.lrr is no setting"),
        (["--optim.lr", "fast"], "optim.lr is 'fast', expected a number"),
        (["--run=x"], "unrecognized arguments: --run=x"),
        (["--training.compile"], "unrecognized arguments: --training.compile"),
    ],
)
def test_a_mistake_in_one_is_a_message_as_ever(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    try:
        code: Any = cli.main(["train", "small", "data.path=x", *arguments])
    except SystemExit as stop:  # as argparse does
        code = stop.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_an_option_of_a_command_stays_one() -> None:
    parser = Parser(prog="adapt", allow_abbrev=False)
    adapt.add_arguments(parser)
    args = parse(
        parser, ["RUN", "--speaker", "anna", "--optim.lr", "0.1", "--replay-share", "0.25", "--fresh"]
    )
    assert (args.run, args.speaker, args.settings, args.fresh) == ("RUN", "anna", ["optim.lr=0.1"], True)
    assert args.replay_share == 0.25
    whole, _ = slurm.build_parser("train")
    assert parse(whole, ["small", "--optim.lr=0.1", "--time", "1:00:00"]).settings == [
        "small",
        "optim.lr=0.1",
    ]
