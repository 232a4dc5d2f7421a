import attrs
import pytest

from cometflux.predictions import Prediction, Status


@pytest.mark.parametrize(
    ("status", "is_terminal"),
    [
        (Status.STARTING, False),
        (Status.PROCESSING, False),
        (Status.SUCCEEDED, True),
        (Status.FAILED, True),
        (Status.CANCELED, True),
        (Status.ABORTED, True),
        (Status.UNRECOGNIZED, False),
    ],
)
def test_a_status_says_whether_it_is_the_last(status, is_terminal):
    assert is_terminal is status.is_terminal


def test_every_status_is_in_the_table_above():
    assert 7 == len(Status)


def test_a_status_reads_as_the_service_writes_it():
    assert "succeeded" == str(Status.SUCCEEDED)
    assert Status.ABORTED is Status("aborted")


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("output", [(), ("https://example.com/a.png",)], ids=["no output", "output"])
@pytest.mark.parametrize("data_removed", [None, False, True])
def test_only_a_success_whose_output_is_removed_is_expired(status, output, data_removed):
    prediction = Prediction(id="p1", status=status, output=output, data_removed=data_removed)
    assert (status is Status.SUCCEEDED and not output and data_removed is True) is prediction.is_expired


def test_an_id_and_a_status_are_enough():
    prediction = Prediction(id="p1", status=Status.STARTING)
    assert ((), None, {}, {}, {}) == (
        prediction.output,
        prediction.error,
        prediction.input,
        prediction.metrics,
        prediction.extra,
    )


def test_two_predictions_share_no_mapping():
    one, two = (Prediction(id="p1", status=Status.STARTING) for _ in range(2))
    assert one.extra is not two.extra
    assert one.input is not two.input


def test_a_prediction_does_not_change():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Prediction(id="p1", status=Status.STARTING).status = Status.FAILED
