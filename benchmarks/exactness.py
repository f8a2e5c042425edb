"""Does the fused engine compute what the network does? Outputs, draws, and what 8-bit weights cost, on a trained model.

    python benchmarks/exactness.py --run runs/speaker-1a2b3c --json exactness.json

Everything is held against the network in float64.

Shapes: B clips, T time, K head parameters, H condition.
"""

from __future__ import annotations

import copy
import math
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.records import Records, build_parser, print_table, run
from wavenet_pl.evaluation.sample import choose_slots, read_batches
from wavenet_pl.generation.choice import WEIGHTS
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fused_cpu.engine import FusedCPU
from wavenet_pl.generation.job import build_job
from wavenet_pl.heads import SoftmaxHead
from wavenet_pl.model import Model
from wavenet_pl.network import WaveNet
from wavenet_pl.runs.delta import model_hash
from wavenet_pl.runs.loading import load
from wavenet_pl.shards.index import Index, load_index, shard_storage
from wavenet_pl.shards.split import Split

STEPS, CLIPS, SECONDS = 20_000, 4, 2.0
PIECE = 4_096
"""Samples of a forward at a time: float64 takes room."""
_EPSILONS = [10.0**exponent for exponent in range(-9, 0)]


def recordings(model: Model, index: Index, data: str, steps: int) -> tuple[Tensor, Tensor | None]:
    """Codes (B, steps + 1) of the longest validation recordings from their beginnings, and what the model is told."""
    split = Split(
        index.splits["val"], shard_storage(index, data), index.sample_rate, index.labels.of(model.input_names)
    )
    if model.inputs:
        split = split.relabelled(model.labels, data, "the run")
    slots = -(-split.frames // steps)
    longest = np.argsort(-split.frames, kind="stable")[:CLIPS]
    plan = choose_slots(
        split.frames, (np.cumsum(slots) - slots)[longest], crop_samples=steps, batch_size=len(longest)
    )
    [batch] = read_batches(model, split, plan, context=1)
    with torch.inference_mode():
        return model.codec.encode(batch["audio"]), model.condition(batch, steps)


@torch.inference_mode()
def exactly(network: WaveNet, codes_BT: Tensor, condition: Tensor | None) -> Tensor:
    """Outputs (B, K, T) of the network in float64."""
    exact, state, pieces = copy.deepcopy(network).double(), None, []
    for start in range(0, codes_BT.shape[1], PIECE):
        part = slice(start, min(start + PIECE, codes_BT.shape[1]))
        told = condition if condition is None or condition.shape[2] == 1 else condition[:, :, part]
        outputs_BKT, state = exact(codes_BT[:, part], None if told is None else told.double(), state)
        pieces.append(outputs_BKT)
    return torch.cat(pieces, dim=2)


def measure_outputs(model: Model, codes_BT: Tensor, condition: Tensor | None) -> dict[str, Any]:
    """How far outputs are off, and what weights of 16 and 8 bits cost on recordings."""
    network, head = model.network, model.head
    exact_BKT = exactly(network, codes_BT[:, :-1], condition)

    def bits(outputs_BKT: Tensor) -> float:
        return head.nats(outputs_BKT, codes_BT[:, 1:]).double().mean().item() / math.log(2)

    fused = {weights: FusedCPU(network, head, weights=weights) for weights in WEIGHTS}
    made = {weights: engine.predict(codes_BT[:, :-1], condition) for weights, engine in fused.items()}
    return {
        "steps": exact_BKT.shape[2],
        "clips": exact_BKT.shape[0],
        "float32_off": (made["float32"] - exact_BKT).abs().max().item(),
        "largest_output": exact_BKT.abs().max().item(),
        "bits": bits(exact_BKT),
        "float32_bits_lost": bits(made["float32"]) - bits(exact_BKT),
        "bf16_bits_lost": bits(made["bf16"]) - bits(exact_BKT),
        "int8_bits_lost": bits(made["int8"]) - bits(exact_BKT),
    }


def measure_draws(
    model: Model, condition: Tensor | None, temperature: float, seconds: float
) -> dict[str, Any]:
    """How many codes the network in float64 draws otherwise, after the same past, and how near a tie these were."""
    network, head, batch = model.network, model.head, 1 if condition is None else condition.shape[0]
    samples = round(seconds * model.sample_rate)
    if condition is not None and condition.shape[2] > 1:
        samples = condition.shape[2]
    draw = Draw(temperature=temperature, seed=1, clips=tuple(range(batch)))
    silence = model.codec.silence_code
    job = build_job(network, head, draw, samples, silence_code=silence, condition=condition)
    codes_BT = torch.cat(list(FusedCPU(network, head).stream(job)), dim=1)
    inputs_BT = torch.cat([torch.full((batch, 1), silence), codes_BT[:, :-1]], dim=1)
    exact_NK = exactly(network, inputs_BT, condition).transpose(1, 2).flatten(0, 1)
    codes_N, uniforms_N = codes_BT.flatten(), torch.from_numpy(draw.uniforms(0, samples)).flatten()
    other_N = (head.draw(exact_NK, uniforms_N, temperature) != codes_N).nonzero()[:, 0]
    furthest = 0.0
    for n in other_N.tolist():
        furthest = max(
            furthest, distance(model, exact_NK[n : n + 1], codes_N[n], uniforms_N[n : n + 1], temperature)
        )
    return {"codes": codes_N.numel(), "others": len(other_N), "furthest_from_a_tie": furthest}


def distance(model: Model, outputs_1K: Tensor, code: Tensor, uniform_1: Tensor, temperature: float) -> float:
    """How far the uniform is from the code; if greedy, by how much its output is less than the largest."""
    if temperature == 0:
        return (
            (outputs_1K.max() - outputs_1K[0, code]).item()
            if isinstance(model.head, SoftmaxHead)
            else math.nan
        )
    for epsilon in _EPSILONS:
        low, high = (
            model.head.draw(outputs_1K, (uniform_1 + shift).clamp(0, 1 - 1e-12), temperature)
            for shift in (-epsilon, epsilon)
        )
        if low <= code <= high:
            return epsilon
    return 1.0


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it."""
    model = load(args.run)
    records = Records(args.json)
    data = args.data or model.config.data.path
    index = load_index(data)
    codes_BT, condition = recordings(model, index, data, 2_000 if args.quick else STEPS)
    common = {
        "run": Path(args.run).name, "model": model_hash(model)[:12], "data": index.fingerprint[:12],
        "quick": args.quick,
    }  # fmt: skip
    records.measure(
        {**common, "benchmark": "exactness-outputs"}, partial(measure_outputs, model, codes_BT, condition)
    )
    seconds = 0.2 if args.quick else SECONDS
    for temperature in (0.0, 0.9, 1.0):
        facts = {**common, "benchmark": "exactness-draws", "temperature": temperature}
        records.measure(facts, partial(measure_draws, model, condition, temperature, seconds))
    for name in ("exactness-outputs", "exactness-draws"):
        print_table(records.of(name))
    return 0


if __name__ == "__main__":
    parser = build_parser("does the fused engine compute what the network does?")
    parser.add_argument("--run", required=True, metavar="RUN", help="a trained model")
    parser.add_argument("--data", metavar="PATH", help="a shard set (that of the run)")
    run(main, parser.parse_args())
