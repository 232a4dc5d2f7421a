"""How much CPU does a completed prediction cost each client (one POST, one GET, no latency)?

With 100 and with 2,000 pending at once, over TLS, and with a picture of 200 kB saved to a folder. Each client has its
own core and polls at a given interval, because only the cost of a poll is compared, not its time. Only cometflux syncs
its files to the disk and writes a record beside each picture; the others write the picture.
"""

import json
import os
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import trustme

from benchmarks import server
from benchmarks.peers.environments import COMETFLUX, REPLICATE_1, REPLICATE_2, Peer
from benchmarks.pictures import Pictures

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
    Peer(name="gather", package="aiohttp", needs=("aiohttp",), title="a hand-written gather, aiohttp"),
)
SIZE = 200_000
"""The size of a saved picture, in bytes."""
ROUNDS = 5
PATIENCE = 1200.0
"""The maximum duration of one run, in seconds."""
_DEAR = 0.02
"""A client that takes this many seconds per prediction is measured only once, because that takes minutes."""
_ROW = "  {:<40}{:>14}{:>14}{:>12}{:>12}"


@attrs.frozen(kw_only=True)
class Work:
    """What each client is given to do."""

    title: str
    count: int
    """How many predictions."""
    pending: int
    """How many of them at once."""
    has_tls: bool = False
    saves: bool = False


FEW, MANY = Work(title="100 pending", count=1000, pending=100), Work(title="2000 pending", count=2000, pending=2000)
TLS = Work(title="100, TLS", count=1000, pending=100, has_tls=True)
SAVING = Work(title="64, saved", count=400, pending=64, saves=True)
WORKS = (FEW, MANY, TLS, SAVING)


@attrs.frozen(kw_only=True)
class Found:
    """The cost of one run."""

    version: str
    cost: float
    """CPU seconds per prediction."""
    busy: float
    """The load of the core, from 0 to 1."""


@contextmanager
def serving(work: Work, core: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Run the server of a work; yield its origin, and the environment in which clients trust it."""
    with TemporaryDirectory() as folder:
        environment, certificate = dict(os.environ), None
        if work.has_tls:
            authority, path = trustme.CA(), Path(folder)
            certificate = str(path / "server.pem")
            authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
            authority.cert_pem.write_to_path(str(path / "authority.pem"))
            environment["SSL_CERT_FILE"] = str(path / "authority.pem")
        answers = Pictures if work.saves else server.Answers
        with server.running(core, answers, certificate=certificate) as base_url:
            yield base_url.removesuffix(server.PREFIX) + (f"/{SIZE}" if work.saves else ""), environment


def measure(peer: Peer, work: Work, origin: str, environment: dict[str, str], core: int) -> Found:
    """Do a work with *peer* and measure it."""
    making = str(Path(__file__).with_name("making.py"))
    with TemporaryDirectory() as folder:
        place = folder if work.saves else ""
        values = (peer.name, peer.package, origin, str(work.count), str(work.pending), place)
        try:
            done = subprocess.run(
                ["taskset", "-c", str(core), str(peer.python), "-I", making, *values],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"not over after {PATIENCE:g} s") from None
        if done.returncode:
            raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
        if work.saves and len([*Path(folder, "made").glob("*.png")]) != work.count:
            raise RuntimeError("it did not save each picture")
    return Found(**json.loads(done.stdout))


def measure_all(peers: list[Peer], work: Work) -> dict[str, list[Found] | RuntimeError]:
    """Measure the peers in turn."""
    client_core, server_core = (sorted(os.sched_getaffinity(0)) * 2)[:2]
    found: dict[str, list[Found] | RuntimeError] = {peer.name: [] for peer in peers}
    with serving(work, server_core) as (origin, environment):
        for number in range(ROUNDS):
            for peer in peers:
                known = found[peer.name]
                if isinstance(known, RuntimeError) or (number and known[0].cost > _DEAR):
                    continue
                try:
                    known.append(measure(peer, work, origin, environment, client_core))
                except RuntimeError as error:
                    found[peer.name] = error
    return found


def main(peers: list[Peer]) -> list[str]:
    """Print the table; return the missing figures."""
    print(f"CPU per completed prediction, median of {ROUNDS}: python -m benchmarks.peers")
    print(_ROW.format("client", *(work.title for work in WORKS)))
    tables = {work: measure_all([peer for peer in peers if _does(peer, work)], work) for work in WORKS}
    missing, costs = [], {}
    for peer in peers:
        cells, version = [], ""
        for work, table in tables.items():
            found = table.get(peer.name)
            if found is None or isinstance(found, RuntimeError):
                missing += [f"{peer.title}, {work.title}: {found}"] if found else []
                cells.append("-")
                continue
            costs[peer.name, work] = statistics.median(each.cost for each in found)
            cells.append(f"{costs[peer.name, work] * 1e3:.2f} ms")
            version = found[0].version
        print(_ROW.format(f"{peer.title} {version}", *cells))
    _judge(costs)
    return missing


def _does(peer: Peer, work: Work) -> bool:
    """Whether the peer does this work. The transport that reuses connections is for predictions alone."""
    return not (work.saves and peer.name == "cometflux_reused")


_TARGETS = (
    ("cometflux_reused", ("replicate_1", "replicate_2"), FEW, 15),
    ("cometflux", ("replicate_1", "replicate_2"), FEW, 8),
    ("cometflux_reused", ("replicate_1", "replicate_2"), MANY, 50),
    ("cometflux", ("replicate_1", "replicate_2"), MANY, 50),
    ("cometflux_reused", ("replicate_2_aiohttp",), FEW, 3),
    ("cometflux", ("replicate_2_aiohttp",), FEW, 3),
)


def _judge(costs: dict[tuple[str, Work], float]) -> None:
    for ours, theirs, work, wanted in _TARGETS:
        for name in theirs:
            if (ours, work) in costs and (name, work) in costs:
                ratio = costs[name, work] / costs[ours, work]
                verdict = "met" if ratio >= wanted else "missed"
                print(f"  {name} beside {ours}, {work.title}: {ratio:.1f} times, wanted {wanted} at least: {verdict}")
