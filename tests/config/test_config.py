"""Defaults, files, key=value: what a loaded config says, and that it can be written and read again."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet_pl.config import model as config_model
from wavenet_pl.config import source as config_source
from wavenet_pl.config import training as config_training
from wavenet_pl.config import tree as config_module
from wavenet_pl.config.model import NetworkConfig
from wavenet_pl.config.tree import (
    Config,
    find_config,
    from_plain,
    load_config,
    shipped_configs,
    shipped_folder,
    split_arguments,
    to_plain,
    to_yaml,
)
from wavenet_pl.errors import UserError
from wavenet_pl.training.trainer_options import build_trainer, check_trainer

DATA = "data.path=shards"


@pytest.mark.parametrize("kind", ["speaker", "music"])
@pytest.mark.parametrize(
    "inputs", ["speaker,tags", "notes,speaker", "tags,mel", "accent", "speaker,room type,f0"]
)
def test_any_inputs_go_with_any_kind_that_has_some(kind: str, inputs: str) -> None:
    config = load_config([], [DATA, f"model.kind={kind}", f"model.condition.inputs=[{inputs}]"])
    assert config.model.inputs == tuple(inputs.split(","))
    assert from_plain(to_plain(config), "here") == config


@pytest.mark.parametrize(
    ("kind", "inputs"), [("unconditional", ()), ("speaker", ("speaker",)), ("music", ("tags",))]
)
def test_a_kind_has_inputs_of_its_own_where_nothing_is_said(kind: str, inputs: tuple[str, ...]) -> None:
    assert load_config([], [DATA, f"model.kind={kind}"]).model.inputs == inputs


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def leaves(tree: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below a tree of dicts, with its key path."""
    for name, value in tree.items():
        path = f"{at}.{name}" if at else name
        if isinstance(value, dict) and value:
            yield from leaves(value, path)
        else:
            yield path, value


# --- the settings themselves ---


def test_every_setting_is_documented_in_one_line_below_it() -> None:
    undocumented = []
    for module in (config_module, config_model, config_training):
        for node in ast.parse(inspect.getsource(module)).body:
            if not isinstance(node, ast.ClassDef):
                continue
            for item, below in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(item, ast.AnnAssign):
                    text = below.value if isinstance(below, ast.Expr) else None
                    good = isinstance(text, ast.Constant) and "\n" not in str(text.value)
                    undocumented += [] if good else [f"{node.name}.{ast.unparse(item.target)}"]
    assert not undocumented


def test_settings_cannot_be_changed_nor_given_by_position() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError, match="positional"):
        NetworkConfig(3)  # type: ignore[misc]


def test_receptive_field_of_the_paper_is_3071_samples() -> None:
    network = NetworkConfig(stacks=3, layers_per_stack=10)
    assert network.num_layers == 30
    assert network.dilations[:10] == (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    assert network.dilations[10:20] == network.dilations[:10]
    assert network.receptive_field == 3071


@given(stacks=st.integers(1, 5), layers_per_stack=st.integers(1, 10), kernel_size=st.integers(2, 5))
def test_receptive_field_is_what_walking_back_through_the_layers_reaches(
    stacks: int, layers_per_stack: int, kernel_size: int
) -> None:
    network = NetworkConfig(stacks=stacks, layers_per_stack=layers_per_stack, kernel_size=kernel_size)
    earliest = 0
    for dilation in [1, *network.dilations]:  # the first convolution has no dilation
        earliest -= dilation * (kernel_size - 1)
    assert network.receptive_field == 1 - earliest


@pytest.mark.cold("what is imported")
def test_reading_a_config_does_not_import_torch() -> None:
    program = (
        "import sys; from wavenet_pl.config.tree import load_config; load_config([], ['data.path=x']); "
        "assert not {'torch', 'lightning', 'numpy', 'wandb'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


# --- layers: defaults <- files <- key=value ---


def test_each_layer_goes_over_the_ones_before(tmp_path: Path) -> None:
    first = write(tmp_path / "first.yaml", "data: {path: a, batch_size: 2}\noptim:\n  lr: 0.5\nseed: 1\n")
    second = write(tmp_path / "second.yaml", "data: {batch_size: 3}\nseed: 2\n")
    config = load_config([first, second], ["seed=3", "seed=4"])
    assert (config.data.path, config.data.batch_size, config.optim.lr, config.seed) == ("a", 3, 0.5, 4)
    assert config.samples == Config().samples


def test_each_setting_that_was_given_knows_its_place(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "# a run\ndata:\n  path: a\n  batch_size: 2\ntrainer:\n  devices: 2\n")
    config = load_config([file], ["data.batch_size=4"])
    assert config.origins == {
        "data.path": f"{file}:3",
        "data.batch_size": "command line",
        "trainer.devices": f"{file}:6",
    }


def test_trainer_options_are_laid_over_each_other_name_by_name(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "trainer: {devices: 2, max_time: {hours: 1, minutes: 2}}")
    config = load_config([file], [DATA, "trainer.accelerator=cpu", "trainer.max_time.hours=3"])
    assert config.trainer == {
        "devices": 2,
        "max_time": {"hours": 3, "minutes": 2},
        "accelerator": "cpu",
    }


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "---\n", "data:\n# path: a\noptim:\ntrainer:\n", "{}"]
)
def test_a_file_or_section_that_says_nothing_changes_nothing(tmp_path: Path, text: str) -> None:
    assert load_config([write(tmp_path / "a.yaml", text)], [DATA]) == load_config([], [DATA])


