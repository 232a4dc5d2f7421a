"""How many bills does one picture get when the service accepts the POST and its response is lost?

The service reads the whole POST, bills it and closes the connection without a response. In one run this happens to the
first POST only, so that a retry gets the picture. In the other run it happens to every POST, which shows how often a
client retries at most.
"""

import asyncio
import json
import os
import ssl
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import trustme

from benchmarks.peers.environments import PEERS, Peer
from benchmarks.peers.losing import Losing

__all__ = ["PEERS", "main"]
LOST = (1, None)
"""How many responses are lost; None for all."""
PATIENCE = 180.0
"""The maximum duration of one client, in seconds."""
_AT_ONCE = 4
_ROW = "  {:<26}{:>10}  {:>10}  {}"


@attrs.frozen(kw_only=True)
class Found:
    """The result of one picture."""

    bills: int
    version: str
    result: str


async def measure(peer: Peer, lost: int | None, tls: ssl.SSLContext, authority: Path) -> Found:
    """Generate one picture with *peer*."""
    buying = Path(__file__).with_name("buying.py")
    # fal-client only supports TLS, and httpx reads the trusted certificates from this variable.
    environment = {**os.environ, "SSL_CERT_FILE": str(authority), "NO_PROXY": "127.0.0.1"}
    async with Losing(lost, tls) as service:
        process = await asyncio.create_subprocess_exec(
            *(str(peer.python), "-I", str(buying), peer.name, peer.package, *service.hosts),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                out, complaints = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise RuntimeError(f"not over after {PATIENCE:g} s and {service.bills} bills") from None
        if process.returncode:
            raise RuntimeError(complaints.decode().strip().rpartition("\n")[2])
        if service.strange:
            raise RuntimeError(f"the service could not take {service.strange[0]}")
        if not service.bills:
            raise RuntimeError(f"nothing arrived; its result: {json.loads(out)['result']}")
        return Found(bills=service.bills, **json.loads(out))


async def measure_all(peers: Iterable[Peer]) -> dict[tuple[str, int | None], Found | Exception]:
    """Run every peer with both losses. Several run at once, because they mostly wait before a retry."""
    authority, slots = trustme.CA(), asyncio.Semaphore(_AT_ONCE)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)

    async def one(peer: Peer, lost: int | None, path: Path) -> Found | Exception:
        async with slots:
            try:
                return await measure(peer, lost, tls, path)
            except RuntimeError as error:
                return error

    with TemporaryDirectory() as folder:
        path = Path(folder) / "authority.pem"
        authority.cert_pem.write_to_path(str(path))
        cases = [(peer, lost) for peer in peers for lost in LOST]
        found = await asyncio.gather(*(one(peer, lost, path) for peer, lost in cases))
    return {(peer.name, lost): each for (peer, lost), each in zip(cases, found, strict=True)}


def main(peers: list[Peer]) -> list[str]:
    """Print the table; return the missing figures."""
    found = asyncio.run(measure_all(peers))
    print("Bills for one picture whose POST is accepted and not answered: python -m benchmarks.peers")
    print(_ROW.format("client", "first lost", "every lost", "the caller's result, both if they differ"))
    missing = []
    for peer in peers:
        row = [found[peer.name, lost] for lost in LOST]
        whole = [each for each in row if isinstance(each, Found)]
        missing += [f"{peer.title}: {each}" for each in row if isinstance(each, Exception)]
        if len(whole) == len(LOST):
            results = " / ".join(dict.fromkeys(each.result for each in whole))
            print(_ROW.format(f"{peer.title} {whole[0].version}", *(each.bills for each in whole), results))
    return missing
