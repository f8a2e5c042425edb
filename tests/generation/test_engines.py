"""Every engine draws what the network in float64 would draw, for any network, condition, head, batch and chunk.

Shapes: B clips, T time, N new samples, K head parameters.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.generation.test_reference import build, codes_of
from wavenet_pl.errors import UserError
from wavenet_pl.generation.choice import ENGINES, Choice
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import Engine, build_engine, stream
from wavenet_pl.generation.fused_gpu.engine import FusedGpu
from wavenet_pl.generation.job import Job, build_job
from wavenet_pl.heads import Head, LogisticsHead, SoftmaxHead
from wavenet_pl.network import NetworkConfig, WaveNet

CHANNELS, TIE = 3, 1e-4
"""Of the condition; and how near to the edge of a code a uniform is that may fall on either side."""
KERNEL = "fused-gpu, its kernel"
"""In triton's interpreter where there is no GPU, and so of few samples."""
NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] * (name in ("reference", KERNEL)))
    for name in (*ENGINES[1:], KERNEL)
]
pytestmark = pytest.mark.filterwarnings(
    "ignore:overflow encountered in exp"
)  # of that interpreter; the 0 is meant


@dataclass(frozen=True)
class Case:
    """A network and what it is asked for."""

    config: NetworkConfig
    head: Head
    kind: str
    temperature: float
    lengths: tuple[int, ...]
    prompts: tuple[int, ...]
    chunk: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    config = NetworkConfig(
        stacks=draw(st.integers(1, 2)),
        layers_per_stack=draw(st.integers(1, 3)),
        kernel_size=draw(st.sampled_from([2, 3])),
        residual_channels=draw(st.sampled_from([3, 16, 20])),
        gate_channels=draw(st.sampled_from([6, 16, 34])),
        skip_channels=draw(st.sampled_from([5, 16, 40])),
        bias=draw(st.booleans()),
        residual_scale=draw(st.sampled_from([1.0, 0.7])),
        skip_scale=draw(st.sampled_from([1.0, 0.5])),
    )
    batch = draw(st.integers(1, 5))
    several = st.lists(st.integers(1, 20), min_size=batch, max_size=batch).map(tuple)
    return Case(
        config,
        draw(st.sampled_from([SoftmaxHead(16), SoftmaxHead(256), LogisticsHead(3, 16), LogisticsHead(2, 65_536)])),
        draw(st.sampled_from(["none", "global", "local"])),
        draw(st.sampled_from([0.0, 0.8, 1.0])),
        draw(several),
        draw(several),
        draw(st.integers(1, 25)),
    )  # fmt: skip


def job_of(network: WaveNet, case: Case, chunk: int | None = None) -> Job:
    generator = torch.Generator().manual_seed(0)
    batch, codes = len(case.lengths), codes_of(case.head)
    prompts = [torch.randint(codes, (length - 1,), generator=generator) for length in case.prompts]
    columns = max(len(told) + new for told, new in zip(prompts, case.lengths, strict=True))
    columns = {"none": 0, "global": 1, "local": columns}[case.kind]
    condition = torch.randn(batch, CHANNELS, columns, generator=generator) if columns else None
    draw = Draw(temperature=case.temperature, seed=3, clips=tuple(range(batch)))
    return build_job(
        network, case.head, draw, case.lengths, silence_code=codes // 2, prompts=prompts, condition=condition,
        chunk=chunk or case.chunk,
    )  # fmt: skip


@torch.no_grad()
def check_draws(network: WaveNet, head: Head, job: Job, codes_BN: Tensor) -> None:
    """Each code is the one that a forward in float64 over all before it gives, or there was a tie."""
    exact = copy.deepcopy(network).double()
    for row, (inputs_T, length) in enumerate(zip(job.inputs, job.lengths, strict=True)):
        codes_N, told = codes_BN[row, :length], len(inputs_T) - 1
        condition = None
        if job.condition is not None:
            condition = job.condition.columns(row, 0, told + length).double()[None]
        outputs_BKT, _ = exact(torch.cat([inputs_T, codes_N])[None, :-1], condition)
        outputs_NK = outputs_BKT[0, :, told:].T
        uniforms_N = torch.from_numpy(job.draw.uniforms(0, length)[row])
        if job.draw.temperature == 0:
            check_greedy(head, outputs_NK, codes_N)
            continue
        edges = [
            head.draw(outputs_NK, (uniforms_N + shift).clamp(0, 1 - 1e-9), job.draw.temperature)
            for shift in (-TIE, TIE)
        ]
        step = int(
            codes_of(head) > 1024
        )  # float32 places a narrow logistic to within a part of so fine a level
        assert ((edges[0] - step <= codes_N) & (codes_N <= edges[1] + step)).all()


