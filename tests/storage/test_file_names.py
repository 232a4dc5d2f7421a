import contextlib
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.errors import InputError
from cometflux.jobs import Job
from cometflux.storage.file_names import check_stem, earlier_stems, file_stem, fold, id_stem, numbered, output_stems

DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"
}
ENDINGS = ["png", "jpg", "webp", "gif", "json"]
prompts = st.text() | st.text(st.sampled_from("ab .-/\\:*?\"<>|\0\n'é船ﬁİ"), max_size=400)


def job(prompt):
    return Job(model="somebody/something", input={"prompt": prompt})


def names_of(stem, count=4):
    """Every name that the files of a prediction may get, a few of its numbers deep."""
    return {
        f"{name}.{ending}"
        for output in output_stems(stem, count)
        for _, name in zip(range(3), numbered(output), strict=False)
        for ending in ENDINGS
    }


def is_sound(name):
    """Whether a name is one component of a path and valid, on POSIX and on Windows."""
    is_device = name.split(".")[0].rstrip(" ").upper() in DEVICES
    has_reserved = re.search(r'[<>:"/\\|?*\x00-\x1f]', name)
    return (
        Path("images", name).parts == ("images", name)
        and not (is_device or has_reserved or name.endswith((".", " ")))
        and len(name.encode()) <= 255
    )


@given(st.integers(0, 10**9), prompts, st.sampled_from([1, 4]))
def test_a_name_is_sound_on_any_system_whatever_the_prompt(index, prompt, count):
    stem = file_stem(index, job(prompt))
    assert re.fullmatch(r"([0-9]{5}|[a-e][0-9]{6,10})(-[^\W_A-Z][^\0-,./:-`{-\x7f]*)*", stem)
    assert unicodedata.is_normalized("NFC", stem)
    assert not {"C", "Z", "S"} & {unicodedata.category(letter)[0] for letter in stem}
    # The longest name that an encrypted folder takes.
    assert all(is_sound(name) and len(name.encode()) <= 143 for name in names_of(stem, count))


@given(st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)), prompts, prompts, st.sampled_from([1, 2, 4]))
def test_two_jobs_of_a_batch_share_no_name_in_any_spelling(indices, one, other, count):
    if indices[0] == indices[1]:
        indices = indices[0], indices[0] + 1
    mine = {fold(name) for name in names_of(file_stem(indices[0], job(one)), 1)}
    its = {fold(name) for name in names_of(file_stem(indices[1], job(other)), count)}
    assert set() == mine & its


@pytest.mark.slow
@given(st.lists(st.integers(0, 9) | st.integers(99_990, 100_010) | st.integers(0, 10**9)), prompts)
def test_names_have_the_order_of_their_batch_however_long_it_is(indices, prompt):
    assert [file_stem(each, job(prompt)) for each in sorted(indices)] == sorted(
        file_stem(each, job(prompt)) for each in indices
    )


@pytest.mark.parametrize(
    ("index", "prompt", "stem"),
    [
        (0, "A paper boat, at sunrise!", "00000-a-paper-boat-at-sunrise"),
        (99_999, "a boat", "99999-a-boat"),
        (123_456, "a boat", "a123456-a-boat"),
        (1_234_567, "a boat", "b1234567-a-boat"),
        (1, "../../etc/passwd", "00001-etc-passwd"),
        (1, "CON", "00001-con"),
        (1, "Ein Böot für Zoë", "00001-ein-boot-fur-zoe"),
        (1, "船", "00001-船"),
        (1, "一艘纸船\uff0c在日出时", "00001-一艘纸船-在日出时"),
        (1, "Бумажный кораблик", "00001-бумажный-кораблик"),
        (1, "سفينة ورقية", "00001-سفينة-ورقية"),
        (1, "कागज़ की नाव", unicodedata.normalize("NFC", "00001-कागज़-की-नाव")),
        (1, unicodedata.normalize("NFD", "종이 배"), "00001-종이-배"),
        (1, unicodedata.normalize("NFD", "ガラスの船"), "00001-ガラスの船"),
        (1, "a small ø, Größe", "00001-a-small-ø-große"),
        (1, "نیم\u200cشب", "00001-نیمشب"),
        (1, "🚀\ufe0f\u0301 boat 🚀", "00001-boat"),
        (1, "x\u0302 a", "00001-x-a"),
        (1, "船" * 100, "00001-" + "船" * 32),
        (1, "a " + "船" * 100, "00001-a-" + "船" * 31),
        (1, "नि" * 100, "00001-" + "नि" * 16),
        (1, "न" + "ि" * 100, "00001"),
        (1, "...", "00001"),
        (1, "", "00001"),
        (1, "word " * 100, "00001-" + "-".join(["word"] * 9)),
        (1, "x" * 500, "00001-" + "x" * 48),
    ],
)
def test_a_name_is_the_index_and_the_beginning_of_the_prompt(index, prompt, stem):
    assert stem == file_stem(index, job(prompt))


