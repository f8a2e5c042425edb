"""The kernel of the fused GPU engine: one launch makes a stretch of samples, a program for each group of clips.

No program waits for another. Within one, what threads hand to each other goes through memory, with a barrier between: a
layer's input through its ring, gates and what comes after the layers through a row of room for each clip. All matrices
are one run of tiles, of which two are always on their way: across layers, barriers and samples.

Shapes: C clips of a program, I inputs and O outputs of a tile, R residual.
"""

from __future__ import annotations

import triton
import triton.language as tl

from wavenet_pl.generation.fused_gpu.draws import draw_logistics, draw_softmax


@triton.jit
def make_samples(
    run,
    entry,
    amplitudes,
    start,
    residual_bias,
    skip_bias,
    hidden_bias,
    output_bias,
    dilations,
    lengths,
    offsets,
    rings,
    history,
    uniforms,
    columns,
    outputs,
    remaining,
    phases,
    room,
    drawing,
    batch,
    column_stride,
    ring_stride,
    history_stride,
    uniforms_stride,
    residual_scale,
    skip_scale,
    LAYERS: tl.constexpr,
    TAPS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    HALF: tl.constexpr,
    SKIP: tl.constexpr,
    OUTPUTS: tl.constexpr,
    CODES: tl.constexpr,
    ENTRIES: tl.constexpr,
    TILES: tl.constexpr,
    SIDE: tl.constexpr,
    CLIPS: tl.constexpr,
    LOGISTICS: tl.constexpr,
    GREEDY: tl.constexpr,
    TOP_P: tl.constexpr,
    PADDED: tl.constexpr,
    SEARCHES: tl.constexpr,
    START: tl.constexpr,
    WIDEST: tl.constexpr,
    NARROWEST: tl.constexpr,
):
    """Samples of the clips of one program, as many as the one that wants most wants.

    Args:
        run: `packing.tiles`, in float32 or bfloat16.
        entry, amplitudes, start, residual_bias, skip_bias, hidden_bias, output_bias: as in `packing.Weights`.
        dilations, lengths, offsets: of each layer, and of its ring.
        rings, history, uniforms, columns, outputs, remaining: as in `buffers.Buffers`.
        phases: of each layer the slot of its ring that the first sample goes to.
        room: (B, L * G / 2 + 2 * S) to work in.
        drawing: temperature and top_p, float64.
        batch: B.
        column_stride: numbers from one column to the next; 0 where there is one for all samples.
        ring_stride, history_stride, uniforms_stride: numbers from one clip to the next.
    """
    row_C = (tl.program_id(0) * CLIPS + tl.arange(0, CLIPS)).to(tl.int64)
    ring_C, room_C = rings + row_C * ring_stride, room + row_C * (LAYERS * HALF + 2 * SKIP)
    history_C, uniforms_C = history + row_C * history_stride, uniforms + row_C * uniforms_stride
    outputs_C = outputs + row_C * OUTPUTS
    skips_C, hidden_C = room_C + LAYERS * HALF, room_C + (LAYERS * HALF + SKIP)
    o = tl.arange(0, SIDE)
    near, far, number = _tile(run, 0, SIDE), _tile(run, 1, SIDE), 2 % TILES
    for n in range(tl.max(tl.load(remaining + row_C), axis=0)):
        tl.debug_barrier()
        newest = tl.load(offsets) + (tl.load(phases) + n) % tl.load(lengths)
        for first in range(0, RESIDUAL, SIDE):
            r = first + o
            inside = (r < RESIDUAL)[None, :]
            x_CR = tl.load(start + r, mask=r < RESIDUAL, other=0.0)[None, :] + tl.zeros(
                [CLIPS, SIDE], tl.float32
            )
            for tap in tl.static_range(TAPS):
                code_C = tl.load(history_C + n + tap)
                known_C = tl.maximum(code_C, 0)
                amplitude_C = tl.where(code_C < 0, 0.0, tl.load(amplitudes + known_C))
                entry_C = tap * ENTRIES + tl.minimum(known_C, ENTRIES - 1)
                entry_CR = tl.load(entry + entry_C[:, None] * RESIDUAL + r[None, :], mask=inside, other=0.0)
                x_CR += amplitude_C[:, None] * entry_CR
            tl.store(ring_C[:, None] + (newest * RESIDUAL + r)[None, :], x_CR, mask=inside)
        for layer in range(LAYERS):
            tl.debug_barrier()
            dilation, length, offset = (
                tl.load(dilations + layer),
                tl.load(lengths + layer),
                tl.load(offsets + layer),
            )
            phase = (tl.load(phases + layer) + n) % length
            own_C = ring_C + offset * RESIDUAL
            column_C = columns + n * column_stride + (layer * batch + row_C) * (2 * HALF)
            gates_C = room_C + layer * HALF
            for first in range(0, HALF, SIDE):
                h = first + o
                inside = (h < HALF)[None, :]
                filter_CO, number, near, far = _products(
                    own_C, phase, dilation, length, TAPS, RESIDUAL, run, number, near, far, TILES, SIDE, CLIPS
                )
                gate_CO, number, near, far = _products(
                    own_C, phase, dilation, length, TAPS, RESIDUAL, run, number, near, far, TILES, SIDE, CLIPS
                )
                filter_CO += tl.load(column_C[:, None] + h[None, :], mask=inside, other=0.0)
                gate_CO += tl.load(column_C[:, None] + (HALF + h)[None, :], mask=inside, other=0.0)
                gated_CO = (2 * _sigmoid(2 * filter_CO) - 1) * _sigmoid(gate_CO)
                tl.store(gates_C[:, None] + h[None, :], gated_CO, mask=inside)
            tl.debug_barrier()
            after = tl.minimum(layer + 1, LAYERS - 1)
            newest = tl.load(offsets + after) + (tl.load(phases + after) + n) % tl.load(lengths + after)
            for first in range(0, RESIDUAL, SIDE):
                r = first + o
                inside = (r < RESIDUAL)[None, :]
                made_CO, number, near, far = _products(
                    gates_C, 0, 0, 1, 1, HALF, run, number, near, far, TILES, SIDE, CLIPS
                )
                x_CR = tl.load(own_C[:, None] + (phase * RESIDUAL + r)[None, :], mask=inside, other=0.0)
                bias_R = tl.load(residual_bias + layer * RESIDUAL + r, mask=r < RESIDUAL, other=0.0)
                x_CR = (x_CR + made_CO + bias_R[None, :]) * residual_scale
                kept = inside & (layer + 1 < LAYERS)
                tl.store(ring_C[:, None] + (newest * RESIDUAL + r)[None, :], x_CR, mask=kept)
        number, near, far = _dense(
            room_C, run, number, near, far, skips_C, skip_bias, skip_scale, LAYERS * HALF, SKIP, True, TILES, SIDE,
            CLIPS,
        )  # fmt: skip
        number, near, far = _dense(
            skips_C, run, number, near, far, hidden_C, hidden_bias, 1.0, SKIP, SKIP, True, TILES, SIDE, CLIPS
        )
        number, near, far = _dense(
            hidden_C,
            run,
            number,
            near,
            far,
            outputs_C,
            output_bias,
            1.0,
            SKIP,
            OUTPUTS,
            False,
            TILES,
            SIDE,
            CLIPS,
        )
        tl.debug_barrier()
        uniform_C = tl.load(uniforms_C + n)
        if LOGISTICS:
            code_C = draw_logistics(
                outputs_C,
                uniform_C,
                drawing,
                OUTPUTS // 3,
                CODES,
                GREEDY,
                PADDED,
                SEARCHES,
                START,
                WIDEST,
                NARROWEST,
            )
        else:
            code_C = draw_softmax(outputs_C, uniform_C, drawing, OUTPUTS, GREEDY, TOP_P, PADDED)
        code_C = tl.minimum(
            tl.maximum(code_C, 0), CODES - 1
        )  # of outputs that are no numbers there may be none
        tl.store(history_C + n + TAPS, code_C.to(tl.int64))