def check_greedy(head: Head, outputs_NK: Tensor, codes_N: Tensor) -> None:
    if isinstance(head, SoftmaxHead):
        assert (outputs_NK.gather(1, codes_N[:, None])[:, 0] >= outputs_NK.amax(dim=1) - TIE).all()
    else:
        best_N = head.draw(outputs_NK, torch.zeros(len(codes_N)).double(), 0.0)
        level = 1 + round(TIE * codes_of(head))
        assert ((best_N - codes_N).abs() <= level).float().mean() > 0.9  # two logistics may weigh the same


def sized(name: str, case: Case) -> Case:
    """The case as an engine has time for it."""
    if name != KERNEL:
        return case
    return replace(
        case, lengths=tuple(min(length, 2) for length in case.lengths[:2]), prompts=case.prompts[:2]
    )


def network_of(case: Case) -> WaveNet:
    return build(case.config, 0 if case.kind == "none" else CHANNELS, case.head).float()


def engine_of(name: str, network: WaveNet, head: Head) -> Engine:
    if name == KERNEL:
        pytest.importorskip("triton", reason="triton is not installed: pip install -e '.[kernels]'")
        if torch.cuda.is_available():
            pytest.skip("there is a GPU, and the kernel is tried on it: pytest -m gpu tests/generation")
        return FusedGpu(network, head, way="kernel")
    if name == "fused-gpu":
        return FusedGpu(network, head)  # which on a CPU nobody is given
    return build_engine(network, head, Choice(engine=name, threads=2))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(case=cases())
def test_every_engine_agrees_with_float64(name: str, case: Case) -> None:
    case = sized(name, case)
    network = network_of(case)
    job = job_of(network, case)
    codes_BN = torch.cat(list(stream(engine_of(name, network, case.head), network, job)), dim=1)
    assert codes_BN.dtype == torch.int64 and codes_BN.shape == (len(case.lengths), max(case.lengths))
    assert codes_BN.min() >= 0 and codes_BN.max() < codes_of(case.head)
    for codes_N, length in zip(codes_BN, case.lengths, strict=True):
        assert (codes_N[length:] == job.silence_code).all()
    check_draws(network, case.head, job, codes_BN)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(case=cases())
def test_chunks_do_not_change_a_clip(name: str, case: Case) -> None:
    case = sized(name, case)
    network = network_of(case)
    engine = engine_of(name, network, case.head)
    whole, pieces = (
        torch.cat(list(stream(engine, network, job_of(network, case, chunk))), dim=1) for chunk in (100, case.chunk)
    )  # fmt: skip
    assert torch.equal(whole, pieces)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_refreshed_in_place(name: str) -> None:
    case = sized(
        name,
        Case(NetworkConfig(stacks=1, layers_per_stack=2), SoftmaxHead(256), "none", 1.0, (30,), (1,), 30),
    )
    network = network_of(case)
    engine = engine_of(name, network, case.head)
    [before] = stream(engine, network, job_of(network, case))
    with torch.no_grad():
        network.output.weight.neg_()
    engine.refresh()
    [after] = stream(engine, network, job_of(network, case))
    [anew] = stream(engine_of(name, network, case.head), network, job_of(network, case))
    assert torch.equal(after, anew) and not torch.equal(before, after)


def test_the_reference_does_what_the_fused_engine_cannot() -> None:
    network = build()  # in float64
    assert build_engine(network, SoftmaxHead(16), Choice()).name == "reference"
    with pytest.raises(
        UserError, match=r"engine fused-cpu cannot generate here: .*; use the reference engine"
    ):
        build_engine(network, SoftmaxHead(16), Choice(engine="fused-cpu"))
    with pytest.raises(
        UserError, match=r"weights is int8, expected float32: .* fused-cpu cannot: .*; leave it out"
    ):
        build_engine(network, SoftmaxHead(16), Choice(weights="int8"))
