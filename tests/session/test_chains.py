"""Jobs that take the output of other jobs of their batch."""

import asyncio
import contextlib
import json
import random

import pytest
from journal_records import records
from keyed_jobs import kinds

from cometflux import Job, OutputOf, flux
from cometflux.errors import InputError
from cometflux.images.data_uris import read_data_uri
from cometflux.journal.manifest import write_manifest
from cometflux.provenance.sidecar import read_sidecar
from cometflux.sources import read_jobs, stream_jobs

SCHNELL = "black-forest-labs/flux-schnell"


@pytest.fixture
def make(opened, tmp_path):
    async def run(*jobs, save_to=tmp_path, as_list=True, **options):
        async with opened(**options) as session:
            given = [*jobs] if as_list else iter(jobs)
            return {outcome.key: outcome async for outcome in session.generate(given, save_to=save_to)}

    return run


def draft(key=None, prompt="a boat", **values):
    return Job(model=SCHNELL, input={"prompt": prompt, **values}, key=key)


def edit(image, key=None, prompt="at night"):
    return Job.of(flux.KontextPro(prompt=prompt, input_image=image), key=key)


def sent_image(service, number):
    return read_data_uri(service.bills[number].input["input_image"])


@pytest.mark.parametrize("source", [flux.Schnell(prompt="a boat"), draft(), draft("draft")], ids=["flux", "job", "key"])
async def test_a_job_takes_the_saved_image_of_another_one(source, service, make):
    first, second = (await make(source, edit(source))).values()
    assert first.ok
    assert second.ok
    assert first.files[0].read_bytes() == sent_image(service, 1)


async def test_a_generator_may_use_a_job_that_it_has_yielded(service, opened, tmp_path):
    def jobs():
        for animal in ("newt", "owl"):
            yield (first := flux.Schnell(prompt=animal))
            yield flux.KontextPro(prompt="at night", input_image=first)

    async with opened(max_pending=1) as session:
        outcomes = {outcome.index: outcome async for outcome in session.generate(jobs(), save_to=tmp_path)}
    assert all(outcome.ok for outcome in outcomes.values())
    sent = {read_data_uri(bill.input["input_image"]) for bill in service.bills if "input_image" in bill.input}
    assert {outcomes[0].files[0].read_bytes(), outcomes[2].files[0].read_bytes()} == sent


async def test_a_chain_may_be_long_and_its_links_follow_one_another(service, make):
    jobs = [draft()]
    for step in ("at night", "in snow", "seen from above"):
        jobs.append(edit(jobs[-1], prompt=step))
    outcomes = await make(*jobs)
    assert all(outcome.ok for outcome in outcomes.values())
    for number in (1, 2, 3):
        assert outcomes[f"#{number - 1:05d}"].files[0].read_bytes() == sent_image(service, number)


async def test_a_list_takes_several_images_of_one_job_and_others_next_to_them(service, make, tmp_path):
    first = draft("two", num_outputs=2)
    url = "https://example.com/a.png"
    images = [OutputOf("two", 1), first, url]
    outcomes = await make(first, Job.of(flux.Flux2Pro(prompt="both", input_images=images), key="both"))
    assert outcomes["both"].ok
    *taken, last = service.bills[1].input["input_images"]
    assert [path.read_bytes() for path in reversed(outcomes["two"].files)] == list(map(read_data_uri, taken))
    assert url == last
    files = records(tmp_path)["two"].files
    assert [("two", 1, files[1].name), ("two", 0, files[0].name)] == [
        (each.key, each.index, each.file) for each in records(tmp_path)["both"].taken
    ]


async def test_a_raw_job_takes_an_image_too(service, make):
    first = draft("first")
    values = {"prompt": "at night", "input_image": first}
    other = Job(model=flux.KontextPro.model, input=values, key="other", validate=False)
    assert {"first": "succeeded", "other": "succeeded"} == kinds(await make(first, other))
    assert service.bills[1].input["input_image"].startswith("data:image/webp;base64,")


