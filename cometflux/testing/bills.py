"""What the local service writes down: the bills, and the requests it has seen."""

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Bill:
    """One accepted submission. The real service charges for each, and so does this one."""

    id: str
    """The prediction's id."""
    model: str
    """``owner/name``."""
    input: Mapping[str, Any]
    """The input as it was sent, with the keys that the model ignores."""
    at: float
    """When it was accepted, in seconds, by the clock of the service's event loop."""


@attrs.frozen(kw_only=True)
class SeenRequest:
    """One request, whatever became of it."""

    method: str
    path: str
    authorised: bool
    """Whether it carried the right key."""
    length: int
    """The Content-Length of its body; 0 where it had none."""
    connection: int
    """Which connection it came on, counted from 1."""
    at: float
    """When it came, in seconds, by the clock of the service's event loop."""
