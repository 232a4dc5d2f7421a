"""How much CPU does a completed prediction cost each client (one POST, one GET, no latency)?

With 100 and with 2,000 pending at once. Each client has its own core and polls at a given interval, because only the
cost of a poll is compared, not its time.
"""

import json
import os
import statistics
import subprocess
from pathlib import Path

import attrs

from benchmarks import server
from benchmarks.peers.environments import COMETFLUX, REPLICATE_1, REPLICATE_2, Peer

PEERS = (
    COMETFLUX,
    Peer(
        name="cometflux_reused",
        environment=COMETFLUX.environment,
        package="cometflux",
        needs=COMETFLUX.needs,
        title="cometflux, connections reused",
    ),
    REPLICATE_1,
    REPLICATE_2,
    Peer(
        name="replicate_2_aiohttp",
        package="replicate",
        needs=("replicate[aiohttp]>=2.0.0b1,<3",),
        title="replicate on aiohttp",
    ),
    Peer(name="gather", package="aiohttp", needs=("aiohttp",), title="a gather by hand, aiohttp"),
)
COUNTS = {100: 1000, 2000: 2000}
"""The number of predictions, by the number that is pending at once."""
ROUNDS = 5
PATIENCE = 1200.0
"""The maximum duration of one run, in seconds."""
_DEAR = 0.02
"""A client that takes this many seconds per prediction is measured only once, because that takes minutes."""
_ROW = "  {:<40}{:>14}{:>16}"


@attrs.frozen(kw_only=True)
class Found:
    """The cost of one run."""

    version: str
    cost: float
    """CPU seconds per prediction."""
    busy: float
    """The load of the core, from 0 to 1."""


def measure(peer: Peer, host: str, pending: int, core: int) -> Found:
    """Run predictions with *peer* and measure them."""
    making = str(Path(__file__).with_name("making.py"))
    command = [str(peer.python), "-I", making, peer.name, peer.package, host, str(COUNTS[pending]), str(pending)]
    try:
        done = subprocess.run(
            ["taskset", "-c", str(core), *command], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not over after {PATIENCE:g} s with {pending} pending") from None
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
    return Found(**json.loads(done.stdout))


def measure_all(peers: list[Peer], pending: int) -> dict[str, list[Found] | RuntimeError]:
    """Measure the peers in turn."""
    client_core, server_core = (sorted(os.sched_getaffinity(0)) * 2)[:2]
    found: dict[str, list[Found] | RuntimeError] = {peer.name: [] for peer in peers}
    with server.running(server_core) as base_url:
        host = base_url.removeprefix("http://").partition("/")[0]
        for number in range(ROUNDS):
            for peer in peers:
                known = found[peer.name]
                if isinstance(known, RuntimeError) or (number and known[0].cost > _DEAR):
                    continue
                try:
                    known.append(measure(peer, host, pending, client_core))
                except RuntimeError as error:
                    found[peer.name] = error
    return found


def main(peers: list[Peer]) -> list[str]:
    """Print the table; return the missing figures."""
    print(f"CPU per completed prediction, median of {ROUNDS}: python -m benchmarks.peers")
    print(_ROW.format("client", *(f"{pending} pending" for pending in COUNTS)))
    tables = {pending: measure_all(peers, pending) for pending in COUNTS}
    missing, costs = [], {}
    for peer in peers:
        cells, version = [], ""
        for pending, table in tables.items():
            found = table[peer.name]
            if isinstance(found, RuntimeError):
                missing.append(f"{peer.title}, {pending} pending: {found}")
                cells.append("-")
                continue
            costs[peer.name, pending] = statistics.median(each.cost for each in found)
            cells.append(f"{costs[peer.name, pending] * 1e3:.2f} ms")
            version = found[0].version
        print(_ROW.format(f"{peer.title} {version}", *cells))
    _judge(costs)
    return missing


_TARGETS = (
    ("cometflux_reused", ("replicate_1", "replicate_2"), 100, 15),
    ("cometflux", ("replicate_1", "replicate_2"), 100, 8),
    ("cometflux_reused", ("replicate_1", "replicate_2"), 2000, 50),
    ("cometflux", ("replicate_1", "replicate_2"), 2000, 50),
    ("cometflux_reused", ("replicate_2_aiohttp",), 100, 3),
    ("cometflux", ("replicate_2_aiohttp",), 100, 3),
)


def _judge(costs: dict[tuple[str, int], float]) -> None:
    for ours, theirs, pending, wanted in _TARGETS:
        for name in theirs:
            if (ours, pending) in costs and (name, pending) in costs:
                ratio = costs[name, pending] / costs[ours, pending]
                verdict = "met" if ratio >= wanted else "missed"
                print(
                    f"  {name} beside {ours}, {pending} pending: {ratio:.1f} times, "
                    f"wanted is {wanted} at least: {verdict}"
                )
