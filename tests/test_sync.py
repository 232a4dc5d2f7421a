"""The session for programs without asyncio keeps the promises of the other one."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import forked_process
import pytest
from dying_process import in_child
from journal_records import count_states
from notebook_runs import execute
from waiting import PATIENCE, rest_of, wait_until

from cometflux import Journal, PollPolicy, errors, events, flux
from cometflux.outcomes import OutcomeKind
from cometflux.sync import open_session
from cometflux.testing import LocalService

PROMPTS = [f"boat {number}" for number in range(6)]
POLLS = PollPolicy(floor=0.02, ceiling=0.05)


@pytest.fixture
def service():
    with LocalService.in_thread(latency=0.02, pixels=256) as service:
        yield service


@pytest.fixture
def opened(service):
    def open_it(**options):
        return open_session(**{"api_key": service.key, "base_url": service.url, "poll_policy": POLLS} | options)

    return open_it


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert [] == [thread for thread in threading.enumerate() if thread.name == "cometflux"]


def pictures(folder):
    return sorted(path.name for path in folder.glob("*.webp"))


# ── run and generate ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_job_is_run_and_its_prediction_or_outcome_is_returned(opened, service, tmp_path):
    with opened() as session:
        prediction = session.run(flux.Schnell(prompt="a boat"))
        outcome = session.run("a boat", save_to=tmp_path)
    assert prediction.output
    assert outcome.ok
    assert [outcome.files[0].name] == pictures(tmp_path)
    assert 2 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize(
    "jobs",
    [list, iter, tuple, lambda prompts: (each for each in prompts), lambda prompts: map(str.title, prompts)],
    ids=["a list", "an iterator", "a tuple", "a generator", "a map"],
)
def test_each_job_of_any_iterable_ends_once(jobs, opened, service, tmp_path):
    for _ in range(2):
        with opened(journal=tmp_path) as session:
            outcomes = list(session.generate(jobs(PROMPTS), save_to=tmp_path))
        assert [*range(6)] == sorted(outcome.index for outcome in outcomes)
        assert all(outcome.ok for outcome in outcomes)
    assert all(outcome.resumed for outcome in outcomes)
    assert 6 == len(service.bills) == len(pictures(tmp_path))


def test_an_async_iterable_is_taken_too(opened):
    async def jobs():
        for prompt in PROMPTS:
            yield prompt

    with opened() as session:
        assert 6 == len(list(session.generate(jobs())))


def test_the_error_of_one_job_is_raised_by_run_and_is_an_outcome_of_generate(opened, service):
    with opened() as session:
        service.fail("failed")
        with pytest.raises(errors.PredictionFailedError):
            session.run("a boat")
        service.fail("422")
        (outcome,) = session.generate(["a boat"])
        assert OutcomeKind.REJECTED is outcome.kind
        assert session.run("a boat").output


def test_wrong_arguments_are_refused_by_the_call_itself(opened, service, tmp_path):
    with pytest.raises(errors.ConfigError, match="max_pending"):
        opened(max_pending=0)
    with opened() as session:
        for jobs in ("a boat", 7, None, {"a": 1}):
            with pytest.raises(errors.InputError):
                session.generate(jobs)
        with pytest.raises(errors.ConfigError):
            session.generate(PROMPTS, save_to=" ")
        with pytest.raises(TypeError):
            session.generate(PROMPTS, save=tmp_path)
    assert [] == service.bills


def test_a_session_that_cannot_be_entered_leaves_no_thread(opened, tmp_path):
    with opened(journal=tmp_path), pytest.raises(errors.JournalLockedError), opened(journal=tmp_path):
        raise AssertionError("entered")


def test_a_session_is_used_only_while_it_is_open(opened):
    session = opened()
    with pytest.raises(errors.SessionClosedError, match="enter it with 'with'"):
        session.run("a boat")
    with session, pytest.raises(errors.SessionClosedError, match="entered once"), session:
        pass
    for call in (lambda: session.run("a boat"), lambda: session.generate(PROMPTS), session.__enter__):
        with pytest.raises(errors.SessionClosedError):
            call()
    session.close()


# ── leaving early ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_lazy", [True, False], ids=["a generator", "a list"])
def test_leaving_the_loop_stops_drawing_and_what_is_paid_for_is_saved(is_lazy, opened, service, tmp_path):
    drawn = []

    def jobs():
        for number in range(1000):
            drawn.append(number)
            yield f"boat {number}"

    with opened(journal=tmp_path, max_pending=4) as session:
        for outcome in session.generate(jobs() if is_lazy else list(jobs()), save_to=tmp_path):
            assert outcome.ok
            break
    assert len(service.bills) == len(pictures(tmp_path)) < 30
    if is_lazy:
        assert len(drawn) < 30
    assert {"saved", "planned", "waiting"} >= set(count_states(tmp_path))


def test_a_session_goes_on_after_a_batch_was_left(opened):
    with opened(max_pending=2) as session:
        batch = session.generate(f"boat {number}" for number in range(1000))
        assert next(batch).ok
        batch.close()
        assert session.run("a boat").output
        assert 6 == len(list(session.generate(PROMPTS)))


def test_an_error_in_the_loop_reaches_the_caller_and_what_is_paid_for_is_saved(opened, service, tmp_path):
    with pytest.raises(ZeroDivisionError), opened(journal=tmp_path, max_pending=4) as session:
        for _ in session.generate((f"boat {number}" for number in range(1000)), save_to=tmp_path):
            raise ZeroDivisionError
    assert 1 <= len(service.bills) == len(pictures(tmp_path)) < 30


@pytest.mark.slow
@pytest.mark.parametrize("error", [ValueError("no more"), StopAsyncIteration(), LookupError()])
def test_an_error_of_the_iterable_is_raised_after_the_last_outcome(error, opened, service):
    def jobs():
        yield from PROMPTS[:3]
        raise error

    seen = []
    expected = RuntimeError if isinstance(error, StopAsyncIteration) else type(error)
    with opened() as session:
        with pytest.raises(expected):
            seen.extend(session.generate(jobs()))
        assert session.run("a boat").output
    assert [0, 1, 2] == sorted(outcome.index for outcome in seen)
    assert 4 == len(service.bills)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_iterable_that_ends_the_program_ends_it_and_what_is_paid_for_is_saved(stop, opened, service, tmp_path):
    def jobs():
        yield from PROMPTS[:3]
        raise stop

    with pytest.raises(stop), opened() as session:
        list(session.generate(jobs(), save_to=tmp_path))
    assert len(service.bills) == len(pictures(tmp_path))


# ── threads ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_iterable_is_drawn_in_the_thread_that_takes_the_outcomes(opened, tmp_path):
    """As sqlite3 demands it, and others."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE prompts AS SELECT 'boat ' || value AS prompt FROM json_each('[1, 2, 3, 4]')")
    rows = database.execute("SELECT prompt FROM prompts")
    with opened(max_pending=2) as session:
        assert 4 == sum(outcome.ok for outcome in session.generate(prompt for (prompt,) in rows))
    database.close()


