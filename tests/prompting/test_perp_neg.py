import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from views import looking

from gsd.prompting.perp_neg import PerpNeg
from gsd.protocols import Prompting
from gsd.types import Context


def decay(r, a, b, c):
    return -(a * math.exp(-b * r) + c)


@pytest.mark.parametrize(
    ("azimuth", "texts", "share", "against", "weights"),
    [
        (0, "side>front", 1.0, ("front", "side"), (decay(1, 4, 0.5, -2.426), decay(0, 4, 0.5, -2.426))),
        (45, "side>front", 0.5, ("front", "side"), (decay(0.5, 4, 0.5, -2.426), decay(0.5, 4, 0.5, -2.426))),
        (-45, "side>front", 0.5, ("front", "side"), (decay(0.5, 4, 0.5, -2.426), decay(0.5, 4, 0.5, -2.426))),
        (90, "back>side", 1.0, ("side", "front"), (decay(1, 1, 0.5, -0.606), decay(1, 1, 0.5, 0.967))),
        (180, "back>side", 0.0, ("side", "front"), (decay(0, 1, 0.5, -0.606), decay(0, 1, 0.5, 0.967))),
        (270, "back>side", 1.0, ("side", "front"), (decay(1, 1, 0.5, -0.606), decay(1, 1, 0.5, 0.967))),
    ],
)
def test_texts_and_weights(azimuth, texts, share, against, weights):
    condition = PerpNeg(Context("an owl"))(looking(azimuth))
    assert f"{condition.texts[0]}>{condition.others[0]}" == ">".join(f"an owl, {w} view" for w in texts.split(">"))
    assert float(condition.blend) == pytest.approx(share, abs=1e-6)
    assert [t[0] for t in condition.against] == [f"an owl, {word} view" for word in against]
    assert condition.against_weights[:, 0].tolist() == pytest.approx(weights, abs=1e-5)


@pytest.mark.parametrize(("azimuth", "side"), [(45, "left"), (135, "left"), (225, "right"), (-45, "right")])
def test_named_sides_are_the_objects_own(azimuth, side):
    alike, named = (PerpNeg(Context("an owl"), sides=sides)(looking(azimuth)) for sides in ("alike", "named"))
    one, other = ([t[0] for t in (c.texts, c.others, *c.against)] for c in (alike, named))
    assert other == [text.replace("side", f"{side} side") for text in one]
    assert named.blend.tolist() == alike.blend.tolist()
    assert torch.equal(named.against_weights, alike.against_weights)


def test_nothing_is_led_away_from_overhead():
    condition = PerpNeg(Context("an owl"), overhead_deg=60)(looking(10, 170, elevation=70.0))
    assert condition.texts == ("an owl, overhead view",) * 2
    assert (condition.against_weights == 0).all()


@given(st.floats(-720, 720))
def test_no_weight_draws_towards_another_view(azimuth):
    """They are 0 or below, but for the rounding of threestudio's numbers."""
    prompting = PerpNeg(Context("an owl"), negative="ugly")
    assert isinstance(prompting, Prompting)
    condition = prompting(looking(azimuth))
    assert condition.against_weights.max() < 1e-3
    said = {*condition.texts, *condition.others, *condition.negatives, *(t for ts in condition.against for t in ts)}
    assert said <= set(prompting.texts)
    assert torch.isfinite(condition.against_weights).all()
