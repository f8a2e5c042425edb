"""How fast clips are made and networks trained on a GPU, beside what it could do at best; on a CPU in a tiny size.

Shapes: B clips, N new samples, K head parameters.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.exactness import exactly
from benchmarks.generation import CODES, SAMPLE_RATE, SIZES, Size, network_of, rates
from benchmarks.gpu_checks import Bench
from benchmarks.training_steps import network_of as trained_network
from wavenet_pl.config.training import OptimConfig
from wavenet_pl.errors import UserError
from wavenet_pl.generation.choice import ENGINES, Choice
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import build_engine, stream
from wavenet_pl.generation.job import build_job
from wavenet_pl.heads import Head, LogisticsHead, SoftmaxHead
from wavenet_pl.model import Model
from wavenet_pl.network import NetworkConfig, WaveNet
from wavenet_pl.training.memory import network_gib
from wavenet_pl.training.optimizer import build_optimizer
from wavenet_pl.training.utilization import FLOPS, multiplications, peak_flops

TINY = Size(10, 8, 8)
TIE = 1e-4
"""How near to the edge of a code a uniform number is that may fall on either side."""
BATCHES = (1, 8, 64, 256)
TRAINED = ("30/64/128", "30/128/256", "40/64/1024")
CROPS, CROP_SAMPLES = 16, 16_000
WAYS = ("float32", "bfloat16", "bfloat16, compiled", "bfloat16, Muon")
SHARED_BYTES_PER_CLOCK = 128
"""That each multiprocessor reads of its shared memory."""


# --- what the device could do ---


def seconds_of(device: str, work: Callable[[], object], times: int = 10) -> float:
    """Of one call, on average, when the device is warm."""
    work()
    began = synchronized(device)
    for _ in range(times):
        work()
    return (synchronized(device) - began) / times


def synchronized(device: str) -> float:
    """The time when the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def in_graph(device: str, work: Callable[[], object], number: int) -> float:
    """Seconds of each of so many calls in a CUDA graph; on a CPU, where there is none, of a call."""
    if device == "cpu":
        return seconds_of(device, work)
    work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(number):
            work()
    return seconds_of(device, graph.replay, 5) / number


@cache
def roofs_of(device: str) -> dict[str, float]:
    """Measured: bytes and products a second, and seconds of a launch, alone and within a graph."""
    tiny, found = device == "cpu", {}
    size = 256 if tiny else 8192
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        found[f"flops_{name}"] = 2 * size**3 / seconds_of(device, partial(torch.mm, one, other))
    memory = torch.randn(2**20 if tiny else 2**30, device=device)
    copy = torch.empty_like(memory)
    found["bytes_per_second"] = 2 * memory.nbytes / seconds_of(device, partial(copy.copy_, memory))
    # Sixteen megabytes stay in the second-level cache of the GPUs that this is for; a graph leaves the launches out.
    cached, least = memory[: 2**18 if tiny else 2**22], torch.empty((), device=device)
    found["cache_bytes_per_second"] = cached.nbytes / in_graph(
        device, lambda: torch.amax(cached, 0, out=least), 100
    )
    found["launch_seconds"] = seconds_of(device, partial(least.add_, 1), 1000)
    found["graph_launch_seconds"] = in_graph(device, partial(least.add_, 1), 1000)
    found["shared_bytes_per_second"] = 0 if tiny else shared_bytes_per_second()
    return found


def shared_bytes_per_second() -> float:
    """That all multiprocessors read of their shared memory, computed from the clock as it is; 0 where it is unknown."""
    try:
        clock = 1e6 * torch.cuda.clock_rate()
    except Exception:  # noqa: BLE001 - it asks the driver, through a package that may not be there
        return 0.0
    return torch.cuda.get_device_properties(0).multi_processor_count * SHARED_BYTES_PER_CLOCK * clock


def roofs(bench: Bench) -> dict[str, Any]:
    """A row of them."""
    found = roofs_of(bench.device)
    seen = (
        f"copy {found['bytes_per_second'] / 1e9:,.0f} GB/s, cache {found['cache_bytes_per_second'] / 1e9:,.0f} GB/s, "
        f"products {found['flops_float32'] / 1e12:,.1f} TFLOP/s in float32 and "
        f"{found['flops_bfloat16'] / 1e12:,.1f} in bfloat16, a launch {1e6 * found['launch_seconds']:.2f} us, "
        f"{1e6 * found['graph_launch_seconds']:.2f} in a graph"
    )
    return {"passed": True, "seen": seen, **found}


# --- generation ---


