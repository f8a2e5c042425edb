"""One sample of all clips in plain torch, without a number that the host would have to see: on a GPU a CUDA graph.

Shapes: B clips, T taps, K outputs, L layers, R residual, G gate, S skip.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fused_gpu.buffers import Buffers
from wavenet_pl.generation.fused_gpu.packing import Weights
from wavenet_pl.heads import Head
from wavenet_pl.network import WaveNet

_WARM_UP = 3
"""Steps before one is captured: libraries set themselves up in the first ones."""


class Steps:
    """Makes samples by a step of static shape: launched for each sample on a CPU, replayed on a GPU.

    Args:
        network: its shape.
        head: draws.
        weights: of the network; changed in place when they are refreshed.
    """

    def __init__(self, network: WaveNet, head: Head, weights: Weights) -> None:
        self.network, self.head, self.weights = network, head, weights

    def refresh(self) -> None:
        """Nothing to do: it reads the weights where they are."""

    def rows(self, batch: int) -> int:
        """Rows of the buffers for so many clips."""
        return batch

    def session(self, draw: Draw, buffers: Buffers) -> Callable[[int], None]:
        """Makes so many samples at each call, from what is in the buffers then."""
        return _Step(self, draw, buffers).run


class _Step:
    """What one sample takes: tensors of its own, and those of the buffers."""

    def __init__(self, steps: Steps, draw: Draw, buffers: Buffers) -> None:
        self.steps, self.draw, self.buffers = steps, draw, buffers
        config, device = steps.network.config, buffers.rings.device
        self.scales = config.residual_scale, config.skip_scale
        self.tap_T = torch.arange(buffers.taps, device=device)
        dilation_L1 = torch.tensor(config.dilations, device=device)[:, None]
        self.back_LT = (buffers.taps - 1 - self.tap_T) * dilation_L1
        self.offset_L1 = torch.tensor(buffers.offsets, device=device)[:, None]
        self.length_L1 = torch.tensor(buffers.lengths, device=device)[:, None]
        self.first_column = torch.zeros_like(buffers.sample)
        self.graph = _captured(self) if device.type == "cuda" else None

    def run(self, number: int) -> None:
        """So many more samples."""
        for _ in range(number):
            if self.graph is None:
                self.make()
            else:
                self.graph.replay()

    def make(self) -> None:
        """One more sample."""
        weights, buffers, (residual_scale, skip_scale) = self.steps.weights, self.buffers, self.scales
        taps, (num_layers, inputs, gate) = buffers.taps, weights.dilated.shape
        past, half = inputs // taps * (taps - 1), gate // 2
        slot_LT = self.offset_L1 + (buffers.clock - self.back_LT) % self.length_L1
        past_BPR = buffers.rings.index_select(1, slot_LT[:, :-1].flatten())
        past_LBI = past_BPR.view(-1, num_layers, past).transpose(0, 1)
        column = buffers.sample if buffers.local else self.first_column
        z_LBG = buffers.columns.index_select(0, column)[0].baddbmm(past_LBI, weights.dilated[:, :past])
        x_BR, xs, gates = self._enter(), [], []
        for layer in range(num_layers):
            z_BG = torch.addmm(z_LBG[layer], x_BR, weights.dilated[layer, past:])
            xs.append(x_BR)
            gates.append(z_BG[:, :half].tanh() * z_BG[:, half:].sigmoid())
            if layer + 1 < num_layers:
                x_BR = torch.addmm(
                    x_BR + weights.residual_bias[layer], gates[layer], weights.residual[layer],
                    beta=residual_scale, alpha=residual_scale,
                )  # fmt: skip
        buffers.rings.index_copy_(1, slot_LT[:, -1], torch.stack(xs, dim=1))
        skips_BS = torch.addmm(weights.skip_bias, torch.cat(gates, dim=1), weights.skip)
        hidden_BS = torch.addmm(weights.hidden_bias, (skips_BS * skip_scale).relu(), weights.hidden).relu()
        outputs_BK = torch.addmm(weights.output_bias, hidden_BS, weights.output)
        buffers.outputs.copy_(outputs_BK)
        uniform_B = buffers.uniforms.index_select(1, buffers.sample)[:, 0]
        codes_B = self.steps.head.draw(outputs_BK, uniform_B, self.draw.temperature, self.draw.top_p)
        buffers.history.index_copy_(1, buffers.sample + taps, codes_B[:, None])
        buffers.sample.add_(1)
        buffers.clock.add_(1)

    def _enter(self) -> Tensor:
        """What the first convolution makes of the newest codes (B, R)."""
        weights, buffers = self.steps.weights, self.buffers
        codes_BT = buffers.history.index_select(1, buffers.sample + self.tap_T)
        known_BT = codes_BT.clamp(min=0)
        amplitudes_BT = weights.amplitudes[known_BT] * (codes_BT >= 0)
        entry_BTR = weights.entry[self.tap_T, known_BT.clamp(max=weights.entry.shape[1] - 1)]
        return weights.start + (entry_BTR * amplitudes_BT[:, :, None]).sum(dim=1)


def _captured(step: _Step) -> torch.cuda.CUDAGraph:
    """The step as a graph of its launches: the host says once for each sample that all of them are to run.

    It reads and writes the step's tensors where they are now, and lives no longer than these.
    """
    own, buffers = torch.cuda.Stream(), step.buffers
    own.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(own):
        for _ in range(_WARM_UP):
            buffers.sample.zero_()  # what it writes has to lie in the buffers
            step.make()
    torch.cuda.current_stream().wait_stream(own)
    graph = torch.cuda.CUDAGraph()
    # Other threads of a training may ask the device for something meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step.make()
    return graph
