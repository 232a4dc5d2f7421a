"""The way of a record, by hypothesis: whatever happens to a job, its record says so and survives being written."""

import base64
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cometflux.errors import ConnectError, InputError, OutputError, PatienceError, RejectedError, UnknownSubmissionError
from cometflux.images import reference_files
from cometflux.jobs import Job
from cometflux.journal import codec
from cometflux.journal.attempts import Attempt, Charge, Estimate, Evidence, SavedFile
from cometflux.journal.record import JobRecord
from cometflux.journal.states import DROPPED, SENDING, STATE_NAMES, NextStep, State
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status
from cometflux.protocol import encoding

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FAILED = Prediction(id="p", status=Status.FAILED, error="Service is temporarily unavailable")


def new(**known):
    known = {"identity": "key:a", "index": 0, "key": "a", "model": "o/m", "input": {}, "fingerprint": "f", **known}
    return JobRecord(**known)


PLAN = codec.dump_plan(new())


def written_and_read(record):
    return codec.load_record(record.identity, record.index, codec.dump_plan(record), codec.dump_progress(record))


def test_a_purchase_before_whose_answer_is_nested_deep_is_no_reason_not_to_buy_again():
    deep = value = {}
    for _ in range(150):
        value["a"] = value = {}
    failed = new().sending(1.0, "b", 1).accepted(FAILED, 2.0)
    failed = failed.ended(OutcomeKind.FAILED, attrs.evolve(FAILED, extra=deep), None)
    again = written_and_read(failed.sending(3.0, "b", 1))
    assert (FAILED.id, {}) == (again.earlier[0].prediction.id, again.earlier[0].prediction.extra)


def test_a_step_changes_what_a_record_has_and_gives_it_nothing_else():
    """A copy is made past attrs, which would notice a name that no field has."""
    prediction = Prediction(id="p", status=Status.FAILED)
    sent = new().sending(1.0, "b", 1)
    bought = sent.accepted(prediction, 2.0)
    failed = bought.ended(OutcomeKind.FAILED, prediction, None)
    steps = [
        *(sent, bought, failed, sent.withdrawn(), sent.suspected(ConnectError("no")), new().dropped()),
        *(
            bought.ended(OutcomeKind.DETACHED, None, PatienceError("no")),
            bought.saved((), None),
            failed.ready_for_retry(),
        ),
        *(failed.ready_for_retry().back_to_previous_attempt(), sent.adopted("p"), sent.abandoned(), failed.reset()),
    ]
    names = [field.name for field in attrs.fields(JobRecord)]
    assert [names] * len(steps) == [[*attrs.asdict(step, recurse=False)] for step in steps]


