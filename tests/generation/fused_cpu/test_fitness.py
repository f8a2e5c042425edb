"""The fused engine takes a network whose weights say all that it computes, and names what else there is in another."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from tests.generation.test_reference import HEAD, TINY, build
from wavenet_pl.errors import UserError
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import build_engine, stream
from wavenet_pl.generation.fused_cpu.fitness import why_not
from wavenet_pl.generation.job import build_job
from wavenet_pl.heads import Head
from wavenet_pl.layers.convolution import CausalConv1d, Pointwise
from wavenet_pl.layers.residual import Made, ResidualLayer
from wavenet_pl.network import WaveNet

PLACES = (
    "first",
    "layers.0.dilated",
    "layers.3.skip",
    "layers.1.residual",
    "layers.2.condition",
    "hidden",
    "output",
)
"""Convolutions of all roles."""
each_place = pytest.mark.parametrize("place", PLACES)


def fresh() -> WaveNet:
    return build(TINY, 3).float()


def generate(network: WaveNet, choice: Choice) -> Tensor:
    job = build_job(
        network, HEAD, Draw(clips=(0, 1)), 20, silence_code=8, condition=torch.linspace(-1, 1, 6).reshape(2, 3, 1)
    )  # fmt: skip
    return torch.cat(list(stream(build_engine(network, HEAD, choice), network, job)), dim=1)


def assert_refused(network: WaveNet, *said: str) -> None:
    """By the fused engine, with these words; what nobody asks for by name goes to the reference."""
    with pytest.raises(UserError) as caught:
        build_engine(network, HEAD, Choice(engine="fused-cpu"))
    for words in (*said, "engine fused-cpu cannot generate here", "use the reference engine"):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert build_engine(network, HEAD, Choice()).name == "reference"
    assert torch.equal(generate(network, Choice()), generate(network, Choice(engine="reference")))
    with pytest.raises(UserError, match="weights is int8, expected float32"):
        build_engine(network, HEAD, Choice(weights="int8"))


def test_a_network_as_it_was_built_is_taken() -> None:
    assert why_not(fresh(), HEAD) == ""
    assert build_engine(fresh(), HEAD, Choice()).name == "fused-cpu"
    assert build_engine(fresh(), HEAD, Choice(engine="fused-cpu")).name == "fused-cpu"


def test_a_network_that_torch_compiles_for_training_is_taken() -> None:
    network = fresh()
    network.compile(backend="eager")
    assert why_not(network, HEAD) == ""
    assert torch.equal(
        generate(network, Choice(engine="fused-cpu")), generate(fresh(), Choice(engine="fused-cpu"))
    )


def test_a_copy_a_frozen_one_and_one_in_training_are_taken() -> None:
    assert why_not(copy.deepcopy(fresh()), HEAD) == ""
    assert why_not(fresh().requires_grad_(False), HEAD) == ""
    assert why_not(fresh().train(), HEAD) == ""


def test_hooks_that_are_gone_are_no_hooks() -> None:
    network = fresh()
    network.output.register_forward_hook(lambda module, inputs, output: output * 2).remove()
    assert why_not(network, HEAD) == ""


# --- what computes something else than its weights say ---


@each_place
def test_a_forward_hook_is_named(place: str) -> None:
    network = fresh()
    changed: list[int] = []

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        changed.append(1)

    network.get_submodule(place).register_forward_hook(hook)
    assert_refused(network, f"network.{place} has a hook, which may change what it computes")
    assert changed, "the reference heeds it"


@each_place
def test_a_hook_before_a_forward_is_named(place: str) -> None:
    network = fresh()
    network.get_submodule(place).register_forward_pre_hook(lambda module, inputs: None)
    assert_refused(network, f"network.{place} has a hook")


@pytest.mark.parametrize("place", ["", "layers", "layers.2", "embedding", "layers.0.dropout"])
def test_a_hook_on_what_is_no_convolution_is_named_too(place: str) -> None:
    network = fresh()
    network.get_submodule(place).register_forward_hook(lambda module, inputs, output: None)
    assert_refused(network, f"network.{place} has a hook" if place else "network has a hook")


class Louder(Pointwise):
    def forward(self, x_TBC: Tensor) -> Tensor:
        return 2 * super().forward(x_TBC)


class LouderCausal(CausalConv1d):
    def forward(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        y_TBC, past_PBC = super().forward(*inputs)
        return 2 * y_TBC, past_PBC


class LouderLayer(ResidualLayer):
    def forward(self, *inputs: Any) -> tuple[Tensor, Tensor, Tensor, Made | None]:
        x_NBR, skips_UBS, *others = super().forward(*inputs)
        return x_NBR, 2 * skips_UBS, *others


class LouderNetwork(WaveNet):
    def project_output(self, skips_UBS: Tensor) -> Tensor:
        return 2 * super().project_output(skips_UBS)


def subclass_of(module: nn.Module) -> type[nn.Module]:
    if isinstance(module, ResidualLayer):
        return LouderLayer
    return LouderCausal if isinstance(module, CausalConv1d) else Louder


@pytest.mark.parametrize("place", [*PLACES, "layers.4"])
def test_a_subclass_of_a_layer_is_named(place: str) -> None:
    network = fresh()
    layer = network.get_submodule(place)
    layer.__class__ = subclass_of(layer)
    assert_refused(network, f"network.{place} is a {type(layer).__name__}, which it does not know")
    assert not torch.equal(generate(network, Choice()), generate(fresh(), Choice())), "the reference heeds it"


def test_a_subclass_of_the_network_is_named() -> None:
    network = fresh()
    network.__class__ = LouderNetwork
    assert_refused(network, "network is a LouderNetwork, which it does not know")


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


@each_place
def test_a_parametrised_layer_is_named(place: str) -> None:
    network = fresh()
    parametrize.register_parametrization(network.get_submodule(place), "weight", Doubled())
    assert_refused(network, f"network.{place} is a Parametrized", "which it does not know")
    parametrize.remove_parametrizations(network.get_submodule(place), "weight")
    assert why_not(network, HEAD) == "", "what is folded in is the layer's own weight"


@each_place
def test_weight_norm_is_named(place: str) -> None:
    network = fresh()
    parametrizations.weight_norm(network.get_submodule(place))
    assert_refused(network, f"network.{place} is a Parametrized")


@each_place
def test_pruning_is_named(place: str) -> None:
    network = fresh()
    prune.l1_unstructured(network.get_submodule(place), "weight", amount=0.5)
    assert_refused(network, f"network.{place} has a hook")
    prune.remove(network.get_submodule(place), "weight")
    assert why_not(network, HEAD) == ""


class LowRank(nn.Module):
    """A frozen layer and what is learned beside it (LoRA, Hu et al., 2021)."""

    def __init__(self, layer: Pointwise) -> None:
        super().__init__()
        self.layer = layer
        self.down = nn.Linear(layer.in_channels, 2, bias=False)
        self.up = nn.Linear(2, layer.out_channels, bias=False)
        nn.init.normal_(self.up.weight, std=3)  # else few draws would be others

    def forward(self, x_TBC: Tensor) -> Tensor:
        added_TBC: Tensor = self.up(self.down(x_TBC))
        return added_TBC + self.layer(x_TBC)


@pytest.mark.parametrize(
    "place", [place for place in PLACES if place.split(".")[-1] not in ("first", "dilated")]
)
def test_a_wrapper_in_a_layers_place_is_named(place: str) -> None:
    network = fresh()
    parent, _, name = place.rpartition(".")
    setattr(network.get_submodule(parent), name, LowRank(network.get_submodule(place)))  # type: ignore[arg-type]
    assert_refused(network, f"network.{place} is a LowRank, which it does not know")
    assert not torch.equal(generate(network, Choice()), generate(fresh(), Choice())), "the reference heeds it"


@pytest.mark.parametrize("place", [*PLACES, "layers.2", ""])
def test_a_forward_of_an_instance_is_named(place: str) -> None:
    network = fresh()
    module = network.get_submodule(place)
    own = module.forward
    module.forward = lambda *inputs: own(*inputs)
    assert_refused(network, f"network{'.' * bool(place)}{place} has a forward of its own")


@pytest.mark.parametrize(
    ("place", "method"),
    [
        ("layers.2", "_step_by_step"),
        ("first", "next_past"),
        ("", "_embed_input"),
        ("hidden", "_conv_forward"),
    ],
)
def test_another_method_of_an_instance_is_named(place: str, method: str) -> None:
    network = fresh()
    module = network.get_submodule(place)
    own: Callable[..., object] = getattr(module, method)
    setattr(module, method, lambda *inputs: own(*inputs))
    assert_refused(network, f"network{'.' * bool(place)}{place} has a {method} of its own")


# --- what it cannot do ---


def test_other_weights_and_heads_are_named() -> None:
    class Cauchy(type(HEAD)):  # type: ignore[misc]
        distribution = ""

    assert why_not(fresh().double(), HEAD) == "the model's weights are float64"
    assert why_not(fresh().bfloat16(), HEAD) == "the model's weights are bfloat16"
    assert why_not(fresh().to("meta"), HEAD) == "the model is on meta"
    other: Head = Cauchy(16)
    assert why_not(fresh(), other) == "it does not know how to draw from Cauchy"
