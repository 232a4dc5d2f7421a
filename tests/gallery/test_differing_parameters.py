"""The parameters that differ among the jobs stand on the cards."""

import html
import json
import re

import job_states
import pytest

from cometflux.gallery import Gallery, write_gallery

HOSTILE = "</span><script>alert(1)</script>"


def values_on(path):
    """Return the parameters on each card."""
    cards = re.findall(r"<li .*?</li>", path.read_text(), re.DOTALL)
    found = [
        re.findall(r'<span class="value" dir="auto"><span class="name">(.*?)</span> (.*?)</span>', each)
        for each in cards
    ]
    return [[(html.unescape(name), html.unescape(value)) for name, value in card] for card in found]


def differing_in(path):
    (found,) = re.findall(r'id="differing">(.*?)</script>', path.read_text())
    return json.loads(found)


def write(folder, *inputs, **options):
    job_states.write(folder, *(job_states.plan(number, **given) for number, given in enumerate(inputs)), **options)
    return write_gallery(folder)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(2, 3.5, id="numbers"),
        pytest.param("16:9", "1:1", id="texts"),
        pytest.param(True, False, id="switches"),
        pytest.param(1, "1", id="a number and a text"),
        pytest.param(None, 3, id="nothing and a number"),
        pytest.param(["a"], ["a", "b"], id="lists"),
    ],
)
def test_a_parameter_that_differs_stands_on_each_card(first, second, tmp_path):
    path = write(tmp_path, {"steps": 28, "swept": first}, {"steps": 28, "swept": second})
    told = [value if isinstance(value, str) else json.dumps(value) for value in (first, second)]
    assert [[("swept", told[0])], [("swept", told[1])]] == values_on(path)
    assert ["swept"] == differing_in(path)


def test_a_parameter_that_only_some_jobs_have_stands_on_their_cards(tmp_path):
    path = write(tmp_path, {}, {"guidance": 3.5}, {"guidance": 3.5})
    assert [[], [("guidance", "3.5")], [("guidance", "3.5")]] == values_on(path)


def test_prompt_and_seed_stand_where_they_always_do(tmp_path):
    path = write(tmp_path, {"prompt": "a", "seed": 1, "b": 1, "a": 1}, {"prompt": "b", "seed": 2, "b": 2, "a": 2})
    assert [[("b", "1"), ("a", "1")], [("b", "2"), ("a", "2")]] == values_on(path)
    assert ["prompt", "seed", "b", "a"] == differing_in(path)


def test_jobs_that_are_no_longer_planned_do_not_count(tmp_path):
    job_states.write(tmp_path, job_states.plan(0, steps=28), job_states.plan(1, steps=50).dropped())
    assert [[]] == values_on(write_gallery(tmp_path))


def test_pictures_without_a_journal_are_compared_with_each_other_and_with_its_jobs(tmp_path):
    for name, guidance in (("a", 2), ("b", 3)):
        (tmp_path / f"{name}.png").write_bytes(job_states.picture())
        told = {"file": f"{name}.png", "prediction": {"id": name}, "input": {"guidance": guidance, "steps": 28}}
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    assert [[("guidance", "2")], [("guidance", "3")]] == values_on(write_gallery(tmp_path))
    job_states.write(tmp_path, job_states.plan(0, guidance=2, steps=50))
    assert 3 == sum(("steps", value) in card for card in values_on(write_gallery(tmp_path)) for value in ("28", "50"))


def test_hostile_names_and_values_stay_text_and_long_ones_are_cut(tmp_path):
    path = write(tmp_path, {HOSTILE: HOSTILE}, {HOSTILE: "x" * 500})
    assert [[(HOSTILE, HOSTILE)], [(HOSTILE, "x" * 60 + "…")]] == values_on(path)
    assert [HOSTILE] == differing_in(path)
    assert "<script>alert" not in path.read_text()


def test_a_parameter_that_begins_to_differ_is_added_to_the_cards_before(tmp_path):
    gallery = Gallery(tmp_path)
    job_states.write(tmp_path, job_states.plan(0, "a", steps=28))
    assert [[]] == values_on(gallery.write().path)
    job_states.write(tmp_path, job_states.plan(1, "b", steps=50))
    assert [[("steps", "28")], [("steps", "50")]] == values_on(gallery.write().path)
