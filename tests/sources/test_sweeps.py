"""A sweep, a YAML file, becomes jobs or one error that lists all mistakes. Types are not guessed."""

import io
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.sources import SourceError
from cometflux.sources.defaults import Defaults
from cometflux.sources.formats.open_file import read_file
from cometflux.sources.planner import Planner
from cometflux.sources.rows import Format, Most
from cometflux.sources.sweeps.matrix import count, multiply

TEN_THOUSAND = Most()


def plan(text, most=TEN_THOUSAND, **defaults):
    data = text if isinstance(text, bytes) else text.encode()
    source = read_file(io.BytesIO(data), Format.YAML, "sweep.yaml", most=most)
    return Planner(source, Defaults(**defaults), Path("folder")).plan()


def inputs(text, **options):
    return [dict(job.input) for job in plan(text, **options)]


def complaints(text, **options):
    with pytest.raises(SourceError) as caught:
        plan(text, **options)
    return caught.value.lines


# Reading.


def test_lists_are_multiplied_in_their_order():
    text = "prompt: a {animal}\nmatrix:\n  animal: [fox, owl]\n  seed: [1, 2]\n"
    expected = [("a fox", 1), ("a fox", 2), ("a owl", 1), ("a owl", 2)]
    assert expected == [(each["prompt"], each["seed"]) for each in inputs(text)]


def test_several_prompts_change_slowest():
    text = "matrix:\n  seed: [1, 2]\nprompts: [a, b]\n"
    assert [("a", 1), ("a", 2), ("b", 1), ("b", 2)] == [(each["prompt"], each["seed"]) for each in inputs(text)]


def test_prompts_and_models_may_be_in_the_matrix():
    text = "matrix:\n  model: [dev, 2-pro]\n  prompt: [a, b]\n"
    names = [(job.model.rpartition("/")[2], job.prompt) for job in plan(text)]
    assert [("flux-dev", "a"), ("flux-dev", "b"), ("flux-2-pro", "a"), ("flux-2-pro", "b")] == names


def test_without_a_matrix_it_is_one_job():
    assert [{"prompt": "a fox", "seed": 3}] == inputs("prompt: a fox\nseed: 3\n")


def test_excluded_combinations_are_not_made():
    text = "prompt: a\nmatrix:\n  seed: [1, 2]\n  aspect_ratio: [1:1, 16:9]\nexclude: [{seed: 1, aspect_ratio: 16:9}]\n"
    assert [(1, "1:1"), (2, "1:1"), (2, "16:9")] == [(each["seed"], each["aspect_ratio"]) for each in inputs(text)]


def test_an_included_entry_extends_its_matches_or_is_a_new_combination():
    text = (
        "prompt: a\nmodel: dev\nmatrix:\n  seed: [1, 2]\n"
        "include:\n  - {seed: 2, guidance: 4}\n  - {seed: 3, guidance: 5}\n"
    )
    expected = [{"seed": 1}, {"seed": 2, "guidance": 4}, {"seed": 3, "guidance": 5}]
    assert [{"prompt": "a", **each} for each in expected] == inputs(text)


def test_include_and_exclude_may_be_in_the_matrix_as_in_ci_files():
    text = "prompt: a\nmatrix:\n  seed: [1, 2]\n  exclude: [{seed: 1}]\n  include: [{seed: 9}]\n"
    assert [2, 9] == [each["seed"] for each in inputs(text)]


def test_an_exclusion_that_matches_nothing_is_noted():
    made = plan("prompt: a\nmatrix:\n  seed: [1, 2]\nexclude:\n  - seed: 3\n")
    assert ("sweep.yaml, line 5: this entry of exclude matches nothing",) == made.notes


def test_keys_are_templates_too():
    text = "prompt: a {animal}\nkey: '{animal}-{seed}'\nmatrix:\n  animal: [fox]\n  seed: [1, 2]\n"
    assert ["fox-1", "fox-2"] == [job.key for job in plan(text)]


def test_null_leaves_a_parameter_out():
    assert [{"prompt": "a"}, {"prompt": "a", "seed": 1}] == inputs("prompt: a\nmatrix:\n  seed: [~, 1]\n")


def test_a_list_of_images_is_one_value():
    text = "prompt: a\nmodel: 2-pro\ninput_images: [https://example.org/a.png, https://example.org/b.png]\n"
    assert ["https://example.org/a.png", "https://example.org/b.png"] == inputs(text)[0]["input_images"]


