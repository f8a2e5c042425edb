"""What a device can do at best is known by its name, or not at all; and what a network multiplies, by its weights."""

from __future__ import annotations

import pytest
import torch

from tests.small import small_model
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.shards.labels import Labels
from wavenet_pl.training.utilization import peak_flops, peak_of, training_flops

MEL = Mel.default(8_000)
LABELS = Labels({"speaker": ("anna", "ben")}, {"mel": MEL.spec})


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA H200", (67, 989)), ("NVIDIA H200 NVL", (60, 835)), ("NVIDIA H100 80GB HBM3", (67, 989)),
        ("NVIDIA H100 PCIe", (51, 756)), ("NVIDIA A100-SXM4-40GB", (19.5, 312)), ("NVIDIA L4", (30.3, 121)),
        ("NVIDIA L40S", (91.6, 362)),
    ],
)  # fmt: skip
def test_a_device_is_known_by_the_words_of_its_name(name: str, tera: tuple[float, float]) -> None:
    assert [peak_of(name, half=half) for half in (False, True)] == [1e12 * each for each in tera]


@pytest.mark.parametrize("name", ["NVIDIA A10", "NVIDIA L400", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", ""])
def test_others_have_no_peak(name: str) -> None:
    assert peak_of(name, half=True) is None


def test_a_cpu_has_none() -> None:
    assert peak_flops(torch.device("cpu"), "32-true") is None


@pytest.mark.parametrize("inputs", ["[speaker]", "[mel]", "[speaker,mel]"])
def test_each_matrix_of_layers_and_outputs_counts_once(inputs: str) -> None:
    """Those of a condition where it changes from sample to sample."""
    model = small_model("model.kind=speaker", f"model.condition.inputs={inputs}", labels=LABELS)
    matrices = {
        name: weight.numel() for name, weight in model.network.named_parameters()
        if weight.ndim > 1 and not name.startswith(("embedding", "first"))
        and ("mel" in inputs or ".condition." not in name)
    }  # fmt: skip
    assert training_flops(model) == 6 * sum(matrices.values())
