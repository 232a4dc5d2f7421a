"""Templates of Jinja: in a sandbox, in a process that is stopped, and the same in each run."""

import sys

import pytest

from cometflux.errors import ConfigError
from cometflux.sources import jinja
from cometflux.sources.formatter import TemplateError
from cometflux.sources.jinja import fill_jinja

ROW = {"animal": "fox", "places": ["a tram", "a library"], "red": True, "seed": 7}


def fill(text, *rows, **options):
    return fill_jinja(text, rows or [ROW], **options)


def refusal(text, **options):
    with pytest.raises(TemplateError) as caught:
        fill(text, **options)
    return caught.value.line, str(caught.value)


def test_conditions_loops_and_filters_are_there():
    filled = fill(
        "{% if red %}a red {% endif %}{{ animal|upper }} in {{ places|join(' or in ') }}, {{ red }}, {{ seed }}"
    )
    assert ("a red FOX in a tram or in a library, true, 7",) == filled.texts
    assert {"animal", "places", "red", "seed"} == filled.names


def test_each_row_has_its_own_text_or_error():
    first, second = fill("a {{ animal }}", ROW, {"animl": "x"}).texts
    assert "a fox" == first
    assert "the template takes {animal}, and there is none; did you mean {animl}?" == str(second)


def test_what_is_not_there_may_be_asked_for():
    assert ("a fox",) == fill("a {{ animal }}{% if style is defined %}, {{ style }}{% endif %}").texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("{{ animal.__class__.__mro__ }}", "access to attribute '__class__'", id="a class"),
        pytest.param(
            "{{ places.append(1) }}", "access to attribute 'append' of 'list' object is unsafe", id="a change"
        ),
        pytest.param("{{ '{0.__class__}'.format(animal) }}", "access to attribute '__class__'", id="a format"),
        pytest.param("{{ places }}", "a list stands where a text or a number is expected", id="a list"),
        pytest.param("{{ none }}", "null stands where a text or a number is expected", id="null"),
        pytest.param("{{ range }}", "a function stands where a text or a number is expected", id="an address"),
        pytest.param("{% include 'x' %}", "no loader for this environment specified", id="another file"),
        pytest.param("{{ 1 / 0 }}", "division by zero", id="a sum"),
        pytest.param(
            "{% for a in range(99999) %}fox{% endfor %}", "the text has more than 100000 characters", id="a long text"
        ),
        pytest.param("{% for a in range(10**9) %}{% endfor %}", "Range too big.", id="a long range"),
    ],
)
def test_what_the_sandbox_refuses_is_an_error_of_the_row(text, expected):
    (error,) = fill(text).texts
    assert str(error).startswith(expected)


@pytest.mark.parametrize("text", ["{{ places|random }}", "{{ lipsum() }}"])
def test_chance_is_not_there_since_each_run_would_buy_anew(text):
    try:
        (error,) = fill(text).texts
    except TemplateError as refused:
        error = refused
    assert isinstance(error, TemplateError)


def test_the_line_of_a_fault_is_told():
    assert (2, "unexpected end of template, expected 'end of print statement'.") == refusal("a\n{{ animal")
    (error,) = fill("a\n\n{{ animl }}").texts
    assert 3 == error.line


def test_a_template_that_loops_a_billion_times_is_stopped():
    text = "a\n{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    assert (2, "it works too long") == refusal(text, seconds=1)


@pytest.mark.hard
def test_a_template_that_does_not_come_back_from_one_step_is_stopped():
    text = "{% set n = 10**(10**9) %}a"
    assert refusal(text, seconds=1)[1].startswith("it works too long")


@pytest.mark.parametrize(
    "text",
    [
        "{% set a = 'x' * (2 * 10**9) %}",
        pytest.param("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", marks=pytest.mark.hard),
        pytest.param("{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", marks=pytest.mark.hard),
    ],
    ids=["a large text", "no end of calls", "deep brackets"],
)
def test_a_template_that_takes_too_much_memory_is_refused(text):
    assert "it takes too much memory" == refusal(text)[1]


def test_a_process_that_does_not_start_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ConfigError) as caught:
        fill("a")
    assert "needs a process of its own, and none starts (No such file or directory)" in str(caught.value)


def test_what_is_no_json_is_refused_before_a_process_starts():
    with pytest.raises(ConfigError, match="takes text, numbers, booleans and lists, not bytes"):
        fill("a", {"x": b"y"})


def test_a_process_that_breaks_off_says_why(monkeypatch, tmp_path):
    broken = tmp_path / "worker.py"
    broken.write_text("raise SystemExit('no room')")
    monkeypatch.setattr(jinja, "_WORKER", broken)
    with pytest.raises(ConfigError, match="broke off: no room"):
        fill("a")