def test_an_iterable_that_waits_does_not_hold_up_what_is_paid_for(opened, service, tmp_path):
    saved = threading.Event()

    def jobs():
        yield "a fox"
        assert saved.wait(PATIENCE)
        yield "an owl"

    def watch(event):
        if isinstance(event, events.Saved):
            saved.set()

    with opened(on_event=watch) as session:
        assert 2 == sum(outcome.ok for outcome in session.generate(jobs(), save_to=tmp_path))


def test_no_more_jobs_are_drawn_than_there_are_slots_for(opened):
    drawn = 0

    def jobs():
        nonlocal drawn
        for number in range(20):
            drawn += 1
            yield f"boat {number}"

    with opened(max_pending=3) as session:
        for taken, _ in enumerate(session.generate(jobs()), 1):
            assert drawn <= taken + 2 * 3


def test_many_threads_may_call_one_session(opened, service, tmp_path):
    def work(number):
        if number % 2:
            return [session.run(f"boat {number}").id]
        outcomes = session.generate((f"boat {number} {n}" for n in range(3)), save_to=tmp_path / str(number))
        return [outcome.prediction.id for outcome in outcomes]

    with opened(max_pending=4) as session, ThreadPoolExecutor(8) as pool:
        ids = [each for found in pool.map(work, range(8)) for each in found]
    assert sorted(bill.id for bill in service.bills) == sorted(ids)
    assert 16 == len(set(ids))


def test_a_session_that_is_closed_by_another_thread_ends_the_calls_of_all(opened, service):
    service.latency = 600.0
    with ThreadPoolExecutor(3) as pool, opened() as session:
        batch = session.generate(PROMPTS)
        calls = [pool.submit(session.run, "a boat"), pool.submit(next, batch), pool.submit(list, session.generate([]))]
        wait_until(lambda: len(service.bills) == 7)
        session.close()
        ended = [call.exception(PATIENCE) or call.result() for call in calls]
    assert isinstance(ended[0], errors.SessionClosedError)
    assert isinstance(ended[1], errors.SessionClosedError) or OutcomeKind.DETACHED is ended[1].kind
    assert ended[2] == [] or isinstance(ended[2], errors.SessionClosedError)


@pytest.mark.realtime
async def test_it_works_where_a_loop_runs_already(opened):
    """As in a notebook."""
    assert asyncio.get_running_loop().is_running()
    with opened() as session:
        assert session.run("a boat").output
        assert 6 == len(list(session.generate(PROMPTS)))


