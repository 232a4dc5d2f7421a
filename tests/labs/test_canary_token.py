"""The access token goes to the account's routes and appears nowhere else."""

import json
import logging
from pathlib import Path

import pytest
from canary import shown
from socket_server import Peer, http

from cometflux import fetch_balance
from cometflux.account.lists import AccountLists, root_of
from cometflux.cli import main
from cometflux.errors import AccountError
from cometflux.transport.aiohttp import AiohttpTransport

pytestmark = pytest.mark.slow

TOKEN = "token+canary/2424242424"
SPELLINGS = [TOKEN, json.dumps(TOKEN)[1:-1], TOKEN.replace("+", "%2B").replace("/", "%2F")]


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """A folder with an unknown job and a failed one, and the service that has billed both."""
    from cometflux.testing import LocalService

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMETAPI_API_KEY", raising=False)
    monkeypatch.setattr("cometflux.account.lists._WAITS", (0.01,))
    with LocalService.in_thread(latency=0.0, pixels=1024) as service:
        service.access_token = TOKEN
        monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)
        monkeypatch.setenv("COMETAPI_KEY", service.key)
        monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", TOKEN)
        service.fail("drop", after=True)
        service.fail("failed", prompt="an owl")
        Path("a.csv").write_text("prompt\na fox\nan owl\n")
        main(["batch", "a.csv", "--max-pending", "1"])
        yield service


def everything(folder, capsys, caplog):
    out, err = capsys.readouterr()
    files = [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]
    logged = [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    return "\n".join([out, err, *files, *logged])


@pytest.mark.parametrize("fault", [None, "401", "html", "redirect", "500", "drop", "garbage", "torn"])
def test_the_token_shows_in_no_file_journal_log_or_output(batch, tmp_path, capsys, caplog, fault):
    caplog.set_level(logging.DEBUG)
    if fault:
        batch.fail(fault, on="tasks", rate=1.0)
        batch.fail(fault, on="log", rate=1.0)
        batch.fail(fault, on="user", rate=1.0)
        batch.fail(fault, on="billing", rate=0.5)
    for line in (["unknown", "a-images", "--settle"], ["unknown", "a-images"], ["resume", "a-images"]):
        main(line)
    for line in (["costs", "a-images"], ["costs", "a-images", "--json"], ["gallery", "a-images"], ["config", "show"]):
        main(line)
    for line in (["balance"], ["balance", "--json"]):
        main(line)
    seen = everything(tmp_path, capsys, caplog)
    assert [] == [spelling for spelling in SPELLINGS if spelling in seen]
    assert [] == batch.leaks
    asked = {request.path for request in batch.requests if request.authorised and request.path.startswith("/api/")}
    assert asked <= {"/api/task/self", "/api/log/self", "/api/user/self"}
    assert all("canary" not in request.path for request in batch.requests)


@pytest.mark.parametrize(
    "echo",
    [TOKEN, json.dumps(TOKEN)[1:-1].replace("/", "\\/"), "token%2Bcanary%2F2424242424", "token&#43;canary/2424242424"],
)
async def test_a_token_that_the_account_repeats_is_hidden_in_every_spelling(echo):
    body = b'{"success": false, "message": "no right for ' + echo.encode() + b'"}'
    async with Peer(lambda _: http(200, body)) as peer:
        base = f"{peer.url}/replicate/v1"
        lists = AccountLists(AiohttpTransport(TOKEN, root_of(base)))
        with pytest.raises(AccountError) as caught:
            await lists.tasks(0, 1)
        await lists.aclose()
    assert "no right for ***" in str(caught.value)
    assert "2424242424" not in "\n".join(shown(caught.value))


async def test_a_balance_that_repeats_the_secrets_it_was_asked_with_hides_them():
    def repeat(request):
        return http(200, json.dumps({"error": {"message": f"no right for {request['headers']}"}}).encode())

    async with Peer(repeat) as peer:
        with pytest.raises(AccountError) as caught:
            await fetch_balance(api_key=f"sk-{TOKEN}", access_token=TOKEN, base_url=f"{peer.url}/replicate/v1")
        assert {TOKEN, f"sk-{TOKEN}"} == {each["headers"]["authorization"].split()[1] for each in peer.requests}
    assert "no right for" in str(caught.value)
    assert "2424242424" not in "\n".join(shown(caught.value))


def test_no_option_takes_the_token_so_no_list_of_processes_shows_it(batch, capsys):
    for command in ("unknown", "costs", "balance", "batch", "generate", "resume"):
        assert 0 == main([command, "--help"])
        assert "--access-token" not in capsys.readouterr().out


def test_a_token_in_a_configuration_file_is_refused_and_not_shown(batch, capsys):
    Path("cometflux.toml").write_text(f'access_token = "{TOKEN}"\n')
    assert 0 != main(["config", "show"])
    out, err = capsys.readouterr()
    assert "set COMETAPI_ACCESS_TOKEN in the environment" in err
    assert TOKEN not in out + err
