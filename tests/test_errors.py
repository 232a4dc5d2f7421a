import copy
import inspect
import pickle
import re
from pathlib import Path

import pytest

from cometflux import errors
from cometflux.errors import (
    AccountError,
    AnswerError,
    AuthenticationError,
    ChainError,
    CometfluxError,
    ConfigError,
    ConnectError,
    CreditError,
    InputError,
    JournalError,
    JournalLockedError,
    JournalMismatchError,
    LimitError,
    MissingExtraError,
    ModelNotFoundError,
    Money,
    OutputError,
    PatienceError,
    PredictionCanceledError,
    PredictionError,
    PredictionExpiredError,
    PredictionFailedError,
    RateLimitError,
    RejectedError,
    SessionClosedError,
    SessionStoppedError,
    UnknownSubmissionError,
    WithheldImageError,
    needs_extra,
)
from cometflux.models.image_kinds import ImageKind, ImagesKind
from cometflux.models.kinds import BooleanKind, IntegerKind
from cometflux.predictions import Prediction, Status

ERRORS = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
}
FAILED = Prediction(id="p1", status=Status.FAILED, error="out of memory")
REFUSAL = ("refused", 422, "invalid_request", "prompt is required", "req-1")

EXAMPLES = [
    CometfluxError("given up"),
    ConfigError(setting="max_pending", given=0, allowed="must be a whole number from 1"),
    MissingExtraError("the gallery", "gallery"),
    InputError("seed", -1, "must be a whole number from 0", kind=IntegerKind(0, 9), hint="leave it out"),
    ChainError("it takes the output of draft, which failed"),
    ConnectError("no route to host"),
    RejectedError(*REFUSAL),
    AuthenticationError(*REFUSAL),
    CreditError(*REFUSAL),
    ModelNotFoundError(*REFUSAL),
    RateLimitError(*REFUSAL),
    UnknownSubmissionError("the connection broke", "reset by peer"),
    AnswerError("the answer is not JSON"),
    AccountError("the account rejects the access token"),
    PredictionError(FAILED),
    PredictionFailedError(FAILED),
    WithheldImageError(FAILED),
    PredictionCanceledError(FAILED),
    PredictionExpiredError(FAILED),
    PatienceError("not over after 1800 s"),
    OutputError("the output is cut short", is_transient=True),
    LimitError("the limit of 5 predictions is reached"),
    SessionStoppedError(CreditError("no credit left", 402)),
    SessionClosedError("the session is closed"),
    JournalError("the journal cannot be used: disk I/O error"),
    JournalLockedError("the journal is in use"),
    JournalMismatchError("it belongs to another key", path=Path("a.db"), setting="new_key", hint="pass new_key=True"),
]
every_error = pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)


def drawn_tree():
    """Read the parent of each class off the drawing in the module's docstring."""
    parents, above = {}, []
    for line in errors.__doc__.splitlines():
        if not (found := re.fullmatch(r"    ([│├└─ ]*)(\w+Error)( .*)?", line)):
            continue
        level = len(found[1]) // 4
        above[level:] = [found[2]]
        parents[found[2]] = above[level - 1] if level else "Exception"
    return parents


def test_the_tree_is_the_one_that_is_drawn():
    assert drawn_tree() == {name: error.__mro__[1].__name__ for name, error in ERRORS.items()}


def test_every_error_has_an_example_here():
    assert list(ERRORS) == [type(example).__name__ for example in EXAMPLES]


def state(error):
    """Compare errors by value: what an attribute holds may be an error itself."""
    return (
        type(error),
        error.message,
        {k: state(v) if isinstance(v, Exception) else v for k, v in vars(error).items()},
    )


@every_error
@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "deep", "pickle"]
)
def test_an_error_travels_with_all_it_knows(error, clone):
    # Not a shallow copy: packages that pickle tracebacks make those share the attributes.
    error = copy.deepcopy(error)
    error.key, error.prediction_id, error.money = "k1", "p1", Money.UNKNOWN
    error.is_foreign = True
    assert state(error) == state(clone(error))
    assert str(error) == str(clone(error))


