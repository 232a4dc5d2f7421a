"""How a job ended, decoded from its record: every state with every kind."""

import itertools

import attrs
import pytest

from cometflux.errors import (
    ConnectError,
    InputError,
    Money,
    OutputError,
    PatienceError,
    PredictionCanceledError,
    PredictionExpiredError,
    PredictionFailedError,
    RejectedError,
    UnknownSubmissionError,
)
from cometflux.journal.attempts import SavedFile, evidence_of
from cometflux.journal.outcome import RecordedError, outcome_of
from cometflux.journal.record import JobRecord
from cometflux.journal.states import DROPPED, SENDING, STATE_NAMES, State, visible_name
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status

PLANNED = JobRecord(identity="key:a", index=0, key="a", model="o/m", input={"prompt": "a boat"}, fingerprint="f")
SENT = PLANNED.sending(1.0, "b", 1)
ACCEPTED = SENT.accepted(Prediction(id="p", status=Status.STARTING), 2.0)
LOST = UnknownSubmissionError("the answer was lost", "it broke off", status=502, prediction_id="torn")
UNKNOWN = SENT.ended(OutcomeKind.UNKNOWN, None, LOST)
FILES = (SavedFile(name="a-1.png", size=1, digest="d"), SavedFile(name="a-2.png", size=1, digest="d"))


def ended(kind, status=Status.SUCCEEDED, error=None):
    return ACCEPTED.ended(kind, Prediction(id="p", status=status), error)


SUCCEEDED = ended(OutcomeKind.SUCCEEDED)


@pytest.mark.parametrize(
    ("record", "kind", "money", "error"),
    [
        pytest.param(PLANNED, "not_sent", "not_sent", "it waits for another run; nothing was sent", id="waiting"),
        pytest.param(PLANNED.dropped(), "not_sent", "not_sent", "dropped; nothing was sent", id="dropped"),
        pytest.param(
            SENT,
            "unknown",
            "unknown",
            "the process ended while it waited for the response to the submission; "
            "it may be billed, so it is not sent again",
            id="sending",
        ),
        pytest.param(
            ACCEPTED,
            "detached",
            "accepted",
            "the prediction is not over; the prediction is paid for (id p)",
            id="pending",
        ),
        pytest.param(
            ended(OutcomeKind.DETACHED, error=PatienceError("patience is over")),
            "detached",
            "accepted",
            "patience is over; the prediction is paid for (id p)",
            id="detached",
        ),
        pytest.param(SUCCEEDED.saved(FILES, None), "succeeded", "accepted", None, id="saved"),
        pytest.param(
            SUCCEEDED,
            "succeeded",
            "accepted",
            "the images are not saved yet; the prediction is paid for (id p)",
            id="unsaved",
        ),
        pytest.param(
            SUCCEEDED.saved(FILES[:1], OutputError("the download broke off")),
            "succeeded",
            "accepted",
            "the download broke off; the prediction is paid for (id p)",
            id="unsaved, with an error",
        ),
        pytest.param(
            ended(OutcomeKind.FAILED, Status.FAILED),
            "failed",
            "accepted",
            "prediction p failed",
            id="failed",
        ),
        pytest.param(
            PLANNED.ended(OutcomeKind.REJECTED, None, RejectedError("refused", status=422)),
            "rejected",
            "rejected",
            "refused; nothing is billed",
            id="rejected",
        ),
        pytest.param(
            PLANNED.ended(OutcomeKind.NOT_SENT, None, ConnectError("nobody listens")),
            "not_sent",
            "not_sent",
            "nobody listens; nothing was sent",
            id="not sent",
        ),
        pytest.param(
            PLANNED.ended(OutcomeKind.NOT_SENT, None, InputError("seed", "x", "an integer is allowed")),
            "not_sent",
            "not_sent",
            "seed: 'x' was given; an integer is allowed",
            id="an error that does not say what happened to the money",
        ),
        pytest.param(
            UNKNOWN,
            "unknown",
            "unknown",
            "the answer was lost; it may be billed, so it is not sent again (id torn)",
            id="unknown",
        ),
        pytest.param(
            UNKNOWN.abandoned(),
            "canceled",
            "unknown",
            "the answer was lost; it may be billed, so it is not sent again (id torn)",
            id="abandoned",
        ),
        pytest.param(
            UNKNOWN.adopted("q"),
            "detached",
            "accepted",
            "the prediction is not over; the prediction is paid for (id q)",
            id="adopted",
        ),
    ],
)
def test_a_record_is_decoded_into_kind_money_and_error(record, kind, money, error):
    outcome = outcome_of(record)
    assert (kind, money, error) == (outcome.kind, outcome.money, outcome.error and str(outcome.error))
    assert (error is None) == outcome.ok


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        (OutcomeKind.FAILED, Status.FAILED, PredictionFailedError),
        (OutcomeKind.CANCELED, Status.ABORTED, PredictionCanceledError),
        (OutcomeKind.EXPIRED, Status.SUCCEEDED, PredictionExpiredError),
    ],
)
def test_an_ended_prediction_comes_back_as_the_error_that_the_first_run_had(kind, status, error):
    said = Prediction(id="p", status=status, error="NSFW content (E005)")
    outcome = outcome_of(ACCEPTED.ended(kind, said, None))
    assert (kind, error, said) == (outcome.kind, type(outcome.error), outcome.error.prediction)


