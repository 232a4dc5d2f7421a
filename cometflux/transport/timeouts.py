"""The timeouts of an exchange."""

import attrs


@attrs.frozen(kw_only=True)
class Timeouts:
    """The timeouts of one exchange, in seconds."""

    connect: float = 10.0
    """To make a connection."""
    answer: float = 120.0
    """From sending a submission until its response is complete."""
    poll: float = 20.0
    """For one poll in total. The service has been seen to never respond to one."""
    idle: float = 60.0
    """For each part of a download: the head, then as many bytes as come in this time at 1 KiB per second."""
    download: float = 600.0
    """For one download in total."""