def test_a_section_may_be_given_as_a_whole() -> None:
    config = load_config([], [DATA, "model.network={stacks: 2, layers_per_stack: 4}"])
    assert config.model.network == NetworkConfig(stacks=2, layers_per_stack=4)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("optim.lr=1e-3", 1e-3),
        ("optim.lr=1.E-3", 1e-3),
        ("optim.lr=2", 2.0),
        ("optim.lr='2'", 2.0),
        ("optim.betas=[0, 0.5]", (0.0, 0.5)),
        ("seed=1_000", 1000),
        ("seed=010", 10),  # not octal
        ("model.network.bias=no", False),
        ("model.network.bias=on", True),
        ("train.threads=null", None),
        ("train.threads=", None),
        ("train.threads=3", 3),
        ("name=007", "007"),
        ("name=1e3", "1e3"),
        ("name=on", "on"),
        ("name=2024-01-01", "2024-01-01"),
        ("wandb.tags=[1, on, two]", ("1", "on", "two")),
        ("data.path=s3://bucket/a=b:c", "s3://bucket/a=b:c"),
        ("wandb.entity=~", None),
        ("train.stop_after=23:45:00", 85500.0),
        ("train.stop_after='23:45:00'", 85500.0),
        ("train.stop_after=85500", 85500.0),
        ("train.stop_after=0:00:30", 30.0),
        ("train.stop_after=120:00:00", 432000.0),
        ("train.stop_after=1.5", 1.5),
        ("train.stop_after=null", None),
    ],
)
def test_values_mean_what_they_look_like(tmp_path: Path, argument: str, expected: object) -> None:
    key, _, text = argument.partition("=")
    section = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(key.split(".")))
    file = write(tmp_path / "a.yaml", section.rstrip("\n") + f" {text}\n")
    for config in (
        load_config([], [DATA, argument]),
        load_config([file], [] if "data.path" in key else [DATA]),
    ):
        value: Any = config
        for name in key.split("."):
            value = getattr(value, name)
        assert value == expected
        assert type(value) is type(expected)


def test_files_and_settings_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "lr=1.yaml", "seed: 1")
    given_arguments = ["demo", "a.yaml", "optim.lr=1", "lr=1.yaml", "data.path=x.yaml"]
    assert split_arguments(given_arguments) == (
        ["demo", "a.yaml", "lr=1.yaml"],
        ["optim.lr=1", "data.path=x.yaml"],
    )


# --- writing and reading again ---

text_values = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12).filter(
    lambda text: "${" not in text and text != "???"
)
looks_like_a_value = st.sampled_from(
    ["1e-3", "010", "12:30:00", "on", "null", "~", "0x10", "1_0", ".5", "+1", "2024-01-01", "="]
)
numbers = st.integers(-(10**17), 10**17) | st.floats(allow_nan=False)
options = st.recursive(
    st.none() | st.booleans() | numbers | text_values | looks_like_a_value,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text_values, inner, max_size=3),
    max_leaves=6,
)
configs = st.builds(
    lambda name, model, tags, entity, lr, seed, stop_after, max_time: from_plain(
        {
            "name": name,
            "model": model,
            "seed": seed,
            "data": {"path": "x"},
            "wandb": {"tags": tags, "entity": entity},
            "optim": {"lr": lr},
            "train": {"stop_after": stop_after},
            "trainer": {"strategy": max_time},
        }
    ),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True)
    | st.sampled_from(["1e3", "on", "007"]),
    model=st.sampled_from(
        [
            {},
            {"codec": {"kind": "linear"}},
            {"head": {"kind": "logistics"}, "codec": {"kind": "linear", "quantization_channels": 65536}},
        ]
    ),
    tags=st.lists(text_values.filter(bool) | st.sampled_from(["1e3", "on", "null", "1:00"]), max_size=3),
    entity=st.none() | text_values.filter(bool),
    lr=st.floats(1e-300, 1e300),
    seed=st.integers(0, 2**32 - 1),
    stop_after=st.none() | st.floats(1e-6, 1e9),
    max_time=options,
)


@settings(max_examples=40)
@given(config=configs)
def test_written_or_made_plain_and_read_again_it_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, config: Config
) -> None:
    file = tmp_path_factory.getbasetemp() / "written.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    again = load_config([file])
    assert again == config
    assert to_yaml(again) == to_yaml(config)
    assert from_plain(json.loads(json.dumps(to_plain(config)))) == config


