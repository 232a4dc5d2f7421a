"""How long the loop stood still, as its late timers show. Patience does not count that time. Time is a parameter."""

_LATE = 1.0


class Standstill:
    """Adds up the seconds in which the loop did not run, because the process was stopped or computed."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """The time lost so far, in seconds."""
        self._until = 0.0

    def note(self, due: float, now: float) -> bool:
        """Note that a timer due at *due* was called at *now*; return whether that was late.

        Two timers that were late for the same reason count once.
        """
        if now - due <= _LATE:
            return False
        self.seconds += max(now - max(due, self._until), 0.0)
        self._until = now
        return True
