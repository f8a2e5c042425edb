"""The compiled loop of the fused CPU engine: all layers, their pasts and the draw, sample by sample.

Everything that is compiled stands in this file, because numba's cache looks at the file of the function that it keeps
and at no other. Each sum is taken in one order, by one multiply-add after the other, and nothing may be reordered: a
clip is the same bit for bit whatever stands beside it in the batch, and however its time is cut.

Shapes: C clips, N samples, T taps, K outputs, L layers, R residual, G gate, S skip, H condition; R, G / 2, S, H and K
are padded to whole vectors by `packing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Numbers in a vector. Machines with narrower vectors take several for one."""
PANELS = (4, 2, 1)
"""A matrix is cut into panels of so many vectors of outputs: the widest as long as they fit, then narrower ones."""

_ROWS = (4, 1)  # inputs that share one reading of a panel
_COLUMNS = 16  # of the condition, projected at a time
_AHEAD = 8192  # bytes


@intrinsic  # type: ignore[untyped-decorator]
def _fma(typing: Any, a: Any, b: Any, c: Any) -> tuple[Any, Callable[..., Any]]:
    """a * b + c, rounded once: said so, and not left to the compiler, because it decides about bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@intrinsic  # type: ignore[untyped-decorator]
def _times_power(typing: Any, a: Any, magic: Any) -> tuple[Any, Callable[..., Any]]:
    """a * 2 ** n for a magic that is 1.5 * 2 ** 23 + n, by adding n to the exponent's bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        bits, power = (builder.bitcast(argument, word) for argument in arguments)
        return builder.bitcast(builder.add(bits, builder.shl(power, word(23))), ir.FloatType())

    return types.float32(types.float32, types.float32), generate