@pytest.mark.parametrize("read", [read_jobs, stream_jobs])
async def test_jobs_that_were_read_from_a_file_are_chained(read, service, opened, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("prompt,key,model,input_image\na boat,draft,schnell,\nat night,edit,kontext-pro,@draft\n")
    async with opened() as session:
        jobs = await asyncio.to_thread(read, path)
        outcomes = {outcome.key: outcome async for outcome in session.generate(jobs, save_to=tmp_path)}
    assert outcomes["draft"].files[0].read_bytes() == sent_image(service, 1)


async def test_a_single_job_takes_what_the_journal_has_saved(service, make, opened, tmp_path):
    await make(draft("draft"))
    async with opened() as session:
        outcome = await session.run(edit(OutputOf("draft"), "edit"), save_to=tmp_path)
        assert outcome.ok
        for job, place in ((edit(OutputOf("nobody"), "b"), tmp_path), (edit(OutputOf("draft"), "c"), None)):
            with pytest.raises(InputError, match=r"no such job comes before it|generate with save_to"):
                await session.run(job, save_to=place)
    assert 2 == len(service.bills)


async def test_jobs_that_wait_hold_no_slot_and_hold_up_no_others(service, make):
    service.latency = lambda model: 30.0 if model == flux.Dev.model else 1.0
    first = Job.of(flux.Dev(prompt="slow"), key="slow")
    jobs = [first, *(edit(first, f"edit-{number}", f"number {number}") for number in range(5))]
    jobs += [draft(f"other-{number}", f"boat {number}") for number in range(5)]
    outcomes = await make(*jobs, max_pending=2)
    assert all(outcome.ok for outcome in outcomes.values())
    order = [bill.input["prompt"] for bill in service.bills]
    assert [f"boat {number}" for number in range(5)] == order[1:6]


async def test_many_that_wait_for_one_do_not_wait_for_ever(service, make, monkeypatch):
    monkeypatch.setattr("cometflux.session.batch._MOST_HELD", 3)
    first = draft("first")
    jobs = [first, *(edit(first, f"edit-{number}", f"number {number}") for number in range(12)), draft("last", "last")]
    outcomes = await make(*jobs, max_pending=2)
    assert 14 == len(outcomes)
    assert all(outcome.ok for outcome in outcomes.values())


@pytest.mark.parametrize(
    ("fault", "options", "kind", "says"),
    [
        ("failed", {}, "failed", "it takes the output of draft, which failed"),
        ("canceled", {}, "canceled", "it takes the output of draft, which was canceled"),
        ("422", {}, "rejected", "it takes the output of draft, which was rejected"),
        ("drop", {"after": True}, "unknown", "it takes the output of draft, which is unknown"),
    ],
)
async def test_if_a_job_has_no_image_those_that_take_it_are_not_sent(fault, options, kind, says, service, make):
    service.fail(fault, **options)
    outcomes = await make(draft("draft"), edit(OutputOf("draft"), "edit"), edit(OutputOf("edit"), "last"), draft("b"))
    assert {"draft": kind, "edit": "not_sent", "last": "not_sent", "b": "succeeded"} == kinds(outcomes)
    assert says in str(outcomes["edit"].error)
    assert "it takes the output of edit, which was not sent" in str(outcomes["last"].error)
    assert all("input_image" not in bill.input for bill in service.bills)


async def test_when_the_job_succeeds_later_those_that_take_it_are_made(service, make, tmp_path):
    jobs = draft("draft"), edit(OutputOf("draft"), "edit"), edit(OutputOf("edit"), "last")
    service.fail("422")
    await make(*jobs)
    assert "not_sent" == records(tmp_path)["edit"].state_name
    outcomes = await make(*jobs)
    assert {"succeeded"} == set(kinds(outcomes).values())
    assert 3 == len(service.bills)


async def test_an_image_that_was_not_made_is_named(service, make):
    outcomes = await make(draft("draft"), edit(OutputOf("draft", 7), "edit"))
    assert "not_sent" == kinds(outcomes)["edit"]
    assert "it takes draft[7], and draft made 1 image, counted from 0" in str(outcomes["edit"].error)
    assert 1 == len(service.bills)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (OutputOf("nobody"), "input_image: '@nobody[0]' was given; no such job comes before it in the batch"),
        (OutputOf("later"), "input_image: '@later[0]' was given; no such job comes before it in the batch"),
        (OutputOf("edit"), "input_image: '@edit[0]' was given; a job cannot take its own output"),
        (draft(prompt="another"), "no equal job without a key comes before it in the batch"),
    ],
    ids=["unknown", "forward", "itself", "not in the batch"],
)
async def test_a_job_that_does_not_stand_before_it_is_refused(image, says, service, make):
    outcomes = await make(edit(image, "edit"), edit(OutputOf("edit"), "later"), as_list=False)
    assert {"edit": "not_sent", "later": "not_sent"} == kinds(outcomes)
    assert says in str(outcomes["edit"].error)
    assert [] == service.bills