def test_a_rate_limit_travels_with_the_wait_it_names():
    error = RateLimitError(*REFUSAL)
    error.retry_after = 5.0
    assert 5.0 == pickle.loads(pickle.dumps(error)).retry_after


@pytest.mark.parametrize(
    ("error", "money"),
    [
        (ConfigError, "not_sent"),
        (InputError, "not_sent"),
        (ConnectError, "not_sent"),
        (RejectedError, "rejected"),
        (AuthenticationError, "rejected"),
        (CreditError, "rejected"),
        (ModelNotFoundError, "rejected"),
        (RateLimitError, "rejected"),
        (UnknownSubmissionError, "unknown"),
        (AnswerError, "accepted"),
        (PredictionError, "accepted"),
        (PatienceError, "accepted"),
        (OutputError, "accepted"),
        (LimitError, "not_sent"),
        (SessionStoppedError, "not_sent"),
        (JournalError, "not_sent"),
        (SessionClosedError, "not_sent"),
    ],
)
def test_each_class_knows_what_happened_to_the_money(error, money):
    example = next(example for example in EXAMPLES if type(example) is error)
    assert money == example.money


@pytest.mark.parametrize(
    ("money", "words"),
    [
        (Money.NOT_SENT, "nothing was sent"),
        (Money.REJECTED, "nothing is billed"),
        (Money.ACCEPTED, "the prediction is paid for"),
        (Money.UNKNOWN, "it may be billed, so it is not sent again"),
    ],
)
def test_the_message_ends_in_what_happened_to_the_money(money, words):
    assert f"it broke; {words}" == str(CometfluxError("it broke", money=money))
    assert f"it broke; {words} (id p1)" == str(CometfluxError("it broke", money=money, prediction_id="p1"))


@every_error
def test_every_message_but_those_that_go_without_saying_tells_of_the_money(error):
    tells = any(words in str(error) for words in errors._CONSEQUENCES.values())
    assert tells is not isinstance(
        error, AccountError | ConfigError | InputError | PredictionError | SessionStoppedError
    )


def test_an_error_without_words_is_named_by_its_class():
    assert "ConnectError; nothing was sent" == str(ConnectError())


def test_a_stopped_session_names_the_first_cause():
    error = SessionStoppedError(CreditError("the service rejected the request with HTTP 402: no credit", 402))
    expected = "the session stopped submitting, because the service rejected the request with HTTP 402: no credit"
    assert expected == str(error)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PredictionFailedError(FAILED), "prediction p1 failed: out of memory"),
        (PredictionFailedError(Prediction(id="p1", status=Status.FAILED)), "prediction p1 failed"),
        (PredictionCanceledError(Prediction(id="p1", status=Status.ABORTED)), "prediction p1 was canceled"),
    ],
    ids=["failed", "failed without a reason", "aborted"],
)
def test_a_prediction_error_names_the_prediction_and_the_reason(error, message):
    assert message == str(error)
    assert "p1" == error.prediction_id


# Input errors.


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (-1, "-1"),
        ("a", "'a'"),
        (b"\x89PNG" * 1_000_000, "a value of 4000000 bytes"),
        ("x" * 1_000_000, "'" + "x" * 78 + "…"),
        ([0] * 1_000_000, "[" + "0, " * 26 + "…"),
        ("x" * 78, "'" + "x" * 78 + "'"),
        ("x" * 79, "'" + "x" * 78 + "…"),
        (10**5000, "a value of type int"),
        ("\udc80", r"'\udc80'"),
    ],
    ids=[
        "number",
        "text",
        "bytes",
        "long text",
        "long list",
        "80 characters",
        "81 characters",
        "integer that Python will not print",
        "surrogate",
    ],
)
def test_an_input_error_shows_what_was_given_shortened(given, shown):
    assert f"field: {shown} was given; must be less" == str(InputError("field", given, "must be less"))


