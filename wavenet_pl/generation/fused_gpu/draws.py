"""The draws of the kernel: what `heads` draws, with the same uniforms, for the clips of one program.

Shapes: C clips, K outputs, J some of them, M logistics.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def draw_softmax(
    outputs_C,
    uniform_C,
    drawing,
    OUTPUTS: tl.constexpr,
    GREEDY: tl.constexpr,
    TOP_P: tl.constexpr,
    PADDED: tl.constexpr,
):
    """The codes (C,) that `SoftmaxHead.draw` draws, in float64."""
    k = tl.arange(0, PADDED)
    inside = (k < OUTPUTS)[None, :]
    output_CK = tl.load(outputs_C[:, None] + k[None, :], mask=inside, other=-float("inf"))
    if GREEDY:
        code_C = tl.argmax(output_CK, axis=1)
    else:
        temperature = tl.load(drawing)
        largest_C1 = tl.max(output_CK, axis=1).to(tl.float64)[:, None]
        weight_CK = tl.exp((output_CK.to(tl.float64) - largest_C1) / temperature)
        if TOP_P:
            # Of each code the sum of those that come before it, largest first: there is nothing that sorts.
            before_CK = tl.zeros_like(weight_CK)
            for first in range(0, OUTPUTS, 16):
                j = first + tl.arange(0, 16)
                other_CJ = tl.load(
                    outputs_C[:, None] + j[None, :], mask=(j < OUTPUTS)[None, :], other=-float("inf")
                )
                other_weight_CJ = tl.exp((other_CJ.to(tl.float64) - largest_C1) / temperature)
                same = (other_CJ[:, None, :] == output_CK[:, :, None]) & (j[None, None, :] < k[None, :, None])
                sooner = (other_CJ[:, None, :] > output_CK[:, :, None]) | same
                before_CK += tl.sum(tl.where(sooner, other_weight_CJ[:, None, :], 0.0), axis=2)
            total_C1 = tl.sum(weight_CK, axis=1)[:, None]
            weight_CK = tl.where(before_CK >= tl.load(drawing + 1) * total_C1, 0.0, weight_CK)
        sums_CK = tl.cumsum(weight_CK, axis=1)
        total_C1 = tl.max(sums_CK, axis=1)[:, None]
        passed = (sums_CK <= uniform_C[:, None] * total_C1) & inside
        code_C = tl.sum(passed.to(tl.int32), axis=1)
    return code_C


@triton.jit
def draw_logistics(
    outputs_C,
    uniform_C,
    drawing,
    MIXTURES: tl.constexpr,
    CODES: tl.constexpr,
    GREEDY: tl.constexpr,
    PADDED: tl.constexpr,
    SEARCHES: tl.constexpr,
    START: tl.constexpr,
    WIDEST: tl.constexpr,
    NARROWEST: tl.constexpr,
):
    """The codes (C,) that `LogisticsHead.draw` draws, in float64, by bisection."""
    m = tl.arange(0, PADDED)
    inside = (m < MIXTURES)[None, :]
    of_CM = outputs_C[:, None] + m[None, :]
    mean_CM = tl.load(of_CM, mask=inside, other=0.0).to(tl.float64) * (2 / CODES**0.5)
    logit_CM = tl.load(of_CM + 2 * MIXTURES, mask=inside, other=-float("inf")).to(tl.float64)
    if GREEDY:
        heaviest_C = tl.argmax(logit_CM, axis=1)
        mean_C = tl.sum(tl.where(m[None, :] == heaviest_C[:, None], mean_CM, 0.0), axis=1)
        level_C = tl.floor((mean_C + 1) * (CODES / 2))
        level_C = tl.where(level_C > 0, level_C, 0.0)  # also where it is no number
        code_C = tl.where(level_C < CODES, level_C, CODES - 1.0).to(tl.int32)
    else:
        temperature = tl.load(drawing)
        weight_CM = tl.exp((logit_CM - tl.max(logit_CM, axis=1)[:, None]) / temperature)
        weight_CM /= tl.sum(weight_CM, axis=1)[:, None]
        log_scale_CM = tl.load(of_CM + MIXTURES, mask=inside, other=0.0).to(tl.float64) + START
        scale_CM = tl.exp(tl.where(log_scale_CM > WIDEST, WIDEST, log_scale_CM))
        scale_CM = (scale_CM + 2 / CODES * NARROWEST) * temperature
        code_C = tl.zeros_like(
            tl.argmax(logit_CM, axis=1)
        )  # below(code) <= uniform, and below(high) is above it
        high_C = code_C + CODES
        for _ in range(SEARCHES):
            level_C = (code_C + high_C) // 2
            edge_C1 = (level_C.to(tl.float64) * (2 / CODES) - 1)[:, None]
            below_C = tl.sum(weight_CM / (1 + tl.exp((mean_CM - edge_C1) / scale_CM)), axis=1)
            rises = below_C <= uniform_C
            code_C, high_C = tl.where(rises, level_C, code_C), tl.where(rises, high_C, level_C)
    return code_C