@pytest.mark.parametrize("taken", ["edit", "later"], ids=["itself", "forward"])
async def test_in_a_list_that_is_refused_before_anything_is_sent(taken, service, make):
    says = "a job can only take the output of a job that comes before it"
    with pytest.raises(InputError, match=says):
        await make(draft("draft"), edit(OutputOf(taken), "edit"), draft("later"))
    assert [] == service.bills


@pytest.mark.parametrize("source", [flux.Schnell(prompt="a boat"), draft()], ids=["flux", "job"])
async def test_in_a_list_a_later_job_without_a_key_is_refused_too(source, service, make):
    with pytest.raises(InputError, match="a job can only take the output of a job that comes before it"):
        await make(edit(source, "edit"), source)
    assert [] == service.bills
    assert {"succeeded"} == {*kinds(await make(source, edit(source, "edit"), source)).values()}


async def test_two_that_take_each_other_do_not_wait_for_ever_in_any_run(service, make):
    jobs = draft("a"), edit(OutputOf("c"), "b"), edit(OutputOf("b"), "c")
    for _ in range(3):
        outcomes = await make(*jobs, as_list=False)
        assert {"a": "succeeded", "b": "not_sent", "c": "not_sent"} == kinds(outcomes)
    assert 1 == len(service.bills)


@pytest.mark.parametrize("options", [{"save_to": None}, {"journal": None}], ids=["no place", "no journal"])
async def test_without_a_place_and_a_journal_no_job_takes_another_ones_image(options, service, make):
    first = draft("draft")
    with pytest.raises(InputError, match="generate with save_to=…, in a session with journal=…"):
        await make(first, edit(first, "edit"), **options)
    assert [] == service.bills


async def test_a_chain_that_was_stopped_in_the_middle_goes_on_where_it_stood(service, opened, make, tmp_path):
    jobs = [draft(f"draft-{number}", f"boat {number}") for number in range(4)]
    jobs += [edit(first, first.key.replace("draft", "edit")) for first in jobs]
    jobs += [edit(second, second.key.replace("edit", "last"), "in snow") for second in jobs[4:]]
    async with opened(max_pending=3) as session:
        async for outcome in session.generate(jobs, save_to=tmp_path):
            if outcome.key == "edit-0":
                break
    paid = len(service.bills)
    assert 5 <= paid < 12
    outcomes = await make(*jobs)
    assert {"succeeded"} == set(kinds(outcomes).values())
    assert 12 == len(service.bills)
    for number in range(4):
        (taken,) = records(tmp_path)[f"last-{number}"].taken
        (file,) = records(tmp_path)[f"edit-{number}"].files
        assert (file.name, file.digest) == (taken.file, taken.digest)


async def test_a_session_that_closes_ends_those_that_wait(service, opened, tmp_path):
    service.latency = 300.0
    async with opened() as session:
        batch = session.generate([draft("draft"), edit(OutputOf("draft"), "edit")], save_to=tmp_path)
        taking = asyncio.ensure_future(anext(batch))
        await asyncio.sleep(5)
        await session.aclose()
        outcomes = {outcome.key: outcome for outcome in [await taking]}
        with pytest.raises(Exception, match="the session was closed"):
            async for outcome in batch:
                outcomes[outcome.key] = outcome
    assert {"draft": "detached", "edit": "not_sent"} == kinds(outcomes)