@pytest.mark.parametrize(
    ("prompt", "earlier"),
    [("船", ("00001",)), ("船 and boat", ("00001-and-boat",)), ("Größe", ("00001-groe",)), ("für Zoë", ()), ("a", ())],
)
def test_the_name_that_an_earlier_release_gave_is_known_if_it_is_another(prompt, earlier):
    assert earlier == earlier_stems(1, job(prompt))


def test_a_job_without_a_prompt_is_named_by_its_index():
    assert "00007" == file_stem(7, Job(model="somebody/something", input={"seed": 1}))


@given(
    st.text(st.characters(codec=None), max_size=250)
    | st.tuples(st.sampled_from(sorted(DEVICES)), st.sampled_from(["", " ", ".", ".a", " .a", "-", "a"])).map("".join)
)
def test_any_name_given_is_sound_on_any_system_or_refused(name):
    with contextlib.suppress(InputError):
        assert all(map(is_sound, [check_stem(name), *names_of(name)]))


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,255}", fullmatch=True) | st.sampled_from(["con", "Nul.a", "a:b."]))
def test_whatever_id_the_service_gives_makes_a_sound_name(prediction_id):
    assert all(map(is_sound, [id_stem(prediction_id), *names_of(id_stem(prediction_id))]))


@pytest.mark.parametrize(
    ("prediction_id", "stem"),
    [
        ("kgwb4ry5b1rmc0cwyqb8z4dz8m", "kgwb4ry5b1rmc0cwyqb8z4dz8m"),
        ("task_A-1.b~c", "task_A-1.b~c"),
        ("a:b", "a-b"),
        ("con", "id-con"),
        ("con.a", "id-con.a"),
        ("a.", "a"),
        ("x" * 256, "x" * 190),
    ],
)
def test_an_id_is_changed_only_where_no_file_can_have_it(prediction_id, stem):
    assert stem == id_stem(prediction_id)


@pytest.mark.parametrize("prediction_id", ["", "...", "船" * 200 + "/.."], ids=repr)
def test_what_is_no_id_of_the_service_still_stays_in_the_folder(prediction_id):
    with contextlib.suppress(InputError):
        assert is_sound(f"{id_stem(prediction_id)}.png")


@pytest.mark.parametrize(
    "name",
    ["a", "a boat", ".a", "a.b", "a..b", "für Zoë", "x" * 200, "船" * 66, "con-1", "console", "com", "com10", "a.con"],
    ids=repr,
)
def test_a_name_given_is_taken_as_it_is(name):
    assert name == check_stem(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "...", " ", ". .", "/", "a/b", "../a", "/etc/passwd", "a/", "a\\b", "..\\a", "a\0", "a\n"),
        *("\x7f", "x" * 201, "船" * 67, "a\ud800", None, 5, b"a", Path("a")),
    ],
    ids=lambda name: repr(name)[:20],
)
def test_a_name_that_would_leave_the_folder_is_refused(name):
    with pytest.raises(InputError, match=r"^name: "):
        check_stem(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((f"a{mark}b", "without its folder") for mark in '<>:"|?*'),
        *((name, "does not end in a dot or a space") for name in ("a.", "a ", "a. .")),
        *(
            (name, "Windows reserves this one")
            for name in ("CON", "nul", "Aux.a", "prn .a", "com1", "LPT9.x.y", "com²")
        ),
    ],
    ids=str,
)
def test_a_name_that_windows_does_not_take_is_refused(name, words):
    with pytest.raises(InputError, match=words):
        check_stem(name)


@pytest.mark.parametrize(("one", "other"), [("A", "a"), ("é", "e\u0301"), ("É", "e\u0301"), ("ﬀ", "ff")], ids=repr)
def test_names_that_some_file_system_takes_for_the_same_are_folded_alike(one, other):
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a", "á"), ("a-1", "a+1")], ids=repr)
def test_names_that_differ_are_folded_to_names_that_differ(one, other):
    assert fold(one) != fold(other)


@pytest.mark.parametrize(
    ("index", "prompt", "stems"),
    [
        (7, "a boat", ()),
        (7, "船 boat", ("00007-boat",)),
        (123_456, "a boat", ("123456-a-boat",)),
        (123_456, "船 boat", ("123456-船-boat", "123456-boat")),
    ],
)
def test_the_names_of_earlier_releases_are_known(index, prompt, stems):
    assert stems == earlier_stems(index, job(prompt))
