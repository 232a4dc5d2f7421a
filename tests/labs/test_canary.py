"""The key goes to the service and appears nowhere else."""

import logging

import pytest
from canary import CANARY, shown

from cometflux import CometfluxError, Session, fetch_balance, open_session
from cometflux.testing import LocalService


@pytest.fixture
async def canary_service():
    async with LocalService(key=CANARY, pixels=4096, latency=1.0) as service:
        yield service


@pytest.mark.parametrize("fault", ["401", "422", "500", "drop", "torn", "garbage", "html", "redirect", "failed", None])
async def test_the_key_shows_in_no_event_error_log_or_file(canary_service, tmp_path, caplog, fault):
    seen = []
    caplog.set_level(logging.DEBUG)
    if fault:
        canary_service.fail(fault)
    canary_service.fail("drop", on="get")
    canary_service.fail("output-500")
    session = open_session(api_key=CANARY, base_url=canary_service.url, on_event=lambda event: seen.append(repr(event)))
    async with session:
        seen += [repr(session), str(vars(session))]
        try:
            async for outcome in session.generate(["a boat"], save_to=tmp_path):
                seen += [repr(outcome), *shown(outcome.error)]
        except CometfluxError as error:
            seen += shown(error)
    seen += [path.read_bytes().decode("latin-1") for path in tmp_path.iterdir()]
    seen += [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    assert len(seen) > 3
    assert CANARY not in "\n".join(seen)
    assert [] == canary_service.leaks, "the key went where it does not belong"


async def test_the_key_goes_to_the_service_and_not_to_its_images(canary_service, tmp_path):
    async with open_session(api_key=CANARY, base_url=canary_service.url) as session:
        async for outcome in session.generate(["a boat"], save_to=tmp_path):
            assert outcome.ok
    assert [] == canary_service.leaks
    asked = {("/outputs/" in request.path, request.authorised) for request in canary_service.requests}
    assert {(False, True), (True, False)} == asked


def test_a_session_does_not_show_the_key_it_was_made_with(monkeypatch):
    monkeypatch.setenv("COMETAPI_KEY", CANARY)
    session = open_session()
    assert isinstance(session, Session)
    assert CANARY not in repr(session)
    assert CANARY not in repr(vars(session))


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["401", "404", "500", "drop", "torn", "html", "redirect", "text-amounts", "huge", None]
)
async def test_the_key_shows_in_no_error_or_log_of_the_balance(canary_service, caplog, fault):
    caplog.set_level(logging.DEBUG)
    if fault:
        canary_service.fail(fault, on="billing")
    seen = []
    try:
        seen.append(repr(await fetch_balance(api_key=CANARY, base_url=canary_service.url)))
    except CometfluxError as error:
        seen += shown(error)
    seen += [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    assert CANARY not in "\n".join(seen)
    assert [] == canary_service.leaks
    assert {True} == {request.authorised for request in canary_service.requests}
