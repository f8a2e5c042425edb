"""A script: trains one network for as many seconds as each line of its input says; a line of figures after each.

It runs with an earlier wavenet_pl as well, whichever PYTHONPATH finds.

python benchmarks/training_steps.py ours|CHECKOUT float32|bfloat16|compiled|recomputed THREADS STACKS LAYERS RESIDUAL
SKIP CROPS CROP_SAMPLES
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from wavenet_pl.config.tree import load_config
from wavenet_pl.model import Model


def roof(dtype: torch.dtype, size: int = 1024) -> float:
    """GFLOP/s of products of large matrices."""
    matrix, times = torch.ones(size, size, dtype=dtype), []
    for _ in range(5):
        began = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - began)
    return 2e-9 * size**3 / min(times)


def peak_mib() -> float:
    """The most memory that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def network_of(
    who: str, precision: str, sizes: Sequence[int], device: str = "cpu"
) -> tuple[nn.Module, Callable[[], Tensor], int]:
    """What is trained, the loss of its batch, and how many predictions that has."""
    stacks, layers, residual, skip, crops, crop_samples = sizes
    names = ("stacks", "layers_per_stack", "residual_channels", "gate_channels", "skip_channels")
    values = (stacks, layers, residual, 2 * residual, skip)
    settings = [f"model.network.{name}={value}" for name, value in zip(names, values, strict=True)]
    model = Model(load_config([], ["data.path=x", *settings]), sample_rate=16_000)
    receptive_field = model.config.model.network.receptive_field
    audio = (torch.rand(crops, receptive_field + crop_samples) * 2 - 1).to(device)
    predictions = crops * crop_samples
    if who != "ours":
        from benchmarks.peer_networks import load_network

        peer = load_network(Path(who), model.config.model.network)
        peer.module.to(device)
        codes = model.codec.encode(audio)

        def loss() -> Tensor:
            outputs = peer.outputs(codes[:, :-1])[..., -crop_samples:]
            return nn.functional.cross_entropy(outputs, codes[:, -crop_samples:])

        return peer.module, loss, predictions
    with contextlib.suppress(ImportError):  # an earlier one does not do so
        from wavenet_pl.training.memory import keep_freed_memory

        keep_freed_memory()
    number = torch.full((crops,), crop_samples, device=device)
    model.to(device)
    # The last two are how an earlier pipeline said which predictions count.
    batch = {
        "audio": audio, "begin": torch.zeros_like(number),
        "counted": torch.ones(crops, crop_samples, dtype=torch.bool, device=device),
        "first": torch.full_like(number, receptive_field - 1), "last": receptive_field - 1 + number,
    }  # fmt: skip
    if precision == "compiled":
        model.network.compiled = True
    if precision == "recomputed":
        model.network.recompute = True
    return model, lambda: model.nats(batch)[0] / predictions, predictions


def main() -> None:
    """Until its input ends."""
    who, precision, threads, *sizes = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    network, loss, predictions = network_of(who, precision, [int(size) for size in sizes])
    optimizer = torch.optim.AdamW(network.parameters())
    before = peak_mib()

    def step() -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        return float(value.detach())

    for _ in range(2):
        step()
    print(json.dumps({}), flush=True)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    for line in sys.stdin:
        roofs = [roof(dtype)]  # of this very time, as a machine may change its speed
        seconds, steps, began = float(line), 0, time.perf_counter()
        while time.perf_counter() < began + seconds:
            value = step()
            steps += 1
        rate = steps * predictions / (time.perf_counter() - began)
        roofs.append(roof(dtype))
        figures = {
            "predictions_per_second": rate, "memory_mib": peak_mib() - before, "loss": value,
            "roof_gflops": sum(roofs) / 2,
        }  # fmt: skip
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
