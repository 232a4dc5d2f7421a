"""Wildcards in prompts: what they mean, that the same file always makes the same jobs, and which are refused."""

import json
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.cli import main
from cometflux.errors import ConfigError
from cometflux.sources import SourceError, read_jobs
from cometflux.sources.templates.wildcards import Choices, WildcardError, expand

LISTS = {
    "animals": ["fox", "owl"],
    "places/dry": ["a {sandy|stony} desert"],
    "scene": ["a __animals__ in __places/dry__"],
    "a": ["__b__"],
    "b": ["__a__"],
    "self": ["x __self__"],
    "double": ["__scene__ __scene__"],
}


def lists(name):
    if name not in LISTS:
        raise WildcardError(f"__{name}__: there is no file")
    return LISTS[name]


def expanded(text, seed=0, row=0):
    return expand(text, lists, Choices(seed=seed, row=row))


def all_of(text, rows=200):
    return {expanded(text, row=row) for row in range(rows)}


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        pytest.param({"a red cat", "a blue cat"}, "a {red|blue} cat", id="a choice"),
        pytest.param({"a cat", "a  cat"} - {"a  cat"} | {"a big cat"}, "a {|big }cat", id="an empty choice"),
        pytest.param({"a, b", "b, a", "a, c", "c, a", "b, c", "c, b"}, "{2$$a|b|c}", id="two of three"),
        pytest.param({"a and b", "b and a"}, "{2$$ and $$a|b}", id="with words between them"),
        pytest.param({"a", "b", "a, b", "b, a"}, "{1-2$$a|b}", id="one or two"),
        pytest.param({"", "a"}, "{0-1$$a}", id="none or one"),
        pytest.param({"x", "y", "z"}, "{x|{y|z}}", id="nested"),
        pytest.param({"the fox", "the owl"}, "the __animals__", id="a list"),
        pytest.param({"a sandy desert", "a stony desert"}, "__places/dry__", id="a list in a folder"),
        pytest.param({"fox", "owl", "cat"}, "{__animals__|cat}", id="a list in a choice"),
        pytest.param({"a fox in a sandy desert"}, "a fox in a {sandy} desert".replace("{sandy}", "sandy"), id="none"),
        pytest.param({"a {animal} and {{b}} }"}, "a {animal} and {{b}} }", id="braces without a bar"),
        pytest.param({"snake_case __ ______ a|b"}, "snake_case __ ______ a|b", id="no wildcards at all"),
    ],
)
def test_wildcards_make_each_of_these_prompts_and_no_other(expected, text):
    assert expected == all_of(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{red|blue", "a brace is not closed"),
        ("{a|{b|c}", "a brace is not closed"),
        ("__none__", "__none__: there is no file"),
        ("__self__", "__self__ → __self__: it names itself"),
        ("__a__", "__a__ → __b__ → __a__: it names itself"),
        ("{3$$a|b}", "{3$$…} cannot take 3 of 2 choices"),
        ("{2-1$$a|b}", "cannot take 1 of 2 choices"),
    ],
)
def test_a_wildcard_that_cannot_be_expanded_is_one_error(text, says):
    with pytest.raises(WildcardError, match=re.escape(says)):
        expanded(text)


def test_a_prompt_that_grows_without_end_is_refused():
    text = "{a|b}" * 20_000
    with pytest.raises(WildcardError, match="more than 10000 choices"):
        expanded(text)
    LISTS["long"] = ["x" * 60_000]
    with pytest.raises(WildcardError, match="more than 100000 characters"):
        expanded("__long__ __long__")


parts = st.recursive(
    st.text("ab |{}$_-/1", max_size=6) | st.sampled_from(["__animals__", "__scene__", "__double__", "{animal}"]),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda found: "{" + "|".join(found) + "}"),
    max_leaves=8,
)


@pytest.mark.slow
@given(parts, st.integers(0, 9), st.integers(0, 9))
def test_the_same_seed_and_row_make_the_same_prompt_and_nothing_else_is_raised(text, seed, row):
    try:
        first = expanded(text, seed, row)
    except WildcardError as error:
        with pytest.raises(WildcardError, match=re.escape(str(error))):
            expanded(text, seed, row)
        return
    assert first == expanded(text, seed, row)


@given(st.text(st.characters(exclude_characters="{|"), max_size=60).filter(lambda text: "__" not in text))
def test_a_text_without_wildcards_stays_as_it_is(text):
    assert text == expanded(text)


def test_the_choices_are_those_of_every_version():
    assert "c, a" == expanded("{2$$a|b|c}", seed=7, row=3)
    assert [1, 0, 0, 0] == [Choices(seed=0, row=row).below(2) for row in range(4)]


# Files.


