import collections
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cometflux.engine.notifier import Notifier
from cometflux.engine.purchase_limit import PurchaseLimit
from cometflux.engine.tracking import JobTracker
from cometflux.errors import (
    AnswerError,
    AuthenticationError,
    CometfluxError,
    ConfigError,
    ConnectError,
    InputError,
    Money,
    OutputError,
    PatienceError,
    PredictionCanceledError,
    PredictionFailedError,
    RateLimitError,
    SessionClosedError,
    SessionStoppedError,
    UnknownSubmissionError,
)
from cometflux.images.formats import ImageFile
from cometflux.jobs import Job
from cometflux.journal.base import NoJournal
from cometflux.outcomes import Outcome, OutcomeKind, kind_of_loss, verdict
from cometflux.predictions import Prediction, Status

JOB = Job(model="somebody/something", input={"prompt": "a boat"})
URL = "https://example.com/a.png"


def prediction(status=Status.SUCCEEDED, output=(URL,)):
    return Prediction(id="p1", status=status, output=output)


def ignore(outcome):
    pass


def new_tracker():
    return JobTracker(NoJournal(), PurchaseLimit(None), Notifier(None))


def ending(tracker, tracked, *how):
    """End a job, and return the outcome that is delivered."""
    delivered = []
    tracked.deliver = delivered.append
    tracker.end(tracked, *how)
    (outcome,) = delivered
    return outcome


# The verdict.


@pytest.mark.parametrize(
    ("status", "output", "kind", "error"),
    [
        (Status.SUCCEEDED, (URL,), OutcomeKind.SUCCEEDED, type(None)),
        (Status.SUCCEEDED, (), OutcomeKind.SUCCEEDED, OutputError),
        (Status.FAILED, (), OutcomeKind.FAILED, PredictionFailedError),
        (Status.FAILED, (URL,), OutcomeKind.FAILED, PredictionFailedError),
        (Status.CANCELED, (), OutcomeKind.CANCELED, PredictionCanceledError),
        (Status.CANCELED, (URL,), OutcomeKind.CANCELED, PredictionCanceledError),
        (Status.ABORTED, (), OutcomeKind.CANCELED, PredictionCanceledError),
    ],
)
def test_the_services_last_word_names_the_end(status, output, kind, error):
    said = prediction(status, output)
    named, raised = verdict(said)
    assert (kind, error) == (named, type(raised))
    assert raised is None or said.id == raised.prediction_id


@pytest.mark.parametrize(
    ("data_removed", "age", "kind", "says"),
    [
        (True, 0.0, OutcomeKind.EXPIRED, "its output is gone"),
        (False, 3601.0, OutcomeKind.EXPIRED, "its output is gone"),
        (False, 3600.0, OutcomeKind.SUCCEEDED, "the service returned no output"),
        (None, 0.0, OutcomeKind.SUCCEEDED, "the service returned no output"),
    ],
)
def test_an_output_is_gone_only_if_it_was_removed_or_is_old(data_removed, age, kind, says):
    said = Prediction(id="p1", status=Status.SUCCEEDED, data_removed=data_removed)
    named, error = verdict(said, age)
    assert (kind, says in str(error), Money.ACCEPTED) == (named, True, error.money)


@pytest.mark.parametrize("status", [status for status in Status if not status.is_terminal])
@pytest.mark.parametrize("output", [(), (URL,)], ids=["no output", "output"])
def test_what_is_not_over_has_no_verdict(status, output):
    with pytest.raises(ValueError, match="is not the end"):
        verdict(prediction(status, output))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectError("no route"), OutcomeKind.NOT_SENT),
        (ConfigError("no key"), OutcomeKind.NOT_SENT),
        (InputError("seed", -1, "less"), OutcomeKind.NOT_SENT),
        (SessionStoppedError(ConnectError("no route")), OutcomeKind.NOT_SENT),
        (SessionClosedError("closed"), OutcomeKind.NOT_SENT),
        (SessionClosedError("closed", money=Money.ACCEPTED), OutcomeKind.DETACHED),
        (RateLimitError("slow down", 429), OutcomeKind.REJECTED),
        (AuthenticationError("bad key", 401), OutcomeKind.REJECTED),
        (UnknownSubmissionError("the connection broke"), OutcomeKind.UNKNOWN),
        (PatienceError("not over"), OutcomeKind.DETACHED),
        (AnswerError("not JSON"), OutcomeKind.DETACHED),
        (CometfluxError("given up"), OutcomeKind.NOT_SENT),
    ],
    ids=repr,
)
def test_a_loss_is_named_by_what_happened_to_the_money(error, kind):
    assert kind is kind_of_loss(error)


