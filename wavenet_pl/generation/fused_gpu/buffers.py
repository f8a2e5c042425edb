"""What clips remember, and what a stretch of samples needs: tensors that are made once and never move.

A ring is one sample longer than the past of its layer. So no step writes what it reads, and the past of all layers can
be fetched before the first is computed.

Shapes: B clips, N samples of a stretch, P samples of all rings, T taps, K outputs, L layers, R residual, G gate,
H condition.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wavenet_pl.generation.fused_gpu.packing import Weights
from wavenet_pl.network import State, WaveNet

_LARGEST = 2**26
"""Numbers of the projected condition at a time: 256 MB."""


def stretch(network: WaveNet, batch: int, chunk: int) -> int:
    """How many samples of a chunk are made at a time, so that their projected condition has room."""
    config = network.config
    each = config.num_layers * config.gate_channels * batch if network.condition_channels else 1
    return max(1, min(chunk, _LARGEST // each))


class Buffers:
    """The memory of a batch, and what its next samples need.

    Args:
        network: that it is for.
        batch: clips.
        samples: of a stretch, at most.
        local: whether each sample has a column of the condition of its own.
    """

    def __init__(self, network: WaveNet, batch: int, samples: int, *, local: bool) -> None:
        config, device = network.config, next(network.parameters()).device
        self.taps = config.kernel_size
        contexts = [(self.taps - 1) * dilation for dilation in config.dilations]
        self.lengths = [context + 1 for context in contexts]
        """Of each layer's ring."""
        self.offsets = [sum(self.lengths[:layer]) for layer in range(len(contexts))]
        """Where it begins."""
        self.rings = torch.zeros(batch, sum(self.lengths), config.residual_channels, device=device)
        """(B, P, R): at clock t a layer's newest input is at its offset + t % its length."""
        self.history = torch.zeros(batch, self.taps + samples, dtype=torch.int64, device=device)
        """(B, T + N): the newest inputs before a stretch, the last of them still to come in; then what is drawn."""
        self.uniforms = torch.zeros(batch, samples, dtype=torch.float64, device=device)
        """(B, N)."""
        columns = samples if local else 1
        self.columns = torch.zeros(columns, config.num_layers, batch, config.gate_channels, device=device)
        """(N, L, B, G), or (1, L, B, G): biases and condition of each layer."""
        self.outputs = torch.zeros(batch, network.num_parameters, device=device)
        """(B, K) of the newest sample."""
        self.remaining = torch.zeros(batch, dtype=torch.int32, device=device)
        """(B,): samples of the stretch that each clip still wants."""
        self.clock = torch.zeros(1, dtype=torch.int64, device=device)
        """(1,): samples since the memory was new."""
        self.sample = torch.zeros(1, dtype=torch.int64, device=device)
        """(1,): samples of the stretch that are made."""

    @property
    def local(self) -> bool:
        """Whether each sample has a column of its own."""
        return self.columns.shape[0] > 1

    def load(self, state: State, inputs: Sequence[Tensor]) -> None:
        """Begin with clips after a state.

        Args:
            state: what the network returned for all inputs but the last of each clip.
            inputs: codes (T,) of each clip; the last of them is still to come in.
        """
        for buffer in (self.rings, self.history, self.clock, self.outputs):
            buffer.zero_()
        batch = len(inputs)
        for offset, past_PBR in zip(self.offsets, state[1:], strict=True):
            self.rings[:batch, offset + 1 : offset + 1 + len(past_PBR)] = past_PBR.transpose(0, 1)
        newest_BT = torch.full((batch, self.taps), -1)
        for newest_T, inputs_T in zip(newest_BT, inputs, strict=True):
            known_T = inputs_T[-self.taps :]
            newest_T[self.taps - len(known_T) :] = known_T
        self.history[:batch, : self.taps] = newest_BT.to(self.history.device)

    def project(self, weights: Weights, condition: Tensor | None) -> None:
        """Take the condition (B, H, N) of the next samples, one column for all of them, or none."""
        if condition is None:
            self.columns[:] = weights.dilated_bias[:, None]
            return
        columns_NBH = condition.permute(2, 0, 1).to(self.columns)
        made = self.columns[: len(columns_NBH), :, : columns_NBH.shape[1]]
        for layer, (matrix_HG, bias_G) in enumerate(
            zip(weights.condition, weights.dilated_bias, strict=True)
        ):
            made[:, layer] = columns_NBH @ matrix_HG + bias_G

    def begin(self, uniforms_BN: Tensor, remaining_B: Tensor) -> None:
        """Begin a stretch: its uniform numbers, and how many samples of it each clip wants."""
        batch, number = uniforms_BN.shape
        self.uniforms[:batch, :number] = uniforms_BN
        self.remaining[:batch] = remaining_B
        self.sample.zero_()

    def end(self, batch: int, number: int) -> Tensor:
        """The codes (B, N) of a stretch that is done; the last of them are the next one's newest inputs."""
        codes_BN = self.history[:batch, self.taps : self.taps + number].clone()
        self.history[:, : self.taps] = self.history[:, number : number + self.taps].clone()
        return codes_BN
