"""What can still be spent, as the command prints it."""

import json

import pytest

from cometflux.cli import main


@pytest.fixture
def account(service):
    service.credit = 2.5
    return service


@pytest.fixture
def token(account, monkeypatch):
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", account.access_token)


def printed(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def buy(capsys):
    main(["generate", "a boat", "--model", "flux-2-flex"])
    capsys.readouterr()


def test_the_balance_of_the_key_is_printed_with_what_was_used(account, capsys):
    buy(capsys)
    assert 0 == main(["balance"])
    assert [["left", "used"], ["API", "key", "$2.308", "$0.192"]] == printed(capsys)


def test_with_the_token_the_account_is_printed_too(account, token, capsys):
    account.credit = 100_000_000
    assert 0 == main(["balance"])
    expected = [["API", "key", "no", "limit", "$0.00"], ["account", "$100000000.00", "$0.00"]]
    assert expected == printed(capsys)[1:]


def test_as_json_it_is_one_object(account, token, capsys):
    buy(capsys)
    assert 0 == main(["balance", "--json"])
    part = {"left": "2.308", "used": "0.192"}
    expected = {
        "dollars": "2.308",
        "parts": [{"source": "key", **part}, {"source": "account", **part}],
        "notes": [],
    }
    assert expected == json.loads(capsys.readouterr().out)


def test_no_limit_is_null(account, capsys):
    account.credit = 10**9
    assert 0 == main(["balance", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (None, None) == (found["dollars"], found["parts"][0]["left"])


def test_a_part_that_cannot_be_read_is_a_note(account, token, capsys):
    account.fail("no-amounts", on="user")
    assert 0 == main(["balance"])
    out, err = capsys.readouterr()
    assert "account" not in out
    assert "note: the balance of the account cannot be read: the response has no 'quota'\n" == err


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("html", "the balance of the API key cannot be read: the response is not JSON"),
        ("text-amounts", "the balance of the API key cannot be read: 'hard_limit_usd' is not an amount (a string)"),
        ("401", "the account rejects the API key (HTTP 401)"),
        ("404", "the account answers HTTP 404 to the request for the balance"),
    ],
)
def test_whatever_is_wrong_is_one_line_and_no_figure(account, fault, words, capsys):
    account.fail(fault, on="billing", rate=1.0)
    assert (3 if fault == "401" else 1) == main(["balance", "--json"])
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert words in err


def test_without_a_key_there_is_one_hint(folder, monkeypatch, capsys):
    monkeypatch.delenv("COMETAPI_KEY", raising=False)
    assert 3 == main(["balance"])
    err = capsys.readouterr().err
    assert "set COMETAPI_KEY" in err
    assert "--local" not in err
