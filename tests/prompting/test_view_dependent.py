import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from views import looking

from gsd.prompting.interpolated import Interpolated
from gsd.prompting.plain import Plain
from gsd.prompting.view_dependent import ViewDependent
from gsd.types import Condition, Context


def test_plain():
    assert Plain(Context("an owl"))(looking(0, 90)).texts == ("an owl", "an owl")


@pytest.mark.parametrize(
    ("azimuth", "elevation", "word"),
    [
        *[(0, 0, "front"), (44, 0, "front"), (316, 0, "front"), (46, 0, "side"), (270, 0, "side"), (134, 0, "side")],
        *[(136, 0, "back"), (180, 0, "back"), (-170, 0, "back"), (0, 61, "overhead"), (180, 80, "overhead")],
    ],
)
def test_view_dependent_words(azimuth, elevation, word):
    assert ViewDependent(Context("an owl"))(looking(azimuth, elevation=elevation)).texts == (f"an owl, {word} view",)


@given(st.floats(0, 359.99))
def test_interpolated_words_point_at_the_camera(azimuth):
    """Reading each word as a direction, the blend of two points within 5 degrees of where the camera stands."""
    condition = Interpolated(Context("an owl"))(looking(azimuth))
    direction = {"front": (1, 0), "left side": (0, 1), "back": (-1, 0), "right side": (0, -1)}
    first, second = (
        torch.tensor(direction[t[0].removeprefix("an owl, ").removesuffix(" view")], dtype=torch.float32)
        for t in (condition.texts, condition.others)
    )
    x, y = torch.lerp(first, second, condition.blend[0])
    away = (torch.rad2deg(torch.atan2(y, x)) - azimuth + 180) % 360 - 180
    assert away.abs() < 5


def test_interpolated_overhead_takes_over():
    prompting = Interpolated(Context("an owl"), overhead_deg=60)
    low, high, top = (prompting(looking(30, elevation=e)) for e in (59, 75, 89.99))
    assert "overhead" not in low.others[0]
    assert (high.texts[0], high.others[0]) == ("an owl, front view", "an owl, overhead view")
    assert float(high.blend) == pytest.approx(0.5)
    assert float(top.blend) == pytest.approx(1, abs=1e-3)


def test_conditions_join_as_one_batch():
    blended = Interpolated(Context("an owl"))(looking(30, 200))
    plain = Condition(("a cat",) * 2, looking(0, 1))
    both = blended + plain
    assert both.texts == blended.texts + plain.texts
    assert both.others == blended.others + plain.texts
    assert both.blend.tolist() == [*blended.blend.tolist(), 0, 0]
    assert len(both.cameras) == 4
    assert both.cameras.group.unique().numel() == 4
    assert (plain + plain).blend is None
    assert blended.unconditional().texts == ("", "")
