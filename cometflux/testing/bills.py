"""Records of the local service: the bills, and the requests that it received."""

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Bill:
    """One accepted submission. The real service charges for each, so this service counts each."""

    id: str
    """The prediction's id."""
    model: str
    """``owner/name``."""
    input: Mapping[str, Any]
    """The input as it was sent, including keys that the model ignores."""
    at: float
    """The time of acceptance, in seconds of the service's clock."""
    quota: int = 0
    """The charge in units of quota: 500,000 are one dollar."""


@attrs.frozen(kw_only=True)
class SeenRequest:
    """One received request, even if it was rejected."""

    method: str
    path: str
    authorised: bool
    """Whether it had the right key."""
    length: int
    """Its Content-Length; 0 if it had none."""
    connection: int
    """The number of its connection, from 1."""
    at: float
    """The time of arrival, in seconds of the service's clock."""
