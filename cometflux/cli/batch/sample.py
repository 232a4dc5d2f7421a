"""A sample of a batch: a few jobs that are spread over the file and made first."""

from pathlib import Path

from cometflux.basics.plain_text import count_of
from cometflux.basics.quoting import argument, join
from cometflux.cli.batch.draft_plan import BatchPlan
from cometflux.cli.batch.dry_run import offer_others
from cometflux.cli.options.shared import ConsentOptions, RunOptions
from cometflux.cli.terminal.screen import Screen


def goes_on(plan: BatchPlan, settings: RunOptions, consent: ConsentOptions, folder: Path) -> bool:
    """Say that the sample is made and how to see it; return whether to make the other jobs, too.

    A person at a terminal is asked. Without one only ``--yes`` goes on.
    """
    assert consent.sample is not None
    screen = Screen(settings.voice)
    made = count_of(len(plan.sample(consent.sample)), "job")
    line = f"the sample is finished: {made} of {len(plan)}"
    if not settings.gallery:
        line = f"{line}; to see the pictures together: {join(['cometflux', 'gallery', argument(folder)])}"
    screen.say(line)
    return offer_others(plan, settings, consent, folder)