@pytest.mark.parametrize("money", Money)
def test_every_loss_has_a_name(money):
    assert kind_of_loss(CometfluxError(money=money)) in OutcomeKind


# Outcomes.


def outcome(kind=OutcomeKind.SUCCEEDED, **values):
    return Outcome(index=0, key="k1", job=JOB, kind=kind, **values)


def test_an_outcome_gives_the_prediction_as_a_future_would():
    said = prediction()
    assert said is outcome(prediction=said).result()


def test_an_outcome_raises_its_error_as_a_future_would():
    error = ConnectError("no route")
    with pytest.raises(ConnectError) as caught:
        outcome(OutcomeKind.NOT_SENT, error=error).result()
    assert caught.value is error


@pytest.mark.parametrize("kind", OutcomeKind)
def test_only_a_success_is_ok(kind):
    assert (kind is OutcomeKind.SUCCEEDED) is outcome(kind).ok


def test_a_picture_that_is_paid_and_not_saved_is_not_ok():
    lost = outcome(prediction=prediction(), error=OutputError("the disk is full"))
    assert not lost.ok
    with pytest.raises(OutputError):
        lost.result()


# The way of one job.


def test_a_job_without_a_key_is_named_by_its_place():
    tracker = new_tracker()
    jobs = [tracker.enter(JOB, ignore) for _ in range(3)]
    assert [(0, "#00000"), (1, "#00001"), (2, "#00002")] == [(tracked.index, tracked.key) for tracked in jobs]


def test_a_batch_counts_its_own_jobs():
    tracker = new_tracker()
    tracker.enter(JOB, ignore)
    tracked = tracker.enter(JOB, ignore, index=7, place=Path("images"), patience=5.0)
    assert (7, "#00007", Path("images"), 5.0) == (tracked.index, tracked.key, tracked.place, tracked.patience)


def test_a_jobs_own_key_is_kept():
    assert "k1" == new_tracker().enter(Job(model=JOB.model, input={}, key="k1"), ignore).key


def test_a_job_is_waiting_then_pending_then_neither():
    tracker = new_tracker()
    tracked = tracker.enter(JOB, ignore)
    assert ([tracked], [], None) == ([*tracker.waiting], [*tracker.pending], tracked.prediction_id)
    tracker.pend(tracked, prediction(Status.STARTING))
    assert ([], [tracked], "p1") == ([*tracker.waiting], [*tracker.pending], tracked.prediction_id)
    ending(tracker, tracked, OutcomeKind.SUCCEEDED, None)
    assert ([], [], True) == ([*tracker.waiting], [*tracker.pending], tracked.is_over)


def test_a_job_is_accepted_once():
    tracker = new_tracker()
    tracked = tracker.enter(JOB, ignore)
    tracker.pend(tracked, prediction())
    with pytest.raises(KeyError):
        tracker.pend(tracked, prediction())


@pytest.mark.parametrize("is_accepted", [True, False])
def test_a_job_ends_once(is_accepted):
    tracker = new_tracker()
    tracked = tracker.enter(JOB, ignore)
    if is_accepted:
        tracker.pend(tracked, prediction())
    ending(tracker, tracked, OutcomeKind.UNKNOWN, None)
    before = tracker.accounting
    with pytest.raises(AssertionError, match="a job ends once"):
        ending(tracker, tracked, OutcomeKind.SUCCEEDED, None)
    assert before == tracker.accounting


