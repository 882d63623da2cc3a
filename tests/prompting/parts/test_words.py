import pytest
from views import looking

from gsd.errors import GsdError
from gsd.prompting.interpolated import Interpolated
from gsd.prompting.parts.words import negative_prompt, of_view
from gsd.prompting.perp_neg import PerpNeg
from gsd.prompting.plain import Plain
from gsd.prompting.view_dependent import ViewDependent
from gsd.protocols import Prompting
from gsd.types import Condition, Context


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("front", "a smiling cat, blue eyes, in a hat, front view"),
        ("back", "a cat, in a hat, back view"),
        ("left side", "a smiling cat, blue eyes, in a hat, left side view"),
    ],
)
def test_words_that_contradict_a_view_go(view, expected):
    assert of_view("a smiling cat, blue eyes, in a hat", view, {"back": ("Smiling", "blue eyes")}) == expected


def test_sides_share_their_words_and_parts_of_words_stay():
    for view in ("side", "left side", "right side"):
        assert of_view("an owl, owlish", view, {"side": ("owl",)}) == f"an, owlish, {view} view"


def test_an_empty_rest_is_refused():
    with pytest.raises(GsdError, match="nothing of the prompt for the back view"):
        ViewDependent(Context("an owl"), without={"back": ("an owl",)})


@pytest.mark.parametrize(
    "prompting",
    [
        Plain(Context("an owl"), "ugly"),
        ViewDependent(Context("an owl"), negative="ugly"),
        Interpolated(Context("an owl"), negative="ugly"),
    ],
)
def test_all_texts_are_announced(prompting):
    assert isinstance(prompting, Prompting)
    said = set()
    for elevation in (0.0, 75.0):
        condition = prompting(looking(0, 45, 90, 135, 180, 225, 270, 315, elevation=elevation))
        assert condition.negative().texts == ("ugly",) * 8
        assert condition.unconditional().texts == ("",) * 8
        said |= {*condition.texts, *(condition.others or ()), *(condition.negatives or ())}
    assert said == set(prompting.texts)


def test_without_a_negative_prompt_the_other_end_is_unconditional():
    assert Condition(("an owl",)).negative().texts == ("",)


@pytest.mark.parametrize("kind", [Plain, ViewDependent, Interpolated, PerpNeg])
def test_the_prompt_takes_its_place_in_a_negative_prompt_without_view_words(kind):
    prompting = kind(Context("a smiling owl"), negative="{prompt}, front view, ugly")
    wanted = "a smiling owl, front view, ugly"
    assert prompting(looking(0, 180, elevation=75.0)).negative().texts == (wanted, wanted)
    assert wanted in prompting.texts


@pytest.mark.parametrize("wrong", ["{promt}", "{}", "{prompt", "prompt}", "{{prompt}}", "{prompt.upper}"])
def test_other_placeholders_are_refused(wrong):
    with pytest.raises(GsdError, match=r"the only placeholder is \{prompt\}"):
        Plain(Context("an owl"), wrong)


def test_braces_of_the_prompt_itself_stay():
    assert negative_prompt("{prompt}, ugly", "a {x} owl") == "a {x} owl, ugly"
