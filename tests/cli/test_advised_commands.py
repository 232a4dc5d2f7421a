"""The commands that messages, help and pages advise are read by the command when they are pasted into a shell."""

import html
import json
import os
import re
import shlex
import signal
from pathlib import Path

import job_states
import pytest
import schema_documents
from command_line import run
from schema_documents import SDXL_NAME

from cometflux.cli import main
from cometflux.cli.app import COMMANDS, app
from cometflux.gallery import write_gallery
from cometflux.journal.header import LOCAL, Account
from cometflux.journal.writer import JournalWriter

NAMES = "|".join(command.name for command in COMMANDS)
# In a sentence a command ends where the sentence goes on.
ADVISED = re.compile(rf"cometflux (?:{NAMES})\b.*?(?= makes (?:it|them|one)\b|[)`]|; | {{4}}|$)", re.MULTILINE)
SDXL = "schemas/stability-ai_sdxl.json"
TOUR = "'my tour'"


def advised(text):
    """Return the commands in *text*."""
    return [each.rstrip() for each in ADVISED.findall(text)]


def check(command):
    """Check that the app reads a command, and return its name and arguments."""
    program, *words = shlex.split(command.partition(" >")[0])
    assert "cometflux" == program
    app.parse_args(words, print_error=False, exit_on_error=False)
    return words


def write(*prompts, model="flux-schnell"):
    Path("a.csv").write_text(
        "\n".join(["prompt,model,key", *(f"{each},{model},{each.split()[-1]}" for each in prompts)])
    )


@pytest.fixture
def account(service, monkeypatch):
    """The service of the environment, with an access token."""
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", service.access_token)
    monkeypatch.setattr("cometflux.account.settling.DELAY", 0.0)
    monkeypatch.setattr("cometflux.account.lists._WAITS", (0.01,))
    return service


BATCH = f"batch a.csv --out {TOUR} --max-pending 1"
UNUSUAL = "--retry-failed 1 --polls-per-minute 9000 --max-cost 100 --price flux-schnell=0.003"
CASES = {
    "a limit": (None, [f"{BATCH} --limit 1"], {"resume"}),
    "unusual options": (None, [f"{BATCH} --limit 1 {UNUSUAL}"], {"resume"}),
    "a budget": (None, [f"{BATCH} --max-cost 0.001 --price flux-schnell=0.001"], {"resume"}),
    "an unknown job": ({"fault": "drop", "after": True}, [BATCH, f"unknown {TOUR}"], {"unknown"}),
    "a job to settle": (
        {"fault": "drop", "after": True},
        [BATCH, f"costs {TOUR}", f"unknown {TOUR} --settle"],
        {"unknown", "resume"},
    ),
    "a job that the account lacks": ({"fault": "drop"}, [BATCH, f"unknown {TOUR} --settle"], {"unknown"}),
    "a job settled by hand": ({"fault": "drop"}, [BATCH, f"unknown {TOUR} --resend fox"], {"unknown", "resume"}),
    "a job given up": (
        {"fault": "drop"},
        [BATCH, f"unknown {TOUR} --abandon fox", f"failures {TOUR}"],
        {"unknown", "resume"},
    ),
    "a failed job": (
        {"fault": "failed"},
        [BATCH, f"failures {TOUR} --out again.csv"],
        {"failures", "resume"},
    ),
    "a sample": (None, [f"{BATCH} --sample 1 --yes"], {"gallery", "resume"}),
    "a file for a prompt": (None, ["generate a.csv"], {"batch"}),
    "no prompt": (None, ["generate"], {"generate"}),
    "no journal": (None, ["status ."], {"batch"}),
    "no such fault": (None, ["local-service --fault nonsense"], {"local-service"}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "lines", "names"), CASES.values(), ids=CASES)
