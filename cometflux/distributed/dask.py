"""The workers of a Dask cluster. Nothing else here knows Dask.

A page is one task, which runs on the worker that the pool chose. It is neither pure nor repeated by Dask, so that each
page is carried out once for each time the pool sends it.
"""

import asyncio
import contextlib
import logging
import multiprocessing.resource_tracker
import os
import re
import signal
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from cometflux.distributed.engine import EngineLostError
from cometflux.distributed.workbench import carry_out
from cometflux.errors import ConfigError, needs_extra
from cometflux.transport.deadlines import finish

_log = logging.getLogger("cometflux.distributed")

CONNECT = 8.0
"""How long to wait for a scheduler, in seconds. The pool opens a lost one again when Dask has given up."""
TRY_OUT = 15.0
"""How long to wait until a new worker has loaded this package, in seconds. If that takes longer, it is used then."""
_QUIET = 1.0
"""How long to wait until the workers that are about to end log nothing more, in seconds."""


class DaskEngine:
    """Starts work on the workers of a Dask cluster; satisfies `Engine`.

    Args:
        cluster: the address of a scheduler, such as ``tcp://host:8786``; a number of processes to start on this
            machine; or a ``distributed.Client`` of yours, which is only read for its scheduler's address and security.

    Raises:
        MissingExtraError: the extra ``distributed`` is not installed.
    """

    def __init__(self, cluster: Any) -> None:
        with needs_extra("saving on a cluster", "distributed", "distributed", "dask"):
            import distributed

        self._distributed: Any = distributed
        self._lost = (self._distributed.client.FutureCancelledError, self._distributed.comm.CommClosedError)
        """What a task ends with if the scheduler is lost."""
        self._security: Any = None
        self._processes = 0
        self._address: str | None = None
        match cluster:
            case bool():
                raise ConfigError(setting="savers", given=cluster, allowed=_ALLOWED)
            case int() if 1 <= cluster <= 256:
                self._processes = cluster
            case str() if cluster.strip():
                self._address = cluster.strip()
            case distributed.Client(scheduler=scheduler) if scheduler is not None:
                self._address, self._security = scheduler.address, cluster.security
            case _:
                raise ConfigError(setting="savers", given=cluster, allowed=_ALLOWED)
        self._cluster: Any = None
        self._client: Any = None
        self._try_outs: dict[str, asyncio.Task[bool]] = {}
        """Whether each worker can be used, as far as that is known."""
        self._told: set[str] = set()
        """The workers that are known not to answer."""

    async def open(self) -> None:
        """Connect to the scheduler, or start a cluster of processes; see `Engine.open`."""
        await self._disconnect()
        if self._processes and self._cluster is None:
            # A cluster whose start is broken off cannot be closed.
            start = asyncio.ensure_future(self._start())
            start.add_done_callback(_retrieve)
            try:
                await finish(start)
            except Exception as error:
                problem = f"{self._processes} processes for saving cannot be started: {error}"
                raise ConfigError(problem, hint=_GUARD) from error
        # Kept at once, so that it is closed if its connecting is broken off.
        self._client = self._distributed.Client(
            self._cluster or self._address,
            asynchronous=True,
            # The program may have a client of its own.
            set_as_default=False,
            security=self._security,
            timeout=CONNECT,
            name="cometflux",
        )
        try:
            async with asyncio.timeout(CONNECT):
                with _unwarned(self._distributed.versions.VersionMismatchWarning):
                    await self._client
        except Exception as error:
            await self._disconnect()
            reason = (
                f"within {CONNECT:g} s"
                if isinstance(error, TimeoutError)
                else f"({str(error) or type(error).__name__})"
            )
            raise EngineLostError(f"no Dask scheduler answers at {self._address} {reason}") from error

    async def _start(self) -> None:
        # Ctrl-C, and the end of a terminal, go to all its processes. Those that are started here do not get them: first
        # they inherit that both are blocked, and then they leave the terminal. The driver ends them.
        blocked = _block_terminal() if hasattr(signal, "pthread_sigmask") else None
        try:
            self._cluster = await self._distributed.LocalCluster(
                n_workers=self._processes,
                threads_per_worker=2,
                # No dashboard, and any port: Dask warns if another cluster on this machine has its usual one.
                dashboard_address=":0",
                scheduler_kwargs={"dashboard": False},
                asynchronous=True,
            )
        finally:
            if blocked is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)  # type: ignore[attr-defined, unused-ignore]

    async def workers(self) -> Mapping[str, int]:
        """Return the workers and their threads; a task of ours holds a thread of its worker."""
        self._check()
        try:
            async with asyncio.timeout(CONNECT):
                threads = dict(await self._client.nthreads())
        except Exception as error:
            raise EngineLostError(_LOST) from error
        new = {name for name in threads if name not in self._try_outs}
        self._try_outs |= {name: asyncio.create_task(self._try_out(name)) for name in new}
        # Each by itself, so that one that hangs does not keep the others from being used.
        if waited_for := [self._try_outs[name] for name in new - self._told]:
            await asyncio.wait(waited_for, timeout=TRY_OUT)
        for name in new & self._try_outs.keys():
            if not self._try_outs[name].done():
                self._say_silent(name, f"it did not answer within {TRY_OUT:g} s")
        return {name: count for name, count in threads.items() if self._is_usable(name)}

    def _is_usable(self, name: str) -> bool:
        try_out = self._try_outs.get(name)
        return try_out is not None and try_out.done() and try_out.result()

    async def _try_out(self, name: str) -> bool:
        """Find out whether a worker has this package. Dask ends a worker that gets a task which it cannot load.

        If the worker cannot be reached, nothing is known, and it is tried out again.
        """
        is_known = False
        try:
            first = _leave_terminal if self._processes else _load
            found = await self._client.run(first, workers=[name], on_error="return")
            # Without it, the worker has gone meanwhile.
            error = found.get(name, _GONE)
            is_known = not isinstance(error, OSError)
        except Exception:  # noqa: BLE001 - the scheduler is lost, which the next call finds
            return False
        finally:
            if not is_known:
                self._try_outs.pop(name, None)
        if error is not None and error is not _GONE:
            reason = str(error) or type(error).__name__
            if is_known:
                _log.warning("the worker %s cannot run cometflux and is not used: %s", name, reason)
            else:
                self._say_silent(name, reason)
        return error is None

    def _say_silent(self, name: str, reason: str) -> None:
        if name not in self._told:
            self._told.add(name)
            _log.warning("the worker %s is not used until it answers: %s", name, reason)

    async def carry_out(self, page: bytes, worker: str) -> bytes:
        """Carry out a page as one task; see `Engine.carry_out`."""
        self._check()
        future = self._client.submit(
            carry_out, page, workers=[worker], allow_other_workers=False, pure=False, retries=0, key=None
        )
        # In a task of its own, which is never cancelled from here: Dask logs a traceback if its gathering is cancelled.
        answer: asyncio.Future[bytes] = asyncio.ensure_future(future.result())
        answer.add_done_callback(_retrieve)
        try:
            await asyncio.wait([answer])
        finally:
            future.release()
        if answer.cancelled() or isinstance(answer.exception(), self._lost):
            raise EngineLostError(_LOST)
        return answer.result()

    def _check(self) -> None:
        if self._client is None or self._client.status != "running":
            raise EngineLostError(_LOST)

    async def aclose(self) -> None:
        """Disconnect, and end the processes that were started here."""
        if self._cluster is not None and self._client is not None:
            # On a busy machine the scheduler ends before a worker, which logs that, with a traceback.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_QUIET):
                    await self._client.run(_log_nothing)
        await self._disconnect()
        if self._cluster is not None:
            await self._cluster.close()

    async def _disconnect(self) -> None:
        for try_out in self._try_outs.values():
            # One that is over stays.
            try_out.cancel()
        client, self._client = self._client, None
        if client is not None:
            # A client that is not closed whole complains when it is collected.
            with contextlib.suppress(Exception):
                await finish(asyncio.ensure_future(client.close()))


