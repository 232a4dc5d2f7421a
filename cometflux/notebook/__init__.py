"""Show pictures below a notebook's cell, and a progress bar for a batch.

::

    from cometflux.notebook import progress

    async for outcome in progress(session.generate(jobs, save_to="images")):
        ...

After this import, a notebook shows the pictures of a `Prediction` and an `Outcome`. The bar is tqdm's and needs the
extra ``notebook``. Outside a notebook no bar is drawn.
"""

import asyncio
import operator
import sys
import warnings
from collections import Counter
from collections.abc import AsyncIterable
from typing import Any, Self

from cometflux.basics.plain_text import log as _log
from cometflux.errors import needs_extra
from cometflux.notebook import display
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.predictions import Prediction

_PAUSE = 0.25
"""Longest delay in seconds until an outcome is drawn, even if no other outcome comes."""


def _shell() -> Any:
    """Return the IPython shell; None outside IPython."""
    # In a notebook, IPython is already loaded.
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def show_pictures(formatter: Any) -> None:
    """Let a display formatter of IPython show predictions and outcomes with their pictures."""
    formatter.mimebundle_formatter.for_type(Prediction, display.show_prediction)
    formatter.mimebundle_formatter.for_type(Outcome, display.show_outcome)


if (_here := _shell()) is not None:
    show_pictures(_here.display_formatter)


def progress(outcomes: AsyncIterable[Outcome], *, total: int | None = None) -> "Progress":
    """Yield the outcomes of a batch, and draw a progress bar in a notebook.

    Leaving the loop stops the batch as usual, unless a variable still refers to the batch.

    Args:
        outcomes: the return value of `Session.generate`.
        total: the number of outcomes; None to use the number of jobs, if the jobs given to ``generate`` have a length.

    Raises:
        ConfigError: this is a notebook, and the extra is not installed.
    """
    if total is None:
        total = operator.length_hint(outcomes, 0) or None
    # The IPython shell in a terminal has no kernel.
    is_notebook = getattr(_shell(), "kernel", None) is not None
    return Progress(outcomes, make_bar(total) if is_notebook else None)


def make_bar(total: int | None, **options: Any) -> Any:
    """Make a bar for *total* jobs, or None if the number is unknown. *options* go to tqdm.

    The bar is a widget if ipywidgets is installed, else a line of text.

    Raises:
        ConfigError: tqdm is not installed.
    """
    with needs_extra("progress() in a notebook", "notebook", "tqdm"), warnings.catch_warnings():
        # It warns if ipywidgets is missing, but the line of text is as good.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    # On stdout, because Jupyter shows stderr in red. Without smoothing, the time left comes from the average rate. At a
    # fixed position, an unfinished bar does not move the next one down.
    return tqdm(**{"total": total, "unit": "job", "smoothing": 0, "position": 0, "file": sys.stdout, **options})


class Progress:
    """The outcomes of a batch; iterate with ``async for``. Made by `progress`."""

    def __init__(self, outcomes: AsyncIterable[Outcome], bar: Any) -> None:
        self._outcomes = aiter(outcomes)
        self._bar = bar
        self._counts: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        try:
            outcome = await anext(self._outcomes)
        except Exception:
            self._draw(None)
            raise
        self._draw(outcome)
        return outcome

    def _draw(self, outcome: Outcome | None) -> None:
        """Draw one more outcome, or close the bar if *outcome* is None."""
        if self._bar is None:
            return
        try:
            self._bar.close() if outcome is None else self._count(outcome)
        except Exception:  # noqa: BLE001 - the bar belongs to the notebook and may raise anything
            # No outcome is lost because a bar cannot be drawn.
            self._bar.disable, self._bar = True, None
            _log.exception("the progress bar can no longer be drawn")

    def _count(self, outcome: Outcome) -> None:
        is_unsaved = outcome.kind is OutcomeKind.SUCCEEDED and outcome.error is not None
        self._counts["not saved" if is_unsaved else str(outcome.kind).replace("_", " ")] += 1
        words = ", ".join(f"{count} {kind}" for kind, count in self._counts.items())
        self._bar.set_postfix_str(words, refresh=False)
        # The time left must not depend on outcomes of an earlier run.
        self._bar.initial += outcome.resumed
        self._bar.update()
        # tqdm does not draw an outcome that comes soon after another, so a timer does. The timer refers only to the
        # bar, because it must not keep a dropped batch alive.
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_PAUSE, self._bar.refresh)