async def test_a_saved_image_that_was_changed_is_not_sent(service, make, tmp_path):
    first = (await make(draft("draft")))["draft"]
    first.files[0].write_bytes(b"something else")
    outcomes = await make(edit(OutputOf("draft"), "edit"))
    assert "is missing, or has changed since it was saved" in str(outcomes["edit"].error)
    assert 1 == len(service.bills)


async def test_the_identity_is_made_of_that_of_the_source_and_of_the_index(make, tmp_path):
    first = draft("draft", num_outputs=2)
    await make(first, edit(OutputOf("draft"), "a"), edit(first, "b"), edit(OutputOf("draft", 1), "c"))
    prints = {key: record.fingerprint for key, record in records(tmp_path).items()}
    assert prints["a"] == prints["b"] != prints["c"]
    (output,) = [record.input["input_image"] for key, record in records(tmp_path).items() if key == "c"]
    assert ("key:draft", 1) == (output.identity, output.index)


@pytest.mark.parametrize(("key", "name"), [("draft", "@draft[0]"), (None, "@#00000[0]")], ids=["key", "no key"])
async def test_an_image_and_its_manifest_say_which_image_it_was_made_from(key, name, make, opened, tmp_path):
    first, second = (await make(source := draft(key), edit(source, "edit"))).values()
    (digest,) = [record.files[0].digest for record in records(tmp_path).values() if record.index == 0]
    source = {"image": name, "file": first.files[0].name, "sha256": digest}
    lines = [json.loads(line) for line in write_manifest(tmp_path).read_text().splitlines()]
    async with opened() as session:
        (copy,) = await session.save(second.prediction, tmp_path / "copy")
    for record in (read_sidecar(second.files[0]), read_sidecar(copy), lines[1]):
        assert (name, [source]) == (record["input"]["input_image"], record["sources"])


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.1, 0.9, 1.4, 2.0, 2.7, 3.3])
async def test_whenever_a_batch_is_left_each_job_ends_once_and_nothing_is_paid_twice(moment, service, opened, tmp_path):
    jobs = []
    for number in range(4):
        jobs += [draft(f"d{number}", f"boat {number}"), edit(OutputOf(f"d{number}"), f"e{number}", f"night {number}")]
        jobs.append(edit(OutputOf(f"e{number}"), f"l{number}", f"snow {number}"))
    service.fail("429", rate=0.3)
    async with opened(max_pending=3) as session:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(moment), session.generate(jobs, save_to=tmp_path) as batch:
                async for _ in batch:
                    pass
    accounting = session.accounting
    assert accounting["all"] == sum(number for kind, number in accounting.items() if kind != "all")
    assert (0, 0, 0) == tuple(accounting[each] for each in ("waiting", "pending", "saving"))
    async with opened(max_pending=3) as session:
        outcomes = [outcome async for outcome in session.generate(jobs, save_to=tmp_path)]
    assert [True] * 12 == [outcome.ok for outcome in outcomes]
    assert 12 == len(service.bills) == len({bill.input["prompt"] for bill in service.bills})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_a_job_is_sent_if_and_only_if_all_that_it_takes_from_are_saved(seed, service, opened, tmp_path):
    chance = random.Random(seed)
    jobs, needs = [draft("0", "boat 0")], {"0": []}
    for number in range(1, 24):
        taken = chance.sample(jobs, min(number, chance.choice([0, 1, 1, 2, 3])))
        needs[str(number)] = [job.key for job in taken]
        images = [chance.choice([job, OutputOf(job.key)]) for job in taken]
        job = flux.Flux2Pro(prompt=f"boat {number}", input_images=images) if taken else draft(prompt=f"boat {number}")
        jobs.append(Job.of(job, key=str(number)))
    for fault in ("failed", "422", "canceled", "429"):
        service.fail(fault, rate=0.1)
    async with opened(max_pending=chance.choice([1, 2, 8])) as session:
        outcomes = [outcome async for outcome in session.generate(iter(jobs), save_to=tmp_path)]
    ends = {outcome.key: outcome for outcome in outcomes}
    assert 24 == len(outcomes) == len(ends)
    for key, outcome in ends.items():
        assert (outcome.kind != "not_sent") == all(ends[source].ok for source in needs[key])
