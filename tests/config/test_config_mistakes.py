"""Wrong configs: each is one message with the key path, the place, the nearest match and what to do."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from wavenet_pl.config.model import NetworkConfig
from wavenet_pl.config.trainer import OWNED
from wavenet_pl.config.tree import load_config
from wavenet_pl.errors import UserError
from wavenet_pl.training.trainer_options import build_trainer, check_trainer

ROOT = Path(__file__).resolve().parents[2]
DATA = "data.path=shards"


def message(files: Sequence[str | Path], overrides: Sequence[str]) -> str:
    with pytest.raises(UserError) as caught:
        load_config(files, overrides)
    return str(caught.value)


# What the file says, the line that is wrong, and what the message says beside FILE:LINE.
IN_A_FILE: dict[str, tuple[str, int, list[str]]] = {
    # typos
    "setting": ("optim:\n  lrr: 0.1", 2, ["optim.lrr is no setting", "did you mean optim.lr?"]),
    "section": ("optm:\n  lr: 0.1", 1, ["optm is no setting", "did you mean optim?"]),
    "nested": ("model:\n  network:\n    stack: 2", 3, ["did you mean model.network.stacks?"]),
    "wrong-section": ("seed: 1\nbatch_size: 4", 2, ["did you mean data.batch_size?"]),
    "too-deep": ("data:\n  network:\n    stacks: 2", 2, ["did you mean model.network?"]),
    "case": ("Seed: 1", 1, ["did you mean seed?"]),
    "dotted": ("optim.lr: 0.1", 1, ["did you mean optim.lr?", "one name per line"]),
    "trainer-option": ("max_epochs: 3", 1, ["options of lightning.Trainer go under trainer"]),
    "merge-key": ("optim:\n  <<: {lr: 1}", 2, ["optim.<< is no setting"]),
    "internal": ("origins: {a: b}", 1, ["origins is no setting"]),
    "literal": ("optim:\n  schedule: cosin", 2, ["is 'cosin'", "constant, cosine", "did you mean cosine?"]),
    "mode": ("wandb: {mode: ofline}", 1, ["wandb.mode is 'ofline'", "did you mean offline?"]),
    "kind": ("model:\n  kind: uncondtional", 2, ["did you mean unconditional?"]),
    "head": (
        "model:\n  head: {kind: mixture}",
        2,
        ["model.head.kind is 'mixture', expected one of softmax, logistics"],
    ),
    "codec": (
        "model:\n  codec: {kind: liner}",
        2,
        ["is 'liner', expected one of mu-law, linear", "mean linear?"],
    ),
    # types
    "text-for-number": ("optim:\n\n  lr: fast", 3, ["optim.lr is 'fast', expected a number"]),
    "fraction": ("model:\n  network: {stacks: 2.5}", 2, ["is 2.5, expected a whole number"]),
    "float-for-int": ("data:\n  crop_samples: 2e4", 2, ["is 2e4, expected a whole number; write 20000"]),
    "bool-for-int": ("data: {num_workers: yes}", 1, ["data.num_workers is yes, expected a whole number"]),
    "bool-for-float": ("samples: {temperature: true}", 1, ["is true, expected a number"]),
    "int-for-bool": ("model:\n  network:\n    bias: 1", 3, ["bias is 1, expected true or false"]),
    "text-for-bool": ("train: {compile: maybe}", 1, ["is 'maybe', expected true or false"]),
    "nothing": ("data:\n  batch_size:", 2, ["data.batch_size is null, expected a whole number"]),
    "list-for-number": ("optim: {lr: [1, 2]}", 1, ["optim.lr is [1, 2], expected a number"]),
    "mapping-for-number": ("seed: {a: 1}", 1, ["seed is {'a': 1}, expected a whole number"]),
    "list-for-text": (
        "data: {path: [a, b]}",
        1,
        ["data.path is ['a', 'b'], expected a folder or URL, or several as {a: 0.7, b: 0.3}"],
    ),
    "text-for-list": ("wandb: {tags: first}", 1, ["expected a list of text", "write [first]"]),
    "nested-list": ("wandb: {tags: [[a]]}", 1, ["wandb.tags is [['a']]", "expected a list of text"]),
    "long-list": (
        "optim: {betas: [0.1, 0.2, 0.3]}",
        1,
        ["optim.betas", "expected a list of 2 times a number"],
    ),
    "number-for-section": (
        "model:\n  network: 3",
        2,
        ["model.network is 3, expected a section", "model.network.stacks"],
    ),
    "list-for-section": ("data: [a]", 1, ["data is ['a'], expected a section"]),
    "list-for-mapping": ("trainer: [devices]", 1, ["trainer is ['devices'], expected a mapping"]),
    "duration": ("train: {stop_after: 1:75:00}", 1, ["train.stop_after is '1:75:00', expected HH:MM:SS"]),
    "duration-word": (
        "train:\n  stop_after: 2h",
        2,
        ["is '2h', expected HH:MM:SS, a number of seconds or null"],
    ),
    "missing-mark": ("optim:\n  lr: ???", 2, ["optim.lr is '???', expected a number"]),
    "interpolation": ("data:\n  path: ${oc.env:HOME}", 2, ["data.path has an interpolation", "environment"]),
    "interpolated-option": ("trainer: {max_time: {a: '${x}'}}", 1, ["trainer has an interpolation"]),
    # ranges
    "stacks": ("model: {network: {stacks: 0}}", 1, ["model.network.stacks is 0, expected 1 or more"]),
    "many-stacks": ("model: {network: {stacks: 1000000000}}", 1, ["expected 1000 or less"]),
    "layers": (
        "model: {network: {layers_per_stack: 40}}",
        1,
        ["layers_per_stack is 40, expected 24 or less"],
    ),
    "kernel": ("model: {network: {kernel_size: 1}}", 1, ["kernel_size is 1, expected 2 or more"]),
    "odd-gate": (
        "model:\n  network:\n    gate_channels: 7",
        3,
        ["gate_channels is 7, expected an even number", "use 6"],
    ),
    "residual": (
        "model: {network: {residual_channels: -1}}",
        1,
        ["residual_channels is -1, expected 1 or more"],
    ),
    "skip": ("model: {network: {skip_channels: 0}}", 1, ["skip_channels is 0, expected 1 or more"]),
    "dropout": (
        "model: {network: {dropout: 1.0}}",
        1,
        ["dropout is 1.0, expected a share from 0 to less than 1"],
    ),
    "scale": (
        "model: {network: {residual_scale: .inf}}",
        1,
        ["residual_scale is inf, expected a finite number"],
    ),
    "codes": (
        "model: {codec: {quantization_channels: 65536}}",
        1,
        ["is 65536, expected 2 to 1024, or 65536 with kind=linear for 16-bit audio"],
    ),
    "linear-codes": (
        "model:\n  codec: {kind: linear, quantization_channels: 4096}",
        2,
        ["model.codec.quantization_channels is 4096, expected 2 to 1024, or 65536 with kind=linear"],
    ),
    "mixtures": ("model: {head: {kind: logistics, mixtures: 0}}", 1, ["mixtures is 0, expected 1 to 100"]),
    "batch": ("data: {batch_size: 0}", 1, ["data.batch_size is 0, expected 1 or more"]),
    "window": (
        "data: {window: 0}",
        1,
        ["data.window is 0, expected 1 or more, or null to shuffle the whole set"],
    ),
    "cache": ("data: {cache: ''}", 1, ["data.cache is '', expected a folder, tmpdir, or null for none"]),
    "cache-limit": (
        "data: {cache: /x, cache_gib: 0}",
        1,
        ["data.cache_gib is 0.0, expected a finite number above 0, or null for as much as the order needs"],
    ),
    "cache-limit-alone": (
        "data: {cache_gib: 5}",
        1,
        ["data.cache_gib is 5.0, expected null where data.cache is null, as nothing is kept; set data.cache"],
    ),
    "decoded": ("data: {decoded_mib: -1}", 1, ["data.decoded_mib is -1, expected 0 or more"]),
    "workers": ("data: {num_workers: -1}", 1, ["data.num_workers is -1, expected 0 or more"]),
    "bad-fraction": (
        "data: {max_bad_fraction: 5}",
        1,
        ["max_bad_fraction is 5.0, expected a share from 0 to 1"],
    ),
    "lr": ("optim: {lr: -1e-3}", 1, ["optim.lr is -0.001, expected a finite number above 0"]),
    "lr-nan": ("optim: {lr: .nan}", 1, ["optim.lr is nan"]),
    "betas": ("optim: {betas: [0.9, 1]}", 1, ["optim.betas is (0.9, 1.0), expected two numbers"]),
    "weight-decay": ("optim: {weight_decay: -1}", 1, ["optim.weight_decay is -1.0"]),
    "ema": ("optim:\n  ema_decay: 1", 2, ["optim.ema_decay is 1.0, expected a number from 0 to less than 1"]),
    "final-lr": (
        "optim: {final_lr_fraction: 2}",
        1,
        ["final_lr_fraction is 2.0, expected a share from 0 to 1"],
    ),
    "top-p": ("samples: {top_p: 0}", 1, ["samples.top_p is 0.0, expected a share above 0"]),
    "cold": (
        "samples: {temperature: 1e-46}",
        1,
        ["samples.temperature is 1e-46, expected a number from 0 to 1,000,000"],
    ),
    "long": ("samples: {seconds: 1e300}", 1, ["samples.seconds is 1e+300, expected a number above 0, from"]),
    "many-threads": (
        "train: {threads: 100000}",
        1,
        ["train.threads is 100000, expected 1 or more, up to 1,024"],
    ),
    "temperature": ("samples: {temperature: -1}", 1, ["samples.temperature is -1.0"]),
    "count": ("samples: {count: 0}", 1, ["samples.count is 0", "samples.every_n_steps=0"]),
    "budget": ("samples: {budget_seconds: 0}", 1, ["samples.budget_seconds is 0.0"]),
    "sample-seed": ("samples: {seed: -1}", 1, ["samples.seed is -1, expected 0 to 4294967295"]),
    "seed": ("seed: 4294967296", 1, ["seed is 4294967296, expected 0 to 4294967295"]),
    "name": ("name: ../elsewhere", 1, ["name is '../elsewhere'", "it names a folder"]),
    "empty-name": ("name: ''", 1, ["name is ''", "1 to 64"]),
    "threads": ("train: {threads: 0}", 1, ["train.threads is 0, expected 1 or more, up to 1,024, or null"]),
    "stop-after": ("train: {stop_after: 0}", 1, ["train.stop_after is 0.0, expected a time above 0"]),
    "keep-last": ("train: {keep_last: 0}", 1, ["train.keep_last is 0, expected 1 or more"]),
    "hang-after": ("train: {hang_after: 0}", 1, ["train.hang_after is 0.0, expected a time above 0"]),
    "hang-after-clips": (
        "train: {hang_after: 60}",
        1,
        ["train.hang_after is 60.0, expected more than samples.budget_seconds, which is 120.0"],
    ),
    "skipped-steps": (
        "train: {max_skipped_steps: 0}",
        1,
        ["train.max_skipped_steps is 0, expected 1 or more"],
    ),
    "failed-save": ("train: {failed_save: goon}", 1, ["train.failed_save is 'goon'", "did you mean go_on?"]),
    "worker-start": (
        "data: {path: x, worker_start: forked}",
        1,
        ["data.worker_start is 'forked', expected one of forkserver, spawn", "did you mean"],
    ),
    "keep-best": ("train: {keep_best: -1}", 1, ["train.keep_best is -1, expected 0 or more"]),
    "checkpoints": ("train: {checkpoint_every_n_steps: 0}", 1, ["a stopped run is lost"]),
    "project": ("wandb: {project: a/b}", 1, ["wandb.project is 'a/b'"]),
    "entity": ("wandb: {entity: ''}", 1, ["wandb.entity is '', expected a name, or null"]),
    "tag": (f"wandb: {{tags: [{'x' * 65}]}}", 1, ["wandb.tags", "words of 1 to 64 characters"]),
    "timeout": ("wandb: {init_timeout: 0}", 1, ["wandb.init_timeout is 0.0"]),
    "log-every": ("wandb: {log_every_n_steps: 0}", 1, ["wandb.log_every_n_steps is 0, expected 1 or more"]),
    # combinations
    "softmax-of-16-bits": (
        "model:\n  head: {kind: softmax}\n  codec: {kind: linear, quantization_channels: 65536}",
        3,
        [
            "model.codec.quantization_channels is 65536, expected 1024 or less",
            "choose model.head.kind=logistics",
        ],
    ),
    "mixtures-of-softmax": (
        "model: {head: {mixtures: 10}}",
        1,
        ["model.head.mixtures is 10, expected null, as only kind logistics uses it", "kind is softmax"],
    ),
    "top-p-of-logistics": (
        "model: {head: {kind: logistics}}\nsamples: {top_p: 0.9}",
        2,
        ["samples.top_p is 0.9, expected 1", "model.head.kind is logistics", "lower samples.temperature"],
    ),
    "crop": (
        "data:\n  crop_samples: 3071",
        2,
        ["data.crop_samples is 3071", "receptive field, which is 3071", "set data.crop_samples"],
    ),
    "long-network": (
        "model:\n  network:\n    layers_per_stack: 14",
        3,
        ["data.crop_samples is 16000", "which is 49151"],
    ),
    "cosine": (
        "optim:\n  lr: 1\n  schedule: cosine",
        3,
        [
            "optim.decay_steps is null, expected the step at which the cosine ends, or null with trainer.max_steps"
        ],
    ),
    "short-decay": (
        "optim: {schedule: cosine, decay_steps: 100}",
        1,
        ["more than warmup_steps, which is 100"],
    ),
    "no-decay": (
        "optim:\n  decay_steps: 9",
        2,
        ["optim.decay_steps is 9, expected null", "schedule is constant"],
    ),
    "no-final": (
        "optim:\n  final_lr_fraction: 0.1",
        2,
        ["final_lr_fraction is 0.1, expected 0", "remove it"],
    ),
    "no-warmup": (
        "optim: {schedule: inverse_sqrt, warmup_steps: 0}",
        1,
        ["warmup_steps is 0", "inverse_sqrt"],
    ),
    "prompt": ("samples: {prompt_seconds: 2}", 1, ["prompt_seconds is 2.0", "seconds, which is 2.0"]),
    "greedy-top-p": (
        "samples: {temperature: 0, top_p: 0.9}",
        1,
        ["top_p is 0.9, expected 1 with temperature 0"],
    ),
    "condition": (
        "model:\n  condition:\n    channels: 8",
        3,
        ["condition.channels is 8, expected nothing, as a model of kind unconditional", "remove the setting"],
    ),
    "inputs": (
        "model:\n  kind: music\n  condition: {inputs: [tags, f0.npy]}",
        3,
        ["condition.inputs is ", "expected names of inputs such as speaker, tags, notes or mel, each once"],
    ),
    "input-twice": (
        "model:\n  kind: speaker\n  condition: {inputs: [mel, mel]}",
        3,
        ["condition.inputs is ", "expected names of inputs such as speaker, tags, notes or mel, each once"],
    ),
    "condition-channels": (
        "model:\n  kind: speaker\n  condition: {channels: 0}",
        3,
        ["condition.channels is 0, expected 1 or more"],
    ),
    "frame-layers": (
        "model:\n  kind: speaker\n  condition: {frame_layers: 11}",
        3,
        ["condition.frame_layers is 11, expected 0 to 10"],
    ),
    "logger": ("trainer:\n  logger: false", 2, ["trainer.logger cannot be set", "wandb.mode"]),
    "max-time": ("trainer:\n  max_time: 85500", 2, ["trainer.max_time is 85500", "train.stop_after"]),
    "accumulate": (
        "trainer:\n  accumulate_grad_batches: 0",
        2,
        ["trainer.accumulate_grad_batches is 0, expected a whole number from 1 on"],
    ),
    "accumulate-null": (
        "trainer:\n  accumulate_grad_batches: null",
        2,
        ["trainer.accumulate_grad_batches is null, expected a whole number from 1 on; leave it out for 1"],
    ),
    "accumulate-text": (
        "trainer:\n  accumulate_grad_batches: two",
        2,
        ["trainer.accumulate_grad_batches is 'two', expected"],
    ),
    "every-epoch": (
        "trainer:\n  check_val_every_n_epoch: 0",
        2,
        ["trainer.check_val_every_n_epoch is 0, expected a whole number from 1 on, or null"],
    ),
    "interval": (
        "trainer:\n  val_check_interval: 0",
        2,
        ["trainer.val_check_interval is 0, expected a whole number of batches from 1 on"],
    ),
    "interval-share": (
        "trainer:\n  val_check_interval: 1.5",
        2,
        ["trainer.val_check_interval is 1.5, expected", "a share of an epoch"],
    ),
    "interval-time": (
        "trainer:\n  val_check_interval: '00:00:30:00'",
        2,
        [
            "trainer.val_check_interval is '00:00:30:00', expected",
            "such as 1000",
            "each rank has its clock",
        ],
    ),
    "interval-minutes": (
        "trainer:\n  val_check_interval: {minutes: 30}",
        2,
        ["trainer.val_check_interval is {'minutes': 30}, expected", "each rank has its clock"],
    ),
    "no-train-batches": (
        "trainer:\n  limit_train_batches: 0",
        2,
        ["trainer.limit_train_batches is 0, expected a whole number of batches from 1 on"],
    ),
    "val-batches": (
        "trainer:\n  limit_val_batches: -1",
        2,
        ["trainer.limit_val_batches is -1, expected a whole number of batches, 0 for no validation"],
    ),
    "secret": (
        "wandb:\n  api_key: 0123456789abcdef",
        2,
        ["wandb.api_key looks like a secret", "wandb login"],
    ),
    # YAML
    "tab": ("optim:\n\tlr: 1", 2, ["not valid YAML", "spaces, not tabs"]),
    "colon": ("optim:\n  lr: 1: 2", 2, ["not valid YAML"]),
    "bracket": ("optim: {lr: 1\nseed: 2", 2, ["not valid YAML"]),
    "quote": ("name: 'a\nseed: 2", 2, ["not valid YAML"]),
    "indent": ("optim:\n   lr: 1\n  betas: 2", 3, ["not valid YAML"]),
    "twice": ("optim:\n  lr: 1\n  lr: 2", 3, ["lr is given twice, first at", ":2; keep one of the two"]),
    "section-twice": ("optim: {lr: 1}\nseed: 1\noptim: {ema_decay: 0.9}", 3, ["optim is given twice"]),
    "tag-object": ("name: !!python/object/apply:os.system ['true']", 1, ["found a YAML tag"]),
    "tag-plain": ("seed: 1\nname: !!str 3", 2, ["found a YAML tag"]),
    "tag-own": ("data: !include other.yaml", 1, ["found a YAML tag", "never makes objects"]),
    "alias": ("seed: &a 1\nsamples: {seed: *a}", 1, ["anchor or alias", "write the value out"]),
    "two-documents": ("seed: 1\n---\nseed: 2", 2, ["not valid YAML"]),
    "list-file": ("- seed", 1, ["found a list, expected settings as `name: value` lines"]),
    "text-file": ("hello there", 1, ["found the value 'hello there'"]),
    "odd-name": ("? [a, b]\n: 1", 1, ["found a list or mapping as a name"]),
}


@pytest.mark.parametrize("case", IN_A_FILE)
def test_a_mistake_in_a_file_is_named_with_its_line(tmp_path: Path, case: str) -> None:
    text, line, parts = IN_A_FILE[case]
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    said = message([file], [DATA] if "path:" not in text else [])
    assert said.startswith(f"{file}:{line}: "), said
    assert "\n" not in said
    for part in parts:
        assert part in said
    assert "0123456789abcdef" not in said


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("optim.lrr=1", ["optim.lrr is no setting", "did you mean optim.lr?"]),
        ("otpim.lr=1", ["did you mean optim?"]),
        ("optim.lr.x=1", ["optim.lr is {'x': 1}, expected a number"]),
        ("optim.lr=fast", ["optim.lr is 'fast', expected a number"]),
        ("optim.lr=", ["optim.lr is null, expected a number"]),
        ("data=", ["data is null, expected a section"]),
        ("trainer=", ["trainer is null, expected a mapping"]),
        ("data.crop_samples=100", ["data.crop_samples is 100", "receptive field"]),
        ("name=[", ["name: not valid YAML", "put the value in quotes"]),
        ("name=a: b: c", ["name: not valid YAML"]),
        ("name=!!python/name:os.system", ["found a YAML tag"]),
        ("name=&x", ["found a YAML anchor"]),
        ("data.path=${HOME}", ["data.path has an interpolation"]),
        ("data.path={a: 0.7, b: lots}", ["data.path is {'a': 0.7, 'b': 'lots'}, expected a folder or URL, or several"]),
        ("data.path={a:0.7}", ["data.path is {'a:0.7': None}, expected a folder or URL, or several as {a: 0.7"]),
        ("data.path={}", ["data.path is {}, expected a folder or URL, or several and their shares, finite numbers"]),
        ("data.path={a: 1, b: 0}", ["data.path is {'a': 1.0, 'b': 0.0}, expected a folder or URL, or several and"]),
        ("data.path={a: 1, b: -1}", ["expected a folder or URL, or several and their shares, finite numbers above 0"]),
        ("data.path={a: 1, b: 1e999}", ["expected a folder or URL, or several and their shares, finite numbers"]),
        ("data.path={a: 1, '': 1}", ["expected a folder or URL, or several and their shares, finite numbers"]),
        ("data.path={a: 1, b: 1e-5}", ["expected shares of 0.0001 of all at least; leave the smallest out"]),
        ("=3", ["found '=3', expected a setting as name=value"]),
        ("optim..lr=3", ["found 'optim..lr=3', expected a setting as name=value"]),
        ("seed", ["found 'seed', expected a setting as name=value"]),
        ("trainer.callbacks=[x]", ["trainer.callbacks cannot be set"]),
        ("hf_token=0123456789abcdef", ["hf_token looks like a secret"]),
        ("seed=" + "9" * 5000, ["seed is "]),
        ("trainer.x=" + "[" * 3000 + "]" * 3000, ["nested too deeply"]),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_says_so(override: str, parts: list[str]) -> None:
    said = message([], [DATA, override])
    assert said.startswith("command line: "), said
    for part in parts:
        assert part in said
    assert len(said) < 600
    assert "0123456789abcdef" not in said


def test_the_place_of_each_setting_in_a_combination_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("optim:\n  schedule: cosine\n  decay_steps: 50\n")
    said = message([tmp_path / "a.yaml"], [DATA, "optim.warmup_steps=60"])
    assert said.startswith(f"{tmp_path}/a.yaml:3: optim.decay_steps is 50")
    assert "optim.warmup_steps: command line" in said


def test_several_mistakes_are_one_message(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("optim:\n  lrr: 1\ndata:\n  batch_size: many\n")
    said = message([tmp_path / "a.yaml"], [DATA, "sed=1"]).split("\n")
    assert len(said) == 3
    for line, part in zip(
        said, ["a.yaml:2: optim.lrr", "a.yaml:4: data.batch_size", "line: sed"], strict=True
    ):
        assert part in line


def test_without_data_it_says_what_to_add() -> None:
    assert "data.path is not set" in message([], [])
    assert "add data.path=FOLDER" in message([], [])
    assert message([], ["data.path=''"]).startswith("command line: data.path is not set")


def test_a_class_made_in_python_says_the_same() -> None:
    with pytest.raises(ValueError, match="gate_channels is 7, expected an even number"):
        NetworkConfig(gate_channels=7)


# --- files ---


def test_a_file_that_is_not_there_is_named_with_the_nearest_config(tmp_path: Path) -> None:
    said = message(["demoo"], [DATA])
    assert said.startswith("demoo: no such file")
    assert "did you mean demo?" in said
    assert "name=value" in message(["zzzzzz"], [DATA])


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    said = message([tmp_path], [DATA])
    assert said.startswith(f"{tmp_path}: found a folder, expected a YAML file")


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"seed: 1\nname: \xff\xfe\n", ":2: not UTF-8 text"),
        (b"name: a\x00b\n", "found the character"),
        (b"#" * 70000, "larger than 64 KiB"),
        (b"trainer: " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path, data: bytes, part: str) -> None:
    (tmp_path / "a.yaml").write_bytes(data)
    said = message([tmp_path / "a.yaml"], [DATA])
    assert said.startswith(f"{tmp_path}/a.yaml")
    assert part in said


# --- lightning.Trainer ---


@pytest.mark.parametrize("name", OWNED)
def test_options_that_would_be_ignored_say_what_to_set_instead(name: str) -> None:
    assert message([], [DATA, f"trainer.{name}=1"]).endswith(f"trainer.{name} cannot be set: {OWNED[name]}")


def test_options_that_would_be_ignored_are_names_that_lightning_knows() -> None:
    import inspect

    from lightning.pytorch import Trainer

    assert set(OWNED) <= set(inspect.signature(Trainer).parameters)


def test_an_option_that_lightning_does_not_know_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("trainer:\n  accelerator: cpu\n  devicess: 2\n")
    with pytest.raises(UserError) as caught:
        check_trainer(load_config([tmp_path / "a.yaml"], [DATA]))
    assert str(caught.value).startswith(f"{tmp_path}/a.yaml:3: trainer.devicess is no option of lightning")
    assert "did you mean devices?" in str(caught.value)


@pytest.mark.parametrize(
    "option", ["precision=foo", "accelerator=cpuu", "gradient_clip_val=abc", "max_steps=abc"]
)
def test_a_value_that_lightning_refuses_is_named(option: str) -> None:
    config = load_config([], [DATA, f"trainer.{option}"])
    with pytest.raises(UserError, match="and lightning.Trainer refuses it") as caught:
        build_trainer(config, logger=False, enable_checkpointing=False)
    assert str(caught.value).startswith(f"command line: trainer.{option.partition('=')[0]} is ")


# --- the command, as a user meets it ---

PROGRAM = """
import sys
from wavenet_pl import cli
code = cli.main(["train", *sys.argv[1:]])
assert "torch" not in sys.modules
sys.exit(code)
"""


def seconds_of_children() -> float:
    """Of a processor, by all processes of ours that have ended: on a busy machine as on an idle one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    ("text", "arguments", "part"),
    [
        ("optim:\n  lrr: 1\n", [], "mine.yaml:2: optim.lrr is no setting"),
        ("seed: [\n", [], "not valid YAML"),
        ("model: {network: {gate_channels: 7}}\n", [], "gate_channels is 7"),
        ("seed: 1\n", ["data.crop_samples=10"], "command line: data.crop_samples is 10"),
        ("seed: 1\n", ["nosuch.yaml"], "nosuch.yaml: no such file"),
    ],
)
@pytest.mark.cold("what it imports before it answers")
def test_the_command_answers_with_one_message_before_torch_is_imported(
    tmp_path: Path, text: str, arguments: list[str], part: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    command = [sys.executable, "-c", PROGRAM, "mine.yaml", DATA, *arguments]
    before = seconds_of_children()
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    seconds = seconds_of_children() - before
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("wavenet-pl train: error: ")
    assert part in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert seconds < 1.5
