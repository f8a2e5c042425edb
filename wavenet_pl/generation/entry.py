"""What the first convolution makes of a code, as a table: one addition for each tap, and no embedding to look up.

Shapes: T taps, Q codes, R residual.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wavenet_pl.network import WaveNet


def entry_table(network: WaveNet) -> tuple[Tensor, Tensor]:
    """Of each tap and each code what comes in (T, Q, R), or (T, 1, R) of an amplitude of 1; and what it is multiplied
    with (Q,). Both float32, on the network's device, computed in float64."""
    weight_RCT = network.first.weight.detach().double()
    codes_Q = torch.arange(network.quantization_channels, device=weight_RCT.device)
    if network.embedding is None:
        assert network.decode is not None
        return weight_RCT.permute(2, 1, 0).float(), network.decode(codes_Q).float()
    table_TQR = torch.einsum("qc,rct->tqr", network.embedding.weight.detach().double(), weight_RCT)
    return table_TQR.float(), torch.ones(len(codes_Q), device=weight_RCT.device)
