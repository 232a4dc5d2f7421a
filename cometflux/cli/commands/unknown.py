"""The command for unknown jobs."""

from typing import Annotated

from cometflux.cli.errors import UsageError
from cometflux.cli.exit_codes import ExitCode
from cometflux.cli.options.arguments import BaseUrl, Folder, JsonLines, Proxy
from cometflux.cli.options.declare import repeatable, switch
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.screen import Screen


def unknown(
    folder: Folder,
    /,
    *,
    adopt: Annotated[
        tuple[str, ...],
        repeatable("KEY=ID", "The job was accepted as prediction ID: poll it. Repeatable."),
    ] = (),
    abandon: Annotated[
        tuple[str, ...],
        repeatable("KEY", "Give the job up; it counts as canceled."),
    ] = (),
    resend: Annotated[
        tuple[str, ...],
        repeatable("KEY", "Submit the job again; if it was accepted, you pay twice."),
    ] = (),
    settle: Annotated[
        bool, switch("Look in the account for the jobs' predictions; needs COMETAPI_ACCESS_TOKEN.")
    ] = False,
    resend_missing: Annotated[
        bool, switch("With --settle: submit again the jobs that the account does not have.")
    ] = False,
    json: JsonLines = False,
    base_url: BaseUrl = None,
    proxy: Proxy = None,
) -> int:
    """List the unknown jobs, or settle them.

    An unknown job was sent, and no response proves whether it was accepted. It may
    be billed, so it is not sent again automatically. Your decisions are written to
    the journal, all or none; `resume` then carries them out. With --settle the
    account decides: if its list of tasks has a task with exactly the job's input,
    the job adopts the prediction of that task.
    """
    from cometflux.cli.batch.part_folders import journal_folders
    from cometflux.cli.batch.settle import Resolutions, settle_by_hand
    from cometflux.cli.batch.unknown_jobs import show_unknown

    wishes = Resolutions(adopt=adopt, abandon=abandon, resend=resend)
    if settle and wishes:
        raise UsageError("--settle and --adopt, --abandon or --resend exclude each other; settle first")
    if resend_missing and not settle:
        raise UsageError("--resend-missing needs --settle, which looks in the account")
    folders = journal_folders(folder)
    if wishes and folder not in folders:
        names = ", ".join(each.name for each in folders)
        raise UsageError(f"{folder} holds parts; give the folder of the part that has the job: one of {names}")
    code: int = ExitCode.OK
    screen = Screen()
    for each in [folder] if wishes else folders:
        if folders != [folder]:
            screen.say(f"{each}:")
        if settle:
            from cometflux.cli.batch.settle_with_account import settle_with_account

            settings = RunOptions(base_url=base_url, proxy=proxy)
            code = max(code, settle_with_account(screen, each, settings, resends_missing=resend_missing, as_json=json))
        elif wishes:
            settle_by_hand(screen, each, wishes, as_json=json)
        else:
            show_unknown(screen, each, as_json=json)
    return code