# ── the steps ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Way(RuleBasedStateMachine):
    """The steps that a ledger lets a record take, in any order that it allows."""

    @initialize()
    def begin(self):
        self.record, self.may_fall = new(), False

    def move(self, record, *, may_fall=False):
        self.before, self.record, self.may_fall = self.record, record, may_fall
        assert may_fall or record.bought >= self.before.bought

    def stands(self, *states):
        return self.record.state in states

    @precondition(lambda self: self.record.next_step(retry_failed=99) in (NextStep.SUBMIT, NextStep.DECIDE))
    @rule(now=st.floats(0, 1e10))
    def sending(self, now):
        self.move(self.record.sending(now, "body", 7))
        assert SENDING == self.record.state_name

    @precondition(lambda self: self.stands(State.INTENT))
    @rule(error=st.sampled_from([None, ConnectError("down"), RejectedError("no", 429)]))
    def withdrawn(self, error):
        self.move(self.record.withdrawn(error), may_fall=True)
        assert self.before.bought - 1 == self.record.bought

    @precondition(lambda self: self.stands(State.INTENT))
    @rule()
    def accepted(self):
        self.move(self.record.accepted(Prediction(id="p", status=Status.STARTING), 5.0))
        assert NextStep.POLL is self.record.next_step()

    @precondition(lambda self: self.stands(State.INTENT))
    @rule()
    def doubted(self):
        self.move(self.record.ended(OutcomeKind.UNKNOWN, None, UnknownSubmissionError("lost", "no response")))
        assert NextStep.DECIDE is self.record.next_step()

    @precondition(lambda self: self.stands(State.PLANNED) and not self.record.earlier)
    @rule(
        ending=st.sampled_from(
            [(OutcomeKind.REJECTED, RejectedError("no", 422)), (OutcomeKind.NOT_SENT, ConnectError("down"))]
        )
    )
    def not_bought(self, ending):
        self.move(self.record.ended(ending[0], None, ending[1]))
        assert (NextStep.SUBMIT, 0) == (self.record.next_step(), self.record.bought)

    @precondition(lambda self: self.stands(State.ACCEPTED))
    @rule(
        kind=st.sampled_from(
            [OutcomeKind.SUCCEEDED, OutcomeKind.FAILED, OutcomeKind.CANCELED, OutcomeKind.EXPIRED, OutcomeKind.DETACHED]
        )
    )
    def ended(self, kind):
        self.move(self.record.ended(kind, FAILED if kind is OutcomeKind.FAILED else None, PatienceError("over")))

    @precondition(lambda self: self.record.next_step() is NextStep.SAVE)
    @rule(error=st.sampled_from([None, OutputError("gone")]))
    def saved(self, error):
        self.move(self.record.saved((SavedFile(name="a.png", size=1, digest="d"),), error))
        assert ("unsaved" if error else "saved") == self.record.state_name

    @precondition(lambda self: self.record.next_step(retry_failed=99) is NextStep.SUBMIT)
    @rule()
    def ready_for_retry(self):
        self.move(self.record.ready_for_retry())
        assert ("waiting", True) == (self.record.state_name.replace(DROPPED, "waiting"), self.stands(State.PLANNED))

    @precondition(lambda self: self.stands(State.ENDED, State.PLANNED))
    @rule(plan=st.sampled_from(["", PLAN]))
    def redo(self, plan):
        self.move(self.record.redo(plan))
        assert (NextStep.SUBMIT, self.before.bought) == (self.record.next_step(), self.record.bought)
        assert self.before.prediction_ids == self.record.prediction_ids
        assert not self.record.is_retry or self.before == self.record

    @precondition(lambda self: self.stands(State.PLANNED) and self.record.is_retry)
    @rule()
    def back_to_previous_attempt(self):
        self.move(self.record.back_to_previous_attempt(), may_fall=True)
        assert self.before.bought == self.record.bought

    @precondition(lambda self: self.record.next_step() is NextStep.DECIDE)
    @rule()
    def adopted(self):
        self.move(self.record.adopted("found"))
        assert ("pending", "found") == (self.record.state_name, self.record.prediction_id)

    @precondition(lambda self: self.record.next_step() is NextStep.DECIDE)
    @rule()
    def abandoned(self):
        self.move(self.record.abandoned())
        assert ("canceled", NextStep.REPORT) == (self.record.state_name, self.record.next_step())

    @precondition(lambda self: not self.record.bought)
    @rule()
    def dropped(self):
        self.move(self.record.dropped())
        assert DROPPED == self.record.state_name

    @rule()
    def reset(self):
        self.move(self.record.reset(), may_fall=True)
        assert new() == self.record

    @invariant()
    def it_stands_somewhere(self):
        assert self.record.state_name in {*STATE_NAMES, SENDING, DROPPED}

    @invariant()
    def it_survives_being_written(self):
        assert self.record == written_and_read(self.record)

    @invariant()
    def what_is_bought_or_may_be_is_never_submitted_as_if_new(self):
        is_open = self.record.bought > sum(each.is_paid for each in self.record.earlier)
        assert not (is_open and self.record.next_step() is NextStep.SUBMIT)


TestAnyWayOfARecord = pytest.mark.slow(Way.TestCase)


@pytest.mark.parametrize(
    ("name", "step", "record"),
    [
        ("waiting", NextStep.SUBMIT, new()),
        (DROPPED, NextStep.SUBMIT, new().dropped()),
        (SENDING, NextStep.DECIDE, new().sending(1, "b", 1)),
        ("pending", NextStep.POLL, new(state="accepted", prediction_id="p")),
        ("detached", NextStep.POLL, new(state="accepted", kind=OutcomeKind.DETACHED, prediction_id="p")),
        ("saved", NextStep.SAVE, new(state="ended", kind=OutcomeKind.SUCCEEDED, is_whole=True)),
        ("unsaved", NextStep.SAVE, new(state="ended", kind=OutcomeKind.SUCCEEDED)),
        ("failed", NextStep.REPORT, new(state="ended", kind=OutcomeKind.FAILED, prediction=FAILED)),
        ("canceled", NextStep.REPORT, new(state="ended", kind=OutcomeKind.CANCELED)),
        ("canceled", NextStep.REPORT, new(state="ended", kind=OutcomeKind.UNKNOWN, is_abandoned=True)),
        ("expired", NextStep.REPORT, new(state="ended", kind=OutcomeKind.EXPIRED)),
        ("not_sent", NextStep.SUBMIT, new(state="ended", kind=OutcomeKind.NOT_SENT)),
        ("rejected", NextStep.SUBMIT, new(state="ended", kind=OutcomeKind.REJECTED)),
        ("unknown", NextStep.DECIDE, new(state="ended", kind=OutcomeKind.UNKNOWN)),
    ],
)
def test_where_a_job_stands_tells_what_is_to_be_done(name, step, record):
    assert (name, step) == (record.state_name, record.next_step())


