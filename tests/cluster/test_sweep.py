"""Sweeps: what --array takes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavenet_pl.cluster.sweep import read_sweep, sweep_name
from wavenet_pl.errors import UserError


def test_a_range_includes_both_ends() -> None:
    assert read_sweep(["seed=0..2"]) == [("seed=0",), ("seed=1",), ("seed=2",)]


def test_axes_multiply_the_first_slowest() -> None:
    grid = [("optim.lr=1e-3", "seed=0"), ("optim.lr=1e-3", "seed=1"), ("optim.lr=3e-4", "seed=0"), ("optim.lr=3e-4", "seed=1")]  # fmt: skip # noqa: E501
    assert read_sweep(["optim.lr=1e-3,3e-4 seed=0..1"]) == grid
    assert read_sweep(["optim.lr=1e-3,3e-4", "seed=0,1"]) == grid


def test_commas_in_brackets_are_part_of_a_value() -> None:
    assert read_sweep(["optim.betas=[0.9,0.99],[0.8,0.9]"]) == [
        ("optim.betas=[0.9,0.99]",),
        ("optim.betas=[0.8,0.9]",),
    ]


def test_a_file_is_a_grid_or_a_list_of_tasks(tmp_path: Path) -> None:
    grid, tasks = tmp_path / "grid.yaml", tmp_path / "tasks.yaml"
    grid.write_text("seed: [0, 1]\noptim.schedule: [cosine]\noptim.decay_steps: [100, null]\n")
    tasks.write_text("- {seed: 0, optim.lr: 0.001}\n- {seed: 1, wandb.tags: [a, b]}\n")
    assert len(read_sweep([str(grid)])) == 4
    assert read_sweep([str(grid)])[-1] == ("seed=1", "optim.schedule=cosine", "optim.decay_steps=null")
    assert read_sweep([str(tasks)]) == [("seed=0", "optim.lr=0.001"), ("seed=1", 'wandb.tags=["a", "b"]')]


@pytest.mark.parametrize(
    "axes",
    [
        ["seed"],
        ["seed=1,,2"],
        ["seed=4..0"],
        ["seed=0..99999999"],
        ["seed=0,0"],
        ["seed=0..1", "seed=2"],
        ["seed=0..999 optim.lr=1,2,3,4,5,6,7,8,9,10,11"],
        ["a=0..9999 b=0..9999 c=0..9999 d=0..9999"],
        [f"seed=0..{'9' * 5_000} seed=1"],
        ["0..4"],
        ["nowhere.yaml"],
    ],
)
def test_what_is_no_sweep_is_refused_by_the_name_of_its_option(axes: list[str]) -> None:
    with pytest.raises(UserError, match="--array"):
        read_sweep(axes)


def test_a_grid_that_no_memory_holds_is_counted_and_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("".join(f"{name}: {list(range(99))}\n" for name in "abcdefghij"))
    with pytest.raises(UserError, match=f"--array makes {99**10} tasks, expected at most 10000"):
        read_sweep([str(tmp_path / "sweep.yaml")])


def test_values_of_a_file_are_what_they_are_in_a_config(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text("name: [2024-01-01, 2024-99-01, 007, 1e-3, 12:30:00, 'on', [007, 0.5]]\n")
    values = ["2024-01-01", "2024-99-01", "007", "1e-3", "12:30:00", "on", '["007", 0.5]']
    assert read_sweep([str(path)]) == [(f"name={value}",) for value in values]


@pytest.mark.parametrize(
    "text",
    [
        "seed: 1\n", "[1, 2]\n", "seed: []\n", "- {1: 2}\n", "{\n", "",
        f"seed: {'[' * 9_999}", f"seed: [{'[' * 500}{']' * 500}]", "seed: [&a [*a]]\n",
        "name: [!!binary aGk=]\n", "a: [\0]",
    ],
)  # fmt: skip
def test_a_file_that_is_no_sweep_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(UserError, match=r"--array .*sweep\.yaml"):
        read_sweep([str(tmp_path / "sweep.yaml")])


def test_the_same_sweep_has_the_same_group_and_another_has_another() -> None:
    tasks = read_sweep(["seed=0..1"])
    assert sweep_name("demo", tasks) == sweep_name("demo", list(tasks))
    assert sweep_name("demo", tasks) != sweep_name("demo", read_sweep(["seed=0..2"]))