@pytest.mark.parametrize(
    ("parameter", "written", "value"),
    [
        pytest.param("aspect_ratio", "16:9", "16:9", id="not a base-60 number"),
        pytest.param("seed", "010", 10, id="not an octal number"),
        pytest.param("go_fast", "no", False, id="a boolean if one is expected"),
        pytest.param("megapixels", "0.25", "0.25", id="a choice that looks like a number"),
        pytest.param("prompt", "no", "no", id="a word if one is expected"),
        pytest.param("prompt", "2024-05-01", "2024-05-01", id="not a date"),
        pytest.param("prompt", "'~'", "~", id="a quoted text"),
    ],
)
def test_types_are_not_guessed(parameter, written, value):
    text = f"{parameter}: {written}\n" if parameter == "prompt" else f"prompt: a\n{parameter}: {written}\n"
    assert value == inputs(text)[0][parameter]


def test_unquoted_values_for_an_unknown_model_are_read_as_json():
    assert {"prompt": "1", "x": 3, "y": "3", "z": [1]} == inputs("model: me/own\nprompt: 1\nx: 3\ny: '3'\nz: [1]\n")[0]


def test_an_alias_is_replaced_by_its_value():
    assert [1, 2] == [each["seed"] for each in inputs("prompt: &a fox\nkey: '{seed}'\nmatrix: {seed: [1, 2]}\n")]
    assert ["fox"] == [job.key for job in plan("prompt: &a fox\nkey: *a\n")]


def test_a_bom_and_other_ends_of_lines_make_no_difference():
    assert [{"prompt": "a", "seed": 1}] == inputs(b"\xef\xbb\xbfprompt: a\r\nseed: 1\r\n")


