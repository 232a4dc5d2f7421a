"""Ctrl-C under `asyncio.run`: the first one cancels the program's task, and the second one hurries the closing.

At the second one asyncio itself raises KeyboardInterrupt in the middle of whatever the loop does. The step that it
breaks off never happens: a response that was read is lost, or the task that closes the session is never woken.
"""

import asyncio
import functools
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_open: dict[Callable[[], None], asyncio.AbstractEventLoop] = {}
"""How to hurry each open session, and its loop."""
_asyncios: Any = None
"""The handler that asyncio had installed."""
_count = 0
"""How often Ctrl-C was pressed while sessions were open."""


def watch(hurry: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
    """Call *hurry* in *loop* at the second Ctrl-C, unless the program has a handler of its own."""
    global _asyncios, _count
    if threading.current_thread() is not threading.main_thread():
        return
    present = signal.getsignal(signal.SIGINT)
    if present is not _handle:
        if not _is_asyncios(present):
            return
        _open.clear()
        _asyncios, _count = present, 0
        signal.signal(signal.SIGINT, _handle)
    _open[hurry] = loop


def release(hurry: Callable[[], None]) -> None:
    """Give asyncio its handler back, if no other session is open."""
    if _open.pop(hurry, None) is not None and not _open:
        _give_back()


def _give_back() -> None:
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is _handle:
        # Where its task is over, asyncio has tried to take its handler away, and did not find it.
        is_over = _asyncios.keywords["main_task"].done()
        signal.signal(signal.SIGINT, signal.default_int_handler if is_over else _asyncios)


def _is_asyncios(handler: Any) -> bool:
    own = getattr(asyncio.Runner, "_on_sigint", None)
    is_own = isinstance(handler, functools.partial) and getattr(handler.func, "__func__", 0) is own
    return is_own and "main_task" in handler.keywords


def _handle(number: int, frame: FrameType | None) -> None:
    global _count
    _count += 1
    if _count == 2:
        for hurry, loop in _open.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(hurry)
        return
    if _count > 2:
        # The loop itself may be stuck.
        _open.clear()
        _give_back()
    _asyncios(number, frame)
