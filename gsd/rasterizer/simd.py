"""A vector register as a numba type: one float32 per pixel of a block, spelled like a scalar.

A kernel written with these values cannot fail to vectorise: LLVM gets vector instructions and only decides how many
registers of the machine hold one. A float32 operand beside a vector is broadcast.

    splat(x)                             every lane x
    load(array, i), store(array, i, v)   LANES floats of a flat float32 array from index i on, not bounds-checked
    v + w, v - w, v * w, v / w           lane by lane
    v <= w, v > w, m & n                 masks
    select(m, v, w), minimum(v, w), absolute(v), minus_absolute(v) = -|v|
    total(v)                             the sum of the lanes, in a fixed order
    occupied(m)                          whether any lane of the mask is set

Everything here runs while a kernel is compiled. Touch kernels.py when this file changes: numba's cache does not see it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, lower_cast, models, register_model

LANES = 8
REAL = ir.FloatType()
VECTOR = ir.VectorType(REAL, LANES)
MASK = ir.VectorType(ir.IntType(1), LANES)
WORDS = ir.VectorType(ir.IntType(32), LANES)
SIGN = 0x80000000


class _VectorType(types.Type):
    def can_convert_from(self, typingctx: Any, other: Any) -> Any:
        return Conversion.safe if other == types.float32 else None


V, M = _VectorType("gsd.V"), types.Opaque("gsd.M")
FLOATS = types.Array(types.float32, 1, "C")


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, VECTOR)


class _MaskType(types.Type):
    pass


M = _MaskType("gsd.M")


@register_model(_MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, MASK)


def _stub(name: str) -> Callable[..., Any]:
    def only_in_kernels(*_: Any) -> Any:
        raise NotImplementedError(f"{name} exists in compiled code only")

    only_in_kernels.__name__ = only_in_kernels.__qualname__ = name
    return only_in_kernels


splat, load, store, select = map(_stub, ("splat", "load", "store", "select"))
minimum, maximum, root, floor, ceil = map(_stub, ("minimum", "maximum", "root", "floor", "ceil"))
absolute, minus_absolute, total, occupied = map(_stub, ("absolute", "minus_absolute", "total", "occupied"))


def _define(function: Any, result: Any, arguments: tuple[Any, ...], build: Callable[..., Any]) -> None:
    """Make `function(arguments) -> result` known to numba; `build(builder, *values)` emits its instructions."""
    template = type(f"_{getattr(function, '__name__', 'op')}", (ConcreteTemplate,), {"cases": [signature(result, *arguments)]})
    infer_global(function)(template)

    @lower_builtin(function, *arguments)
    def lower(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return build(builder, *values)


def _broadcast(builder: Any, x: Any) -> Any:
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), x, ir.IntType(32)(0))
    return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), ir.Constant(WORDS, [0] * LANES))


@lower_cast(types.float32, V)
def _cast(context: Any, builder: Any, fromty: Any, toty: Any, value: Any) -> Any:
    return _broadcast(builder, value)


def _intrinsic(builder: Any, name: str, result: Any, *values: Any) -> Any:
    function = builder.module.declare_intrinsic(name, (), ir.FunctionType(result, [v.type for v in values]))
    return builder.call(function, values)


def _sign_bit(builder: Any, v: Any, operation: str, mask: int) -> Any:
    words = getattr(builder, operation)(builder.bitcast(v, WORDS), ir.Constant(WORDS, [mask] * LANES))
    return builder.bitcast(words, VECTOR)


def _pointer(context: Any, builder: Any, array: Any, index: Any) -> Any:
    data = context.make_array(FLOATS)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), VECTOR.as_pointer())


_define(operator.add, V, (V, V), lambda b, v, w: b.fadd(v, w))
_define(operator.sub, V, (V, V), lambda b, v, w: b.fsub(v, w))
_define(operator.mul, V, (V, V), lambda b, v, w: b.fmul(v, w))
_define(operator.truediv, V, (V, V), lambda b, v, w: b.fdiv(v, w))
_define(operator.le, M, (V, V), lambda b, v, w: b.fcmp_ordered("<=", v, w))
_define(operator.gt, M, (V, V), lambda b, v, w: b.fcmp_ordered(">", v, w))
_define(operator.and_, M, (M, M), lambda b, m, n: b.and_(m, n))
_define(select, V, (M, V, V), lambda b, m, v, w: b.select(m, v, w))
_define(minimum, V, (V, V), lambda b, v, w: b.select(b.fcmp_ordered("<", v, w), v, w))
_define(maximum, V, (V, V), lambda b, v, w: b.select(b.fcmp_ordered(">", v, w), v, w))
_define(root, V, (V,), lambda b, v: _intrinsic(b, f"llvm.sqrt.v{LANES}f32", VECTOR, v))
_define(floor, V, (V,), lambda b, v: _intrinsic(b, f"llvm.floor.v{LANES}f32", VECTOR, v))
_define(ceil, V, (V,), lambda b, v: _intrinsic(b, f"llvm.ceil.v{LANES}f32", VECTOR, v))
_define(splat, V, (types.float32,), _broadcast)
_define(absolute, V, (V,), lambda b, v: _sign_bit(b, v, "and_", SIGN - 1))
_define(minus_absolute, V, (V,), lambda b, v: _sign_bit(b, v, "or_", SIGN))
_define(
    total, types.float32, (V,), lambda b, v: _intrinsic(b, f"llvm.vector.reduce.fadd.v{LANES}f32", REAL, REAL(0.0), v)
)
_define(
    occupied,
    types.boolean,
    (M,),
    lambda b, m: b.icmp_unsigned("!=", b.bitcast(m, ir.IntType(LANES)), ir.IntType(LANES)(0)),
)


@infer_global(load)
class _Load(ConcreteTemplate):
    cases = [signature(V, FLOATS, types.intp)]


@infer_global(store)
class _Store(ConcreteTemplate):
    cases = [signature(types.void, FLOATS, types.intp, V)]


@lower_builtin(load, FLOATS, types.intp)
def _lower_load(context: Any, builder: Any, sig: Any, values: Any) -> Any:
    return builder.load(_pointer(context, builder, *values), align=4)


@lower_builtin(store, FLOATS, types.intp, V)
def _lower_store(context: Any, builder: Any, sig: Any, values: Any) -> Any:
    builder.store(values[2], _pointer(context, builder, *values[:2]), align=4)
    return context.get_dummy_value()
