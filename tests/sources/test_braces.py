"""Templates with plain names: their values, their results and their errors."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cometflux.sources.templates.braces import LONGEST, Template, TemplateError


def fill(text, **values):
    return Template.parse(text).fill(values)


def refusal(text, **values):
    with pytest.raises(TemplateError) as caught:
        fill(text, **values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("a {animal} in {place}", {"animal": "fox", "place": "Rome"}, "a fox in Rome"),
        ("{ animal }", {"animal": "fox"}, "fox"),
        ("{{{animal}}} and {{}}", {"animal": "fox"}, "{fox} and {}"),
        ("{place of birth}", {"place of birth": "Rome"}, "Rome"),
        ("{ñandú}{n-1}", {"ñandú": "a", "n-1": "b"}, "ab"),
        ("{n} {x} {is_red}", {"n": 7, "x": 0.5, "is_red": True}, "7 0.5 true"),
        ("{Place}", {"Place": "Rome", "place": "Oslo"}, "Rome"),
        ("plain", {}, "plain"),
    ],
)
def test_names_in_braces_become_values(text, values, expected):
    assert expected == Template.parse(text).fill(values)


def test_a_value_is_not_parsed_as_a_template():
    assert "a {b}" == fill("a {animal}", animal="{b}", b="x")


def test_the_names_are_listed_once_each_in_order():
    assert ("b", "a") == Template.parse("{b}{a}{b}").names


@pytest.mark.parametrize(
    "slot",
    [
        "{a.b}",
        "{a[0]}",
        "{a!r}",
        "{a:>9}",
        "{a.__class__}",
        "{0}",
        "{}",
        "{ }",
        "{a,b}",
        "{'a'}",
        "{*a}",
        "{a-}",
    ],
)
def test_anything_but_a_name_in_braces_is_refused(slot):
    assert refusal(slot, a="x").endswith("is not a column name; write {{ and }} for literal braces")


@pytest.mark.parametrize(("text", "brace"), [("a {", "{"), ("} a", "}"), ("{{a}", "}"), ("{a {b}", "{")])
def test_an_unmatched_brace_is_refused(text, brace):
    assert f"unmatched brace; write {brace}{brace} for a literal brace" == refusal(text, a="x", b="y")


def test_a_mistake_is_reported_with_its_line():
    with pytest.raises(TemplateError) as caught:
        Template.parse("a\nb {x.y}")
    assert 2 == caught.value.line


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"animals": "x"}, "the template uses {animal}, which does not exist; did you mean {animals}?"),
        ({"Animal": "x"}, "the template uses {animal}, which does not exist; did you mean {Animal}?"),
        ({"seed": 1, "key": "k"}, "the template uses {animal}, which does not exist; known names: seed, key"),
        ({}, "the template uses {animal}, which does not exist; known names: none"),
    ],
)
def test_a_name_without_a_value_is_reported_with_the_closest_name(values, expected):
    assert expected == refusal("a {animal}", **values)


@pytest.mark.parametrize("text", ["a {{animal}}", "a {{ animal }} in {place}"])
def test_a_name_in_double_braces_is_refused_before_its_prompts_are_all_alike(text):
    expected = "{{animal}} is literal text; write {animal} for the value"
    assert expected == refusal(text, animal="fox", place="Rome")


def test_any_other_text_in_double_braces_is_literal():
    assert "{x} a fox" == Template.parse("{{x}} a {animal}").fill({"animal": "fox"})


@pytest.mark.parametrize(
    "value", [[1], {"a": 1}, None, float("nan"), b"x", object()], ids=lambda value: type(value).__name__
)
def test_only_texts_and_numbers_are_filled_in(value):
    assert "{a} is neither text nor a number here" == refusal("{a}", a=value)


@pytest.mark.slow
def test_a_text_that_is_too_long_is_refused_before_it_is_made():
    expected = f"the text would have {10**11} characters, and at most {LONGEST} are allowed"
    assert expected == refusal("{a}" * 10**5, a="x" * 10**6)


# Any template.

_names = st.from_regex(r"[a-z]{1,3}", fullmatch=True)


@pytest.mark.slow
@given(st.lists(st.text() | _names.map(lambda name: (name,))), st.dictionaries(_names, st.text()))
def test_a_filled_template_is_the_sum_of_its_parts(parts, values):
    texts = [part if isinstance(part, str) else values.get(part[0]) for part in parts]
    written = "".join(
        part.replace("{", "{{").replace("}", "}}") if isinstance(part, str) else f"{{{part[0]}}}" for part in parts
    )
    template = Template.parse(written)
    assume(not template.doubled & values.keys())
    if None in texts:
        with pytest.raises(TemplateError):
            template.fill(values)
    else:
        assert "".join(texts) == template.fill(values)


def lines_of_fault(text):
    try:
        Template.parse(text)
    except TemplateError as error:
        return [error.line]
    return []


@given(st.text(alphabet="{}a.!:[]0 \n"))
def test_any_text_is_a_template_or_one_error_with_its_line(text):
    assert {*lines_of_fault(text)} <= set(range(1, text.count("\n") + 2))
