"""When a response ends its prediction: every status, with and without outputs and an error."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.errors import AnswerError
from cometflux.polling.last_response import LONGEST_WAIT, Unsettled, count_wanted, end_of, is_settled, read_end, runs
from cometflux.predictions import Prediction, Status
from cometflux.protocol.decoding import load_prediction

URL = "https://example.com/a.png"
RUNNING = [Status.STARTING, Status.PROCESSING]
OPEN = [*RUNNING, Status.UNRECOGNIZED]


def said(status, output=(), error=None, **more):
    return Prediction(id="p1", status=status, output=output, error=error, **more)


@pytest.mark.parametrize("status", OPEN)
def test_without_output_and_error_a_prediction_runs(status):
    assert read_end(said(status), 5.0) is None


@pytest.mark.parametrize("status", Status)
def test_an_output_that_is_there_is_a_success_unless_the_status_names_another_end(status):
    is_other = status.is_terminal and status is not Status.SUCCEEDED
    expected = said(status if is_other else Status.SUCCEEDED, (URL,))
    assert expected == read_end(said(status, (URL,)), 5.0)


@pytest.mark.parametrize("status", Status)
def test_an_error_that_is_there_is_a_failure_unless_the_status_names_another_end(status):
    is_other = status in (Status.CANCELED, Status.ABORTED)
    assert said(status if is_other else Status.FAILED, (), "E005") == read_end(said(status, (), "E005"), 5.0)


@pytest.mark.parametrize("status", [*OPEN, Status.SUCCEEDED])
def test_an_output_with_an_error_is_taken_at_once(status):
    """It is paid for."""
    assert said(Status.SUCCEEDED, (URL,), "odd") == read_end(said(status, (URL,), "odd"), 5.0, wanted=4)


@pytest.mark.parametrize("status", [Status.UNRECOGNIZED, Status.SUCCEEDED])
def test_fewer_outputs_than_requested_are_taken_unless_the_status_says_that_it_runs(status):
    assert said(Status.SUCCEEDED, (URL,)) == read_end(said(status, (URL,)), 5.0, wanted=4)


def waits(usual, wanted=4, status=Status.PROCESSING):
    """Poll a prediction with one output until it is taken; return the times of the polls."""
    times, before = [5.0], None
    while True:
        before = read_end(said(status, (URL,)), times[-1], wanted=wanted, usual=usual, before=before)
        if not isinstance(before, Unsettled):
            assert said(Status.SUCCEEDED, (URL,)) == before
            return times
        times.append(times[-1] + before.gap)


@pytest.mark.parametrize("status", RUNNING)
@pytest.mark.parametrize(
    ("usual", "longest"), [(0.5, 0.5), (3.0, 3.0), (20.0, 20.0), (3600.0, LONGEST_WAIT), (math.inf, LONGEST_WAIT)]
)
def test_missing_outputs_are_waited_for_as_long_as_is_usual_and_a_minute_at_most(status, usual, longest):
    times = waits(usual, status=status)
    assert 5.0 + longest == pytest.approx(times[-1])
    assert len(times) <= 10


@pytest.mark.parametrize("wanted", [1, 0, -1])
def test_no_output_is_waited_for_that_was_not_requested(wanted):
    assert [5.0] == waits(20.0, wanted)


def test_outputs_that_arrive_meanwhile_end_the_wait():
    before = read_end(said(Status.PROCESSING, (URL,)), 5.0, wanted=2)
    assert said(Status.SUCCEEDED, (URL, URL)) == read_end(
        said(Status.PROCESSING, (URL, URL)), 6.0, wanted=2, before=before
    )


def test_a_success_without_output_is_polled_twice_more():
    empty, seen = said(Status.SUCCEEDED), []
    while not seen or isinstance(seen[-1], Unsettled):
        seen.append(read_end(empty, 5.0 + len(seen), before=seen[-1] if seen else None))
    assert (3, empty) == (len(seen), seen[-1])


def test_missing_outputs_do_not_count_as_polls_of_an_empty_success():
    before = read_end(said(Status.PROCESSING, (URL,)), 5.0, wanted=2)
    assert isinstance(read_end(said(Status.SUCCEEDED), 6.0, wanted=2, before=before), Unsettled)


def test_a_success_whose_data_is_removed_is_not_polled_again():
    removed = said(Status.SUCCEEDED, data_removed=True)
    assert removed == read_end(removed, 5.0)


predictions = st.builds(
    said,
    st.sampled_from(Status),
    st.lists(st.just(URL), max_size=4).map(tuple),
    st.sampled_from([None, "E005"]),
    data_removed=st.sampled_from([None, False, True]),
)
histories = st.none() | st.builds(Unsettled, st.floats(0, 100), st.integers(0, 5))


@given(predictions, st.floats(0, 100), st.integers(-1, 5), st.floats(0, 1e4), histories)
def test_every_end_is_terminal_and_loses_no_output(prediction, later, wanted, usual, before):
    now = later + (before.since if before else 0.0)
    end = read_end(prediction, now, wanted=wanted, usual=usual, before=before)
    assert (end is None) is runs(prediction)
    if isinstance(end, Unsettled):
        assert not is_settled(prediction)
        assert 0 < end.gap
        assert now + end.gap <= max(end.since + LONGEST_WAIT + 1e-6, now + 1.0)
    elif end is not None:
        assert end.status.is_terminal
        assert prediction.output == end.output
        assert prediction.error == end.error
        assert end == end_of(prediction)


@given(predictions, st.integers(0, 5))
def test_no_prediction_with_an_end_in_sight_is_polled_for_longer_than_a_minute(prediction, wanted):
    now, before, polls = 0.0, None, 0
    while isinstance(before := read_end(prediction, now, wanted=wanted, usual=math.inf, before=before), Unsettled):
        now, polls = now + before.gap, polls + 1
    assert now <= LONGEST_WAIT + 1e-6
    assert polls <= 10


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([URL, "p1", "SUCCESS"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "task_id", "status", "output", "error", "data", "url"]), inner)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(json_values, st.integers(0, 4))
def test_any_response_is_read_as_running_as_unsettled_or_as_an_end(value, wanted):
    try:
        prediction = load_prediction(json.dumps(value).encode(), "p1")
    except AnswerError:
        return
    end = read_end(prediction, 0.0, wanted=wanted)
    assert end is None or isinstance(end, Unsettled) or end.status.is_terminal


WANTED = [({}, 1), ({"num_outputs": 4}, 4), ({"num_outputs": None}, 1), ({"num_outputs": "4"}, 1)]


@pytest.mark.parametrize(("input_", "expected"), WANTED, ids=repr)
def test_the_input_says_how_many_outputs_are_requested(input_, expected):
    assert expected == count_wanted(input_)
