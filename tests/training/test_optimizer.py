"""Muon moves matrices by orthogonal steps, leaves the others to AdamW, and goes on from its state."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.small import small_config
from tests.small_run import small_config as run_config
from tests.small_run import train
from wavenet_pl.config.training import WandbConfig
from wavenet_pl.errors import UserError
from wavenet_pl.model import Model
from wavenet_pl.runs.checkpoints import CHECKPOINT_KEY
from wavenet_pl.training import module as training_module
from wavenet_pl.training.module import build_module
from wavenet_pl.training.optimizer import Muon, build_optimizer, orthogonal


def small_model(*settings: str) -> Model:
    torch.manual_seed(0)
    return Model(small_config("x", *settings), sample_rate=8_000)


def give_gradients(model: Model, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def weights(model: Model) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("shape", [(5, 16, 16), (3, 8, 24), (3, 24, 8), (1, 1, 9)])
def test_singular_values_come_near_to_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = torch.linalg.svdvals(orthogonal(matrices))
    given = torch.linalg.svdvals(matrices / matrices.norm(dim=(1, 2), keepdim=True))
    assert float(found[given > 0.02].min()) > 0.6
    assert float(found.max()) < 1.3


def test_directions_of_a_matrix_stay() -> None:
    """The step has the singular vectors of the momentum: only its singular values change."""
    matrix = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ orthogonal(matrix[None])[0] @ right.T
    torch.testing.assert_close(inner, torch.diag(torch.diagonal(inner)), atol=1e-10, rtol=0)


def test_matrices_of_the_layers_move_as_far_as_adamw_moves_them_and_in_all_directions() -> None:
    model = small_model("optim.kind=muon", "optim.lr=0.01")
    optimizer = build_optimizer(model, model.config.optim)
    before = weights(model)
    give_gradients(model, seed=1)
    optimizer.step()
    for name, parameter in model.named_parameters():
        moved = (parameter.detach() - before[name]).flatten(1) if parameter.ndim > 1 else None
        if name.startswith("network.layers.") and moved is not None:
            rows, columns = moved.shape
            # As large as 0.2 of the rate in every entry, were all singular values one.
            expected = 0.2 * 0.01 * min(rows, columns) ** 0.5 * max(rows, columns) ** 0.5
            assert float(moved.norm()) == pytest.approx(expected, rel=0.35)
            values = torch.linalg.svdvals(moved)
            assert float(values.max() / values.median()) < 2


def test_all_others_are_adamws_to_the_last_bit() -> None:
    model, other = small_model("optim.kind=muon"), small_model()
    muon, adamw = (build_optimizer(each, each.config.optim) for each in (model, other))
    for seed in range(3):
        for each, optimizer in ((model, muon), (other, adamw)):
            give_gradients(each, seed)
            optimizer.step()
    theirs = weights(other)
    same = {name for name, weight in weights(model).items() if torch.equal(weight, theirs[name])}
    expected = {
        name for name, parameter in model.named_parameters()
        if parameter.ndim == 1 or not name.startswith("network.layers.")
    }  # fmt: skip
    assert same == expected


def test_weights_without_a_gradient_stay() -> None:
    model = small_model("optim.kind=muon", "optim.weight_decay=0.1")
    optimizer = build_optimizer(model, model.config.optim)
    give_gradients(model, 0)
    optimizer.step()
    before = weights(model)
    optimizer.zero_grad()
    optimizer.step()
    assert all(torch.equal(weight, before[name]) for name, weight in weights(model).items())


def test_weight_decay_shrinks_matrices_too() -> None:
    plain, decayed = (small_model("optim.kind=muon", f"optim.weight_decay={decay}") for decay in (0, 0.5))
    for model in (plain, decayed):
        optimizer = build_optimizer(model, replace(model.config.optim, lr=0.1))
        give_gradients(model, 0)
        optimizer.step()
    before = weights(small_model())
    for name, weight in weights(decayed).items():
        torch.testing.assert_close(weight, weights(plain)[name] - 0.1 * 0.5 * before[name])


def test_it_goes_on_from_its_state_as_if_it_had_not_stopped() -> None:
    model, other = small_model("optim.kind=muon"), small_model("optim.kind=muon")
    optimizer = build_optimizer(model, model.config.optim)
    for seed in range(4):
        if seed == 2:
            other.load_state_dict(model.state_dict())
            resumed = build_optimizer(other, other.config.optim)
            resumed.load_state_dict(deepcopy(optimizer.state_dict()))
        give_gradients(model, seed)
        optimizer.step()
        if seed >= 2:
            give_gradients(other, seed)
            resumed.step()
    assert all(torch.equal(weight, weights(other)[name]) for name, weight in weights(model).items())


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_one_kernel_for_all_weights_moves_them_as_far(kind: str) -> None:
    model, other = small_model(f"optim.kind={kind}"), small_model(f"optim.kind={kind}")
    plain = build_optimizer(model, model.config.optim)
    fused = build_optimizer(other, other.config.optim, fused=True)
    assert fused.param_groups[0]["fused"] and not plain.param_groups[0]["fused"]
    for seed in range(3):
        for each, optimizer in ((model, plain), (other, fused)):
            give_gradients(each, seed)
            optimizer.step()
    torch.testing.assert_close(weights(other), weights(model))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize("first", [True, False])
def test_the_device_says_how_a_step_is_computed_and_not_the_checkpoint(kind: str, first: bool) -> None:
    model, other = small_model(f"optim.kind={kind}"), small_model(f"optim.kind={kind}")
    optimizer = build_optimizer(model, model.config.optim, fused=first)
    give_gradients(model, 0)
    optimizer.step()
    other.load_state_dict(model.state_dict())
    resumed = build_optimizer(other, other.config.optim, fused=not first)
    resumed.load_state_dict(deepcopy(optimizer.state_dict()))
    for each, one in ((model, optimizer), (other, resumed)):
        give_gradients(each, 1)
        one.step()
    assert [group["fused"] for group in resumed.param_groups] == [not first] * len(resumed.param_groups)
    torch.testing.assert_close(weights(other), weights(model))


@pytest.mark.filterwarnings("ignore")
def test_gradients_are_clipped_before_a_step_in_one_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning refuses to clip for an optimizer that takes a loss scale out of the gradients by itself."""
    monkeypatch.setattr(training_module, "build_optimizer", partial(build_optimizer, fused=True))
    config = run_config(tmp_path, wandb=WandbConfig(mode="disabled"))
    trainer = train(config, tmp_path / "run", max_steps=2, precision="bf16-mixed", gradient_clip_val=1e-3)
    assert trainer.global_step == 2
    assert trainer.optimizers[0].param_groups[0]["fused"]


