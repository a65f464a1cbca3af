"""32-bit arithmetic and vector sums for the compiled kernels.

numba widens `int32 + int32` to 64 bits, which halves the lanes of a vector and is not what Loihi does: the
functions here keep 32 bits and wrap. `row_sums` emits LLVM vectors that hold their sums in registers while
they walk over the events; LLVM splits them for processors with narrower ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I8, I16, I64 = ir.IntType(8), ir.IntType(16), ir.IntType(64)
LANES = 32
"""16-bit lanes of one vector: 512 bits."""


def _binary(emit: Callable[[Any, Any, Any], Any]) -> Any:
    def typing(context: Any, a: Any, b: Any) -> Any:
        def codegen(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return emit(builder, *arguments)

        return types.int32(types.int32, types.int32), codegen

    return intrinsic(typing)


add32 = _binary(lambda builder, a, b: builder.add(a, b))
sub32 = _binary(lambda builder, a, b: builder.sub(a, b))
mul32 = _binary(lambda builder, a, b: builder.mul(a, b))
and32 = _binary(lambda builder, a, b: builder.and_(a, b))
shl32 = _binary(lambda builder, a, b: builder.shl(a, b))
shift_logical32 = _binary(lambda builder, a, b: builder.lshr(a, b))
shift_signed32 = _binary(lambda builder, a, b: builder.ashr(a, b))


def _trailing_zeros(context: Any, x: Any) -> Any:

    def codegen(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen


trailing_zeros: Any = intrinsic(_trailing_zeros)
"""The number of the lowest set bit of a 64-bit word, which must not be 0."""


def _data(target: Any, builder: Any, kind: Any, value: Any) -> Any:
    proxy: Any = cgutils.create_struct_proxy(kind)  # type: ignore[no-untyped-call]
    return proxy(target, builder, value=value).data


def _vector_at(builder: Any, pointer: Any, offset: int, kind: Any) -> Any:
    moved = builder.gep(pointer, [ir.Constant(I64, offset)])
    return builder.bitcast(moved, kind.as_pointer())


def row_sums(vectors: int) -> Any:
    """Return `add_rows(sums, at, weights, base, stride, events, first, last)` for `vectors` x 32 targets.

    `sums[at + j] += sum over i in first..last of weights[base + events[i] stride + j]`: 16-bit sums of 8-bit weights,
    kept in registers.
    """

    def typing(context: Any, sums: Any, at: Any, weights: Any, base: Any, stride: Any, events: Any,
               first: Any, last: Any) -> Any:  # fmt: skip
        signature = types.void(
            sums, types.int64, weights, types.int64, types.int64, events, types.int64, types.int64
        )  # fmt: skip

        def codegen(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = [_data(target, builder, signature.args[i], arguments[i]) for i in (0, 2, 5)]
            _emit_rows(builder, vectors, data, [arguments[i] for i in (1, 3, 4, 6, 7)])
            return target.get_dummy_value()

        return signature, codegen

    return intrinsic(typing)


def _emit_rows(builder: Any, vectors: int, data: Sequence[Any], numbers: Sequence[Any]) -> None:
    sums, weights, events = data
    at, base, stride, first, last = numbers
    wide, narrow = ir.VectorType(I16, LANES), ir.VectorType(I8, LANES)
    out, rows = builder.gep(sums, [at]), builder.gep(weights, [base])
    start = [builder.load(_vector_at(builder, out, k * LANES, wide), align=2) for k in range(vectors)]
    before = builder.block
    head, body, done = (builder.append_basic_block(f"rows.{name}") for name in ("head", "body", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    i = builder.phi(I64)
    i.add_incoming(first, before)
    held = [builder.phi(wide) for _ in range(vectors)]
    for phi, value in zip(held, start, strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", i, last), body, done)
    builder.position_at_end(body)
    event = builder.sext(builder.load(builder.gep(events, [i])), I64)
    row = builder.gep(rows, [builder.mul(event, stride)])
    for k, phi in enumerate(held):
        weight = builder.load(_vector_at(builder, row, k * LANES, narrow), align=1)
        phi.add_incoming(builder.add(phi, builder.sext(weight, wide)), body)
    i.add_incoming(builder.add(i, ir.Constant(I64, 1)), body)
    builder.branch(head)
    builder.position_at_end(done)
    for k, phi in enumerate(held):
        builder.store(phi, _vector_at(builder, out, k * LANES, wide), align=2)


def block_sum(lanes: int) -> Any:
    """Return `add_block(sums, at, weights, base)`: `sums[at + j] += weights[base + j]` for `lanes` targets."""

    def typing(context: Any, sums: Any, at: Any, weights: Any, base: Any) -> Any:
        signature = types.void(sums, types.int64, weights, types.int64)

        def codegen(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            wide, narrow = ir.VectorType(I16, lanes), ir.VectorType(I8, lanes)
            out = builder.gep(_data(target, builder, signature.args[0], arguments[0]), [arguments[1]])
            weights = builder.gep(_data(target, builder, signature.args[2], arguments[2]), [arguments[3]])
            place = _vector_at(builder, out, 0, wide)
            weight = builder.load(_vector_at(builder, weights, 0, narrow), align=1)
            builder.store(builder.add(builder.load(place, align=2), builder.sext(weight, wide)), place, align=2)
            return target.get_dummy_value()

        return signature, codegen

    return intrinsic(typing)
