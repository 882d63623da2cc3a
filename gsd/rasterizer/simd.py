"""Vector registers as numba types, so that njit takes scalar code and cannot fail to vectorise it.

LLVM gets vector instructions and only decides how many registers of the machine hold one value. `V` holds LANES
float32 (the pixels of a block), `D` holds four float64 (four Gaussians). A scalar of the same precision beside a vector
is broadcast; integers are not converted.

    v + w, v - w, v * w, v / w               lane by lane
    v <= w, v < w, v > w, m & n              masks
    select(m, v, w), minimum(v, w), maximum(v, w), root(v), upward(v) (ceil),
    minus_absolute(v) = -|v| (V)
    splat(x), splat4(x)                      every lane x, as a V or a D
    load(array, i), store(array, i, v)       LANES neighbours in a flat float32 array (V), not bounds-checked
    gather(array, i, j, k, l)                four elements of a flat float32 array (D)
    gather_rows(array, i, j, k, l)           four neighbours at each index, as four values (D)
    scatter_rows(array, i, j, k, l, a, b, c, d)   the reverse, rounding to float32 (D)
    total(v), total4(v)                      the sum of the lanes of a V or a D, in a fixed order
    negative_everywhere(v)                   whether every sign bit is set (V)
    lane_bits(m)                             a mask of D as the low four bits of an integer
    row_masks(begin, end, allowed, i)        bits begin..end of LANES 16-bit rows, and-ed with `allowed` from i on
    lowest_bit(word), prefetch(array, i)

Everything here runs while a kernel is compiled.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typeconv import Conversion
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, lower_cast, models, register_model

LANES = 8
I1, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 16, 32, 64))
FLOATS, BITS, INDEX = types.Array(types.float32, 1, "C"), types.Array(types.uint16, 1, "C"), types.intp


class _VectorType(types.Type):
    """A vector, or with a mask's element type a mask."""

    def __init__(self, name: str, element: ir.Type, lanes: int, scalar: Any = None) -> None:
        super().__init__(name=name)
        self.ir, self.lanes, self.scalar = ir.VectorType(element, lanes), lanes, scalar

    def can_convert_from(self, typingctx: Any, other: Any) -> Any:
        return Conversion.safe if self.scalar is not None and other == self.scalar else None


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, fe_type.ir)


V = _VectorType("gsd.V", ir.FloatType(), LANES, types.float32)
D = _VectorType("gsd.D", ir.DoubleType(), 4, types.float64)
MV, MD = _VectorType("gsd.MV", I1, LANES), _VectorType("gsd.MD", I1, 4)
FOUR_FLOATS = ir.VectorType(ir.FloatType(), 4)


def _stub(name: str) -> Callable[..., Any]:
    def only_in_kernels(*_: Any) -> Any:
        raise NotImplementedError(f"{name} exists in compiled code only")

    only_in_kernels.__name__ = only_in_kernels.__qualname__ = name
    return only_in_kernels


splat, splat4, load, store = map(_stub, ("splat", "splat4", "load", "store"))
gather, gather_rows, scatter_rows = map(_stub, ("gather", "gather_rows", "scatter_rows"))
select, minimum, maximum = map(_stub, ("select", "minimum", "maximum"))
root, upward, minus_absolute = map(_stub, ("root", "upward", "minus_absolute"))
total, total4 = map(_stub, ("total", "total4"))
negative_everywhere, lane_bits, row_masks = map(_stub, ("negative_everywhere", "lane_bits", "row_masks"))
lowest_bit, prefetch = map(_stub, ("lowest_bit", "prefetch"))