def test_a_closure_is_called_with_gradients_and_before_anything_moves() -> None:
    model = small_model("optim.kind=muon")
    optimizer = build_optimizer(model, model.config.optim)
    assert isinstance(optimizer, Muon)
    before, seen = weights(model), []

    def closure() -> str:
        seen.append(
            (torch.is_grad_enabled(), all(map(torch.equal, weights(model).values(), before.values())))
        )
        give_gradients(model, 0)
        return "loss"

    assert optimizer.step(closure) == "loss"
    assert seen == [(True, True)]


def test_another_optimizers_checkpoint_is_refused_by_name() -> None:
    checkpoint: dict[str, Any] = {"optimizer_states": [{}]}
    begun = build_module(small_config("x"), sample_rate=8_000)
    begun.on_save_checkpoint(checkpoint)
    begun.on_load_checkpoint(checkpoint)
    module = build_module(small_config("x", "optim.kind=muon"), sample_rate=8_000)
    with pytest.raises(UserError, match=r"optim\.kind 'adamw', expected 'muon'.*set the same optim\.kind"):
        module.on_load_checkpoint(checkpoint)
    del checkpoint[CHECKPOINT_KEY]["config"]["optim"]["kind"]  # as checkpoints were that came before Muon
    with pytest.raises(UserError, match=r"optim\.kind 'adamw', expected 'muon'"):
        module.on_load_checkpoint(checkpoint)
    for damaged in ({}, {"optim": None}, None):
        checkpoint[CHECKPOINT_KEY]["config"] = damaged
        with pytest.raises(UserError, match="does not record what it was trained on"):
            module.on_load_checkpoint(checkpoint)
