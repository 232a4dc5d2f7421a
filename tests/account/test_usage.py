"""Rows of the account in every shape that was seen or is likely, and bytes of any kind."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.account.usage import (
    Charged,
    Entry,
    EntryKind,
    Task,
    dollars,
    mark_of,
    read_entry,
    read_page,
    read_quota,
    read_task,
    sum_up,
)

ROW = {
    "task_id": "abc123456789",
    "model_name": "black-forest-labs/flux-schnell",
    "submit_time": 1_700_000_000,
    "quota": 5,
}


def dump(value):
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("value", "total"),
    [
        ({"success": True, "data": [ROW]}, None),
        ({"success": True, "data": {"items": [ROW], "total": 7, "page": 1}}, 7),
        ({"data": [ROW], "total": "7"}, 7),
        ({"data": {"data": [ROW], "total": 7}}, 7),
        ([ROW], None),
        ({"data": {"models": [], "tasks": [ROW]}}, None),
    ],
    ids=["data", "data.items", "data with a total", "data.data", "the list alone", "a list of something else"],
)
def test_rows_are_found_wherever_they_stand(value, total):
    page = read_page(dump(value))
    assert ((ROW,), total, 0, None) == (page.rows, page.total, page.unread, page.fault)


@pytest.mark.parametrize("value", [{"data": []}, {"data": None}, {"data": {"items": None, "total": 0}}, []], ids=repr)
def test_an_empty_list_is_understood(value):
    page = read_page(dump(value))
    assert ((), None) == (page.rows, page.fault)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        pytest.param(b"<!doctype html>", "the response is not JSON", id="a web page"),
        pytest.param(b"", "the response is not JSON", id="nothing"),
        pytest.param(dump(ROW), "no list of rows (an object)", id="a row alone"),
        pytest.param(dump({"data": "none"}), "no list of rows", id="a text"),
        pytest.param(dump({"data": {"items": {}}}), "no list of rows", id="an object as items"),
        pytest.param(dump(7), "no list of rows (a number)", id="a number"),
        pytest.param(
            dump({"success": False, "message": "no right"}), "the account rejects the request: no right", id="a refusal"
        ),
        pytest.param(b"[" * 100_000, "", id="deeply nested"),
    ],
)
def test_what_has_no_rows_says_why(body, fault):
    page = read_page(body)
    assert () == page.rows
    assert fault in page.fault


def test_rows_that_are_no_objects_are_counted():
    page = read_page(dump({"data": [ROW, None, "x", [1]]}))
    assert ((ROW,), 3) == (page.rows, page.unread)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"task_id": "abc123456…"}, {"id": "abc123456"}),
        ({"task_id": "abc123456..."}, {"id": "abc123456"}),
        ({"submit_time": 1_700_000_000_123}, {"at": 1_700_000_000.123}),
        ({"submit_time": 0, "created_at": "1700000009"}, {"at": 1_700_000_009.0}),
        ({"submit_time": "yesterday"}, {"at": None}),
        ({"quota": "12"}, {"quota": 12}),
        ({"quota": None, "model_name": 7}, {"quota": None, "model": None}),
    ],
    ids=lambda value: repr(value) if "id" not in value and "at" not in value else "",
)
def test_a_task_is_read_as_far_as_it_can_be(changes, expected):
    whole = {"id": "abc123456789", "model": ROW["model_name"], "at": 1_700_000_000.0, "quota": 5}
    assert Task(**(whole | expected)) == read_task(ROW | changes)


@pytest.mark.parametrize("name", [None, "", " ", 7, ["abc"]], ids=repr)
def test_a_row_without_an_id_is_no_task(name):
    assert read_task(ROW | {"task_id": name}) is None


@pytest.mark.parametrize(
    ("row", "kind", "quota", "names"),
    [
        ({"type": 2, "quota": 9, "response_id": "p1"}, "charge", 9, {"p1"}),
        ({"type": "2", "quota": 9.0, "request_id": "r1", "response_id": "p1"}, "charge", 9, {"r1", "p1"}),
        ({"type": 6, "quota": 9, "other": {"task_id": "p1"}}, "refund", 9, {"p1"}),
        ({"type": 6, "quota": -9, "other": '{"task_id": "p1"}'}, "refund", 9, {"p1"}),
        ({"type": 2, "quota": -9, "task_id": "p1"}, "refund", 9, {"p1"}),
        ({"type": "Consume", "quota": "9", "task_id": "p1"}, "charge", 9, {"p1"}),
        ({"type": 1, "quota": 9}, "other", 9, set()),
        ({"type": 5, "quota": 0, "other": "not JSON"}, "other", 0, set()),
        ({}, "other", None, set()),
    ],
)
def test_an_entry_of_the_log_is_read_as_far_as_it_can_be(row, kind, quota, names):
    entry = read_entry(row)
    assert (EntryKind(kind), quota, names) == (entry.kind, entry.quota, entry.names)


@pytest.mark.parametrize("value", [True, None, "x", "1e9", 1.5, float("nan"), float("inf"), 10**16, [], {}], ids=repr)
def test_what_is_no_amount_is_none(value):
    assert read_quota(value) is None


@pytest.mark.parametrize(
    ("quota", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000002"),
        (500_000, "$1.00"),
        (96_000, "$0.192"),
        (5_000_000_005, "$10000.00001"),
        (-5000, "-$0.01"),
    ],
)
def test_an_amount_in_dollars_is_exact(quota, text):
    assert text == dollars(quota)


def charge(name, quota, kind=EntryKind.CHARGE, at=None):
    return Entry(kind=kind, names=frozenset({name}), quota=quota, at=at)


def test_charges_and_refunds_add_up_by_prediction():
    names = {"p1": "p1", "request-1": "p1", "p2": "p2"}
    entries = [
        charge("p1", 5, at=1.0),
        charge("request-1", 3),
        charge("p1", 8, EntryKind.REFUND, at=9.0),
        charge("x", 1),
    ]
    tasks = [Task(id="p1", quota=100), Task(id="p2", quota=7, at=2.0), Task(id="p3", quota=7)]
    expected = {
        "p1": Charged(charged=8, refunded=8, at=9.0),
        "p2": Charged(charged=7, at=2.0, source="task"),
    }
    assert expected == sum_up(names, entries, tasks)


def test_the_list_of_tasks_has_the_charge_of_a_prediction_that_the_log_only_refunds():
    refund = charge("p1", 8, EntryKind.REFUND, at=9.0)
    expected = {"p1": Charged(charged=8, refunded=8, at=2.0, source="task")}
    assert expected == sum_up({"p1": "p1"}, [refund], [Task(id="p1", quota=8, at=2.0)])


def test_a_row_that_comes_on_two_pages_has_one_mark():
    row = {"id": 3, "type": 2, "quota": 5, "response_id": "p1", "request_id": "r1", "other": {"x": 1}}
    assert mark_of(row) == mark_of(row | {"id": 103})
    assert mark_of(row) != mark_of(row | {"request_id": "r2"})


def test_a_row_that_names_two_predictions_is_no_one_s():
    entry = Entry(kind=EntryKind.CHARGE, names=frozenset({"p1", "p2"}), quota=5)
    assert {} == sum_up({"p1": "p1", "p2": "p2"}, [entry])


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "items", "task_id", "quota", "type", "other", "created_at"]), parts)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.one_of(st.binary(max_size=64), plain.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_become_a_page(body):
    for row in read_page(body).rows:
        task, entry = read_task(row), read_entry(row)
        assert task is None or task.id
        assert entry.quota is None or entry.quota >= 0
        assert sum_up({"p1": "p1"}, [entry], [] if task is None else [task]).keys() <= {"p1"}
