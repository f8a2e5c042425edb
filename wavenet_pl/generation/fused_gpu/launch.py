"""Launches of the kernel: how clips are grouped, and what it is compiled for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import triton

from wavenet_pl import logistics
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fused_gpu import kernels
from wavenet_pl.generation.fused_gpu.buffers import Buffers
from wavenet_pl.generation.fused_gpu.packing import Weights, tiles
from wavenet_pl.heads import Head
from wavenet_pl.network import WaveNet

_GROUP = 4
"""Clips of a program at most: each takes as many registers as a tile has numbers."""
_SIDES = (16, 64)
"""Of a tile, at least and at most: 64 x 64 numbers are 16 registers of each of 256 threads."""


class Launches:
    """Makes samples by one launch for a stretch of them; each of a group of clips shares the reading of the weights.

    Args:
        network: its shape.
        head: what its outputs mean.
        packed: its weights; changed in place when they are refreshed.
        weights: the number format of the matrices.
    """

    def __init__(self, network: WaveNet, head: Head, packed: Weights, weights: str) -> None:
        self.network, self.head, self.packed = network, head, packed
        widest = max(network.config.residual_channels, network.config.gate_channels // 2)
        self.side = min(max(triton.next_power_of_2(widest), _SIDES[0]), _SIDES[1])
        self.run = tiles(packed, self.side).to(torch.bfloat16 if weights == "bf16" else torch.float32)
        device = self.run.device
        self.processors = (
            torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
        )

    def refresh(self) -> None:
        """Take the packed weights as they are now."""
        self.run.copy_(tiles(self.packed, self.side))

    def group(self, batch: int) -> int:
        """Clips of a program: so few that each multiprocessor has one, as far as there are."""
        each = 1
        while each < _GROUP and math.ceil(batch / each) > self.processors:
            each *= 2
        return each

    def rows(self, batch: int) -> int:
        """Rows of the buffers for so many clips: whole groups."""
        group = self.group(batch)
        return math.ceil(batch / group) * group

    def session(self, draw: Draw, buffers: Buffers) -> Callable[[int], None]:
        """Makes so many samples at each call, from what is in the buffers then."""
        programs = buffers.rings.shape[0] // self.group(buffers.rings.shape[0])
        arguments, constants = self.arguments(draw, buffers)

        def run(number: int) -> None:
            # Of 64 bits: in the kernel each layer of each sample would pay for this remainder.
            arguments["phases"].copy_(buffers.clock % arguments["lengths"])
            kernels.make_samples[(programs,)](**arguments, **constants)
            buffers.clock.add_(number)

        return run

    def arguments(self, draw: Draw, buffers: Buffers) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the kernel is called with, and what it is compiled for: see `kernels.make_samples`."""
        config, head, packed, device = self.network.config, self.head, self.packed, self.run.device
        batch, (num_layers, half, residual) = buffers.rings.shape[0], packed.residual.shape
        is_mixture, codes = head.distribution == "logistics", head.quantization_channels
        numbers = head.num_parameters // 3 if is_mixture else head.num_parameters
        dilations, lengths, offsets = (
            torch.tensor(each, dtype=torch.int32, device=device)
            for each in (config.dilations, buffers.lengths, buffers.offsets)
        )
        room = torch.zeros(batch, num_layers * half + 2 * config.skip_channels, device=device)
        drawing = torch.tensor([draw.temperature, draw.top_p], dtype=torch.float64, device=device)
        arguments = {
            "run": self.run, "entry": packed.entry, "amplitudes": packed.amplitudes, "start": packed.start,
            "residual_bias": packed.residual_bias, "skip_bias": packed.skip_bias, "hidden_bias": packed.hidden_bias,
            "output_bias": packed.output_bias, "dilations": dilations, "lengths": lengths, "offsets": offsets,
            "rings": buffers.rings, "history": buffers.history, "uniforms": buffers.uniforms,
            "columns": buffers.columns, "outputs": buffers.outputs, "remaining": buffers.remaining,
            "phases": torch.zeros_like(lengths), "room": room, "drawing": drawing, "batch": batch,
            "column_stride": buffers.columns[0].numel() if buffers.local else 0,
            "ring_stride": buffers.rings[0].numel(), "history_stride": buffers.history.shape[1],
            "uniforms_stride": buffers.uniforms.shape[1], "residual_scale": float(config.residual_scale),
            "skip_scale": float(config.skip_scale),
        }  # fmt: skip
        constants = {
            "LAYERS": num_layers, "TAPS": buffers.taps, "RESIDUAL": residual, "HALF": half,
            "SKIP": config.skip_channels, "OUTPUTS": head.num_parameters, "CODES": codes,
            "ENTRIES": packed.entry.shape[1], "TILES": self.run.numel() // self.side**2, "SIDE": self.side,
            "CLIPS": self.group(batch), "LOGISTICS": is_mixture, "GREEDY": draw.temperature == 0,
            "TOP_P": draw.top_p < 1, "PADDED": triton.next_power_of_2(numbers),
            "SEARCHES": math.ceil(math.log2(codes)), "START": logistics.START, "WIDEST": logistics.WIDEST,
            "NARROWEST": logistics.NARROWEST, "num_warps": 8 if self.side == _SIDES[1] else 4, "num_stages": 1,
        }  # fmt: skip
        return arguments, constants