@pytest.mark.parametrize(("allowed", "step"), [(0, NextStep.REPORT), (1, NextStep.REPORT), (2, NextStep.SUBMIT)])
def test_a_passing_failure_is_submitted_again_as_often_as_allowed(allowed, step):
    failed = new(
        state="ended", kind=OutcomeKind.FAILED, prediction=FAILED, earlier=(Attempt(number=1, kind=OutcomeKind.FAILED),)
    )
    assert step is failed.next_step(allowed)


def test_a_job_that_is_sent_though_it_was_dropped_is_planned_again():
    assert "waiting" == new().dropped().sending(1, "b", 1).withdrawn().state_name


# ── written and read ─────────────────────────────────────────────────────────────────────────────────────────────────

PLAIN_TEXTS = st.text(max_size=6)
# JSON makes one character of two halves that stand together, so each stands alone.
HALVES = st.builds("{}{}{}".format, PLAIN_TEXTS, st.sampled_from("\ud83d\udc80\udcff"), PLAIN_TEXTS)
TEXTS = PLAIN_TEXTS | HALVES
NAMES = TEXTS | st.sampled_from(["$path", "$bytes", "$mapping", "$", "sha256"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**200), 2**200)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
PATHS = TEXTS.filter(lambda text: "\0" not in text).map(Path)
INPUTS = st.dictionaries(NAMES, st.recursive(VALUES | PATHS, lambda inner: st.lists(inner, max_size=2)), max_size=3)
MOMENTS = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2900, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
maybe = st.none().__or__
PREDICTIONS = st.builds(
    Prediction,
    id=TEXTS.filter(bool),
    status=st.sampled_from(Status),
    model=maybe(TEXTS),
    version=maybe(TEXTS),
    output=st.lists(TEXTS, max_size=2).map(tuple),
    error=maybe(TEXTS.filter(bool)),
    metrics=st.dictionaries(NAMES, VALUES, max_size=2),
    data_removed=maybe(st.booleans()),
    created_at=maybe(MOMENTS),
    completed_at=maybe(MOMENTS),
    extra=st.dictionaries(NAMES | st.sampled_from(["id", "status", "extra", "input", "error"]), VALUES, max_size=2),
)
EVIDENCE = st.builds(
    Evidence, type=TEXTS, message=TEXTS, evidence=maybe(TEXTS), status=maybe(st.integers(0, 999)), fault=maybe(TEXTS)
)
FILES = st.lists(st.builds(SavedFile, name=TEXTS, size=st.integers(0, 2**40), digest=TEXTS), max_size=2).map(tuple)
TIMES = maybe(st.floats(allow_nan=False))
ESTIMATES = st.builds(Estimate, micros=st.integers(0, 10**15), basis=TEXTS)
ATTEMPTS = st.builds(
    Attempt,
    number=st.integers(0, 9),
    began=TIMES,
    answered=TIMES,
    kind=st.sampled_from(OutcomeKind),
    prediction_id=maybe(TEXTS),
    evidence=maybe(EVIDENCE),
    estimate=maybe(ESTIMATES),
    files=FILES,
    plan=st.sampled_from(["", PLAN]),
)
CHARGES = st.builds(
    Charge,
    prediction_id=TEXTS,
    quota=st.integers(0, 10**15),
    refunded=st.integers(0, 10**15),
    source=st.sampled_from(["log", "task"]),
    at=TIMES,
    read=TIMES,
)
RECORDS = st.builds(
    JobRecord,
    identity=TEXTS,
    index=st.integers(0, 10**9),
    key=TEXTS,
    model=TEXTS,
    input=INPUTS,
    fingerprint=TEXTS,
    state=st.sampled_from(State),
    kind=st.sampled_from(OutcomeKind),
    attempt=st.integers(0, 9),
    began=TIMES,
    answered=TIMES,
    body=maybe(TEXTS),
    prediction_id=maybe(TEXTS),
    prediction=maybe(PREDICTIONS),
    evidence=maybe(EVIDENCE),
    estimate=maybe(ESTIMATES),
    files=FILES,
    is_whole=st.booleans(),
    refused=st.integers(0, 9),
    unsent=st.integers(0, 9),
    earlier=st.lists(ATTEMPTS, max_size=2).map(tuple),
    redone=st.integers(0, 2),
    reseeds=st.integers(0, 2),
    is_abandoned=st.booleans(),
    is_dropped=st.booleans(),
    charges=st.lists(CHARGES, max_size=2).map(tuple),
)