def _define(function: Any, result: Any, arguments: tuple[Any, ...], build: Callable[..., Any]) -> None:
    """Make function(arguments) -> result known to numba; build(builder, *values) emits its instructions.

    Arrays reach `build` as the pointer to their first element.
    """
    infer_global(function)(type("_Typing", (ConcreteTemplate,), {"cases": [signature(result, *arguments)]}))

    @lower_builtin(function, *arguments)
    def lower(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        plain = [
            context.make_array(t)(context, builder, v).data if isinstance(t, types.Array) else v
            for t, v in zip(arguments, values, strict=True)
        ]
        out = build(builder, *plain)
        if isinstance(result, types.BaseTuple):
            return context.make_tuple(builder, result, out)
        return context.get_dummy_value() if result is types.void else out


def _call(builder: Any, name: str, result: Any, *values: Any) -> Any:
    function = builder.module.declare_intrinsic(name, (), ir.FunctionType(result, [v.type for v in values]))
    return builder.call(function, values)


def _constant(kind: _VectorType, bits: int, value: int) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(bits), kind.lanes), [value] * kind.lanes)


def _broadcast(kind: _VectorType) -> Callable[..., Any]:
    def build(builder: Any, x: Any) -> Any:
        nothing = ir.Constant(kind.ir, ir.Undefined)
        return builder.shuffle_vector(builder.insert_element(nothing, x, I32(0)), nothing, _constant(kind, 32, 0))

    return build


def _comparison(symbol: str) -> Callable[..., Any]:
    return lambda builder, v, w: builder.fcmp_ordered(symbol, v, w)


def _extreme(symbol: str) -> Callable[..., Any]:
    # A comparison and a choice is one instruction; LLVM's own minnum is several because of NaN.
    return lambda builder, v, w: builder.select(builder.fcmp_ordered(symbol, v, w), v, w)


def _unary(name: str) -> Callable[..., Any]:
    def build(builder: Any, v: Any) -> Any:
        suffix = f"v{v.type.count}f{32 if isinstance(v.type.element, ir.FloatType) else 64}"
        return _call(builder, f"llvm.{name}.{suffix}", v.type, v)

    return build


def _arithmetic(kind: _VectorType, mask: _VectorType, broadcast: Any) -> None:
    _define(operator.add, kind, (kind, kind), lambda b, v, w: b.fadd(v, w))
    _define(operator.sub, kind, (kind, kind), lambda b, v, w: b.fsub(v, w))
    _define(operator.mul, kind, (kind, kind), lambda b, v, w: b.fmul(v, w))
    _define(operator.truediv, kind, (kind, kind), lambda b, v, w: b.fdiv(v, w))
    for function, symbol in ((operator.le, "<="), (operator.lt, "<"), (operator.gt, ">"), (operator.ge, ">=")):
        _define(function, mask, (kind, kind), _comparison(symbol))
    _define(operator.and_, mask, (mask, mask), lambda b, m, n: b.and_(m, n))
    _define(select, kind, (mask, kind, kind), lambda b, m, v, w: b.select(m, v, w))
    _define(minimum, kind, (kind, kind), _extreme("<"))
    _define(maximum, kind, (kind, kind), _extreme(">"))
    _define(root, kind, (kind,), _unary("sqrt"))
    _define(upward, kind, (kind,), _unary("ceil"))
    _define(broadcast, kind, (kind.scalar,), _broadcast(kind))
    lower_cast(kind.scalar, kind)(lambda context, builder, fromty, toty, x: _broadcast(kind)(builder, x))


_arithmetic(V, MV, splat)
_arithmetic(D, MD, splat4)


def _minus_absolute(builder: Any, v: Any) -> Any:
    sign = _constant(V, 32, 1 << 31)
    return builder.bitcast(builder.or_(builder.bitcast(v, sign.type), sign), V.ir)


def _total(name: str, scalar: Any) -> Callable[..., Any]:
    return lambda builder, v: _call(builder, f"llvm.vector.reduce.fadd.{name}", scalar, scalar(0.0), v)


def _negative_everywhere(builder: Any, v: Any) -> Any:
    signs = builder.icmp_signed("<", builder.bitcast(v, _constant(V, 32, 0).type), _constant(V, 32, 0))
    return builder.icmp_signed("==", builder.bitcast(signs, ir.IntType(LANES)), ir.IntType(LANES)(-1))


