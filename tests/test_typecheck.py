"""The checks of shapes and types that conftest.py puts into the package."""

import jaxtyping
import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError, jaxtyped
from torch import Tensor
from typecheck import checked


def adder(kind, shape, start=0):
    """Another function with every call, whose annotations and defaults are the call's."""

    @jaxtyped(typechecker=checked)
    def add(x: kind, y: Float[Tensor, shape] = start) -> Float[Tensor, shape]:
        return y + x

    return add


def test_each_is_held_to_its_own_annotations_and_keeps_what_it_closes_over():
    for _ in range(2):
        whole, text, flat = adder(int, "2"), adder(str, "2"), adder(int, "2 2", torch.ones(2, 2))
        assert whole(3, torch.zeros(2)).tolist() == [3, 3]
        assert flat(3).tolist() == [[4, 4], [4, 4]]
        for add, *given in ((whole, "a", torch.zeros(2)), (text, 3, torch.zeros(2)), (whole, 3, torch.zeros(3))):
            with pytest.raises(TypeCheckError):
                add(*given)


def test_sizes_agree_within_a_call_not_between_calls():
    def made(scale):
        @jaxtyped(typechecker=checked)
        def grown(x: Float[Tensor, "n"], y: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
            return (x + y).repeat(scale)

        return grown

    for size in (2, 3):
        assert made(1)(torch.ones(size), torch.ones(size)).tolist() == [2.0] * size
        with pytest.raises(TypeCheckError):
            made(1)(torch.ones(size), torch.ones(size + 1))
        with pytest.raises(TypeCheckError):
            made(2)(torch.ones(size), torch.ones(size))


@jaxtyping.jaxtyped(typechecker=checked)
def doubled(x: float, say: bool = False) -> float:
    return "twice" if say else 2 * x


@jaxtyping.jaxtyped(typechecker=checked)
def summed(x: list[Float[Tensor, "n"]]) -> Float[Tensor, "n"]:
    return sum(x)


def test_functions_with_and_without_shapes_are_checked():
    assert doubled(3) == 6
    for wrong in (lambda: doubled("a"), lambda: doubled(3, say=True)):
        with pytest.raises(BeartypeCallHintViolation):
            wrong()
    assert summed([torch.ones(2)] * 2).tolist() == [2, 2]
    with pytest.raises(TypeCheckError):
        summed([torch.ones(2, 2)])


@jaxtyping.jaxtyped(typechecker=checked)
def first(x: Float[Tensor, "n"], size: int = 2) -> Float[Tensor, " {size}"]:
    return x[:2]


def test_an_argument_may_be_a_size():
    assert first(torch.ones(3)).tolist() == first(torch.ones(3), size=2).tolist() == [1, 1]
    with pytest.raises(TypeCheckError):
        first(torch.ones(3), 3)


def test_dataclasses_are_checked_when_they_are_made():
    from gsd.types import Cameras, PointCloud

    assert len(PointCloud(torch.zeros(2, 3), torch.zeros(2, 3)).xyz) == 2
    for kind, *wrong in ((PointCloud, torch.zeros(2, 3), torch.zeros(3, 3)), (Cameras, *torch.zeros(9, 1))):
        with pytest.raises(TypeCheckError):
            kind(*wrong)


def test_the_package_is_checked():
    """With sizes where there are shapes, by beartype alone where there are none."""
    from gsd.geometry import orbit
    from gsd.schedule import at

    with pytest.raises(BeartypeCallHintViolation):
        at(1.0, "no step")
    with pytest.raises(TypeCheckError):
        orbit(torch.zeros(2), torch.zeros(3), torch.zeros(2), torch.zeros(2), 8, 8)
