"""Orders and answers, to and from bytes."""

import pytest

from cometflux.distributed import orders
from cometflux.errors import AnswerError, OutputError
from cometflux.journal.attempts import SavedFile

PAGE = orders.Page(
    version="1",
    place=orders.PlaceAddress(url="s3://bucket/prefix", options={"region": "eu-north-1"}),
    settings=orders.WorkSettings(largest_output=1000, tries=5),
    orders=(orders.Order(prediction_id="p", output=("https://a/1",), stem="00001", record={"key": "é\n", "n": 7}),),
)
ANSWER = orders.Answer(
    results=(
        orders.Result(
            files=(SavedFile(name="a.png", size=3, digest="ab", mark="bare"),),
            fault=orders.Fault.of(OutputError("one is missing", is_transient=True)),
            exchanges=(orders.Exchange(started=1.5, seconds=0.25, fault=orders.Fault(message="slow")),),
        ),
    )
)


def test_a_page_comes_as_it_was_sent():
    assert PAGE == orders.load_page(orders.dump(PAGE))


def test_an_answer_comes_as_it_was_sent():
    assert ANSWER == orders.load_answer(orders.dump(ANSWER), PAGE.orders)
    refusal = orders.Answer(refusal="no room")
    assert refusal == orders.load_answer(orders.dump(refusal), PAGE.orders)


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b"\xff\xfe", orders.dump(ANSWER)])
def test_bytes_that_are_not_a_page_are_refused(data):
    with pytest.raises(AnswerError):
        orders.load_page(data)


BROKEN_FILES = [
    '{"name": "../a.png", "size": 1, "digest": "x", "mark": null}',
    '{"name": "", "size": 1, "digest": "x", "mark": null}',
    '{"name": "a.png", "size": "1", "digest": "x", "mark": null}',
    '{"name": "a.png", "size": 1, "digest": "x", "mark": 3}',
    '{"name": "a.png"}',
    "7",
]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        None,
        "a text",
        b"[1]",
        b'{"results": 3}',
        b'{"results": []}',
        b'{"results": [7]}',
        b'{"results": [{"files": [], "fault": "no", "exchanges": []}]}',
        b'{"results": [{"files": [], "fault": null, "exchanges": [{"started": "x", "seconds": 1, "fault": null}]}]}',
        *[f'{{"results": [{{"files": [{file}], "fault": null, "exchanges": []}}]}}'.encode() for file in BROKEN_FILES],
    ],
)
def test_an_answer_that_is_nonsense_is_refused(data):
    with pytest.raises(AnswerError):
        orders.load_answer(data, PAGE.orders)


def test_a_page_shows_no_credential():
    shown = repr(orders.PlaceAddress(url="s3://b", options={"secret_access_key": "hidden"}))
    assert "hidden" not in shown