def test_all_that_is_known_of_an_unknown_submission_is_in_its_error():
    error = outcome_of(UNKNOWN).error
    assert (UnknownSubmissionError, "a") == (type(error), error.key)
    assert evidence_of(LOST) == evidence_of(error)


def test_images_that_were_not_saved_are_an_output_error():
    assert OutputError is type(outcome_of(SUCCEEDED).error)


def test_a_noted_error_names_the_class_that_it_had():
    error = outcome_of(PLANNED.ended(OutcomeKind.REJECTED, None, RejectedError("refused", status=422))).error
    assert (RecordedError, "RejectedError") == (type(error), error.type)


@pytest.mark.parametrize(
    ("place", "names"),
    [(None, ("a-1.png", "a-2.png")), ("s3://bucket/run", ("s3://bucket/run/a-1.png", "s3://bucket/run/a-2.png"))],
)
def test_the_files_are_named_in_their_order_and_by_their_place(place, names):
    assert names == outcome_of(SUCCEEDED.saved(FILES, None), place).files


MONEY = {"not_sent": Money.NOT_SENT, "rejected": Money.REJECTED, "unknown": Money.UNKNOWN}
KINDS = {
    **{name: OutcomeKind(name) for name in STATE_NAMES if name in {*OutcomeKind}},
    **dict.fromkeys(("saved", "unsaved"), OutcomeKind.SUCCEEDED),
    **dict.fromkeys(("waiting", DROPPED), OutcomeKind.NOT_SENT),
    SENDING: OutcomeKind.UNKNOWN,
    "pending": OutcomeKind.DETACHED,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "kind"),
    [(state, kind) for state, kind in itertools.product(State, [None, *OutcomeKind]) if kind or state != State.ENDED],
)
@pytest.mark.parametrize("prediction_id", [None, "p"])
@pytest.mark.parametrize("is_whole", [False, True])
@pytest.mark.parametrize("error", [None, OutputError("no")])
def test_every_state_with_every_kind_is_decoded(state, kind, prediction_id, is_whole, error):
    """A damaged or strange record must not keep the other jobs of a folder from being reported."""
    facts = {"prediction_id": prediction_id, "is_whole": is_whole, "evidence": evidence_of(error)}
    record = attrs.evolve(PLANNED, state=state, kind=kind, **facts)
    outcome = outcome_of(record)
    assert (KINDS[record.state_name], record.state_name == "saved") == (outcome.kind, outcome.ok)
    assert MONEY.get(outcome.kind, Money.ACCEPTED) is outcome.money


@pytest.mark.parametrize(
    ("name", "is_running", "shown"),
    [(SENDING, True, "pending"), (SENDING, False, "unknown"), ("saved", True, "saved"), ("unknown", True, "unknown")],
)
def test_a_submission_on_its_way_is_pending_only_while_a_process_runs(name, is_running, shown):
    assert shown == visible_name(name, is_running=is_running)