def networks(device: str) -> Iterator[tuple[str, WaveNet, Head, Tensor | None]]:
    """Small ones whose predictions differ from sample to sample, and what they are told."""
    config = NetworkConfig(
        stacks=2, layers_per_stack=5, residual_channels=16, gate_channels=32, skip_channels=24
    )
    for head in (SoftmaxHead(CODES), LogisticsHead(4, CODES)):
        for name, columns in (("no", 0), ("global", 1), ("local", 400)):
            torch.manual_seed(0)
            network = WaveNet(
                config, quantization_channels=CODES, num_parameters=head.num_parameters,
                condition_channels=3 * bool(columns),
            )  # fmt: skip
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.normal_(std=0.3)
            condition = torch.randn(4, 3, columns) if columns else None
            yield f"{type(head).__name__}, {name} condition", network.to(device).eval(), head, condition


@torch.inference_mode()
def differences(
    name: str, network: WaveNet, head: Head, condition: Tensor | None, samples: int
) -> tuple[int, int, int]:
    """Codes that an engine draws, of these those that float64 draws otherwise, and of these those that are no tie."""
    draw, silence = Draw(clips=tuple(range(4)), seed=1), CODES // 2
    told = None if condition is None else condition[:, :, : samples if condition.shape[2] > 1 else 1]
    job = build_job(network, head, draw, samples, silence_code=silence, condition=told, chunk=30)
    engine = build_engine(network, head, Choice(engine=name))
    codes_BN = torch.cat([piece.cpu() for piece in stream(engine, network, job)], dim=1)
    inputs_BN = torch.cat([torch.full((4, 1), silence), codes_BN[:, :-1]], dim=1)
    device = next(network.parameters()).device
    told = None if told is None else told.to(device)
    outputs_XK = exactly(network, inputs_BN.to(device), told).cpu().transpose(1, 2).flatten(0, 1)
    codes_X, uniforms_X = codes_BN.flatten(), torch.from_numpy(draw.uniforms(0, samples)).flatten()
    low_X, exact_X, high_X = (
        head.draw(outputs_XK, (uniforms_X + shift).clamp(0, 1 - 1e-9)) for shift in (-TIE, 0.0, TIE)
    )
    wrong_X = (codes_X < low_X) | (codes_X > high_X)
    return codes_X.numel(), int((codes_X != exact_X).sum()), int(wrong_X.sum())


def exact(bench: Bench, name: str) -> dict[str, Any]:
    """An engine against float64, for all kinds of networks."""
    totals, wrong = [0, 0], []
    for kind, network, head, condition in networks(bench.device):
        try:
            codes, other, bad = differences(name, network, head, condition, 50 if bench.tiny else 400)
        except UserError as error:
            return {"passed": True, "seen": f"not here: {' '.join(str(error).split())[:200]}", "runs": False}
        totals = [totals[0] + codes, totals[1] + other]
        wrong += [f"{bad} with {kind}"] * bool(bad)
    seen = f"of {totals[0]:,} codes {totals[1]} are ties" if not wrong else f"wrong: {'; '.join(wrong)}"
    return {"passed": not wrong, "seen": seen, "runs": True}


def generated(bench: Bench, name: str, size: Size, batch: int) -> dict[str, Any]:
    """Samples a second of one engine, and what the device would allow."""
    network, head = network_of(size).to(bench.device), SoftmaxHead(CODES)
    engine = build_engine(network, head, Choice(engine=name))
    chunk = 20 if engine.name == "reference" else 200
    job = build_job(
        network, head, Draw(clips=tuple(range(batch))), 10**9, silence_code=CODES // 2, chunk=chunk
    )
    pieces = stream(engine, network, job)
    rate = rates((piece.cpu().numel() for piece in pieces), 0.05 if bench.tiny else 1.0)
    roofs_here, count = roofs_of(bench.device), multiplications(network)
    by_reading = batch * roofs_here["cache_bytes_per_second"] / (4 * count)
    by_products = roofs_here["flops_float32"] / (2 * count)
    share = rate / min(by_reading, by_products)
    seen = f"{rate:,.0f} samples/s, {rate / batch / SAMPLE_RATE:.3f} x real time, {share:.1%} of the roof"
    return {
        "passed": True, "seen": seen, "samples_per_second": rate, "roof_fraction": share,
        "read_roof": by_reading, "product_roof": by_products,
        "shared_roof": batch * roofs_here["shared_bytes_per_second"] / (4 * count),
        "compile_seconds": engine.compile_seconds,
    }  # fmt: skip


