"""Which order goes to which worker, and when it goes to the driver; the time is a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.distributed.order_queue import MOST_REFUSALS, OLD, OVERDUE, PAGE, PAUSE, TRIAL, OrderQueue, Ticket

LATE = 2 * OVERDUE
"""How long after a page was taken it is overdue, however many orders it has."""


def tickets(count, place="s3://b/p", joined=0.0, **rest):
    return [Ticket(f"order {number}", place, joined, **rest) for number in range(count)]


def a_queue(workers, *waiting):
    queue = OrderQueue()
    queue.set_workers(workers)
    for ticket in waiting:
        queue.join(ticket)
    return queue


def orders_of(found):
    return [ticket.order for ticket in found]


def test_a_full_page_leaves_at_once():
    queue = a_queue({"one": 1}, *tickets(PAGE + 1))
    page = queue.take_page(0.0)
    assert PAGE == len(page.tickets)
    assert "one" == page.worker


def test_a_part_of_a_page_waits_for_more_orders_and_not_for_long():
    queue = a_queue({"one": 1}, *tickets(3))
    assert queue.take_page(0.0) is None
    assert queue.next_time(0.0) == PAUSE
    assert 3 == len(queue.take_page(PAUSE).tickets)


def test_a_page_holds_orders_for_one_place():
    queue = a_queue({"one": 2}, *tickets(2, "here"), *tickets(1, "there"))
    assert [2, 1] == [len(queue.take_page(PAUSE).tickets) for _ in range(2)]


def test_the_worker_with_the_fewest_pages_for_its_width_is_chosen():
    queue = a_queue({"narrow": 1, "wide": 4}, *tickets(5 * PAGE))
    assert ["narrow", "wide", "wide", "wide", "wide"] == [queue.take_page(0.0).worker for _ in range(5)]
    assert queue.take_page(0.0) is None


def test_orders_without_any_worker_are_the_drivers():
    queue = a_queue({}, *tickets(2))
    assert ["order 0", "order 1"] == orders_of(queue.take_own(0.0))


def test_an_overdue_page_goes_to_another_worker_and_the_second_time_to_the_driver():
    queue = a_queue({"one": 1, "two": 1}, *tickets(1))
    first = queue.take_page(PAUSE)
    assert queue.next_time(PAUSE) == PAUSE + OVERDUE * (1 + 1 / PAGE)
    assert {first.worker} == queue.take_overdue(PAUSE + LATE)
    second = queue.take_page(1.5 * LATE)
    assert {"one", "two"} == {first.worker, second.worker}
    queue.take_overdue(2.5 * LATE)
    assert ["order 0"] == orders_of(queue.take_own(2.5 * LATE))


def a_queue_with_a_silent_worker(others=None):
    """A queue whose worker ``one`` did not answer for a page, at the time `LATE`."""
    queue = a_queue({"one": 2}, *tickets(PAGE))
    page = queue.take_page(0.0)
    queue.set_workers({"one": 2} | (others or {}))
    assert {"one"} == queue.take_overdue(LATE)
    return queue, page


def test_a_worker_that_does_not_answer_gets_no_page_until_it_has_answered():
    queue, late = a_queue_with_a_silent_worker({"two": 1})
    for ticket in tickets(2 * PAGE, joined=LATE):
        queue.join(ticket)
    assert ["two"] == [queue.take_page(LATE).worker]
    assert queue.take_page(LATE + 10.0) is None
    assert queue.is_silent("one")
    assert [] == queue.answered(late, is_refused=False), "its orders are elsewhere"
    assert not queue.is_silent("one")
    assert "one" == queue.take_page(LATE + 10.0).worker


def test_without_a_worker_that_answers_the_orders_are_the_drivers():
    queue, _ = a_queue_with_a_silent_worker()
    assert not queue.has_workers
    assert PAGE == len(queue.take_own(LATE))
    for ticket in tickets(2, joined=LATE):
        queue.join(ticket)
    assert 2 == len(queue.take_own(LATE))
    assert 0 == queue.capacity


def test_a_worker_that_does_not_answer_is_told_of_once():
    queue = a_queue({"one": 2}, *tickets(2 * PAGE))
    queue.take_page(0.0)
    queue.take_page(5.0)
    assert {"one"} == queue.take_overdue(LATE)
    assert set() == queue.take_overdue(LATE + 5.0)


@pytest.mark.parametrize("others", [{}, {"two": 1}], ids=["alone", "with another one"])
def test_a_worker_that_does_not_answer_is_tried_now_and_then_with_one_order(others):
    queue, _ = a_queue_with_a_silent_worker(others)
    queue.take_own(LATE)
    if others:
        queue.answered(queue.take_page(LATE), is_refused=False)
    pages, now = [], LATE
    while now < LATE + 4 * TRIAL:
        now += 1.0
        queue.join(Ticket("an order", "s3://b/p", now - PAUSE))
        queue.join(Ticket("another", "s3://b/p", now - PAUSE))
        assert set() == queue.take_overdue(now), "it is told of once"
        while (page := queue.take_page(now)) is not None:
            if page.worker == "one":
                pages.append((now, page))
            else:
                queue.answered(page, is_refused=False)
        queue.take_own(now)
        assert len(queue) <= 1, "the others do not wait for it"
    assert 3 <= len(pages) <= 4
    assert all(1 == len(page.tickets) for _, page in pages)
    queue.answered(pages[-1][1], is_refused=False)
    assert not queue.is_silent("one")
    assert queue.has_workers


def test_a_late_answer_is_dropped():
    queue = a_queue({"one": 1, "two": 1}, *tickets(1))
    page = queue.take_page(PAUSE)
    queue.take_overdue(PAUSE + LATE)
    assert [] == queue.answered(page, is_refused=False)
    assert 1 == len(queue)


def test_an_old_order_is_the_drivers_at_once():
    queue = a_queue({"one": 1}, *tickets(1), *tickets(1, joined=10.0))
    assert ["order 0"] == orders_of(queue.take_own(OLD))


def test_orders_of_a_worker_that_is_gone_go_elsewhere():
    queue = a_queue({"one": 1, "two": 1}, *tickets(1))
    page = queue.take_page(PAUSE)
    other = ({"one", "two"} - {page.worker}).pop()
    queue.set_workers({other: 1})
    assert other == queue.take_page(1.0).worker


def test_a_worker_whose_place_refuses_several_times_in_a_row_is_put_aside():
    queue = a_queue({"one": 1}, *tickets(MOST_REFUSALS * PAGE + 1))
    for _ in range(MOST_REFUSALS):
        assert queue.has_workers
        queue.answered(queue.take_page(0.0), is_refused=True)
    assert not queue.has_workers
    assert 1 == len(queue.take_own(0.0))


def test_a_worker_that_saves_again_is_not_put_aside():
    queue = a_queue({"one": 1}, *tickets(2 * MOST_REFUSALS * PAGE))
    for number in range(2 * MOST_REFUSALS):
        queue.answered(queue.take_page(0.0), is_refused=number % 2 == 0)
    assert queue.has_workers


def test_a_page_that_broke_its_worker_is_the_drivers():
    queue = a_queue({"one": 1, "two": 1}, *tickets(1))
    queue.failed(queue.take_page(PAUSE), to_driver=True)
    assert ["order 0"] == orders_of(queue.take_own(1.0))


def test_a_caller_who_leaves_takes_his_order_along_wherever_it_is():
    waiting, own, sent = tickets(3)
    own.needs_driver = True
    queue = a_queue({"one": 1}, sent)
    queue.take_page(PAUSE)
    queue.join(waiting)
    queue.join(own)
    for ticket in (waiting, own, sent):
        queue.leave(ticket)
    assert 0 == len(queue)


STEPS = st.lists(
    st.sampled_from(["join", "join", "page", "answer", "refuse", "fail", "break", "overdue", "own", "lose", "return"]),
    max_size=60,
)


@given(STEPS)
def test_no_order_is_lost_or_given_out_twice(steps):
    """At each step an order is waiting, at one worker, with the driver, or done."""
    queue = a_queue({"one": 1, "two": 2})
    now, joined, done, driver, pages = 0.0, 0, [], [], []
    for step in steps:
        now += 1.0
        match step:
            case "join":
                queue.join(Ticket(joined, "here", now))
                joined += 1
            case "page":
                if (page := queue.take_page(now)) is not None:
                    pages.append(page)
            case "answer" if pages:
                done += queue.answered(pages.pop(0), is_refused=False)
            case "refuse" if pages:
                page = pages.pop(0)
                queue.give_back(queue.answered(page, is_refused=True), page.worker)
            case "fail" | "break" if pages:
                queue.failed(pages.pop(0), to_driver=step == "break")
            case "overdue":
                now += LATE
                queue.take_overdue(now)
            case "own":
                driver += queue.take_own(now)
            case "lose":
                queue.set_workers({"two": 2})
            case "return":
                queue.set_workers({"one": 1, "two": 2})
        assert joined == len(queue) + len(done) + len(driver)
        assert all(0 <= worker.pages <= worker.width for worker in queue.workers.values())
    given_out = orders_of([*done, *driver])
    assert len(given_out) == len(set(given_out))
