"""What is billed for one picture when the service accepts the POST and its answer is lost?

The service reads the whole POST, bills it and closes the connection without a byte of an answer. Once that happens to
the first POST only, so that a client that sends it again has its picture; once it happens to every one, which shows how
often a client sends it at the most.
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
"""How many answers are lost; None stands for every one."""
PATIENCE = 180.0
"""How long a client may take, in seconds."""
_AT_ONCE = 4
_ROW = "  {:<26}{:>10}  {:>10}  {}"


@attrs.frozen(kw_only=True)
class Found:
    """What became of one picture."""

    bills: int
    version: str
    told: str


async def measure(peer: Peer, lost: int | None, tls: ssl.SSLContext, authority: Path) -> Found:
    """Have *peer* buy one picture."""
    buying = Path(__file__).with_name("buying.py")
    # fal-client speaks nothing but TLS; httpx takes whom to trust from this variable.
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
            raise RuntimeError(f"nothing arrived; it told: {json.loads(out)['told']}")
        return Found(bills=service.bills, **json.loads(out))


async def measure_all(peers: Iterable[Peer]) -> dict[tuple[str, int | None], Found | Exception]:
    """Ask every peer both questions, some at once: most of the time they wait before they send again."""
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
        asked = [(peer, lost) for peer in peers for lost in LOST]
        found = await asyncio.gather(*(one(peer, lost, path) for peer, lost in asked))
    return {(peer.name, lost): each for (peer, lost), each in zip(asked, found, strict=True)}


def main(peers: list[Peer]) -> list[str]:
    """Print the table; return what is missing in it."""
    found = asyncio.run(measure_all(peers))
    print("Bills for one picture whose POST is accepted and not answered: python -m benchmarks.peers")
    print(_ROW.format("client", "first lost", "every lost", "what the caller is told, where they differ then and then"))
    missing = []
    for peer in peers:
        row = [found[peer.name, lost] for lost in LOST]
        whole = [each for each in row if isinstance(each, Found)]
        missing += [f"{peer.title}: {each}" for each in row if isinstance(each, Exception)]
        if len(whole) == len(LOST):
            told = " / ".join(dict.fromkeys(each.told for each in whole))
            print(_ROW.format(f"{peer.title} {whole[0].version}", *(each.bills for each in whole), told))
    return missing
