"""The kernel draws what the step in plain torch draws: on a GPU, or without one in triton's interpreter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.generation.fused_gpu.test_engine import generate
from tests.generation.test_engines import Case, check_draws, job_of, network_of
from tests.generation.test_reference import CODES, HEAD, build
from wavenet_pl.errors import BadDataError
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import stream
from wavenet_pl.generation.fused_gpu.engine import FusedGpu
from wavenet_pl.heads import LogisticsHead, SoftmaxHead
from wavenet_pl.network import NetworkConfig

pytest.importorskip("triton", reason="triton is not installed: pip install -e '.[kernels]'")
pytestmark = pytest.mark.filterwarnings(
    "ignore:overflow encountered in exp"
)  # of numpy; it gives the 0 that is meant

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SMALL = NetworkConfig(stacks=1, layers_per_stack=2, residual_channels=3, gate_channels=6, skip_channels=5)
UNEVEN = NetworkConfig(
    stacks=2, layers_per_stack=1, kernel_size=3, residual_channels=20, gate_channels=10, skip_channels=17,
    bias=False, residual_scale=0.7, skip_scale=0.5,
)  # fmt: skip
WIDE = replace(SMALL, layers_per_stack=1, residual_channels=70, gate_channels=140, skip_channels=66)
"""More channels than a tile has."""
CASES = {
    "softmax": Case(SMALL, SoftmaxHead(16), "none", 1.0, (5,), (1,), 2),
    "greedy, two in a group": Case(SMALL, SoftmaxHead(100), "local", 0.0, (4, 3), (6, 2), 3),
    "uneven, groups of four": Case(
        UNEVEN, SoftmaxHead(16), "local", 0.8, (1, 3, 2, 1, 3), (9, 1, 3, 2, 4), 2
    ),
    "wide": Case(WIDE, SoftmaxHead(16), "global", 1.0, (2,), (5,), 2),
    "logistics": Case(SMALL, LogisticsHead(3, 16), "global", 0.8, (3, 4), (3, 1), 4),
    "16 bits": Case(SMALL, LogisticsHead(2, 65_536), "none", 1.0, (4,), (3,), 4),
    "16 bits, greedy": Case(SMALL, LogisticsHead(2, 65_536), "none", 0.0, (3,), (3,), 4),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_draws_what_the_step_draws(case: Case) -> None:
    network = network_of(case)
    job = job_of(network, case)
    network = network.to(DEVICE)
    kernel, steps = (FusedGpu(network, case.head, way=way) for way in ("kernel", "steps"))
    codes, expected = (torch.cat(list(stream(each, network, job)), dim=1).cpu() for each in (kernel, steps))
    assert torch.equal(codes, expected)
    check_draws(network.cpu(), case.head, job, codes)
    assert kernel.last_outputs is not None and steps.last_outputs is not None
    longest = job.lengths.index(max(job.lengths))  # the others have ended, and end where they like
    torch.testing.assert_close(
        kernel.last_outputs[longest], steps.last_outputs[longest], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("top_p", [0.05, 0.7])
def test_the_rest_beyond_top_p_is_never_drawn(top_p: float) -> None:
    network, draw = build(SMALL, head=SoftmaxHead(40)).float().to(DEVICE), Draw(top_p=top_p, clips=(0, 1, 2))
    codes, expected = (
        generate(FusedGpu(network, SoftmaxHead(40), way=way), draw, 3) for way in ("kernel", "steps")
    )
    assert torch.equal(codes, expected)
    assert top_p < 0.5 or not torch.equal(
        codes, generate(FusedGpu(network, SoftmaxHead(40)), replace(draw, top_p=1), 3)
    )


@torch.no_grad()
def test_refreshed_and_rounded_weights_are_those_of_the_step() -> None:
    network = build(SMALL).float().to(DEVICE)
    kernel, steps = (FusedGpu(network, HEAD, weights="bf16", way=way) for way in ("kernel", "steps"))
    before = generate(kernel, Draw(), 4)
    network.output.weight.neg_()
    for each in (kernel, steps):
        each.refresh()
    after = generate(kernel, Draw(), 4)
    assert torch.equal(after, generate(steps, Draw(), 4)) and not torch.equal(before, after)


@pytest.mark.filterwarnings("ignore:invalid value encountered", "ignore:All-NaN slice encountered")
@pytest.mark.parametrize(("head", "temperature"), [(HEAD, 1.0), (LogisticsHead(2, CODES), 0.0)], ids=str)
def test_damaged_weights_stop_the_generation(head: SoftmaxHead | LogisticsHead, temperature: float) -> None:
    network = build(SMALL, head=head).float()
    with torch.no_grad():
        network.hidden.weight[0, 0] = float("nan")
    with pytest.raises(BadDataError, match="outputs are not finite"):
        generate(FusedGpu(network.to(DEVICE), head, way="kernel"), Draw(temperature=temperature), 2)
