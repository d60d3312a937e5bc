"""A set of tags as one vector: search and move-to-front without branches; a histogram row as one vector.

Each operation is a plain Python function (what the reference scheduler and the checked build run); on bare pointers
it becomes a few vector instructions. Those read up to 15 entries past a set: arrays end in PADDING.
"""

from typing import Any

from numasim.engine.jit import HAVE_NUMBA

LANES = 16
PADDING = 32


def match(p: Any, i: int, key: int) -> int:
    """Bit k of the answer: p[i + k] equals key but for its bits 0 and 2, for k = 0 .. 15."""
    hit = 0
    for k in range(LANES):
        if i + k < len(p) and p[i + k] | 5 == key:
            hit |= 1 << k
    return hit


def rotate(p: Any, i: int, w: int, first: int) -> None:
    """p[i .. i+w-1] move up by one (w <= 15), `first` takes p[i]."""
    for k in range(w if w < LANES else LANES - 1, 0, -1):
        p[i + k] = p[i + k - 1]
    p[i] = first


def pour(target: Any, i: int, source: Any, j: int) -> None:
    """target[i .. i+15] += source[j .. j+15], and the source becomes zero."""
    for k in range(16):
        target[i + k] += source[j + k]
        source[j + k] = 0


def lowest(x: int) -> int:
    """Number of the lowest bit set (x must not be 0)."""
    return (x & -x).bit_length() - 1


def width(x: int) -> int:
    """Bits needed for x > 0."""
    return x.bit_length()


if HAVE_NUMBA:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic, overload

    I1, I16, I32, I64 = ir.IntType(1), ir.IntType(16), ir.IntType(32), ir.IntType(64)

    def _constant(values: Any, t: Any) -> Any:
        return ir.Constant(ir.VectorType(t, len(values)), [ir.Constant(t, v) for v in values])

    def _splat(b: Any, x: Any) -> Any:
        v = b.insert_element(ir.Constant(ir.VectorType(x.type, LANES), ir.Undefined), x, I32(0))
        return b.shuffle_vector(v, v, _constant([0] * LANES, I32))

    def _vector_at(b: Any, p: Any, i: Any, elem: Any) -> Any:
        return b.bitcast(b.gep(p, [i], source_etype=elem), ir.PointerType(ir.VectorType(elem, LANES)))

    def _load(b: Any, p: Any, elem: Any, align: int) -> Any:
        x = b.load(p, typ=ir.VectorType(elem, LANES))
        x.align = align
        return x

    class _VolatileLoad(ir.instructions.LoadInstr):
        """LLVM turns store(select(mask, new, load)) into a masked store, which is slow on AMD and does not forward to
        the loads that follow. It leaves a volatile load alone."""

        def descr(self, buf: Any) -> None:
            text: list[str] = []
            super().descr(text)
            buf.extend(t.replace("load ", "load volatile ", 1) for t in text)

    @intrinsic
    def _match(typingctx: Any, p: Any, i: Any, key: Any) -> Any:
        def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            v = b.or_(_load(b, _vector_at(b, args[0], args[1], I32), I32, 4), _constant([5] * LANES, I32))
            hit = b.icmp_unsigned("==", v, _splat(b, b.trunc(args[2], I32)))
            return b.zext(b.bitcast(hit, I16), I64)

        return types.int64(p, types.intp, types.int64), codegen

    @intrinsic
    def _rotate(typingctx: Any, p: Any, i: Any, w: Any, first: Any) -> Any:
        def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            ptr = _vector_at(b, args[0], args[1], I32)
            v = _VolatileLoad(b.block, ptr, typ=ir.VectorType(I32, LANES))
            v.align = 4
            b._insert(v)
            undefined = ir.Constant(ir.VectorType(I32, LANES), ir.Undefined)
            new = b.insert_element(undefined, b.trunc(args[3], I32), I32(0))
            up = b.shuffle_vector(v, new, _constant([LANES, *range(LANES - 1)], I32))
            moved = b.icmp_signed("<=", _constant(range(LANES), I32), _splat(b, b.trunc(args[2], I32)))
            b.store(b.select(moved, up, v), ptr).align = 4
            return context.get_dummy_value()

        return types.void(p, types.intp, types.int64, types.int64), codegen

    @intrinsic
    def _pour(typingctx: Any, target: Any, i: Any, source: Any, j: Any) -> Any:
        def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            d, s = _vector_at(b, args[0], args[1], I64), _vector_at(b, args[2], args[3], I64)
            b.store(b.add(_load(b, d, I64, 8), _load(b, s, I64, 8)), d).align = 8
            b.store(_constant([0] * LANES, I64), s).align = 8
            return context.get_dummy_value()

        return types.void(target, types.intp, source, types.intp), codegen

    def _counting(name: str) -> Any:
        @intrinsic
        def count(typingctx: Any, x: Any) -> Any:
            def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
                fn = b.module.declare_intrinsic(name, [I64], ir.FunctionType(I64, [I64, I1]))
                return b.call(fn, [args[0], I1(1)])

            return types.int64(types.int64), codegen

        return count

    _cttz, _ctlz = _counting("llvm.cttz"), _counting("llvm.ctlz")

    # on pointers the vector form, on arrays (checked build) the plain loops

    @overload(match, inline="always", strict=False)
    def _match_compiled(p: Any, i: Any, key: Any) -> Any:
        return (lambda p, i, key: _match(p, i, key)) if isinstance(p, types.CPointer) else match

    @overload(rotate, inline="always", strict=False)
    def _rotate_compiled(p: Any, i: Any, w: Any, first: Any) -> Any:
        return (lambda p, i, w, first: _rotate(p, i, w, first)) if isinstance(p, types.CPointer) else rotate

    @overload(pour, inline="always", strict=False)
    def _pour_compiled(target: Any, i: Any, source: Any, j: Any) -> Any:
        if isinstance(target, types.CPointer):
            return lambda target, i, source, j: _pour(target, i, source, j)
        return pour

    @overload(lowest, inline="always", strict=False)
    def _lowest_compiled(x: Any) -> Any:
        return lambda x: _cttz(x)

    @overload(width, inline="always", strict=False)
    def _width_compiled(x: Any) -> Any:
        return lambda x: 64 - _ctlz(x)