@pytest.fixture
def words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("words")
    (folder / "more").mkdir(parents=True)
    (folder / "animals.txt").write_text("# of the wood\nfox\n\nowl\nhare\n")
    (folder / "more/deep.txt").write_text("a {big|small} __animals__\n")
    (folder / "empty.txt").write_text("# none\n")
    (folder / "loop.txt").write_text("__loop__\n")
    (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    return folder


def prompts(text, name="a.txt", **options):
    Path(name).write_text(text)
    return [job.prompt for job in read_jobs(name, **options)]


def test_without_being_asked_for_braces_stay_as_they_are(words):
    assert ["a {red|blue} __animals__"] == prompts("a {red|blue} __animals__\n")


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        pytest.param("a.txt", "a {red|blue} __animals__\n", {}, id="text"),
        pytest.param("a.csv", "prompt\na {red|blue} __animals__\n", {}, id="a table"),
        pytest.param("a.csv", "color\n{red|blue}\n", {"template": "a {color} __animals__"}, id="in a cell"),
        pytest.param(
            "a.csv", "animal\n__animals__\n", {"template": "a {red|blue} {animal}"}, id="in a template and a cell"
        ),
        pytest.param(
            "a.yaml",
            'prompt: "a {red|{blue|{color}}} __animals__"\nmatrix:\n  color: [blue, red]\n',
            {},
            id="in a sweep",
        ),
        pytest.param("a.jsonl", '{"prompt": {"scene": "a {red|blue} __animals__"}, "model": "2-pro"}', {}, id="object"),
    ],
)
def test_every_source_expands_its_prompts_and_records_the_seed(words, name, text, options):
    Path(name).write_text(text)
    for job in read_jobs(name, wildcards=words, wildcard_seed=5, **options):
        assert re.fullmatch(r'(\{"scene": ")?a (red|blue) (fox|owl|hare)("\})?', job.prompt)
        assert {"wildcard_seed": "5"} == job.tags


def test_the_rows_have_choices_of_their_own_that_an_earlier_row_does_not_change(words):
    first = prompts("__animals__\n" * 20, wildcards=words)
    assert len(set(first)) == 3
    assert first[1:] == prompts("another\n" + "__animals__\n" * 19, wildcards=words)[1:]
    assert first != prompts("__animals__\n" * 20, wildcards=words, wildcard_seed=1)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "__animal__\n",
            "a.txt, line 1: prompt: __animal__: there is no file 'words/animal.txt'; did you mean __animals__?",
        ),
        ("a\n__loop__\n", "a.txt, line 2: prompt: __loop__ → __loop__: it names itself"),
        ("__empty__\n", "a.txt, line 1: prompt: __empty__: 'words/empty.txt' has no choice in it"),
        ("__latin__\n", "a.txt, line 1: prompt: __latin__: 'words/latin.txt' cannot be read (it is not UTF-8 text)"),
        ("{a|b\n", "a.txt, line 1: prompt: a brace is not closed"),
    ],
)
def test_a_wrong_wildcard_is_an_error_with_its_line(words, text, fault):
    with pytest.raises(SourceError) as caught:
        prompts(text, wildcards=words)
    assert [fault] == caught.value.lines


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_list_has_a_choice_on_each_line_whatever_characters_are_in_it(end, words):
    """Some editors and languages break lines at these characters, and prompts may contain them."""
    lines = ["a\u2028b", "a\x0bb", "a\x85b", "# none", "", "c"]
    (words / "odd.txt").write_bytes(end.join(lines).encode())
    assert {"a\u2028b", "a\x0bb", "a\x85b", "c"} == set(prompts("__odd__\n" * 60, wildcards=words))


def test_a_list_outside_the_folder_is_not_a_wildcard(words):
    Path("secret.txt").write_text("secret\n")
    assert ["__../secret__"] == prompts("__../secret__\n", wildcards=words)


def test_a_folder_that_is_not_there_is_refused(words):
    with pytest.raises(ConfigError, match="must be the folder of the lists"):
        prompts("a\n", wildcards="nowhere")


def test_expand_prints_a_prompt_file_of_the_same_jobs(words, capsys):
    Path("a.csv").write_text("prompt,key,seed,sku\na {red|blue} __more/deep__,k1,7,S-1\na boat,,8,\n")
    line = "batch a.csv --wildcards words --keep sku"
    assert 0 == main(shlex.split(f"{line} --expand"))
    out, err = capsys.readouterr()
    Path("b.jsonl").write_text(out)
    assert "these rows are read with --keep sku" in err
    first = read_jobs("a.csv", wildcards=words, keep=["sku"])
    again = read_jobs("b.jsonl", keep=["sku"])
    assert [(job.model, job.input, job.key) for job in first] == [(job.model, job.input, job.key) for job in again]
    assert "S-1" == again[0].tags["sku"]
    assert not Path("a-images").exists()
    assert {"model", "prompt", "key", "seed", "sku"} == set(json.loads(out.splitlines()[0]))


def test_a_kept_column_that_is_a_parameter_too_is_read_back_as_one(words, capsys):
    Path("a.csv").write_text("prompt,seed,shelf no\na {red|blue} boat,7,3\n")
    assert 0 == main(["batch", "a.csv", "--keep", "prompt,seed,shelf no", "--expand"])
    out, err = capsys.readouterr()
    Path("b.jsonl").write_text(out)
    # Windows has quotes of its own.
    assert "these rows are read with --keep 'prompt,seed,shelf no'\n" in err.replace('"', "'")
    (first,) = read_jobs("a.csv", wildcard_seed=0, keep=["shelf no"])
    (again,) = read_jobs("b.jsonl", keep=["prompt", "seed", "shelf no"])
    assert (first.input, "7", "3") == (again.input, again.tags["seed"], again.tags["shelf no"])


def test_the_command_refuses_a_folder_that_is_not_there(words, capsys):
    Path("a.txt").write_text("a\n")
    assert 2 == main(shlex.split("batch a.txt --wildcards nowhere"))
    assert "--wildcards nowhere: there is no such folder" in capsys.readouterr().err


def test_a_template_with_a_choice_names_the_option_that_makes_it(words):
    Path("a.csv").write_text("animal\nfox\n")
    with pytest.raises(SourceError, match=re.escape("{red|blue} is not a column name; write {{ and }} for literal")):
        read_jobs("a.csv", template="a {red|blue} {animal}")
