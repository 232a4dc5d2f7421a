"""Settle unknown jobs with the account's list of tasks."""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from cometflux.account.settle import doubt_of, is_unknown, known_ids, settle
from cometflux.account.settling import Doubt, Verdict
from cometflux.basics.plain_text import by_number, count_of
from cometflux.basics.quoting import argument, join
from cometflux.cli.batch.account_access import AccountAccess
from cometflux.cli.batch.known_prediction import run_work
from cometflux.cli.batch.settle import SettledJob, tell_settled
from cometflux.cli.batch.unknown_jobs import JobNames
from cometflux.cli.exit_codes import ExitCode
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.screen import Screen
from cometflux.journal.record import JobRecord
from cometflux.transport.client import Client


def settle_with_account(
    screen: Screen, folder: Path, settings: RunOptions, *, resends_missing: bool, as_json: bool
) -> ExitCode:
    """Adopt the predictions that are proved to be unknown jobs; print what became of each job.

    The journal is locked meanwhile. With *resends_missing*, the jobs that the account does not have are planned again.

    Raises:
        ConfigError: the key or the access token is missing or unusable, or *folder* has no journal.
        JournalError: the journal cannot be used, or a batch is using it.
        AccountError: the account's list cannot be fetched or read.
    """
    access = AccountAccess.of(folder, settings)
    with access.open_journal() as (writer, journal):
        names = JobNames(journal.records(), lambda record: doubt_of(record) is not None)
        known = known_ids(journal.records())
        doubts = [doubt for record in names.jobs.values() if (doubt := doubt_of(record)) is not None]
        verdicts = run_work(_decide(access, doubts, known), screen, "the account") if doubts else []
        settled = [
            _settled(names, names.jobs[each.identity], each, resends_missing=resends_missing) for each in verdicts
        ]
        writer.commit((), [each.after for each in settled if each.after != names.jobs[each.after.identity]])
    left = sum(is_unknown(each.after) for each in settled)
    if as_json:
        for each in settled:
            screen.data_json(each.described())
    elif settled:
        tell_settled(screen, folder, settled, 0, is_local=False)
        if left:
            screen.say(f"{count_of(left, 'job')} of {len(settled)} {by_number(left, 'stays', 'stay')} unknown")
        if any(each.how == "none" and is_unknown(each.after) for each in settled):
            screen.say("to submit again those that the account does not have:")
            screen.say(f"  {join(['cometflux', 'unknown', argument(folder), '--settle', '--resend-missing'])}")
    else:
        screen.say(f"no job in {folder} is unknown")
    return ExitCode.UNKNOWN if left else ExitCode.OK


async def _decide(access: AccountAccess, doubts: Sequence[Doubt], known: dict[str, float | None]) -> list[Verdict]:
    async with AsyncExitStack() as stack:
        lists, transport = access.lists(), access.transport()
        stack.push_async_callback(lists.aclose)
        stack.push_async_callback(transport.aclose)
        return await settle(lists, Client(transport), doubts, known, time.time())


def _settled(names: JobNames, record: JobRecord, verdict: Verdict, *, resends_missing: bool) -> SettledJob:
    name = names.of(record)
    if verdict.outcome == "adopted":
        how = "adopted" if is_unknown(record) else "earlier"
        return SettledJob(name, how, record.settled(verdict.ids), verdict.ids)
    if verdict.outcome == "none" and is_unknown(record) and resends_missing:
        return SettledJob(name, "resent", record.ready_for_retry())
    return SettledJob(name, verdict.outcome, record, verdict.ids)
