"""Jobs with keys: made in a session, and found by key among its outcomes and in its journal."""

from cometflux import Job, Journal


def keyed(key="a", prompt="a boat", **values):
    return Job(model="black-forest-labs/flux-schnell", input={"prompt": prompt, **values}, key=key)


async def make(session, *jobs, **options):
    """Make the jobs, and return the outcomes by key."""
    return {outcome.key: outcome async for outcome in session.generate([*jobs], **options)}


def kinds(outcomes):
    """Return the kind of each outcome by key."""
    return {key: str(outcome.kind) for key, outcome in outcomes.items()}


def records(folder):
    """Return the records of a folder's journal by key."""
    with Journal(folder) as journal:
        return {record.key: record for record in journal.records()}


def record_in(folder):
    """Return the only record of a folder's journal."""
    (record,) = records(folder).values()
    return record
