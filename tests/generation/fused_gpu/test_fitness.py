"""The fused GPU engine is for CUDA devices, and for networks whose weights say all that they compute."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from tests.generation.test_reference import HEAD, TINY, build
from wavenet_pl.analysis.long_convolution import LongConvolutions
from wavenet_pl.errors import UserError
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.engines import build_engine
from wavenet_pl.generation.fitness import why_not_packed
from wavenet_pl.generation.fused_gpu.fitness import why_not
from wavenet_pl.heads import SoftmaxHead
from wavenet_pl.network import WaveNet


def test_without_a_gpu_the_user_is_told_what_to_use() -> None:
    with pytest.raises(
        UserError,
        match=r"engine fused-gpu cannot generate here: the model is on cpu, and it takes a CUDA device; use engine "
        "fused-cpu",
    ):
        build_engine(build().float(), HEAD, Choice(engine="fused-gpu"))


def test_auto_on_a_cpu_is_what_it_was() -> None:
    assert build_engine(build().float(), HEAD, Choice()).name == "fused-cpu"
    assert build_engine(build(), HEAD, Choice()).name == "reference"  # in float64


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda network: network.double(), "the model's weights are float64"),
        (lambda network: network.hidden.register_forward_hook(print), "network.hidden has a hook"),
        (lambda network: setattr(network, "hidden", nn.Identity()), "network.hidden is a Identity, which it does not"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_weights_is_named(change: Callable[[WaveNet], object], reason: str) -> None:
    network = build(TINY).float()
    assert why_not_packed(network, HEAD) == ""
    change(network)
    assert why_not_packed(network, HEAD).startswith(reason)


def test_a_long_convolution_is_refused_by_name() -> None:
    network = WaveNet(TINY, convolution=LongConvolutions(37))
    assert why_not_packed(network, SoftmaxHead(256)) == (
        "network.layers.0.dilated is a LongConv1d, which it does not know"
    )


def test_a_device_comes_before_weights_that_it_does_not_have() -> None:
    assert why_not(build().float(), HEAD, "int8") == "the model is on cpu, and it takes a CUDA device"
