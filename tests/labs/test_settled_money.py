"""Lost responses and kills, then the account: no job stays unknown, each bill has one job, and the sums are equal.

The moments are random. The seed, and the bill and the delay after which each process ended, are printed.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal

import forked_process
import pytest
from bill_checks import KilledBatch, is_unknown, no_kill

from cometflux import Journal
from cometflux.account.usage import dollars
from cometflux.cli import main

FAULTS = [
    # Billed, and the response is lost.
    {"fault": "drop", "rate": 0.04, "after": True},
    {"fault": "torn-early", "rate": 0.03, "after": True},
    {"fault": "503", "rate": 0.03, "after": True},
    # Never accepted, and nothing proves it.
    {"fault": "drop", "rate": 0.03},
    {"fault": "500", "rate": 0.02},
    {"fault": "failed", "rate": 0.05},
    # The account's lists have bad moments, too.
    {"fault": "503", "rate": 0.1, "on": "tasks"},
    {"fault": "torn", "rate": 0.1, "on": "tasks"},
    {"fault": "drop", "rate": 0.1, "on": "log"},
]
ROUNDS = 12
OPEN = {"unknown", "waiting", "pending", "detached", "unsaved", "not_sent"}


PRICE = Decimal("0.003")
"""Of a prediction in the catalogue of the local service; its ratio makes the bill less."""


def command_of(folder, jobs):
    """Return the command that runs the batch of a prompt file, with a budget for what kills leave unknown too."""
    table = folder.parent / "boats.txt"
    table.write_text("".join(f"{number} paper boats\n" for number in range(jobs)))
    budget = str(PRICE * 3 * jobs)
    return [*("batch", str(table), "--out", str(folder)), *("--max-cost", budget, "--yes", "--quiet")]


@pytest.fixture
def batch(tmp_path, seed, jobs, program, monkeypatch):
    folder = tmp_path / "boats"
    folder.mkdir()
    command = command_of(folder, jobs) if program == "command" else None
    monkeypatch.delenv("COMETAPI_API_KEY", raising=False)
    monkeypatch.setattr("cometflux.account.lists._WAITS", (0.01,) * 8)
    # Every response to a POST is over by then, so what is not listed was never accepted.
    monkeypatch.setattr("cometflux.account.settling.DELAY", 0.0)
    line = command and [sys.executable, "-m", "cometflux.cli", *command]
    with KilledBatch(folder, jobs=jobs, seed=seed, faults=FAULTS, command=line) as batch:
        monkeypatch.setenv("COMETAPI_KEY", batch.service.key)
        monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", batch.service.access_token)
        monkeypatch.setenv("COMETFLUX_BASE_URL", batch.service.url)
        batch.service.refunds = True
        yield batch


HARD = [pytest.param(seed, 300, 8, "session", marks=pytest.mark.hard) for seed in range(2, 8)]
HARD += [pytest.param(seed, 200, 5, "command", marks=pytest.mark.hard) for seed in range(8, 14)]


@pytest.mark.parametrize(("seed", "jobs", "kills", "program"), [(1, 40, 2, "session"), *HARD])
def test_the_account_settles_every_unknown_and_its_charges_are_the_bills(batch, seed, kills, program, capsys):
    for more in reversed(range(kills)):
        batch.run_until_struck(signal.SIGKILL, more)
    batch.run(no_kill())
    in_doubt = {prompt for prompt, record in batch.records().items() if is_unknown(record)}
    assert in_doubt & {bill.input["prompt"] for bill in batch.service.bills}, "no response to a bill was lost"
    chance = random.Random(seed)
    kill_command(["unknown", str(batch.folder), "--settle"], chance)
    budget = () if program == "session" else ("--max-cost", str(PRICE * 3 * batch.jobs))
    settle(batch, budget)
    kill_command(["costs", str(batch.folder)], chance)

    with Journal(batch.folder) as journal:
        records = list(journal.records())
        status = journal.status()
    assert 0 == sum(status[name] for name in OPEN), status
    matched = Counter(name for record in records for name in record.prediction_ids)
    assert {bill.id: 1 for bill in batch.service.bills} == matched, "each bill belongs to one job"
    inputs = {name: record.input for record in records for name in record.prediction_ids}
    assert {bill.id: bill.input for bill in batch.service.bills} == inputs

    capsys.readouterr()
    assert 0 == main(["costs", str(batch.folder), "--json"])
    costs = json.loads(capsys.readouterr().out)
    billed = sum(bill.quota for bill in batch.service.bills)
    failed = [record for record in records if record.state_name == "failed"]
    assert (billed, dollars(billed), 0) == (costs["charged_quota"], costs["charged"], costs["without_charge"])
    quotas = {bill.id: bill.quota for bill in batch.service.bills}
    assert sum(quotas[record.prediction_id] for record in failed) == costs["refunded_quota"]
    assert [] == costs["failed_and_charged"]
    with Journal(batch.folder) as journal:
        kept = {each.prediction_id: each.quota for record in journal.records() for each in record.charges}
    assert quotas == kept
    if program == "command":
        # A submission that the account does not have counts: nobody knew that when it was sent again.
        bought = sum(record.bought for record in records)
        with Journal(batch.folder) as journal:
            estimated = journal.costs()
        assert (bought, 0) == (sum(estimated.bases.values()), estimated.without_price)
        assert PRICE * bought == Decimal(estimated.estimated) / 1_000_000 <= PRICE * 3 * batch.jobs


def settle(batch, budget):
    """Settle and go on until nothing is open: what goes on may lose responses, too."""
    for number in range(ROUNDS):
        code = main(["unknown", str(batch.folder), "--settle", "--resend-missing"])
        assert code == 0, f"round {number}: a job stays unknown"
        main(["resume", str(batch.folder), "--quiet", *budget])
        with Journal(batch.folder) as journal:
            status = journal.status()
        if not sum(status[name] for name in OPEN):
            print(f"settled after {number + 1} rounds: {status}")
            return


def kill_command(arguments, chance):
    """Run a command in a process of its own, and kill it at a random moment."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = forked_process.Popen(
        [sys.executable, "-m", "cometflux.cli", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(chance.uniform(0.2, 1.2))
    process.kill()
    process.communicate()