def test_the_outcome_tells_all_that_is_known():
    tracker = new_tracker()
    tracked = tracker.enter(JOB, ignore, index=3)
    said = prediction()
    tracker.pend(tracked, said)
    ended = ending(tracker, tracked, OutcomeKind.SUCCEEDED, None, (ImageFile(path=Path("a.png"), size=1, digest="d"),))
    expected = Outcome(
        index=3, key="#00003", job=JOB, kind=OutcomeKind.SUCCEEDED, prediction=said, error=None, files=(Path("a.png"),)
    )
    assert expected == ended


def test_an_error_learns_whose_it_is():
    tracker = new_tracker()
    tracked = tracker.enter(JOB, ignore)
    tracker.pend(tracked, prediction(Status.PROCESSING))
    error = ending(tracker, tracked, OutcomeKind.DETACHED, PatienceError("not over")).error
    assert ("#00000", "p1") == (error.key, error.prediction_id)


def test_an_error_that_knows_whose_it_is_keeps_it():
    tracker = new_tracker()
    tracked = tracker.enter(JOB, ignore)
    tracker.pend(tracked, prediction(Status.PROCESSING))
    error = ending(
        tracker, tracked, OutcomeKind.DETACHED, PatienceError("not over", key="k9", prediction_id="p9")
    ).error
    assert ("k9", "p9") == (error.key, error.prediction_id)


class TrackerMachine(RuleBasedStateMachine):
    """Against plain lists: nothing is dropped, nothing counted twice."""

    def __init__(self):
        super().__init__()
        self.tracker = new_tracker()
        self.count = 0
        self.waiting, self.pending, self.saving, self.ended = [], [], [], []
        self.kinds = collections.Counter()

    @rule(index=st.none() | st.integers(0, 5))
    def enter(self, index):
        self.waiting.append(self.tracker.enter(JOB, ignore, index=index))
        self.count += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def accept(self, data):
        tracked = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        self.tracker.pend(tracked, prediction(Status.STARTING))
        self.pending.append(tracked)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def conclude(self, data):
        tracked = self.pending.pop(data.draw(st.integers(0, len(self.pending) - 1)))
        self.tracker.conclude(tracked, prediction(Status.SUCCEEDED))
        self.saving.append(tracked)

    @precondition(lambda self: self.waiting or self.pending or self.saving)
    @rule(data=st.data(), kind=st.sampled_from(OutcomeKind))
    def end(self, data, kind):
        tracked = data.draw(st.sampled_from(self.waiting + self.pending + self.saving))
        next(group for group in (self.waiting, self.pending, self.saving) if tracked in group).remove(tracked)
        assert kind is ending(self.tracker, tracked, kind, None).kind
        self.kinds[kind] += 1
        self.ended.append(tracked)

    @precondition(lambda self: self.ended)
    @rule(data=st.data(), kind=st.sampled_from(OutcomeKind))
    def end_again(self, data, kind):
        with pytest.raises(AssertionError):
            ending(self.tracker, data.draw(st.sampled_from(self.ended)), kind, None)

    @invariant()
    def the_accounting_adds_up(self):
        accounting = self.tracker.accounting
        assert accounting.pop("all") == sum(accounting.values()) == self.count
        assert (len(self.waiting), len(self.pending)) == (accounting.pop("waiting"), accounting.pop("pending"))
        assert len(self.saving) == accounting.pop("saving")
        assert {str(kind): self.kinds[kind] for kind in OutcomeKind} == accounting
        assert ([*self.waiting], [*self.pending]) == ([*self.tracker.waiting], [*self.tracker.pending])
        assert [*self.saving] == [*self.tracker.saving]


TestTracker = pytest.mark.slow(TrackerMachine.TestCase)


# What is kept while a prediction runs.


def under_way(**values):
    return Prediction(id="p1", status=Status.STARTING, **values)


def test_what_carried_a_submission_is_let_go_when_it_is_accepted():
    tracker = new_tracker()
    tracked = tracker.enter(JOB, ignore)
    tracked.task = object()
    tracker.pend(tracked, under_way())
    assert tracked.task is None
