"""The uniform numbers of `numbers.counter` on the device where they are drawn with.

Shapes: B clips, N samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wavenet_pl.numbers import counter


def signed(bits: int) -> int:
    """64 bits as torch's int64 has them: it multiplies and adds modulo 2 ** 64 as well."""
    return bits - 2**64 if bits >= 2**63 else bits


def uniforms(keys_B: Tensor, start: int, number: int) -> Tensor:
    """(B, number), float64, bit for bit those of `counter.uniforms` for the counters from start on.

    Args:
        keys_B: `signed` keys.
        start: the first counter.
        number: how many.
    """
    counters_N = torch.arange(start + 1, start + number + 1, device=keys_B.device)
    bits_BN = keys_B[:, None] + counters_N * signed(int(counter.GOLDEN_GAMMA))
    bits_BN = (bits_BN ^ _shifted(bits_BN, 30)) * signed(int(counter.MIX_1))
    bits_BN = (bits_BN ^ _shifted(bits_BN, 27)) * signed(int(counter.MIX_2))
    return _shifted(bits_BN ^ _shifted(bits_BN, 31), 11).double() * 2.0**-53


def _shifted(bits: Tensor, by: int) -> Tensor:
    """To the right, with zeros from the left whatever the sign."""
    return (bits >> by) & ((1 << (64 - by)) - 1)
