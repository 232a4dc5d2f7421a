"""How long each part of an exchange may take."""

import attrs


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long one exchange may take, in seconds."""

    connect: float = 10.0
    """Until a connection stands."""
    answer: float = 120.0
    """From the moment a submission leaves until its answer is here, whole."""
    poll: float = 20.0
    """For one question altogether; the service has been seen to keep a question for ever."""
    idle: float = 60.0
    """Without a byte of a download."""