@intrinsic  # type: ignore[untyped-decorator]
def _product(
    typing: Any, x: Any, matrices: Any, position: Any, scales: Any, biases: Any, channel: Any, y: Any
) -> tuple[Any, Callable[..., Any]]:
    """y += bias + scale * (x @ matrix), for x (rows, inputs) and y (rows, outputs).

    Written as vectors, since a compiler would keep the sums in memory. A panel of the matrix is read once for several
    rows; each sum begins at zero and takes the inputs in their order, whatever the row and the number of rows.

    Args:
        matrices: panels one after the other, from ``position`` on.
        scales, biases: a number for each output, from ``channel`` on.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        real, index = ir.FloatType(), ir.IntType(64)
        vector = ir.VectorType(real, LANES)
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{LANES}f32"
        )
        prefetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), *[ir.IntType(32)] * 3]),
            "llvm.prefetch.p0",
        )
        x, matrices, _, scales, biases, _, y = (
            context.make_array(kind)(context, builder, value) if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        )
        num_rows, inputs = cgutils.unpack_tuple(builder, x.shape)
        _, outputs = cgutils.unpack_tuple(builder, y.shape)

        def load(pointer: Any) -> Any:
            """A vector, unaligned, as float32."""
            stored = pointer.type.pointee
            wide = ir.VectorType(stored, LANES)
            loaded = builder.load(builder.bitcast(pointer, wide.as_pointer()), align=1)
            if stored == real:
                return loaded
            return builder.sitofp(builder.sext(loaded, ir.VectorType(ir.IntType(32), LANES)), vector)

        def spread(value: Any) -> Any:
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

        def at(pointer: Any, *terms: Any) -> Any:
            place = terms[0]
            for term in terms[1:]:
                place = builder.add(place, term)
            return builder.gep(pointer, [place])

        def tile(first_row: Any, rows: int, panel: Any, first: Any, vectors: int) -> None:
            """Rows times the vectors of one panel, whose outputs begin at ``first``."""
            sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
            for one in (one for row in sums for one in row):
                builder.store(ir.Constant(vector, [0.0] * LANES), one)
            starts = [builder.mul(builder.add(first_row, index(row)), inputs) for row in range(rows)]
            with cgutils.for_range(builder, inputs) as loop:
                line = builder.mul(loop.index, index(vectors * LANES))
                weights = []
                for v in range(vectors):
                    pointer = at(panel, line, index(v * LANES))
                    weights.append(load(pointer))
                    if rows == 1:  # one stream waits for its weights, and nothing else
                        ahead = builder.gep(
                            builder.bitcast(pointer, ir.IntType(8).as_pointer()), [index(_AHEAD)]
                        )
                        builder.call(prefetch, [ahead, *(ir.IntType(32)(flag) for flag in (0, 3, 1))])
                for row in range(rows):
                    value = spread(builder.load(at(x.data, starts[row], loop.index)))
                    for one, weight in zip(sums[row], weights, strict=True):
                        builder.store(builder.call(fma, [value, weight, builder.load(one)]), one)
            for row in range(rows):
                line = builder.mul(builder.add(first_row, index(row)), outputs)
                for v in range(vectors):
                    lane = builder.add(first, index(v * LANES))
                    scale = load(at(scales.data, arguments[5], lane))
                    bias = load(at(biases.data, arguments[5], lane))
                    place = builder.bitcast(at(y.data, line, lane), vector.as_pointer())
                    base = builder.fadd(builder.load(place, align=4), bias)
                    total = builder.call(fma, [scale, builder.load(sums[row][v]), base])
                    builder.store(total, place, align=4)

        first = cgutils.alloca_once_value(builder, index(0))
        for vectors in PANELS:
            width = index(vectors * LANES)
            loop_on = builder.append_basic_block("panels")
            body = builder.append_basic_block("panel")
            done = builder.append_basic_block("narrower")
            builder.branch(loop_on)
            builder.position_at_end(loop_on)
            end = builder.add(builder.load(first), width)
            builder.cbranch(builder.icmp_signed("<=", end, outputs), body, done)
            builder.position_at_end(body)
            panel = at(matrices.data, arguments[2], builder.mul(builder.load(first), inputs))
            begin: Any = index(0)
            for rows in _ROWS:
                whole = builder.mul(builder.sdiv(num_rows, index(rows)), index(rows))
                with cgutils.for_range_slice(builder, begin, whole, index(rows)) as (row, _):
                    tile(row, rows, panel, builder.load(first), vectors)
                begin = whole
            builder.store(builder.add(builder.load(first), width), first)
            builder.branch(loop_on)
            builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(x, matrices, position, scales, biases, channel, y), generate


_OPTIONS = {"error_model": "numpy", "nogil": True}
_F = np.float32
_MAGIC, _LOG2_E = _F(1.5 * 2**23), _F(1 / math.log(2))
_LN2_HIGH, _LN2_LOW = _F(-0.693359375), _F(2.12194440e-4)
_EXP = tuple(
    _F(c) for c in (1.9875691e-4, 1.3981999e-3, 8.3334519e-3, 4.1665796e-2, 1.6666666e-1, 0.5, 1.0, 1.0)
)


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _exp(x: Any) -> Any:
    """e ** x in float32 for x from -87 to 87, to within 2e-7 of itself; not a number stays one."""
    magic = _fma(x, _LOG2_E, _MAGIC)
    n = magic - _MAGIC
    r = _fma(n, _LN2_LOW, _fma(n, _LN2_HIGH, x))
    e = _EXP[0]
    e = _fma(e, r, _EXP[1])
    e = _fma(e, r, _EXP[2])
    e = _fma(e, r, _EXP[3])
    e = _fma(e, r, _EXP[4])
    e = _fma(e, r, _EXP[5])
    e = _fma(e, r, _EXP[6])
    e = _fma(e, r, _EXP[7])
    return _times_power(e, magic)


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _within(x: Any, bound: Any) -> Any:
    """x, or the bound that it is beyond; not a number stays one."""
    x = bound if x > bound else x
    return -bound if x < -bound else x


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _rectified(x: Any) -> Any:
    """x, or 0 where it is below; not a number stays one."""
    return _F(0) if x < 0 else x


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _gate(z_CG: Any, gated_CG: Any) -> None:
    """tanh of the first half times sigmoid of the second, to within 1e-6."""
    one, half = _F(1), gated_CG.shape[1]
    for c in range(z_CG.shape[0]):
        z, gated = z_CG[c], gated_CG[c]
        for g in range(half):
            a = _exp(_F(-2) * _within(z[g], _F(10)))
            b = _exp(-_within(z[half + g], _F(30)))
            gated[g] = (one - a) / ((one + a) * (one + b))


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _draw_softmax(outputs_K: Any, uniform: Any, drawing: Any, weights_K: Any, sums_K: Any) -> Any:
    """As `SoftmaxHead.draw`: weights in float32, sums in float64."""
    best = 0
    for k in range(drawing.num_outputs):
        if outputs_K[k] > outputs_K[best]:
            best = k
    if drawing.temperature == 0:
        return best
    largest, temperature = outputs_K[best], _F(drawing.temperature)
    for k in range(drawing.num_outputs):
        below = (outputs_K[k] - largest) / temperature
        weights_K[k] = _exp(_F(-87) if below < _F(-87) else below)
    if drawing.top_p < 1:
        order = np.argsort(-weights_K[: drawing.num_outputs], kind="mergesort")
        total = 0.0
        for k in order:
            total += np.float64(weights_K[k])
        before = 0.0
        for k in order:
            weight = np.float64(weights_K[k])
            if before >= drawing.top_p * total:
                weights_K[k] = _F(0)
            before += weight
    total = 0.0
    for k in range(drawing.num_outputs):
        total += np.float64(weights_K[k])
        sums_K[k] = total
    code = 0
    for k in range(drawing.num_outputs - 1):
        code += sums_K[k] <= uniform * total
    return code


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _draw_logistics(outputs_K: Any, uniform: Any, drawing: Any, weights_K: Any, sums_K: Any) -> Any:
    """As `LogisticsHead.draw`, all in float64: the level is searched by halves."""
    number, levels = drawing.num_outputs // 3, drawing.num_levels
    heaviest = 2 * number
    for k in range(2 * number, 3 * number):
        if outputs_K[k] > outputs_K[heaviest]:
            heaviest = k
    if drawing.temperature == 0:
        mean = np.float64(outputs_K[heaviest - 2 * number]) * (2 / levels**0.5)
        level = math.floor((mean + 1) * (levels / 2)) if math.isfinite(mean) else 0.0
        return int(min(max(level, 0.0), levels - 1.0))
    total = 0.0
    for m in range(number):  # sums_K gets the weights, then the widths
        logit = np.float64(outputs_K[2 * number + m]) - np.float64(outputs_K[heaviest])
        sums_K[m] = math.exp(logit / drawing.temperature)
        total += sums_K[m]
        scale = math.exp(min(np.float64(outputs_K[number + m]) + drawing.start, drawing.widest))
        sums_K[number + m] = (scale + 2 / levels * drawing.narrowest) * drawing.temperature
    low, high = 0, levels  # below(low) <= uniform, and below(high) is above it
    while high - low > 1:
        level = (low + high) // 2
        edge, below = level * (2 / levels) - 1, 0.0
        for m in range(number):
            mean = np.float64(outputs_K[m]) * (2 / levels**0.5)
            below += sums_K[m] / total / (1 + math.exp((mean - edge) / sums_K[number + m]))
        if below <= uniform:
            low = level
        else:
            high = level
    return low


@numba.njit(cache=True, **_OPTIONS)  # type: ignore[untyped-decorator]
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
        weights, drawing, memory: see there.
        clock: samples since the memory was new.
        condition_NCH: N columns, or one for all samples, or none.
        uniforms_CN: one for each draw.
        given_CN: with N samples the codes that come instead of draws; with none, all are drawn.
        codes_CN: gets the codes.
        outputs_CNK: gets the outputs of N samples, or with one only those of the last.
    """
    num_clips, num_samples = codes_CN.shape
    taps, residual = weights.entry.shape[0], weights.entry.shape[2]
    hidden = weights.start.shape[0] - residual
    num_layers = len(weights.dilations)
    gate, outputs = weights.gate_channels, outputs_CNK.shape[2]
    columns = min(_COLUMNS, condition_NCH.shape[0])
    projected = np.empty((columns, num_clips, num_layers * gate), _F)
    x_CR = np.empty((num_clips, taps * residual), _F)
    y_CR = np.empty(
        (num_clips, residual + hidden), _F
    )  # the path from layer to layer, and beside it the skips
    z_CG = np.empty((num_clips, gate), _F)
    gated_CG = np.empty((num_clips, gate // 2), _F)
    skips_CS, hidden_CS = np.empty((num_clips, hidden), _F), np.empty((num_clips, hidden), _F)
    outputs_CK = np.empty((num_clips, outputs), _F)
    weights_K, sums_K = np.empty(outputs, _F), np.empty(outputs, np.float64)
    for n in range(num_samples):
        if n % _COLUMNS == 0 and n < condition_NCH.shape[0]:
            block = condition_NCH[n : n + _COLUMNS]
            projected[:] = 0
            rows, width = block.shape[0] * num_clips, num_layers * gate
            to = projected.reshape(columns * num_clips, width)[:rows]
            _product(
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
                        y_CR[c, r] = _fma(amplitude, weights.entry[tap, row, r], y_CR[c, r])
        column = min(n % _COLUMNS, columns - 1)
        position, ring, channel = 0, 0, num_layers * gate if columns else 0
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
                for g in range(gate):
                    z_CG[c, g] = projected[column, c, layer * gate + g] if columns else _F(0)
            ring += context
            _product(x_CR, weights.matrices, position, weights.scales, weights.biases, channel, z_CG)
            position, channel = position + x_CR.shape[1] * gate, channel + gate
            _gate(z_CG, gated_CG)
            _product(gated_CG, weights.matrices, position, weights.scales, weights.biases, channel, y_CR)
            position, channel = position + gate // 2 * y_CR.shape[1], channel + y_CR.shape[1]
            if weights.residual_scale != 1 and layer < num_layers - 1:
                for c in range(num_clips):
                    for r in range(residual):
                        y_CR[c, r] *= weights.residual_scale
        for c in range(num_clips):
            for s in range(hidden):
                hidden_CS[c, s] = _F(0)
                skips_CS[c, s] = _rectified(y_CR[c, residual + s] * weights.skip_scale)
        _product(skips_CS, weights.matrices, position, weights.scales, weights.biases, channel, hidden_CS)
        position, channel = position + hidden * hidden, channel + hidden
        for c in range(num_clips):
            for s in range(hidden):
                hidden_CS[c, s] = _rectified(hidden_CS[c, s])
            for k in range(outputs):
                outputs_CK[c, k] = _F(0)
        _product(hidden_CS, weights.matrices, position, weights.scales, weights.biases, channel, outputs_CK)
        for c in range(num_clips):
            if given_CN.shape[1]:
                code = given_CN[c, n]
            elif drawing.kind == 0:
                code = _draw_softmax(outputs_CK[c], uniforms_CN[c, n], drawing, weights_K, sums_K)
            else:
                code = _draw_logistics(outputs_CK[c], uniforms_CN[c, n], drawing, weights_K, sums_K)
            codes_CN[c, n] = code
            for k in range(outputs):
                outputs_CNK[c, min(n, outputs_CNK.shape[1] - 1), k] = outputs_CK[c, k]
            for tap in range(taps - 1):
                memory.codes[c, tap] = memory.codes[c, tap + 1]
            memory.codes[c, taps - 1] = code