def _at(builder: Any, data: Any, index: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _row_masks(builder: Any, begin: Any, end: Any, allowed: Any, first: Any) -> Any:
    one = _constant(V, 32, 1)
    low, high = (builder.shl(one, builder.fptosi(v, one.type)) for v in (begin, end))
    rows = ir.VectorType(I16, LANES)
    mask = builder.load(_at(builder, allowed, first, rows), align=2)
    bits = builder.and_(builder.trunc(builder.sub(high, low), rows), mask)
    words = builder.bitcast(bits, ir.VectorType(I64, LANES // 4))
    return [builder.extract_element(words, I32(i)) for i in range(LANES // 4)]


def _gather(builder: Any, data: Any, *indices: Any) -> Any:
    v = ir.Constant(FOUR_FLOATS, ir.Undefined)
    for lane, index in enumerate(indices):
        v = builder.insert_element(v, builder.load(builder.gep(data, [index])), I32(lane))
    return builder.fpext(v, D.ir)


def _transpose(builder: Any, rows: Any) -> list[Any]:
    def pick(v: Any, w: Any, *lanes: int) -> Any:
        return builder.shuffle_vector(v, w, ir.Constant(ir.VectorType(I32, 4), list(lanes)))

    a, b, c, d = rows
    ab0, ab1, cd0, cd1 = pick(a, b, 0, 4, 1, 5), pick(a, b, 2, 6, 3, 7), pick(c, d, 0, 4, 1, 5), pick(c, d, 2, 6, 3, 7)
    halves = ((ab0, cd0, 0, 1, 4, 5), (ab0, cd0, 2, 3, 6, 7), (ab1, cd1, 0, 1, 4, 5), (ab1, cd1, 2, 3, 6, 7))
    return [pick(*half) for half in halves]


def _gather_rows(builder: Any, data: Any, *indices: Any) -> list[Any]:
    rows = [builder.load(_at(builder, data, i, FOUR_FLOATS), align=4) for i in indices]
    return [builder.fpext(v, D.ir) for v in _transpose(builder, rows)]


def _scatter_rows(builder: Any, data: Any, *rest: Any) -> None:
    rows = _transpose(builder, [builder.fptrunc(v, FOUR_FLOATS) for v in rest[4:]])
    for index, row in zip(rest[:4], rows, strict=True):
        builder.store(row, _at(builder, data, index, FOUR_FLOATS), align=4)


def _prefetch(builder: Any, data: Any, index: Any) -> None:
    address = builder.bitcast(builder.gep(data, [index]), ir.IntType(8).as_pointer())
    _call(builder, "llvm.prefetch.p0", ir.VoidType(), address, I32(0), I32(3), I32(1))  # to read, into L1, data


FOUR = (INDEX,) * 4
_define(load, V, (FLOATS, INDEX), lambda b, data, i: b.load(_at(b, data, i, V.ir), align=4))
_define(store, types.void, (FLOATS, INDEX, V), lambda b, data, i, v: b.store(v, _at(b, data, i, V.ir), align=4))
_define(gather, D, (FLOATS, *FOUR), _gather)
_define(gather_rows, types.UniTuple(D, 4), (FLOATS, *FOUR), _gather_rows)
_define(scatter_rows, types.void, (FLOATS, *FOUR, D, D, D, D), _scatter_rows)
_define(minus_absolute, V, (V,), _minus_absolute)
_define(negative_everywhere, types.boolean, (V,), _negative_everywhere)
_define(total, types.float32, (V,), _total(f"v{LANES}f32", ir.FloatType()))
_define(total4, types.float64, (D,), _total("v4f64", ir.DoubleType()))
_define(lane_bits, types.int64, (MD,), lambda b, m: b.zext(b.bitcast(m, ir.IntType(4)), I64))
_define(row_masks, types.UniTuple(types.uint64, LANES // 4), (V, V, BITS, INDEX), _row_masks)
_define(lowest_bit, types.int64, (types.uint64,), lambda b, w: _call(b, "llvm.cttz.i64", I64, w, I1(1)))
_define(prefetch, types.void, (FLOATS, INDEX), _prefetch)
