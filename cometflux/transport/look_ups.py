"""Look-ups of host names, in threads of their own.

A look-up cannot be cancelled, and may hang for a minute. In the loop's own threads, it would hold up the writing of
pictures, and the end of the program would wait for it.
"""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any


class LookUps:
    """Looks up host names, as an event loop does.

    Args:
        most: maximum look-ups at the same time. Further ones wait, even for those that nobody waits for any more.
    """

    def __init__(self, most: int) -> None:
        self._threads = _Threads(most)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> list[Any]:
        """Look up the addresses of a host; as ``socket.getaddrinfo``."""
        look_up = partial(socket.getaddrinfo, host, port, **options)
        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)

    async def getnameinfo(self, address: Any, flags: int = 0) -> tuple[str, str]:
        """Look up the name of an address; as ``socket.getnameinfo``."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, socket.getnameinfo, address, flags)


class _Threads(Executor):
    """Runs calls in at most *most* threads, which end when there is nothing to do. No exit of a program waits for them.

    ``ThreadPoolExecutor`` makes the exit of the program wait until all its calls have returned.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._running = 0
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._lock = threading.Lock()

    def submit(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if self._running < self._most:
                threading.Thread(target=self._work, name="cometflux-look-up", daemon=True).start()
                self._running += 1
            self._waiting.append((future, partial(call, *args, **options)))
        return future

    def _work(self) -> None:
        while (found := self._next()) is not None:
            future, call = found
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - the caller receives it
                future.set_exception(error)

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._running -= 1
            return None