@pytest.mark.parametrize("given", [b"\x89PNG" * 1_000_000, ["x" * 1_000_000], 10**5000], ids=["bytes", "list", "int"])
def test_the_repr_of_an_input_error_is_as_short(given):
    assert len(repr(InputError("field", given, "must be less"))) < 300


# The data behind a message.


def test_a_setting_is_named_with_what_was_given_and_what_is_allowed():
    error = ConfigError(setting="max_pending", given=0, allowed="must be a whole number from 1")
    assert "max_pending=0: must be a whole number from 1" == str(error)
    assert ("max_pending", 0, "0") == (error.setting, error.given, error.shown)
    assert "proxy: must be a URL" == str(ConfigError(setting="proxy", allowed="must be a URL"))


def test_a_hint_stands_behind_the_problem_and_is_data_of_its_own():
    error = JournalMismatchError("it was begun with another key", setting="new_key", hint="pass new_key=True")
    assert "it was begun with another key; pass new_key=True; nothing was sent" == str(error)
    assert ("it was begun with another key", "pass new_key=True") == (error.problem, error.hint)


def test_a_missing_extra_is_a_setting_and_a_module_that_is_not_there():
    with pytest.raises(ConfigError) as caught, needs_extra("the gallery", "gallery", "no_such_package"):
        import no_such_package.part  # noqa: F401
    assert 'the gallery needs an extra: pip install "cometflux[gallery]"' == str(caught.value)
    assert isinstance(caught.value, ModuleNotFoundError)
    assert ("the gallery", "gallery") == (caught.value.what, caught.value.extra)


def test_a_module_that_no_extra_brings_is_told_as_it_is():
    with pytest.raises(ModuleNotFoundError) as caught, needs_extra("the gallery", "gallery", "jinja2"):
        import no_such_package  # noqa: F401
    assert type(caught.value) is ModuleNotFoundError


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (ImageKind(), "a.png", "field: 'a.png' was given; must be the name of a picture"),
        (
            ImageKind(),
            "https://a b",
            "field: 'https://a b' was given; must be the name of a picture; a URL",
        ),
        (ImagesKind(2), 7, "field: 7 was given; must be a list of at most 2 images, each the name of a picture"),
        (BooleanKind(), "no", "field: 'no' was given; must be true or false"),
        (IntegerKind(0, 9), "no", "field: 'no' was given; must be a whole number from 0 to 9"),
    ],
)
def test_a_face_has_words_of_its_own_for_the_kinds_of_values(kind, value, message):
    with pytest.raises(InputError) as caught:
        kind.check("field", value)
    told = caught.value.message_in({"image": "the name of a picture", "boolean": "true or false"})
    assert told.startswith(message)
    assert caught.value.under("other").message == caught.value.message.replace("field", "other", 1)


# Which failures may pass.


@pytest.mark.parametrize(
    ("words", "is_transient"),
    [
        ("Prediction interrupted; please retry (code: PA)", True),
        ("Director: unexpected error handling prediction (E9828)", True),
        ("Director: unexpected error handling prediction (E6716)", True),
        ("DIRECTOR: UNEXPECTED ERROR handling prediction (E8765)", True),
        ("Service is temporarily unavailable. Please try again later.", True),
        ("Something went wrong. Please try again later", True),
        (
            "The input or output was flagged as sensitive. Please try again with different inputs. (E005) (abc)",
            False,
        ),
        (
            "All generated images contained NSFW content. Try running it again with a different prompt.",
            False,
        ),
        ("CUDA out of memory (E1001)", False),
        ("", False),
        (None, False),
    ],
)
def test_a_failure_that_may_pass_is_told_from_one_that_stays(words, is_transient):
    error = PredictionFailedError(Prediction(id="p1", status=Status.FAILED, error=words))
    assert is_transient is error.is_transient


def test_an_output_error_is_final_unless_said_otherwise():
    assert OutputError("no image").is_transient is False


def test_of_a_long_path_the_end_is_shown():
    path = Path("/" + "folder/" * 30 + "none.png")
    message = str(InputError("image", path, "the file cannot be read"))
    assert "folder/none.png' was given" in message
    assert len(message) < 130
