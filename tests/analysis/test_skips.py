"""What skips are worth: against the network itself with hooks, and against networks in which one layer alone counts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.small import small_model
from wavenet_pl.analysis.material import Windows
from wavenet_pl.analysis.skips import (
    Skips,
    collect_skips,
    measure_worth,
    octave_bounds,
    octave_errors,
    smallest_set,
)
from wavenet_pl.model import Model

LENGTH = 64


def random_windows(model: Model, count: int = 3) -> Windows:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(
        model.codec.quantization_channels, (count, model.receptive_field + LENGTH + 1), generator=generator
    )
    return Windows(codes, None, np.arange(count))


def shaken(*settings: str) -> Model:
    """A model whose weights are large enough to matter."""
    torch.manual_seed(1)
    model = small_model(*settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def model() -> Model:
    return shaken()


@pytest.fixture(scope="module")
def skips(model: Model) -> Skips:
    return collect_skips(model, model.network, random_windows(model), LENGTH)


def with_means(model: Model, windows: Windows, kept: list[int]) -> float:
    """Bits when the skip modules of other layers return their means, in the network's own forward."""
    seen: dict[int, torch.Tensor] = {}
    length = LENGTH

    def keep(number: int):
        def hook(module, inputs, output):
            seen[number] = output[-length:].mean(dim=(0, 1))

        return hook

    def replace(number: int):
        return lambda module, inputs, output: seen[number].expand_as(output)

    layers = list(model.network.layers)
    hooks = [layer.skip.register_forward_hook(keep(number)) for number, layer in enumerate(layers)]
    with torch.no_grad():
        model.network(windows.inputs_WT)
    for hook in hooks:
        hook.remove()
    hooks = [
        layer.skip.register_forward_hook(replace(number))
        for number, layer in enumerate(layers)
        if number not in kept
    ]
    with torch.no_grad():
        outputs, _ = model.network(windows.inputs_WT, last=length)
    for hook in hooks:
        hook.remove()
    return float(model.comparable_nats(outputs, windows.targets_WT[:, -length:]).mean()) / math.log(2)


@pytest.mark.parametrize("kept", [[0, 1, 2, 3], [], [1, 3], [0]])
def test_bits_are_those_of_the_network_with_means_in_place_of_skips(model, skips, kept):
    kept = [layer for layer in kept if layer < skips.num_layers]
    assert skips.bits(kept) == pytest.approx(with_means(model, random_windows(model), kept), rel=1e-5)


def test_a_16_bit_model_is_measured_in_the_codes_of_linear_prediction():
    model = shaken(
        "model.head.kind=logistics", "model.codec.kind=linear", "model.codec.quantization_channels=65536"
    )
    windows = random_windows(model)
    skips = collect_skips(model, model.network, windows, LENGTH)
    everything = list(range(skips.num_layers))
    assert skips.bits(everything) == pytest.approx(with_means(model, windows, everything), rel=1e-5)
    assert np.isfinite(octave_errors(skips)).all()


def test_cases_are_what_they_are_called(skips):
    count, worth = skips.num_layers, measure_worth(skips, 2)
    everything = set(range(count))
    assert worth.whole == skips.bits(everything) and worth.none == skips.bits(())
    assert worth.without == [skips.bits(everything - {layer}) for layer in range(count)]
    assert worth.alone == [skips.bits({layer}) for layer in range(count)]
    assert worth.from_below[0] == worth.from_above[0] == pytest.approx(worth.whole)
    assert worth.from_below[1] == pytest.approx(worth.without[0])
    assert worth.from_above[1] == pytest.approx(worth.without[-1])
    assert worth.from_below[-1] == pytest.approx(worth.alone[-1])
    assert worth.stacks == [skips.bits(everything - {first, first + 1}) for first in range(0, count, 2)]


def only(layer: int, skips: Skips) -> Skips:
    """The same where one layer alone says anything, and says what comes next."""
    generator = torch.Generator().manual_seed(0)
    kept = 1e-4 * torch.randn(skips.skips.shape, generator=generator)
    sent = torch.nn.functional.one_hot(skips.targets_N % 2, skips.skips.shape[2])
    kept[layer] = 4.0 * sent
    return replace(skips, skips=kept)


def test_the_smallest_set_is_the_one_layer_that_counts(skips):
    alone = only(1, skips)
    # Trained on just that: the next code is even or odd.
    torch.manual_seed(0)
    network = alone.network
    state = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam([*network.hidden.parameters(), *network.output.parameters()], lr=0.02)
    for _ in range(150):
        outputs = network.project_output(alone.skips.sum(dim=0)[:, None])
        optimizer.zero_grad()
        alone.model.head.nats(outputs, alone.targets_N[None]).mean().backward()
        optimizer.step()
    taken, bits = smallest_set(alone, alone.bits(()), share=0.5)
    worth = measure_worth(alone, 2)
    network.load_state_dict(state)
    assert taken == [1] and bits[0] < worth.none - 0.3
    assert worth.without[1] > worth.whole + 0.3
    assert all(abs(cost - worth.whole) < 0.05 for layer, cost in enumerate(worth.without) if layer != 1)


def test_octave_errors_have_no_means(skips):
    errors = octave_errors(skips)
    assert errors.shape == (skips.num_layers, len(octave_bounds(LENGTH)) - 1)
    np.testing.assert_allclose(errors.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(errors.mean(axis=1), 0, atol=1e-9)


def test_octaves_lie_below_half_the_sample_rate_and_below_one_another():
    assert octave_bounds(64) == [33, 16, 8, 4]
