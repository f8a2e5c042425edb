"""On a CUDA device: the engine that auto takes there, by both ways, draws what the network draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.generation.fused_cpu.test_engine import tamed
from tests.generation.fused_gpu.test_engine import generate
from tests.generation.test_engines import Case, check_draws, job_of
from tests.generation.test_reference import CHANNELS, build
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import build_engine, stream
from wavenet_pl.generation.fused_gpu.engine import WAYS, FusedGpu
from wavenet_pl.generation.fused_gpu.trial import find_way, outcome
from wavenet_pl.heads import Head, LogisticsHead, SoftmaxHead
from wavenet_pl.network import NetworkConfig

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
HEADS = [SoftmaxHead(256), LogisticsHead(10, 65_536)]
CONFIG = NetworkConfig()
each_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    outcome.cache_clear()
    yield
    outcome.cache_clear()


@each_way
@pytest.mark.parametrize("head", HEADS, ids=str)
@pytest.mark.parametrize("kind", ["none", "global", "local"])
def test_draws_are_the_networks(way: str, head: Head, kind: str) -> None:
    network = tamed(build(CONFIG, 0 if kind == "none" else CHANNELS, head))
    case = Case(CONFIG, head, kind, 0.9, (150, 90, 210), (1, 40, 3000), 80)
    job = job_of(network, case)
    engine = FusedGpu(network.cuda(), head, way=way)
    codes_BN = torch.cat(list(stream(engine, network, job)), dim=1).cpu()
    check_draws(network.cpu(), head, job, codes_BN)


@each_way
def test_a_clip_is_the_same_in_any_chunk_and_after_a_refresh(way: str) -> None:
    engine = FusedGpu(tamed(build(CONFIG, head=HEADS[0])).cuda(), HEADS[0], way=way)
    whole = generate(engine, Draw(clips=(0, 1)), 200)
    assert torch.equal(whole, generate(engine, Draw(clips=(0, 1)), 200, chunk=33))
    with torch.no_grad():
        engine.network.output.weight.neg_()
    engine.refresh()
    changed = generate(engine, Draw(clips=(0, 1)), 200)
    assert not torch.equal(whole, changed)
    assert torch.equal(
        changed, generate(FusedGpu(engine.network, HEADS[0], way=way), Draw(clips=(0, 1)), 200)
    )


@pytest.mark.parametrize("batch", [2, 140, 300, 500])
def test_groups_of_clips_of_all_sizes_are_exact(batch: int) -> None:
    config = replace(CONFIG, stacks=1)
    network = tamed(build(config, head=HEADS[0]))
    job = job_of(network, Case(config, HEADS[0], "none", 1.0, (60,) * batch, (1,) * batch, 60))
    engine = FusedGpu(network.cuda(), HEADS[0], way="kernel")
    codes_BN = torch.cat(list(stream(engine, network, job)), dim=1).cpu()
    check_draws(network.cpu(), HEADS[0], job, codes_BN)


@pytest.mark.parametrize("weights", ["float32", "bf16"])
@pytest.mark.parametrize("head", HEADS, ids=str)
def test_auto_takes_the_kernel_once_it_is_known_to_be_exact(weights: str, head: Head) -> None:
    network = build(CONFIG, CHANNELS, head).float().cuda()
    assert find_way(network, head, weights) == ("kernel", "")
    assert build_engine(network, head, Choice(weights=weights)).name == "fused-gpu"
