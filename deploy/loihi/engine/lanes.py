"""Vectors of integers in compiled kernels: formulas as numpy would write them, 32 bits that stay 32 bits.

numba widens `int32 + int32` to 64 bits, which halves the lanes of a vector and is not what Loihi does. Here a
formula over `Lanes` becomes LLVM vectors of a width that is said, and wraps as 32-bit integers do. LLVM splits them
for processors with narrower registers. `kernel` makes a function of such formulas that numba's code can call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))


@dataclass(frozen=True)
class Lanes:
    """A vector of integers; scalars mix in as the same number in every lane."""

    builder: Any
    value: Any

    @property
    def kind(self) -> Any:
        """The LLVM type."""
        return self.value.type

    def _other(self, other: Any) -> Any:
        if isinstance(other, Lanes):
            return other.value
        return ir.Constant(self.kind, [other] * self.kind.count)

    def _new(self, value: Any) -> Lanes:
        return Lanes(self.builder, value)

    def __add__(self, other: Any) -> Lanes:
        return self._new(self.builder.add(self.value, self._other(other)))

    def __sub__(self, other: Any) -> Lanes:
        return self._new(self.builder.sub(self.value, self._other(other)))

    def __mul__(self, other: Any) -> Lanes:
        return self._new(self.builder.mul(self.value, self._other(other)))

    def __and__(self, other: Any) -> Lanes:
        return self._new(self.builder.and_(self.value, self._other(other)))

    def __lshift__(self, other: Any) -> Lanes:
        return self._new(self.builder.shl(self.value, self._other(other)))

    def __rshift__(self, other: Any) -> Lanes:
        """Shift right, keeping the sign."""
        return self._new(self.builder.ashr(self.value, self._other(other)))

    def unsigned_shift(self, bits: int) -> Lanes:
        """Shift right, filling with 0."""
        return self._new(self.builder.lshr(self.value, self._other(bits)))

    def compare(self, sign: str, other: Any) -> Lanes:
        """Return a mask."""
        return self._new(self.builder.icmp_signed(sign, self.value, self._other(other)))

    def where(self, yes: Any, no: Lanes) -> Lanes:
        """Choose by this mask."""
        return self._new(self.builder.select(self.value, no._other(yes), no.value))

    def widened(self, kind: Any) -> Lanes:
        """Return the same numbers in wider lanes of the integer type `kind`."""
        return self._new(self.builder.sext(self.value, ir.VectorType(kind, self.kind.count)))

    def as_bytes(self) -> Lanes:
        """Return a mask as bytes of 0 and 1."""
        return self._new(self.builder.zext(self.value, ir.VectorType(I8, self.kind.count)))

    def bits(self) -> Any:
        """Return a mask of 64 lanes as a 64-bit number, the first lane lowest."""
        return self.builder.bitcast(self.value, I64)


@dataclass(frozen=True)
class Memory:
    """An array's elements from `start` on.

    Attributes:
        builder: where the code goes.
        pointer: to the first element of the array.
        start: an LLVM number.
    """

    builder: Any
    pointer: Any
    start: Any

    def at(self, offset: Any) -> Memory:
        """Return the elements from `offset` further on."""
        moved = ir.Constant(I64, offset) if isinstance(offset, int) else offset
        return Memory(self.builder, self.pointer, self.builder.add(self.start, moved))

    def _place(self, lanes: int) -> tuple[Any, int]:
        element = self.pointer.type.pointee
        here = self.builder.gep(self.pointer, [self.start])
        return self.builder.bitcast(here, ir.VectorType(element, lanes).as_pointer()), element.width // 8

    def load(self, lanes: int) -> Lanes:
        """Return `lanes` elements."""
        place, align = self._place(lanes)
        return Lanes(self.builder, self.builder.load(place, align=align))

    def store(self, value: Lanes) -> None:
        """Write a vector."""
        place, align = self._place(value.kind.count)
        self.builder.store(value.value, place, align=align)

    def scalar(self) -> Any:
        """Return the first element."""
        return self.builder.load(self.builder.gep(self.pointer, [self.start]))


def filled(builder: Any, number: Any, lanes: int) -> Lanes:
    """Return a vector with an LLVM number in every lane."""
    kind = ir.VectorType(number.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(I32, 0))
    mask = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return Lanes(builder, builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), mask))


def zeros(builder: Any, kind: Any, lanes: int) -> Lanes:
    """Return a vector of 0."""
    return Lanes(builder, ir.Constant(ir.VectorType(kind, lanes), [0] * lanes))


def loop(
    builder: Any, first: Any, last: Any, held: Sequence[Lanes], body: Callable[..., Sequence[Lanes]]
) -> list[Lanes]:
    """Emit `for i in range(first, last): held = body(i, held)`, keeping `held` in registers; return it."""
    before = builder.block
    head, inside, done = (builder.append_basic_block(name) for name in ("head", "inside", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    i = builder.phi(I64)
    i.add_incoming(first, before)
    carried = [builder.phi(x.kind) for x in held]
    for phi, x in zip(carried, held, strict=True):
        phi.add_incoming(x.value, before)
    builder.cbranch(builder.icmp_signed("<", i, last), inside, done)
    builder.position_at_end(inside)
    results = body(i, [Lanes(builder, phi) for phi in carried])
    for phi, x in zip(carried, results, strict=True):
        phi.add_incoming(x.value, builder.block)
    i.add_incoming(builder.add(i, ir.Constant(I64, 1)), builder.block)
    builder.branch(head)
    builder.position_at_end(done)
    return [Lanes(builder, phi) for phi in carried]


def kernel(emit: Callable[..., Any], arrays: int, numbers: Sequence[Any], returns: Any = types.void) -> Any:
    """Return a function for numba's code: `arrays` arrays, then `numbers` by their numba types.

    `emit(builder, pointers, numbers)` writes its code; arrays come as pointers to their first element.
    """

    def typing(context: Any, *arguments: Any) -> Any:
        signature = returns(*arguments[:arrays], *numbers)

        def codegen(target: Any, builder: Any, signature: Any, values: Any) -> Any:
            pointers = []
            for kind, value in zip(signature.args[:arrays], values[:arrays], strict=True):
                proxy: Any = cgutils.create_struct_proxy(kind)  # type: ignore[no-untyped-call]
                pointers.append(proxy(target, builder, value=value).data)
            result = emit(builder, pointers, list(values[arrays:]))
            return target.get_dummy_value() if result is None else result

        return signature, codegen

    # numba asks the function for its arguments.
    names = ["context", *(f"x{i}" for i in range(arrays + len(numbers)))]
    typing.__signature__ = Signature([Parameter(n, Parameter.POSITIONAL_OR_KEYWORD) for n in names])  # type: ignore[attr-defined]
    return intrinsic(typing)