# Errors.

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("- a\n", "line 1: a sweep is made of names and values", id="a list"),
        pytest.param("# a\n", "line 1: a sweep is made of names and values", id="comments"),
        pytest.param("prompt: a\nmatrix: 3\n", "line 2: matrix holds lists to be multiplied", id="not a matrix"),
        pytest.param("prompt: a\nmatrix:\n", "line 2: matrix holds lists to be multiplied", id="an empty matrix"),
        pytest.param(
            "prompt: a\nmatrix:\n  seed: 3\n",
            "line 3: seed: expected a list, as in seed: [a, b], not one value",
            id="not a list",
        ),
        pytest.param(
            "prompt: a\nmatrix:\n  seed: []\n",
            "line 3: seed: the list is empty, so there would be no jobs",
            id="an empty list",
        ),
        pytest.param(
            "prompt: a\nmatrix:\n  seed:\n    - 1\n    - {a: 2}\n",
            "line 5: seed: expected a value, not a mapping",
            id="a mapping as a value",
        ),
        pytest.param(
            "prompt: a\nmatrix:\n  seed: [1, 2, 1]\n",
            "line 3: seed: '1' appears twice, and would be charged twice",
            id="a value twice",
        ),
        pytest.param(
            "seed: 1\nprompt: a\nseed: 2\n", "line 3: 'seed' appears twice, here and on line 1", id="a name twice"
        ),
        pytest.param(
            "prompt: a\nmatrix:\n\tseed: [1]\n",
            "line 3: it is not YAML (found a tab instead of spaces; indent YAML with spaces)",
            id="a tab",
        ),
        pytest.param(
            "prompt: a\n---\nprompt: b\n", "line 2: a second document begins; use one file per document", id="two"
        ),
        pytest.param(
            b"seed: 1\nprompt: caf\xe9\n", "line 2: byte 0xe9 is not UTF-8; save the file as UTF-8", id="Latin 1"
        ),
        pytest.param("seed: 1\nprompt: a\x07\n", "line 2: character 0x0007 is not allowed in YAML", id="a control"),
        pytest.param(
            "prompt: !!python/object/apply:os.system [ls]\n",
            "line 1: the tag tag:yaml.org,2002:python/object/apply:os.system is not supported; write the plain value",
            id="an object of Python",
        ),
        pytest.param(
            "prompt: *fox\n",
            "line 1: *fox is not defined; put a text that begins with * in quotes",
            id="an undefined alias",
        ),
        pytest.param(
            "x: &x [*x]\nprompt: a\n", "line 1: *x refers to a value that contains it", id="an alias of itself"
        ),
        pytest.param(
            f"{LAUGHS}prompt: a\n", "line 4: with its aliases expanded it has more than 100000 parts", id="laughs"
        ),
        pytest.param("prompt: " + "[" * 40 + "]" * 40, "line 1: it is nested too deeply", id="a deep list"),
        pytest.param(
            "prompt: {animal} in a tram\nanimal: fox\n",
            "line 1: it is not YAML (put a text that begins with a brace in quotes)",
            id="a template without quotes",
        ),
        pytest.param(
            "prompt: {animal}\nanimal: fox\n",
            "line 1: prompt: a text is expected; put a text that begins with a brace in quotes",
            id="a template that is a mapping",
        ),
        pytest.param(
            "prompt: a: b\n",
            "line 1: it is not YAML (unexpected colon; put a text that contains a colon in quotes)",
            id="a colon",
        ),
        pytest.param(
            "prompt: a {animl}\nmatrix:\n  animal: [fox, owl]\n",
            "line 1: prompt: the template uses {animl}, which does not exist; did you mean {animal}?",
            id="a name that is not there",
        ),
        pytest.param(
            "prompt: |\n  a\n  {x.y}\n",
            "line 3: prompt: {x.y} is not a column name; write {{ and }} for literal braces",
            id="an attribute in a block",
        ),
        pytest.param(
            "prompt: a fox\nmatrix:\n  animal: [fox, owl]\n",
            "line 3: nothing uses 'animal'; write {animal} in the prompt, or take it out",
            id="a name that nothing uses",
        ),
        pytest.param("prompt: a\nsede: 1\n", "line 2: nothing uses 'sede'; did you mean 'seed'?", id="a misspelling"),
        pytest.param(
            "prompt: a\nmatrix:\n  model: [dev, schnell]\n  guidance: [3]\n",
            "line 4: guidance: '3' was given; flux-schnell has no such parameter",
            id="a parameter of another model",
        ),
        pytest.param(
            "prompt: a\nmatrix:\n  seed:\n    - 1\n    - 1:30\n",
            "line 5: seed: '1:30' was given; must be a whole number that fits in 64 bits",
            id="a time",
        ),
        pytest.param(
            "prompt: a\nmodel: dev\nguidance: .nan\n",
            "line 3: guidance: '.nan' was given; must be a number from",
            id="not a number",
        ),
        pytest.param(
            "prompt: a\nmatrix:\n  seed: [1]\nexclude:\n  - sed: 1\n",
            "line 5: exclude: 'sed' is not in matrix; did you mean 'seed'?",
            id="an exclusion of nothing",
        ),
        pytest.param(
            "prompt: a\nmatrix:\n  seed: [1]\nexclude: [{seed: 1}]\n",
            "exclude removes every combination, so no job is left",
            id="all excluded",
        ),
        pytest.param(
            "prompt: a\nmatrix:\n  seed: [1, 2]\ninclude:\n  - prompt: a lighthouse\n",
            "line 5: include: this entry has no name of matrix, so it would replace 'prompt' everywhere",
            id="an inclusion without a name of the matrix",
        ),
        pytest.param("matrix:\n  seed: [1]\n", "it has no prompt; add one, as in prompt: a fox", id="no prompt"),
        pytest.param(
            "prompt: a\nprompts: [b]\n", "line 2: 'prompts' and 'prompt' cannot be used together", id="two prompts"
        ),
        pytest.param(
            "prompt: a\nseed: [1, 2]\n",
            "line 2: seed: expected one value, not a list; put values to be multiplied in matrix",
            id="a list outside of the matrix",
        ),
        pytest.param(
            "prompt: a\nmatrx:\n  seed: [1]\n",
            "line 2: 'matrx' is not a keyword of a sweep; did you mean 'matrix'?",
            id="matrx",
        ),
        pytest.param(
            "prompt: a\nmodel: flx-pro\n", "line 2: model: 'flx-pro' was given; did you mean 'flux-pro'?", id="a model"
        ),
        pytest.param(
            "prompt: a\nkey: k\nmatrix:\n  seed: [1, 2]\n",
            "line 2: key: 'k' was given; another combination has this key already",
            id="a key twice",
        ),
        pytest.param(
            "prompt: a\nseed: 3\nmatrix:\n  seed: [1]\n",
            "line 2: 'seed' appears both in matrix and outside it",
            id="both",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_line(text, expected):
    (line,) = complaints(text)
    assert line.startswith(f"sweep.yaml, {expected}" if expected.startswith("line") else f"sweep.yaml: {expected}")


def test_all_mistakes_are_reported_at_once():
    text = "prompt: a\nmatrix:\n  seed: [x]\n  aspect_ratio: [7:1]\n  animal: [fox]\n"
    assert [3, 4, 5] == [int(line.split("line ")[1].split(":")[0]) for line in complaints(text)]


@pytest.mark.parametrize("axes", [5, 18, 300])
def test_a_sweep_that_multiplies_past_the_maximum_is_refused_with_its_count_before_it_is_expanded(axes):
    values = ", ".join(map(str, range(10)))
    text = "prompt: a\nmatrix:\n" + "".join(f"  a{number}: [{values}]\n" for number in range(axes))
    (line,) = complaints(text)
    assert line.startswith(f"sweep.yaml: it makes {10**axes} jobs (10 x 10")
    assert line.endswith("; at most 10000 are allowed; raise max_jobs for more")


def test_the_maximum_counts_copies_and_can_be_set():
    text = "prompt: a\nmatrix:\n  seed: [1, 2, 3]\n"
    assert 3 == len(plan(text, most=Most(jobs=3)))
    (line,) = complaints(text, most=Most(jobs=5, copies=2, label="--max-jobs"))
    assert "sweep.yaml: it makes 3 jobs (3), each 2 times; at most 5 are allowed; raise --max-jobs for more" == line


def test_included_combinations_count_for_the_maximum():
    text = "prompt: a\ninclude:\n  - seed: 1\n  - seed: 2\n"
    (line,) = complaints(text, most=Most(jobs=1))
    assert line.startswith("sweep.yaml: it makes 2 jobs; at most 1 is allowed")


@pytest.mark.slow
def test_more_entries_than_can_be_compared_are_refused():
    values = ", ".join(map(str, range(5000)))
    entries = "".join(f"  - seed: {number}\n" for number in range(401))
    (line,) = complaints(f"prompt: a\nmatrix:\n  seed: [{values}]\nexclude:\n{entries}")
    assert "sweep.yaml: include and exclude have 401 entries for 5000 combinations; write a table" == line


def test_a_sweep_that_is_too_large_is_refused_unread():
    (line,) = complaints("prompt: a\n#" + "x" * 2**20)
    assert "sweep.yaml: it has 1048587 bytes, and a sweep has at most 1 MiB; a table may be larger" == line


# Any matrix.

_names = st.sampled_from("abcd")
_values = st.integers(0, 3)
_axes = st.dictionaries(_names, st.lists(_values, min_size=1, max_size=3, unique=True), max_size=3)
_entries = st.lists(st.dictionaries(_names, _values, min_size=1), max_size=3)


@pytest.mark.slow
@given(_axes)
def test_a_matrix_is_the_plain_product(axes):
    plain = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    assert plain == [each for each, _ in multiply(axes, [], []).combinations]
    assert len(plain) == count(axes)


@pytest.mark.slow
@given(_axes, _entries)
def test_exclusions_remove_only_their_matches(axes, entries):
    entries = [entry for entry in entries if entry.keys() <= axes.keys()]
    product = multiply(axes, entries, [])
    matches = {
        tuple(each.items()): [entry for entry in entries if entry.items() <= each.items()]
        for each, _ in multiply(axes, [], []).combinations
    }
    assert [key for key, hits in matches.items() if not hits] == [
        tuple(each.items()) for each, _ in product.combinations
    ]
    assert {n for n, entry in enumerate(entries) if not any(entry in hits for hits in matches.values())} == {
        *product.idle
    }


@given(_axes, _entries)
def test_inclusions_never_change_values_of_the_matrix(axes, entries):
    originals = [each for each, _ in multiply(axes, [], []).combinations]
    made = multiply(axes, [], entries).combinations
    assert originals == [
        {name: each[name] for name in original} for original, (each, _) in zip(originals, made, strict=False)
    ]
    for number, entry in enumerate(entries):
        asked = {name: value for name, value in entry.items() if name in axes}
        is_new = not any(asked.items() <= original.items() for original in originals)
        assert is_new == ((entry, number) in made[len(originals) :])
    assert all(number is not None for _, number in made[len(originals) :])


@pytest.mark.slow
@given(_axes)
def test_a_matrix_in_a_file_is_multiplied_as_it_is_in_python(axes):
    lines = "".join(f"  {name}: {values}\n" for name, values in axes.items())
    names = "".join(f"{{{name}}}" for name in axes)
    text = f"prompt: x{names}\n" + (f"matrix:\n{lines}" if axes else "")
    expected = ["x" + "".join(map(str, each.values())) for each, _ in multiply(axes, [], []).combinations] or ["x"]
    assert expected == [job.prompt for job in plan(text)]


# Lists side by side, and prompts that are objects.


def test_lists_side_by_side_are_taken_together_and_multiplied_with_the_others():
    text = "prompt: a {animal}\nmatrix:\n  guidance: [2, 3]\nmodel: dev\nzip:\n  animal: [fox, owl]\n  seed: [1, 1]\n"
    expected = [("a fox", 1, 2), ("a fox", 1, 3), ("a owl", 1, 2), ("a owl", 1, 3)]
    assert expected == [(each["prompt"], each["seed"], each["guidance"]) for each in inputs(text)]


def test_lists_side_by_side_need_no_matrix_and_can_be_included_and_excluded():
    text = "zip:\n  prompt: [a, b, c]\n  seed: [1, 2, 3]\nexclude:\n  - seed: 2\n"
    text += "include:\n  - {seed: 3, megapixels: '1'}\n"
    assert [{"prompt": "a", "seed": 1}, {"prompt": "c", "seed": 3, "megapixels": "1"}] == inputs(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prompt: a\nzip:\n  seed: [1, 2]\n  guidance: [1]\n", "line 2: zip: its lists must have one length, and seed"),
        ("prompt: a\nzip:\n  seed: 1\n", "line 3: seed: expected a list, as in seed: [a, b], not one value"),
        ("prompt: a\nzip: [1]\n", "line 2: zip holds lists side by side, as in seed: [1, 2]"),
        ("prompt: a\nzip:\n  seed: [1]\nmatrix:\n  seed: [2]\n", "line 3: 'seed' appears both in zip and outside it"),
        ("prompt: a\nzip:\n  prompt: [b]\n", "line 3: 'prompt' appears both in zip and outside it"),
        ("zip:\n  prompt: [a, a]\n  seed: [1, 1]\n", "line 2: zip: these values appear twice together"),
        ("zip:\n  prompts: [a]\n", "line 2: in zip, the name is 'prompt'"),
    ],
)
def test_lists_side_by_side_that_are_wrong_are_reported_with_their_line(text, expected):
    (line,) = complaints(text)
    assert line.startswith(f"sweep.yaml, {expected}")


