import asyncio
import inspect
import time
import typing

import attrs
import pytest
from waiting import PATIENCE

from cometflux import events, flux
from cometflux.session.open import open_session

CLASSES = [value for value in vars(events).values() if inspect.isclass(value) and value.__module__ == events.__name__]


def test_an_observer_may_receive_every_event():
    # An attempt is a part of an event.
    assert [each for each in CLASSES if each is not events.Attempt] == list(typing.get_args(events.Event))


@pytest.mark.parametrize("event", CLASSES, ids=lambda event: event.__name__)
def test_an_event_does_not_change_and_is_made_by_name(event):
    names = [field.name for field in attrs.fields(event)]
    with pytest.raises(TypeError):
        event(*names)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event(**dict.fromkeys(names)), names[0], 5)


async def take(service, folder, **options):
    async with open_session(api_key=service.key, base_url=service.url, **options) as session:
        async for outcome in session.generate([flux.Schnell(prompt="a boat", num_outputs=2)], save_to=folder):
            assert outcome.ok


async def test_the_submission_and_each_download_are_reported_once_with_their_times(service, tmp_path):
    told = []
    await take(service, tmp_path, on_event=told.append)
    attempts = [[attempt.verb for attempt in getattr(event, "attempts", ())] for event in told]
    assert [["submit"], ["download", "download"]] == [verbs for verbs in attempts if verbs]
    (accepted,) = [event for event in told if isinstance(event, events.Accepted)]
    assert ["submit"] == [attempt.verb for attempt in accepted.attempts]
    timed = [attempt for event in told for attempt in getattr(event, "attempts", ())]
    assert all(0 < attempt.seconds < PATIENCE and abs(attempt.started - time.time()) < PATIENCE for attempt in timed)
    assert all(0 < event.seconds < PATIENCE for event in told if isinstance(event, events.Polled))


async def test_every_event_of_a_job_names_it_by_the_same_number(service, tmp_path):
    told = []
    await take(service, tmp_path, on_event=told.append)
    assert {"Submitted", "Accepted", "Polled", "Saved", "Ended"} == {type(event).__name__ for event in told}
    (job_id,) = {event.job_id for event in told}
    assert job_id


async def test_nothing_is_timed_if_nobody_listens(service):
    async with open_session(api_key=service.key, base_url=service.url) as session:
        run = asyncio.create_task(session.run("a boat"))
        await asyncio.sleep(0.5)
        (entry,) = session._tracker.pending
        assert entry.attempts is None
        await run
        assert entry.attempts is None
