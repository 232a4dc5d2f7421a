"""Unknown jobs, listed and settled by hand."""

import json
from pathlib import Path

import pytest
from command_line import run
from journal_records import count_states
from socket_server import Peer, http

from cometflux import Journal, flux, open_session
from cometflux.cli.batch.unknown_jobs import JobNames
from cometflux.outcomes import OutcomeKind


@pytest.fixture
def lost(service, capsys):
    """A batch of which the first two answers were lost; their predictions are billed all the same."""
    Path("a.csv").write_text("prompt,key\na fox,fox\nan owl,owl\na toad,toad\n")
    service.fail("drop", after=True, times=2)
    run("batch a.csv --max-pending 1", 5)
    capsys.readouterr()
    return {bill.input["prompt"]: bill.id for bill in service.bills}


def status():
    return count_states("a-images")


def test_a_batch_with_unknowns_ends_with_the_command_that_lists_them(service, capsys):
    Path("a.csv").write_text("prompt\na fox\n")
    service.fail("drop", after=True)
    run("batch a.csv", 5)
    lines = capsys.readouterr().err.splitlines()
    assert ["a-images: 0 of 1 saved, 1 unknown", "  cometflux unknown a-images"] == [lines[-3], lines[-1]]
    run("batch a.csv", 5)
    assert 1 == len(service.bills)


def test_unknowns_are_listed_with_what_can_be_done(lost, capsys):
    run("unknown a-images")
    out, err = capsys.readouterr()
    header, *rows = out.splitlines()
    assert ["key", "when", "evidence", "model", "prompt"] == header.split()
    assert ["fox", "owl"] == [row.split()[0] for row in rows]
    assert all(row.rstrip().endswith(prompt) for row, prompt in zip(rows, ("a fox", "an owl"), strict=True))
    for choice in ("--adopt 'KEY=ID'", "--abandon 'KEY'", "--resend 'KEY'"):
        assert f"  cometflux unknown a-images {choice}" in err


def test_unknowns_as_json_are_one_object_per_line(lost, capsys):
    run("unknown a-images --json")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert ("fox", "a fox", "owl") == (first["key"], first["prompt"], second["key"])
    names = ["key", "when", "evidence", "message", "request_id", "prediction_id", "model", "prompt"]
    assert names == list(first)


async def test_an_unknown_job_is_listed_with_the_request_id_that_the_accounts_log_has(folder, capsys):
    """A response without an id proves nothing, but the account's log has the call under the id in its header."""
    answer = http(502, b'{"error":{"message":"no upstream"}}', "X-Cometapi-Request-Id: 20261129abc")
    async with Peer(lambda _: answer) as peer:
        async with open_session(api_key="k" * 20, base_url=peer.url, journal="a-images") as session:
            (outcome,) = [outcome async for outcome in session.generate([flux.Schnell(prompt="a fox")])]
    assert (OutcomeKind.UNKNOWN, "20261129abc") == (outcome.kind, outcome.error.request_id)
    run("unknown a-images")
    assert "(request id: 20261129abc)" in " ".join(capsys.readouterr().out.split())


def test_without_unknowns_so_it_is_said(service, capsys):
    Path("a.csv").write_text("prompt\na fox\n")
    run("batch a.csv")
    capsys.readouterr()
    run("unknown a-images")
    assert ("", "no job in a-images is unknown\n") == capsys.readouterr()


def test_what_is_adopted_is_fetched_and_not_bought(lost, service, capsys):
    run(f"unknown a-images --adopt fox={lost['a fox']} --adopt owl={lost['an owl']}")
    assert "  cometflux resume a-images" == capsys.readouterr().err.splitlines()[-1]
    assert {"planned": 3, "saved": 1, "pending": 2} == status()
    run("resume a-images")
    assert (3, {"planned": 3, "saved": 3}) == (len(service.bills), status())


def test_what_is_abandoned_is_neither_looked_for_nor_bought(lost, service, capsys):
    run("unknown a-images --abandon fox --abandon owl")
    assert "resume" not in capsys.readouterr().err
    run("resume a-images", 1)
    assert (3, {"planned": 3, "saved": 1, "canceled": 2}) == (len(service.bills), status())


def test_what_is_sent_again_is_bought_once_more(lost, service):
    run("unknown a-images --resend fox --abandon owl")
    run("resume a-images", 1)
    assert (4, {"planned": 3, "saved": 2, "canceled": 1}) == (len(service.bills), status())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--abandon foxx", "no job has the key 'foxx'; did you mean 'fox'?"),
        ("--abandon toad", "the job 'toad' is not unknown: its state is 'saved'"),
        ("--adopt fox", "--adopt fox: write it as KEY=ID"),
        ("--resend ''", "--resend is blank; give the KEY of a job"),
        ("--adopt fox=../x", "prediction id: '../x' was given; must be at most 256 letters, digits and . _ ~ : -"),
        ("--adopt fox={toad}", "already belongs to the job 'toad'"),
        ("--adopt fox=x1 --adopt owl=x1", "the id 'x1' is given 2 times; a prediction belongs to one job"),
        ("--resend fox --abandon fox", "the key 'fox' is given 2 times; settle each job in one way"),
    ],
    ids=lambda value: value if value.startswith("--") else "",
)
def test_what_cannot_be_settled_changes_nothing(options, said, lost, capsys):
    run(
        f"unknown a-images --abandon owl {options.format(toad=lost['a toad'])}"
        if "owl" not in options
        else f"unknown a-images {options}",
        2,
    )
    assert said in capsys.readouterr().err
    assert {"planned": 3, "saved": 1, "unknown": 2} == status()