def test_the_commands_that_messages_advise_can_be_pasted(fault, lines, names, account, capsys):
    write("a fox", "an owl")
    if fault is not None:
        account.fail(**fault, prompt="a fox")
    for line in lines:
        main(shlex.split(line))
    out, err = capsys.readouterr()
    assert names == {check(each)[0] for each in advised(f"{out}\n{err}")}, err


@pytest.mark.slow
def test_the_examples_of_the_help_can_be_pasted(folder, capsys):
    for command in COMMANDS:
        run(f"{command.name} --help")
    found = re.findall(r"^ +(cometflux .*)$", capsys.readouterr().out, re.MULTILINE)
    assert {command.name for command in COMMANDS} <= {check(each)[0] for each in found}


def test_the_commands_of_the_page_can_be_pasted(tmp_path):
    folder = tmp_path / "it's mine"
    folder.mkdir()
    job_states.write_states(folder, account=Account(base_url=LOCAL, key=LOCAL))
    text = write_gallery(folder).read_text(encoding="utf-8")
    (named,) = re.findall(r'data-folder="(.*?)"', text)
    (states,) = re.findall(r'id="states">(.*?)</script>', text)
    # The script writes the folder into its commands, and so it does into those of the states.
    written = re.findall(r"cometflux (?:export|gallery) [^`]*", text)
    commands = [each.replace(re.search(r"\$\{.*?\}", each)[0], "FOLDER") for each in written]
    commands += [f"cometflux {each['command']} FOLDER" for each in json.loads(states).values() if each["command"]]
    found = [check(each.replace("FOLDER", html.unescape(named))) for each in commands]
    assert {"export", "gallery", "resume", "unknown"} == {each[0] for each in found}
    assert all(str(folder) in each for each in found)


@pytest.mark.slow
def test_a_batch_with_schemas_on_this_machine_is_resumed_with_them(folder, capsys):
    """The local service has these models only if it is given their schemas."""
    schema_documents.write(folder / "schemas")
    write("a fox", "an owl", model=SDXL_NAME)
    run(f"{BATCH} --limit 1 --local --model {SDXL_NAME} --schema {SDXL}", 4)
    write("a hen", model=SDXL_NAME)
    run(f"{BATCH} --limit 1 --local --schema schemas", 4)
    advice = advised(capsys.readouterr().err)
    assert [
        f"cometflux resume {TOUR} --local --limit 2 --max-pending 1 --schema {SDXL_NAME}={SDXL}",
        f"cometflux resume {TOUR} --local --schema schemas",
        f"cometflux resume {TOUR} --local --limit 3 --max-pending 1 --schema schemas",
    ] == advice
    run(advice[0].removeprefix("cometflux "), 4)
    run(advice[1].removeprefix("cometflux "))


def test_a_run_that_is_interrupted_before_it_begins_is_resumed_with_its_schemas(account, capsys, monkeypatch):
    schema_documents.write(Path("schemas"))
    write("a fox")
    account.fail("drop", after=True)
    run(BATCH, 5)
    run(f"unknown {TOUR} --adopt fox={account.bills[0].id}")
    capsys.readouterr()
    monkeypatch.setattr(JournalWriter, "open", lambda _: os.kill(os.getpid(), signal.SIGINT))
    run(f"resume {TOUR} --schema schemas", 130)
    assert [f"cometflux resume {TOUR} --schema schemas"] == advised(capsys.readouterr().err)


@pytest.mark.slow
def test_the_schemas_of_failed_jobs_on_this_machine_are_to_be_filled_in(folder, capsys):
    """The journal does not have the names of their files."""
    schema_documents.write(folder / "schemas")
    write("a fox", model=SDXL_NAME)
    run(f"{BATCH} --local", 1)
    run(f"failures {TOUR} --out again.csv")
    command = advised(capsys.readouterr().err)[-1]
    assert f"cometflux resume {TOUR} --local --schema {SDXL_NAME}=FILE --redo-from again.csv" == command
    run(command.removeprefix("cometflux ").replace("FILE", SDXL))
