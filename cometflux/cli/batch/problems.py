"""The problems of a run, with those that many jobs share named once."""

import re
from collections.abc import Iterator
from typing import Any

import attrs
from rich.table import Table
from rich.text import Text

from cometflux.basics.plain_text import count_of
from cometflux.cli.batch.outcome_lines import KIND_WORDS, reason_of
from cometflux.cli.terminal.screen import clip
from cometflux.errors import CometfluxError
from cometflux.models.docs import slug
from cometflux.outcomes import Outcome, OutcomeKind

_MOST_SHOWN = 10
_MOST_NAMED = 4
_GROUPED = (OutcomeKind.FAILED, OutcomeKind.REJECTED, OutcomeKind.NOT_SENT, OutcomeKind.UNKNOWN)
# The service ends many error messages with an id in parentheses.
_TRACE = re.compile(r"\([a-z0-9]{8,}\)")


@attrs.define
class ProblemGroup:
    """The same problem of one or more jobs."""

    outcome: Outcome
    reason: str
    more: list[str] = attrs.field(factory=list)
    """The keys of the other jobs, in order."""

    def alike(self) -> str:
        """Return the names of the first few other jobs, and how many more there are."""
        if not self.more:
            return ""
        named = ", ".join(clip(key, 20) for key in self.more[:_MOST_NAMED])
        untold = len(self.more) - _MOST_NAMED
        rest = f" and {count_of(untold, 'other')}" if untold > 0 else ""
        return f" (the same for {named}{rest})"


class RunProblems:
    """Groups the problems of a run, and keeps those of each job for the report.

    Args:
        full_list: where a person finds the problem of each job.
    """

    def __init__(self, full_list: str) -> None:
        self.of_jobs: dict[str, dict[str, str]] = {}
        """The problem of each job, by the job's key, as in `report.json`."""
        self._full_list = full_list
        self._groups: dict[tuple[Any, ...], ProblemGroup] = {}
        self._untold = 0

    def add(self, outcome: Outcome) -> None:
        """Take in the outcome of a job that has a problem."""
        reason = reason_of(outcome)
        self.of_jobs[outcome.key] = {"kind": _kind(outcome), "error": reason}
        # A prediction whose pictures can still be fetched is named by itself.
        is_grouped = outcome.ok or outcome.kind in _GROUPED
        alike = (outcome.kind, _TRACE.sub("", reason)) if is_grouped else (outcome.index,)
        known = self._groups.get(alike)
        if known is not None:
            known.more.append(outcome.key)
        elif len(self._groups) < _MOST_SHOWN:
            self._groups[alike] = ProblemGroup(outcome, reason)
        else:
            self._untold += 1

    def tables(self, cause: CometfluxError | None) -> Iterator[Table | Text]:
        """Yield the problems, except for the *cause* of the end."""
        groups = [each for each in self._groups.values() if not _is_refusal_like(each.outcome, cause)]
        if groups:
            yield Text()
            yield _table(groups)
        if self._untold or any(len(each.more) > _MOST_NAMED for each in groups):
            more = f"… and {self._untold} more; " if self._untold else ""
            yield Text(f"  {more}{self._full_list} lists them all")


def _table(groups: list[ProblemGroup]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="red")
    table.add_column(ratio=1, overflow="fold")
    for group in groups:
        outcome = group.outcome
        about = f"{slug(outcome.job.model)}: {outcome.job.prompt or ''}"
        reason = f"{clip(group.reason, 300)}{group.alike()}"
        table.add_row(
            Text(clip(outcome.key, 20)), Text(_kind(outcome)), Text.assemble(reason, "\n", (clip(about, 68), "dim"))
        )
    return table


def _kind(outcome: Outcome) -> str:
    if outcome.kind is OutcomeKind.SUCCEEDED:
        return "incomplete" if outcome.ok else "not saved"
    return KIND_WORDS[outcome.kind]


def _is_refusal_like(outcome: Outcome, cause: CometfluxError | None) -> bool:
    """Whether the job was rejected for the reason that ended the batch, which is reported by itself."""
    return outcome.kind in (OutcomeKind.REJECTED, OutcomeKind.NOT_SENT) and type(outcome.error) is type(cause)