@given(st.lists(st.integers(1, 3), max_size=3), st.integers(0, 3), st.integers(1, 2))
def test_the_count_of_a_sweep_is_the_number_of_its_combinations(sizes, rows, lists):
    axes = {f"a{number}": list(range(size)) for number, size in enumerate(sizes)}
    beside = {f"b{number}": list(range(rows)) for number in range(lists)} if rows else {}
    assert count(axes, beside) == len(multiply(axes, [], [], beside).combinations)


OBJECT = 'prompt:\n  scene: a {animal} at dusk\n  camera: {lens: 35, is_macro: false}\n  colors: ["#ff0000", teal]\n'


def test_a_prompt_may_be_an_object_whose_texts_are_templates():
    first, second = inputs(f"{OBJECT}matrix:\n  animal: [fox, 'big \"red\" owl']\nmodel: 2-pro\n")
    assert (
        '{"scene": "a fox at dusk", "camera": {"lens": 35, "is_macro": false}, "colors": ["#ff0000", "teal"]}'
        == first["prompt"]
    )
    assert 'a big "red" owl at dusk' == json.loads(second["prompt"])["scene"]


def test_a_list_of_prompts_may_have_objects():
    text = "prompts:\n  - {scene: a fox}\n  - plain\nmodel: 2-pro\n"
    assert ['{"scene": "a fox"}', "plain"] == [each["prompt"] for each in inputs(text)]


def test_a_template_without_its_quotes_is_not_an_object():
    (line,) = complaints("prompt: {animal}\nmatrix:\n  animal: [fox]\n")
    assert "put a text that begins with a brace in quotes" in line
