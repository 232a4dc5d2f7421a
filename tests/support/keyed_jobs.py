"""Jobs with keys: made in a session, and found by key among its outcomes."""

from cometflux import Job


def keyed(key="a", prompt="a boat", **values):
    return Job(model="black-forest-labs/flux-schnell", input={"prompt": prompt, **values}, key=key)


async def make(session, *jobs, **options):
    """Make the jobs, and return the outcomes by key."""
    return {outcome.key: outcome async for outcome in session.generate([*jobs], **options)}


def kinds(outcomes):
    """Return the kind of each outcome by key."""
    return {key: str(outcome.kind) for key, outcome in outcomes.items()}