@triton.jit
def _tile(run, number, SIDE: tl.constexpr):
    """A tile (1, I, O), on its way: nobody waits for it before its numbers are used. It passes the nearest cache by."""
    o = tl.arange(0, SIDE)
    return tl.load(
        run + number * (SIDE * SIDE) + o[None, :, None] * SIDE + o[None, None, :], cache_modifier=".cg"
    )


@triton.jit
def _products(
    source_C,
    phase,
    dilation,
    length,
    TAPS: tl.constexpr,
    WIDTH: tl.constexpr,
    run,
    number,
    near,
    far,
    TILES: tl.constexpr,
    SIDE: tl.constexpr,
    CLIPS: tl.constexpr,
):
    """What a column of tiles makes of each clip's inputs (C, O), and the tiles that come next.

    Args:
        source_C: rows of ``WIDTH`` numbers: a ring with ``TAPS`` of them that are read, or one row.
        phase, dilation, length: of the ring.
        number: the tile to send for.
        near, far: the two that are on their way.
    """
    # Zeros that lie in registers as a tile does: the compiler takes the layout of loads, and this one loads nothing.
    c, o = tl.arange(0, CLIPS), tl.arange(0, SIDE)
    at_CIO = run + (c[:, None, None] * (SIDE * SIDE) + o[None, :, None] * SIDE + o[None, None, :])
    made_CIO = tl.load(at_CIO, mask=number < 0, other=0.0).to(tl.float32)
    for first in range(0, TAPS * WIDTH, SIDE):
        following = _tile(run, number, SIDE)
        i = first + tl.arange(0, SIDE)
        if TAPS > 1:
            tap = i // WIDTH
            slot = phase - (TAPS - 1 - tap) * dilation
            at = tl.where(slot < 0, slot + length, slot) * WIDTH + (i - tap * WIDTH)
        else:
            at = i
        x_CI = tl.load(source_C[:, None] + at[None, :], mask=(i < TAPS * WIDTH)[None, :], other=0.0)
        made_CIO += x_CI[:, :, None] * near.to(tl.float32)
        near, far = far, following
        number = tl.where(number + 1 < TILES, number + 1, 0)
    return tl.sum(made_CIO, axis=1), number, near, far


@triton.jit
def _dense(
    source_C,
    run,
    number,
    near,
    far,
    target_C,
    bias,
    scale,
    WIDTH: tl.constexpr,
    MADE: tl.constexpr,
    RECTIFIED: tl.constexpr,
    TILES: tl.constexpr,
    SIDE: tl.constexpr,
    CLIPS: tl.constexpr,
):
    """A matrix by itself, from one row of room to another; returns the tiles that come next."""
    tl.debug_barrier()
    for first in range(0, MADE, SIDE):
        o = first + tl.arange(0, SIDE)
        made_CO, number, near, far = _products(
            source_C, 0, 0, 1, 1, WIDTH, run, number, near, far, TILES, SIDE, CLIPS
        )
        made_CO = (made_CO + tl.load(bias + o, mask=o < MADE, other=0.0)[None, :]) * scale
        if RECTIFIED:
            made_CO = tl.where(made_CO < 0, 0.0, made_CO)  # what is no number stays none
        tl.store(target_C[:, None] + o[None, :], made_CO, mask=(o < MADE)[None, :])
    return number, near, far


@triton.jit
def _sigmoid(x):
    """What is no number stays none."""
    return 1 / (1 + tl.exp(-x))
