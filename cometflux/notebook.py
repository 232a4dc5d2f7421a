"""A batch in a notebook: how far it is, drawn below the cell.

::

    from cometflux.notebook import progress

    async for outcome in progress(session.generate(jobs, save_to="images")):
        ...

Needs nothing that a notebook does not have. Where there is no notebook, nothing is drawn.
"""

import asyncio
import html
import logging
import operator
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterable, Callable
from typing import Self

from cometflux.jobs import Kind
from cometflux.registry import Outcome

_log = logging.getLogger("cometflux")

Publish = Callable[[dict[str, str], bool], object]
"""Shows a bundle by media type, for the first time or, where the second argument is True, in place of the last."""

_PAUSE = 0.25
"""Seconds between two drawings at least."""


def progress(outcomes: AsyncIterable[Outcome], *, total: int | None = None) -> "Progress":
    """Hand on the outcomes of a batch, and draw how far it is.

    Leaving the loop stops the batch as it does without this, unless the batch has a name of its own.

    Args:
        outcomes: what `Session.generate` returned.
        total: how many there will be; None to take the number of jobs, where what was given to ``generate`` has one.
    """
    if total is None:
        total = operator.length_hint(outcomes, 0) or None
    publish = _notebook()
    return Progress(outcomes, None if publish is None else Bar(total, publish))


def _notebook() -> Publish | None:
    """Find out how to draw in this notebook; None where there is none."""
    # Whoever works in a notebook has loaded it.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    # A shell in a terminal cannot draw anything anew.
    if getattr(shell, "kernel", None) is None:
        return None
    transient = {"display_id": uuid.uuid4().hex}
    assert shell is not None
    display = shell.display_pub

    def publish(bundle: dict[str, str], again: bool) -> None:
        display.publish(data=bundle, metadata={}, transient=transient, update=again)

    return publish


class Progress:
    """The outcomes of a batch; iterate with ``async for``. Made by `progress`."""

    def __init__(self, outcomes: AsyncIterable[Outcome], bar: "Bar | None") -> None:
        self._outcomes = aiter(outcomes)
        self._bar = bar

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        if self._bar is None:
            return await anext(self._outcomes)
        self._bar.begin()
        try:
            outcome = await anext(self._outcomes)
        except BaseException:
            self._bar.finish()
            raise
        self._bar.note(outcome)
        return outcome


class Bar:
    """What is drawn. It knows nothing of the batch, so that a batch which is dropped is not kept by a timer here.

    Args:
        total: how many outcomes there will be; None where nobody knows.
        publish: draws.
    """

    def __init__(self, total: int | None, publish: Publish) -> None:
        self._total = total
        self._publish = publish
        self._counts: Counter[str] = Counter()
        self._bought = 0
        self._began: float | None = None
        self._is_drawn = False
        self._is_stale = True
        self._is_broken = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Draw it for the first time."""
        if self._began is None:
            self._began = time.monotonic()
            self._draw()

    def note(self, outcome: Outcome) -> None:
        """Count an outcome; it is drawn now or soon."""
        is_unsaved = outcome.kind is Kind.SUCCEEDED and outcome.error is not None
        self._counts["not saved" if is_unsaved else str(outcome.kind).replace("_", " ")] += 1
        self._bought += not outcome.resumed
        self._is_stale = True
        if self._timer is None:
            self._draw()

    def finish(self) -> None:
        """Draw how it ended."""
        if self._timer is not None:
            self._timer.cancel()
        self._is_stale = True
        self._draw()

    def _draw(self) -> None:
        self._timer = None
        if not self._is_stale or self._is_broken:
            return
        self._is_stale = False
        try:
            self._publish(self._bundle(), self._is_drawn)
        except Exception:  # noqa: BLE001 - it is the notebook's, and may raise anything
            # No outcome is lost for a drawing.
            self._is_broken = True
            _log.exception("the progress cannot be drawn any more")
            return
        self._is_drawn = True
        self._timer = asyncio.get_running_loop().call_later(_PAUSE, self._draw)

    def _bundle(self) -> dict[str, str]:
        words = html.escape(text := " · ".join(self._words()))
        # Without a value it is drawn as one that goes on without a known end.
        extent = "" if self._total is None else f' value="{self._done}" max="{max(self._total, self._done)}"'
        bar = f'<progress{extent} aria-label="{words}" style="vertical-align:middle;width:20em"></progress>'
        return {"text/plain": text, "text/html": f"<div>{bar} {words}</div>"}

    @property
    def _done(self) -> int:
        return self._counts.total()

    def _words(self) -> list[str]:
        done = f"{self._done}" if self._total is None else f"{self._done} of {self._total}"
        assert self._began is not None
        passed = time.monotonic() - self._began
        words = [done, *(f"{count} {kind}" for kind, count in self._counts.items()), duration(passed)]
        left = (self._total or 0) - self._done
        if left > 0 and self._bought:
            words.append(f"about {duration(passed / self._bought * left)} left")
        return words


def duration(seconds: float) -> str:
    """Tell a time as people do."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
