"""The compiled loop of the fused CPU engine: all layers, their pasts and the draw, sample by sample.

Shapes: C clips, N samples, T taps, K outputs, L layers, R residual, G width, S skip, H condition; R, G / 2, S, H and K
are padded to whole vectors by `packing`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavenet_pl.generation.fused_cpu.draws import draw_logistics, draw_softmax
from wavenet_pl.generation.fused_cpu.vectors import fma, gate, product, rectified

_F = np.float32
_COLUMNS = 16  # of the condition, projected at a time


def run(
    weights: Any,
    drawing: Any,
    memory: Any,
    clock: Any,
    condition_NCH: Any,
    uniforms_CN: Any,
    given_CN: Any,
    codes_CN: Any,
    outputs_CNK: Any,
) -> None:
    """Generate N samples of each clip, or go through given ones.

    Args:
        weights: `packing.Weights`, in float32, bfloat16 (as uint16) or int8; only read.
        drawing: `engine.Drawing`: distribution, temperature and top_p; only read.
        memory: `packing.Memory` of the C clips: changed in place, so that the next call goes on from here.
        clock: samples since the memory was new.
        condition_NCH: N columns, one column for all samples, or none.
        uniforms_CN: float64 in [0, 1), one for each draw.
        given_CN: (C, N) codes that replace the draws, or (C, 0): all codes are drawn.
        codes_CN: receives the codes.
        outputs_CNK: (C, N, K) receives the outputs of all samples; (C, 1, K) those of the last one.
    """
    num_clips, num_samples = codes_CN.shape
    taps, residual = weights.entry.shape[0], weights.entry.shape[2]
    hidden = weights.start.shape[0] - residual
    num_layers = len(weights.dilations)
    width, outputs = weights.gate_channels, outputs_CNK.shape[2]
    columns = min(_COLUMNS, condition_NCH.shape[0])
    projected = np.empty((columns, num_clips, num_layers * width), _F)
    x_CR = np.empty((num_clips, taps * residual), _F)
    y_CR = np.empty(
        (num_clips, residual + hidden), _F
    )  # the path from layer to layer, and beside it the skips
    z_CG = np.empty((num_clips, width), _F)
    gated_CG = np.empty((num_clips, width // 2), _F)
    skips_CS, hidden_CS = np.empty((num_clips, hidden), _F), np.empty((num_clips, hidden), _F)
    outputs_CK = np.empty((num_clips, outputs), _F)
    weights_K, sums_K = np.empty(outputs, _F), np.empty(outputs, np.float64)
    for n in range(num_samples):
        if n % _COLUMNS == 0 and n < condition_NCH.shape[0]:
            block = condition_NCH[n : n + _COLUMNS]
            projected[:] = 0
            rows = block.shape[0] * num_clips
            to = projected.reshape(columns * num_clips, num_layers * width)[:rows]
            product(
                block.reshape(rows, block.shape[2]),
                weights.condition,
                0,
                weights.scales,
                weights.biases,
                0,
                to,
            )
        for c in range(num_clips):
            for r in range(residual + hidden):
                y_CR[c, r] = weights.start[r]
            for tap in range(taps):
                code = memory.codes[c, tap]
                if code >= 0:
                    row, amplitude = min(code, weights.entry.shape[1] - 1), weights.amplitudes[code]
                    for r in range(residual):
                        y_CR[c, r] = fma(amplitude, weights.entry[tap, row, r], y_CR[c, r])
        column = min(n % _COLUMNS, columns - 1)
        position, ring, channel = 0, 0, num_layers * width if columns else 0
        for layer in range(num_layers):
            dilation = weights.dilations[layer]
            context = (taps - 1) * dilation
            newest = ring + (clock + n) % context
            for c in range(num_clips):
                for tap in range(taps - 1):
                    slot = ring + (clock + n + tap * dilation) % context
                    for r in range(residual):
                        x_CR[c, tap * residual + r] = memory.rings[slot, c, r]
                for r in range(residual):
                    x_CR[c, (taps - 1) * residual + r] = y_CR[c, r]
                    memory.rings[newest, c, r] = y_CR[c, r]
                for g in range(width):
                    z_CG[c, g] = projected[column, c, layer * width + g] if columns else _F(0)
            ring += context
            product(x_CR, weights.matrices, position, weights.scales, weights.biases, channel, z_CG)
            position, channel = position + x_CR.shape[1] * width, channel + width
            gate(z_CG, gated_CG)
            product(gated_CG, weights.matrices, position, weights.scales, weights.biases, channel, y_CR)
            position, channel = position + width // 2 * y_CR.shape[1], channel + y_CR.shape[1]
            if weights.residual_scale != 1 and layer < num_layers - 1:
                for c in range(num_clips):
                    for r in range(residual):
                        y_CR[c, r] *= weights.residual_scale
        for c in range(num_clips):
            for s in range(hidden):
                hidden_CS[c, s] = _F(0)
                skips_CS[c, s] = rectified(y_CR[c, residual + s] * weights.skip_scale)
        product(skips_CS, weights.matrices, position, weights.scales, weights.biases, channel, hidden_CS)
        position, channel = position + hidden * hidden, channel + hidden
        for c in range(num_clips):
            for s in range(hidden):
                hidden_CS[c, s] = rectified(hidden_CS[c, s])
            for k in range(outputs):
                outputs_CK[c, k] = _F(0)
        product(hidden_CS, weights.matrices, position, weights.scales, weights.biases, channel, outputs_CK)
        for c in range(num_clips):
            if given_CN.shape[1]:
                code = given_CN[c, n]
            elif drawing.kind == 0:
                code = draw_softmax(outputs_CK[c], uniforms_CN[c, n], drawing, weights_K, sums_K)
            else:
                code = draw_logistics(outputs_CK[c], uniforms_CN[c, n], drawing, weights_K, sums_K)
            codes_CN[c, n] = code
            for k in range(outputs):
                outputs_CNK[c, min(n, outputs_CNK.shape[1] - 1), k] = outputs_CK[c, k]
            for tap in range(taps - 1):
                memory.codes[c, tap] = memory.codes[c, tap + 1]
            memory.codes[c, taps - 1] = code