@pytest.mark.slow
@given(record=RECORDS)
def test_any_record_is_read_as_it_was_written(record):
    assert record == written_and_read(record)


@pytest.mark.slow
@given(record=RECORDS)
def test_what_is_written_can_be_stored_as_utf8(record):
    (codec.dump_plan(record) + codec.dump_progress(record)).encode()


def test_of_a_prediction_neither_input_nor_logs_are_kept():
    said = Prediction(id="p", status=Status.SUCCEEDED, input={"prompt": "a"}, logs="…", created_at=datetime.now(UTC))
    read = written_and_read(new(prediction=said)).prediction
    assert attrs.evolve(said, input={}, logs=None) == read
    assert timedelta(0) == read.created_at - said.created_at


def nested(depth, kind):
    deep = {}
    for _ in range(depth):
        deep = {"a": deep} if kind is dict else {"a": [deep]}
    return Prediction(id="p", status=Status.SUCCEEDED, output=("https://x/a.png",), extra=deep, metrics=deep)


@pytest.mark.parametrize("kind", [dict, list])
@pytest.mark.parametrize("depth", [200, 700, 3000, 100_000])
def test_of_an_answer_nested_too_deep_for_any_python_to_read_again_the_rest_is_kept(depth, kind):
    said = nested(depth, kind)
    assert attrs.evolve(said, extra={}, metrics={}) == written_and_read(new(prediction=said)).prediction


@pytest.mark.parametrize("kind", [dict, list])
def test_an_answer_that_is_nested_as_answers_are_is_kept_whole(kind):
    said = attrs.evolve(nested(40, kind), metrics={"note": "{[" * 500})
    assert said == written_and_read(new(prediction=said)).prediction


@pytest.mark.parametrize("times", [1, 2])
def test_bytes_come_back_as_missing_and_refuse_to_be_sent(times):
    record = new(input={"images": [{"inner": PNG}]})
    for _ in range(times):
        record = written_and_read(record)
    (part,) = record.input["images"]
    assert isinstance(part["inner"], encoding.MissingBytes)
    assert len(PNG) == part["inner"]["bytes"]
    with pytest.raises(InputError, match="give the image again"):
        encoding.dump_body(Job(model="o/m", input=record.input))


# ── the fingerprint ──────────────────────────────────────────────────────────────────────────────────────────────────


def mark(**values):
    return encoding.fingerprint("o/m", reference_files.describe_input(values))


def test_a_number_counts_by_its_value():
    assert mark(a=3, b=[{"c": 4.0}]) == mark(a=3.0, b=({"c": 4},))


def test_an_image_counts_by_its_bytes_however_it_is_given(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    uri = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert 1 == len({mark(image=path), mark(image=PNG), mark(image=uri)})
    path.write_bytes(PNG + b"\0")
    assert mark(image=PNG) != mark(image=path)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


def same(one, other):
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return one == other


@given(values=st.dictionaries(PLAIN_TEXTS, PLAIN, min_size=2, max_size=4))
def test_the_order_of_names_does_not_count(values):
    assert mark(a=values) == mark(a=dict(reversed(values.items())))


@given(one=PLAIN, other=PLAIN)
def test_another_value_makes_another_fingerprint(one, other):
    assert same(one, other) == (mark(a=one) == mark(a=other))


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (1, True), (0, None), (0.1, math.nextafter(0.1, 1)), (2**53, 2**53 + 1), ("a", ["a"]), ({}, [])],
)
def test_values_that_look_alike_are_told_apart(one, other):
    assert mark(a=one) != mark(a=other)


def test_the_ids_that_the_account_shows_belong_to_the_unknown_submissions_of_a_job():
    once = new().sending(1.0, "body", 0)
    twice = once.ready_for_retry().sending(2.0, "body", 0)
    settled = twice.settled(("x1", "x2"))
    assert ("x2", ["x1"], 2) == (
        settled.prediction_id,
        [each.prediction_id for each in settled.earlier],
        settled.bought,
    )
    assert State.ACCEPTED is settled.state
    one = twice.settled(("x1",))
    assert ("x1", [None]) == (one.prediction_id, [each.prediction_id for each in one.earlier])
    known = twice.adopted("x2").settled(("x1",))
    assert settled == known