@pytest.fixture
def alike(service, capsys):
    """Two unknown jobs, each the first of its file."""
    service.fail("drop", after=True, times=2)
    for prompt in ("a fox", "an owl"):
        Path("a.csv").write_text(f"prompt\n{prompt}\n")
        run("batch a.csv", 5)
    capsys.readouterr()
    run("unknown a-images --json")
    listed = map(json.loads, capsys.readouterr().out.splitlines())
    return {each["prompt"]: each["key"] for each in listed}


def test_jobs_that_go_by_the_same_name_are_told_apart(alike, capsys):
    assert all(name.startswith("#00000@") for name in alike.values())
    run("unknown a-images --abandon '#00000'", 2)
    fox, owl = alike["a fox"], alike["an owl"]
    expected = f"error: 2 jobs go by '#00000'; name one of them: {fox} (a fox); {owl} (an owl)\n"
    assert expected == capsys.readouterr().err
    run(f"unknown a-images --abandon '{owl}'")
    assert {"planned": 2, "canceled": 1, "unknown": 1} == status()


def test_a_name_stays_when_another_job_is_settled(alike, capsys):
    run(f"unknown a-images --abandon '{alike['a fox']}'")
    run("unknown a-images --json")
    (line,) = capsys.readouterr().out.splitlines()
    assert alike["an owl"] == json.loads(line)["key"]
    run("unknown a-images --abandon '#00000'", 2)
    expected = f"2 jobs go by '#00000'; the one that can be settled is: {alike['an owl']} (an owl)"
    assert expected in capsys.readouterr().err
    run(f"unknown a-images --abandon '{alike['a fox']}'", 2)
    assert f"the job '{alike['a fox']}' is not unknown: its state is 'canceled'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("key", ["#00000", "{name}"], ids=["a place", "a name with a digest"])
def test_a_key_that_is_spelled_like_another_job_s_name_is_ambiguous(key, alike, service, capsys):
    name = key.format(name=alike["a fox"])
    service.fail("drop", after=True)
    Path("a.csv").write_text(f"prompt,key\na toad,{name}\n")
    run("batch a.csv", 5)
    capsys.readouterr()
    run(f"unknown a-images --abandon '{name}'", 2)
    assert f"jobs go by '{name}'; name one of them: " in capsys.readouterr().err
    run("unknown a-images --json")
    names = {each["prompt"]: each["key"] for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert 3 == len(set(names.values()))
    run(f"unknown a-images --abandon '{names['a toad']}'")
    assert f"{names['a toad']} (flux-schnell: a toad): abandoned" in capsys.readouterr().err


def test_to_show_some_jobs_only_those_with_like_names_are_held(service, capsys):
    keys = ["fox", "owl", "owl@1234abcd", "toad", "toad@x@y", "z"]
    Path("a.csv").write_text("prompt,key\n" + "".join(f"a {key},{key}\n" for key in keys))
    service.fail("drop", after=True, times=2)
    run("batch a.csv --max-pending 1", 5)
    with Journal("a-images") as journal:
        names = JobNames.in_states(journal, ("unknown",), lambda record: True)
        assert ["fox", "owl", "owl@1234abcd"] == [*names.keys]
        assert ["fox", "owl"] == names.all()
        assert [] == [*JobNames.in_states(journal, ("unknown",), lambda record: False).keys]
        assert ["owl", "owl@1234abcd"] == [
            *JobNames.in_states(journal, ("saved",), lambda record: record.key == "owl@1234abcd").keys
        ]


def test_what_was_settled_is_told_with_its_model_and_prompt(lost, capsys):
    run("unknown a-images --adopt fox=x1 --abandon owl")
    assert [
        "fox (flux-schnell: a fox): adopted as prediction x1; the next run polls it",
        "owl (flux-schnell: an owl): abandoned; it is neither looked for nor bought again",
    ] == capsys.readouterr().err.splitlines()[:2]


def test_what_was_settled_is_one_object_per_line_as_json(lost, capsys):
    run("unknown a-images --adopt fox=x1 --resend owl --json")
    out, err = capsys.readouterr()
    model = "black-forest-labs/flux-schnell"
    assert [
        {"key": "fox", "settled": "adopted", "prediction_id": "x1", "model": model, "prompt": "a fox"},
        {"key": "owl", "settled": "resent", "prediction_id": None, "model": model, "prompt": "an owl"},
    ] == [json.loads(line) for line in out.splitlines()]
    assert "" == err


def test_an_adoption_can_be_corrected_until_the_service_has_answered(lost, service, capsys):
    run("unknown a-images --adopt fox=wrong --adopt owl=wrong2")
    run("unknown a-images --resend owl", 2)
    assert "the job 'owl' has the prediction wrong2; correct it with --adopt or --abandon" in capsys.readouterr().err
    run(f"unknown a-images --adopt fox={lost['a fox']} --abandon owl")
    run("resume a-images", 1)
    assert (3, {"planned": 3, "saved": 2, "canceled": 1}) == (len(service.bills), status())
    run("unknown a-images --adopt toad=x1", 2)
    assert "the job 'toad' is not unknown: its state is 'saved'" in capsys.readouterr().err