@pytest.mark.hard
@pytest.mark.filterwarnings("ignore")
def test_it_works_in_a_kernel(service, tmp_path):
    """A kernel of its own, as a notebook has it."""
    nbformat = pytest.importorskip("nbformat")
    cell = f"""
import asyncio
from cometflux.sync import open_session
assert asyncio.get_running_loop().is_running()
with open_session(api_key={service.key!r}, base_url={service.url!r}) as session:
    print(session.run("a boat").status, sum(outcome.ok for outcome in session.generate(iter(["a fox", "an owl"]))))
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    execute(notebook, tmp_path)
    assert "succeeded 2\n" == notebook.cells[0].outputs[0].text
    assert 3 == len(service.bills)


def test_a_callback_that_would_wait_for_itself_is_refused(opened):
    refused = []

    def watch(event):
        for call in (lambda: session.run("a fox"), lambda: session.generate(PROMPTS), session.close):
            with pytest.raises(errors.ConfigError, match="that the session calls cannot") as caught:
                call()
            refused.append(caught.value)

    with opened(on_event=watch) as session:
        assert session.run("a boat").output
    assert refused


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_callback_that_ends_the_program_ends_the_session_and_is_raised(stop, opened, service):
    def watch(event):
        raise stop

    with pytest.raises(stop):
        with opened(on_event=watch) as session:
            for _ in range(1000):
                session.run("a boat")
    assert len(service.bills) < 3


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_cannot_use_the_session_and_does_not_disturb_it(opened, service, tmp_path):
    with opened(journal=tmp_path) as session:
        batch = session.generate(iter(PROMPTS), save_to=tmp_path)
        assert next(batch).ok

        def disturb():
            refusals = 0
            for call in (lambda: session.run("a fox"), lambda: next(batch), lambda: session.generate(PROMPTS)):
                try:
                    call()
                except errors.SessionClosedError:
                    refusals += 1
            session.close()
            return 0 if refusals == 3 else 2

        assert 0 == in_child(disturb)
        assert 5 == len(list(batch))
        assert session.run("a boat").output
    assert 7 == len(service.bills)
    assert 6 == len(pictures(tmp_path))


PROGRAM = """
import sys
from cometflux import PollPolicy
from cometflux.sync import open_session

url, key, folder, how = sys.argv[1:]
session = open_session(api_key=key, base_url=url, journal=folder, max_pending=4, poll_policy=PollPolicy.every(0.1))

def work(session):
    for outcome in session.generate((f"boat {number}" for number in range(1000)), save_to=folder):
        print(outcome.files, flush=True)
        if how == "left open":
            return

if how == "left open":
    work(session.__enter__())
else:
    with session:
        work(session)
"""


@pytest.fixture
def program(tmp_path):
    def start(service, how):
        words = [sys.executable, "-c", PROGRAM, service.url, service.key, tmp_path, how]
        # How the interpreter ends is seen without a fork alone.
        kind = subprocess.Popen if how == "left open" else forked_process.Popen
        process = kind(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    started = []
    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(
    (3, 12, 0) <= sys.version_info < (3, 12, 2), reason="this Python starts no thread while a program ends"
)
def test_a_program_that_ends_with_a_session_open_saves_what_is_paid_for(program, service, tmp_path):
    process = program(service, "left open")
    _, err = process.communicate(timeout=PATIENCE)
    assert (0, "") == (process.returncode, err)
    assert 1 <= len(service.bills) == len(pictures(tmp_path)) < 30
    assert {"saved", "planned", "waiting"} >= set(count_states(tmp_path))


def test_ctrl_c_stops_submitting_and_saves_what_is_paid_for(program, tmp_path):
    with LocalService.in_thread(latency=1.0, pixels=256) as service:
        process = program(service, "to the end")
        process.stdout.readline()
        wait_until(lambda: len(service.bills) > 4)
        process.send_signal(signal.SIGINT)
        _, err = rest_of(process)
        assert process.returncode not in (0, -signal.SIGKILL)
        told = "stopping: waiting up to 30 s for what is paid for; Ctrl-C again waits only for submissions in flight\n"
        assert err.startswith(told)
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert len(service.bills) == len(pictures(tmp_path)) < 100
    assert {"saved", "planned", "waiting"} >= set(count_states(tmp_path))


def test_a_second_ctrl_c_leaves_and_the_journal_knows_each_id(program, tmp_path):
    with LocalService.in_thread(latency=3600.0, pixels=256) as service:
        process = program(service, "to the end")
        wait_until(lambda: len(service.bills) == 4)
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline().startswith("stopping: ")
        process.send_signal(signal.SIGINT)
        _, err = rest_of(process)
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert "Exception in" not in err
        assert 4 == len(service.bills) == count_states(tmp_path)["detached"]
        with Journal(tmp_path) as journal:
            assert {bill.id for bill in service.bills} == {each.prediction_id for each in journal.records()} - {None}


@pytest.mark.hard
@pytest.mark.parametrize("seed", range(12))
def test_ctrl_c_once_or_twice_at_any_moment_loses_no_id(seed, program, tmp_path):
    dice = random.Random(seed)
    with LocalService.in_thread(latency=0.3, pixels=256) as service:
        process = program(service, "to the end")
        wait_until(lambda: service.bills)
        time.sleep(dice.uniform(0, 0.8))
        process.send_signal(signal.SIGINT)
        if is_twice := dice.random() < 0.7:
            time.sleep(dice.choice([0, 0.001, 0.01, 0.1, 0.3]) * dice.random())
            process.send_signal(signal.SIGINT)
        _, err = rest_of(process)
        assert "Exception" not in err
        with Journal(tmp_path) as journal:
            assert {bill.id for bill in service.bills} == {each.prediction_id for each in journal.records()} - {None}
        assert is_twice or len(service.bills) == len(pictures(tmp_path))
