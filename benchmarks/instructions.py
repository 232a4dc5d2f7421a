"""How many instructions does a completed prediction take (one POST, one GET), compared with a loop by hand?

Valgrind's cachegrind counts them, so the figure does not depend on the machine or its load. It is the difference
between many predictions and few, which leaves out the start. Valgrind makes a process about fifty times slower, so
connections that are opened in advance are often too old when their turn comes: the figure as shipped is larger than in
real life.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from functools import partial

from benchmarks import server
from benchmarks.clients import Contender, bare, pooled, shipped
from benchmarks.instant import Instant
from cometflux import PollPolicy, Session, flux
from cometflux.protocol.requests import Request

FEW, MANY = 200, 800
PENDING = 100
TARGET = 1.0
"""Of the loop by hand, if both reuse their connections."""
TARGETS = {"as shipped": 1.8, "the session alone": 0.55}
"""Million instructions."""


async def _session(_: str, count: int) -> None:
    """Run a session over a transport without a socket."""
    async with Session(Instant(), max_pending=PENDING, poll_policy=PollPolicy.every(1e-6)) as session:
        async for outcome in session.generate(flux.Schnell(prompt="a paper boat") for _ in range(count)):
            assert outcome.ok, outcome.error


async def _transport(_: str, count: int) -> None:
    """Do what that transport does, without a session."""
    transport = Instant()
    body = b'{"input":{"prompt":"a paper boat"}}'
    for number in range(1, count + 1):
        await transport.submit(Request("POST", "/models/black-forest-labs/flux-schnell/predictions", body))
        await transport.send(Request("GET", f"/predictions/{number:026d}"))


CONTENDERS: dict[str, Contender] = {
    "a loop by hand": partial(bare, is_fresh=False, pending=PENDING),
    "cometflux": partial(pooled, pending=PENDING),
    "a loop with a connection for each POST": partial(bare, is_fresh=True, pending=PENDING),
    "as shipped": partial(shipped, pending=PENDING),
    "session": _session,
    "transport": _transport,
}


def count(title: str, base_url: str, predictions: int) -> int:
    """Return the number of instructions of a process that makes *predictions* predictions."""
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    client = [sys.executable, "-m", "benchmarks.instructions", title, base_url, str(predictions)]
    # The same order of sets on each run.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run([*valgrind, *client], stderr=subprocess.PIPE, check=True, text=True, env=environment)
    found = next(line for line in done.stderr.splitlines() if "I" in line and "refs:" in line)
    return int(found.rpartition(" ")[2].replace(",", ""))


def main() -> None:
    if len(sys.argv) == 4:
        title, base_url, predictions = sys.argv[1:]
        asyncio.run(CONTENDERS[title](base_url, int(predictions)))
        return
    print(f"Million instructions per completed prediction, {PENDING} pending: python -m benchmarks.instructions")
    if shutil.which("valgrind") is None:
        print("  not counted: valgrind is not installed")
        return
    with server.running(max(os.sched_getaffinity(0))) as base_url:
        costs = {
            title: (count(title, base_url, MANY) - count(title, base_url, FEW)) / (MANY - FEW) / 1e6
            for title in CONTENDERS
        }
    costs["the session alone"] = costs.pop("session") - costs.pop("transport")
    ratio = costs["cometflux"] / costs["a loop by hand"]
    verdict = "met" if ratio <= TARGET else "missed"
    reused = f"a loop by hand {costs['a loop by hand']:.2f}, cometflux {costs['cometflux']:.2f}"
    print(f"  connections reused: {reused}, ratio {ratio:.2f}, wanted {TARGET} at most: {verdict}")
    title = "a loop with a connection for each POST"
    print(f"  {title}: {costs[title]:.2f}")
    for title, most in TARGETS.items():
        verdict = "met" if costs[title] <= most else "missed"
        print(f"  {title}: {costs[title]:.2f}, wanted {most} at most: {verdict}")


if __name__ == "__main__":
    main()
