"""Compiled arithmetic on rows of channels: matrix products, the gate, and what both are made of.

Each sum is taken in one order, by one multiply-add after the other, and nothing may be reordered: the result for a row
is the same bit for bit whatever stands beside it.
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

from wavenet_pl.numbers.compiled import OPTIONS

LANES = 16
"""Numbers in a vector. Machines with narrower vectors take several for one."""
PANELS = (4, 2, 1)
"""A matrix is cut into panels of so many vectors of outputs: the widest as long as they fit, then narrower ones."""

_ROWS = (4, 1)  # of x, which share one reading of a panel
_AHEAD = 8192  # bytes: what one core can wait for at a time, with room


@intrinsic  # type: ignore[untyped-decorator]
def fma(typing: Any, a: Any, b: Any, c: Any) -> tuple[Any, Callable[..., Any]]:
    """a * b + c, rounded once: one instruction, since a compiler that may choose could change the last bit."""

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
def product(
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
            words = ir.VectorType(ir.IntType(32), LANES)
            if stored == real:
                return loaded
            if stored == ir.IntType(16):  # bfloat16 is the upper half of a float32
                half = builder.shl(builder.zext(loaded, words), ir.Constant(words, [16] * LANES))
                return builder.bitcast(half, vector)
            return builder.sitofp(builder.sext(loaded, words), vector)

        def spread(value: Any) -> Any:
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

        def at(pointer: Any, *terms: Any) -> Any:
            offset = terms[0]
            for term in terms[1:]:
                offset = builder.add(offset, term)
            return builder.gep(pointer, [offset])

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
                    target = builder.bitcast(at(y.data, line, lane), vector.as_pointer())
                    base = builder.fadd(builder.load(target, align=4), bias)
                    total = builder.call(fma, [scale, builder.load(sums[row][v]), base])
                    builder.store(total, target, align=4)

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


_F = np.float32
_MAGIC, _LOG2_E = _F(1.5 * 2**23), _F(1 / math.log(2))
_LN2_HIGH, _LN2_LOW = _F(-0.693359375), _F(2.12194440e-4)
_EXP = tuple(
    _F(c) for c in (1.9875691e-4, 1.3981999e-3, 8.3334519e-3, 4.1665796e-2, 1.6666666e-1, 0.5, 1.0, 1.0)
)


@numba.njit(**OPTIONS)  # type: ignore[untyped-decorator]
def exp(x: Any) -> Any:
    """e ** x in float32 for x from -87 to 87, to within 2e-7 of itself; not a number stays one."""
    magic = fma(x, _LOG2_E, _MAGIC)
    n = magic - _MAGIC
    r = fma(n, _LN2_LOW, fma(n, _LN2_HIGH, x))
    e = _EXP[0]
    e = fma(e, r, _EXP[1])
    e = fma(e, r, _EXP[2])
    e = fma(e, r, _EXP[3])
    e = fma(e, r, _EXP[4])
    e = fma(e, r, _EXP[5])
    e = fma(e, r, _EXP[6])
    e = fma(e, r, _EXP[7])
    return _times_power(e, magic)


@numba.njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _within(x: Any, bound: Any) -> Any:
    """x, or the bound that it is beyond; not a number stays one."""
    x = bound if x > bound else x
    return -bound if x < -bound else x


@numba.njit(**OPTIONS)  # type: ignore[untyped-decorator]
def rectified(x: Any) -> Any:
    """x, or 0 where it is below; not a number stays one."""
    return _F(0) if x < 0 else x


@numba.njit(**OPTIONS)  # type: ignore[untyped-decorator]
def gate(z_CG: Any, gated_CG: Any) -> None:
    """tanh of the first half times sigmoid of the second, to within 1e-6."""
    one, half = _F(1), gated_CG.shape[1]
    for c in range(z_CG.shape[0]):
        z, gated = z_CG[c], gated_CG[c]
        for g in range(half):
            a = exp(_F(-2) * _within(z[g], _F(10)))
            b = exp(-_within(z[half + g], _F(30)))
            gated[g] = (one - a) / ((one + a) * (one + b))
