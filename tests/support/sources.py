"""Read a source whole, as the planner does."""

import attrs

from cometflux.sources.errors import Fault, SourceError


def gather(source):
    """Return *source* with all its rows, or raise its faults."""
    entries = list(source.rows)
    if faults := [each for each in entries if isinstance(each, Fault)]:
        raise SourceError(faults, source.name, source.unit)
    if not entries:
        raise SourceError("it holds no prompt; give one per row", source.name)
    return attrs.evolve(source, rows=tuple(entries))
