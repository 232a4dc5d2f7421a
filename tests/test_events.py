import inspect
import typing

import attrs
import pytest

from cometflux import events

CLASSES = [value for value in vars(events).values() if inspect.isclass(value) and value.__module__ == events.__name__]


def test_an_observer_may_be_told_of_every_event_there_is():
    # An attempt is a part of an event.
    assert [each for each in CLASSES if each is not events.Attempt] == list(typing.get_args(events.Event))


@pytest.mark.parametrize("event", CLASSES, ids=lambda event: event.__name__)
def test_an_event_does_not_change_and_is_made_by_name(event):
    names = [field.name for field in attrs.fields(event)]
    with pytest.raises(TypeError):
        event(*names)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event(**dict.fromkeys(names)), names[0], 5)
