"""Create the environments of the peers, and report those that failed."""

import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".make" / "peers"


@attrs.frozen(kw_only=True)
class Peer:
    """A client: the name of its file in ``clients/``, its package, and the requirements for pip."""

    name: str
    package: str
    needs: tuple[str, ...]
    environment: str = attrs.field(default=attrs.Factory(lambda peer: peer.name, takes_self=True))
    """The name of its environment, which others may share."""
    title: str = attrs.field(default=attrs.Factory(lambda peer: peer.package, takes_self=True))

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return FOLDER / self.environment / "bin" / "python"


COMETFLUX = Peer(name="cometflux", package="cometflux", needs=("-e", str(ROOT)))
REPLICATE_1 = Peer(name="replicate_1", package="replicate", needs=("replicate>=1,<2",))
# Naming a pre-release allows pip to install pre-releases.
REPLICATE_2 = Peer(name="replicate_2", package="replicate", needs=("replicate>=2.0.0b1,<3",))
PEERS = (
    COMETFLUX,
    REPLICATE_1,
    REPLICATE_2,
    Peer(name="openai", package="openai", needs=("openai",)),
    Peer(name="fal", package="fal-client", needs=("fal-client",)),
    Peer(name="backoff", package="backoff", needs=("backoff", "aiohttp"), title="aiohttp in backoff"),
)


def prepare(peers: Iterable[Peer]) -> tuple[list[Peer], list[str]]:
    """Create the missing environments; return the peers that are ready, and why the others are not."""
    ready, missing = [], []
    for peer in peers:
        reason = _make(peer)
        if reason is None:
            ready.append(peer)
        else:
            missing.append(f"{peer.name}, no environment: {reason}")
    return ready, missing


def _make(peer: Peer) -> str | None:
    folder = FOLDER / peer.environment
    stamp = folder / "ready"
    # An editable installation follows the code, but not the requirements of the project.
    wanted = "\n".join([sys.version, *peer.needs, (ROOT / "pyproject.toml").read_text() if "-e" in peer.needs else ""])
    if stamp.exists() and wanted == stamp.read_text():
        return None
    print(f"making {folder.relative_to(ROOT)}", flush=True)
    try:
        venv.create(folder, clear=True, symlinks=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return str(error)
    command = [str(peer.python), "-m", "pip", "install", "--quiet", *peer.needs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        return (complaints or [f"pip ended with {done.returncode}"])[-1]
    stamp.write_text(wanted)
    return None
