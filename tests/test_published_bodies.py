"""Each body that the service's documentation publishes can be sent as it is published."""

import json
import logging

import pytest
from published_bodies import BODIES

from cometflux import Job, Status, flux, jobs, open_session
from cometflux.errors import InputError
from cometflux.protocol.requests import create_request

published = pytest.mark.parametrize(("slug", "body", "strangers"), BODIES.values(), ids=BODIES)


@pytest.fixture(autouse=True)
def _untold(monkeypatch):
    """A warning comes once in a process, so each test begins with nothing told."""
    monkeypatch.setattr(jobs, "_told", set(), raising=False)


def full_name(slug):
    return f"black-forest-labs/{slug}"


@published
def test_a_raw_job_puts_the_published_bytes_on_the_wire(slug, body, strangers):
    wire = create_request(Job(model=full_name(slug), input=body)).body
    assert json.dumps({"input": body}, ensure_ascii=False).encode() == wire


@published
async def test_a_raw_job_reaches_the_service_and_is_billed_once(slug, body, strangers, service):
    async with open_session(api_key=service.key, base_url=service.url) as session:
        prediction = await session.run(Job(model=full_name(slug), input=body))
    assert Status.SUCCEEDED is prediction.status
    assert [(full_name(slug), body, list(body))] == [
        (each.model, each.input, list(each.input)) for each in service.bills
    ]


@published
def test_a_raw_job_warns_once_of_each_parameter_that_the_model_does_not_have(slug, body, strangers, caplog):
    caplog.set_level(logging.WARNING, "cometflux")
    for _ in range(2):
        Job(model=full_name(slug), input=body)
    assert list(strangers) == [record.args[0].partition(":")[0] for record in caplog.records]
    for record in caplog.records:
        assert f"{slug} has no such parameter by its published schema; the service will" in record.getMessage()
        assert "probably ignore it" in record.getMessage()


@published
def test_a_raw_job_without_a_check_tells_nothing(slug, body, strangers, caplog):
    caplog.set_level(logging.WARNING, "cometflux")
    assert body == Job(model=full_name(slug), input=body, validate=False).input
    assert [] == caplog.records


@published
def test_the_strict_check_still_refuses_what_the_model_does_not_have(slug, body, strangers):
    if not strangers:
        flux.check_input(full_name(slug), body)
        return
    with pytest.raises(InputError, match="the service would probably ignore it"):
        flux.check_input(full_name(slug), body)


@published
def test_a_typed_object_still_refuses_what_the_model_does_not_have(slug, body, strangers):
    if not strangers:
        assert body == flux.find(slug)(**body).to_input()
        return
    with pytest.raises(InputError, match="the service would probably ignore it"):
        flux.find(slug)(**body)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"raw": False}, "prompt", id="without a prompt"),
        pytest.param({"raw": False, "prompt": "a", "seed": "x"}, "seed", id="a value of the wrong kind"),
        pytest.param({"raw": False, "prompt": "a", "width": 512}, "width", id="a value that goes with another"),
        pytest.param({"raw": False, "prompt": "a", 5: 1}, "input", id="a name that is a number"),
    ],
)
def test_beside_a_parameter_that_is_unknown_the_others_are_still_checked(given, words):
    with pytest.raises(InputError) as caught:
        Job(model="black-forest-labs/flux-1.1-pro", input=given)
    assert words == caught.value.field


def test_the_warning_suggests_the_parameter_that_was_meant(caplog):
    caplog.set_level(logging.WARNING, "cometflux")
    Job(model=full_name("flux-schnell"), input={"prompt": "a", "num_infrence_steps": 2})
    Job(model=full_name("flux-kontext-pro"), input={"prompt": "a", "input_images": []})
    assert [
        "did you mean 'num_inference_steps'?",
        "flux-kontext-pro takes one image, as 'input_image'; for several use a flux-2 model (input_images)",
    ] == [record.getMessage().partition("probably ignore it; ")[2] for record in caplog.records]