_GUARD = "in a script, begin what it does with: if __name__ == '__main__':"
_GONE = OSError()
_LOST = "the Dask scheduler is lost"


def _load() -> None:
    """Do nothing. A worker must load this package to get here."""


def _log_nothing() -> None:
    """Let a worker that is about to end log nothing more."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)


@contextlib.contextmanager
def _unwarned(kind: type[Warning]) -> Iterator[None]:
    """Ignore a kind of warning: what travels here are bytes that do not depend on the versions of others."""
    # Only this entry comes and goes, because others may change the list meanwhile.
    ours = ("ignore", None, kind, re.compile("distributed"), 0)
    warnings.filters.insert(0, ours)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            warnings.filters.remove(ours)  # type: ignore[attr-defined]


def _leave_terminal() -> None:
    # Windows has none, and a process that is tried out again has left before.
    with contextlib.suppress(AttributeError, PermissionError):
        os.setsid()  # type: ignore[attr-defined, unused-ignore]


def _block_terminal() -> set[Any]:
    """Block the signals of a terminal; return those that were blocked before."""
    signals = {signal.SIGINT, signal.SIGHUP}  # type: ignore[attr-defined, unused-ignore]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # type: ignore[attr-defined, unused-ignore]
    # The first process is preceded by a helper of Python's, whose start ends the blocking.
    multiprocessing.resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # type: ignore[attr-defined, unused-ignore]
    found: set[Any] = before
    return found


def _retrieve(answer: "asyncio.Future[Any]") -> None:
    """Take note of an error that nobody waits for any more."""
    if not answer.cancelled():
        answer.exception()


_ALLOWED = "must be the address of a Dask scheduler, a distributed.Client, or a number of processes from 1 to 256"
