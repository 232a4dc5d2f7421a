"""Record docs/terminal.svg: in a real terminal, a batch is stopped with Ctrl-C and resumed. The local service draws."""

import fcntl
import io
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT = 96, 40
LONGEST = 120.0
"""Seconds that a command may take."""
ROWS = """\
prompt,model,aspect_ratio
a paper boat at sunrise,flux-schnell,16:9
the same boat in the rain,flux-schnell,16:9
the same boat at night,flux-schnell,16:9
the same boat in a bottle,flux-dev,1:1
the same boat under a bridge,flux-dev,1:1
the same boat in the snow,flux-2-pro,3:2
"""
COMMANDS = (
    "cometflux batch boats.csv --local --max-pending 2",
    "cometflux resume boats-images --local --max-pending 2",
)
# Rich's SVG fetches its font from the network; without that, the reader's own monospaced font is used.
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_CODES = re.compile(r"(\x1b\[[0-9;?]*[A-Za-z]|\r?\n|\r)")


def main() -> None:
    """Record the commands and write the picture."""
    path = ROOT / "docs" / "terminal.svg"
    path.write_text(draw(record()), encoding="utf-8")
    print(path.relative_to(ROOT))


def record() -> str:
    """Return the screen after all commands, with its colours."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "boats.csv").write_text(ROWS, encoding="utf-8")
        received = [type_in(command, Path(folder), 0 if number else 2) for number, command in enumerate(COMMANDS)]
    return "\n\n".join(
        f"\x1b[1m$ {command}\x1b[0m\n" + "\n".join(read_screen(each))
        for command, each in zip(COMMANDS, received, strict=True)
    )


def type_in(command: str, folder: Path, stops: int = 0) -> str:
    """Run *command* in a terminal, and press Ctrl-C after *stops* pictures. Return what the terminal received.

    Raises:
        TimeoutError: the command has not ended after `LONGEST` seconds.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMET")}
    environment |= {"TERM": "xterm-256color", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    program, *arguments = command.split()
    with subprocess.Popen(
        [shutil.which(program, path=environment["PATH"]) or program, *arguments],
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            return _read(ours, process, folder, stops).decode()
        finally:
            process.kill()
            os.close(ours)


def _read(terminal: int, process: "subprocess.Popen[bytes]", folder: Path, stops: int) -> bytes:
    received, give_up = b"", time.monotonic() + LONGEST
    while time.monotonic() < give_up:
        if stops and len(list(folder.glob("*-images/*.webp"))) >= stops:
            process.send_signal(signal.SIGINT)
            stops = 0
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # Linux's way to say that the process has ended
                data = b""
            if not data:
                return received
            received += data
    raise TimeoutError(f"{process.args!r} has not ended after {LONGEST:g} s; it printed {received!r}")


def read_screen(received: str) -> list[str]:
    """Return the lines that remain on the screen, with their colours."""
    lines, row = [""], 0
    for part in _CODES.split(received):
        if part.endswith("\n"):
            row += 1
            lines.extend([""] * (row - len(lines) + 1))
        elif part.startswith("\x1b[") and part.endswith("A"):
            row = max(0, row - int(part[2:-1] or 1))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part.endswith("m") if part.startswith("\x1b[") else part != "\r":
            lines[row] += part
    return "\n".join(lines).strip().split("\n")


def draw(screen: str) -> str:
    """Return an SVG of the screen, without a font from the network."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi(screen))
    return _FONT.sub("", console.export_svg(title="cometflux", unique_id="terminal"))


if __name__ == "__main__":
    main()
