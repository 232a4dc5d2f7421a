"""How fast the machine is at this moment: a virtual one may take twice as long an hour later."""

import time


def machine_speed() -> str:
    """Return how long a plain loop takes, in words."""
    return f"this machine adds ten million numbers in {min(_seconds() for _ in range(3)):.2f} s"


def _seconds() -> float:
    began = time.process_time()
    total = 0
    for number in range(10_000_000):
        total += number
    return time.process_time() - began
