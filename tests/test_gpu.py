"""On a GPU everything is what it is on the CPU. Where there is none, the same code runs on the CPU: it works, then.

`make gpu-check` runs these; `pytest -m gpu` as well.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.small import SIXTEEN_BITS, small_model
from wavenet_pl.codec import LinearCodec, MuLawCodec
from wavenet_pl.heads import Head, LogisticsHead, SoftmaxHead
from wavenet_pl.model import Model
from wavenet_pl.training.optimizer import build_optimizer

pytestmark = pytest.mark.gpu
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def batch_of(model: Model, crops: int = 3) -> dict[str, Any]:
    """Crops of which the second one begins within its recording's beginning."""
    generator, last = torch.Generator().manual_seed(1), 200
    audio = torch.rand(crops, model.receptive_field + last, generator=generator) - 0.5
    return {
        "audio": audio, "begin": torch.tensor([0, 20, 0]), "counted": torch.ones(crops, last).bool(),
        "speaker": torch.tensor([0, 1, 0]),
    }  # fmt: skip


def gradients(model: Model) -> list[Tensor]:
    nats, count = model.nats(model.to_device(batch_of(model)))
    return [each.cpu() for each in torch.autograd.grad(nats / count, list(model.parameters()))]


@pytest.mark.parametrize("settings", [(), SIXTEEN_BITS, ("model.network.dropout=0",)])
def test_gradients_are_those_of_the_cpu(settings: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    model = small_model(*settings)
    expected = gradients(model)
    for found, other in zip(gradients(copy.deepcopy(model).to(DEVICE)), expected, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_in_bfloat16_are_near(recompute: bool) -> None:
    torch.manual_seed(0)
    model = small_model()
    expected = torch.cat([each.flatten() for each in gradients(model)])
    model.to(DEVICE).network.recompute = recompute
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        found = torch.cat([each.flatten() for each in gradients(model)])
    assert float((found - expected).norm() / expected.norm()) < 0.15


@pytest.mark.parametrize("codec", [MuLawCodec(256), LinearCodec(65_536), LinearCodec(256)], ids=str)
def test_codes_are_not_shifted(codec: Any) -> None:
    """In float32 whatever the precision is, and where amplitudes are beyond their range."""
    audio = torch.linspace(-1.2, 1.2, 100_001)
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        found = codec.encode(audio.to(DEVICE)).cpu()
    differ = found != codec.encode(audio)
    # A sample that lies on the edge of two codes may fall on either side of it.
    assert float(differ.float().mean()) < 1e-3
    assert int((found - codec.encode(audio)).abs().max()) <= 1


@pytest.mark.parametrize(
    "head", [SoftmaxHead(256), LogisticsHead(4, 256), LogisticsHead(10, 65_536)], ids=str
)
@pytest.mark.parametrize("temperature", [0.0, 0.8, 1.0])
def test_draws_are_those_of_the_cpu(head: Head, temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs_BK = torch.randn(5_000, head.num_parameters, generator=generator)
    uniforms_B = torch.rand(5_000, generator=generator, dtype=torch.float64)
    found = head.draw(outputs_BK.to(DEVICE), uniforms_B.to(DEVICE), temperature).cpu()
    expected = head.draw(outputs_BK, uniforms_B, temperature)
    assert float((found != expected).float().mean()) < 1e-3, "but for ties"


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_an_optimizer_takes_the_steps_of_the_cpu(kind: str) -> None:
    """And goes on on the other device with what it remembers."""
    models = []
    for devices in (("cpu",) * 4, (DEVICE.type,) * 4, (DEVICE.type, DEVICE.type, "cpu", DEVICE.type)):
        torch.manual_seed(0)
        model, state = small_model(f"optim.kind={kind}"), None
        for number, device in enumerate(devices):
            model.to(device)
            optimizer = build_optimizer(model, model.config.optim)
            if state is not None:
                optimizer.load_state_dict(copy.deepcopy(state))
            generator = torch.Generator().manual_seed(number)
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator).to(device)
            optimizer.step()
            optimizer.zero_grad()
            state = optimizer.state_dict()
        models.append([parameter.detach().cpu() for parameter in model.parameters()])
    for other in models[1:]:
        torch.testing.assert_close(other, models[0], rtol=1e-3, atol=1e-5)