def test_plain_values_are_a_copy_of_primitives_only() -> None:
    config = load_config([], [DATA, "trainer.max_time={hours: 1}", "wandb.tags=[a]"])
    tree = to_plain(config)
    assert {type(value) for _, value in leaves(tree)} <= {type(None), bool, int, float, str, list}
    tree["trainer"]["max_time"]["hours"] = 2
    assert config.trainer["max_time"]["hours"] == 1
    assert "origins" not in tree


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"seeed": 1}, "did you mean seed?"),
        ({"optim": {"lr": "fast"}}, "stored config: optim.lr is 'fast', expected a number"),
        ({"optim": object()}, "stored config: found a object"),
        ({1: 2}, "found the name 1, expected text"),
        ({"name": "../../etc"}, "name is '../../etc'"),
        ({"name": "${oc.env:HOME}"}, "interpolation"),
        ({"trainer": {"x": {"${oc.env:HOME}": 1}}}, "interpolation"),
        ({"trainer": {"x": {1, 2}}}, "found a set"),
        ({"model": {"network": {"stacks": 10**12}}}, "stacks is 1000000000000"),
        ({"model": {"network": {"stacks": True}}}, "stacks is true, expected a whole number"),
        ({"optim": {"lr": 10**400}}, "optim.lr"),
    ],
)
def test_plain_values_from_anywhere_are_checked(tree: dict[Any, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        from_plain(tree)
    assert message in str(caught.value)


def test_plain_values_without_end_are_refused() -> None:
    tree: dict[str, Any] = {}
    tree["trainer"] = tree
    with pytest.raises(UserError, match="nested too deeply"):
        from_plain(tree)


# --- the configs that come with the project ---


def trainer_defaults() -> dict[str, Any]:
    from lightning.pytorch import Trainer

    return {name: option.default for name, option in inspect.signature(Trainer).parameters.items()}


def test_demo_and_unconditional_are_there() -> None:
    assert {"demo", "unconditional"} <= set(shipped_configs())


@pytest.mark.parametrize("name", shipped_configs())
def test_a_shipped_config_loads_and_says_only_what_differs(name: str) -> None:
    file = shipped_folder() / f"{name}.yaml"
    assert len(file.read_text().splitlines()) <= 20
    said = dict(leaves(config_source.read_file(file).plain()))
    loaded = dict(leaves(to_plain(load_config([name], [] if "data.path" in said else [DATA]))))
    defaults = dict(leaves(to_plain(Config()))) | {
        f"trainer.{option}": value for option, value in trainer_defaults().items()
    }
    repeated = [key for key in said if key in defaults and loaded[key] == defaults[key]]
    assert not repeated, f"these are defaults already: {repeated}"
    check_trainer(load_config([name], [DATA]))


@pytest.mark.parametrize("name", ["demo", "demo.yaml", "configs/demo.yaml", Path("demo")])
def test_a_shipped_config_is_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == shipped_folder() / "demo.yaml"
    assert load_config([name], [DATA]).name == "demo"


def test_a_file_of_ones_own_goes_before_a_shipped_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "demo.yaml", "name: mine")
    assert load_config(["demo.yaml"], [DATA]).name == "mine"


@pytest.mark.parametrize("name", ["demo", "demo.yaml", "configs/demo"])
def test_a_folder_hides_no_shipped_config_and_a_file_of_that_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir(parents=True)
    assert load_config([name], [DATA]).name == "demo"
    (tmp_path / name).rmdir()
    write(tmp_path / name, "name: mine")
    assert load_config([name], [DATA]).name == "mine"


def test_a_folder_that_is_no_shipped_config_is_refused_as_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found a folder, expected a YAML file; name a file in it"):
        load_config([tmp_path], [DATA])


@pytest.mark.parametrize("length", [250, 256, 5_000])
def test_a_setting_may_be_longer_than_the_name_of_any_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.chdir(tmp_path)
    value = "x" * length
    assert split_arguments(["demo", f"data.path={value}"]) == (["demo"], [f"data.path={value}"])
    with pytest.raises(UserError, match="no such file, and no shipped config of this name"):
        find_config(value)
    (tmp_path / "a=b").mkdir()
    assert split_arguments(["a=b"]) == ([], ["a=b"]), "a folder is no config"


# --- options of lightning.Trainer ---


def test_trainer_options_that_lightning_knows_pass_through() -> None:
    config = load_config([], [DATA, "trainer.max_steps=3", "trainer.accelerator=cpu", "trainer.devices=1"])
    check_trainer(config)
    trainer = build_trainer(config, logger=False, enable_checkpointing=False, max_steps=9, max_epochs=2)
    assert (trainer.max_steps, trainer.max_epochs) == (3, 2)


def test_files_are_laid_over_a_tree_that_is_given(tmp_path: Path) -> None:
    under = {"model": {"network": {"stacks": 2}}, "data": {"crop_samples": 8_000}}
    write(tmp_path / "over.yaml", "data: {crop_samples: 9000}")
    config = load_config([tmp_path / "over.yaml"], [DATA, "data.batch_size=2"], under)
    assert (config.model.network.stacks, config.data.crop_samples, config.data.batch_size) == (2, 9_000, 2)
    with pytest.raises(UserError, match="the base"):
        load_config([], [DATA], {"model": {"network": {"stackz": 2}}})
