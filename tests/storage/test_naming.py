"""The caller's own names for files: what a template takes, and which names are refused on every system."""

import re
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.errors import InputError
from cometflux.jobs import Job
from cometflux.journal.marks import NameMarks
from cometflux.storage.file_names import file_stem, is_inside
from cometflux.storage.naming import DEFAULT, NameTemplate, check_path, find_names

DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {f"{port}{n}" for port in ("COM", "LPT") for n in "0129¹"}


def job(key=None, tags=None, **given):
    return Job(model="black-forest-labs/flux-schnell", input={"prompt": "A red fox", **given}, key=key, tags=tags or {})


def name_of(template, index=7, **given):
    return NameTemplate.parse(template).fill(index, job(**given))


@pytest.mark.parametrize(
    ("expected", "template"),
    [
        pytest.param("sku-1", "{key}", id="the key"),
        pytest.param("flux-schnell/42", "{model}/{seed}", id="a folder for each model"),
        pytest.param("00007-a-red-fox", DEFAULT, id="as always"),
        pytest.param("7", "{index}", id="without a width"),
        pytest.param("007 42", "{index:03d} {seed:1d}", id="widths"),
        pytest.param("Müller & Søn", "{client name}", id="a tag with a blank in its name"),
        pytest.param("A red fox", "{ prompt }", id="blanks in the braces"),
        pytest.param("plain", "plain", id="no field at all"),
    ],
)
def test_a_template_names_a_job_by_its_fields(expected, template):
    assert expected == name_of(template, key="sku-1", seed=42, tags={"client name": "Müller & Søn"})


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("{key.upper}", "is not a field"),
        ("{key[0]}", "is not a field"),
        ("{0}", "is not a field"),
        ("{}", "is not a field"),
        ("{key!r}", "is not a field"),
        ("{index:>5}", "is not a field"),
        ("{index:99999d}", "is not a field"),
        ("{key", "is not a field"),
        ("key}", "is not a field"),
        ("", "must be a template"),
        (" ", "must be a template"),
    ],
)
def test_a_template_holds_plain_names_only(template, hint):
    with pytest.raises(InputError, match=re.escape(hint)):
        NameTemplate.parse(template)


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("{sku}", "{sku} is not a field of the jobs; fields are index, key, model"),
        ("{promt}", "{promt} is not a field of the jobs; did you mean {prompt}?"),
        ("{seed}", "{seed} has no value here"),
        ("{key}", "{key} has no value here"),
        ("{prompt:05d}", "{prompt} is not a whole number here"),
    ],
)
def test_a_field_that_a_job_lacks_is_named(template, hint):
    with pytest.raises(InputError, match=re.escape(hint)):
        name_of(template)


UNSAFE = [
    pytest.param("/etc/a", "must not begin with a slash", id="absolute"),
    pytest.param("../a", "must not have the part ..", id="out of the folder"),
    pytest.param("a/../../b", "must not have the part ..", id="out by a detour"),
    pytest.param("./a", "must not have the part .", id="a dot"),
    pytest.param("a//b", "must not have an empty part", id="two slashes"),
    pytest.param("a/", "must not have an empty part", id="a slash at the end"),
    pytest.param("a/ /b", "must not have an empty part", id="a blank folder"),
    pytest.param(".hidden", "begins with a dot", id="a hidden file"),
    pytest.param("a/.git/b", "begins with a dot", id="a hidden folder"),
    pytest.param("C:\\a", "must not have ':'", id="a drive"),
    pytest.param("a\\b", r"must not have '\\'", id="a backslash"),
    pytest.param("what?", "must not have '?'", id="a question mark"),
    pytest.param("a\0b", r"must not have '\x00'", id="a NUL"),
    pytest.param("a\nb", r"must not have '\n'", id="the end of a line"),
    pytest.param("a\ud800", r"must not have '\ud800'", id="half a pair of surrogates"),
    pytest.param("nul", "device", id="a device"),
    pytest.param("a/Aux.b", "device", id="a device with an ending"),
    pytest.param("com1/a", "device", id="a device as a folder"),
    pytest.param("a.", "dot or a space", id="a dot at the end"),
    pytest.param("a /b", "dot or a space", id="a space at the end of a folder"),
    pytest.param("ü" * 101, "200 bytes", id="too long"),
    pytest.param("/".join(["a" * 99] * 8), "700 bytes", id="too long in all"),
    pytest.param("a.webp/b", "folder named as a file is", id="a folder in the place of a picture"),
    pytest.param("index.html/b", "folder named as a file is", id="a folder in the place of the gallery"),
]


@pytest.mark.parametrize(("name", "hint"), UNSAFE)
def test_a_name_that_some_system_refuses_or_that_leaves_the_folder_is_an_error(name, hint):
    with pytest.raises(InputError, match=re.escape(hint)):
        check_path(name)


@given(st.text(max_size=80) | st.text(st.sampled_from("ab./\\:*? \0\n\u2028é船ﬁ\ud800"), max_size=40))
def test_a_name_that_is_taken_is_safe_on_every_system(text):
    try:
        name = check_path(text)
    except InputError:
        return
    assert is_inside(name)
    assert unicodedata.is_normalized("NFC", name)
    for path in (PurePosixPath("out") / name, PureWindowsPath("out") / name):
        assert ("out", *name.split("/")) == path.parts
    for part in name.split("/"):
        assert part.split(".")[0].rstrip(" ").upper() not in DEVICES
        assert not re.search(r'[<>:"/\\|?*\x00-\x1f]', part)
        assert part == part.rstrip(". ")
        assert len(f"{part}-100+99.webp".encode()) <= 255


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("fox", "Fox", id="capitals"),
        pytest.param("stra\u00dfe", "STRASSE", id="a capital of two letters"),
        pytest.param("caf\u00e9", "cafe\u0301", id="another normal form"),
        pytest.param("a/b", "A/b", id="capitals of a folder"),
    ],
)
def test_two_names_that_some_system_takes_for_one_collide(one, other):
    marks = NameMarks()
    assert marks.add(one, {}, 3) is None
    assert marks.add("elsewhere", {}, 4) is None
    assert 3 == marks.add(other, {}, 5)


def test_the_pictures_of_one_job_do_not_have_the_name_of_another_job():
    marks = NameMarks()
    assert marks.add("fox", {"num_outputs": 2}, 1) is None
    assert 1 == marks.add("fox-2", {}, 2)


@pytest.mark.parametrize("prompt", ["狐狸在雪地里", "लोमड़ी और उल्लू", "Лиса и сова", "ثعلب أحمر", "φαλαινα"])
def test_the_letters_of_every_script_stay_in_the_slug(prompt):
    assert file_stem(7, job(prompt=prompt)) == f"00007-{name_of('{slug}', prompt=prompt)}"
    assert {letter for letter in prompt if letter.isalpha()} <= set(name_of("{slug}", prompt=prompt)) | set("Л")


def test_the_default_template_names_files_as_without_a_template():
    assert find_names(None) is None
    assert find_names(DEFAULT) is None