def engines(bench: Bench) -> None:
    """The part of this name."""
    bench.row("roofs", partial(roofs, bench))
    runs = [
        name for name in ENGINES[1:]
        if bench.row("engines are exact", partial(exact, bench, name), engine=name).get("runs")
    ]  # fmt: skip
    sizes, batches = ([TINY], (1, 2)) if bench.tiny else (SIZES.values(), BATCHES)
    for size in sizes:
        for name in reversed(runs):  # the reference is the slowest, and the least worth
            for batch in batches:
                measure = partial(generated, bench, name, size, batch)
                bench.row("generation", measure, size=size.name, engine=name, batch=batch)


# --- training ---


def least_bytes(config: NetworkConfig, each: int) -> int:
    """That a prediction moves at least, if each layer reads and writes its activations once, forward and backward.

    Forward its input and its output, the gate that is kept, and the sum of skips in and out; backward its input, the
    gate, the gradients of output, input and skips. Weights are read once for a whole batch.
    """
    layer = 5 * config.residual_channels + 2 * config.gate_channels + 3 * config.skip_channels
    return each * config.num_layers * layer


def stepped(device: str, size: Size, way: str, who: str, crops: int, crop_samples: int) -> dict[str, Any]:
    """Predictions a second of steps on one batch, and what the device would allow."""
    precision, _, more = way.partition(", ")
    config = size.config
    sizes = (config.stacks, config.layers_per_stack, size.residual, size.skip, crops, crop_samples)
    torch.compiler.reset()
    network, loss, predictions = trained_network(who, more or precision, sizes, device)
    optimizer = optimizer_of(network, "muon" if more == "Muon" else "adamw")

    def step() -> Tensor:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        return value.detach()

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    step()
    ready = synchronized(device) - began
    one = seconds_of(device, step, 2)
    rate = predictions / seconds_of(device, step, 2 if device == "cpu" else max(3, round(2 / one)))
    taken = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0  # before roofs take more
    flops, roof = FLOPS * multiplications(network_of(size)), roofs_of(device)
    by_moving = roof["bytes_per_second"] / least_bytes(config, 4 if precision == "float32" else 2)
    by_products = roof[f"flops_{precision}"] / flops
    peak = peak_flops(torch.device(device), precision)
    found = {
        "crops": crops, "crop_samples": crop_samples, "predictions_per_second": rate,
        "roof_fraction": rate / min(by_moving, by_products), "move_roof": by_moving, "product_roof": by_products,
        "mfu": flops * rate / peak if peak else 0.0, "seconds_until_ready": ready, "loss": float(step()),
    }  # fmt: skip
    memory = ""
    if device == "cuda":
        found["memory_gib"] = taken
        memory = f", {taken:.2f} GiB"
    if isinstance(network, Model):
        found["estimated_gib"] = network_gib(network.network, crop_samples, crops, precision)
        memory += f" (estimated {found['estimated_gib']:.2f})" if memory else ""
    seen = (
        f"{rate:,.0f} predictions/s, MFU {found['mfu']:.1%}, {found['roof_fraction']:.1%} of the roof{memory}"
    )
    return {"passed": True, "seen": seen, **found}


def as_many_crops_as_fit(bench: Bench, size: Size, way: str, who: str) -> dict[str, Any]:
    """The same, with half of the crops and so on where there is no room for all."""
    crops, crop_samples = (2, 50) if bench.tiny else (CROPS, CROP_SAMPLES)
    while True:
        try:
            return stepped(bench.device, size, way, who, crops, crop_samples)
        except torch.OutOfMemoryError:
            if crops == 1:
                raise
        crops //= 2
        gc.collect()
        torch.cuda.empty_cache()


def optimizer_of(network: nn.Module, kind: Any) -> torch.optim.Optimizer:
    """Ours for ours; for another's, what torch gives."""
    if isinstance(network, Model):
        return build_optimizer(network, OptimConfig(kind=kind))
    return torch.optim.AdamW(network.parameters())


def steps(bench: Bench) -> None:
    """The part of this name."""
    bench.row("roofs", partial(roofs, bench))
    sizes = [TINY] if bench.tiny else [SIZES[name] for name in TRAINED]
    compiled_last = sorted(WAYS, key=lambda way: "compiled" in way)
    peers = [(str(peer), "float32") for peer in bench.peers] + [
        (str(peer), "bfloat16") for peer in bench.peers
    ]
    for who, way in [*(("ours", way) for way in compiled_last[:-1]), *peers, ("ours", compiled_last[-1])]:
        for size in sizes:
            measure = partial(as_many_crops_as_fit, bench, size, way, who)
            bench.row("training", measure, size=size.name, way=way, who=Path(who).name)
