"""Thumbnails between the lines, for those who watch: as pictures where the terminal can, as coloured blocks otherwise.

The terminal is asked once, before the work begins, and all its answers together have half a second. The package that
draws would ask by itself, when it is imported, and wait for ever where an answer has no end.
"""

import contextlib
import os
import re
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Full, Queue
from typing import Any, Self

import attrs

from cometflux.cli.faults import MissingExtraError
from cometflux.cli.screen import Screen

_ROWS = 10
"""How many lines a thumbnail takes."""
_MOST_WAITING = 8
"""How many pictures wait to be drawn at most; what comes on top is not shown, so that the work is not held up."""
_PATIENCE = 0.5
_MOST_ANSWERED = 4096
_LARGEST = 64 * 2**20
# Kitty's protocol, the size of a cell, and what the terminal is. The last one is answered by all of them.
_QUESTIONS = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[c"
_LAST_ANSWER = re.compile(rb"\x1b\[\?([0-9;]*)c")
_KITTY = re.compile(rb"\x1b_Gi=31;OK\x1b\\")
# No more than two digits: larger ones would be no letters, and thumbnails of hundreds of megabytes.
_CELL = re.compile(rb"\x1b\[6;(\d{1,2});(\d{1,2})t")
_USUAL_CELL = (10, 20)


@attrs.frozen(kw_only=True)
class Abilities:
    """What a terminal can show."""

    way: str = "halfcell"
    """One of ``sixel``, ``tgp`` (kitty's) and ``halfcell``."""
    cell: tuple[int, int] = _USUAL_CELL
    """The width and the height of a character, in pixels."""


def open_preview(screen: Screen) -> "Preview | None":
    """Get ready to show thumbnails; None where nobody would see them.

    Raises:
        MissingExtraError: the package that draws is not installed.
    """
    is_seen = sys.stdout.isatty() and sys.stderr.isatty() and not screen.console.is_dumb_terminal
    abilities = ask_terminal() if is_seen and not screen.voice.is_log else None
    # Blocks are nothing but their colours.
    if abilities is None or (abilities.way == "halfcell" and screen.console.no_color):
        _load("halfcell", _USUAL_CELL)
        screen.say("note: --preview shows nothing here, since stdout is no terminal that can show it")
        return None
    return Preview(screen, _load(abilities.way, abilities.cell), abilities)


class Preview:
    """Shows pictures in a thread of its own; enter it with ``with``."""

    def __init__(self, screen: Screen, renderable: Callable[..., Any], abilities: Abilities) -> None:
        self._screen = screen
        self._renderable = renderable
        self._abilities = abilities
        self._waiting: Queue[Path | None] = Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="preview", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Full):
            self._waiting.put(None, timeout=_PATIENCE)
        self._thread.join(4 * _PATIENCE)

    def show(self, files: Sequence[object]) -> None:
        """Show what is on this machine's disk, if there is time for it."""
        for path in files:
            if isinstance(path, Path):
                with contextlib.suppress(Full):
                    self._waiting.put_nowait(path)

    def _work(self) -> None:
        while (path := self._waiting.get()) is not None:
            # A picture that cannot be drawn is on the disk all the same.
            with contextlib.suppress(OSError, ValueError, SyntaxError, ArithmeticError, MemoryError):
                self._screen.show_picture(self._draw(path))

    def _draw(self, path: Path) -> Any:
        from PIL import Image

        with Image.open(path) as image:
            if image.width * image.height > _LARGEST:
                raise ValueError("too large to be shown")
            image.load()
            width, height = self._abilities.cell
            rows = _ROWS
            columns = max(1, round(rows * height * image.width / image.height / width))
            if columns > (room := max(self._screen.console.width - 2, 1)):
                rows, columns = max(1, rows * room // columns), room
            small = image.convert("RGB").resize((columns * width, rows * height))
        return self._renderable(small, width=columns, height=rows)


def ask_terminal() -> Abilities:
    """Ask the terminal what it can; what does not answer in time can show coloured blocks."""
    try:
        answer = _answer()
    except OSError:
        return Abilities()
    cell = _CELL.search(answer)
    size = (int(cell[2]), int(cell[1])) if cell and int(cell[1]) and int(cell[2]) else _USUAL_CELL
    last = _LAST_ANSWER.search(answer)
    if last and b"4" in last[1].split(b";"):
        return Abilities(way="sixel", cell=size)
    return Abilities(way="tgp" if _KITTY.search(answer) else "halfcell", cell=size)


def _answer() -> bytes:
    descriptor = sys.stdin.fileno() if sys.stdin is not None else -1
    # In the background, changing the terminal would stop the process.
    if descriptor < 0 or not os.isatty(descriptor) or os.tcgetpgrp(descriptor) != os.getpgrp():
        return b""
    answer = b""
    with _raw(descriptor):
        os.write(sys.stdout.fileno(), _QUESTIONS)
        give_up = time.monotonic() + _PATIENCE
        while not _LAST_ANSWER.search(answer) and len(answer) < _MOST_ANSWERED:
            left = give_up - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                break
            piece = os.read(descriptor, 256)
            if not piece:
                break
            answer += piece
    return answer


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Let answers come as they are sent, and show none of them."""
    import termios

    try:
        before = termios.tcgetattr(descriptor)
    except termios.error as error:
        raise OSError(*error.args) from error
    after = [*before]
    after[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSANOW, after)
    try:
        yield
    finally:
        # What comes late would be taken for keys that somebody pressed.
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


def _load(way: str, cell: tuple[int, int]) -> Callable[..., Any]:
    import importlib

    # Without this stream, which nothing else here uses, the package does not ask the terminal while it is imported.
    stream, sys.__stdout__ = sys.__stdout__, None  # type: ignore[misc]
    try:
        module = importlib.import_module(f"textual_image.renderable.{way}")
        terminal = importlib.import_module("textual_image._terminal")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"textual_image", "PIL"}:
            raise
        raise MissingExtraError("--preview", "cli,preview") from error
    finally:
        sys.__stdout__ = stream  # type: ignore[misc]
    # It keeps the size that it has once found out.
    terminal.get_cell_size._result = terminal.CellSize(*cell)
    return module.Image  # type: ignore[no-any-return]
